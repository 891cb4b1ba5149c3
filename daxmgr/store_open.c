/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The database file: opening, checking, and what to do when that does not go.
 *
 * A disk that takes no writes still lets us read who holds what: then the
 * daemon starts with that, and the thread opens the file again when it can be
 * written. What cannot be read either leaves the leases unknown: the store is
 * `unread`, is not written at all, and says when it could be read; a daemon
 * that is started anew then takes the usual way.
 */
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
#include "log.h"
#include "store_internal.h"

void store_database_close(struct store *store)
{
	for (int i = 0; i < STORE_STATEMENTS; i++) {
		sqlite3_finalize(store->statements[i]);
		store->statements[i] = NULL;
	}
	sqlite3_close(store->db);
	store->db = NULL;
	store_forget_recent(store);
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
	int fd;

	if (access(path, F_OK) == 0)
		return 0;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
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
				      "PRAGMA journal_size_limit=16777216;"
				      "PRAGMA cache_size=-512;" /* KiB, of locked memory */
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
	if (r == 0 && sqlite3_db_readonly(store->db, "main"))
		r = -EROFS; /* nothing had to be written so far */
	if (r == 0)
		r = store_find_newest(store);
	if (r < 0)
		store_database_close(store);
	return r;
}

/* A name of a file as SQLite reads it in a URI. */
static int path_as_uri(const char *path, const char *options, char *to, size_t room)
{
	size_t length = 0;
	int n = snprintf(to, room, "file:");

	for (length = (size_t)n; *path && length + 4 < room; path++)
		if (strchr("?#%", *path))
			length += (size_t)snprintf(to + length, room - length, "%%%02X",
						   (unsigned char)*path);
		else
			to[length++] = *path;
	if (*path || (size_t)snprintf(to + length, room - length, "%s", options) >= room - length)
		return -ENAMETOOLONG;
	return 0;
}

/* What was committed last may still be in the log: without it the file alone is of the past. */
static bool log_is_empty(const struct store *store)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s-wal", store->path) >= PATH_MAX)
		return false;
	if (stat(path, &st) < 0)
		return errno == ENOENT;
	return st.st_size == 0;
}

/* Ways to read a database in WAL mode without writing anything, in the order they are tried. */
static const struct way_to_read {
	const char *options;
	int flags;
	const char *pragma; /* NULL: none */
	bool needs_empty_log;
} ways_to_read[] = {
	/* A full disk: the index of the log is kept in memory. */
	{"?mode=rw", SQLITE_OPEN_READWRITE, "PRAGMA locking_mode=EXCLUSIVE", false},
	/* A read-only one: with log and index as they were left, ... */
	{"?mode=ro", SQLITE_OPEN_READONLY, NULL, false},
	/* ... or with neither. */
	{"?immutable=1", SQLITE_OPEN_READONLY, NULL, true},
};

static int try_to_read(struct store *store, const struct way_to_read *way)
{
	char uri[PATH_MAX];
	int code, r;

	r = path_as_uri(store->path, way->options, uri, sizeof(uri));
	if (r < 0)
		return r;
	code = sqlite3_open_v2(uri, &store->db, way->flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
			       NULL);
	if (code == SQLITE_OK) {
		sqlite3_extended_result_codes(store->db, 1);
		sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		if (way->pragma)
			code = sqlite3_exec(store->db, way->pragma, NULL, NULL, NULL);
	}
	r = store_errno(code);
	if (r == 0)
		r = check(store->db);
	if (r == 0)
		r = store_schema_is_new(store->db);
	if (r == 0)
		r = store_load_check(store);
	if (r == 0)
		r = store_find_newest(store);
	if (r < 0)
		store_database_close(store);
	return r;
}

static int open_to_read(struct store *store)
{
	int r = -ENOENT;

	if (access(store->path, F_OK) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(ways_to_read) / sizeof(ways_to_read[0]); i++) {
		if (ways_to_read[i].needs_empty_log && !log_is_empty(store))
			continue;
		r = try_to_read(store, &ways_to_read[i]);
		if (r == 0 || r == -EUCLEAN)
			break;
	}
	return r;
}

/* Opened, and everything that a start needs can be read from it. */
static int open_to_write(struct store *store)
{
	int r = store_database_open(store);

	if (r == 0)
		r = store_load_check(store);
	if (r < 0)
		store_database_close(store);
	return r;
}

/* Neither of these is a matter of the disk, or will be over by waiting. */
static bool is_refusal(int error)
{
	return error == -EPROTONOSUPPORT || error == -EMEDIUMTYPE || error == -ENOMEM;
}

static void start_without(struct store *store, int error)
{
	store->unread = true;
	if (!store->hold[0])
		snprintf(store->hold, sizeof(store->hold),
			 "the database cannot be read (%s): who holds memory is not known",
			 store_error_text(store_cause(store, error)));
	snprintf(store->problem, sizeof(store->problem),
		 "the database cannot be read: %s; daxmgrd starts anew as soon as it can be",
		 store_error_text(store_cause(store, error)));
}

/* Return: 0, or why the daemon cannot run on it at all. */
static int open_somehow(struct store *store)
{
	int r = open_to_write(store), reading;

	if (r == -EUCLEAN) {
		r = store_set_aside(store);
		if (r == 0)
			r = store_database_open(store);
	}
	if (r == 0 || is_refusal(r))
		return r;
	reading = open_to_read(store);
	if (reading == 0) {
		store->reading = true;
		store_describe_failure(store, r);
	} else if (reading == -EUCLEAN && r != -EUCLEAN && store_set_aside(store) == 0) {
		start_without(store, r); /* there was something, and there is nothing now */
	} else {
		start_without(store, r);
	}
	log_line(LOG_ERR, "%s: %s", store->path, store->problem);
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

static int take_path(struct store *store, const char *path)
{
	char *slash;

	store->path = strdup(path);
	store->directory = strdup(path);
	if (!store->path || !store->directory)
		return -ENOMEM;
	slash = strrchr(store->directory, '/');
	if (slash && slash != store->directory)
		*slash = '\0';
	return 0;
}

/* A wall clock that is set must not make the store wait. */
static void init_wake(struct store *store)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&store->wake, &attributes);
	pthread_condattr_destroy(&attributes);
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
	init_wake(store);
	snprintf(store->boot_id, sizeof(store->boot_id), "%s", boot_id);
	store->recent = calloc(STORE_RECENT_MAX, sizeof(*store->recent));
	r = store->recent ? take_path(store, path) : -ENOMEM;
	if (r >= 0)
		r = sd_id128_randomize(&run);
	if (r >= 0) {
		sd_id128_to_string(run, store->run_id);
		r = open_somehow(store);
	}
	if (r < 0) {
		open_failed(path, r, ret_message);
		store_free(store);
		return r;
	}
	if (!store->hold[0])
		store_read_hold(store);
	*ret = store;
	return 0;
}

const char *store_hold(const struct store *store)
{
	return store->hold[0] ? store->hold : NULL;
}

bool store_is_unread(const struct store *store)
{
	return store->unread;
}
