/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Statements and their binding, errors. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "store_internal.h"

static const char *const sql[STORE_STATEMENTS] = {
	[STORE_STATEMENT_LEASE] =
		"INSERT INTO leases(name, state, uid, gid, align, keep_ns, expires_ns, restart, wait, sequence,"
		" was_killed, pid, process_start, incident, boot_id, saved_us, pins, evidence, poison)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
		" ON CONFLICT(name) DO UPDATE SET state=?2, uid=?3, gid=?4, align=?5, keep_ns=?6, expires_ns=?7,"
		" restart=?8, wait=?9, sequence=?10, was_killed=?11, pid=?12, process_start=?13, incident=?14,"
		" boot_id=?15, saved_us=?16, pins=?17, evidence=?18, poison=?19",
	[STORE_STATEMENT_LEASE_END] = "DELETE FROM leases WHERE name=?1",
	[STORE_STATEMENT_LEASE_PARTS_CLEAR] = "DELETE FROM lease_parts WHERE lease=?1",
	[STORE_STATEMENT_LEASE_PART] =
		"INSERT INTO lease_parts(lease, part, bytes, region) VALUES(?1, ?2, ?3, ?4)",
	[STORE_STATEMENT_LEASE_INSTANCES_CLEAR] = "DELETE FROM lease_instances WHERE lease=?1",
	[STORE_STATEMENT_LEASE_INSTANCE] =
		"INSERT INTO lease_instances(lease, part, region, region_kernel_id, kernel_id, bytes, begun_ns)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[STORE_STATEMENT_REGION] =
		"INSERT INTO regions(name, ways, granularity, bytes, kernel_id, hpa_start, from_operator, boot_id,"
		" saved_us) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
		" ON CONFLICT(name) DO UPDATE SET ways=?2, granularity=?3, bytes=?4, kernel_id=?5, hpa_start=?6,"
		" from_operator=?7, boot_id=?8, saved_us=?9",
	[STORE_STATEMENT_REGION_END] = "DELETE FROM regions WHERE name=?1",
	[STORE_STATEMENT_REGION_LEGS_CLEAR] = "DELETE FROM region_legs WHERE region=?1",
	[STORE_STATEMENT_REGION_LEG] =
		"INSERT INTO region_legs(region, position, serial) VALUES(?1, ?2, ?3)",
	[STORE_STATEMENT_PORT] =
		"INSERT INTO ports(path, wish, timeout_code, held, flapping, boot_id, saved_us,"
		" losses, link_taken) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT(path) DO UPDATE SET wish=?2,"
		" timeout_code=?3, held=?4, flapping=?5, boot_id=?6, saved_us=?7, losses=?8,"
		" link_taken=?9",
	/* What names the incident stays as it was first written. */
	[STORE_STATEMENT_INCIDENT] =
		"INSERT INTO incidents(id, cause, unit, domain, open, boot_id, realtime_us, record_ns, detected_ns,"
		" contained_ns, recovered_ns, killed, exited, records, capacity_before_bytes, capacity_after_bytes,"
		" held_port, hold_cause, synthetic)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
		" ON CONFLICT(id) DO UPDATE SET cause=?2, unit=?3, domain=coalesce(?4, domain), open=?5,"
		" detected_ns=?9, contained_ns=?10, recovered_ns=?11, killed=?12, exited=?13, records=?14,"
		" capacity_before_bytes=?15, capacity_after_bytes=?16, held_port=?17, hold_cause=?18",
	/* What was written down last bounds the search. */
	[STORE_STATEMENT_INCIDENT_EARLIER] =
		"UPDATE events SET incident = ?1 WHERE id > (SELECT max(id) - 256 FROM events)"
		" AND incident IS NULL AND domain = ?2 AND boot_id = ?3 AND source = 'kernel-log'"
		" AND severity IN ('error', 'fatal') AND abs(at_ns - ?4) < 1000000000",
	/* When it was found first stays, as long as the place is of the same range. */
	[STORE_STATEMENT_POISON] =
		"INSERT INTO bad_ranges(slot, state, serial, dpa, region, region_offset, bytes, evidence,"
		" boot_id, first_ns, last_ns, cleared_ns, first_boot_id, first_us, saved_us, lease, hit_begun_ns)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?9, ?13, ?13, ?14, ?15)"
		" ON CONFLICT(slot) DO UPDATE SET"
		" first_boot_id=iif(serial IS ?3 AND dpa IS ?4 AND bytes=?7, first_boot_id, ?9),"
		" first_us=iif(serial IS ?3 AND dpa IS ?4 AND bytes=?7, first_us, ?13),"
		" state=?2, serial=?3, dpa=?4, region=?5, region_offset=?6, bytes=?7, evidence=?8, boot_id=?9,"
		" first_ns=?10, last_ns=?11, cleared_ns=?12, saved_us=?13, lease=?14, hit_begun_ns=?15",
	[STORE_STATEMENT_POISON_END] = "DELETE FROM bad_ranges WHERE slot=?1",
	[STORE_STATEMENT_NOTE] =
		"INSERT INTO timeline(incident, at_ns, boot_id, realtime_us, kind, text, lease, region, port, pid)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[STORE_STATEMENT_EVENT] =
		"INSERT INTO events(source, kind, cpu, at_ns, boot_id, realtime_us, unit, text, raw, severity,"
		" incident, domain, lease, count, last_at_ns, serial, hpa, dpa, bytes, lost, synthetic, likeness,"
		" format, fields, last_raw)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,"
		" ?21, ?22, ?23, ?24, ?25)",
	[STORE_STATEMENT_EVENT_MORE] =
		"UPDATE events SET count = count + ?2, last_at_ns = ?3, last_raw = ?4, grown = ?6,"
		" lost = CASE WHEN ?5 IS NULL THEN lost ELSE coalesce(lost, 0) + ?5 END WHERE id = ?1",
	[STORE_STATEMENT_FORMAT] =
		"INSERT INTO formats(number, boot_id, system, name, text) VALUES(?1, ?2, ?3, ?4, ?5)"
		" ON CONFLICT(number) DO UPDATE SET boot_id = ?2, until = NULL",
	[STORE_STATEMENT_MARK] =
		"INSERT INTO marks(log, spool, page, position) VALUES(?1, ?2, ?3, ?4)"
		" ON CONFLICT(log) DO UPDATE SET spool = ?2, page = ?3, position = ?4",
	[STORE_STATEMENT_ACTION] =
		"INSERT INTO actions(at_us, boot_id, uid, what, object, outcome) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[STORE_STATEMENT_FENCE] =
		"INSERT INTO fences(kind, object, unit, rule, since_us) VALUES(?1, ?2, ?3, ?4, ?5)"
		" ON CONFLICT(kind, object) DO UPDATE SET unit=?3, rule=?4",
	[STORE_STATEMENT_FENCE_END] = "DELETE FROM fences WHERE kind=?1 AND object=?2",
	[STORE_STATEMENT_FIRING] =
		"INSERT INTO firings(rule, key, digest, at_us) VALUES(?1, ?2, ?3, ?4)"
		" ON CONFLICT(rule, key) DO UPDATE SET digest=?3, at_us=?4",
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

/* On a disk without room or rights SQLite often knows only that something failed. */
int store_cause(const struct store *store, int error)
{
	struct statvfs st;

	if (error != -EIO || statvfs(store->directory, &st) < 0)
		return error;
	if (st.f_flag & ST_RDONLY)
		return -EROFS;
	return st.f_bavail * st.f_frsize < STORE_ROOM_MIN ? -ENOSPC : error;
}

const char *store_error_text(int error)
{
	switch (error) {
	case -ENOSPC:
		return "the disk is full";
	case -EROFS:
		return "the disk is read-only";
	case -EIO:
		return "the disk fails";
	case -EUCLEAN:
		return "it is damaged";
	default:
		return strerror(-error);
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

const char *store_severity_name(uint32_t severity)
{
	static const char *const names[STORE_SEVERITIES] = {
		[STORE_INFO] = "info",
		[STORE_WARNING] = "warning",
		[STORE_ERROR] = "error",
		[STORE_FATAL] = "fatal",
	};

	return severity < STORE_SEVERITIES ? names[severity] : "unknown";
}
