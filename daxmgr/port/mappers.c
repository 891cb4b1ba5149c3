/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mappers.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../cleanup.h"
#include "dax.h"
#include "sysfs.h"

struct mappers_walk {
	const char *root;
	const struct job_instance *instances;
	uint32_t n;
	uint32_t n_holders; /* a descriptor, no mapping */
	int32_t holder;
};

bool mappers_parse(char *line, struct mappers_line *ret)
{
	uint64_t start, end, offset, inode;
	unsigned int major_number, minor_number;
	char flags[5];
	int used = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &start,
		   &end, flags, &offset, &major_number, &minor_number, &inode, &used) != 7 ||
	    !used)
		return false;
	snprintf(ret->range, sizeof(ret->range), "%" PRIx64 "-%" PRIx64, start, end);
	ret->shared = strlen(flags) == 4 && flags[3] == 's';
	ret->inode = inode;
	ret->path = line + used;
	return true;
}

bool mappers_is_node(const char *path, const char *dax_name)
{
	const char *name = strrchr(path, '/');
	size_t length = strlen(dax_name);

	return name && !strncmp(name + 1, dax_name, length) &&
	       (!name[1 + length] || !strcmp(name + 1 + length, " (deleted)"));
}

static bool mappers_is_number(const struct mappers_walk *walk, dev_t number)
{
	for (uint32_t i = 0; i < walk->n; i++)
		if (number == makedev(walk->instances[i].major, walk->instances[i].minor))
			return true;
	return false;
}

static bool mappers_is_name(const struct mappers_walk *walk, const char *path)
{
	for (uint32_t i = 0; i < walk->n; i++) {
		char name[DAX_NAME_BYTES];

		dax_name(walk->instances[i].region_kernel_id, walk->instances[i].kernel_id, name);
		if (mappers_is_node(path, name))
			return true;
	}
	return false;
}

static bool mappers_line_hits(const struct mappers_walk *walk, const char *pid,
			      const struct mappers_line *line)
{
	char path[PATH_MAX];
	struct stat st;

	/* Device-dax can be mapped shared only. */
	if (!line->shared || !line->inode || !line->path[0])
		return false;
	snprintf(path, sizeof(path), "%s/proc/%s/map_files/%s", walk->root, pid, line->range);
	if (stat(path, &st) == 0)
		return S_ISCHR(st.st_mode) && mappers_is_number(walk, st.st_rdev);
	return mappers_is_name(walk, line->path);
}

/* Most lines are private mappings of libraries: not worth taking apart. */
static bool mappers_worth_parsing(const char *text)
{
	const char *flags = strchr(text, ' ');

	return flags && strnlen(flags, 5) == 5 && flags[4] == 's';
}

/* Return: 1 when it maps one, 0 when not or when it has gone. */
static int mappers_maps(const struct mappers_walk *walk, const char *pid)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	size_t room = 0;

	snprintf(path, sizeof(path), "%s/proc/%s/maps", walk->root, pid);
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	while (getline(&text, &room, file) >= 0) {
		struct mappers_line line;

		if (mappers_worth_parsing(text) && mappers_parse(text, &line) &&
		    mappers_line_hits(walk, pid, &line))
			return 1;
	}
	return 0;
}

static bool mappers_holds(const struct mappers_walk *walk, const char *pid)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(walk->root, "/proc/%s/fd", pid);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char target[128];
		ssize_t length;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		length = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (length <= 0)
			continue;
		target[length] = '\0';
		if (mappers_is_name(walk, target))
			return true;
	}
	return false;
}

static int mappers_process(struct port *port, struct mappers_walk *walk, const char *pid)
{
	struct iso_completion *c = port->completion;
	int maps = mappers_maps(walk, pid);

	if (maps < 0)
		return port_fail(port, maps, "/proc/%s/maps: %s", pid, strerror(-maps));
	if (maps) {
		if (c->n_mappers < ISO_MAPPERS_MAX)
			c->mappers[c->n_mappers] = (int32_t)strtol(pid, NULL, 10);
		c->n_mappers++;
	} else if (mappers_holds(walk, pid)) {
		walk->n_holders++;
		walk->holder = (int32_t)strtol(pid, NULL, 10);
	}
	return 0;
}

int mappers_find(struct port *port, const struct job_instance *instances, uint32_t n)
{
	struct mappers_walk walk = {.root = port->root, .instances = instances, .n = n};
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/proc");
	struct dirent *entry;

	if (!dir)
		return port_fail(port, -errno, "%s/proc: %s", port->root, strerror(errno));
	while (n && (entry = readdir(dir))) {
		int error;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		error = mappers_process(port, &walk, entry->d_name);
		if (error)
			return error;
	}
	if (walk.n_holders)
		port_say(port, "%u process%s hold%s it open without mapping it (pid %d)",
			 walk.n_holders, walk.n_holders == 1 ? "" : "es",
			 walk.n_holders == 1 ? "s" : "", walk.holder);
	return 0;
}
