/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who maps which instance and what they pin, as it travels from a worker to
 * the daemon: one sealed memfd, checked once at open like a snapshot_file.h.
 */
#ifndef DAXMGR_INSPECTION_FILE_H
#define DAXMGR_INSPECTION_FILE_H

#include <isolate/event.h>

enum { INSPECTION_MAPPERS_MAX = 65536 };

struct inspection_file {
	void *map;
	size_t bytes;
	struct iso_inspection inspection; /* points into the map */
};

#define INSPECTION_FILE_NULL ((struct inspection_file){0})

/* Writes one into a new sealed memfd. Return: the descriptor or a negative errno. */
int inspection_file_write(const struct iso_inspection *inspection);

/*
 * Maps and checks one; `fd` stays the caller's. Return: 0; -EBADMSG when its
 * content is not an inspection; -EPERM when it could still change (seals are
 * missing); or a negative errno.
 */
int inspection_file_open(int fd, struct inspection_file *ret);

/* Unmaps. Accepts INSPECTION_FILE_NULL. */
void inspection_file_close(struct inspection_file *file);

#endif
