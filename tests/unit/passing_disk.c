/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "passing_disk.h"

sqlite3_file *passing_real(sqlite3_file *file)
{
	return ((struct passing_file *)file)->real;
}

static int on_close(sqlite3_file *file)
{
	return passing_real(file)->pMethods->xClose(passing_real(file));
}

static int on_read(sqlite3_file *file, void *to, int bytes, sqlite3_int64 offset)
{
	return passing_real(file)->pMethods->xRead(passing_real(file), to, bytes, offset);
}

static int on_write(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 offset)
{
	return passing_real(file)->pMethods->xWrite(passing_real(file), from, bytes, offset);
}

static int on_sync(sqlite3_file *file, int flags)
{
	return passing_real(file)->pMethods->xSync(passing_real(file), flags);
}

static int on_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	return passing_real(file)->pMethods->xFileSize(passing_real(file), ret);
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
	return passing_real(file)->pMethods->xTruncate(passing_real(file), bytes);
}

static int on_lock(sqlite3_file *file, int level)
{
	return passing_real(file)->pMethods->xLock(passing_real(file), level);
}

static int on_unlock(sqlite3_file *file, int level)
{
	return passing_real(file)->pMethods->xUnlock(passing_real(file), level);
}

static int on_check_lock(sqlite3_file *file, int *ret)
{
	return passing_real(file)->pMethods->xCheckReservedLock(passing_real(file), ret);
}

static int on_control(sqlite3_file *file, int operation, void *argument)
{
	return passing_real(file)->pMethods->xFileControl(passing_real(file), operation, argument);
}

static int on_sector_size(sqlite3_file *file)
{
	return passing_real(file)->pMethods->xSectorSize(passing_real(file));
}

static int on_characteristics(sqlite3_file *file)
{
	return passing_real(file)->pMethods->xDeviceCharacteristics(passing_real(file));
}

static int on_shm_map(sqlite3_file *file, int page, int bytes, int extend, void volatile **ret)
{
	return passing_real(file)->pMethods->xShmMap(passing_real(file), page, bytes, extend, ret);
}

static int on_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return passing_real(file)->pMethods->xShmLock(passing_real(file), offset, n, flags);
}

static void on_shm_barrier(sqlite3_file *file)
{
	passing_real(file)->pMethods->xShmBarrier(passing_real(file));
}

static int on_shm_unmap(sqlite3_file *file, int and_delete)
{
	return passing_real(file)->pMethods->xShmUnmap(passing_real(file), and_delete);
}

sqlite3_io_methods passing_methods(void)
{
	return (sqlite3_io_methods){
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
}
