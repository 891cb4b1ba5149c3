/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is kept, and for how long. History has a bound in rows, and all of it
 * together one in bytes: then the oldest goes first, events before finished
 * intents and operators' actions before timelines of closed incidents. What
 * decides what happens next is never dropped: leases, regions, open incidents
 * with their timelines, open intents, and of each region the intent that says
 * how its last creation ended, however old.
 *
 * Freed pages are used again, so the file stays below the bound without being
 * rewritten.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "store_internal.h"

enum {
	ROUNDS_MAX = 64,
	/* Written without an idle moment: */
	CHECKPOINT_ITEMS =
		512, /* before the log is brought into the file: who waits then waits for little, ... */
	BUSY_ITEMS = 50000, /* ... and before it is looked for everything that is too old. */
};

/*
 * Intents that have ended, or that a later one about the same object has settled:
 * nothing will ever end those. They go together with it or before it, or they
 * would count again.
 */
#define INTENT_IS_HISTORY                                                                          \
	"(state != 'open' OR EXISTS (SELECT 1 FROM intents AS later"                               \
	" WHERE later.object = i.object AND later.id > i.id))"                                     \
	" AND id NOT IN (SELECT intent FROM (SELECT " STORE_CREATION_INTENT                        \
	" AS intent FROM regions) WHERE intent IS NOT NULL)"

/* Statements take the number of rows that are kept. */
static const struct {
	const char *sql;
	int keep;
} bounds[] = {
	{"DELETE FROM events WHERE id <= (SELECT max(id) - ?1 FROM events)", STORE_EVENTS_MAX},
	/* All events that are written down in it were there before the first of another boot. */
	{"DELETE FROM formats WHERE until + ?1 < (SELECT coalesce(min(id), 1 << 62) FROM events)",
	 0},
	{"DELETE FROM actions WHERE id <= (SELECT max(id) - ?1 FROM actions)", STORE_ACTIONS_MAX},
	{"DELETE FROM intents AS i WHERE id <= (SELECT max(id) - ?1 FROM intents) AND " INTENT_IS_HISTORY,
	 STORE_ACTIONS_MAX},
	{"DELETE FROM timeline WHERE seq <= (SELECT max(seq) - ?1 FROM timeline) AND"
	 " (incident IS NULL OR incident NOT IN (SELECT id FROM incidents WHERE open))",
	 STORE_NOTES_MAX},
	/* Its number is kept going by the newest. */
	{"DELETE FROM incidents WHERE NOT open AND id <= (SELECT max(id) - ?1 FROM incidents) AND"
	 " id NOT IN (SELECT incident FROM timeline WHERE incident IS NOT NULL)",
	 STORE_INCIDENTS_MAX},
};

/* A part of the oldest, in the order in which they are given up for bytes. Each takes at most ?1 rows. */
static const char *const oldest[] = {
	"DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?1)",
	"DELETE FROM intents WHERE id IN (SELECT id FROM intents AS i WHERE " INTENT_IS_HISTORY
	" ORDER BY id LIMIT ?1)",
	"DELETE FROM actions WHERE id IN (SELECT id FROM actions ORDER BY id LIMIT ?1)",
	("DELETE FROM timeline WHERE seq IN (SELECT seq FROM timeline WHERE incident IS NULL OR"
	 " incident NOT IN (SELECT id FROM incidents WHERE open) ORDER BY seq LIMIT ?1)"),
};

/* Return: an SQLite result code; `ret_changes` may be NULL. */
static int run(sqlite3 *db, const char *sql, int value, int *ret_changes)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_int(statement, 1, value);
	code = sqlite3_step(statement);
	sqlite3_finalize(statement);
	if (code != SQLITE_DONE)
		return code;
	if (ret_changes)
		*ret_changes = sqlite3_changes(db);
	return SQLITE_OK;
}

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;
	int64_t value = 0;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		return 0;
	if (sqlite3_step(statement) == SQLITE_ROW)
		value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return value;
}

/* Bytes in use, without the pages that are free to be used again. */
static int64_t bytes_used(sqlite3 *db)
{
	return (number(db, "PRAGMA page_count") - number(db, "PRAGMA freelist_count")) *
	       number(db, "PRAGMA page_size");
}

int store_shrink(sqlite3 *db, int64_t bytes_max)
{
	size_t kind = 0;
	int code = SQLITE_OK, changes;

	for (int i = 0; i < ROUNDS_MAX && code == SQLITE_OK; i++) {
		if (kind == sizeof(oldest) / sizeof(oldest[0]) || bytes_used(db) <= bytes_max)
			break;
		code = run(db, oldest[kind], STORE_SHRINK_ROWS, &changes);
		kind += code == SQLITE_OK && changes == 0;
	}
	return code;
}

/* The log may still take records where the file cannot grow: then all goes on, for as long as that. */
static void describe(struct store *store, int error)
{
	char problem[ISO_TEXT_BYTES] = "";
	bool news;

	if (error == -EBUSY) /* somebody reads: next time */
		return;
	if (error < 0)
		snprintf(problem, sizeof(problem),
			 "the database's log cannot be brought into its file: %s",
			 store_error_text(store_cause(store, error)));
	pthread_mutex_lock(&store->mutex);
	news = strcmp(problem, store->tidy_problem) != 0;
	memcpy(store->tidy_problem, problem, sizeof(problem));
	pthread_mutex_unlock(&store->mutex);
	if (news && problem[0])
		log_line(LOG_WARNING, "%s: %s", store->path, problem);
}

/* Formats of other boots get no more events: those that are there are all that can need them. */
static int age_formats(struct store *store)
{
	static const char sql[] =
		"UPDATE formats SET until = (SELECT coalesce(max(id), 0) FROM events)"
		" WHERE until IS NULL AND boot_id != ?1";
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);

	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_text(statement, 1, store->boot_id, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Return: an SQLite result code. */
static int drop_old(struct store *store)
{
	int code = age_formats(store);

	for (size_t i = 0; code == SQLITE_OK && i < sizeof(bounds) / sizeof(bounds[0]); i++)
		code = run(store->db, bounds[i].sql, bounds[i].keep, NULL);
	if (code == SQLITE_OK)
		code = store_shrink(store->db, STORE_BYTES_MAX);
	if (code == SQLITE_OK)
		store->n_untidied = 0;
	return code;
}

/* Of events that are too old at most twice as many as were written. Return: an SQLite result code. */
static int drop_some_events(struct store *store, uint64_t written)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(store->db,
				      "DELETE FROM events WHERE id <= min("
				      "(SELECT max(id) FROM events) - ?1,"
				      "(SELECT min(id) FROM events) + ?2 - 1)",
				      -1, &statement, NULL);

	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_int64(statement, 1, STORE_EVENTS_MAX);
	sqlite3_bind_int64(statement, 2, (int64_t)(2 * written));
	code = sqlite3_step(statement);
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/*
 * By the connection that writes: in SQLite before 3.51.3 a checkpoint by another
 * one may lose what is written at the same time. Return: an SQLite result code.
 */
static int checkpoint(struct store *store)
{
	int code =
		sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

	store->n_untried = 0;
	if (code == SQLITE_OK)
		store->n_unsaved = 0;
	return code;
}

void store_tidy(struct store *store)
{
	int code;

	if (!store->db)
		return;
	code = drop_old(store);
	if (code == SQLITE_OK)
		code = checkpoint(store);
	describe(store, store_errno(code));
}

void store_tidy_busy(struct store *store)
{
	bool backlog = store->n_last >= CHECKPOINT_ITEMS; /* then the whole counts, not who waits */
	int dropped, code;

	if (!store->db || store->n_untried < (backlog ? BUSY_ITEMS : CHECKPOINT_ITEMS))
		return;
	if (store->n_untidied >= BUSY_ITEMS) {
		store->n_untidied = 0; /* not again at once should it fail */
		dropped = drop_old(store);
	} else {
		dropped = drop_some_events(store, store->n_untried);
	}
	code = checkpoint(store); /* a log without room is what may have kept it from dropping */
	describe(store, store_errno(dropped != SQLITE_OK ? dropped : code));
}
