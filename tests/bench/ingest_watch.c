/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another process' connection sees a row only when its transaction is in the
 * write-ahead log and that is synchronised: then it is durable.
 */
#include "ingest.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"

enum {
	OPEN_TRIES = 1000,
	OPEN_WAIT_NS = 10000000,
	LATENCIES_FIRST = 1 << 16,
};

struct watch {
	sqlite3 *db;
	sqlite3_stmt *rows;
	sqlite3_stmt *account;
	sqlite3_stmt *incidents;
	int64_t last_id;
};

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		return NULL;
	return statement;
}

static bool open_all(struct watch *watch, const char *path)
{
	if (sqlite3_open_v2(path, &watch->db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK)
		watch->rows = prepare(watch->db, "SELECT id, at_ns FROM events "
						 "WHERE id > ?1 AND source = 'trace' ORDER BY id");
	if (watch->rows) {
		watch->account =
			prepare(watch->db,
				"SELECT count(*) FILTER (WHERE kind <> 'gap'), "
				"sum(count) FILTER (WHERE kind <> 'gap'), sum(lost), "
				"sum(count) FILTER (WHERE kind LIKE 'cxl%' AND incident IS NULL) "
				"FROM events WHERE source = 'trace'");
		watch->incidents = prepare(watch->db, "SELECT count(*) FROM incidents");
		return true;
	}
	sqlite3_close(watch->db);
	watch->db = NULL;
	return false;
}

struct watch *watch_open(const char *directory)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	char path[INGEST_PATH_BYTES + 32];

	snprintf(path, sizeof(path), "%s/state/state.db", directory);
	for (int i = 0; watch && i < OPEN_TRIES; i++) {
		if (open_all(watch, path))
			return watch;
		nanosleep(&(struct timespec){.tv_nsec = OPEN_WAIT_NS}, NULL);
	}
	fprintf(stderr, "bench_ingest: no database in %s\n", path);
	exit(2);
}

void watch_close(struct watch *watch)
{
	sqlite3_finalize(watch->rows);
	sqlite3_finalize(watch->account);
	sqlite3_finalize(watch->incidents);
	sqlite3_close(watch->db);
	free(watch);
}

static void keep(struct latencies *to, uint64_t ns)
{
	if (to->n == to->room) {
		to->room = to->room ? 2 * to->room : LATENCIES_FIRST;
		to->us = reallocarray(to->us, to->room, sizeof(*to->us));
		if (!to->us)
			exit(2);
	}
	to->us[to->n++] = (uint32_t)(ns / 1000);
}

uint64_t watch_rows(struct watch *watch, struct latencies *ret)
{
	uint64_t n = 0, now_ns = 0;

	sqlite3_bind_int64(watch->rows, 1, watch->last_id);
	while (sqlite3_step(watch->rows) == SQLITE_ROW) {
		uint64_t at_ns = (uint64_t)sqlite3_column_int64(watch->rows, 1);

		/* What this statement sees was durable when its first row came. */
		if (!now_ns)
			now_ns = clock_boottime_ns();
		watch->last_id = sqlite3_column_int64(watch->rows, 0);
		keep(ret, now_ns > at_ns ? now_ns - at_ns : 0);
		n++;
	}
	sqlite3_reset(watch->rows);
	return n;
}

void watch_account(struct watch *watch, struct stored *ret)
{
	*ret = (struct stored){0};
	if (sqlite3_step(watch->account) == SQLITE_ROW) {
		ret->rows = (uint64_t)sqlite3_column_int64(watch->account, 0);
		ret->records = (uint64_t)sqlite3_column_int64(watch->account, 1);
		ret->lost = (uint64_t)sqlite3_column_int64(watch->account, 2);
		ret->apart = (uint64_t)sqlite3_column_int64(watch->account, 3);
	}
	sqlite3_reset(watch->account);
	if (sqlite3_step(watch->incidents) == SQLITE_ROW)
		ret->incidents = (uint64_t)sqlite3_column_int64(watch->incidents, 0);
	sqlite3_reset(watch->incidents);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

uint32_t latency_at(struct latencies *latencies, double share)
{
	size_t at;

	if (!latencies->n)
		return 0;
	qsort(latencies->us, latencies->n, sizeof(*latencies->us), by_value);
	at = (size_t)(share * (double)latencies->n);
	return latencies->us[at < latencies->n ? at : latencies->n - 1];
}
