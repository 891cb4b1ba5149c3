/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A server process with the real control layer, engine and store in a
 * simulated world, for one test program: it stands in for the daemon, so it
 * is included by exactly one file of a program and defines what control.h
 * wants of the daemon.
 */
#ifndef TESTS_CONTROL_SERVER_H
#define TESTS_CONTROL_SERVER_H

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "inject.h"
#include "policy.h"
#include "world.h"

#define BOOT "0123456789abcdef0123456789abcdef"

struct pending {
	struct pending *next;
	uint64_t request;
	daemon_reply_t reply;
	void *userdata;
	uint32_t last; /* enum iso_reply + 1 that was told last */
};

struct daemon {
	struct world *world;
	struct control *control;
	struct store *store;
	sd_event *event;
	sd_event_source *timer;
	struct pending *pending;
	bool not_ready;
	bool refuses_rules, may_inject, injected;
};

const struct iso_engine *daemon_engine(struct daemon *daemon)
{
	return daemon->world->engine;
}

bool daemon_is_ready(struct daemon *daemon)
{
	return !daemon->not_ready;
}

const char *daemon_boot_id(struct daemon *daemon)
{
	(void)daemon;
	return BOOT;
}

struct store *daemon_store(struct daemon *daemon)
{
	return daemon->store;
}

size_t daemon_components(struct daemon *daemon, struct daemon_component *ret, size_t room)
{
	(void)daemon;
	(void)room;
	*ret = (struct daemon_component){.name = "store", .state = "ok"};
	return 1;
}

size_t daemon_workers(struct daemon *daemon, struct daemon_worker *ret, size_t room)
{
	(void)daemon;
	(void)room;
	*ret = (struct daemon_worker){.pid = 5,
				      .lane = 3,
				      .state = "hung",
				      .job = "clear-region",
				      .since_ns = 1,
				      .wchan = "down_write",
				      .process_state = 'D'};
	return 1;
}

void daemon_set_monitor(struct daemon *daemon, const char *lease, const char *path)
{
	(void)daemon;
	(void)lease;
	(void)path;
}

const struct source_table *daemon_sources(struct daemon *daemon)
{
	static struct source_table table;

	(void)daemon;
	source_ok(&table, SOURCE_TRACE);
	source_record(&table, SOURCE_TRACE, 5, true, 7);
	source_can_here(&table, SOURCE_TRACE);
	source_cannot_here(&table, SOURCE_TRACE, "lost links");
	table.states[SOURCE_TRACE].waiting = 3;
	table.states[SOURCE_TRACE].room = 16;
	source_not(&table, SOURCE_QMP, SOURCE_MISSING, "no socket");
	return &table;
}

void daemon_each_health(struct daemon *daemon, daemon_health_t each, void *userdata)
{
	struct health_verdict verdict = {.state = HEALTH_OK};

	(void)daemon;
	each(userdata, HEALTH_HOST, "", &verdict);
	health_add(&verdict, HEALTH_FAILING, "not there");
	each(userdata, HEALTH_MEMDEV, "0x10", &verdict);
}

static struct iso_rules *fake_rules;

const struct iso_rules *daemon_rules(struct daemon *daemon)
{
	(void)daemon;
	if (!fake_rules)
		fake_rules = iso_rules_init(aligned_alloc(64, iso_rules_bytes()));
	return fake_rules;
}

const char *daemon_policy_problem(struct daemon *daemon)
{
	(void)daemon;
	return "";
}

int daemon_reload_policy(struct daemon *daemon,
			 void (*done)(void *userdata, int result, uint32_t n, const char *messages),
			 void *userdata)
{
	(void)daemon;
	done(userdata, daemon->refuses_rules ? -EINVAL : 0, 3, "a.conf:2: Action=fly: no");
	return 0;
}

bool daemon_may_inject(struct daemon *daemon)
{
	return daemon->may_inject;
}

bool daemon_may_decide(struct daemon *daemon, const struct inject *inject)
{
	(void)daemon;
	return inject->has_fault;
}

/* As if each record killed the VM "web". */
int daemon_try(struct daemon *daemon, const struct inject *inject, struct inject_outcome *ret)
{
	(void)daemon;
	*ret = (struct inject_outcome){0};
	if (inject->has_fault) {
		ret->lines[ret->n_lines++] = strdup("kill: web: process 5 is killed");
		ret->victims = calloc(1, sizeof(*ret->victims));
		strcpy(ret->victims[ret->n_victims++], "web");
	}
	return 0;
}

void inject_outcome_clear(struct inject_outcome *outcome)
{
	for (uint32_t i = 0; i < outcome->n_lines; i++)
		free(outcome->lines[i]);
	free(outcome->victims);
}

/* What an injected record does to the world of the next setup(); may be NULL. */
static void (*serve_inject)(struct daemon *daemon, const struct inject *inject);

void daemon_inject(struct daemon *daemon, const struct inject *inject)
{
	daemon->injected = inject->event.synthetic;
	if (serve_inject)
		serve_inject(daemon, inject);
}

static void tell(struct daemon *daemon)
{
	struct pending **at = &daemon->pending;

	while (*at) {
		struct pending *pending = *at;
		const struct world *world = daemon->world;
		uint32_t reply = world->replies[pending->request];
		struct iso_effect effect = {.kind = ISO_EFFECT_REPLY,
					    .request = pending->request,
					    .reply = reply - 1,
					    .text = world->said_to == pending->request ? world->said
										       : ""};
		bool last = reply && reply - 1 != ISO_REPLY_WAITING;

		if (!reply || reply == pending->last) {
			at = &pending->next;
			continue;
		}
		pending->last = reply;
		if (last)
			*at = pending->next;
		pending->reply(pending->userdata, &effect, last);
		if (last)
			free(pending);
		/* The callback may have asked again. */
		at = &daemon->pending;
	}
}

static int add_pending(struct daemon *daemon, uint64_t request, daemon_reply_t reply,
		       void *userdata)
{
	struct pending *pending = calloc(1, sizeof(*pending));

	*pending = (struct pending){
		.next = daemon->pending, .request = request, .reply = reply, .userdata = userdata};
	daemon->pending = pending;
	return 0;
}

int daemon_request(struct daemon *daemon, struct iso_event *event, daemon_reply_t reply,
		   void *userdata, uint64_t *ret_request)
{
	uint64_t request = ++daemon->world->request;

	switch (event->kind) {
	case ISO_EVENT_ACQUIRE:
		event->acquire.request = request;
		break;
	case ISO_EVENT_ATTACH:
		event->attach.request = request;
		break;
	case ISO_EVENT_REGION_DEFINE:
		event->define.request = request;
		break;
	case ISO_EVENT_ISOLATE:
	case ISO_EVENT_RECOVER:
		event->port.request = request;
		break;
	case ISO_EVENT_ADOPT:
		event->adopt.request = request;
		break;
	case ISO_EVENT_ARM:
		event->arm.request = request;
		break;
	case ISO_EVENT_RECONCILE:
		event->reconcile.request = request;
		break;
	default:
		event->named.request = request;
		break;
	}
	if (ret_request)
		*ret_request = request;
	world_step(daemon->world, event);
	add_pending(daemon, request, reply, userdata);
	tell(daemon);
	return 0;
}

int daemon_adopt_process(struct daemon *daemon, const struct iso_adopt *adopt, int pidfd,
			 daemon_reply_t reply, void *userdata)
{
	struct iso_event event = {.kind = ISO_EVENT_ADOPT, .adopt = *adopt};

	close(pidfd);
	return daemon_request(daemon, &event, reply, userdata, NULL);
}

int daemon_attach_process(struct daemon *daemon, const char *lease, int pidfd, pid_t pid,
			  daemon_reply_t reply, void *userdata)
{
	struct iso_event event = {.kind = ISO_EVENT_ATTACH, .attach.pid = pid};

	close(pidfd);
	snprintf(event.attach.name, sizeof(event.attach.name), "%s", lease);
	return daemon_request(daemon, &event, reply, userdata, NULL);
}

void daemon_withdraw(struct daemon *daemon, const char *lease)
{
	struct iso_event event = {.kind = ISO_EVENT_WITHDRAW};

	snprintf(event.named.name, sizeof(event.named.name), "%s", lease);
	world_step(daemon->world, &event);
	tell(daemon);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;

	(void)usec;
	world_run(daemon->world, 100 * WORLD_MS);
	tell(daemon);
	sd_event_source_set_time_relative(source, 5000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void storm(struct daemon *daemon, int n)
{
	struct iso_effect note = {
		.kind = ISO_EFFECT_NOTE,
		.note = ISO_NOTE_REGION,
		.region = ISO_NONE,
		.lease = ISO_NONE,
		.port = ISO_NONE,
		.instance = ISO_NONE,
		.text = "a line of a timeline that is long enough to fill a buffer"};

	for (int i = 0; i < n; i++)
		control_note(daemon->control, &note);
}

/* The world's time stands still from here on: what is told then is of the storm alone. */
static int on_storm(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct daemon *daemon = userdata;

	(void)source;
	sd_event_source_set_enabled(daemon->timer, SD_EVENT_OFF);
	storm(userdata, info->ssi_signo == SIGUSR1 ? 5000 : 1);
	return 0;
}

static void tell_story(struct store *store)
{
	struct store_incident incident = {.id = 7,
					  .cause = ISO_CAUSE_SURPRISE_DOWN,
					  .unit = "hb0/00.0",
					  .record_ns = clock_boottime_ns(),
					  .n_killed = 1,
					  .open = true};
	struct store_note note = {.incident = 7,
				  .at_ns = incident.record_ns + 5,
				  .kind = ISO_NOTE_KILL,
				  .text = "SIGKILL to a",
				  .lease = "a",
				  .pid = 9};
	struct store_event event = {.source = "trace",
				    .kind = "aer_event",
				    .text = "fatal",
				    .raw = "raw",
				    .raw_bytes = 3};

	store_save_incident(store, &incident);
	store_save_note(store, &note);
	store_save_event(store, &event);
}

/* One bridge with two ports, a region on each. */
static struct world *plain_world(void)
{
	struct world *world = world_new();

	world_simple_bridge(world, 2, 0x10);
	world_define_one(world, "low", 0x10);
	world_define_one(world, "high", 0x11);
	world_settle(world, 60 * WORLD_SECOND);
	return world;
}

/* What the server of the next setup() lives in. */
static struct world *(*serve_world)(void) = plain_world;
static bool serve_may_inject, serve_refuses_rules;

/* What the server of the next setup() has besides; may be NULL. */
static void (*serve_more)(struct daemon *daemon);

static void on_durable(void *userdata, const struct store_event_row *row)
{
	struct daemon *daemon = userdata;

	if (daemon->control)
		control_record(daemon->control, row);
}

static void serve(const char *directory)
{
	struct daemon daemon = {.world = serve_world(),
				.may_inject = serve_may_inject,
				.refuses_rules = serve_refuses_rules};
	const struct store_record_handlers handlers = {.on_record = on_durable,
						       .userdata = &daemon};
	char path[128];

	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sd_event_new(&daemon.event);
	sd_event_add_signal(daemon.event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, NULL, NULL);
	sd_event_add_signal(daemon.event, NULL, SIGUSR1 | SD_EVENT_SIGNAL_PROCMASK, on_storm,
			    &daemon);
	sd_event_add_signal(daemon.event, NULL, SIGUSR2 | SD_EVENT_SIGNAL_PROCMASK, on_storm,
			    &daemon);
	sd_event_add_time_relative(daemon.event, &daemon.timer, CLOCK_MONOTONIC, 5000, 0, on_timer,
				   &daemon);
	snprintf(path, sizeof(path), "%s/state.db", directory);
	store_open(path, BOOT, &daemon.store, NULL);
	store_set_record_handlers(daemon.store, &handlers);
	store_start(daemon.store, daemon.event, 0, NULL, NULL, NULL);
	tell_story(daemon.store);
	if (serve_more)
		serve_more(&daemon);
	snprintf(path, sizeof(path), "%s/socket", directory);
	if (control_new(&daemon, daemon.event, path, 0, &daemon.control) < 0)
		_exit(9);
	control_set_host_may_panic(daemon.control, daemon.world->policy.host_may_panic);
	sd_event_loop(daemon.event);
	control_free(daemon.control);
	store_free(daemon.store);
	while (daemon.pending) {
		struct pending *pending = daemon.pending;
		struct iso_effect effect = {.reply = ISO_REPLY_WITHDRAWN};

		daemon.pending = pending->next;
		pending->reply(pending->userdata, &effect, true);
		free(pending);
	}
	sd_event_source_unref(daemon.timer);
	sd_event_unref(daemon.event);
	free(daemon.world->memory);
	free(daemon.world->trace);
	_exit(0);
}

/* ---- what a test does with it ---- */

struct fixture {
	char directory[64];
	char socket[96];
	pid_t server;
};

/* The socket is there a moment before anybody listens. */
static bool takes_connections(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	cr_assert_geq(fd, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	r = connect(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	return r == 0;
}

static void setup(struct fixture *f)
{
	snprintf(f->directory, sizeof(f->directory), "%s/test-control-XXXXXX",
		 access("/run/tmp", W_OK) == 0 ? "/run/tmp" : "/tmp");
	cr_assert(mkdtemp(f->directory));
	cr_assert_eq(chmod(f->directory, 0755), 0);
	snprintf(f->socket, sizeof(f->socket), "%s/socket", f->directory);
	f->server = fork();
	cr_assert_geq(f->server, 0);
	if (f->server == 0)
		serve(f->directory);
	for (int i = 0; i < 500 && !takes_connections(f->socket); i++)
		usleep(10000);
}

static void teardown(struct fixture *f)
{
	char command[128];
	int status;

	kill(f->server, SIGTERM);
	cr_assert_eq(waitpid(f->server, &status, 0), f->server);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "server ended with %d", status);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->directory);
	cr_assert_eq(system(command), 0);
}

#endif
