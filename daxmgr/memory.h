/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's own memory: on DRAM nodes and locked there, so that it neither
 * pages in while it kills nor lives in the memory that fails.
 */
#ifndef DAXMGR_MEMORY_H
#define DAXMGR_MEMORY_H

/*
 * Binds to the nodes that have CPUs, then locks what is mapped and what will
 * be. Return: 0, or negative errno of the lock; the daemon works without.
 */
int memory_lock(void);

#endif
