/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "snapshot_file.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "sealed_file.h"

enum { SNAPSHOT_ARRAYS = 6, SNAPSHOT_ALIGN = 16 };

struct snapshot_header {
	uint64_t magic;
	uint64_t bytes; /* of the whole file */
	uint64_t uevent_seqnum;
	struct {
		uint64_t offset;
		uint32_t count;
		uint32_t element_bytes; /* a reader of another layout sees it here */
	} arrays[SNAPSHOT_ARRAYS];
};

struct snapshot_array {
	const void *elements;
	uint32_t count;
	uint32_t element_bytes;
	uint32_t count_max;
};

static const uint64_t SNAPSHOT_MAGIC = 0x3250414e53585844; /* "DXXSNAP2" */

static void snapshot_arrays(const struct iso_snapshot *s,
			    struct snapshot_array ret[SNAPSHOT_ARRAYS])
{
	const struct snapshot_array arrays[SNAPSHOT_ARRAYS] = {
		{s->host_bridges, s->n_host_bridges, sizeof(*s->host_bridges),
		 SNAPSHOT_HOST_BRIDGES_MAX},
		{s->ports, s->n_ports, sizeof(*s->ports), SNAPSHOT_PORTS_MAX},
		{s->memdevs, s->n_memdevs, sizeof(*s->memdevs), SNAPSHOT_MEMDEVS_MAX},
		{s->windows, s->n_windows, sizeof(*s->windows), SNAPSHOT_WINDOWS_MAX},
		{s->regions, s->n_regions, sizeof(*s->regions), SNAPSHOT_REGIONS_MAX},
		{s->instances, s->n_instances, sizeof(*s->instances), SNAPSHOT_INSTANCES_MAX},
	};

	memcpy(ret, arrays, sizeof(arrays));
}

static size_t snapshot_align(size_t bytes)
{
	return (bytes + SNAPSHOT_ALIGN - 1) & ~(size_t)(SNAPSHOT_ALIGN - 1);
}

int snapshot_file_write(const struct iso_snapshot *snapshot)
{
	struct snapshot_header header = {
		.magic = SNAPSHOT_MAGIC,
		.uevent_seqnum = snapshot->uevent_seqnum,
	};
	struct snapshot_array arrays[SNAPSHOT_ARRAYS];
	_cleanup_close_ int fd = -1;
	size_t end = snapshot_align(sizeof(header));
	int written, error;

	snapshot_arrays(snapshot, arrays);
	for (size_t i = 0; i < SNAPSHOT_ARRAYS; i++) {
		header.arrays[i].offset = end;
		header.arrays[i].count = arrays[i].count;
		header.arrays[i].element_bytes = arrays[i].element_bytes;
		end += snapshot_align((size_t)arrays[i].count * arrays[i].element_bytes);
	}
	header.bytes = end;
	fd = memfd_create("daxmgr-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)end) < 0)
		return -errno;
	if (pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return -EIO;
	for (size_t i = 0; i < SNAPSHOT_ARRAYS; i++) {
		size_t bytes = (size_t)arrays[i].count * arrays[i].element_bytes;

		if (bytes && pwrite(fd, arrays[i].elements, bytes,
				    (off_t)header.arrays[i].offset) != (ssize_t)bytes)
			return -EIO;
	}
	error = sealed_file_seal(fd);
	if (error)
		return error;
	written = fd;
	fd = -1;
	return written;
}

/* A bool that holds anything but 0 or 1 is undefined to read as one. */
static bool snapshot_bool_valid(const bool *value)
{
	unsigned char byte;

	memcpy(&byte, value, 1);
	return byte <= 1;
}

static bool snapshot_text_valid(const char *text, size_t room)
{
	return memchr(text, '\0', room) != NULL;
}

static bool snapshot_index_valid(uint32_t index, uint32_t count)
{
	return index == ISO_NONE || index < count;
}

static bool snapshot_ports_valid(const struct iso_snapshot *s)
{
	for (uint32_t i = 0; i < s->n_host_bridges; i++)
		if (!snapshot_text_valid(s->host_bridges[i].path, ISO_PATH_BYTES))
			return false;
	for (uint32_t i = 0; i < s->n_ports; i++) {
		const struct iso_observed_port *p = &s->ports[i];

		/* A parent stands before its children: so no chain can be a ring. */
		if (!snapshot_text_valid(p->path, ISO_PATH_BYTES) ||
		    p->kind > ISO_PORT_SWITCH_DOWNSTREAM || p->host_bridge >= s->n_host_bridges ||
		    !snapshot_index_valid(p->parent, i) || !snapshot_bool_valid(&p->system_ram))
			return false;
	}
	return true;
}

static bool snapshot_memdevs_valid(const struct iso_snapshot *s)
{
	for (uint32_t i = 0; i < s->n_memdevs; i++) {
		const struct iso_observed_memdev *m = &s->memdevs[i];

		if (!snapshot_text_valid(m->path, ISO_PATH_BYTES) ||
		    !snapshot_text_valid(m->name, sizeof(m->name)) ||
		    !snapshot_index_valid(m->port, s->n_ports) || !snapshot_bool_valid(&m->bound))
			return false;
	}
	for (uint32_t i = 0; i < s->n_windows; i++) {
		const struct iso_observed_window *w = &s->windows[i];

		if (w->ways > ISO_WAYS_MAX || w->arithmetic > ISO_ARITHMETIC_XOR ||
		    !snapshot_bool_valid(&w->volatile_capable))
			return false;
		for (uint32_t j = 0; j < w->ways; j++)
			if (!snapshot_index_valid(w->host_bridges[j], s->n_host_bridges))
				return false;
	}
	return true;
}

static bool snapshot_regions_valid(const struct iso_snapshot *s)
{
	for (uint32_t i = 0; i < s->n_regions; i++) {
		const struct iso_observed_region *r = &s->regions[i];

		if (r->ways > ISO_WAYS_MAX || !snapshot_bool_valid(&r->committed) ||
		    !snapshot_bool_valid(&r->bound) || !snapshot_bool_valid(&r->has_dax) ||
		    !snapshot_bool_valid(&r->locked) || !snapshot_bool_valid(&r->is_volatile))
			return false;
		for (uint32_t j = 0; j < ISO_WAYS_MAX; j++)
			if (!snapshot_bool_valid(&r->targets[j].present))
				return false;
	}
	for (uint32_t i = 0; i < s->n_instances; i++)
		if (s->instances[i].driver > ISO_DAX_OTHER ||
		    s->instances[i].n_pieces > ISO_PIECES_MAX)
			return false;
	return true;
}

static bool snapshot_layout_valid(const struct snapshot_header *header, size_t bytes,
				  const struct snapshot_array arrays[SNAPSHOT_ARRAYS])
{
	if (header->magic != SNAPSHOT_MAGIC || header->bytes != bytes)
		return false;
	for (size_t i = 0; i < SNAPSHOT_ARRAYS; i++) {
		uint64_t offset = header->arrays[i].offset;
		uint64_t need = (uint64_t)header->arrays[i].count * arrays[i].element_bytes;

		if (header->arrays[i].element_bytes != arrays[i].element_bytes ||
		    header->arrays[i].count > arrays[i].count_max || offset % SNAPSHOT_ALIGN ||
		    offset < sizeof(*header) || offset > bytes || need > bytes - offset)
			return false;
	}
	return true;
}

static bool snapshot_parse(const void *map, size_t bytes, struct iso_snapshot *ret)
{
	const struct snapshot_header *header = map;
	struct snapshot_array arrays[SNAPSHOT_ARRAYS];
	const char *base = map;
	struct iso_snapshot s = {0};

	snapshot_arrays(&s, arrays);
	if (bytes < sizeof(*header) || !snapshot_layout_valid(header, bytes, arrays))
		return false;
	s.host_bridges = (const void *)(base + header->arrays[0].offset);
	s.ports = (const void *)(base + header->arrays[1].offset);
	s.memdevs = (const void *)(base + header->arrays[2].offset);
	s.windows = (const void *)(base + header->arrays[3].offset);
	s.regions = (const void *)(base + header->arrays[4].offset);
	s.instances = (const void *)(base + header->arrays[5].offset);
	s.n_host_bridges = header->arrays[0].count;
	s.n_ports = header->arrays[1].count;
	s.n_memdevs = header->arrays[2].count;
	s.n_windows = header->arrays[3].count;
	s.n_regions = header->arrays[4].count;
	s.n_instances = header->arrays[5].count;
	s.uevent_seqnum = header->uevent_seqnum;
	if (!snapshot_ports_valid(&s) || !snapshot_memdevs_valid(&s) || !snapshot_regions_valid(&s))
		return false;
	*ret = s;
	return true;
}

int snapshot_file_open(int fd, struct snapshot_file *ret)
{
	struct iso_snapshot snapshot;
	size_t bytes;
	void *map;
	int error;

	error = sealed_file_map(fd, sizeof(struct snapshot_header), &map, &bytes);
	if (error)
		return error;
	if (!snapshot_parse(map, bytes, &snapshot)) {
		munmap(map, bytes);
		return -EBADMSG;
	}
	*ret = (struct snapshot_file){map, bytes, snapshot};
	return 0;
}

void snapshot_file_close(struct snapshot_file *file)
{
	if (file->map)
		munmap(file->map, file->bytes);
	*file = SNAPSHOT_FILE_NULL;
}
