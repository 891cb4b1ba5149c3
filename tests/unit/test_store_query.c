/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the store answers about incidents and events, and what it keeps of an
 * open one over a restart; nothing is lost in a storm or on a disk that fails
 * for a while without being counted.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "clock.h"
#include "store_fixture.h"

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

static void wait_answer(struct store_fixture *f, struct answer *answer)
{
	for (int i = 0; i < 500 && !answer->came; i++)
		cr_assert_geq(sd_event_run(f->event, 20000), 0);
	cr_assert(answer->came);
	cr_assert_eq(answer->result, 0);
}

static void save_story(struct store_fixture *f, uint64_t id)
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
Test(store_query, open_incident_comes_back_whole)
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
					  .held_port = "hb1/00.0",
					  .held_flapping = true,
					  .open = true};
	struct store_loaded loaded;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	cr_assert_eq(store_save_incident(f.store, &incident), 0);
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
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
	cr_assert_str_eq(loaded.incident.held_port, "hb1/00.0");
	cr_assert(loaded.incident.held_flapping);
	fixture_teardown(&f);
}

/* Every cause and kind of note is stored by its name, so none of them may be lost on the way back. */
Test(store_query, every_cause_and_every_note_comes_back)
{
	struct store_incident incident = {.id = 1, .unit = "hb1/00.0"};
	struct store_note note = {.incident = 1, .text = "x"};
	struct answer answer = {0};
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	for (; incident.cause <= ISO_CAUSE_POISON; incident.cause++, incident.id++) {
		store_save_incident(f.store, &incident);
		answer.came = false;
		store_query_incidents(f.store, incident.id, 1, on_answer, &answer);
		wait_answer(&f, &answer);
		cr_assert_eq(answer.incident.incident.cause, incident.cause);
	}
	for (note.kind = 0; note.kind <= ISO_NOTE_POISON; note.kind++, note.incident++) {
		store_save_incident(f.store, &(struct store_incident){.id = note.incident});
		store_save_note(f.store, &note);
		answer.came = false;
		store_query_incidents(f.store, note.incident, 1, on_answer, &answer);
		wait_answer(&f, &answer);
		cr_assert_eq(answer.n_timeline, 1);
		cr_assert_eq(answer.first_note.note.kind, note.kind);
	}
	fixture_teardown(&f);
}

Test(store_query, incident_with_timeline_and_victims)
{
	struct answer answer = {0};
	struct store_loaded loaded;
	uint64_t last = 0;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
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

	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_incidents, 0, "closed ones are not restored");
	cr_assert_eq(store_load_last_incident(f.store, &last), 0);
	cr_assert_eq(last, 2);
	fixture_teardown(&f);
}

Test(store_query, events_newest_and_since)
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
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	for (int i = 0; i < 10; i++) {
		event.at_ns = (uint64_t)i;
		cr_assert_eq(store_save_event(f.store, &event), 0);
	}
	store_query_events(f.store, &(struct store_event_query){.newest = true, .limit = 3},
			   on_answer, &answer);
	wait_answer(&f, &answer);
	cr_assert_eq(answer.n_events, 3);
	cr_assert_eq(answer.first_event, 8);
	cr_assert_eq(answer.last_event, 10);
	cr_assert_eq(answer.event.event.cpu, 3);
	cr_assert_eq(answer.event.event.raw_bytes, 4);
	cr_assert_eq(memcmp(answer.raw, "\0raw", 4), 0);

	answer.came = false;
	store_query_events(f.store, &(struct store_event_query){.since = 4, .limit = 100},
			   on_answer, &answer);
	wait_answer(&f, &answer);
	cr_assert_eq(answer.n_events, 6);
	cr_assert_eq(answer.first_event, 5);
	fixture_teardown(&f);
}

/* Proves: what the kernel logged just before an incident of its domain belongs to it, and nothing else does. */
Test(store_query, lines_just_before_an_incident_join_it)
{
	static const struct {
		const char *source, *domain;
		uint32_t severity;
		uint64_t at_ns;
	} lines[] = {
		{"kernel-log", "hb1/00.0", STORE_ERROR, 59900000000},
		{"kernel-log", "hb1/00.0", STORE_ERROR, 58990000000},
		{"kernel-log", "hb1/00.0", STORE_WARNING, 59900000000},
		{"kernel-log", "hb2/00.0", STORE_ERROR, 59900000000},
		{"uevent", "hb1/00.0", STORE_ERROR, 59900000000},
	};
	struct store_incident incident = {.id = 9,
					  .cause = ISO_CAUSE_SURPRISE_DOWN,
					  .unit = "hb1/00.0",
					  .domain = "hb1/00.0",
					  .record_ns = 60000000000,
					  .open = true};
	struct store_event_query wanted = {.filter.incident = 9, .limit = 100};
	struct store_event event = {.kind = "aer", .text = "fatal", .raw = "raw", .raw_bytes = 3};
	struct answer answer = {0};
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(event.source, sizeof(event.source), "%s", lines[i].source);
		snprintf(event.domain, sizeof(event.domain), "%s", lines[i].domain);
		event.severity = lines[i].severity;
		event.at_ns = lines[i].at_ns;
		cr_assert_eq(store_save_event(f.store, &event), 0);
	}
	cr_assert_eq(store_save_incident(f.store, &incident), 0);
	store_query_events(f.store, &wanted, on_answer, &answer);
	wait_answer(&f, &answer);
	cr_assert_eq(answer.n_events, 1);
	cr_assert_eq(answer.first_event, 1);
	fixture_teardown(&f);
}

Test(store_query, a_storm_beyond_the_queue_is_counted)
{
	struct store_event event = {.source = "trace", .kind = "cxl_poison", .text = "x"};
	struct iso_restore_lease lease = fixture_lease();
	struct store_counters counters;
	uint64_t refused = 0;
	char problem[ISO_TEXT_BYTES];
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	for (int i = 0; i < 3 * STORE_QUEUE_MAX; i++)
		refused += store_save_event(f.store, &event) == -ENOBUFS;
	cr_assert_eq(store_save_lease(f.store, &lease, 5), 0,
		     "there is room left for what matters");
	fixture_wait(&f, 1);
	cr_assert_eq(f.results[0], 0);
	store_count(f.store, &counters);
	cr_assert_eq(counters.refused, refused);
	cr_assert_eq(counters.failed, 0);
	/* And a gap for each time it had no room. */
	cr_assert_geq(counters.committed, 3 * STORE_QUEUE_MAX + 1 - refused);
	store_problem(f.store, problem, sizeof(problem));
	cr_assert_eq(problem[0] != '\0', refused != 0);
	fixture_teardown(&f);
}

Test(store_query, a_locked_database_fails_what_waits_and_keeps_the_rest)
{
	struct iso_restore_lease lease = fixture_lease();
	struct store_note note = {.incident = 1, .kind = ISO_NOTE_FAULT, .text = "kept"};
	char problem[ISO_TEXT_BYTES];
	struct answer answer = {0};
	sqlite3 *other;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	cr_assert_eq(sqlite3_open(f.path, &other), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	store_save_note(f.store, &note);
	store_save_lease(f.store, &lease, 7);
	fixture_wait(&f, 1);
	cr_assert_eq(f.results[0], -EBUSY);
	store_problem(f.store, problem, sizeof(problem));
	cr_assert(strstr(problem, "cannot be written"), "'%s'", problem);

	cr_assert_eq(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	store_save_lease(f.store, &lease, 8);
	fixture_wait(&f, 2);
	cr_assert_eq(f.results[1], 0);
	store_query_incidents(f.store, 1, 1, on_answer, &answer);
	wait_answer(&f, &answer);
	cr_assert_eq(answer.n_timeline, 1, "the note came in when the disk was back");
	fixture_teardown(&f);
}
