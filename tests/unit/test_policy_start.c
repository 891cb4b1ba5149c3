/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The unit that a rule starts, on a store as it is. Of the daemon there is only what policy asks of it: the engine
 * takes everything, and the pool of workers looks at what is on the disk when it is asked to start a unit.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "daemon.h"
#include "faulty_disk.h"
#include "store_fixture.h"
#include "world.h"

static struct store_fixture f;
static struct config config;
static struct daemon own;
static struct world *w;
static uint32_t n_started;
static struct job_request started;
static int64_t events_then, firings_then;

void daemon_step(struct daemon *of, struct iso_event *event)
{
	cr_assert_eq(of, &own);
	cr_assert_eq(event->kind, ISO_EVENT_POLICY);
}

int daemon_request(struct daemon *of, struct iso_event *event, daemon_reply_t reply, void *userdata,
		   uint64_t *ret_request)
{
	(void)of;
	(void)event;
	(void)reply;
	(void)userdata;
	(void)ret_request;
	return -ENOSYS;
}

/* Return: -1 when the disk cannot be read either. */
static int64_t count_rows(const char *table)
{
	sqlite3_stmt *statement = NULL;
	sqlite3 *db = NULL;
	char text[64];
	int64_t n = -1;

	snprintf(text, sizeof(text), "SELECT count(*) FROM %s", table);
	if (sqlite3_open_v2(f.path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(db, text, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		n = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return n;
}

int worker_pool_submit(struct worker_pool *pool, uint32_t lane, const struct job_request *request)
{
	(void)pool;
	cr_assert_geq(lane, LANE_UNITS);
	n_started++;
	started = *request;
	events_then = count_rows("events");
	firings_then = count_rows("firings");
	return 0;
}

static void set_up(void)
{
	char path[128];
	FILE *rule;

	faulty_disk_install();
	fixture_setup(&f);
	fixture_open(&f, BOOT);
	snprintf(config.policy_directory, sizeof(config.policy_directory), "%s", f.directory);
	snprintf(path, sizeof(path), "%s/alarm.conf", f.directory);
	rule = fopen(path, "w");
	cr_assert(rule);
	fputs("[Rule alarm]\nKind=cxl_dram\nAction=start-unit alarm.service\n", rule);
	fclose(rule);
	w = world_pair();
	own = (struct daemon){.event = f.event,
			      .config = &config,
			      .engine = w->engine,
			      .store = f.store,
			      .ready = true};
	cr_assert_eq(policy_new(&own, &own.policy), 0);
	cr_assert_eq(iso_rules_count(policy_rules(own.policy)), 1, "%s",
		     policy_problem(own.policy));
}

static void tear_down(void)
{
	policy_free(own.policy);
	fixture_teardown(&f);
	world_free(w);
}

TestSuite(policy_start, .init = set_up, .fini = tear_down);

/* As records_take() does. */
static void record(void)
{
	struct store_event event = {.source = "trace",
				    .kind = "cxl_dram",
				    .unit = "mem0",
				    .severity = STORE_ERROR,
				    .text = "bad",
				    .at_ns = clock_boottime_ns()};

	cr_assert_eq(store_save_event(f.store, &event), 0);
	policy_record(own.policy, &event);
}

static void turn(unsigned int rounds)
{
	while (rounds-- && !n_started)
		cr_assert_geq(sd_event_run(f.event, 10000), 0);
}

/* Proves: a unit is not started before the record that fired and that it fired are on the disk, and is once they are. */
Test(policy_start, waits_for_the_disk)
{
	record();
	turn(10);
	cr_assert_eq(n_started, 0, "nothing is written yet");
	cr_assert_eq(count_rows("events"), 0);
	fixture_start(&f);
	turn(500);
	cr_assert_eq(n_started, 1);
	cr_assert_eq(started.kind, JOB_START_UNIT);
	cr_assert_str_eq(started.unit, "alarm.service");
	cr_assert_eq(events_then, 1);
	cr_assert_eq(firings_then, 1);
}

/* Proves: a disk that cannot be written holds up no unit, as that may be there to tell of it. */
Test(policy_start, not_for_a_disk_that_fails)
{
	fixture_start(&f);
	faulty_disk_break(DISK_FAILS);
	record();
	turn(500);
	cr_assert_eq(n_started, 1);
	cr_assert_lt(firings_then, 1);
	faulty_disk_heal();
}

/* Proves: a daemon that ends before it was told that this is on the disk starts nothing. */
Test(policy_start, not_at_the_end)
{
	fixture_start(&f);
	record();
	own.policy = policy_free(own.policy);
	f.store = store_free(f.store);
	turn(10);
	cr_assert_eq(n_started, 0);
	cr_assert_eq(count_rows("firings"), 1, "what called for it is kept");
}
