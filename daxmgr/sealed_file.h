/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A memfd that cannot change any more: how a worker hands the daemon more than fits in a message. */
#ifndef DAXMGR_SEALED_FILE_H
#define DAXMGR_SEALED_FILE_H

#include <stddef.h>

/* Makes a memfd final. Return: 0 or a negative errno. */
int sealed_file_seal(int fd);

/*
 * Maps one for reading; `fd` stays the caller's, the map is to be unmapped by
 * munmap(). Return: 0; -EPERM when it could still change; -EBADMSG when it has
 * less than `min_bytes`; or a negative errno.
 */
int sealed_file_map(int fd, size_t min_bytes, void **ret_map, size_t *ret_bytes);

#endif
