/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What kernels that died left in pstore (ERST, EFI variables, ramoops): still
 * there, or where systemd-pstore(8) has put it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cleanup.h"
#include "readings.h"
#include "sysfs.h"

enum { FILE_BYTES_MAX = 256 * 1024, FILES_MAX = 4096, DEPTH_MAX = 3 };

struct search {
	struct port *port;
	struct saved_panic *found;
	char *text;
	uint32_t n, n_files;
};

/* What others (ftrace, pmsg) hold is no log of the kernel's. */
static bool is_log(const char *name)
{
	return !strncmp(name, "dmesg", 5) || !strncmp(name, "console", 7);
}

/* Of one death there may be several files, and each may tell what the others do not. */
static void add_to(struct saved_panic *one, const struct last_boot_panic *panic)
{
	one->panic.cxl |= panic->cxl;
	one->panic.machine_check |= panic->machine_check;
	if (!one->panic.function[0])
		memcpy(one->panic.function, panic->function, sizeof(one->panic.function));
}

/* The newest of many deaths are kept. Return: NULL where there is nothing more to keep of it. */
static struct saved_panic *place_for(struct search *search, const struct last_boot_panic *panic,
				     uint64_t modified_us)
{
	struct saved_panic *oldest = NULL;

	for (uint32_t i = 0; i < search->n; i++) {
		struct saved_panic *one = &search->found[i];

		if (one->panic.key == panic->key) {
			add_to(one, panic);
			return NULL;
		}
		if (!oldest || one->modified_us < oldest->modified_us)
			oldest = one;
	}
	if (search->n < SAVED_PANICS_MAX)
		return &search->found[search->n++];
	return oldest->modified_us < modified_us ? oldest : NULL;
}

static void keep(struct search *search, const char *path, const struct stat *status, size_t bytes)
{
	uint64_t modified_us = (uint64_t)status->st_mtim.tv_sec * 1000000 +
			       (uint64_t)status->st_mtim.tv_nsec / 1000;
	struct last_boot_panic panic;
	struct saved_panic *to;
	size_t rest;

	if (!last_boot_decode(search->text, bytes, &panic))
		return;
	to = place_for(search, &panic, modified_us);
	if (!to)
		return;
	memset(to, 0, sizeof(*to)); /* it is written to a file as it is */
	to->panic = panic;
	to->modified_us = modified_us;
	snprintf(to->file, sizeof(to->file), "%s", path);
	for (char *c = to->file; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	rest = bytes - panic.at;
	to->excerpt_bytes = (uint32_t)(rest < sizeof(to->excerpt) ? rest : sizeof(to->excerpt));
	memcpy(to->excerpt, search->text + panic.at, to->excerpt_bytes);
}

static void read_file(struct search *search, int dir, const char *name, const char *path)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat status;
	size_t bytes = 0;
	ssize_t n = 0;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return;
	/* The end says why: of a long file only that is read. */
	if (status.st_size > FILE_BYTES_MAX &&
	    lseek(fd, status.st_size - FILE_BYTES_MAX, SEEK_SET) < 0)
		return;
	while (bytes < FILE_BYTES_MAX &&
	       (n = read(fd, search->text + bytes, FILE_BYTES_MAX - bytes)) > 0)
		bytes += (size_t)n;
	if (n >= 0)
		keep(search, path, &status, bytes);
}

static int walk(struct search *search, int fd, const char *path, unsigned int depth)
{
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		close(fd);
		return -errno;
	}
	while ((entry = readdir(dir)) && search->n_files < FILES_MAX) {
		char below[SAVED_PANIC_FILE_BYTES];
		int sub;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%.100s", path, entry->d_name);
		search->n_files++;
		if (is_log(entry->d_name)) {
			read_file(search, dirfd(dir), entry->d_name, below);
			continue;
		}
		sub = depth < DEPTH_MAX ? openat(dirfd(dir), entry->d_name,
						 O_RDONLY | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW)
					: -1;
		if (sub >= 0)
			walk(search, sub, below, depth + 1);
	}
	return 0;
}

/* Return: 0, also when it is not there, or a negative errno. */
static int search_below(struct search *search, const char *path, bool *ret_there)
{
	char full[512];
	int fd;

	snprintf(full, sizeof(full), "%s%s", search->port->root, path);
	fd = open(full, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	*ret_there = true;
	return walk(search, fd, path, 0);
}

static int search_all(struct search *search)
{
	static const char *const places[] = {"/sys/fs/pstore", "/var/lib/systemd/pstore"};
	bool there = false;
	int error = 0;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int r = search_below(search, places[i], &there);

		if (r < 0)
			error = port_fail(search->port, r, "%s: %s", places[i], strerror(-r));
	}
	if (!error && !there)
		return port_fail(search->port, -ENOENT, "no pstore on this host");
	return search->n ? 0 : error;
}

int last_boot_read(struct port *port)
{
	struct search search = {.port = port};
	int fd;

	search.found = calloc(SAVED_PANICS_MAX, sizeof(*search.found));
	search.text = malloc(FILE_BYTES_MAX);
	fd = search.found && search.text ? search_all(&search) : -ENOMEM;
	if (!fd)
		fd = reading_file_write_panics(search.found, search.n);
	free(search.found);
	free(search.text);
	return fd < 0 ? port_fail(port, fd, "saved logs: %s", strerror(-fd)) : fd;
}
