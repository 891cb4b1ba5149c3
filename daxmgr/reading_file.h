/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker read from a source that is polled, as it travels to the
 * daemon: a sealed memfd, checked once at open like a snapshot_file.h.
 */
#ifndef DAXMGR_READING_FILE_H
#define DAXMGR_READING_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source/last_boot_decode.h"

enum {
	READINGS_MAX = 65536,
	READING_UNIT_BYTES = 64,
	READING_NAME_BYTES = 64,
	SAVED_PANICS_MAX = 64,
	SAVED_PANIC_FILE_BYTES = 256,
	SAVED_PANIC_EXCERPT_BYTES = 2048,
};

/* One number of one device. */
struct reading {
	char unit[READING_UNIT_BYTES]; /* PCI address or memN */
	char name[READING_NAME_BYTES]; /* "correctable.RxErr", "life-used", ... */
	uint64_t value;
	uint64_t serial; /* of a memdev */
	bool has_serial;
};

/* What a kernel that died left behind. */
struct saved_panic {
	struct last_boot_panic panic;
	char file[SAVED_PANIC_FILE_BYTES];
	uint64_t modified_us; /* of the file, wall clock */
	uint32_t excerpt_bytes;
	char excerpt[SAVED_PANIC_EXCERPT_BYTES]; /* from the line that says why on; as it was */
};

struct reading_file {
	void *map;
	size_t bytes;
	uint32_t n;
	const struct reading *readings; /* points into the map */
	const struct saved_panic *panics; /* one of the two is NULL */
};

#define READING_FILE_NULL ((struct reading_file){0})

/* Writes one into a new sealed memfd. Return: the descriptor or a negative errno. */
int reading_file_write(const struct reading *readings, uint32_t n);
int reading_file_write_panics(const struct saved_panic *panics, uint32_t n);

/*
 * Maps and checks one; `fd` stays the caller's. Return: 0; -EBADMSG when its
 * content is none; -EPERM when it could still change (seals are missing); or a
 * negative errno.
 */
int reading_file_open(int fd, struct reading_file *ret);

/* Unmaps. Accepts READING_FILE_NULL. */
void reading_file_close(struct reading_file *file);

#endif
