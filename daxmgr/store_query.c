/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Queries for the API, on the store's thread. */
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define NEWEST_INCIDENTS "(SELECT id FROM incidents ORDER BY id DESC LIMIT ?2)"
#define CHOSEN_INCIDENTS                                                                           \
	"((?1 != 0 AND incident = ?1) OR (?1 = 0 AND incident IN " NEWEST_INCIDENTS "))"

static const char incidents_sql[] =
	"SELECT id, cause, unit, domain, open, boot_id, realtime_us, record_ns, detected_ns, contained_ns,"
	" recovered_ns, killed, exited, records, capacity_before_bytes, capacity_after_bytes, synthetic FROM incidents"
	" WHERE ?1 = 0 OR id = ?1 ORDER BY id DESC LIMIT ?2";

static const char victims_sql[] =
	"SELECT incident, lease, max(pid), min(CASE kind WHEN 'kill' THEN at_ns END),"
	" max(CASE kind WHEN 'exit' THEN at_ns END) FROM timeline"
	" WHERE " CHOSEN_INCIDENTS " AND lease IS NOT NULL AND kind IN ('kill', 'exit')"
	" GROUP BY incident, lease ORDER BY incident, min(seq)";

static const char timeline_sql[] =
	"SELECT seq, incident, at_ns, boot_id, realtime_us, kind, text, lease, region, port, pid FROM timeline"
	" WHERE incident = ?1 ORDER BY seq LIMIT ?2";

enum { TIMELINE_MAX = 20000 };

void store_rows_free(struct store_rows *rows)
{
	for (size_t i = 0; i < rows->n_events; i++)
		store_event_row_clear(&rows->events[i]);
	free(rows->incidents);
	free(rows->victims);
	free(rows->timeline);
	free(rows->events);
	*rows = (struct store_rows){0};
}

/* Room for one more; grows by doubling. Return: NULL without memory. */
void *store_rows_grow(void **array, size_t n, size_t size)
{
	/* Full exactly at powers of two and at nothing. */
	if ((n & (n - 1)) == 0) {
		void *larger = reallocarray(*array, n ? 2 * n : 1, size);

		if (!larger)
			return NULL;
		*array = larger;
	}
	memset((char *)*array + n * size, 0, size);
	return (char *)*array + n * size;
}

static int read_incident(sqlite3_stmt *s, struct store_rows *rows)
{
	struct store_incident_row *row = store_rows_grow(
		(void **)&rows->incidents, rows->n_incidents, sizeof(*rows->incidents));
	struct store_incident *incident;
	char cause[STORE_KIND_BYTES];

	if (!row)
		return SQLITE_NOMEM;
	rows->n_incidents++;
	incident = &row->incident;
	incident->id = (uint64_t)sqlite3_column_int64(s, 0);
	store_column_text(s, 1, cause, sizeof(cause));
	store_value_of(iso_cause_name, ISO_CAUSE_POISON + 1, cause, &incident->cause);
	store_column_text(s, 2, incident->unit, sizeof(incident->unit));
	store_column_text(s, 3, incident->domain, sizeof(incident->domain));
	incident->open = sqlite3_column_int(s, 4);
	store_column_text(s, 5, row->boot_id, sizeof(row->boot_id));
	row->realtime_us = (uint64_t)sqlite3_column_int64(s, 6);
	incident->record_ns = (uint64_t)sqlite3_column_int64(s, 7);
	incident->detected_ns = (uint64_t)sqlite3_column_int64(s, 8);
	incident->contained_ns = (uint64_t)sqlite3_column_int64(s, 9);
	incident->recovered_ns = (uint64_t)sqlite3_column_int64(s, 10);
	incident->n_killed = (uint32_t)sqlite3_column_int64(s, 11);
	incident->n_exited = (uint32_t)sqlite3_column_int64(s, 12);
	incident->n_records = (uint32_t)sqlite3_column_int64(s, 13);
	incident->capacity_before_bytes = (uint64_t)sqlite3_column_int64(s, 14);
	incident->capacity_after_bytes = (uint64_t)sqlite3_column_int64(s, 15);
	incident->synthetic = sqlite3_column_int(s, 16);
	return SQLITE_OK;
}

static int read_victim(sqlite3_stmt *s, struct store_rows *rows)
{
	struct store_victim_row *row =
		store_rows_grow((void **)&rows->victims, rows->n_victims, sizeof(*rows->victims));

	if (!row)
		return SQLITE_NOMEM;
	rows->n_victims++;
	row->incident = (uint64_t)sqlite3_column_int64(s, 0);
	store_column_text(s, 1, row->lease, sizeof(row->lease));
	row->pid = sqlite3_column_int(s, 2);
	row->killed_ns = (uint64_t)sqlite3_column_int64(s, 3);
	row->exited_ns = (uint64_t)sqlite3_column_int64(s, 4);
	return SQLITE_OK;
}

static int read_note(sqlite3_stmt *s, struct store_rows *rows)
{
	struct store_note_row *row = store_rows_grow((void **)&rows->timeline, rows->n_timeline,
						     sizeof(*rows->timeline));
	struct store_note *note;
	char kind[STORE_KIND_BYTES];

	if (!row)
		return SQLITE_NOMEM;
	rows->n_timeline++;
	note = &row->note;
	row->seq = (uint64_t)sqlite3_column_int64(s, 0);
	note->incident = (uint64_t)sqlite3_column_int64(s, 1);
	note->at_ns = (uint64_t)sqlite3_column_int64(s, 2);
	store_column_text(s, 3, row->boot_id, sizeof(row->boot_id));
	row->realtime_us = (uint64_t)sqlite3_column_int64(s, 4);
	store_column_text(s, 5, kind, sizeof(kind));
	store_value_of(iso_note_name, ISO_NOTE_POISON + 1, kind, &note->kind);
	store_column_text(s, 6, note->text, sizeof(note->text));
	store_column_text(s, 7, note->lease, sizeof(note->lease));
	store_column_text(s, 8, note->region, sizeof(note->region));
	store_column_text(s, 9, note->port, sizeof(note->port));
	note->pid = sqlite3_column_int(s, 10);
	return SQLITE_OK;
}

static int select_rows(struct store *store, const char *sql, uint64_t id, uint32_t limit,
		       int (*read)(sqlite3_stmt *, struct store_rows *), struct store_rows *rows)
{
	sqlite3_stmt *statement;
	int code;

	code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_int64(statement, 1, (int64_t)id);
	sqlite3_bind_int64(statement, 2, limit);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		code = read(statement, rows);
		if (code != SQLITE_OK)
			break;
	}
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

int store_query_item(struct store *store, struct store_item *item)
{
	uint64_t id = item->query.id;
	uint32_t limit = item->query.limit;
	int code;

	if (item->kind == STORE_ITEM_QUERY_EVENTS)
		return store_query_event_rows(store, &item->events, &item->rows);
	if (item->kind == STORE_ITEM_ACKNOWLEDGE)
		return store_write_acknowledged(store, &item->events);
	code = select_rows(store, incidents_sql, id, limit, read_incident, &item->rows);
	if (code == SQLITE_OK)
		code = select_rows(store, victims_sql, id, limit, read_victim, &item->rows);
	if (code == SQLITE_OK && id)
		code = select_rows(store, timeline_sql, id, TIMELINE_MAX, read_note, &item->rows);
	return code;
}
