/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk below SQLite whose power can go: a VFS over the default one, linked
 * into tests only. What was written and not synced since may be there
 * afterwards, wholly or in part, or not. That a file was made is not lost.
 *
 * Calls come from the store's thread, settings from the test's.
 */
#ifndef TESTS_LOSSY_DISK_H
#define TESTS_LOSSY_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* The default VFS of this process from now on. Nothing is lost yet. */
void lossy_disk_install(void);

/*
 * Counts writes and syncs anew; at the `nth` of them the power goes: from that
 * one on all fail. 0: never. A disk that `lies` says that it has synced.
 */
void lossy_disk_begin(uint64_t nth, bool lies);

/* Writes and syncs since then. */
uint64_t lossy_disk_calls(void);

/*
 * The power is back, nobody has a file open: the files become what survived.
 * Seed 0: of what was not synced nothing does; others decide what does.
 */
void lossy_disk_settle(uint32_t seed);

#endif
