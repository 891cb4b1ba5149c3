/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "region.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../cleanup.h"
#include "libcxl_root.h"
#include "region_legs.h"
#include "region_object.h"
#include "sysfs.h"

enum { REGION_UNIT_BYTES = 256 * 1024 * 1024 }; /* CXL specification: decoder granule */

/* What is being made; all of it is known to region_undo(). */
struct region_build {
	const struct job_region *wanted;
	const char *name;
	struct cxl_decoder *window;
	struct cxl_region *region;
	char device[32]; /* regionN; empty before it is there */
	bool keep; /* it is System RAM: decoders must not be reset below it */
	struct region_legs legs;
};

static int region_failed(struct port *port, const struct region_build *b, int error,
			 const char *step, const char *device)
{
	port_fail(port, error, "region %s: %s: %s (%s)", b->name, step, strerror(-error), device);
	return error;
}

static struct cxl_decoder *region_window(struct cxl_ctx *ctx, uint32_t kernel_id)
{
	struct cxl_bus *bus;
	struct cxl_decoder *decoder;

	cxl_bus_foreach(ctx, bus)
	{
		if (strcmp(cxl_bus_get_provider(bus), "ACPI.CXL"))
			continue;
		cxl_decoder_foreach(cxl_bus_get_port(bus),
				    decoder) if ((uint32_t)cxl_decoder_get_id(decoder) ==
						 kernel_id) return decoder;
	}
	return NULL;
}

/* Size of the whole region: what is asked for, or the most that fits. */
static int region_size(struct port *port, const struct region_build *b, uint64_t *ret)
{
	uint64_t unit = (uint64_t)REGION_UNIT_BYTES * b->legs.n;
	uint64_t wanted = b->wanted->planned_bytes ? b->wanted->planned_bytes
						   : b->wanted->definition.bytes;
	uint64_t room = region_legs_room(port, &b->legs) / REGION_UNIT_BYTES * unit;
	unsigned long long extent = cxl_decoder_get_max_available_extent(b->window);

	if (!wanted) {
		wanted = room;
		if (extent != ULLONG_MAX && extent < wanted)
			wanted = extent / unit * unit;
	}
	if (!wanted || wanted % unit)
		return port_fail(port, wanted ? -EINVAL : -ENOSPC,
				 "region %s: size 0x%" PRIx64 " is not a multiple of 256 MiB x %u "
				 "(room of the memdevs: 0x%" PRIx64 ")",
				 b->name, wanted, b->legs.n, room);
	if (wanted > room)
		return port_fail(port, -ENOSPC,
				 "region %s: size 0x%" PRIx64
				 " wanted, the memdevs have 0x%" PRIx64,
				 b->name, wanted, room);
	*ret = wanted;
	return 0;
}

static int region_shape(struct port *port, struct region_build *b, uint64_t bytes)
{
	const struct iso_region_definition *d = &b->wanted->definition;
	uint64_t granularity = b->wanted->granularity;
	int error;

	if (!granularity)
		granularity = d->granularity ? d->granularity
					     : cxl_decoder_get_interleave_granularity(b->window);
	errno = 0;
	b->region = cxl_decoder_create_ram_region(b->window);
	if (!b->region)
		return region_failed(port, b, errno ? -errno : -EIO, "create_ram_region",
				     cxl_decoder_get_devname(b->window));
	snprintf(b->device, sizeof(b->device), "%s", cxl_region_get_devname(b->region));
	error = cxl_region_set_interleave_granularity(b->region, (unsigned int)granularity);
	if (error)
		return region_failed(port, b, error, "interleave_granularity", b->device);
	error = cxl_region_set_interleave_ways(b->region, d->ways);
	if (error)
		return region_failed(port, b, error, "interleave_ways", b->device);
	error = cxl_region_set_size(b->region, bytes);
	if (error == -ENOSPC || error == -ENOMEM || error == -ENXIO)
		return port_fail(port, error,
				 "region %s: no room for 0x%" PRIx64
				 " in %s: regions left behind by a "
				 "loss hold it until they are deleted",
				 b->name, bytes, cxl_decoder_get_devname(b->window));
	return error ? region_failed(port, b, error, "size", b->device) : 0;
}

static int region_attach(struct port *port, struct region_build *b, uint32_t id)
{
	int error = 0;

	for (uint32_t i = 0; !error && i < b->legs.n; i++)
		error = region_target_set(port, b->name, id, i, &b->legs.legs[i]);
	return error;
}

/* Last made, first undone. What the kernel has taken away meanwhile is no failure. */
static void region_undo(struct port *port, struct region_build *b)
{
	if (b->device[0])
		(void)sysfs_write(port->root, b->device, "/sys/bus/cxl/devices/%s/delete_region",
				  cxl_decoder_get_devname(b->window));
	region_legs_give_back(&b->legs);
}

static int region_build(struct port *port, struct region_build *b)
{
	const struct job_region *wanted = b->wanted;
	uint64_t bytes = 0;
	int held, error;
	uint32_t id;

	held = region_legs_free(port, &b->legs, b->name);
	if (held < 0)
		return held;
	error = region_size(port, b, &bytes);
	/* What is held may not silently be missing from a region of all there is. */
	if (held && (error == -ENOSPC || (!wanted->planned_bytes && !wanted->definition.bytes)))
		error = port_fail(port, -EBUSY, "region %s: cannot be made before that", b->name);
	if (!error)
		error = region_shape(port, b, bytes);
	if (!error)
		error = region_legs_take(port, &b->legs, b->name, bytes / b->legs.n);
	if (error)
		return error;
	id = (uint32_t)cxl_region_get_id(b->region);
	error = region_attach(port, b, id);
	if (!error)
		error = region_commit(port, b->name, id);
	if (!error)
		error = region_serve(port, b->name, id, &b->keep);
	return error;
}

int region_create(struct port *port, const struct job_region *region)
{
	_cleanup_(libcxl_unrefp) struct cxl_ctx *ctx = NULL;
	struct region_build b = {.wanted = region, .name = region->definition.name};
	int error;

	if (!region->definition.ways || region->definition.ways > ISO_WAYS_MAX)
		return port_fail(port, -EINVAL, "region %s: %u ways", b.name,
				 region->definition.ways);
	error = libcxl_open(port, &ctx);
	if (error)
		return error;
	b.window = region_window(ctx, region->window_kernel_id);
	if (!b.window)
		return port_fail(port, -ENOENT, "region %s: there is no window decoder0.%u", b.name,
				 region->window_kernel_id);
	error = region_legs_find(port, ctx, &region->definition, true, &b.legs);
	if (error)
		return error;
	error = region_build(port, &b);
	if (error && !b.keep)
		region_undo(port, &b);
	return error;
}
