/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspection_file.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "sealed_file.h"

struct inspection_header {
	uint64_t magic;
	uint64_t uevent_seqnum;
	uint32_t count;
	uint32_t element_bytes; /* a reader of another layout sees it here */
};

static const uint64_t INSPECTION_MAGIC = 0x3150534e49585844; /* "DXXINSP1" */
static const uint32_t INSPECTION_PINS = 2 * (uint32_t)ISO_PIN_UNKNOWN - 1;

int inspection_file_write(const struct iso_inspection *inspection)
{
	const struct inspection_header header = {
		.magic = INSPECTION_MAGIC,
		.uevent_seqnum = inspection->uevent_seqnum,
		.count = inspection->n_mappers,
		.element_bytes = sizeof(*inspection->mappers),
	};
	size_t bytes = (size_t)inspection->n_mappers * sizeof(*inspection->mappers);
	_cleanup_close_ int fd = -1;
	int written, error;

	fd = memfd_create("daxmgr-inspection", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (write(fd, &header, sizeof(header)) != (ssize_t)sizeof(header) ||
	    (bytes && write(fd, inspection->mappers, bytes) != (ssize_t)bytes))
		return -EIO;
	error = sealed_file_seal(fd);
	if (error)
		return error;
	written = fd;
	fd = -1;
	return written;
}

static bool inspection_text_valid(const char *text)
{
	const char *end = memchr(text, '\0', ISO_EVIDENCE_BYTES);

	for (; end && text < end; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return end != NULL;
}

static bool inspection_parse(const void *map, size_t bytes, struct iso_inspection *ret)
{
	const struct inspection_header *header = map;
	struct iso_inspection i = {
		.mappers = (const void *)(header + 1),
		.n_mappers = header->count,
		.uevent_seqnum = header->uevent_seqnum,
	};

	if (header->magic != INSPECTION_MAGIC || header->element_bytes != sizeof(*i.mappers) ||
	    i.n_mappers > INSPECTION_MAPPERS_MAX ||
	    bytes != sizeof(*header) + i.n_mappers * sizeof(*i.mappers))
		return false;
	for (uint32_t at = 0; at < i.n_mappers; at++)
		if (i.mappers[at].pid <= 0 || i.mappers[at].pins & ~INSPECTION_PINS ||
		    !inspection_text_valid(i.mappers[at].evidence))
			return false;
	*ret = i;
	return true;
}

int inspection_file_open(int fd, struct inspection_file *ret)
{
	struct iso_inspection inspection;
	size_t bytes;
	void *map;
	int error;

	error = sealed_file_map(fd, sizeof(struct inspection_header), &map, &bytes);
	if (error)
		return error;
	if (!inspection_parse(map, bytes, &inspection)) {
		munmap(map, bytes);
		return -EBADMSG;
	}
	*ret = (struct inspection_file){map, bytes, inspection};
	return 0;
}

void inspection_file_close(struct inspection_file *file)
{
	if (file->map)
		munmap(file->map, file->bytes);
	*file = INSPECTION_FILE_NULL;
}
