/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk below SQLite that can be told to fail: a VFS over the default one. It
 * is linked into tests only, and what is tested is the store as it is.
 *
 * Faults are counted from the moment they are set, on all files together. Calls
 * come from the store's thread, settings from the test's.
 */
#ifndef TESTS_FAULTY_DISK_H
#define TESTS_FAULTY_DISK_H

#include <stdbool.h>
#include <stdint.h>

enum disk_call {
	DISK_OPEN,
	DISK_READ,
	DISK_WRITE,
	DISK_SYNC,
	DISK_CALLS,
};

enum disk_fault_kind {
	DISK_FAILS,     /* EIO */
	DISK_IS_FULL,   /* ENOSPC; of DISK_OPEN: of files that would have to be made */
	DISK_READ_ONLY, /* EROFS; files that are there open for reading */
	DISK_TEARS,     /* the first half of a write is done, then it fails */
	DISK_DELAYS,
};

struct disk_fault {
	enum disk_call call;
	enum disk_fault_kind kind;
	uint64_t nth; /* the first call it hits, from 1; 0: as 1 */
	uint64_t times; /* how many calls; 0: for ever */
	uint64_t delay_ns;
};

/* The default VFS of this process from now on. Nothing fails yet. */
void faulty_disk_install(void);

/* One more fault; eight at most. */
void faulty_disk_add(struct disk_fault fault);
/* A disk that is full, read-only or broken in every way, for ever. */
void faulty_disk_break(enum disk_fault_kind kind);
/* Nothing fails any more, and calls are counted from 0. */
void faulty_disk_heal(void);
/* Calls since the last heal. */
uint64_t faulty_disk_calls(enum disk_call call);

#endif
