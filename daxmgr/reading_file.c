/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reading_file.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "sealed_file.h"

enum reading_kind { READING_NUMBERS, READING_PANICS };

struct reading_header {
	uint64_t magic;
	uint32_t kind; /* enum reading_kind */
	uint32_t count;
	uint64_t element_bytes; /* a reader of another layout sees it here */
};

static const uint64_t READING_MAGIC = 0x3144414552585844; /* "DXXREAD1" */

static int reading_write(uint32_t kind, const void *elements, uint32_t n, size_t element_bytes)
{
	const struct reading_header header = {READING_MAGIC, kind, n, element_bytes};
	size_t bytes = n * element_bytes;
	_cleanup_close_ int fd = -1;
	int written, error;

	fd = memfd_create("daxmgr-readings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (write(fd, &header, sizeof(header)) != (ssize_t)sizeof(header) ||
	    (bytes && write(fd, elements, bytes) != (ssize_t)bytes))
		return -EIO;
	error = sealed_file_seal(fd);
	if (error)
		return error;
	written = fd;
	fd = -1;
	return written;
}

int reading_file_write(const struct reading *readings, uint32_t n)
{
	return reading_write(READING_NUMBERS, readings, n, sizeof(*readings));
}

int reading_file_write_panics(const struct saved_panic *panics, uint32_t n)
{
	return reading_write(READING_PANICS, panics, n, sizeof(*panics));
}

static bool text_valid(const char *text, size_t room)
{
	const char *end = memchr(text, '\0', room);

	for (; end && text < end; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return end != NULL;
}

/* A byte that is neither 0 nor 1 is no bool. */
static bool flag_valid(const bool *flag)
{
	unsigned char byte;

	memcpy(&byte, flag, 1);
	return byte <= 1;
}

static bool reading_valid(const struct reading *reading)
{
	return text_valid(reading->unit, sizeof(reading->unit)) &&
	       text_valid(reading->name, sizeof(reading->name)) && flag_valid(&reading->has_serial);
}

static bool panic_valid(const struct saved_panic *saved)
{
	return text_valid(saved->panic.text, sizeof(saved->panic.text)) &&
	       text_valid(saved->panic.function, sizeof(saved->panic.function)) &&
	       flag_valid(&saved->panic.panic) && flag_valid(&saved->panic.machine_check) &&
	       flag_valid(&saved->panic.cxl) && text_valid(saved->file, sizeof(saved->file)) &&
	       saved->excerpt_bytes <= sizeof(saved->excerpt);
}

static bool reading_parse(const void *map, size_t bytes, struct reading_file *ret)
{
	const struct reading_header *header = map;
	const struct reading *readings = (const void *)(header + 1);
	const struct saved_panic *panics = (const void *)(header + 1);
	bool numbers = header->kind == READING_NUMBERS;
	size_t element = numbers ? sizeof(*readings) : sizeof(*panics);

	if (header->magic != READING_MAGIC || header->kind > READING_PANICS ||
	    header->element_bytes != element ||
	    header->count > (numbers ? READINGS_MAX : SAVED_PANICS_MAX) ||
	    bytes != sizeof(*header) + header->count * element)
		return false;
	for (uint32_t i = 0; i < header->count; i++)
		if (numbers ? !reading_valid(&readings[i]) : !panic_valid(&panics[i]))
			return false;
	ret->n = header->count;
	ret->readings = numbers ? readings : NULL;
	ret->panics = numbers ? NULL : panics;
	return true;
}

int reading_file_open(int fd, struct reading_file *ret)
{
	struct reading_file file = READING_FILE_NULL;
	int error;

	error = sealed_file_map(fd, sizeof(struct reading_header), &file.map, &file.bytes);
	if (error)
		return error;
	if (!reading_parse(file.map, file.bytes, &file)) {
		munmap(file.map, file.bytes);
		return -EBADMSG;
	}
	*ret = file;
	return 0;
}

void reading_file_close(struct reading_file *file)
{
	if (file->map)
		munmap(file->map, file->bytes);
	*file = READING_FILE_NULL;
}
