/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A database of every older version is taken over with all that is in it, also
 * when the disk fails in the middle. The schemas are written out here as they
 * were: what makes them now may not change what is in the field.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "faulty_disk.h"
#include "store_fixture.h"

static const char version_1[] = "CREATE TABLE regions ("
				"  name TEXT PRIMARY KEY,"
				"  ways INTEGER NOT NULL,"
				"  granularity INTEGER NOT NULL,"
				"  bytes INTEGER NOT NULL,"
				"  kernel_id INTEGER,"
				"  hpa_start INTEGER,"
				"  from_operator INTEGER NOT NULL,"
				"  boot_id TEXT NOT NULL,"
				"  saved_us INTEGER NOT NULL"
				") STRICT, WITHOUT ROWID;"
				"CREATE TABLE region_legs ("
				"  region TEXT NOT NULL REFERENCES regions(name) ON DELETE CASCADE,"
				"  position INTEGER NOT NULL,"
				"  serial TEXT NOT NULL,"
				"  PRIMARY KEY (region, position)"
				") STRICT, WITHOUT ROWID;"
				"CREATE TABLE leases ("
				"  name TEXT PRIMARY KEY,"
				"  state TEXT NOT NULL,"
				"  uid INTEGER NOT NULL,"
				"  gid INTEGER NOT NULL,"
				"  align INTEGER NOT NULL,"
				"  keep_ns INTEGER NOT NULL,"
				"  expires_ns INTEGER NOT NULL,"
				"  restart INTEGER NOT NULL,"
				"  wait INTEGER NOT NULL,"
				"  sequence INTEGER NOT NULL,"
				"  was_killed INTEGER NOT NULL,"
				"  pid INTEGER,"
				"  process_start INTEGER NOT NULL,"
				"  incident INTEGER,"
				"  boot_id TEXT NOT NULL,"
				"  saved_us INTEGER NOT NULL"
				") STRICT, WITHOUT ROWID;"
				"CREATE TABLE lease_parts ("
				"  lease TEXT NOT NULL REFERENCES leases(name) ON DELETE CASCADE,"
				"  part INTEGER NOT NULL,"
				"  bytes INTEGER NOT NULL,"
				"  region TEXT,"
				"  PRIMARY KEY (lease, part)"
				") STRICT, WITHOUT ROWID;"
				"CREATE TABLE lease_instances ("
				"  lease TEXT NOT NULL REFERENCES leases(name) ON DELETE CASCADE,"
				"  part INTEGER NOT NULL,"
				"  region TEXT NOT NULL,"
				"  region_kernel_id INTEGER,"
				"  kernel_id INTEGER,"
				"  bytes INTEGER NOT NULL,"
				"  PRIMARY KEY (lease, part)"
				") STRICT, WITHOUT ROWID;"
				"CREATE TABLE incidents ("
				"  id INTEGER PRIMARY KEY,"
				"  cause TEXT NOT NULL,"
				"  unit TEXT NOT NULL,"
				"  domain TEXT,"
				"  open INTEGER NOT NULL,"
				"  boot_id TEXT NOT NULL,"
				"  realtime_us INTEGER NOT NULL,"
				"  record_ns INTEGER NOT NULL,"
				"  detected_ns INTEGER NOT NULL,"
				"  contained_ns INTEGER NOT NULL,"
				"  recovered_ns INTEGER NOT NULL,"
				"  killed INTEGER NOT NULL,"
				"  exited INTEGER NOT NULL,"
				"  records INTEGER NOT NULL,"
				"  capacity_before_bytes INTEGER NOT NULL,"
				"  capacity_after_bytes INTEGER NOT NULL,"
				"  held_port TEXT"
				") STRICT;"
				"CREATE TABLE timeline ("
				"  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
				"  incident INTEGER,"
				"  at_ns INTEGER NOT NULL,"
				"  boot_id TEXT NOT NULL,"
				"  realtime_us INTEGER NOT NULL,"
				"  kind TEXT NOT NULL,"
				"  text TEXT NOT NULL,"
				"  lease TEXT,"
				"  region TEXT,"
				"  port TEXT,"
				"  pid INTEGER"
				") STRICT;"
				"CREATE INDEX timeline_by_incident ON timeline(incident, seq);"
				"CREATE TABLE events ("
				"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
				"  source TEXT NOT NULL,"
				"  kind TEXT NOT NULL,"
				"  cpu INTEGER,"
				"  at_ns INTEGER NOT NULL,"
				"  boot_id TEXT NOT NULL,"
				"  realtime_us INTEGER NOT NULL,"
				"  unit TEXT,"
				"  text TEXT NOT NULL,"
				"  raw BLOB"
				") STRICT;"
				"CREATE TABLE intents ("
				"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
				"  run TEXT NOT NULL,"
				"  operation INTEGER NOT NULL,"
				"  kind TEXT NOT NULL,"
				"  object TEXT NOT NULL,"
				"  epoch INTEGER NOT NULL,"
				"  boot_id TEXT NOT NULL,"
				"  state TEXT NOT NULL CHECK (state IN ('open', 'done', 'failed')),"
				"  result INTEGER,"
				"  begun_us INTEGER NOT NULL,"
				"  ended_us INTEGER,"
				"  UNIQUE (run, operation)"
				") STRICT;"
				"CREATE INDEX intents_by_object ON intents(object, id);"
				"CREATE TABLE actions ("
				"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
				"  at_us INTEGER NOT NULL,"
				"  boot_id TEXT NOT NULL,"
				"  uid INTEGER NOT NULL,"
				"  what TEXT NOT NULL,"
				"  object TEXT NOT NULL,"
				"  outcome TEXT NOT NULL"
				") STRICT;";

static const char version_1_rows[] =
	"INSERT INTO regions VALUES('left', 2, 8192, 1073741824, 5, 4096, 1, '" BOOT "', 1);"
	"INSERT INTO region_legs VALUES('left', 0, '0x10'), ('left', 1, '0x11');"
	"INSERT INTO leases VALUES('vm-a', 'attached', 107, 108, 2097152, 5, 6, 1, 1, 42, 0, 4711, 815,"
	" NULL, '" BOOT "', 1);"
	"INSERT INTO lease_parts VALUES('vm-a', 0, 67108864, 'left');"
	"INSERT INTO lease_instances VALUES('vm-a', 0, 'left', 5, 1, 67108864);"
	"INSERT INTO incidents VALUES(7, 'operator', 'hb1/00.0', 'hb1/00.0', 1, '" BOOT
	"', 1, 2, 3, 4, 0,"
	" 1, 1, 1, 0, 0, 'hb1/00.0');"
	"INSERT INTO timeline VALUES(1, 7, 2, '" BOOT
	"', 1, 'kill', 'text', 'vm-a', NULL, NULL, 4711);"
	"INSERT INTO intents VALUES(1, 'run', 9, 'carve', 'dax0.1', 1, '" BOOT
	"', 'open', NULL, 1, NULL);"
	"INSERT INTO events VALUES(9, 'trace', 'aer_event', 3, 4, '" BOOT
	"', 5, '0000:0c:00.0', 'fatal', x'726177');";

static const char version_2_changes[] =
	"ALTER TABLE incidents ADD COLUMN hold_cause TEXT NOT NULL DEFAULT ''"
	"  CHECK (hold_cause IN ('', 'operator', 'flapping'));"
	"UPDATE incidents SET hold_cause = 'operator' WHERE held_port IS NOT NULL;"
	"ALTER TABLE leases ADD COLUMN pins TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE leases ADD COLUMN evidence TEXT NOT NULL DEFAULT '';";

static const struct {
	const char *schema, *rows, *changes; /* since the first */
} versions[] = {
	{version_1, version_1_rows, ""},
	{version_1, version_1_rows, version_2_changes},
};

/* Migrations since the last release: no database of a version in between is in the field. */
enum { N_VERSIONS = sizeof(versions) / sizeof(versions[0]), N_UNRELEASED = 7 };

static void make_old(struct store_fixture *f, size_t version)
{
	char pragmas[80];
	sqlite3 *db;

	snprintf(pragmas, sizeof(pragmas),
		 "PRAGMA application_id=1684109421; PRAGMA user_version=%zu", version + 1);
	cr_assert_eq(sqlite3_open(f->path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, version_1, NULL, NULL, NULL), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, version_1_rows, NULL, NULL, NULL), SQLITE_OK, "%s",
		     sqlite3_errmsg(db));
	cr_assert_eq(sqlite3_exec(db, versions[version].changes, NULL, NULL, NULL), SQLITE_OK, "%s",
		     sqlite3_errmsg(db));
	cr_assert_eq(sqlite3_exec(db, pragmas, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void on_events(void *userdata, int result, const struct store_result *rows)
{
	bool *came = userdata;

	*came = true;
	cr_assert_eq(result, 0);
	cr_assert_eq(rows->n_events, 1);
	cr_assert_eq(rows->events[0].id, 9);
	cr_assert_eq(rows->events[0].count, 1);
	cr_assert_eq(rows->events[0].last_at_ns, 4);
	cr_assert_eq(rows->events[0].event.severity, STORE_INFO);
	cr_assert_eq(memcmp(rows->events[0].event.raw, "raw", 3), 0);
	cr_assert_not(rows->events[0].event.has_hpa);
}

/* Old rows are read like new ones. */
static void expect_events(struct store_fixture *f)
{
	const struct store_event_query all = {.limit = 10};
	bool came = false;

	fixture_start(f);
	cr_assert_eq(store_query_events(f->store, &all, on_events, &came), 0);
	for (int i = 0; i < 500 && !came; i++)
		cr_assert_geq(sd_event_run(f->event, 20000), 0);
	cr_assert(came);
}

static void expect_all(struct store_fixture *f)
{
	struct store_loaded loaded;

	cr_assert_null(store_hold(f->store), "%s", store_hold(f->store));
	fixture_load(f, &loaded);
	cr_assert_eq(loaded.n_leases, 1);
	cr_assert_eq(loaded.lease.pid, 4711);
	cr_assert_eq(loaded.lease.n_parts, 1);
	cr_assert_eq(loaded.lease.terms.pins, 0);
	cr_assert_eq(loaded.n_regions, 1);
	cr_assert_eq(loaded.region.definition.serials[1], 0x11);
	cr_assert_eq(loaded.n_incidents, 1);
	cr_assert_str_eq(loaded.incident.held_port, "hb1/00.0");
	cr_assert_not(loaded.incident.held_flapping);
	cr_assert_eq(loaded.n_intents, 1);
}

static int64_t version_of(const char *path)
{
	sqlite3_stmt *statement;
	int64_t version;
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL),
		     SQLITE_OK);
	cr_assert_eq(sqlite3_step(statement), SQLITE_ROW);
	version = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return version;
}

Test(store_migrate, from_every_older_version)
{
	for (size_t version = 0; version < N_VERSIONS; version++) {
		struct store_fixture f;

		fixture_setup(&f);
		make_old(&f, version);
		fixture_open(&f, BOOT);
		expect_all(&f);
		expect_events(&f);
		f.store = store_free(f.store);
		cr_assert_eq(version_of(f.path), N_VERSIONS + N_UNRELEASED,
			     "a version that is not tested here has been added");
		fixture_teardown(&f);
	}
}

/* Proves: a migration is done or is not; on a disk that fails it is done later. */
Test(store_migrate, any_write_may_fail)
{
	faulty_disk_install();
	for (size_t version = 0; version < N_VERSIONS; version++)
		for (uint64_t nth = 1; nth <= 24; nth++) {
			struct store_fixture f;

			fixture_setup(&f);
			make_old(&f, version);
			faulty_disk_add((struct disk_fault){
				.call = DISK_WRITE, .kind = DISK_TEARS, .nth = nth});
			fixture_open(&f, BOOT);
			if (!store_is_unread(f.store))
				expect_all(&f);
			f.store = store_free(f.store);
			faulty_disk_heal();
			fixture_open(&f, BOOT);
			expect_all(&f);
			f.store = store_free(f.store);
			fixture_teardown(&f);
		}
}
