/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the VFS for SQLite of tests have in common: files that pass everything on to real ones. */
#ifndef DAXMGR_TEST_PASSING_DISK_H
#define DAXMGR_TEST_PASSING_DISK_H

#include <sqlite3.h>

/* Begins every file of such a VFS. */
struct passing_file {
	sqlite3_file base;
	sqlite3_file *real;
};

/* The file behind one whose struct begins with struct passing_file. */
sqlite3_file *passing_real(sqlite3_file *file);

/*
 * Methods that pass all calls on, to be replaced where a test wants something else. Of version 2: with shared
 * memory, without memory-mapped files, which would pass us by.
 */
sqlite3_io_methods passing_methods(void);

#endif
