/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lossy_disk.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "passing_disk.h"

enum {
	IMAGES_MAX = 8,
	SECTOR_BYTES = 512, /* written wholly or not at all */
};

/* A write, or a truncation when it has no bytes. */
struct change {
	struct change *next;
	size_t offset;
	size_t bytes;
	unsigned char data[];
};

/* A file as it would be found without power, and what came on top of that. */
struct image {
	char path[PATH_MAX];
	unsigned char *durable;
	size_t size;
	struct change *first, *last;
};

struct file {
	struct passing_file passing;
	struct image *image; /* NULL: a file without a name */
};

static struct {
	pthread_mutex_t mutex;
	struct image images[IMAGES_MAX];
	uint64_t calls, nth;
	bool lies;
	sqlite3_vfs vfs, *real;
	sqlite3_io_methods methods;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- images ---- */

static void resize(struct image *image, size_t size)
{
	if (size > image->size) {
		image->durable = realloc(image->durable, size);
		assert(image->durable);
		memset(image->durable + image->size, 0, size - image->size);
	}
	image->size = size;
}

static void apply(struct image *image, const struct change *change, size_t bytes)
{
	if (!change->bytes) {
		resize(image, change->offset);
		return;
	}
	if (!bytes)
		return;
	if (change->offset + bytes > image->size)
		resize(image, change->offset + bytes);
	memcpy(image->durable + change->offset, change->data, bytes);
}

static void forget_changes(struct image *image)
{
	while (image->first) {
		struct change *change = image->first;

		image->first = change->next;
		free(change);
	}
	image->last = NULL;
}

static void drop(struct image *image)
{
	forget_changes(image);
	free(image->durable);
	*image = (struct image){0};
}

static void load(struct image *image)
{
	int fd = open(image->path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		resize(image, (size_t)st.st_size);
		assert(pread(fd, image->durable, image->size, 0) == (ssize_t)image->size);
	}
	close(fd);
}

static struct image *image_of(const char *path)
{
	struct image *free_one = NULL;

	for (int i = 0; i < IMAGES_MAX; i++) {
		if (!strcmp(disk.images[i].path, path))
			return &disk.images[i];
		if (!disk.images[i].path[0])
			free_one = &disk.images[i];
	}
	assert(free_one);
	snprintf(free_one->path, sizeof(free_one->path), "%s", path);
	load(free_one);
	return free_one;
}

static void note(struct image *image, size_t offset, const void *data, size_t bytes)
{
	struct change *change = malloc(sizeof(*change) + bytes);

	assert(change);
	*change = (struct change){.offset = offset, .bytes = bytes};
	if (bytes)
		memcpy(change->data, data, bytes);
	if (image->last)
		image->last->next = change;
	else
		image->first = change;
	image->last = change;
}

/* Return: whether there is power for one call more. */
static bool has_power(void)
{
	bool has;

	pthread_mutex_lock(&disk.mutex);
	disk.calls++;
	has = !disk.nth || disk.calls < disk.nth;
	pthread_mutex_unlock(&disk.mutex);
	return has;
}

/* ---- SQLite's side ---- */

static struct file *of(sqlite3_file *file)
{
	return (struct file *)file;
}

static int on_write(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 offset)
{
	if (!has_power())
		return SQLITE_IOERR_WRITE;
	if (of(file)->image)
		note(of(file)->image, (size_t)offset, from, (size_t)bytes);
	return passing_real(file)->pMethods->xWrite(passing_real(file), from, bytes, offset);
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
	if (!has_power())
		return SQLITE_IOERR_TRUNCATE;
	if (of(file)->image)
		note(of(file)->image, (size_t)bytes, NULL, 0);
	return passing_real(file)->pMethods->xTruncate(passing_real(file), bytes);
}

static int on_sync(sqlite3_file *file, int flags)
{
	struct image *image = of(file)->image;

	(void)flags; /* slow, and no test of ours survives a loss of real power */
	if (!has_power())
		return SQLITE_IOERR_FSYNC;
	if (!image || disk.lies)
		return SQLITE_OK;
	for (const struct change *change = image->first; change; change = change->next)
		apply(image, change, change->bytes);
	forget_changes(image);
	return SQLITE_OK;
}

static int on_sector_size(sqlite3_file *file)
{
	(void)file;
	return SECTOR_BYTES;
}

/* Nothing is promised: not that a write is atomic, nor that writes keep their order. */
static int on_characteristics(sqlite3_file *file)
{
	(void)file;
	return 0;
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
		   int *ret_flags)
{
	struct file *file = of(base);
	int code;

	(void)vfs;
	*file = (struct file){.passing.real = (sqlite3_file *)(file + 1)};
	if (name)
		file->image = image_of(name);
	code = disk.real->xOpen(disk.real, name, file->passing.real, flags, ret_flags);
	if (code == SQLITE_OK)
		base->pMethods = &disk.methods;
	return code;
}

static int on_delete(sqlite3_vfs *vfs, const char *name, int sync_directory)
{
	int code;

	(void)vfs;
	if (!has_power())
		return SQLITE_IOERR_DELETE;
	code = disk.real->xDelete(disk.real, name, sync_directory);
	if (code == SQLITE_OK)
		drop(image_of(name));
	return code;
}

/* ---- the test's side ---- */

void lossy_disk_install(void)
{
	assert(!disk.real);
	disk.real = sqlite3_vfs_find(NULL);
	disk.vfs = *disk.real;
	disk.vfs.zName = "lossy";
	disk.vfs.szOsFile = (int)sizeof(struct file) + disk.real->szOsFile;
	disk.vfs.xOpen = on_open;
	disk.vfs.xDelete = on_delete;
	disk.methods = passing_methods();
	disk.methods.xWrite = on_write;
	disk.methods.xTruncate = on_truncate;
	disk.methods.xSync = on_sync;
	disk.methods.xSectorSize = on_sector_size;
	disk.methods.xDeviceCharacteristics = on_characteristics;
	sqlite3_vfs_register(&disk.vfs, 1);
}

void lossy_disk_begin(uint64_t nth, bool lies)
{
	pthread_mutex_lock(&disk.mutex);
	disk.calls = 0;
	disk.nth = nth;
	disk.lies = lies;
	pthread_mutex_unlock(&disk.mutex);
}

uint64_t lossy_disk_calls(void)
{
	uint64_t n;

	pthread_mutex_lock(&disk.mutex);
	n = disk.calls;
	pthread_mutex_unlock(&disk.mutex);
	return n;
}

static uint32_t draw(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 16;
}

/* How much of a write reached the disk by itself: all, nothing, or sectors from its begin. */
static size_t survives(const struct change *change, uint32_t *state)
{
	uint32_t chance = draw(state) % 4;

	if (chance < 2)
		return chance ? change->bytes : 0;
	return change->bytes / SECTOR_BYTES
		       ? draw(state) % (change->bytes / SECTOR_BYTES) * SECTOR_BYTES
		       : 0;
}

static void write_back(const struct image *image)
{
	int fd = open(image->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return; /* it was deleted, or never made */
	assert(ftruncate(fd, (off_t)image->size) == 0);
	assert(pwrite(fd, image->durable, image->size, 0) == (ssize_t)image->size);
	close(fd);
}

void lossy_disk_settle(uint32_t seed)
{
	uint32_t state = seed;

	for (int i = 0; i < IMAGES_MAX; i++) {
		struct image *image = &disk.images[i];

		if (!image->path[0])
			continue;
		for (const struct change *change = image->first; seed && change;
		     change = change->next)
			if (change->bytes || draw(&state) % 2)
				apply(image, change, survives(change, &state));
		write_back(image);
		drop(image);
	}
	lossy_disk_begin(0, false);
}
