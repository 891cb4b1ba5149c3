/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A drill takes back what it has done, all of it and nothing else, however it ends. */
#include "ctl_run.h"

#include "control_client.h"

/* The record of kind cxl_NAME has NAME done to the world, as a rule, a source or an operator would. */
#define RECORD(name, more) "{\"source\":\"trace\",\"kind\":\"cxl_" name "\"" more "}"

static int make_ready(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;

	(void)source;
	(void)usec;
	daemon->not_ready = false;
	return 0;
}

static void tell_poison(struct daemon *daemon, const struct inject *inject)
{
	struct iso_event event = {.kind = ISO_EVENT_POISON};

	event.poison = (struct iso_poison){
		.has_serial = inject->event.has_serial,
		.serial = inject->event.serial,
		.has_dpa = inject->event.has_dpa,
		.dpa = {inject->event.dpa},
		.has_hpa = inject->event.has_hpa,
		.hpa = {inject->event.hpa},
		.bytes = inject->event.bytes,
		.cleared = strstr(inject->fields ? inject->fields : "", "trace_type"),
		.synthetic = true,
		.record_ns = daemon->world->now_ns,
	};
	if (event.poison.has_hpa && !event.poison.cleared) /* from the start of a region */
		event.poison.hpa.v += world_region(daemon->world, "low").range.start.v;
	event.poison.evidence = event.poison.cleared ? ISO_POISON_CLEAR : ISO_POISON_MACHINE_CHECK;
	world_step(daemon->world, &event);
}

static void act(struct daemon *daemon, const struct inject *inject)
{
	const char *kind = inject->event.kind;
	struct world *w = daemon->world;

	if (!strcmp(kind, "cxl_fence"))
		world_policy(w, ISO_ACTION_FENCE, NULL, ISO_NONE, 1);
	else if (!strcmp(kind, "cxl_retire"))
		world_policy(w, ISO_ACTION_RETIRE, NULL, 1, ISO_NONE);
	else if (!strcmp(kind, "cxl_isolate"))
		world_policy(w, ISO_ACTION_ISOLATE, NULL, ISO_NONE, 1);
	else if (!strcmp(kind, "cxl_poison"))
		tell_poison(daemon, inject);
	if (!strcmp(kind, "cxl_starting")) {
		world_policy(w, ISO_ACTION_ISOLATE, NULL, ISO_NONE, 1);
		daemon->not_ready = true;
		sd_event_add_time_relative(daemon->event, NULL, CLOCK_MONOTONIC, 1500000, 0,
					   make_ready, daemon);
	}
}

/* The server's story has an open incident: a drill begins at rest. */
static void be_at_rest(struct daemon *daemon)
{
	struct store_incident incident = {.id = 7, .cause = ISO_CAUSE_SURPRISE_DOWN};

	store_save_incident(daemon->store, &incident);
}

static void set_up(void)
{
	serve_more = be_at_rest;
	serve_may_inject = true;
	serve_inject = act;
}

TestSuite(drill, .init = set_up);

/* Ends with exactly this status; what is expected follows the step that injects. */
static void drill(struct fixture *f, struct run *run, int status, const char *record,
		  const char *rest, const char *part)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/a.drill", f->directory);
	file = fopen(path, "w");
	cr_assert(file);
	fprintf(file, "[Drill]\nName=a drill\n[Step do]\nInject=%s\n%s", record, rest);
	fclose(file);
	RUN(f, run, "drill", "--live", path);
	expect(run, status, part);
}

/* How a port or a fence is shown; what is not there has "". */
static void shows(struct fixture *f, const char *list, const char *key, const char *name,
		  const char *member, const char *value)
{
	_cleanup_(sd_json_variant_unrefp)
		sd_json_variant *reply = expect_reply(f, CLIENT_METHOD("GetTopology"), "{}");
	sd_json_variant *item;
	const char *found = "";

	FORMAT_EACH(item, format_list(reply, list))
	{
		if (!strcmp(format_text(item, key), name))
			found = format_flag(item, member) ? "yes" : format_text(item, member);
	}
	cr_assert_str_eq(found, value, "%s %s %s", list, name, member);
}

static void no_bad_memory(struct fixture *f, size_t n)
{
	_cleanup_(sd_json_variant_unrefp)
		sd_json_variant *reply = expect_reply(f, CLIENT_METHOD("ListPoison"), "{}");

	cr_assert_eq(sd_json_variant_elements(get(reply, "ranges")), n);
}

/* ---- what it has done ---- */

/* Proves: what its rules have fenced, retired and isolated is given back. */
Test(drill, takes_back)
{
	struct fixture f;
	struct run run;

	setup(&f);
	drill(&f, &run, CLIENT_OK, RECORD("fence", ""), "", "recovered afterwards: hb0/01.0\n");
	shows(&f, "ports", "path", "hb0/01.0", "state", "healthy");
	drill(&f, &run, CLIENT_OK, RECORD("retire", ""), "",
	      "recovered afterwards: hb0/01.0/00.0\n");
	drill(&f, &run, CLIENT_OK, RECORD("isolate", ""), "", "recovered afterwards: hb0/01.0\n");
	shows(&f, "ports", "path", "hb0/01.0", "held", "");
	teardown(&f);
}

/* A region over two bridges is one domain, which has the name of the first port. */
static struct world *wide_world(void)
{
	struct world *w = world_new();
	uint32_t bridges[] = {world_bridge(w), world_bridge(w)}, i;

	world_window(w, 4, 2, bridges);
	for (i = 0; i < 2; i++)
		world_memdev(w, world_port(w, ISO_PORT_ROOT, bridges[i], ISO_NONE), 0x10 + i);
	world_define(w, "wide", 2, (uint64_t[]){0x10, 0x11});
	world_settle(w, 60 * WORLD_SECOND);
	return w;
}

/* Proves: a port that does not name its domain is given back, by its own name. */
Test(drill, port_beside_its_domain)
{
	struct fixture f;
	struct run run;

	serve_world = wide_world;
	setup(&f);
	shows(&f, "ports", "path", "hb1/00.0", "domain", "hb0/00.0");
	drill(&f, &run, CLIENT_OK, RECORD("isolate", ""), "", "recovered afterwards: hb1/00.0\n");
	shows(&f, "ports", "path", "hb1/00.0", "held", "");
	shows(&f, "ports", "path", "hb1/00.0", "state", "healthy");
	teardown(&f);
}

/* Proves: bad memory is good again whatever record told of it, by device or host address. */
Test(drill, bad_memory)
{
	struct fixture f;
	struct run run;

	setup(&f);
	drill(&f, &run, CLIENT_OK, RECORD("poison", ",\"serial\":16,\"dpa\":8192"), "", "passed");
	no_bad_memory(&f, 0);
	drill(&f, &run, CLIENT_OK, RECORD("poison", ",\"hpa\":4096,\"bytes\":4096"), "", "passed");
	no_bad_memory(&f, 0);
	teardown(&f);
}

static struct world *listing_world(void)
{
	struct world *w = plain_world();

	w->policy.reads_poison = true;
	world_restart(w);
	world_run(w, WORLD_SECOND);
	return w;
}

/* Proves: a memdev that takes nobody more since memory of it is bad, nobody knows where, has its list read. */
Test(drill, memdev_closed)
{
	struct fixture f;
	struct run run;

	serve_world = listing_world;
	setup(&f);
	drill(&f, &run, CLIENT_OK, RECORD("poison", ",\"serial\":16"), "", "passed");
	shows(&f, "memdevs", "path", "hb0/00.0/00.0", "closed", "");
	teardown(&f);
}

/* ---- what it has not done ---- */

static void take_out(struct daemon *daemon)
{
	struct iso_event event = {.kind = ISO_EVENT_POISON};

	be_at_rest(daemon);
	world_policy(daemon->world, ISO_ACTION_FENCE, NULL, ISO_NONE, 0);
	world_policy(daemon->world, ISO_ACTION_RETIRE, NULL, 0, ISO_NONE);
	event.poison = (struct iso_poison){
		.has_serial = true,
		.serial = 0x10,
		.has_dpa = true,
		.evidence = ISO_POISON_MEDIA,
		.synthetic = true,
		.record_ns = daemon->world->now_ns,
	};
	world_step(daemon->world, &event);
}

/* Proves: what was fenced, retired and bad before stays so, and the drill beside it passes. */
Test(drill, leaves_the_rest)
{
	struct fixture f;
	struct run run;

	serve_more = take_out;
	setup(&f);
	shows(&f, "fences", "unit", "hb0/00.0", "kind", "fence");
	drill(&f, &run, CLIENT_OK, RECORD("isolate", ""), "", "recovered afterwards: hb0/01.0\n");
	drill(&f, &run, CLIENT_OK, RECORD("poison", ",\"serial\":17,\"dpa\":8192"), "", "passed");
	shows(&f, "fences", "unit", "hb0/00.0", "kind", "fence");
	shows(&f, "fences", "unit", "hb0/00.0/00.0", "kind", "retire");
	shows(&f, "ports", "path", "hb0/00.0", "state", "waiting");
	no_bad_memory(&f, 1);
	teardown(&f);
}

static void fence_it(struct daemon *daemon)
{
	be_at_rest(daemon);
	world_policy(daemon->world, ISO_ACTION_FENCE, NULL, ISO_NONE, 1);
}

/* Proves: where giving back would end a fence from before nothing is given back, and that is said. */
Test(drill, does_not_lift_a_fence_beside)
{
	struct fixture f;
	struct run run;

	serve_more = fence_it;
	setup(&f);
	drill(&f, &run, CLIENT_FAILURE, RECORD("isolate", ""), "", "not in use before the drill");
	shows(&f, "ports", "path", "hb0/01.0", "held", "yes");
	shows(&f, "fences", "unit", "hb0/01.0", "kind", "fence");
	teardown(&f);
}

/* ---- however it ends ---- */

/* After so many milliseconds. Return: who does it. */
static pid_t send_later(pid_t to, int number, unsigned int ms)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	usleep(ms * 1000);
	kill(to, number);
	_exit(0);
}

static void interrupted(int number, const char *rest)
{
	struct fixture f;
	struct run run;
	pid_t sender;

	setup(&f);
	sender = send_later(getpid(), number, 1000);
	drill(&f, &run, CLIENT_FAILURE, RECORD("isolate", ""), rest, "interrupted: cleaning up");
	expect(&run, CLIENT_FAILURE, "recovered afterwards: hb0/01.0\na drill: failed");
	shows(&f, "ports", "path", "hb0/01.0", "held", "");
	cr_assert_eq(waitpid(sender, NULL, 0), sender);
	teardown(&f);
}

/* Proves: who is interrupted cleans up first, whatever the step waits for, and then signals are as before. */
Test(drill, interrupted)
{
	struct sigaction now;

	interrupted(SIGINT, "Wait=50s\n");
	interrupted(SIGTERM, "Wait=vm nobody attached\n");
	sigaction(SIGINT, NULL, &now);
	cr_assert_eq(now.sa_handler, SIG_DFL);
}

/* Proves: a daemon that is starting is asked again. */
Test(drill, daemon_restarts)
{
	struct fixture f;
	struct run run;

	setup(&f);
	drill(&f, &run, CLIENT_OK, RECORD("starting", ""), "", "recovered afterwards: hb0/01.0\n");
	cr_assert_str_empty(run.err);
	shows(&f, "ports", "path", "hb0/01.0", "held", "");
	teardown(&f);
}

/* ---- rules ---- */

static void count_it(struct daemon *daemon, const struct inject *inject)
{
	struct iso_record record = {.source = inject->event.source,
				    .kind = inject->event.kind,
				    .unit = "hb0/01.0",
				    .name = "mem1",
				    .domain = "hb0/01.0",
				    .severity = ISO_SEVERITY_WARNING};
	struct iso_firing firing;

	record.at_ns = (int64_t)clock_boottime_ns();
	iso_rules_record((struct iso_rules *)daemon_rules(daemon), &record, record.at_ns, &firing,
			 1);
}

static void load_rules(struct daemon *daemon)
{
	struct iso_rule set[] = {{.name = "many", .kind = "cxl_dram"}, {.name = "one"}};

	be_at_rest(daemon);
	for (size_t i = 0; i < 2; i++) {
		set[i].threshold = i ? 1000 : 100;
		set[i].window_ns = set[i].hold_off_ns = 60 * WORLD_SECOND;
		set[i].n_stages = 1;
	}
	iso_rules_load((struct iso_rules *)daemon_rules(daemon), set, 2);
}

/* Proves: a record is injected as often as is said, and rules can be expected that only tell. */
Test(drill, count_and_fired)
{
	struct fixture f;
	struct run run;

	serve_inject = count_it;
	serve_more = load_rules;
	setup(&f);
	drill(&f, &run, CLIENT_FAILURE, RECORD("dram", ""), "Count=99\n[Expect]\nFired=many\n",
	      "FAIL fired: expected many, found \n");
	drill(&f, &run, CLIENT_OK, RECORD("dram", ""), "[Expect]\nFired=many\n",
	      "ok   fired: expected many, found many\n");
	drill(&f, &run, CLIENT_OK, RECORD("dram", ""), "[Expect]\nFired=\n",
	      "ok   fired: expected , found \n");
	drill(&f, &run, CLIENT_USAGE, RECORD("dram", ""), "Count=0\n", "a number from 1 to 4096");
	drill(&f, &run, CLIENT_USAGE, RECORD("dram", ""), "Count=4097\n",
	      "a number from 1 to 4096");
	teardown(&f);
}
