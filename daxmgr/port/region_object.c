/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "region_object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "guard.h"
#include "sysfs.h"

#define REGION "/sys/bus/cxl/devices/region%u"

static int region_step_failed(struct port *port, const char *name, uint32_t id, int error,
			      const char *step)
{
	return port_fail(port, error, "region %s: %s: %s (region%u)", name, step, strerror(-error),
			 id);
}

int region_target_serial(struct port *port, uint32_t id, uint32_t position, uint64_t *ret)
{
	char decoder[32], memdev[32];
	int error;

	error = sysfs_read(port->root, decoder, sizeof(decoder), REGION "/target%u", id, position);
	if (!error && !decoder[0])
		error = -ENOENT;
	if (!error)
		error = sysfs_link(port->root, memdev, sizeof(memdev),
				   "/sys/bus/cxl/devices/%s/../uport", decoder);
	if (!error)
		error = sysfs_read_u64(port->root, ret, "/sys/bus/cxl/devices/%s/serial", memdev);
	return error;
}

bool region_is_meant(struct port *port, const struct job_region *region)
{
	const struct iso_region_definition *d = &region->definition;

	for (uint32_t i = 0; i < d->ways && i < ISO_WAYS_MAX; i++) {
		uint64_t serial;

		if (region_target_serial(port, region->kernel_id, i, &serial) ||
		    serial == d->serials[i])
			continue;
		port_say(port,
			 "region%u has memdev 0x%" PRIx64 " as target%u, not 0x%" PRIx64
			 ": another region, left alone",
			 region->kernel_id, serial, i, d->serials[i]);
		return false;
	}
	return true;
}

/* The kernel commits a host bridge's decoders in ascending order only. */
static void region_say_order(struct port *port, int error)
{
	if (error == -EBUSY)
		port_say(port, "a region with higher addresses on the same host bridge has to go "
			       "first");
}

/* The host bridge or switch above a leg whose decoders are all committed, or NULL. */
static const char *region_full_port(struct port *port, const struct region_leg *leg)
{
	struct cxl_port *above = cxl_port_get_parent(leg->endpoint);

	/* The root has windows, not decoders to give away. */
	for (; above && !cxl_port_is_root(above); above = cxl_port_get_parent(above)) {
		const char *name = cxl_port_get_devname(above);
		struct cxl_decoder *decoder;
		uint64_t committed, n = 0;

		cxl_decoder_foreach(above, decoder) n++;
		if (n > 1 &&
		    !sysfs_read_u64(port->root, &committed,
				    "/sys/bus/cxl/devices/%s/decoders_committed", name) &&
		    committed >= n)
			return name;
	}
	return NULL;
}

int region_target_set(struct port *port, const char *name, uint32_t id, uint32_t position,
		      const struct region_leg *leg)
{
	const char *decoder = cxl_decoder_get_devname(leg->decoder);
	int error = sysfs_write(port->root, decoder, REGION "/target%u", id, position);
	const char *full;

	if (!error)
		return 0;
	full = error == -EBUSY ? region_full_port(port, leg) : NULL;
	if (full) /* no matter of order: nobody who goes first would help but for his decoder */
		return port_fail(port, -EMFILE,
				 "region %s: target%u = %s: all decoders of %s are in use (%s)",
				 name, position, decoder, full, leg->name);
	port_fail(port, error, "region %s: target%u = %s: %s (%s)", name, position, decoder,
		  strerror(-error), leg->name);
	region_say_order(port, error);
	return error;
}

void region_target_clear(struct port *port, uint32_t id, uint32_t position)
{
	/* An empty line: an empty write would not reach the kernel. */
	(void)sysfs_write(port->root, "\n", REGION "/target%u", id, position);
}

int region_commit(struct port *port, const char *name, uint32_t id)
{
	int error = sysfs_write(port->root, "1", REGION "/commit", id);

	if (!error)
		return 0;
	region_step_failed(port, name, id, error, "commit");
	region_say_order(port, error);
	return error;
}

static int region_range(struct port *port, const char *name, uint32_t id, struct iso_hpa_range *ret)
{
	uint64_t start, bytes;
	int error;

	error = sysfs_read_u64(port->root, &start, REGION "/resource", id);
	if (!error)
		error = sysfs_read_u64(port->root, &bytes, REGION "/size", id);
	if (error)
		return region_step_failed(port, name, id, error, "read back");
	*ret = (struct iso_hpa_range){{start}, bytes};
	return 0;
}

/* Not cxl_region_enable(): it hides the errno. */
static int region_bind(struct port *port, const char *name, uint32_t id)
{
	char device[32];
	int error;

	if (sysfs_exists(port->root, REGION "/driver", id))
		return 0;
	snprintf(device, sizeof(device), "region%u", id);
	error = sysfs_write(port->root, device, "/sys/bus/cxl/drivers/cxl_region/bind");
	return error ? region_step_failed(port, name, id, error, "bind") : 0;
}

int region_serve(struct port *port, const char *name, uint32_t id, bool *ret_keep)
{
	struct guard guard = GUARD_NULL;
	struct iso_hpa_range range;
	int error;

	error = region_range(port, name, id, &range);
	if (error)
		return error;
	error = guard_enter(port, &guard);
	if (!error)
		error = guard_claim(port, id, 0);
	if (!error)
		error = region_bind(port, name, id);
	if (!error)
		error = guard_disarm(port, id, range);
	if (error)
		*ret_keep = guard_is_system_ram(port, range);
	guard_leave(port, &guard);
	if (error)
		return error;
	port->completion->kernel_id = id;
	port->completion->range = range;
	return 0;
}
