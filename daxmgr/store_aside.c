/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A damaged database is put aside, never deleted, and a mark beside it says
 * that leases were lost with it: until an operator confirms what is observed,
 * over restarts, nothing is handed out. The mark comes first, so that no crash
 * leaves an empty database without it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "store_internal.h"

enum { KEPT_MAX = 8 }; /* more than these mean that the disk has to be seen to first */

static int beside(const struct store *store, const char *suffix, char *to, size_t room)
{
	return (size_t)snprintf(to, room, "%s%s", store->path, suffix) < room ? 0 : -ENAMETOOLONG;
}

static int sync_directory(const struct store *store)
{
	_cleanup_close_ int fd = open(store->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_mark(const struct store *store, const char *text)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	size_t length = strlen(text);

	if (beside(store, ".hold", path, sizeof(path)) < 0)
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	/* Without room for its text the mark still stands. */
	if (write(fd, text, length) != (ssize_t)length && errno != ENOSPC)
		return -errno;
	if (fsync(fd) < 0)
		return -errno;
	return sync_directory(store);
}

int store_mark_anew(const struct store *store)
{
	char path[PATH_MAX];

	if (beside(store, ".hold", path, sizeof(path)) < 0)
		return -ENAMETOOLONG;
	if (access(path, F_OK) == 0)
		return 0;
	return write_mark(store, "daxmgrd ended while it wrote all leases anew: some may be lost");
}

void store_read_hold(struct store *store)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	ssize_t n;

	if (beside(store, ".hold", path, sizeof(path)) < 0)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return;
	n = fd < 0 ? -1 : read(fd, store->hold, sizeof(store->hold) - 1);
	if (n > 0)
		store->hold[n] = '\0';
	else
		snprintf(store->hold, sizeof(store->hold),
			 "leases were lost with a damaged database");
}

int store_remove_hold(struct store *store)
{
	char path[PATH_MAX];

	if (beside(store, ".hold", path, sizeof(path)) < 0)
		return -ENAMETOOLONG;
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : -errno;
	return sync_directory(store);
}

/* A name that is free: the date, and a number when that day had more than one in a second. */
static int name_free(const struct store *store, char *to, size_t room)
{
	time_t now = time(NULL);
	char path[PATH_MAX], date[32];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H-%M-%SZ", &tm);
	for (int i = 1; i < 100; i++) {
		if (i == 1)
			snprintf(to, room, ".damaged-%s", date);
		else
			snprintf(to, room, ".damaged-%s.%d", date, i);
		if (beside(store, to, path, sizeof(path)) < 0)
			return -ENAMETOOLONG;
		if (access(path, F_OK) < 0)
			return 0;
	}
	return -EEXIST;
}

static int count_kept(const struct store *store)
{
	_cleanup_closedir_ DIR *directory = opendir(store->directory);
	const char *slash = strrchr(store->path, '/');
	const char *name = slash ? slash + 1 : store->path;
	size_t length = strlen(name);
	struct dirent *entry;
	int n = 0;

	if (!directory)
		return -errno;
	while ((entry = readdir(directory))) {
		size_t all = strlen(entry->d_name);

		n += !strncmp(entry->d_name, name, length) &&
		     !strncmp(entry->d_name + length, ".damaged-", 9) &&
		     (all < 4 || (strcmp(entry->d_name + all - 4, "-wal") &&
				  strcmp(entry->d_name + all - 4, "-shm")));
	}
	return n;
}

/* The log and its index belong to the damaged file: they go with it. */
static int move(struct store *store, const char *suffix)
{
	static const char *const parts[] = {"", "-wal", "-shm"};
	char from[PATH_MAX], to[PATH_MAX];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (beside(store, parts[i], from, sizeof(from)) < 0 ||
		    snprintf(to, sizeof(to), "%s%s%s", store->path, suffix, parts[i]) >= PATH_MAX)
			return -ENAMETOOLONG;
		if (rename(from, to) < 0 && (i == 0 || errno != ENOENT))
			return -errno;
	}
	return sync_directory(store);
}

int store_set_aside(struct store *store)
{
	char suffix[64], hold[ISO_TEXT_BYTES];
	int r;

	store_database_close(store);
	r = count_kept(store);
	if (r >= KEPT_MAX) {
		log_line(LOG_ERR,
			 "the database %s is damaged, and %d damaged ones are kept beside it: "
			 "see to the disk, and move them away",
			 store->path, r);
		return -EUCLEAN;
	}
	if (r >= 0)
		r = name_free(store, suffix, sizeof(suffix));
	if (r < 0)
		return r;
	snprintf(
		hold, sizeof(hold),
		"the database was damaged and put aside as %.40s%.50s; leases and history of before are not known",
		strrchr(store->path, '/') ? strrchr(store->path, '/') + 1 : store->path, suffix);
	r = write_mark(store, hold);
	if (r >= 0)
		r = move(store, suffix);
	if (r < 0) {
		log_line(LOG_ERR, "the database %s is damaged and cannot be put aside: %s",
			 store->path, strerror(-r));
		return r;
	}
	pthread_mutex_lock(&store->mutex);
	memcpy(store->hold, hold, sizeof(hold));
	pthread_mutex_unlock(&store->mutex);
	log_line(LOG_CRIT, "%s", hold);
	return 0;
}
