/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * History has bounds, and what decides what happens next is outside of them:
 * leases, regions, open incidents with their timelines, open intents, and how a
 * region's last creation ended.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store_fixture.h"
#include "store_internal.h"

/* Two incidents, the first of them open, with 1000 lines each, and much of everything else. */
static const char history[] =
	"INSERT INTO incidents(id, cause, unit, open, boot_id, realtime_us, record_ns, detected_ns,"
	" contained_ns, recovered_ns, killed, exited, records, capacity_before_bytes, capacity_after_bytes)"
	" VALUES(1, 'operator', 'x', 1, 'b', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),"
	" (2, 'operator', 'x', 0, 'b', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);"
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
	" INSERT INTO timeline(incident, at_ns, boot_id, realtime_us, kind, text)"
	" SELECT 1 + i % 2, 1, 'b', 1, 'lease', 'text' FROM n;"
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
	" INSERT INTO events(source, kind, at_ns, boot_id, realtime_us, text, raw)"
	" SELECT 'trace', 'k', 1, 'b', 1, 'text', zeroblob(500) FROM n;"
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
	" INSERT INTO intents(run, operation, kind, object, epoch, boot_id, state, begun_us)"
	" SELECT 'r', i, 'carve', 'o' || i, 1, 'b', iif(i % 10 = 0, 'open', 'done'), 1 FROM n;"
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
	" INSERT INTO actions(at_us, boot_id, uid, what, object, outcome)"
	" SELECT 1, 'b', 0, 'Isolate', 'x', 'done' FROM n;";

static int64_t number(struct store *store, const char *sql)
{
	sqlite3_stmt *statement;
	int64_t value;

	cr_assert_eq(sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL), SQLITE_OK);
	cr_assert_eq(sqlite3_step(statement), SQLITE_ROW);
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return value;
}

/* Without its thread: what is tested is what that calls. */
static void open_with_history(struct store_fixture *f)
{
	struct iso_restore_lease lease = fixture_lease();
	struct iso_restore_region region = fixture_region();

	fixture_setup(f);
	fixture_open(f, BOOT);
	fixture_start(f);
	store_save_lease(f->store, &lease, 0);
	store_save_region(f->store, &region, 0);
	f->store = store_free(f->store);
	fixture_open(f, BOOT);
	cr_assert_eq(sqlite3_exec(f->store->db, history, NULL, NULL, NULL), SQLITE_OK, "%s",
		     sqlite3_errmsg(f->store->db));
}

static void expect_what_matters(struct store *store)
{
	cr_assert_eq(number(store, "SELECT count(*) FROM leases"), 1);
	cr_assert_eq(number(store, "SELECT count(*) FROM lease_instances"), 2);
	cr_assert_eq(number(store, "SELECT count(*) FROM regions"), 1);
	cr_assert_eq(number(store, "SELECT count(*) FROM incidents WHERE open"), 1);
	cr_assert_eq(number(store, "SELECT count(*) FROM timeline WHERE incident = 1"), 1000);
	cr_assert_eq(number(store, "SELECT count(*) FROM intents WHERE state = 'open'"), 100);
}

/* Proves: events go first, the oldest of them, and no more than has to. */
Test(store_tidy, a_little_too_large)
{
	struct store_fixture f;
	int64_t last;

	open_with_history(&f);
	last = number(f.store, "SELECT max(id) FROM events");
	cr_assert_eq(store_shrink(f.store->db, 1 << 20), SQLITE_OK);
	expect_what_matters(f.store);
	cr_assert_eq(number(f.store, "SELECT count(*) FROM timeline"), 2000);
	cr_assert_eq(number(f.store, "SELECT count(*) FROM actions"), 1000);
	cr_assert_eq(number(f.store, "SELECT count(*) FROM events"), 0, "a part is 20000 rows");
	cr_assert_eq(
		sqlite3_exec(f.store->db,
			     "INSERT INTO events(source, kind, at_ns, boot_id, realtime_us, text)"
			     " VALUES('trace', 'k', 1, 'b', 1, 'text')",
			     NULL, NULL, NULL),
		SQLITE_OK);
	cr_assert_eq(number(f.store, "SELECT max(id) FROM events"), last + 1,
		     "numbers are not given twice");
	fixture_teardown(&f);
}

/* Proves: however small the bound, nothing goes that is needed. */
Test(store_tidy, much_too_large)
{
	struct store_fixture f;

	open_with_history(&f);
	cr_assert_eq(store_shrink(f.store->db, 1), SQLITE_OK);
	expect_what_matters(f.store);
	cr_assert_eq(number(f.store, "SELECT count(*) FROM timeline"), 1000);
	cr_assert_eq(number(f.store, "SELECT count(*) FROM events"), 0);
	cr_assert_eq(number(f.store, "SELECT count(*) FROM intents"), 100);
	cr_assert_eq(number(f.store, "SELECT count(*) FROM actions"), 0);
	cr_assert_eq(number(f.store, "SELECT max(id) FROM incidents"), 2,
		     "the next start goes on counting from it");
	fixture_teardown(&f);
}

/* Proves: bounds in rows, and that the log is brought into the file when nothing is going on. */
Test(store_tidy, bounds_in_rows)
{
	struct store_fixture f;

	open_with_history(&f);
	cr_assert_eq(
		sqlite3_exec(
			f.store->db,
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200500)"
			" INSERT INTO timeline(at_ns, boot_id, realtime_us, kind, text)"
			" SELECT 1, 'b', 1, 'lease', 'text' FROM n;"
			"WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 11000)"
			" INSERT INTO incidents(id, cause, unit, open, boot_id, realtime_us, record_ns,"
			" detected_ns, contained_ns, recovered_ns, killed, exited, records,"
			" capacity_before_bytes, capacity_after_bytes)"
			" SELECT i, 'operator', 'x', 0, 'b', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 FROM n;",
			NULL, NULL, NULL),
		SQLITE_OK);
	f.store->n_unsaved = 1;
	store_tidy(f.store);
	cr_assert_eq(f.store->n_unsaved, 0, "checkpointed");
	expect_what_matters(f.store);
	cr_assert_eq(number(f.store, "SELECT count(*) FROM timeline"), STORE_NOTES_MAX + 1000);
	cr_assert_eq(number(f.store, "SELECT count(*) FROM incidents"), STORE_INCIDENTS_MAX + 1);
	cr_assert_eq(number(f.store, "SELECT max(id) FROM incidents"), 11000);
	fixture_teardown(&f);
}

/* What was done about region "left", and whether its creation counts as cut short after that. */
struct creation {
	const char *intents; /* kind and state, oldest first */
	bool interrupted;
};

static const struct creation creations[] = {
	{"('create-region', 'failed')", true},
	{"('create-region', 'done'), ('create-region', 'failed')", true},
	{"('create-region', 'failed'), ('clear-region', 'failed')", true},
	{"('create-region', 'open'), ('clear-region', 'failed')", true},
	{"('create-region', 'open'), ('create-region', 'done')", false},
	{"('create-region', 'failed'), ('clear-region', 'done')", false},
	{"('create-region', 'open'), ('clear-region', 'done'), ('refill-region', 'failed')", false},
};

/* The intents of region "left", and enough of others behind them to make them old. */
static void add_creation(struct store *store, const struct creation *creation, int others)
{
	char sql[1024];

	snprintf(
		sql, sizeof(sql),
		"WITH old(kind, state) AS (VALUES %s)"
		" INSERT INTO intents(run, operation, kind, object, epoch, boot_id, state, begun_us)"
		" SELECT 'old', row_number() OVER (), kind, 'region left', 1, 'b', state, 1 FROM old;"
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
		" INSERT INTO intents(run, operation, kind, object, epoch, boot_id, state, begun_us)"
		" SELECT 'later', i, 'carve', 'instance in left', 1, 'b', 'done', 1 FROM n",
		creation->intents, others);
	cr_assert_eq(sqlite3_exec(store->db, sql, NULL, NULL, NULL), SQLITE_OK, "%s",
		     sqlite3_errmsg(store->db));
}

static void expect_creation(struct store_fixture *f, const struct creation *creation)
{
	struct store_loaded loaded;

	fixture_load(f, &loaded);
	cr_assert_eq(loaded.n_regions, 1);
	cr_assert_eq(loaded.region.creation_interrupted, creation->interrupted, "after %s",
		     creation->intents);
}

static void open_with_creation(struct store_fixture *f, const struct creation *creation, int others)
{
	struct iso_restore_region region = fixture_region();

	fixture_setup(f);
	fixture_open(f, BOOT);
	fixture_start(f);
	store_save_region(f->store, &region, 0);
	f->store = store_free(f->store);
	fixture_open(f, BOOT);
	add_creation(f->store, creation, others);
	expect_creation(f, creation);
}

/* Proves: what a region's last creation may have left is still known when everything about it is old. */
Test(store_tidy, how_a_creation_ended_is_kept_in_bytes)
{
	for (size_t i = 0; i < sizeof(creations) / sizeof(creations[0]); i++) {
		struct store_fixture f;

		open_with_creation(&f, &creations[i], 100);
		cr_assert_eq(store_shrink(f.store->db, 1), SQLITE_OK);
		expect_creation(&f, &creations[i]);
		cr_assert_eq(number(f.store, "SELECT count(*) FROM intents"), 1, "after %s",
			     creations[i].intents);
		fixture_teardown(&f);
	}
}

Test(store_tidy, how_a_creation_ended_is_kept_in_rows)
{
	for (size_t i = 0; i < sizeof(creations) / sizeof(creations[0]); i++) {
		struct store_fixture f;

		open_with_creation(&f, &creations[i], STORE_ACTIONS_MAX + 10);
		store_tidy(f.store);
		expect_creation(&f, &creations[i]);
		cr_assert_eq(number(f.store, "SELECT count(*) FROM intents"), STORE_ACTIONS_MAX + 1,
			     "after %s", creations[i].intents);
		fixture_teardown(&f);
	}
}

/* Proves: a region that is forgotten leaves no intents behind for ever. */
Test(store_tidy, a_forgotten_region)
{
	struct store_fixture f;

	open_with_creation(&f, &creations[0], 100);
	cr_assert_eq(sqlite3_exec(f.store->db, "DELETE FROM regions", NULL, NULL, NULL), SQLITE_OK);
	cr_assert_eq(store_shrink(f.store->db, 1), SQLITE_OK);
	cr_assert_eq(number(f.store, "SELECT count(*) FROM intents"), 0);
	fixture_teardown(&f);
}

static void add_events(struct store *store, unsigned int n)
{
	char sql[512];

	snprintf(sql, sizeof(sql),
		 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
		 " INSERT INTO events(source, kind, at_ns, boot_id, realtime_us, text)"
		 " SELECT 'trace', 'k', 1, 'b', 1, 'text' FROM n",
		 n);
	cr_assert_eq(sqlite3_exec(store->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* As after transactions of so many items. */
static void busy(struct store *store, uint64_t items, uint64_t last)
{
	store->n_unsaved += items;
	store->n_untried += items;
	store->n_untidied += items;
	store->n_last = last;
	store_tidy_busy(store);
}

/* Proves: without an idle moment the log comes into the file little by little, and in a backlog seldom. */
Test(store_tidy, the_log_while_busy)
{
	struct store_fixture f;
	struct stat before, after;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	add_events(f.store, 1000);
	cr_assert_eq(stat(f.path, &before), 0);
	busy(f.store, 500, 10);
	cr_assert_eq(f.store->n_unsaved, 500, "not yet");
	busy(f.store, 500, 10);
	cr_assert_eq(f.store->n_unsaved, 0);
	cr_assert_eq(stat(f.path, &after), 0);
	cr_assert_gt(after.st_size, before.st_size);
	busy(f.store, 40000, 4096);
	cr_assert_eq(f.store->n_unsaved, 40000, "a backlog");
	busy(f.store, 10000, 4096);
	cr_assert_eq(f.store->n_unsaved, 0);
	fixture_teardown(&f);
}

/* Proves: too old events go with new ones, at most twice as many, and never more than are too old. */
Test(store_tidy, events_while_busy)
{
	static const char count[] = "SELECT count(*) FROM events";
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	busy(f.store, 600, 10);
	add_events(f.store, STORE_EVENTS_MAX + 2000);
	busy(f.store, 600, 10);
	cr_assert_eq(number(f.store, count), STORE_EVENTS_MAX + 2000 - 1200);
	busy(f.store, 600, 10);
	busy(f.store, 600, 10);
	cr_assert_eq(number(f.store, count), STORE_EVENTS_MAX);
	cr_assert_eq(number(f.store, "SELECT min(id) FROM events"), 2001, "the oldest");
	fixture_teardown(&f);
}
