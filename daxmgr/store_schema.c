/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables of the store. user_version counts the migrations that were applied;
 * each runs in a transaction of its own and is never changed once released.
 * States and causes are stored by name, so that the numbers of an enum may
 * change and people can read the tables. Serial numbers are text: they use all
 * 64 bits.
 */
#include <errno.h>
#include <stdio.h>

#include "store_internal.h"

#define APPLICATION_ID 1684109421 /* "daxm" */

static const char *const migrations[] = {
	"CREATE TABLE regions ("
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
	") STRICT;",

	/* Why a port is held, and what a VM was admitted with. */
	"ALTER TABLE incidents ADD COLUMN hold_cause TEXT NOT NULL DEFAULT ''"
	"  CHECK (hold_cause IN ('', 'operator', 'flapping'));"
	"UPDATE incidents SET hold_cause = 'operator' WHERE held_port IS NOT NULL;"
	"ALTER TABLE leases ADD COLUMN pins TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE leases ADD COLUMN evidence TEXT NOT NULL DEFAULT '';",

	/*
	 * Records with all that was decoded, what their raw bytes mean, and up to where the
	 * sources' own logs are in here. Those that are like each other are one row, then
	 * with a count; no last_at_ns: that of the first. A format of another boot goes with
	 * the last event that can need it, which has the number `until`.
	 */
	"ALTER TABLE events ADD COLUMN severity TEXT NOT NULL DEFAULT 'info'"
	"  CHECK (severity IN ('info', 'warning', 'error', 'fatal'));"
	"ALTER TABLE events ADD COLUMN incident INTEGER;"
	"ALTER TABLE events ADD COLUMN domain TEXT;"
	"ALTER TABLE events ADD COLUMN lease TEXT;"
	"ALTER TABLE events ADD COLUMN count INTEGER NOT NULL DEFAULT 1;"
	"ALTER TABLE events ADD COLUMN last_at_ns INTEGER;"
	"ALTER TABLE events ADD COLUMN serial TEXT;"
	"ALTER TABLE events ADD COLUMN hpa INTEGER;"
	"ALTER TABLE events ADD COLUMN dpa INTEGER;"
	"ALTER TABLE events ADD COLUMN bytes INTEGER;"
	"ALTER TABLE events ADD COLUMN lost INTEGER;"
	"ALTER TABLE events ADD COLUMN synthetic INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE events ADD COLUMN likeness INTEGER;"
	"ALTER TABLE events ADD COLUMN format INTEGER;"
	"ALTER TABLE events ADD COLUMN fields TEXT;"
	"ALTER TABLE events ADD COLUMN last_raw BLOB;"
	"CREATE TABLE formats ("
	"  number INTEGER PRIMARY KEY,"
	"  boot_id TEXT NOT NULL,"
	"  system TEXT NOT NULL,"
	"  name TEXT NOT NULL,"
	"  text TEXT NOT NULL,"
	"  until INTEGER"
	") STRICT;"
	"CREATE TABLE marks ("
	"  log TEXT PRIMARY KEY CHECK (log IN ('pages', 'kernel')),"
	"  spool TEXT NOT NULL,"
	"  page INTEGER NOT NULL,"
	"  position INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE subscribers ("
	"  name TEXT PRIMARY KEY,"
	"  acknowledged INTEGER NOT NULL,"
	"  at_us INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;",

	/* What an operator asked of a port: whether it is to be armed, and whether it is kept away. */
	"CREATE TABLE ports ("
	"  path TEXT PRIMARY KEY,"
	"  wish TEXT NOT NULL,"
	"  timeout_code INTEGER,"
	"  held INTEGER NOT NULL,"
	"  flapping INTEGER NOT NULL,"
	"  boot_id TEXT NOT NULL,"
	"  saved_us INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;",
	/* What policy keeps new tenants from, and when its rules fired. */
	"CREATE TABLE fences ("
	"  kind TEXT NOT NULL CHECK (kind IN ('fence', 'quarantine', 'retire')),"
	"  object TEXT NOT NULL,"
	"  unit TEXT NOT NULL,"
	"  rule TEXT NOT NULL,"
	"  since_us INTEGER NOT NULL,"
	"  PRIMARY KEY (kind, object)"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE firings ("
	"  rule TEXT NOT NULL,"
	"  key TEXT NOT NULL,"
	"  digest TEXT NOT NULL,"
	"  at_us INTEGER NOT NULL,"
	"  PRIMARY KEY (rule, key)"
	") STRICT, WITHOUT ROWID;"
	"ALTER TABLE incidents ADD COLUMN synthetic INTEGER NOT NULL DEFAULT 0;",

	/* Memory that is bad, and whose it was: by memdev, or by its place in a region of this boot. */
	"CREATE TABLE bad_ranges ("
	"  slot INTEGER PRIMARY KEY,"
	"  state TEXT NOT NULL,"
	"  serial TEXT,"
	"  dpa INTEGER,"
	"  region TEXT,"
	"  region_offset INTEGER,"
	"  bytes INTEGER NOT NULL,"
	"  evidence INTEGER NOT NULL,"
	"  boot_id TEXT NOT NULL,"
	"  first_ns INTEGER NOT NULL,"
	"  last_ns INTEGER NOT NULL,"
	"  cleared_ns INTEGER NOT NULL,"
	"  first_boot_id TEXT NOT NULL,"
	"  first_us INTEGER NOT NULL,"
	"  saved_us INTEGER NOT NULL,"
	"  lease TEXT,"
	"  hit_begun_ns INTEGER NOT NULL,"
	"  CHECK ((serial IS NULL) = (dpa IS NULL)),"
	"  CHECK ((region IS NULL) = (region_offset IS NULL)),"
	"  CHECK (serial IS NOT NULL OR region IS NOT NULL)"
	") STRICT;"
	"ALTER TABLE lease_instances ADD COLUMN begun_ns INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE leases ADD COLUMN poison TEXT NOT NULL DEFAULT 'default';",

	/* Which row was the newest when more was last added to this one; NULL: nothing was. */
	"ALTER TABLE events ADD COLUMN grown INTEGER;",

	/* When a port took capacity with it, oldest first: numbers of that boot's clock, with blanks. */
	"ALTER TABLE ports ADD COLUMN losses TEXT NOT NULL DEFAULT '';",

	/* Its link was taken down for an isolation, and has to be given back. */
	"ALTER TABLE ports ADD COLUMN link_taken INTEGER NOT NULL DEFAULT 0;",
};

enum { VERSION = sizeof(migrations) / sizeof(migrations[0]) };

static int read_pragma(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *statement;
	int code;

	code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	if (code != SQLITE_OK)
		return code;
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int migrate(sqlite3 *db, int64_t version)
{
	char pragma[96];
	int code;

	snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%d; PRAGMA application_id=%d",
		 (int)version + 1, APPLICATION_ID);
	if ((code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL)) == SQLITE_OK &&
	    (code = sqlite3_exec(db, migrations[version], NULL, NULL, NULL)) == SQLITE_OK &&
	    (code = sqlite3_exec(db, pragma, NULL, NULL, NULL)) == SQLITE_OK)
		code = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (code != SQLITE_OK)
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return code;
}

int store_schema_touch(sqlite3 *db)
{
	char sql[80];
	int code;

	snprintf(sql, sizeof(sql), "BEGIN IMMEDIATE; PRAGMA application_id=%d; COMMIT",
		 APPLICATION_ID);
	code = sqlite3_exec(db, sql, NULL, NULL, NULL);
	if (code != SQLITE_OK && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return code;
}

int store_schema_is_new(sqlite3 *db)
{
	int64_t version, application;
	int code;

	if ((code = read_pragma(db, "PRAGMA user_version", &version)) != SQLITE_OK ||
	    (code = read_pragma(db, "PRAGMA application_id", &application)) != SQLITE_OK)
		return store_errno(code);
	return application == APPLICATION_ID && version == VERSION ? 0 : -ENOTSUP;
}

int store_schema_apply(sqlite3 *db)
{
	int64_t version, application, tables;
	int code;

	if ((code = read_pragma(db, "PRAGMA user_version", &version)) != SQLITE_OK ||
	    (code = read_pragma(db, "PRAGMA application_id", &application)) != SQLITE_OK ||
	    (code = read_pragma(db, "SELECT count(*) FROM sqlite_schema", &tables)) != SQLITE_OK)
		return store_errno(code);
	if (application != APPLICATION_ID && (application || tables))
		return -EMEDIUMTYPE;
	if (version > VERSION)
		return -EPROTONOSUPPORT;
	for (; version < VERSION; version++) {
		code = migrate(db, version);
		if (code != SQLITE_OK)
			return store_errno(code);
	}
	return 0;
}
