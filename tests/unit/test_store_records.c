/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records on the way to the disk: those that are like each other become one row
 * and none is lost, counted twice or told before it is durable: whatever the
 * queue holds, whenever the power goes.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "faulty_disk.h"
#include "store_fixture.h"

#define SECOND UINT64_C(1000000000)
#define SPOOL  "00112233445566778899aabbccddeeff"

static struct store_event record(const char *kind, uint64_t at_ns, uint64_t likeness)
{
	struct store_event event = {
		.source = "trace",
		.unit = "mem0",
		.text = "x",
		.at_ns = at_ns,
		.likeness = likeness,
		.raw = "raw",
		.raw_bytes = 3,
	};

	snprintf(event.kind, sizeof(event.kind), "%s", kind);
	return event;
}

/* Everything that was queued is durable. */
static void settle(struct store_fixture *f)
{
	struct iso_restore_lease lease = fixture_lease();
	size_t n = f->n_done;

	cr_assert_eq(store_save_lease(f->store, &lease, 100 + n), 0);
	fixture_wait(f, n + 1);
	cr_assert_eq(f->results[n], 0);
}

struct rows {
	bool came;
	int result;
	size_t n;
	struct store_event_row first;
	char fields[64], raw[16], last_raw[16], format[64];
	uint64_t since, oldest, scanned, newest;
};

static void copy(char *to, size_t room, const void *from, size_t bytes)
{
	memset(to, 0, room);
	if (from && bytes < room)
		memcpy(to, from, bytes);
}

static void on_rows(void *userdata, int result, const struct store_result *rows)
{
	struct rows *ret = userdata;

	*ret = (struct rows){.came = true, .result = result, .n = rows->n_events};
	ret->since = rows->since;
	ret->oldest = rows->oldest;
	ret->scanned = rows->scanned;
	ret->newest = rows->newest;
	if (!rows->n_events)
		return;
	ret->first = rows->events[0];
	copy(ret->raw, sizeof(ret->raw), ret->first.event.raw, ret->first.event.raw_bytes);
	copy(ret->last_raw, sizeof(ret->last_raw), ret->first.last_raw, ret->first.last_raw_bytes);
	if (ret->first.event.fields)
		snprintf(ret->fields, sizeof(ret->fields), "%s", ret->first.event.fields);
	if (ret->first.format_text)
		snprintf(ret->format, sizeof(ret->format), "%s %s", ret->first.format_system,
			 ret->first.format_text);
}

static struct rows query(struct store_fixture *f, struct store_event_query q)
{
	struct rows rows = {0};

	q.limit = q.limit ? q.limit : 100;
	cr_assert_eq(store_query_events(f->store, &q, on_rows, &rows), 0);
	for (int i = 0; i < 500 && !rows.came; i++)
		cr_assert_geq(sd_event_run(f->event, 20000), 0);
	cr_assert(rows.came);
	return rows;
}

static void open_and_start(struct store_fixture *f)
{
	fixture_open(f, BOOT);
	store_set_spool(f->store, SPOOL);
	fixture_start(f);
}

Test(store_records, all_that_is_known_of_a_record_comes_back)
{
	struct store_event event = record("cxl_poison", 5, 0);
	struct store_fixture f;
	struct rows rows;
	uint64_t format;

	fixture_setup(&f);
	open_and_start(&f);
	format = store_save_format(f.store, "cxl", "cxl_poison", "name: cxl_poison\n", 17);
	cr_assert_neq(format, 0);
	cr_assert_eq(store_save_format(f.store, "cxl", "cxl_poison", "name: cxl_poison\n", 17),
		     format, "the same text has the same number");
	event.severity = STORE_ERROR;
	event.fields = "{\"dpa\":4096}";
	event.format = format;
	event.incident = 7;
	event.serial = UINT64_MAX;
	event.has_serial = event.has_hpa = event.has_dpa = event.has_lost = event.synthetic = true;
	event.hpa = UINT64_MAX - 1;
	event.dpa = 4096;
	event.bytes = 64;
	event.lost = 9;
	snprintf(event.domain, sizeof(event.domain), "hb0/00.0");
	snprintf(event.lease, sizeof(event.lease), "web");
	cr_assert_eq(store_save_event(f.store, &event), 0);
	rows = query(&f, (struct store_event_query){.formats = true});
	cr_assert_eq(rows.n, 1);
	cr_assert_eq(rows.first.event.severity, STORE_ERROR);
	cr_assert_str_eq(rows.fields, event.fields);
	cr_assert_str_eq(rows.raw, "raw");
	cr_assert_str_eq(rows.format, "cxl name: cxl_poison\n");
	cr_assert_eq(rows.first.event.format, format);
	cr_assert_eq(rows.first.event.incident, 7);
	cr_assert_eq(rows.first.event.serial, UINT64_MAX);
	cr_assert_eq(rows.first.event.hpa, UINT64_MAX - 1);
	cr_assert_eq(rows.first.event.dpa, 4096);
	cr_assert_eq(rows.first.event.bytes, 64);
	cr_assert_eq(rows.first.event.lost, 9);
	cr_assert(rows.first.event.synthetic && rows.first.event.has_hpa);
	cr_assert_str_eq(rows.first.event.domain, "hb0/00.0");
	cr_assert_str_eq(rows.first.event.lease, "web");
	cr_assert_eq(rows.first.count, 1);
	cr_assert_eq(rows.first.last_at_ns, 5);
	cr_assert_null(rows.first.last_raw);
	fixture_teardown(&f);
}

Test(store_records, what_is_alike_within_a_minute_and_an_incident_is_one_row)
{
	struct store_event event;
	struct store_fixture f;
	struct rows rows;

	fixture_setup(&f);
	open_and_start(&f);
	for (uint64_t i = 0; i < 300; i++) {
		event = record("cxl_poison", i * SECOND / 10, 77);
		event.raw = i == 0 ? "one" : i == 299 ? "end" : "mid";
		cr_assert_eq(store_save_event(f.store, &event), 0);
		if (i % 50 == 0) /* several transactions and blocks */
			settle(&f);
	}
	rows = query(&f, (struct store_event_query){0});
	cr_assert_eq(rows.n, 1);
	cr_assert_eq(rows.first.count, 300);
	cr_assert_eq(rows.first.event.at_ns, 0);
	cr_assert_eq(rows.first.last_at_ns, 299 * SECOND / 10);
	cr_assert_str_eq(rows.raw, "one");
	cr_assert_str_eq(rows.last_raw, "end");

	/* Another incident, another likeness, an injected one, and a minute later: rows of their own. */
	event = record("cxl_poison", SECOND, 77);
	event.incident = 3;
	store_save_event(f.store, &event);
	event.incident = 0;
	event.likeness = 78;
	store_save_event(f.store, &event);
	event.likeness = 77;
	event.synthetic = true;
	store_save_event(f.store, &event);
	event = record("cxl_poison", 61 * SECOND, 77);
	store_save_event(f.store, &event);
	event.at_ns += SECOND;
	store_save_event(f.store, &event);
	event.likeness = 0;
	store_save_event(f.store, &event);
	store_save_event(f.store, &event);
	rows = query(&f, (struct store_event_query){0});
	cr_assert_eq(rows.n, 7, "%zu", rows.n);
	f.store = store_free(f.store);
	cr_assert_eq(fixture_number(&f, "SELECT sum(count) FROM events"), 307);
	cr_assert_eq(fixture_number(
			     &f, "SELECT count FROM events WHERE at_ns = 61000000000 AND likeness"),
		     2);
	fixture_teardown(&f);
}

/* More than fits anywhere, some alike and some not: what is in rows and what is in gaps is all there was. */
Test(store_records, a_storm_adds_up_to_the_last_record)
{
	enum { STORM = 200000 };
	struct store_event event;
	struct store_fixture f;
	uint64_t refused = 0;
	int64_t kept;

	fixture_setup(&f);
	open_and_start(&f);
	for (uint64_t i = 0; i < STORM; i++) {
		event = record("cxl_poison", i, i % 3 ? i % 100 + 1 : 0);
		event.raw_bytes = 3;
		refused += store_save_event(f.store, &event) == -ENOBUFS;
	}
	f.store = store_free(f.store);
	kept = fixture_number(&f, "SELECT sum(count) FROM events WHERE kind != 'gap'");
	cr_assert_eq(kept, (int64_t)(STORM - refused));
	cr_assert_eq(
		fixture_number(&f, "SELECT coalesce(sum(lost), 0) FROM events WHERE kind = 'gap'"),
		(int64_t)refused);
	cr_assert_gt(refused, 0, "the queue has a bound");
	fixture_teardown(&f);
}

/* 100,000 a second for ten seconds of the kernel's time: one row, nothing refused. */
Test(store_records, a_storm_of_the_same_takes_one_row)
{
	struct store_event event = record("cxl_poison", 0, 5);
	struct store_fixture f;

	fixture_setup(&f);
	open_and_start(&f);
	for (uint64_t i = 0; i < 1000000; i++) {
		event.at_ns = i * 10000;
		cr_assert_eq(store_save_event(f.store, &event), 0);
	}
	f.store = store_free(f.store);
	cr_assert_eq(fixture_number(&f, "SELECT count(*) FROM events"), 1);
	cr_assert_eq(fixture_number(&f, "SELECT count FROM events"), 1000000);
	fixture_teardown(&f);
}

struct told {
	uint64_t n_marks, n_rows, last_id, last_count;
	struct store_mark mark;
};

static void on_mark(void *userdata, enum store_log log, const struct store_mark *mark)
{
	struct told *told = userdata;

	cr_assert_eq(log, STORE_LOG_PAGES);
	told->n_marks++;
	told->mark = *mark;
}

static void on_row(void *userdata, const struct store_event_row *row)
{
	struct told *told = userdata;

	told->n_rows++;
	told->last_id = row->id;
	told->last_count = row->count;
	cr_assert_str_eq(row->boot_id, BOOT);
}

Test(store_records, marks_and_rows_are_told_once_they_are_durable)
{
	struct store_event event = record("a", 1, 9);
	struct store_record_handlers handlers = {on_mark, on_row, NULL};
	struct told told = {0};
	struct store_mark mark;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	cr_assert_eq(store_load_mark(f.store, STORE_LOG_PAGES, SPOOL, &mark), -ENOENT);
	store_set_spool(f.store, SPOOL);
	handlers.userdata = &told;
	store_set_record_handlers(f.store, &handlers);
	store_watch_records(f.store, true);
	fixture_start(&f);
	event.page = 4;
	for (event.index = 0; event.index < 3; event.index++)
		store_save_event(f.store, &event);
	settle(&f);
	cr_assert_eq(told.mark.page, 4);
	cr_assert_eq(told.mark.index, 2);
	cr_assert_eq(told.n_rows, 1);
	cr_assert_eq(told.last_count, 3);
	event.page = 5;
	event.index = 0;
	event.has_log_sequence = false;
	store_save_event(f.store, &event);
	settle(&f);
	cr_assert_eq(told.last_id, 1, "more of the same row");
	cr_assert_eq(told.last_count, 4);
	cr_assert_eq(told.mark.page, 5);
	store_watch_records(f.store, false);
	store_save_event(f.store, &event);
	settle(&f);
	cr_assert_eq(told.n_rows, 2, "nobody wants to see them");
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	cr_assert_eq(store_load_mark(f.store, STORE_LOG_PAGES, SPOOL, &mark), 0);
	cr_assert_eq(mark.page, 5);
	cr_assert_eq(store_load_mark(f.store, STORE_LOG_PAGES, OTHER_BOOT, &mark), -ENOENT);
	cr_assert_eq(store_load_mark(f.store, STORE_LOG_KERNEL, NULL, &mark), -ENOENT);
	fixture_start(&f);
	event = record("oops", 2, 0);
	event.has_log_sequence = true;
	event.log_sequence = 4711;
	store_save_event(f.store, &event);
	f.store = store_free(f.store);
	fixture_open(&f, BOOT);
	cr_assert_eq(store_load_mark(f.store, STORE_LOG_KERNEL, NULL, &mark), 0);
	cr_assert_eq(mark.page, 4711);
	f.store = store_free(f.store);
	fixture_open(&f, OTHER_BOOT);
	cr_assert_eq(store_load_mark(f.store, STORE_LOG_KERNEL, NULL, &mark), -ENOENT);
	fixture_teardown(&f);
}

enum { KILL_PAGES = 400, PAGE_RECORDS = 25 };

/* A daemon that takes in what the spool has beyond the mark, until it is killed or has all. */
static void take_in(struct store_fixture *f)
{
	struct store_mark mark = {0};
	struct store_event event;
	bool has_mark;

	/* The parent's loop is not for us; and Criterion's assertions are for the parent. */
	if (sd_event_new(&f->event) < 0 || store_open(f->path, BOOT, &f->store, NULL) < 0)
		_exit(2);
	store_set_spool(f->store, SPOOL);
	has_mark = store_load_mark(f->store, STORE_LOG_PAGES, SPOOL, &mark) == 0;
	if (store_start(f->store, f->event, 0, NULL, NULL, NULL) < 0)
		_exit(3);
	for (uint64_t page = 1; page <= KILL_PAGES; page++)
		for (uint32_t i = 0; i < PAGE_RECORDS; i++) {
			if (has_mark &&
			    (page < mark.page || (page == mark.page && i <= mark.index)))
				continue;
			/* Every other one is like some of the others. */
			event = record("cxl_poison", page * 1000 + i, i % 2 ? i % 10 + 1 : 0);
			event.page = page;
			event.index = i;
			while (!store_has_room(f->store))
				sd_event_run(f->event, 1000);
			if (store_save_event(f->store, &event) < 0)
				_exit(4);
			if (i == 0)
				usleep(100);
		}
	store_free(f->store);
	_exit(0);
}

Test(store_records, kill_9_at_any_moment_loses_and_doubles_nothing)
{
	struct store_fixture f;
	int status = 1, kills = 0;

	fixture_setup(&f);
	srand(7);
	for (int round = 0; round < 200; round++) {
		pid_t child = fork();

		if (child == 0)
			take_in(&f);
		if (kills < 50) {
			usleep(2000 + (unsigned int)rand() % 40000);
			kill(child, SIGKILL);
		}
		cr_assert_eq(waitpid(child, &status, 0), child);
		if (WIFEXITED(status))
			break;
		kills++;
	}
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	cr_assert_gt(kills, 10, "%d", kills);
	cr_assert_eq(fixture_number(&f, "SELECT sum(count) FROM events"),
		     KILL_PAGES * PAGE_RECORDS);
	cr_assert_eq(fixture_number(&f, "SELECT sum(lost) IS NULL FROM events"), 1);
	cr_assert_eq(fixture_number(
			     &f,
			     "SELECT count(*) - count(DISTINCT at_ns) FROM events WHERE likeness IS"
			     " NULL"),
		     0, "none twice");
	cr_assert_eq(fixture_number(&f, "SELECT count(*) FROM events WHERE likeness IS NULL"),
		     KILL_PAGES * ((PAGE_RECORDS + 1) / 2));
	fixture_teardown(&f);
}

Test(store_records, a_disk_that_fails_in_a_storm_leaves_the_sum_right)
{
	enum { STORM = 60000 };
	struct store_event event;
	struct store_fixture f;
	uint64_t refused = 0;

	fixture_setup(&f);
	faulty_disk_install();
	open_and_start(&f);
	for (uint64_t i = 0; i < STORM; i++) {
		if (i == STORM / 10)
			faulty_disk_break(DISK_FAILS);
		if (i == STORM / 2)
			faulty_disk_heal();
		event = record("cxl_poison", i, i % 2 ? i % 50 + 1 : 0);
		refused += store_save_event(f.store, &event) == -ENOBUFS;
		if (i % 2000 == 0) {
			usleep(20000);
			sd_event_run(f.event, 0);
		}
	}
	for (int i = 0; i < 600; i++) {
		char problem[ISO_TEXT_BYTES];

		store_problem(f.store, problem, sizeof(problem));
		if (!strstr(problem, "cannot be written"))
			break;
		sd_event_run(f.event, 20000);
	}
	f.store = store_free(f.store);
	cr_assert_eq(fixture_number(&f, "SELECT sum(count) FROM events WHERE kind != 'gap'") +
			     fixture_number(&f, "SELECT coalesce(sum(lost), 0) FROM events"),
		     STORM, "%llu refused", (unsigned long long)refused);
	fixture_teardown(&f);
}

Test(store_records, formats_of_other_boots_go_with_their_last_event)
{
	struct store_event event = record("a", 1, 0);
	struct store_fixture f;

	fixture_setup(&f);
	open_and_start(&f);
	event.format = store_save_format(f.store, "cxl", "a", "old", 3);
	store_save_event(f.store, &event);
	store_save_format(f.store, "cxl", "b", "still the same", 14);
	f.store = store_free(f.store);

	fixture_open(&f, OTHER_BOOT);
	fixture_start(&f);
	store_save_format(f.store, "cxl", "b", "still the same", 14);
	event = record("b", 1, 0);
	store_save_event(f.store, &event);
	settle(&f);
	for (int i = 0; i < 100; i++) /* an idle moment */
		sd_event_run(f.event, 20000);
	f.store = store_free(f.store);
	cr_assert_eq(fixture_number(&f, "SELECT count(*) FROM formats"), 2);
	cr_assert_eq(fixture_number(&f, "SELECT until FROM formats WHERE name = 'a'"), 2);

	fixture_open(&f, OTHER_BOOT);
	fixture_start(&f);
	/* As if there had been enough others since. */
	f.store = store_free(f.store);
	{
		sqlite3 *db;

		cr_assert_eq(sqlite3_open(f.path, &db), SQLITE_OK);
		sqlite3_exec(db, "UPDATE events SET id = id + 10", NULL, NULL, NULL);
		sqlite3_close(db);
	}
	open_and_start(&f);
	settle(&f);
	for (int i = 0; i < 100; i++)
		sd_event_run(f.event, 20000);
	f.store = store_free(f.store);
	cr_assert_eq(fixture_number(&f, "SELECT count(*) FROM formats"), 1);
	cr_assert_eq(fixture_number(&f, "SELECT name = 'b' FROM formats"), 1);
	fixture_teardown(&f);
}

Test(store_records, filters_choose_rows_and_events_alike)
{
	static const struct store_event_filter filters[] = {
		{.source = "uevent"}, {.kind = "k1"},
		{.unit = "mem3"},     {.domain = "hb0/1"},
		{.lease = "vm2"},     {.incident = 2},
		{.severity = 2},      {.kind = "k1", .severity = 3},
	};
	struct store_event events[40];
	struct store_fixture f;

	fixture_setup(&f);
	open_and_start(&f);
	for (uint32_t i = 0; i < 40; i++) {
		events[i] = record("k", i, 0);
		snprintf(events[i].kind, sizeof(events[i].kind), "k%u", i % 2);
		snprintf(events[i].source, sizeof(events[i].source), i % 5 ? "trace" : "uevent");
		snprintf(events[i].unit, sizeof(events[i].unit), "mem%u", i % 7);
		snprintf(events[i].domain, sizeof(events[i].domain), "hb0/%u", i % 3);
		snprintf(events[i].lease, sizeof(events[i].lease), "vm%u", i % 4);
		events[i].incident = i % 6;
		events[i].severity = i % 4;
		store_save_event(f.store, &events[i]);
	}
	for (size_t k = 0; k < sizeof(filters) / sizeof(filters[0]); k++) {
		struct rows rows = query(&f, (struct store_event_query){.filter = filters[k]});
		size_t n = 0;

		for (uint32_t i = 0; i < 40; i++)
			n += store_event_matches(&filters[k], &events[i]);
		cr_assert_gt(n, 0);
		cr_assert_eq(rows.n, n, "filter %zu: %zu rows of %zu", k, rows.n, n);
	}
	fixture_teardown(&f);
}

Test(store_records, a_part_is_bounded_and_says_where_the_next_begins)
{
	struct store_event event = record("a", 1, 0);
	struct store_fixture f;
	struct rows rows;

	fixture_setup(&f);
	open_and_start(&f);
	for (int i = 0; i < 100; i++) {
		snprintf(event.kind, sizeof(event.kind), i == 70 ? "rare" : "often");
		store_save_event(f.store, &event);
	}
	rows = query(&f, (struct store_event_query){.filter.kind = "rare", .scan = 50});
	cr_assert_eq(rows.n, 0);
	cr_assert_eq(rows.scanned, 50);
	cr_assert_eq(rows.newest, 100);
	cr_assert_eq(rows.oldest, 1);
	rows = query(&f,
		     (struct store_event_query){.filter.kind = "rare", .scan = 50, .since = 50});
	cr_assert_eq(rows.first.id, 71);
	cr_assert_eq(rows.scanned, 100);
	rows = query(&f, (struct store_event_query){.limit = 30, .since = 10});
	cr_assert_eq(rows.n, 30);
	cr_assert_eq(rows.scanned, 40);
	rows = query(&f, (struct store_event_query){.since = INT64_MAX, .limit = 200});
	cr_assert_eq(rows.n, 100, "a number of another database: nothing of this one was seen");
	cr_assert_eq(rows.scanned, 100);
	fixture_teardown(&f);
}

static int acknowledge(struct store_fixture *f, const char *name, uint64_t id)
{
	struct rows rows = {0};

	cr_assert_eq(store_acknowledge(f->store, name, id, on_rows, &rows), 0);
	for (int i = 0; i < 500 && !rows.came; i++)
		cr_assert_geq(sd_event_run(f->event, 20000), 0);
	return rows.result;
}

Test(store_records, an_acknowledgement_is_kept_and_never_goes_back)
{
	struct store_event event = record("a", 1, 0);
	struct store_event_query from = {.subscriber = "bridge"};
	char name[ISO_NAME_BYTES];
	struct store_fixture f;

	fixture_setup(&f);
	open_and_start(&f);
	for (int i = 0; i < 9; i++)
		store_save_event(f.store, &event);
	cr_assert_eq(query(&f, from).since, 0, "one that never did gets all");
	cr_assert_eq(acknowledge(&f, "bridge", 5), 0);
	cr_assert_eq(acknowledge(&f, "bridge", 3), 0);
	cr_assert_eq(acknowledge(&f, "bridge", 10), -ERANGE);
	f.store = store_free(f.store);
	open_and_start(&f);
	cr_assert_eq(query(&f, from).since, 5);
	cr_assert_eq(query(&f, from).n, 4);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "other%d", i);
		cr_assert_eq(acknowledge(&f, name, 1), 0);
	}
	f.store = store_free(f.store);
	cr_assert_eq(fixture_number(&f, "SELECT count(*) FROM subscribers"), 256);
	fixture_teardown(&f);
}
