/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events for the API and for subscribers, on the store's thread. */
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define COLUMNS                                                                                      \
	"e.id, e.source, e.kind, e.cpu, e.at_ns, e.boot_id, e.realtime_us, e.unit, e.text, e.raw,"   \
	" e.severity, e.incident, e.domain, e.lease, e.count, e.last_at_ns, e.serial, e.hpa, e.dpa," \
	" e.bytes, e.lost, e.synthetic, e.likeness, e.format, e.fields, e.last_raw, f.system, f.text"
#define FROM                                                                                          \
	" FROM events AS e LEFT JOIN formats AS f ON ?11 AND f.number = e.format"                     \
	" WHERE e.id > ?1 AND e.id <= ?2 AND (?3 = '' OR e.source = ?3) AND (?4 = '' OR e.kind = ?4)" \
	" AND (?5 = '' OR e.unit = ?5) AND (?6 = '' OR e.domain = ?6) AND (?7 = '' OR e.lease = ?7)"  \
	" AND (?8 = 0 OR e.incident = ?8) AND (?9 = 0 OR CASE e.severity WHEN 'warning' THEN 1"       \
	" WHEN 'error' THEN 2 WHEN 'fatal' THEN 3 ELSE 0 END >= ?9)"                                  \
	" AND (e.id > ?12 OR e.grown >= ?12)"

/* Rows that are looked at: behind one up to another, and which of them were seen already. */
struct store_range {
	uint64_t behind, until, seen;
};

enum {
	COLUMN_ID,
	COLUMN_SOURCE,
	COLUMN_KIND,
	COLUMN_CPU,
	COLUMN_AT,
	COLUMN_BOOT,
	COLUMN_REALTIME,
	COLUMN_UNIT,
	COLUMN_TEXT,
	COLUMN_RAW,
	COLUMN_SEVERITY,
	COLUMN_INCIDENT,
	COLUMN_DOMAIN,
	COLUMN_LEASE,
	COLUMN_COUNT,
	COLUMN_LAST_AT,
	COLUMN_SERIAL,
	COLUMN_HPA,
	COLUMN_DPA,
	COLUMN_BYTES,
	COLUMN_LOST,
	COLUMN_SYNTHETIC,
	COLUMN_LIKENESS,
	COLUMN_FORMAT,
	COLUMN_FIELDS,
	COLUMN_LAST_RAW,
	COLUMN_FORMAT_SYSTEM,
	COLUMN_FORMAT_TEXT,
};

static const char oldest_first_sql[] = "SELECT " COLUMNS FROM " ORDER BY e.id LIMIT ?10";
static const char newest_first_sql[] = "SELECT " COLUMNS FROM " ORDER BY e.id DESC LIMIT ?10";

void store_event_row_clear(struct store_event_row *row)
{
	free((void *)row->event.raw);
	free((void *)row->event.fields);
	free((void *)row->last_raw);
	free((void *)row->format_system);
	free((void *)row->format_text);
}

/* A copy with a NUL behind it. Return: NULL for NULL and without memory. */
static void *copy_column(sqlite3_stmt *s, int column, size_t *ret_bytes)
{
	const void *from = sqlite3_column_blob(s, column);
	size_t bytes = (size_t)sqlite3_column_bytes(s, column);
	char *copy;

	*ret_bytes = 0;
	if (!from || !bytes)
		return NULL;
	copy = malloc(bytes + 1);
	if (!copy)
		return NULL;
	memcpy(copy, from, bytes);
	copy[bytes] = '\0';
	*ret_bytes = bytes;
	return copy;
}

static uint64_t number(sqlite3_stmt *s, int column)
{
	return (uint64_t)sqlite3_column_int64(s, column);
}

static bool has(sqlite3_stmt *s, int column)
{
	return sqlite3_column_type(s, column) != SQLITE_NULL;
}

static void read_place(sqlite3_stmt *s, struct store_event *event)
{
	char serial[24];

	event->has_serial = has(s, COLUMN_SERIAL);
	store_column_text(s, COLUMN_SERIAL, serial, sizeof(serial));
	event->serial = strtoull(serial, NULL, 0);
	event->has_hpa = has(s, COLUMN_HPA);
	event->hpa = number(s, COLUMN_HPA);
	event->has_dpa = has(s, COLUMN_DPA);
	event->dpa = number(s, COLUMN_DPA);
	event->bytes = number(s, COLUMN_BYTES);
}

static void read_what(sqlite3_stmt *s, struct store_event *event)
{
	char severity[16];

	store_column_text(s, COLUMN_SOURCE, event->source, sizeof(event->source));
	store_column_text(s, COLUMN_KIND, event->kind, sizeof(event->kind));
	store_column_text(s, COLUMN_UNIT, event->unit, sizeof(event->unit));
	store_column_text(s, COLUMN_DOMAIN, event->domain, sizeof(event->domain));
	store_column_text(s, COLUMN_LEASE, event->lease, sizeof(event->lease));
	store_column_text(s, COLUMN_TEXT, event->text, sizeof(event->text));
	store_column_text(s, COLUMN_SEVERITY, severity, sizeof(severity));
	store_value_of(store_severity_name, STORE_SEVERITIES, severity, &event->severity);
	event->has_cpu = has(s, COLUMN_CPU);
	event->cpu = (uint32_t)number(s, COLUMN_CPU);
	event->at_ns = number(s, COLUMN_AT);
	event->incident = number(s, COLUMN_INCIDENT);
	event->has_lost = has(s, COLUMN_LOST);
	event->lost = number(s, COLUMN_LOST);
	event->synthetic = sqlite3_column_int(s, COLUMN_SYNTHETIC);
	event->likeness = number(s, COLUMN_LIKENESS);
	event->format = number(s, COLUMN_FORMAT);
	read_place(s, event);
}

static int read_row(sqlite3_stmt *s, struct store_rows *rows, size_t *bytes)
{
	struct store_event_row *row =
		store_rows_grow((void **)&rows->events, rows->n_events, sizeof(*rows->events));
	size_t fields, system, text;

	if (!row)
		return SQLITE_NOMEM;
	rows->n_events++;
	read_what(s, &row->event);
	row->id = number(s, COLUMN_ID);
	row->count = number(s, COLUMN_COUNT);
	row->last_at_ns = has(s, COLUMN_LAST_AT) ? number(s, COLUMN_LAST_AT) : row->event.at_ns;
	row->realtime_us = number(s, COLUMN_REALTIME);
	store_column_text(s, COLUMN_BOOT, row->boot_id, sizeof(row->boot_id));
	row->event.raw = copy_column(s, COLUMN_RAW, &row->event.raw_bytes);
	row->event.fields = copy_column(s, COLUMN_FIELDS, &fields);
	row->last_raw = copy_column(s, COLUMN_LAST_RAW, &row->last_raw_bytes);
	row->format_system = copy_column(s, COLUMN_FORMAT_SYSTEM, &system);
	row->format_text = copy_column(s, COLUMN_FORMAT_TEXT, &text);
	*bytes += sizeof(*row) + row->event.raw_bytes + fields + row->last_raw_bytes + text;
	return SQLITE_OK;
}

static int read_number(struct store *store, const char *sql, const char *text, uint64_t *ret)
{
	sqlite3_stmt *statement;
	int code;

	code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
	if (code != SQLITE_OK)
		return code;
	if (text)
		sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
	*ret = 0;
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*ret = number(statement, 0);
	sqlite3_finalize(statement);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int read_newest(struct store *store, uint64_t *ret)
{
	return read_number(store, "SELECT seq FROM sqlite_sequence WHERE name = 'events'", NULL,
			   ret);
}

int store_find_newest(struct store *store)
{
	uint64_t newest;
	int code = read_newest(store, &newest);

	if (code != SQLITE_OK)
		return store_errno(code);
	pthread_mutex_lock(&store->mutex);
	store->newest = newest;
	store->knows_newest = true;
	pthread_mutex_unlock(&store->mutex);
	return 0;
}

static void bind_query(sqlite3_stmt *s, const struct store_event_query *query,
		       const struct store_range *range)
{
	const struct store_event_filter *filter = &query->filter;

	sqlite3_bind_int64(s, 1, (int64_t)range->behind);
	sqlite3_bind_int64(s, 2, (int64_t)range->until);
	sqlite3_bind_text(s, 3, filter->source, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 4, filter->kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 5, filter->unit, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 6, filter->domain, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 7, filter->lease, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 8, (int64_t)filter->incident);
	sqlite3_bind_int64(s, 9, filter->severity);
	sqlite3_bind_int64(s, 10, query->limit);
	sqlite3_bind_int(s, 11, query->formats);
	sqlite3_bind_int64(s, 12, (int64_t)range->seen);
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
	return value < most ? value : most;
}

static void turn(struct store_rows *rows)
{
	for (size_t i = 0; i < rows->n_events / 2; i++) {
		struct store_event_row row = rows->events[i];

		rows->events[i] = rows->events[rows->n_events - 1 - i];
		rows->events[rows->n_events - 1 - i] = row;
	}
}

static int select_rows(struct store *store, const struct store_event_query *query,
		       const struct store_range *range, struct store_rows *rows)
{
	sqlite3_stmt *statement;
	size_t bytes = 0, bytes_max = query->bytes ? query->bytes : STORE_ANSWER_BYTES;
	int code;

	code = sqlite3_prepare_v2(store->db, query->newest ? newest_first_sql : oldest_first_sql,
				  -1, &statement, NULL);
	if (code != SQLITE_OK)
		return code;
	bind_query(statement, query, range);
	code = SQLITE_ROW;
	while (code == SQLITE_ROW && bytes < bytes_max) {
		code = sqlite3_step(statement);
		if (code == SQLITE_ROW && read_row(statement, rows, &bytes) != SQLITE_OK)
			code = SQLITE_NOMEM;
	}
	sqlite3_finalize(statement);
	rows->scanned = range->until;
	/* It ended for another reason than that there is nothing more. */
	if (rows->n_events && (code == SQLITE_ROW || rows->n_events == query->limit))
		rows->scanned = rows->events[rows->n_events - 1].id;
	if (query->newest) {
		rows->scanned = range->until;
		turn(rows);
	}
	return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

static struct store_range range_of(const struct store_event_query *query,
				   const struct store_rows *rows)
{
	struct store_range range = {.behind = rows->since,
				    .seen = query->seen <= rows->newest ? query->seen : 0};
	uint64_t from;

	if (query->resume) {
		range.seen = rows->since;
		range.behind -= at_most(rows->since, STORE_GROW_ROWS);
	}
	/* What is not there any more needs no looking at. */
	from = rows->oldest > range.behind ? rows->oldest - 1 : range.behind;
	range.until = query->scan ? at_most(from + query->scan, rows->newest) : rows->newest;
	return range;
}

int store_query_event_rows(struct store *store, const struct store_event_query *query,
			   struct store_rows *rows)
{
	struct store_range range;
	int code;

	if (query->settles)
		store_forget_recent(store);
	rows->since = query->since;
	code = read_newest(store, &rows->newest);
	if (code == SQLITE_OK)
		code = read_number(store, "SELECT min(id) FROM events", NULL, &rows->oldest);
	if (code == SQLITE_OK && query->subscriber[0])
		code = read_number(store, "SELECT acknowledged FROM subscribers WHERE name = ?1",
				   query->subscriber, &rows->since);
	if (code != SQLITE_OK)
		return code;
	/* A number that never was is of a database that was put aside: nothing in this one was seen. */
	if (rows->since > rows->newest)
		rows->since = 0;
	range = range_of(query, rows);
	return select_rows(store, query, &range, rows);
}

int store_write_acknowledged(struct store *store, const struct store_event_query *query)
{
	static const char sql[] =
		"INSERT INTO subscribers(name, acknowledged, at_us) VALUES(?1, ?2, unixepoch() * 1000000)"
		" ON CONFLICT(name) DO UPDATE SET acknowledged = max(acknowledged, ?2), at_us = excluded.at_us";
	static const char bound_sql[] =
		"DELETE FROM subscribers WHERE name IN (SELECT name FROM subscribers WHERE name != ?1"
		" ORDER BY at_us DESC, name LIMIT -1 OFFSET ?2)";
	sqlite3_stmt *statement;
	uint64_t newest;
	int code;

	code = read_newest(store, &newest);
	if (code == SQLITE_OK && query->since > newest)
		return SQLITE_RANGE;
	for (int i = 0; i < 2 && code == SQLITE_OK; i++) {
		code = sqlite3_prepare_v2(store->db, i ? bound_sql : sql, -1, &statement, NULL);
		if (code != SQLITE_OK)
			break;
		sqlite3_bind_text(statement, 1, query->subscriber, -1, SQLITE_STATIC);
		sqlite3_bind_int64(statement, 2,
				   i ? STORE_SUBSCRIBERS_MAX - 1 : (int64_t)query->since);
		code = sqlite3_step(statement);
		sqlite3_finalize(statement);
		code = code == SQLITE_DONE ? SQLITE_OK : code;
	}
	return code;
}
