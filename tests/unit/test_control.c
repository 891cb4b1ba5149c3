/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control API over a real socket: a server process with the real engine in
 * a simulated world, and this process as its client. Proves who may ask and
 * whose process may be attached, how a waiting client is served and withdrawn,
 * that a slow subscriber loses nothing silently, and that client and server
 * mean the same errors.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-varlink.h>

#include "control_client.h"
#include "varlink_interface.h"

Test(control, status_and_topology)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *status = NULL, *tree = NULL,
							  *workers = NULL;
	sd_json_variant *memdev;
	struct fixture f;

	setup(&f);
	status = expect_reply(&f, CLIENT_METHOD("GetStatus"), "{}");
	cr_assert_str_eq(text(status, "state"), "healthy");
	cr_assert(sd_json_variant_boolean(get(status, "ready")));
	cr_assert_eq(sd_json_variant_unsigned(get(status, "regionsLive")), 2);
	cr_assert_str_eq(text(status, "health"), "failing", "the worst verdict, of whatever");
	tree = expect_reply(&f, CLIENT_METHOD("GetTopology"), "{}");
	cr_assert_eq(sd_json_variant_elements(get(tree, "ports")), 2);
	cr_assert_eq(sd_json_variant_elements(get(tree, "regions")), 2);
	memdev = sd_json_variant_by_index(get(tree, "memdevs"), 0);
	cr_assert_str_eq(text(memdev, "serial"), "0x10");
	cr_assert_str_eq(
		sd_json_variant_string(sd_json_variant_by_index(get(memdev, "regions"), 0)), "low");
	workers = expect_reply(&f, CLIENT_METHOD("GetWorkers"), "{}");
	cr_assert_str_eq(text(sd_json_variant_by_index(get(workers, "workers"), 0), "process"),
			 "D");
	teardown(&f);
}

Test(control, sources_and_verdicts_are_told_in_words)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *sources = NULL, *health = NULL;
	sd_json_variant *one;
	struct fixture f;

	setup(&f);
	sources = expect_reply(&f, CLIENT_METHOD("ListSources"), "{}");
	cr_assert_eq(sd_json_variant_elements(get(sources, "sources")), SOURCES);
	one = sd_json_variant_by_index(get(sources, "sources"), SOURCE_TRACE);
	cr_assert_str_eq(text(one, "name"), "trace");
	cr_assert_str_eq(text(one, "state"), "ok");
	cr_assert_eq(sd_json_variant_unsigned(get(one, "lost")), 7);
	cr_assert_null(sd_json_variant_by_key(one, "without"));
	cr_assert_str_eq(text(one, "cannotHere"), "lost links");
	cr_assert_eq(sd_json_variant_unsigned(get(one, "waitingPages")), 3);
	cr_assert_eq(sd_json_variant_unsigned(get(one, "roomPages")), 16);
	cr_assert(sd_json_variant_is_unsigned(get(sources, "storeQueued")));
	one = sd_json_variant_by_index(get(sources, "sources"), SOURCE_QMP);
	cr_assert_null(sd_json_variant_by_key(one, "cannotHere"));
	cr_assert_null(sd_json_variant_by_key(one, "roomPages"));
	cr_assert_str_eq(text(one, "state"), "missing");
	cr_assert_str_eq(text(one, "why"), "no socket");
	cr_assert_str_eq(text(one, "without"), source_without(SOURCE_QMP));
	health = expect_reply(&f, CLIENT_METHOD("GetHealth"), "{}");
	cr_assert_str_eq(text(health, "state"), "failing");
	cr_assert_null(sd_json_variant_by_key(health, "recoveryWaits"));
	one = sd_json_variant_by_index(get(health, "verdicts"), 1);
	cr_assert_str_eq(text(one, "scope"), "memdev");
	cr_assert_str_eq(text(one, "unit"), "0x10");
	cr_assert_str_eq(text(one, "reasons"), "not there");
	teardown(&f);
}

Test(control, acquire_shows_steps_and_ends_with_the_grant)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *leases = NULL, *released = NULL;
	struct steps steps;
	struct fixture f;

	setup(&f);
	acquire(&f, WISH("a", 67108864), &steps);
	cr_assert_str_eq(steps.last_state, "acquired");
	cr_assert_eq(steps.n_parts, 1);
	cr_assert_geq(steps.n, 2);
	leases = expect_reply(&f, CLIENT_METHOD("ListLeases"), "{}");
	cr_assert_eq(sd_json_variant_elements(get(leases, "leases")), 1);
	expect_error(&f, CLIENT_METHOD("Acquire"),
		     "{\"name\":\"b\",\"uid\":1,\"gid\":1,\"parts\":[{\"size\":1073741824}]}",
		     "NoCapacity");
	released = expect_reply(&f, CLIENT_METHOD("Release"), "{\"name\":\"a\"}");
	teardown(&f);
}

Test(control, leases_are_listed_in_the_order_of_serving)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *leases = NULL, *released = NULL;
	const char *wishes[] = {WISH("a", 67108864), WISH("b", 67108864), WISH("c", 67108864)};
	struct steps steps;
	struct fixture f;

	setup(&f);
	acquire(&f, wishes[0], &steps);
	acquire(&f, wishes[1], &steps);
	released = expect_reply(&f, CLIENT_METHOD("Release"), "{\"name\":\"a\"}");
	acquire(&f, wishes[2], &steps); /* in the place of a's record */
	leases = expect_reply(&f, CLIENT_METHOD("ListLeases"), "{}");
	cr_assert_eq(sd_json_variant_elements(get(leases, "leases")), 2);
	cr_assert_str_eq(sd_json_variant_string(
				 get(sd_json_variant_by_index(get(leases, "leases"), 0), "name")),
			 "b");
	teardown(&f);
}

static size_t count_leases(struct fixture *f)
{
	_cleanup_(sd_json_variant_unrefp)
		sd_json_variant *leases = expect_reply(f, CLIENT_METHOD("ListLeases"), "{}");

	return sd_json_variant_elements(get(leases, "leases"));
}

Test(control, a_client_that_leaves_while_it_waits_withdraws)
{
	sd_json_variant *parameters = NULL;
	struct fixture f;
	sd_varlink *link;

	setup(&f);
	/* All of both regions, so that the next one waits. */
	for (int i = 0; i < 2; i++) {
		struct steps steps;

		acquire(&f, i ? WISH("b", 268435456) : WISH("a", 268435456), &steps);
	}
	link = join(&f);
	cr_assert_geq(sd_json_parse(WISH("c", 67108864), 0, &parameters, NULL, NULL), 0);
	cr_assert_geq(sd_varlink_observe(link, CLIENT_METHOD("Acquire"), parameters), 0);
	sd_varlink_flush(link);
	for (int i = 0; i < 200 && count_leases(&f) != 3; i++)
		usleep(10000);
	cr_assert_eq(count_leases(&f), 3);
	sd_varlink_close_unref(link);
	for (int i = 0; i < 200 && count_leases(&f) != 2; i++)
		usleep(10000);
	cr_assert_eq(count_leases(&f), 2);
	sd_json_variant_unref(parameters);
	teardown(&f);
}

static void expect_refused(struct fixture *f, const char *name, pid_t pid, const char *why)
{
	struct client_failure failure = {0};
	int pidfd = pidfd_open(pid, 0);

	cr_assert_geq(pidfd, 0);
	cr_assert_neq(attach(f, name, pidfd, &failure), CLIENT_OK, "process %d was attached",
		      (int)pid);
	cr_assert_str_eq(failure.error, "Refused");
	cr_assert(strstr(failure.text, why), "'%s' does not say '%s'", failure.text, why);
	close(pidfd);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	return pid;
}

/* A child whose own child is told. */
static pid_t grandchild(pid_t *ret_child)
{
	int ends[2];
	pid_t pid;

	cr_assert_eq(pipe(ends), 0);
	*ret_child = fork();
	if (*ret_child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pid = sleeper();
		if (write(ends[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		pause();
		_exit(0);
	}
	cr_assert_eq(read(ends[0], &pid, sizeof(pid)), (ssize_t)sizeof(pid));
	close(ends[0]);
	close(ends[1]);
	return pid;
}

Test(control, only_ones_own_process_is_attached)
{
	struct client_failure failure = {0};
	pid_t child, middle, other, dead;
	struct steps steps;
	struct fixture f;
	int pidfd;

	setup(&f);
	acquire(&f, WISH("a", 67108864), &steps);
	acquire(&f, WISH("b", 67108864), &steps);
	other = grandchild(&middle);
	child = sleeper();
	expect_refused(&f, "a", 1, "process 1");
	expect_refused(&f, "a", f.server, "manager itself");
	expect_refused(&f, "a", other, "somebody else's");
	expect_refused(&f, "a", getppid(), getppid() == 1 ? "process 1" : "somebody else's");
	dead = sleeper();
	pidfd = pidfd_open(dead, 0);
	kill(dead, SIGKILL);
	waitpid(dead, NULL, 0);
	cr_assert_neq(attach(&f, "a", pidfd, &failure), CLIENT_OK);
	cr_assert_str_eq(failure.error, "Refused");
	close(pidfd);
	cr_assert_neq(attach(&f, "a", STDERR_FILENO, &failure), CLIENT_OK);
	cr_assert_neq(attach(&f, "nobody", -1, &failure), CLIENT_OK);
	cr_assert_str_eq(failure.error, "NoSuchName");

	cr_assert_eq(attach(&f, "a", -1, &failure), CLIENT_OK, "%s", failure.text);
	cr_assert_eq(attach(&f, "a", -1, &failure), CLIENT_OK, "asking again is harmless: %s",
		     failure.text);
	cr_assert_neq(attach(&f, "b", -1, &failure), CLIENT_OK);
	cr_assert_str_eq(failure.error, "ProcessTaken");
	pidfd = pidfd_open(child, 0);
	cr_assert_eq(attach(&f, "b", pidfd, &failure), CLIENT_OK, "%s", failure.text);
	cr_assert_neq(attach(&f, "a", pidfd, &failure), CLIENT_OK);
	close(pidfd);
	kill(child, SIGKILL);
	kill(middle, SIGKILL);
	waitpid(child, NULL, 0);
	waitpid(middle, NULL, 0);
	teardown(&f);
}

static int ask_as_nobody(struct fixture *f)
{
	sd_json_variant *reply = NULL;
	struct client_failure failure;
	sd_varlink *link = NULL;

	if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
		return 1;
	if (client_connect(f->socket, &link, &failure) != CLIENT_OK)
		return failure.status == CLIENT_PERMISSION ? 42 : 2;
	return client_call(link, CLIENT_METHOD("GetStatus"), NULL, &reply, &failure) ==
			       CLIENT_PERMISSION
		       ? 43
		       : 3;
}

static int run_as_nobody(struct fixture *f)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(ask_as_nobody(f));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

Test(control, only_root_may_ask)
{
	struct stat st;
	struct fixture f;

	setup(&f);
	cr_assert_eq(stat(f.socket, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_eq(run_as_nobody(&f), 42, "the socket itself keeps others out");
	cr_assert_eq(chmod(f.socket, 0666), 0);
	cr_assert_eq(run_as_nobody(&f), 43, "and so does every call");
	teardown(&f);
}

Test(control, errors_have_names_and_sentences)
{
	struct fixture f;

	setup(&f);
	expect_error(&f, CLIENT_METHOD("Acquire"), WISH("../x", 67108864), "BadName");
	expect_error(&f, CLIENT_METHOD("Acquire"), WISH("x", 5), "BadSize");
	expect_error(&f, CLIENT_METHOD("Acquire"), "{\"name\":\"x\"}", "InvalidParameter");
	expect_error(&f, CLIENT_METHOD("Release"), "{\"name\":\"x\"}", "NoSuchName");
	expect_error(&f, CLIENT_METHOD("WhatIf"), "{\"unit\":\"nothing\"}", "NoSuchUnit");
	expect_error(&f, CLIENT_METHOD("Isolate"), "{\"port\":\"0x10\"}", "NoSuchUnit");
	expect_error(&f, CLIENT_METHOD("DestroyRegion"), "{\"name\":\"x\"}", "NoSuchName");
	expect_error(&f, CLIENT_METHOD("CreateRegion"), "{\"name\":\"x\",\"memdevs\":[]}",
		     "BadRegion");
	expect_error(&f, CLIENT_METHOD("CreateRegion"), "{\"name\":\"x\",\"memdevs\":[\"zz\"]}",
		     "BadRegion");
	expect_error(&f, CLIENT_METHOD("ListIncidents"), "{\"id\":99}", "NoSuchIncident");
	expect_error(&f, CLIENT_METHOD("Monitor"), "{}", "ExpectedMore");
	teardown(&f);
}

/* Proves: no error of the interface is unknown to the tools' exit codes. */
Test(control, client_knows_every_error)
{
	for (const sd_varlink_symbol *const *symbol = vl_interface_org_daxmgr_Manager.symbols;
	     *symbol; symbol++) {
		char name[128];

		if ((*symbol)->symbol_type != SD_VARLINK_ERROR)
			continue;
		snprintf(name, sizeof(name), CLIENT_METHOD("%s"), (*symbol)->name);
		cr_assert(client_error_status(name) != CLIENT_FAILURE ||
				  !strcmp((*symbol)->name, "StoreFailed") ||
				  !strcmp((*symbol)->name, "NotObserved"),
			  "%s", name);
	}
}

Test(control, what_if_names_regions_and_vms)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	struct client_failure failure;
	struct steps steps;
	struct fixture f;

	setup(&f);
	acquire(&f,
		"{\"name\":\"a\",\"uid\":1,\"gid\":1,\"parts\":[{\"size\":67108864,\"region\":\"low\"}]}",
		&steps);
	cr_assert_eq(attach(&f, "a", -1, &failure), CLIENT_OK);
	reply = expect_reply(&f, CLIENT_METHOD("WhatIf"), "{\"unit\":\"0x10\"}");
	cr_assert_str_eq(text(reply, "kind"), "memdev");
	cr_assert_eq(sd_json_variant_elements(get(reply, "regions")), 1);
	cr_assert_eq(sd_json_variant_elements(get(reply, "vms")), 1);
	cr_assert_eq(sd_json_variant_unsigned(get(reply, "bytes")), 67108864);
	cr_assert_eq(sd_json_variant_unsigned(get(reply, "pinning")), 0);
	cr_assert(!sd_json_variant_by_key(reply, "hazard"), "nothing pins");
	teardown(&f);
}

Test(control, recover_takes_evict)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL, *tree = NULL;
	struct fixture f;
	sd_json_variant *port, *region;

	setup(&f);
	reply = expect_reply(&f, CLIENT_METHOD("Recover"),
			     "{\"port\":\"hb0/00.0\",\"evict\":true}");
	expect_error(&f, CLIENT_METHOD("Recover"), "{\"port\":\"hb0/00.0\",\"evict\":1}",
		     "InvalidParameter");
	expect_error(&f, CLIENT_METHOD("Isolate"), "{\"port\":\"hb0/00.0\",\"evict\":true}",
		     "InvalidParameter");
	tree = expect_reply(&f, CLIENT_METHOD("GetTopology"), "{}");
	port = sd_json_variant_by_index(get(tree, "ports"), 0);
	cr_assert_not(sd_json_variant_boolean(get(port, "flapping")));
	region = sd_json_variant_by_index(get(tree, "regions"), 0);
	cr_assert_not(sd_json_variant_boolean(get(region, "locked")));
	teardown(&f);
}

Test(control, history_comes_from_the_store)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *all = NULL, *one = NULL, *events = NULL;
	sd_json_variant *incident;
	struct fixture f;

	setup(&f);
	all = expect_reply(&f, CLIENT_METHOD("ListIncidents"), "{}");
	incident = sd_json_variant_by_index(get(all, "incidents"), 0);
	cr_assert_str_eq(text(incident, "cause"), "surprise-down");
	cr_assert(!sd_json_variant_by_key(incident, "timeline"));
	one = expect_reply(&f, CLIENT_METHOD("ListIncidents"), "{\"id\":7}");
	incident = sd_json_variant_by_index(get(one, "incidents"), 0);
	cr_assert_eq(sd_json_variant_elements(get(incident, "timeline")), 1);
	cr_assert_str_eq(text(sd_json_variant_by_index(get(incident, "victims"), 0), "name"), "a");
	events = expect_reply(&f, CLIENT_METHOD("ListEvents"), "{\"limit\":5}");
	cr_assert_str_eq(text(sd_json_variant_by_index(get(events, "events"), 0), "raw"), "cmF3");
	teardown(&f);
}

struct heard {
	uint64_t notes, gap;
	bool subscribed;
};

static int on_heard(sd_varlink *link, sd_json_variant *message, const char *error,
		    sd_varlink_reply_flags_t flags, void *userdata)
{
	sd_json_variant *note = sd_json_variant_by_key(message, "note");
	sd_json_variant *text = note ? sd_json_variant_by_key(note, "text") : NULL;
	struct heard *heard = userdata;

	(void)link;
	(void)flags;
	cr_assert(!error, "%s", error);
	/* The server's own world has things to tell, too, as its time goes on. */
	heard->notes += text && !strncmp(sd_json_variant_string(text), "a line of a timeline", 20);
	heard->subscribed |= sd_json_variant_by_key(message, "subscribed") != NULL;
	heard->gap += sd_json_variant_unsigned(sd_json_variant_by_key(message, "gap"));
	return 0;
}

static void listen_until(sd_varlink *link, struct heard *heard, uint64_t total)
{
	for (int i = 0; i < 20000 && (!heard->subscribed || heard->notes + heard->gap < total); i++)
		if (sd_varlink_process(link) == 0)
			sd_varlink_wait(link, 100000);
}

Test(control, a_slow_subscriber_is_told_what_it_missed)
{
	struct heard heard = {0};
	struct fixture f;
	sd_varlink *link;

	setup(&f);
	link = join(&f);
	sd_varlink_set_userdata(link, &heard);
	sd_varlink_bind_reply(link, on_heard);
	sd_varlink_set_relative_timeout(link, UINT64_MAX);
	cr_assert_geq(sd_varlink_observe(link, CLIENT_METHOD("Monitor"), NULL), 0);
	listen_until(link, &heard, 0);
	cr_assert(heard.subscribed);
	/* With the first of them the world stands still, and all that it had to tell came before:
	 * nothing but these lines can be in the gap. */
	kill(f.server, SIGUSR2);
	listen_until(link, &heard, 1);
	cr_assert_eq(heard.notes, 1);
	cr_assert_eq(heard.gap, 0);
	/* 5000 notes at once while nobody reads, then one by one again. */
	kill(f.server, SIGUSR1);
	listen_until(link, &heard, 5001);
	cr_assert_eq(heard.notes + heard.gap, 5001, "%lu notes and a gap of %lu", heard.notes,
		     heard.gap);
	cr_assert_gt(heard.gap, 0);
	kill(f.server, SIGUSR2);
	listen_until(link, &heard, 5002);
	cr_assert_eq(heard.notes + heard.gap, 5002);
	sd_varlink_close_unref(link);
	teardown(&f);
}
