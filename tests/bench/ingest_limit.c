/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The least that is possible on this disk with this library: what the daemon is compared with. */
#include "ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

enum {
	BLOCK_BYTES = 4096,
	MEASURE_MS = 1500,
	ROWS_MAX = 20000,
	COLUMNS_MAX = 40,
	ROWS_PER_TRANSACTION = 1000,
};

struct rows {
	sqlite3_value **values; /* n_rows times n_columns */
	int n_columns;
	size_t n_rows;
};

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench_ingest: %s\n", what);
	exit(2);
}

static double measure_syncs(const char *directory)
{
	static uint8_t block[BLOCK_BYTES];
	char path[INGEST_PATH_BYTES + 16];
	uint64_t begin_ns, n = 0;
	double seconds;
	int fd;

	snprintf(path, sizeof(path), "%s/limit.sync", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	need(fd >= 0, path);
	begin_ns = clock_boottime_ns();
	while (clock_boottime_ns() - begin_ns < MEASURE_MS * UINT64_C(1000000)) {
		need(write(fd, block, sizeof(block)) == sizeof(block), path);
		need(fdatasync(fd) == 0, path);
		n++;
	}
	seconds = (double)(clock_boottime_ns() - begin_ns) / 1e9;
	close(fd);
	unlink(path);
	return (double)n / seconds;
}

static void execute(sqlite3 *db, const char *sql)
{
	char *error = NULL;

	need(sqlite3_exec(db, sql, NULL, NULL, &error) == SQLITE_OK, error ? error : sql);
}

/* The same table, with what belongs to it, and none of its rows. */
static void copy_schema(sqlite3 *db)
{
	sqlite3_stmt *statement;
	char *sql[16];
	int n = 0;

	need(sqlite3_prepare_v2(db,
				"SELECT sql FROM source.sqlite_schema "
				"WHERE tbl_name = 'events' AND sql IS NOT NULL ORDER BY type DESC",
				-1, &statement, NULL) == SQLITE_OK,
	     "schema");
	while (n < 16 && sqlite3_step(statement) == SQLITE_ROW)
		sql[n++] = strdup((const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	for (int i = 0; i < n; i++) {
		execute(db, sql[i]);
		free(sql[i]);
	}
}

static void read_rows(sqlite3 *db, struct rows *ret)
{
	sqlite3_stmt *statement;

	need(sqlite3_prepare_v2(db, "SELECT * FROM source.events", -1, &statement, NULL) ==
		     SQLITE_OK,
	     "rows");
	ret->n_columns = sqlite3_column_count(statement);
	need(ret->n_columns <= COLUMNS_MAX, "too many columns");
	ret->values = calloc((size_t)ROWS_MAX * (size_t)ret->n_columns, sizeof(*ret->values));
	need(ret->values, "no memory");
	while (ret->n_rows < ROWS_MAX && sqlite3_step(statement) == SQLITE_ROW) {
		for (int i = 0; i < ret->n_columns; i++)
			ret->values[ret->n_rows * (size_t)ret->n_columns + (size_t)i] =
				sqlite3_value_dup(sqlite3_column_value(statement, i));
		ret->n_rows++;
	}
	sqlite3_finalize(statement);
	need(ret->n_rows, "no rows to insert");
}

static void free_rows(struct rows *rows)
{
	for (size_t i = 0; i < rows->n_rows * (size_t)rows->n_columns; i++)
		sqlite3_value_free(rows->values[i]);
	free(rows->values);
}

/* The first column is the number of the row: it goes on. */
static void insert(sqlite3_stmt *statement, const struct rows *rows, size_t row, int64_t id)
{
	sqlite3_value **values = &rows->values[row * (size_t)rows->n_columns];

	sqlite3_bind_int64(statement, 1, id);
	for (int i = 1; i < rows->n_columns; i++)
		sqlite3_bind_value(statement, i + 1, values[i]);
	need(sqlite3_step(statement) == SQLITE_DONE, "insert");
	sqlite3_reset(statement);
}

static sqlite3_stmt *prepare_insert(sqlite3 *db, int n_columns)
{
	char sql[64 + 2 * COLUMNS_MAX] = "INSERT INTO events VALUES (?";
	sqlite3_stmt *statement;

	for (int i = 1; i < n_columns; i++)
		strcat(sql, ",?");
	strcat(sql, ")");
	need(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, sql);
	return statement;
}

static void measure_singles(sqlite3_stmt *statement, const struct rows *rows, int64_t *id,
			    struct limits *ret)
{
	struct latencies latencies = {.room = 1 << 17};
	uint64_t begin_ns = clock_boottime_ns(), now_ns = begin_ns;

	latencies.us = calloc(latencies.room, sizeof(*latencies.us));
	need(latencies.us, "no memory");
	while (now_ns - begin_ns < MEASURE_MS * UINT64_C(1000000) && latencies.n < latencies.room) {
		uint64_t before_ns = now_ns;

		insert(statement, rows, latencies.n % rows->n_rows, ++*id);
		now_ns = clock_boottime_ns();
		latencies.us[latencies.n++] = (uint32_t)((now_ns - before_ns) / 1000);
	}
	ret->singles_per_second = (double)latencies.n * 1e9 / (double)(now_ns - begin_ns);
	ret->single_p50_us = latency_at(&latencies, 0.5);
	ret->single_p99_us = latency_at(&latencies, 0.99);
	free(latencies.us);
}

static void measure_batches(sqlite3 *db, sqlite3_stmt *statement, const struct rows *rows,
			    int64_t *id, struct limits *ret)
{
	uint64_t begin_ns = clock_boottime_ns(), now_ns = begin_ns, cpu_us = own_cpu_us(), n = 0;

	while (now_ns - begin_ns < MEASURE_MS * UINT64_C(1000000)) {
		execute(db, "BEGIN IMMEDIATE");
		for (int i = 0; i < ROWS_PER_TRANSACTION; i++)
			insert(statement, rows, n++ % rows->n_rows, ++*id);
		execute(db, "COMMIT");
		now_ns = clock_boottime_ns();
	}
	ret->rows_per_second = (double)n * 1e9 / (double)(now_ns - begin_ns);
	ret->row_cpu_us = (double)(own_cpu_us() - cpu_us) / (double)n;
}

void limits_measure(const char *directory, struct limits *ret)
{
	char path[INGEST_PATH_BYTES + 32], sql[INGEST_PATH_BYTES + 64];
	sqlite3_stmt *statement;
	struct rows rows = {0};
	sqlite3 *db;
	int64_t id = 0;

	ret->syncs_per_second = measure_syncs(directory);
	snprintf(path, sizeof(path), "%s/limit.db", directory);
	need(sqlite3_open(path, &db) == SQLITE_OK, path);
	execute(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
	snprintf(sql, sizeof(sql), "ATTACH '%s/state/state.db' AS source", directory);
	execute(db, sql);
	copy_schema(db);
	read_rows(db, &rows);
	execute(db, "DETACH source");
	statement = prepare_insert(db, rows.n_columns);
	measure_singles(statement, &rows, &id, ret);
	measure_batches(db, statement, &rows, &id, ret);
	sqlite3_finalize(statement);
	free_rows(&rows);
	sqlite3_close(db);
}
