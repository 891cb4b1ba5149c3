/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attributes below a root prefix, with the kernel's own errno. Used for what
 * libcxl and libdaxctl lack or answer with an error code of their own.
 * Paths are given as a printf format and start with '/'.
 */
#ifndef DAXMGR_SYSFS_H
#define DAXMGR_SYSFS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYSFS_FORMAT(string, first) __attribute__((format(printf, string, first)))

/*
 * Reads an attribute without its final newline. Return: 0; -ENOBUFS when it
 * does not fit; -ENAMETOOLONG when the path does not; or a negative errno.
 */
int sysfs_read(const char *root, char *ret, size_t room, const char *format, ...)
	SYSFS_FORMAT(4, 5);

/* Reads what is no text. Return: as sysfs_read(); -ENOBUFS when it does not fit. */
int sysfs_read_bytes(const char *root, void *ret, size_t room, size_t *ret_bytes,
		     const char *format, ...) SYSFS_FORMAT(5, 6);

/* Reads a number, decimal or with 0x. Return: also -EINVAL for anything else. */
int sysfs_read_u64(const char *root, uint64_t *ret, const char *format, ...) SYSFS_FORMAT(3, 4);

/* Reads a device number "MAJOR:MINOR". */
int sysfs_read_dev(const char *root, uint32_t *ret_major, uint32_t *ret_minor, const char *format,
		   ...) SYSFS_FORMAT(4, 5);

/*
 * Writes `text` with a single write(2). Return: 0; -EMSGSIZE when the kernel
 * took only a part of it; or the negative errno of the kernel.
 */
int sysfs_write(const char *root, const char *text, const char *format, ...) SYSFS_FORMAT(3, 4);

/* Last component of a link's target. */
int sysfs_link(const char *root, char *ret, size_t room, const char *format, ...)
	SYSFS_FORMAT(4, 5);

/* The path without links, relative to the root; `ret` holds PATH_MAX bytes. */
int sysfs_real(const char *root, char *ret, const char *format, ...) SYSFS_FORMAT(3, 4);

bool sysfs_exists(const char *root, const char *format, ...) SYSFS_FORMAT(2, 3);

/* Whether an error of the above says that it is not there, or not any more: others say nothing. */
bool sysfs_is_gone(int error);

/* The kernel's counter of uevents; 0 when it cannot be read. */
uint64_t sysfs_uevent_seqnum(const char *root);

/* Opens a directory; NULL and errno when it cannot. */
DIR *sysfs_open(const char *root, const char *format, ...) SYSFS_FORMAT(2, 3);

#endif
