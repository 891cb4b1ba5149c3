/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After a loss the kernel keeps the region's object with its address; only the
 * lost legs' targets are empty. Putting those legs back keeps the address and
 * leaves healthy legs alone. It is not always possible (two targets below one
 * host bridge): then the object has to be deleted and the region made anew.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../cleanup.h"
#include "libcxl_root.h"
#include "region.h"
#include "region_legs.h"
#include "region_object.h"
#include "sysfs.h"

#define REGION "/sys/bus/cxl/devices/region%u"

struct region_refill {
	const struct job_region *wanted;
	const char *name;
	uint32_t id;
	uint64_t bytes; /* of the whole region */
	bool committed; /* by us */
	bool keep; /* it is System RAM: decoders must not be reset below it */
	uint32_t n_written; /* targets we wrote to, also in vain */
	uint32_t positions[ISO_WAYS_MAX]; /* target of each of these */
	struct region_legs legs;
};

/* Return: 0, or a negative errno, told, when the object is not the one to be filled. */
static int region_refill_check(struct port *port, struct region_refill *r)
{
	uint64_t ways;
	int error;

	error = sysfs_read_u64(port->root, &ways, REGION "/interleave_ways", r->id);
	if (!error)
		error = sysfs_read_u64(port->root, &r->bytes, REGION "/size", r->id);
	if (error)
		return port_fail(port, error, "region %s: read region%u: %s", r->name, r->id,
				 strerror(-error));
	if (ways != r->wanted->definition.ways)
		return port_fail(port, -ESTALE, "region %s: region%u has %" PRIu64 " ways, not %u",
				 r->name, r->id, ways, r->wanted->definition.ways);
	if (!r->bytes || r->bytes % ways ||
	    (r->wanted->planned_bytes && r->bytes != r->wanted->planned_bytes))
		return port_fail(port, -ESTALE,
				 "region %s: region%u has 0x%" PRIx64 " bytes, not 0x%" PRIx64,
				 r->name, r->id, r->bytes, r->wanted->planned_bytes);
	if (!region_is_meant(port, r->wanted))
		return port_fail(port, -ESTALE, "region %s: cannot be refilled", r->name);
	return 0;
}

/* The memdevs whose targets are empty. */
static int region_refill_find(struct port *port, struct cxl_ctx *ctx, struct region_refill *r)
{
	const struct iso_region_definition *d = &r->wanted->definition;
	struct iso_region_definition missing = {.ways = 0};

	memcpy(missing.name, d->name, sizeof(missing.name));
	for (uint32_t i = 0; i < d->ways; i++) {
		uint64_t serial;
		int error = region_target_serial(port, r->id, i, &serial);

		if (error == -ENOENT) {
			r->positions[missing.ways] = i;
			missing.serials[missing.ways++] = d->serials[i];
		} else if (error) {
			return port_fail(port, error, "region %s: target%u of region%u: %s",
					 r->name, i, r->id, strerror(-error));
		}
	}
	return region_legs_find(port, ctx, &missing, true, &r->legs);
}

static int region_refill_take(struct port *port, struct region_refill *r)
{
	uint64_t bytes = r->bytes / r->wanted->definition.ways, room;
	int held;

	if (!r->legs.n)
		return 0;
	held = region_legs_free(port, &r->legs, r->name);
	if (held < 0)
		return held;
	room = region_legs_room(port, &r->legs);
	if (bytes > room)
		return port_fail(port, held ? -EBUSY : -ENOSPC,
				 "region %s: a leg needs 0x%" PRIx64
				 ", the memdevs that came back have 0x%" PRIx64,
				 r->name, bytes, room);
	return region_legs_take(port, &r->legs, r->name, bytes);
}

static int region_refill_attach(struct port *port, struct region_refill *r)
{
	while (r->n_written < r->legs.n) {
		uint32_t i = r->n_written++;
		int error =
			region_target_set(port, r->name, r->id, r->positions[i], &r->legs.legs[i]);

		if (error == -EINVAL)
			port_say(port, "the kernel does not take it into this object again: the "
				       "region has to be made anew");
		if (error)
			return error;
	}
	return 0;
}

static int region_refill_commit(struct port *port, struct region_refill *r)
{
	uint64_t committed;
	int error = sysfs_read_u64(port->root, &committed, REGION "/commit", r->id);

	if (!error && committed)
		return 0;
	error = region_commit(port, r->name, r->id);
	r->committed = !error;
	return error;
}

/* So that the object is as it was, and can be cleared and made anew. */
static void region_refill_undo(struct port *port, struct region_refill *r)
{
	if (r->committed)
		(void)sysfs_write(port->root, "0", REGION "/commit", r->id);
	while (r->n_written > 0)
		region_target_clear(port, r->id, r->positions[--r->n_written]);
	region_legs_give_back(&r->legs);
}

static int region_refill_run(struct port *port, struct cxl_ctx *ctx, struct region_refill *r)
{
	int error;

	error = region_refill_check(port, r);
	if (!error)
		error = region_refill_find(port, ctx, r);
	if (!error)
		error = region_refill_take(port, r);
	if (!error)
		error = region_refill_attach(port, r);
	if (!error)
		error = region_refill_commit(port, r);
	if (!error)
		error = region_serve(port, r->name, r->id, &r->keep);
	return error;
}

int region_refill(struct port *port, const struct job_region *region)
{
	_cleanup_(libcxl_unrefp) struct cxl_ctx *ctx = NULL;
	struct region_refill r = {
		.wanted = region, .name = region->definition.name, .id = region->kernel_id};
	int error;

	if (!region->definition.ways || region->definition.ways > ISO_WAYS_MAX)
		return port_fail(port, -EINVAL, "region %s: %u ways", r.name,
				 region->definition.ways);
	error = libcxl_open(port, &ctx);
	if (!error)
		error = region_refill_run(port, ctx, &r);
	if (error && !r.keep)
		region_refill_undo(port, &r);
	return error;
}
