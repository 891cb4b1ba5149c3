/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's own memory: on DRAM nodes and locked there, so that it neither
 * pages in while it kills nor lives in the memory that fails.
 */
#ifndef DAXMGR_MEMORY_H
#define DAXMGR_MEMORY_H

/* Takes memory from nodes that have CPUs from here on, also in threads started later. */
void memory_bind(void);

/*
 * Locks what is mapped and what will be, the calling thread's stack with room
 * to grow. Return: 0 or negative errno; the daemon works without.
 */
int memory_lock(void);

#endif
