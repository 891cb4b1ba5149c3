/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stops.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cleanup.h"

struct stop {
	uint64_t pid; /* 0: the place is free */
	uint64_t process_start;
};

struct stops {
	char path[PATH_MAX];
	struct stop *places; /* shared with the file */
	uint32_t room;
	struct stop *left; /* by an earlier daemon */
	uint32_t n_left;
};

static int path_of_new(const struct stops *stops, char *to, size_t room)
{
	return (size_t)snprintf(to, room, "%s.new", stops->path) < room ? 0 : -ENAMETOOLONG;
}

static int read_left(struct stops *stops)
{
	_cleanup_close_ int fd = open(stops->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stop stop;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	stops->left = calloc(stops->room, sizeof(stops->left[0]));
	if (!stops->left)
		return -ENOMEM;
	while ((n = read(fd, &stop, sizeof(stop))) == sizeof(stop))
		if (stop.pid && stops->n_left < stops->room)
			stops->left[stops->n_left++] = stop;
	return n < 0 ? -errno : 0;
}

/* All of it is there before it is needed: a store into it takes no memory and meets no full file system. */
static int make_places(struct stops *stops)
{
	size_t bytes = stops->room * sizeof(stops->places[0]);
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	void *places;
	int r;

	r = path_of_new(stops, path, sizeof(path));
	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = posix_fallocate(fd, 0, (off_t)bytes);
	if (r > 0)
		return -r;
	places = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (places == MAP_FAILED)
		return -errno;
	stops->places = places;
	return 0;
}

int stops_open(const char *path, uint32_t room, struct stops **ret)
{
	struct stops *stops = calloc(1, sizeof(*stops));
	int r;

	if (!stops)
		return -ENOMEM;
	stops->room = room;
	r = (size_t)snprintf(stops->path, sizeof(stops->path), "%s", path) < sizeof(stops->path)
		    ? read_left(stops)
		    : -ENAMETOOLONG;
	if (r >= 0)
		r = make_places(stops);
	if (r < 0) {
		stops_free(stops);
		return r;
	}
	*ret = stops;
	return 0;
}

struct stops *stops_free(struct stops *stops)
{
	if (!stops)
		return NULL;
	if (stops->places)
		munmap(stops->places, stops->room * sizeof(stops->places[0]));
	free(stops->left);
	free(stops);
	return NULL;
}

int stops_settle(struct stops *stops)
{
	char path[PATH_MAX];
	int r;

	if (!stops)
		return 0;
	r = path_of_new(stops, path, sizeof(path));
	if (r < 0)
		return r;
	return rename(path, stops->path) < 0 ? -errno : 0;
}

void stops_set(struct stops *stops, uint32_t place, pid_t pid, uint64_t process_start)
{
	struct stop *stop;

	if (!stops || pid <= 0 || !process_start)
		return;
	stop = &stops->places[place];
	/* Whoever dies in between has written down nothing, and stopped nobody. */
	__atomic_store_n(&stop->process_start, process_start, __ATOMIC_RELEASE);
	__atomic_store_n(&stop->pid, (uint64_t)pid, __ATOMIC_RELEASE);
}

void stops_clear(struct stops *stops, uint32_t place)
{
	if (stops)
		__atomic_store_n(&stops->places[place].pid, 0, __ATOMIC_RELEASE);
}

bool stops_was_left(const struct stops *stops, pid_t pid, uint64_t process_start)
{
	if (!stops || pid <= 0 || !process_start)
		return false;
	for (uint32_t i = 0; i < stops->n_left; i++)
		if (stops->left[i].pid == (uint64_t)pid &&
		    stops->left[i].process_start == process_start)
			return true;
	return false;
}
