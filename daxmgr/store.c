/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The database file: opening, checking, statements, binding. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <systemd/sd-id128.h>

#include "cleanup.h"
#include "clock.h"
#include "store_internal.h"

static const char *const sql[STORE_STATEMENTS] = {
	[STORE_STATEMENT_LEASE] =
		"INSERT INTO leases(name, state, uid, gid, align, keep_ns, expires_ns, restart, wait, sequence,"
		" was_killed, pid, process_start, incident, boot_id, saved_us, pins, evidence)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
		" ON CONFLICT(name) DO UPDATE SET state=?2, uid=?3, gid=?4, align=?5, keep_ns=?6, expires_ns=?7,"
		" restart=?8, wait=?9, sequence=?10, was_killed=?11, pid=?12, process_start=?13, incident=?14,"
		" boot_id=?15, saved_us=?16, pins=?17, evidence=?18",
	[STORE_STATEMENT_LEASE_END] = "DELETE FROM leases WHERE name=?1",
	[STORE_STATEMENT_LEASE_PARTS_CLEAR] = "DELETE FROM lease_parts WHERE lease=?1",
	[STORE_STATEMENT_LEASE_PART] =
		"INSERT INTO lease_parts(lease, part, bytes, region) VALUES(?1, ?2, ?3, ?4)",
	[STORE_STATEMENT_LEASE_INSTANCES_CLEAR] = "DELETE FROM lease_instances WHERE lease=?1",
	[STORE_STATEMENT_LEASE_INSTANCE] =
		"INSERT INTO lease_instances(lease, part, region, region_kernel_id, kernel_id, bytes)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[STORE_STATEMENT_REGION] =
		"INSERT INTO regions(name, ways, granularity, bytes, kernel_id, hpa_start, from_operator, boot_id,"
		" saved_us) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
		" ON CONFLICT(name) DO UPDATE SET ways=?2, granularity=?3, bytes=?4, kernel_id=?5, hpa_start=?6,"
		" from_operator=?7, boot_id=?8, saved_us=?9",
	[STORE_STATEMENT_REGION_END] = "DELETE FROM regions WHERE name=?1",
	[STORE_STATEMENT_REGION_LEGS_CLEAR] = "DELETE FROM region_legs WHERE region=?1",
	[STORE_STATEMENT_REGION_LEG] =
		"INSERT INTO region_legs(region, position, serial) VALUES(?1, ?2, ?3)",
	/* What names the incident stays as it was first written. */
	[STORE_STATEMENT_INCIDENT] =
		"INSERT INTO incidents(id, cause, unit, domain, open, boot_id, realtime_us, record_ns, detected_ns,"
		" contained_ns, recovered_ns, killed, exited, records, capacity_before_bytes, capacity_after_bytes,"
		" held_port, hold_cause)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
		" ON CONFLICT(id) DO UPDATE SET cause=?2, unit=?3, domain=coalesce(?4, domain), open=?5,"
		" detected_ns=?9, contained_ns=?10, recovered_ns=?11, killed=?12, exited=?13, records=?14,"
		" capacity_before_bytes=?15, capacity_after_bytes=?16, held_port=?17, hold_cause=?18",
	[STORE_STATEMENT_NOTE] =
		"INSERT INTO timeline(incident, at_ns, boot_id, realtime_us, kind, text, lease, region, port, pid)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[STORE_STATEMENT_EVENT] =
		"INSERT INTO events(source, kind, cpu, at_ns, boot_id, realtime_us, unit, text, raw)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[STORE_STATEMENT_ACTION] =
		"INSERT INTO actions(at_us, boot_id, uid, what, object, outcome) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[STORE_STATEMENT_INTENT] =
		"INSERT INTO intents(run, operation, kind, object, epoch, boot_id, state, begun_us)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, 'open', ?7)",
	[STORE_STATEMENT_INTENT_DONE] =
		"UPDATE intents SET state=?3, result=?4, ended_us=?5 WHERE run=?1 AND operation=?2",
};

int store_errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_TOOBIG:
		return -E2BIG;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return -EINVAL;
	default:
		return -EIO;
	}
}

struct store_binder store_bind(struct store *store, enum store_statement which)
{
	struct store_binder binder = {.at = 1, .code = SQLITE_OK};

	if (!store->statements[which])
		binder.code = sqlite3_prepare_v3(store->db, sql[which], -1,
						 SQLITE_PREPARE_PERSISTENT,
						 &store->statements[which], NULL);
	binder.statement = store->statements[which];
	return binder;
}

void store_bind_integer(struct store_binder *binder, int64_t value)
{
	if (binder->code == SQLITE_OK)
		binder->code = sqlite3_bind_int64(binder->statement, binder->at++, value);
}

/* Values above INT64_MAX come back as they were: both ways are the same bits. */
void store_bind_number(struct store_binder *binder, uint64_t value)
{
	store_bind_integer(binder, (int64_t)value);
}

void store_bind_text(struct store_binder *binder, const char *text)
{
	if (binder->code == SQLITE_OK)
		binder->code =
			sqlite3_bind_text(binder->statement, binder->at++, text, -1, SQLITE_STATIC);
}

void store_bind_null(struct store_binder *binder)
{
	if (binder->code == SQLITE_OK)
		binder->code = sqlite3_bind_null(binder->statement, binder->at++);
}

void store_bind_name(struct store_binder *binder, const char *text)
{
	if (text[0])
		store_bind_text(binder, text);
	else
		store_bind_null(binder);
}

int store_bind_run(struct store_binder *binder)
{
	int code;

	if (!binder->statement)
		return binder->code;
	if (binder->code == SQLITE_OK)
		binder->code = sqlite3_step(binder->statement);
	code = sqlite3_reset(binder->statement);
	sqlite3_clear_bindings(binder->statement);
	if (binder->code == SQLITE_DONE || binder->code == SQLITE_ROW)
		return SQLITE_OK;
	return code != SQLITE_OK ? code : binder->code;
}

void store_column_text(sqlite3_stmt *statement, int column, char *to, size_t room)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	snprintf(to, room, "%s", text ? (const char *)text : "");
}

bool store_value_of(const char *(*name)(uint32_t), uint32_t values, const char *text, uint32_t *ret)
{
	for (uint32_t value = 0; value < values; value++)
		if (!strcmp(name(value), text)) {
			*ret = value;
			return true;
		}
	return false;
}

void store_database_close(struct store *store)
{
	for (int i = 0; i < STORE_STATEMENTS; i++) {
		sqlite3_finalize(store->statements[i]);
		store->statements[i] = NULL;
	}
	sqlite3_close(store->db);
	store->db = NULL;
}

/* Return: 0, or -EUCLEAN when the file is damaged. */
static int check(sqlite3 *db)
{
	sqlite3_stmt *statement;
	const unsigned char *text;
	int code, r = 0;

	code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
	if (code != SQLITE_OK)
		return store_errno(code);
	code = sqlite3_step(statement);
	text = code == SQLITE_ROW ? sqlite3_column_text(statement, 0) : NULL;
	if (code != SQLITE_ROW)
		r = store_errno(code);
	else if (!text || strcmp((const char *)text, "ok"))
		r = -EUCLEAN;
	sqlite3_finalize(statement);
	return r;
}

/* SQLite would make the file readable for all; whoever reads it learns who runs what where. */
static int make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int store_database_open(struct store *store)
{
	static const char pragmas[] = "PRAGMA journal_mode=WAL;"
				      "PRAGMA synchronous=FULL;"
				      "PRAGMA wal_autocheckpoint=0;"
				      "PRAGMA foreign_keys=ON;"
				      "PRAGMA trusted_schema=OFF;"
				      "PRAGMA temp_store=MEMORY;";
	int code, r;

	r = make_file(store->path);
	if (r < 0)
		return r;
	code = sqlite3_open_v2(store->path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
			       NULL);
	if (code == SQLITE_OK) {
		sqlite3_extended_result_codes(store->db, 1);
		sqlite3_busy_timeout(store->db, 2000);
		sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		code = sqlite3_exec(store->db, pragmas, NULL, NULL, NULL);
	}
	r = store_errno(code);
	if (r == 0)
		r = check(store->db);
	if (r == 0)
		r = store_schema_apply(store->db);
	if (r < 0)
		store_database_close(store);
	return r;
}

/* The log and its index belong to the damaged file: they go with it. */
static int put_aside(struct store *store)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	unsigned long long now = clock_read_ns(CLOCK_REALTIME) / UINT64_C(1000000000);
	char from[PATH_MAX], to[PATH_MAX];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (snprintf(from, sizeof(from), "%s%s", store->path, suffixes[i]) >= PATH_MAX ||
		    snprintf(to, sizeof(to), "%s.damaged-%llu%s", store->path, now, suffixes[i]) >=
			    PATH_MAX)
			return -ENAMETOOLONG;
		if (rename(from, to) < 0 && (i == 0 || errno != ENOENT))
			return -errno;
	}
	snprintf(
		store->damage, sizeof(store->damage),
		"the database was damaged and put aside as %.60s.damaged-%llu; leases and history of before are not known",
		store->path, now);
	return 0;
}

static int open_failed(const char *path, int error, char **ret_message)
{
	const char *why = strerror(-error);

	if (error == -EPROTONOSUPPORT)
		why = "a newer version of daxmgrd made it; install that version or move the file away";
	if (error == -EMEDIUMTYPE)
		why = "it is a database of another program; configure another StateDirectory";
	if (ret_message && asprintf(ret_message, "cannot use the database %s: %s", path, why) < 0)
		*ret_message = NULL;
	return error;
}

int store_open(const char *path, const char *boot_id, struct store **ret, char **ret_message)
{
	struct store *store = calloc(1, sizeof(*store));
	sd_id128_t run;
	int r;

	if (!store)
		return -ENOMEM;
	store->event_fd = -1;
	pthread_mutex_init(&store->mutex, NULL);
	pthread_cond_init(&store->wake, NULL);
	snprintf(store->boot_id, sizeof(store->boot_id), "%s", boot_id);
	store->path = strdup(path);
	r = store->path ? sd_id128_randomize(&run) : -ENOMEM;
	if (r >= 0) {
		sd_id128_to_string(run, store->run_id);
		r = store_database_open(store);
	}
	if (r == -EUCLEAN) {
		r = put_aside(store);
		if (r == 0)
			r = store_database_open(store);
	}
	if (r < 0) {
		open_failed(path, r, ret_message);
		store_free(store);
		return r;
	}
	*ret = store;
	return 0;
}
