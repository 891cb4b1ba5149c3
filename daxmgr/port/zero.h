/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Emptying an instance, and proving in another process that it is empty.
 * Memory that fails under the hand is an error with its offset, not a death.
 */
#ifndef DAXMGR_ZERO_H
#define DAXMGR_ZERO_H

#include "port.h"

/*
 * Writes zeroes to all of it, each line once and past the caches. Return: 0;
 * -EFAULT when the memory failed (SIGBUS), told with the offset; or a negative
 * errno. completion->bytes: how much was done.
 */
int zero_write(struct port *port, const struct job_instance *instance);

/* Reads all of it. Return: also -EUCLEAN for a byte that is not zero, told with its offset. */
int zero_prove(struct port *port, const struct job_instance *instance);

/* The two on any file that can be mapped, for tests; `*ret_done` counts what went well. */
int zero_file(int fd, uint64_t bytes, uint64_t align, bool write, uint64_t *ret_done);

#endif
