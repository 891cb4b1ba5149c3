/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's own memory: on DRAM nodes and locked there, so that it neither
 * pages in while it kills nor lives in the memory that fails.
 */
#ifndef DAXMGR_MEMORY_H
#define DAXMGR_MEMORY_H

#include <stddef.h>

/* Takes memory from nodes that have CPUs from here on, also in threads started later. */
void memory_bind(void);

/*
 * Locks what is mapped and what will be, all of it there from the beginning, and
 * the calling thread's stack with room to grow. Return: 0 or negative errno; the
 * daemon works without.
 */
int memory_lock(void);

/*
 * Room for tables of which most is never used: zeroed, and each page is taken,
 * and locked if all else is, when it is touched first. What a kill needs of it has
 * to be touched before. Only at the start: what other threads map meanwhile is
 * locked in the same way. Return: it, or NULL with errno set; it is given back by
 * memory_release().
 */
void *memory_reserve(size_t bytes);
void memory_release(void *memory, size_t bytes);

#endif
