/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "faulty_disk.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

enum { FAULTS_MAX = 8 };

struct file {
	sqlite3_file base;
	sqlite3_file *real; /* lies behind this struct */
};

static struct {
	pthread_mutex_t mutex;
	struct disk_fault faults[FAULTS_MAX];
	uint64_t seen[FAULTS_MAX]; /* calls of its kind since it was set */
	int n;
	uint64_t calls[DISK_CALLS];
	sqlite3_vfs vfs, *real;
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

static sqlite3_file *real(sqlite3_file *file)
{
	return ((struct file *)file)->real;
}

static int on_close(sqlite3_file *file)
{
	return real(file)->pMethods->xClose(real(file));
}

static int on_read(sqlite3_file *file, void *to, int bytes, sqlite3_int64 offset)
{
	enum disk_fault_kind kind;

	if (hit(DISK_READ, &kind))
		return SQLITE_IOERR_READ;
	return real(file)->pMethods->xRead(real(file), to, bytes, offset);
}

static int on_write(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 offset)
{
	enum disk_fault_kind kind;

	if (!hit(DISK_WRITE, &kind))
		return real(file)->pMethods->xWrite(real(file), from, bytes, offset);
	switch (kind) {
	case DISK_TEARS:
		real(file)->pMethods->xWrite(real(file), from, bytes / 2, offset);
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

static int on_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
	return real(file)->pMethods->xTruncate(real(file), bytes);
}

static int on_sync(sqlite3_file *file, int flags)
{
	enum disk_fault_kind kind;

	if (!hit(DISK_SYNC, &kind))
		return real(file)->pMethods->xSync(real(file), flags);
	return SQLITE_IOERR_FSYNC;
}

static int on_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	return real(file)->pMethods->xFileSize(real(file), ret);
}

static int on_lock(sqlite3_file *file, int level)
{
	return real(file)->pMethods->xLock(real(file), level);
}

static int on_unlock(sqlite3_file *file, int level)
{
	return real(file)->pMethods->xUnlock(real(file), level);
}

static int on_check_lock(sqlite3_file *file, int *ret)
{
	return real(file)->pMethods->xCheckReservedLock(real(file), ret);
}

static int on_control(sqlite3_file *file, int operation, void *argument)
{
	return real(file)->pMethods->xFileControl(real(file), operation, argument);
}

static int on_sector_size(sqlite3_file *file)
{
	return real(file)->pMethods->xSectorSize(real(file));
}

static int on_characteristics(sqlite3_file *file)
{
	return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static int on_shm_map(sqlite3_file *file, int page, int bytes, int extend, void volatile **ret)
{
	return real(file)->pMethods->xShmMap(real(file), page, bytes, extend, ret);
}

static int on_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return real(file)->pMethods->xShmLock(real(file), offset, n, flags);
}

static void on_shm_barrier(sqlite3_file *file)
{
	real(file)->pMethods->xShmBarrier(real(file));
}

static int on_shm_unmap(sqlite3_file *file, int and_delete)
{
	return real(file)->pMethods->xShmUnmap(real(file), and_delete);
}

/* Version 2: with shared memory, without memory-mapped files, which would pass us by. */
static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_check_lock,
	.xFileControl = on_control,
	.xSectorSize = on_sector_size,
	.xDeviceCharacteristics = on_characteristics,
	.xShmMap = on_shm_map,
	.xShmLock = on_shm_lock,
	.xShmBarrier = on_shm_barrier,
	.xShmUnmap = on_shm_unmap,
};

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
	struct file *file = (struct file *)base;
	int code;

	(void)vfs;
	file->base.pMethods = NULL;
	file->real = (sqlite3_file *)(file + 1);
	if (refuses(name, &flags))
		return SQLITE_CANTOPEN;
	code = disk.real->xOpen(disk.real, name, file->real, flags, ret_flags);
	if (code == SQLITE_OK)
		file->base.pMethods = &methods;
	return code;
}

void faulty_disk_install(void)
{
	assert(!disk.real);
	disk.real = sqlite3_vfs_find(NULL);
	disk.vfs = *disk.real;
	disk.vfs.zName = "faulty";
	disk.vfs.szOsFile = (int)sizeof(struct file) + disk.real->szOsFile;
	disk.vfs.xOpen = on_open;
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
