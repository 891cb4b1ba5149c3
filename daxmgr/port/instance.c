/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../cleanup.h"
#include "dax.h"
#include "guard.h"
#include "iomem.h"
#include "node.h"
#include "place.h"
#include "sysfs.h"

struct instance_build {
	uint32_t region, id;
	char name[DAX_NAME_BYTES]; /* empty before the device is there */
};

static int instance_failed(struct port *port, const struct instance_build *b, int error,
			   const char *step)
{
	if (b->name[0])
		return port_fail(port, error, "carve: %s: %s (%s)", step, strerror(-error),
				 b->name);
	return port_fail(port, error, "carve: %s: %s (dax_region%u)", step, strerror(-error),
			 b->region);
}

struct instance_ids {
	uint32_t n, room;
	uint32_t *ids;
};

static void instance_ids_free(struct instance_ids *ids)
{
	free(ids->ids);
}

static int instance_ids_read(struct port *port, uint32_t region, struct instance_ids *ids)
{
	_cleanup_closedir_ DIR *dir = dax_region_open(port->root, region);
	uint32_t id;

	if (!dir)
		return -errno;
	while (dax_region_next(dir, region, &id)) {
		if (ids->n == ids->room) {
			uint32_t room = ids->room ? 2 * ids->room : 64;
			uint32_t *grown = reallocarray(ids->ids, room, sizeof(*grown));

			if (!grown)
				return -ENOMEM;
			ids->ids = grown;
			ids->room = room;
		}
		ids->ids[ids->n++] = id;
	}
	return 0;
}

static bool instance_ids_has(const struct instance_ids *ids, uint32_t id)
{
	for (uint32_t i = 0; i < ids->n; i++)
		if (ids->ids[i] == id)
			return true;
	return false;
}

/* The region's `seed` is not the newest device: what was not there before is. */
static int instance_find_new(struct port *port, struct instance_build *b,
			     const struct instance_ids *before)
{
	_cleanup_(instance_ids_free) struct instance_ids after = {0};
	int error = instance_ids_read(port, b->region, &after);

	if (error)
		return error;
	for (uint32_t i = 0; i < after.n; i++) {
		if (instance_ids_has(before, after.ids[i]))
			continue;
		if (b->name[0])
			return -ENOTUNIQ; /* somebody else creates devices too */
		b->id = after.ids[i];
		dax_name(b->region, b->id, b->name);
	}
	return b->name[0] ? 0 : -ENOENT;
}

static int instance_create(struct port *port, struct instance_build *b)
{
	_cleanup_(instance_ids_free) struct instance_ids before = {0};
	int error;

	error = instance_ids_read(port, b->region, &before);
	if (error)
		return instance_failed(port, b, error, "list devices");
	error = sysfs_write(port->root, "1", "/sys/bus/cxl/devices/dax_region%u/dax_region/create",
			    b->region);
	if (error)
		return instance_failed(port, b, error, "create");
	error = instance_find_new(port, b, &before);
	if (error)
		return instance_failed(port, b, error, "find the new device");
	return guard_claim(port, b->region, b->id);
}

/* The kernel chooses where. */
static int instance_size(struct port *port, struct instance_build *b,
			 const struct job_instance *wanted)
{
	char text[32];
	int error;

	snprintf(text, sizeof(text), "%" PRIu64, wanted->bytes);
	error = sysfs_write(port->root, text, "/sys/bus/dax/devices/%s/size", b->name);
	return error ? instance_failed(port, b, error, "size") : 0;
}

/* Around what is bad, range by range. */
static int instance_place(struct port *port, struct instance_build *b,
			  const struct job_carve *carve)
{
	struct iso_hpa_range pieces[ISO_PIECES_MAX];
	uint32_t n = 0;
	char text[64];
	int error;

	error = place_choose(port, carve, pieces, &n);
	for (uint32_t i = 0; !error && i < n; i++) {
		snprintf(text, sizeof(text), "%" PRIx64 "-%" PRIx64, pieces[i].start.v,
			 pieces[i].start.v + pieces[i].bytes - 1);
		error = sysfs_write(port->root, text, "/sys/bus/dax/devices/%s/mapping", b->name);
		if (error)
			return instance_failed(port, b, error, "mapping");
	}
	return error;
}

static int instance_shape(struct port *port, struct instance_build *b,
			  const struct job_carve *carve)
{
	const struct job_instance *wanted = &carve->instance;
	struct dax_device device;
	char text[32];
	int error;

	error = dax_read(port->root, b->region, b->id, &device);
	if (error)
		return instance_failed(port, b, error, "read");
	if (device.align != wanted->align) {
		snprintf(text, sizeof(text), "%" PRIu64, wanted->align);
		error = sysfs_write(port->root, text, "/sys/bus/dax/devices/%s/align", b->name);
		if (error)
			return instance_failed(port, b, error, "align");
	}
	error = carve->n_avoid ? instance_place(port, b, carve) : instance_size(port, b, wanted);
	if (error)
		return error;
	/* The kernel may take a value and do something else. */
	error = dax_read(port->root, b->region, b->id, &device);
	if (error)
		return instance_failed(port, b, error, "read back");
	if (device.bytes != wanted->bytes || device.align != wanted->align)
		return port_fail(port, -EREMOTEIO,
				 "carve: %s has size %" PRIu64 " align %" PRIu64 ", not %" PRIu64
				 " and %" PRIu64,
				 b->name, device.bytes, device.align, wanted->bytes, wanted->align);
	return 0;
}

static int instance_bind(struct port *port, struct instance_build *b)
{
	int error, forgotten;

	error = sysfs_write(port->root, b->name, "/sys/bus/dax/drivers/device_dax/new_id");
	forgotten = sysfs_write(port->root, b->name, "/sys/bus/dax/drivers/device_dax/remove_id");
	if (error)
		return instance_failed(port, b, error,
				       error == -ENOENT ? "new_id (is device_dax loaded?)"
							: "new_id");
	/* An id that stays would bind the next device of this name to whoever owns it. */
	if (forgotten)
		return instance_failed(port, b, forgotten, "remove_id");
	if (dax_driver(port->root, b->name) != ISO_DAX_DEVICE_DAX)
		return instance_failed(port, b, -ENODEV, "bind to device_dax");
	return 0;
}

static bool instance_hits(const struct iso_hpa_range *piece, const struct iso_hpa_range *bad)
{
	return piece->start.v < bad->start.v + bad->bytes &&
	       bad->start.v < piece->start.v + piece->bytes;
}

/* Where it lies, by the kernel's own word. */
static int instance_locate(struct port *port, struct instance_build *b,
			   const struct job_carve *carve)
{
	_cleanup_(iomem_free) struct iomem iomem = IOMEM_NULL;
	struct iso_completion *c = port->completion;
	int error = iomem_read(port->root, &iomem);

	if (error)
		return instance_failed(port, b, error, "/proc/iomem");
	c->n_pieces = iomem_pieces(&iomem, b->region, b->id, c->pieces);
	if (c->n_pieces > ISO_PIECES_MAX) {
		c->n_pieces = 0;
		return port_fail(port, -E2BIG, "carve: %s would be in more than %d pieces", b->name,
				 ISO_PIECES_MAX);
	}
	for (uint32_t i = 0; i < c->n_pieces; i++)
		for (uint32_t j = 0; j < carve->n_avoid; j++)
			if (instance_hits(&c->pieces[i], &carve->avoid[j]))
				return port_fail(port, -EREMOTEIO,
						 "carve: the kernel put %s over bad memory",
						 b->name);
	return 0;
}

static int instance_finish(struct port *port, struct instance_build *b,
			   const struct job_carve *carve)
{
	struct iso_completion *c = port->completion;
	struct dax_device device;
	int error;

	error = dax_read(port->root, b->region, b->id, &device);
	if (error)
		return instance_failed(port, b, error, "read back");
	error = instance_locate(port, b, carve);
	if (!error)
		error = node_wait(port, b->name, device.major, device.minor);
	if (error)
		return error;
	c->region_kernel_id = b->region;
	c->kernel_id = b->id;
	c->major = device.major;
	c->minor = device.minor;
	c->bytes = device.bytes;
	c->uevent_seqnum = sysfs_uevent_seqnum(port->root);
	c->range.start = device.start;
	return 0;
}

static int instance_build(struct port *port, const struct job_carve *carve)
{
	struct instance_build b = {.region = carve->instance.region_kernel_id};
	const char *step;
	int error;

	error = instance_create(port, &b);
	if (!error)
		error = instance_shape(port, &b, carve);
	if (!error)
		error = instance_bind(port, &b);
	if (!error)
		error = instance_finish(port, &b, carve);
	if (error && b.name[0])
		(void)dax_remove(port->root, b.region, b.id, &step);
	return error;
}

int instance_carve(struct port *port, const struct job_carve *carve)
{
	struct guard guard = GUARD_NULL;
	_cleanup_close_ int lock = -1;
	int error;

	if (carve->n_avoid > ISO_AVOID_MAX)
		return port_fail(port, -E2BIG, "carve: too many bad places to go around");
	/* new_id binds every device whose name is listed: one carves at a time, host-wide. */
	lock = port_lock(port, "carve");
	if (lock < 0)
		return lock;
	error = guard_enter(port, &guard);
	if (!error)
		error = instance_build(port, carve);
	guard_leave(port, &guard);
	return error;
}

int instance_remove(struct port *port, const struct job_instance *instance)
{
	uint32_t region = instance->region_kernel_id, id = instance->kernel_id;
	struct guard guard = GUARD_NULL;
	struct dax_device device;
	const char *step = "";
	int error;

	if (id && instance->major && !dax_read(port->root, region, id, &device) &&
	    (device.major != instance->major || device.minor != instance->minor)) {
		/* Names are used again: the one that is meant has gone. */
		port_say(port, "dax%u.%u is %u:%u now, not %u:%u: another instance, left alone",
			 region, id, device.major, device.minor, instance->major, instance->minor);
		return 0;
	}
	error = guard_enter(port, &guard);
	if (!error)
		error = guard_claim(port, region, id);
	if (!error && !id) {
		error = guard_reclaim(port, region); /* the region's own: emptied, not deleted */
	} else if (!error) {
		error = dax_remove(port->root, region, id, &step);
		if (error)
			port_fail(port, error, "remove: %s: %s (dax%u.%u)", step, strerror(-error),
				  region, id);
	}
	guard_leave(port, &guard);
	return error;
}
