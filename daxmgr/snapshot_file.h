/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A snapshot as it travels from a worker to the daemon: one sealed memfd.
 *
 * The reader trusts nothing in it: sizes, offsets, indices, strings and
 * booleans are checked once at open, so that the engine may use the arrays
 * where they lie. The seals make sure that they stay as they were checked.
 */
#ifndef DAXMGR_SNAPSHOT_FILE_H
#define DAXMGR_SNAPSHOT_FILE_H

#include <isolate/snapshot.h>

enum {
	SNAPSHOT_HOST_BRIDGES_MAX = 64,
	SNAPSHOT_PORTS_MAX = 576,
	SNAPSHOT_MEMDEVS_MAX = 256,
	SNAPSHOT_WINDOWS_MAX = 64,
	SNAPSHOT_REGIONS_MAX = 1024,
	SNAPSHOT_INSTANCES_MAX = 16384,
};

struct snapshot_file {
	void *map;
	size_t bytes;
	struct iso_snapshot snapshot; /* points into the map */
};

#define SNAPSHOT_FILE_NULL ((struct snapshot_file){0})

/* Writes a snapshot into a new sealed memfd. Return: the descriptor or a negative errno. */
int snapshot_file_write(const struct iso_snapshot *snapshot);

/*
 * Maps and checks one; `fd` stays the caller's. Return: 0; -EBADMSG when its
 * content is not a snapshot; -EPERM when it could still change (seals are
 * missing); or a negative errno.
 */
int snapshot_file_open(int fd, struct snapshot_file *ret);

/* Unmaps. Accepts SNAPSHOT_FILE_NULL. */
void snapshot_file_close(struct snapshot_file *file);

#endif
