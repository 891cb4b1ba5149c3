/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store gives back what it was given, over a restart; answers come in
 * order; nothing is lost on a disk that fails for a while; what it cannot use
 * is refused or put aside in words.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "clock.h"
#include "store.h"

#define BOOT	   "0123456789abcdef0123456789abcdef"
#define OTHER_BOOT "ffffffffffffffffffffffffffffffff"

struct fixture {
	char directory[64];
	char path[96];
	sd_event *event;
	struct store *store;
	uint64_t tokens[64];
	int results[64];
	size_t n_done;
};

static void on_done(void *userdata, uint64_t token, int result)
{
	struct fixture *f = userdata;

	cr_assert_lt(f->n_done, 64);
	f->tokens[f->n_done] = token;
	f->results[f->n_done++] = result;
}

static void open_store(struct fixture *f, const char *boot_id)
{
	char *message = NULL;
	int r = store_open(f->path, boot_id, &f->store, &message);

	cr_assert_eq(r, 0, "%s", message ? message : "store_open()");
	free(message);
}

static void start_store(struct fixture *f)
{
	cr_assert_geq(store_start(f->store, f->event, 0, on_done, f), 0);
}

static void setup(struct fixture *f)
{
	*f = (struct fixture){0};
	snprintf(f->directory, sizeof(f->directory), "%s/test-store-XXXXXX",
		 access("/run/tmp", W_OK) == 0 ? "/run/tmp" : "/tmp");
	cr_assert(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/state.db", f->directory);
	cr_assert_geq(sd_event_new(&f->event), 0);
}

static void teardown(struct fixture *f)
{
	char command[128];

	store_free(f->store);
	sd_event_unref(f->event);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->directory);
	cr_assert_eq(system(command), 0);
}

static void wait_done(struct fixture *f, size_t n)
{
	for (int i = 0; i < 500 && f->n_done < n; i++)
		cr_assert_geq(sd_event_run(f->event, 20000), 0);
	cr_assert_eq(f->n_done, n, "%zu of %zu answers came", f->n_done, n);
}

static struct iso_restore_lease example_lease(void)
{
	struct iso_restore_lease lease = {
		.terms = {.name = "vm-a",
			  .uid = 107,
			  .gid = 108,
			  .n_parts = 2,
			  .align = 2 << 20,
			  .keep_ns = 5,
			  .expires_ns = 6,
			  .restart = true,
			  .wait = true},
		.sequence = 42,
		.state = ISO_LEASE_ATTACHED,
		.was_killed = true,
		.pid = 4711,
		.process_start = 815,
		.incident = 3,
		.n_parts = 2,
	};

	lease.terms.parts[0].bytes = 64 << 20;
	snprintf(lease.terms.parts[0].region, ISO_NAME_BYTES, "left");
	lease.terms.parts[1].bytes = 128 << 20;
	lease.parts[0] =
		(struct iso_restore_part){.region_kernel_id = 0, .kernel_id = 1, .bytes = 64 << 20};
	lease.parts[1] = (struct iso_restore_part){
		.region_kernel_id = 3, .kernel_id = 7, .bytes = 128 << 20};
	snprintf(lease.parts[0].region, ISO_NAME_BYTES, "left");
	snprintf(lease.parts[1].region, ISO_NAME_BYTES, "right");
	return lease;
}

static struct iso_restore_region example_region(void)
{
	struct iso_restore_region region = {
		.definition = {.name = "left",
			       .ways = 2,
			       .granularity = 8192,
			       .bytes = UINT64_C(1) << 30},
		.kernel_id = 5,
		.last_hpa = {UINT64_C(0x1090000000)},
		.has_hpa = true,
		.from_operator = true,
	};

	region.definition.serials[0] = UINT64_MAX;
	region.definition.serials[1] = 0x10;
	return region;
}

struct loaded {
	struct iso_restore_lease lease;
	struct iso_restore_region region;
	struct iso_restore_incident incident;
	struct store_intent intent;
	size_t n_leases, n_regions, n_incidents, n_intents;
	bool same_boot;
};

static int on_lease(void *userdata, const struct iso_restore_lease *lease, bool same_boot)
{
	struct loaded *loaded = userdata;

	loaded->lease = *lease;
	loaded->n_leases++;
	loaded->same_boot = same_boot;
	return 0;
}

static int on_region(void *userdata, const struct iso_restore_region *region, bool same_boot)
{
	struct loaded *loaded = userdata;

	loaded->region = *region;
	loaded->n_regions++;
	loaded->same_boot = same_boot;
	return 0;
}

static int on_incident(void *userdata, const struct iso_restore_incident *incident, bool same_boot)
{
	struct loaded *loaded = userdata;

	(void)same_boot;
	loaded->incident = *incident;
	loaded->n_incidents++;
	return 0;
}

static int on_intent(void *userdata, const struct store_intent *intent, bool same_boot)
{
	struct loaded *loaded = userdata;

	(void)same_boot;
	loaded->intent = *intent;
	loaded->n_intents++;
	return 0;
}

static void load(struct fixture *f, struct loaded *ret)
{
	*ret = (struct loaded){0};
	cr_assert_eq(store_load_leases(f->store, on_lease, ret), 0);
	cr_assert_eq(store_load_regions(f->store, on_region, ret), 0);
	cr_assert_eq(store_load_incidents(f->store, on_incident, ret), 0);
	cr_assert_eq(store_load_intents(f->store, on_intent, ret), 0);
}

Test(store, lease_comes_back_as_it_was)
{
	struct iso_restore_lease lease = example_lease();
	struct loaded loaded;
	struct fixture f;

	setup(&f);
	open_store(&f, BOOT);
	start_store(&f);
	cr_assert_eq(store_save_lease(f.store, &lease, 11), 0);
	wait_done(&f, 1);
	cr_assert_eq(f.tokens[0], 11);
	cr_assert_eq(f.results[0], 0);
	f.store = store_free(f.store);

	open_store(&f, BOOT);
	load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 1);
	cr_assert(loaded.same_boot);
	cr_assert_eq(memcmp(&loaded.lease, &lease, sizeof(lease)), 0);
	teardown(&f);
}

Test(store, another_boot_knows_no_process_and_no_instance)
{
	struct iso_restore_lease lease = example_lease();
	struct iso_restore_region region = example_region();
	struct loaded loaded;
	struct fixture f;

	setup(&f);
	open_store(&f, BOOT);
	start_store(&f);
	cr_assert_eq(store_save_lease(f.store, &lease, 0), 0);
	cr_assert_eq(store_save_region(f.store, &region, 1), 0);
	wait_done(&f, 1);
	f.store = store_free(f.store);

	open_store(&f, OTHER_BOOT);
	load(&f, &loaded);
	cr_assert_not(loaded.same_boot);
	cr_assert_eq(loaded.lease.pid, 0);
	cr_assert_eq(loaded.lease.n_parts, 0);
	cr_assert_eq(loaded.lease.terms.n_parts, 2);
	cr_assert_eq(loaded.region.kernel_id, ISO_NONE);
	cr_assert_eq(loaded.region.definition.serials[0], UINT64_MAX);
	cr_assert_eq(loaded.region.definition.serials[1], 0x10);
	cr_assert_eq(loaded.region.last_hpa.v, UINT64_C(0x1090000000));
	cr_assert(loaded.region.from_operator);
	teardown(&f);
}

Test(store, fewer_parts_leave_none_behind_and_an_end_removes_all)
{
	struct iso_restore_lease lease = example_lease();
	struct loaded loaded;
	struct fixture f;

	setup(&f);
	open_store(&f, BOOT);
	start_store(&f);
	store_save_lease(f.store, &lease, 0);
	lease.n_parts = 0;
	lease.terms.n_parts = 1;
	lease.state = ISO_LEASE_WAITING;
	store_save_lease(f.store, &lease, 1);
	wait_done(&f, 1);
	f.store = store_free(f.store);

	open_store(&f, BOOT);
	load(&f, &loaded);
	cr_assert_eq(loaded.lease.n_parts, 0);
	cr_assert_eq(loaded.lease.terms.n_parts, 1);
	cr_assert_eq(loaded.lease.state, ISO_LEASE_WAITING);
	start_store(&f);
	store_end_lease(f.store, "vm-a", 2);
	wait_done(&f, 2);
	f.store = store_free(f.store);

	open_store(&f, BOOT);
	load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 0);
	teardown(&f);
}

Test(store, interrupted_creation_is_seen_until_a_later_intent_settles_it)
{
	struct iso_restore_region region = example_region();
	struct store_intent intent = {
		.operation = 9, .kind = ISO_EFFECT_CREATE_REGION, .object = "left", .epoch = 2};
	struct loaded loaded;
	struct fixture f;

	setup(&f);
	open_store(&f, BOOT);
	start_store(&f);
	store_save_region(f.store, &region, 0);
	store_intent(f.store, &intent, 1);
	wait_done(&f, 1);
	f.store = store_free(f.store);

	open_store(&f, BOOT);
	load(&f, &loaded);
	cr_assert(loaded.region.creation_interrupted);
	cr_assert_eq(loaded.n_intents, 1);
	cr_assert_eq(loaded.intent.operation, 9);
	cr_assert_eq(loaded.intent.epoch, 2);
	/* The next run uses the same operation number: it is another operation. */
	start_store(&f);
	store_intent(f.store, &intent, 2);
	store_intent_done(f.store, 9, 0);
	f.store = store_free(f.store);

	open_store(&f, BOOT);
	load(&f, &loaded);
	cr_assert_not(loaded.region.creation_interrupted);
	cr_assert_eq(loaded.n_intents, 0);
	teardown(&f);
}

struct answer {
	bool came;
	int result;
	size_t n_incidents, n_timeline, n_victims, n_events;
	struct store_incident_row incident;
	struct store_note_row first_note;
	struct store_victim_row victim;
	struct store_event_row event;
	uint64_t first_event, last_event;
	char raw[8];
};

static void on_answer(void *userdata, int result, const struct store_result *rows)
{
	struct answer *answer = userdata;

	*answer = (struct answer){.came = true,
				  .result = result,
				  .n_incidents = rows->n_incidents,
				  .n_timeline = rows->n_timeline,
				  .n_victims = rows->n_victims,
				  .n_events = rows->n_events};
	if (rows->n_incidents)
		answer->incident = rows->incidents[0];
	if (rows->n_timeline)
		answer->first_note = rows->timeline[0];
	if (rows->n_victims)
		answer->victim = rows->victims[0];
	if (rows->n_events) {
		answer->event = rows->events[0];
		answer->first_event = rows->events[0].id;
		answer->last_event = rows->events[rows->n_events - 1].id;
		if (answer->event.event.raw_bytes <= sizeof(answer->raw))
			memcpy(answer->raw, answer->event.event.raw, answer->event.event.raw_bytes);
	}
}

static void wait_answer(struct fixture *f, struct answer *answer)
{
	for (int i = 0; i < 500 && !answer->came; i++)
		cr_assert_geq(sd_event_run(f->event, 20000), 0);
	cr_assert(answer->came);
	cr_assert_eq(answer->result, 0);
}

static void save_story(struct fixture *f, uint64_t id)
{
	struct store_incident incident = {.id = id,
					  .cause = ISO_CAUSE_LINK_DOWN,
					  .unit = "hb12/00.0",
					  .domain = "hb12/00.0",
					  .record_ns = clock_boottime_ns(),
					  .open = true};
	struct store_note note = {.incident = id,
				  .at_ns = 100,
				  .kind = ISO_NOTE_FAULT,
				  .text = "link down",
				  .port = "hb12/00.0"};

	store_save_incident(f->store, &incident);
	store_save_note(f->store, &note);
	note = (struct store_note){.incident = id,
				   .at_ns = 110,
				   .kind = ISO_NOTE_KILL,
				   .text = "SIGKILL",
				   .lease = "vm-a",
				   .pid = 77};
	store_save_note(f->store, &note);
	note.kind = ISO_NOTE_EXIT;
	note.at_ns = 150;
	note.pid = 0;
	store_save_note(f->store, &note);
	incident.open = false;
	incident.n_killed = 1;
	incident.contained_ns = 160;
	store_save_incident(f->store, &incident);
}

/* Proves that a daemon that died in the middle of an incident goes on with all it knew of it. */
Test(store, open_incident_comes_back_whole)
{
	struct store_incident incident = {.id = 7,
					  .cause = ISO_CAUSE_SURPRISE_DOWN,
					  .unit = "hb1/00.0",
					  .record_ns = 100,
					  .detected_ns = 110,
					  .n_killed = 3,
					  .n_exited = 2,
					  .n_records = 5,
					  .capacity_before_bytes = 1 << 30,
					  .open = true};
	struct loaded loaded;
	struct fixture f;

	setup(&f);
	open_store(&f, BOOT);
	start_store(&f);
	cr_assert_eq(store_save_incident(f.store, &incident), 0);
	f.store = store_free(f.store);

	open_store(&f, BOOT);
	load(&f, &loaded);
	cr_assert_eq(loaded.n_incidents, 1);
	cr_assert(loaded.incident.open);
	cr_assert_eq(loaded.incident.id, 7);
	cr_assert_eq(loaded.incident.record_ns, 100);
	cr_assert_eq(loaded.incident.detected_ns, 110);
	cr_assert_eq(loaded.incident.n_killed, 3);
	cr_assert_eq(loaded.incident.n_exited, 2);
	cr_assert_eq(loaded.incident.n_records, 5);
	cr_assert_eq(loaded.incident.capacity_before_bytes, 1 << 30);
	cr_assert_str_eq(loaded.incident.unit, "hb1/00.0");
	teardown(&f);
}

Test(store, incident_with_timeline_and_victims)
{
	struct answer answer = {0};
	struct loaded loaded;
	uint64_t last = 0;
	struct fixture f;

	setup(&f);
	open_store(&f, BOOT);
	start_store(&f);
	save_story(&f, 1);
	save_story(&f, 2);
	cr_assert_eq(store_query_incidents(f.store, 2, 10, on_answer, &answer), 0);
	wait_answer(&f, &answer);
	cr_assert_eq(answer.n_incidents, 1);
	cr_assert_eq(answer.incident.incident.id, 2);
	cr_assert_eq(answer.incident.incident.cause, ISO_CAUSE_LINK_DOWN);
	cr_assert_str_eq(answer.incident.boot_id, BOOT);
	cr_assert_not(answer.incident.incident.open);
	cr_assert_eq(answer.incident.incident.contained_ns, 160);
	cr_assert_eq(answer.n_timeline, 3);
	cr_assert_str_eq(answer.first_note.note.text, "link down");
	cr_assert_eq(answer.n_victims, 1);
	cr_assert_str_eq(answer.victim.lease, "vm-a");
	cr_assert_eq(answer.victim.pid, 77);
	cr_assert_eq(answer.victim.killed_ns, 110);
	cr_assert_eq(answer.victim.exited_ns, 150);

	answer.came = false;
	cr_assert_eq(store_query_incidents(f.store, 0, 1, on_answer, &answer), 0);
	wait_answer(&f, &answer);
	cr_assert_eq(answer.n_incidents, 1);
	cr_assert_eq(answer.incident.incident.id, 2);
	cr_assert_eq(answer.n_timeline, 0);
	cr_assert_eq(answer.n_victims, 1, "only of the incidents that are listed");

	answer.came = false;
	cr_assert_eq(store_query_incidents(f.store, 99, 1, on_answer, &answer), 0);
	wait_answer(&f, &answer);
	cr_assert_eq(answer.n_incidents, 0);
	f.store = store_free(f.store);

	open_store(&f, BOOT);
	load(&f, &loaded);
	cr_assert_eq(loaded.n_incidents, 0, "closed ones are not restored");
	cr_assert_eq(store_load_last_incident(f.store, &last), 0);
	cr_assert_eq(last, 2);
	teardown(&f);
}

Test(store, events_newest_and_since)
{
	struct store_event event = {.source = "trace",
				    .kind = "aer_event",
				    .unit = "0000:0c:00.0",
				    .text = "fatal",
				    .cpu = 3,
				    .has_cpu = true,
				    .raw = "\0raw",
				    .raw_bytes = 4};
	struct answer answer = {0};
	struct fixture f;

	setup(&f);
	open_store(&f, BOOT);
	start_store(&f);
	for (int i = 0; i < 10; i++) {
		event.at_ns = (uint64_t)i;
		cr_assert_eq(store_save_event(f.store, &event), 0);
	}
	store_query_events(f.store, 0, 3, on_answer, &answer);
	wait_answer(&f, &answer);
	cr_assert_eq(answer.n_events, 3);
	cr_assert_eq(answer.first_event, 8);
	cr_assert_eq(answer.last_event, 10);
	cr_assert_eq(answer.event.event.cpu, 3);
	cr_assert_eq(answer.event.event.raw_bytes, 4);
	cr_assert_eq(memcmp(answer.raw, "\0raw", 4), 0);

	answer.came = false;
	store_query_events(f.store, 4, 100, on_answer, &answer);
	wait_answer(&f, &answer);
	cr_assert_eq(answer.n_events, 6);
	cr_assert_eq(answer.first_event, 5);
	teardown(&f);
}

Test(store, a_storm_beyond_the_queue_is_counted)
{
	struct store_event event = {.source = "trace", .kind = "cxl_poison", .text = "x"};
	struct iso_restore_lease lease = example_lease();
	struct store_counters counters;
	uint64_t refused = 0;
	char problem[ISO_TEXT_BYTES];
	struct fixture f;

	setup(&f);
	open_store(&f, BOOT);
	start_store(&f);
	for (int i = 0; i < 3 * STORE_QUEUE_MAX; i++)
		refused += store_save_event(f.store, &event) == -ENOBUFS;
	cr_assert_eq(store_save_lease(f.store, &lease, 5), 0,
		     "there is room left for what matters");
	wait_done(&f, 1);
	cr_assert_eq(f.results[0], 0);
	store_count(f.store, &counters);
	cr_assert_eq(counters.refused, refused);
	cr_assert_eq(counters.failed, 0);
	cr_assert_eq(counters.committed, 3 * STORE_QUEUE_MAX + 1 - refused);
	store_problem(f.store, problem, sizeof(problem));
	cr_assert_eq(problem[0] != '\0', refused != 0);
	teardown(&f);
}

Test(store, a_locked_database_fails_what_waits_and_keeps_the_rest)
{
	struct iso_restore_lease lease = example_lease();
	struct store_note note = {.incident = 1, .kind = ISO_NOTE_FAULT, .text = "kept"};
	char problem[ISO_TEXT_BYTES];
	struct answer answer = {0};
	sqlite3 *other;
	struct fixture f;

	setup(&f);
	open_store(&f, BOOT);
	start_store(&f);
	cr_assert_eq(sqlite3_open(f.path, &other), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	store_save_note(f.store, &note);
	store_save_lease(f.store, &lease, 7);
	wait_done(&f, 1);
	cr_assert_eq(f.results[0], -EBUSY);
	store_problem(f.store, problem, sizeof(problem));
	cr_assert(strstr(problem, "cannot be written"), "'%s'", problem);

	cr_assert_eq(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	store_save_lease(f.store, &lease, 8);
	wait_done(&f, 2);
	cr_assert_eq(f.results[1], 0);
	store_query_incidents(f.store, 1, 1, on_answer, &answer);
	wait_answer(&f, &answer);
	cr_assert_eq(answer.n_timeline, 1, "the note came in when the disk was back");
	teardown(&f);
}

Test(store, a_damaged_file_is_put_aside)
{
	char problem[ISO_TEXT_BYTES];
	struct loaded loaded;
	struct fixture f;
	FILE *file;

	setup(&f);
	file = fopen(f.path, "w");
	for (int i = 0; i < 5000; i++)
		fputs("this is not a database ", file);
	fclose(file);
	open_store(&f, BOOT);
	store_problem(f.store, problem, sizeof(problem));
	cr_assert(strstr(problem, "put aside"), "'%s'", problem);
	load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 0);
	teardown(&f);
}

static void refuse(const char *sql, int expected)
{
	char *message = NULL;
	struct fixture f;
	sqlite3 *db;

	setup(&f);
	cr_assert_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	cr_assert_eq(store_open(f.path, BOOT, &f.store, &message), expected);
	cr_assert(message && strstr(message, f.path));
	free(message);
	teardown(&f);
}

Test(store, newer_and_foreign_databases_are_left_alone)
{
	refuse("PRAGMA application_id=1684109421; PRAGMA user_version=1000; CREATE TABLE x(y);",
	       -EPROTONOSUPPORT);
	refuse("PRAGMA application_id=5; CREATE TABLE x(y);", -EMEDIUMTYPE);
	refuse("CREATE TABLE x(y);", -EMEDIUMTYPE);
}

Test(store, only_root_reads_the_file)
{
	struct fixture f;
	struct stat st;

	setup(&f);
	open_store(&f, BOOT);
	cr_assert_eq(stat(f.path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	teardown(&f);
}
