/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "faulty_disk.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "passing_disk.h"

enum { FAULTS_MAX = 8 };

static struct {
	pthread_mutex_t mutex;
	struct disk_fault faults[FAULTS_MAX];
	uint64_t seen[FAULTS_MAX]; /* calls of its kind since it was set */
	int n;
	uint64_t calls[DISK_CALLS];
	sqlite3_vfs vfs, *real;
	sqlite3_io_methods methods;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void delay(uint64_t ns)
{
	struct timespec time = {.tv_sec = (time_t)(ns / 1000000000),
				.tv_nsec = (long)(ns % 1000000000)};

	nanosleep(&time, NULL);
}

/* Counts the call. Return: whether a fault hits it; delays are served here. */
static bool hit(enum disk_call call, enum disk_fault_kind *ret)
{
	uint64_t delay_ns = 0;
	bool any = false;

	pthread_mutex_lock(&disk.mutex);
	disk.calls[call]++;
	for (int i = 0; i < disk.n; i++) {
		const struct disk_fault *fault = &disk.faults[i];
		uint64_t nth = fault->nth ? fault->nth : 1;

		if (fault->call != call || ++disk.seen[i] < nth ||
		    (fault->times && disk.seen[i] >= nth + fault->times))
			continue;
		if (fault->kind == DISK_DELAYS) {
			delay_ns += fault->delay_ns;
			continue;
		}
		*ret = fault->kind;
		any = true;
	}
	pthread_mutex_unlock(&disk.mutex);
	if (delay_ns)
		delay(delay_ns);
	return any;
}

static int on_read(sqlite3_file *file, void *to, int bytes, sqlite3_int64 offset)
{
	enum disk_fault_kind kind;

	if (hit(DISK_READ, &kind))
		return SQLITE_IOERR_READ;
	return passing_real(file)->pMethods->xRead(passing_real(file), to, bytes, offset);
}

static int on_write(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 offset)
{
	enum disk_fault_kind kind;

	if (!hit(DISK_WRITE, &kind))
		return passing_real(file)->pMethods->xWrite(passing_real(file), from, bytes,
							    offset);
	switch (kind) {
	case DISK_TEARS:
		passing_real(file)->pMethods->xWrite(passing_real(file), from, bytes / 2, offset);
		return SQLITE_IOERR_WRITE;
	case DISK_IS_FULL:
		return SQLITE_FULL;
	case DISK_READ_ONLY:
		return SQLITE_READONLY;
	case DISK_FAILS:
	case DISK_DELAYS:
		break;
	}
	return SQLITE_IOERR_WRITE;
}

static int on_sync(sqlite3_file *file, int flags)
{
	enum disk_fault_kind kind;

	if (!hit(DISK_SYNC, &kind))
		return passing_real(file)->pMethods->xSync(passing_real(file), flags);
	return SQLITE_IOERR_FSYNC;
}

/* As a file system does it. Return: whether the file cannot be had at all. */
static bool refuses(const char *name, int *flags)
{
	enum disk_fault_kind kind;

	if (!hit(DISK_OPEN, &kind))
		return false;
	if (kind == DISK_FAILS)
		return true;
	if (!name || access(name, F_OK) < 0)
		return true;
	if (kind == DISK_READ_ONLY && *flags & SQLITE_OPEN_READWRITE) {
		*flags &= ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
		*flags |= SQLITE_OPEN_READONLY;
	}
	return false;
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
		   int *ret_flags)
{
	struct passing_file *file = (struct passing_file *)base;
	int code;

	(void)vfs;
	file->base.pMethods = NULL;
	file->real = (sqlite3_file *)(file + 1);
	if (refuses(name, &flags))
		return SQLITE_CANTOPEN;
	code = disk.real->xOpen(disk.real, name, file->real, flags, ret_flags);
	if (code == SQLITE_OK)
		file->base.pMethods = &disk.methods;
	return code;
}

void faulty_disk_install(void)
{
	assert(!disk.real);
	disk.real = sqlite3_vfs_find(NULL);
	disk.vfs = *disk.real;
	disk.vfs.zName = "faulty";
	disk.vfs.szOsFile = (int)sizeof(struct passing_file) + disk.real->szOsFile;
	disk.vfs.xOpen = on_open;
	disk.methods = passing_methods();
	disk.methods.xRead = on_read;
	disk.methods.xWrite = on_write;
	disk.methods.xSync = on_sync;
	sqlite3_vfs_register(&disk.vfs, 1);
}

void faulty_disk_add(struct disk_fault fault)
{
	pthread_mutex_lock(&disk.mutex);
	assert(disk.n < FAULTS_MAX);
	disk.seen[disk.n] = 0;
	disk.faults[disk.n++] = fault;
	pthread_mutex_unlock(&disk.mutex);
}

void faulty_disk_break(enum disk_fault_kind kind)
{
	faulty_disk_add((struct disk_fault){.call = DISK_OPEN, .kind = kind});
	faulty_disk_add((struct disk_fault){.call = DISK_WRITE, .kind = kind});
	if (kind != DISK_FAILS)
		return;
	faulty_disk_add((struct disk_fault){.call = DISK_READ, .kind = kind});
	faulty_disk_add((struct disk_fault){.call = DISK_SYNC, .kind = kind});
}

void faulty_disk_heal(void)
{
	pthread_mutex_lock(&disk.mutex);
	disk.n = 0;
	memset(disk.calls, 0, sizeof(disk.calls));
	pthread_mutex_unlock(&disk.mutex);
}

uint64_t faulty_disk_calls(enum disk_call call)
{
	uint64_t n;

	pthread_mutex_lock(&disk.mutex);
	n = disk.calls[call];
	pthread_mutex_unlock(&disk.mutex);
	return n;
}
