/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../cleanup.h"
#include "dax.h"
#include "guard.h"
#include "libcxl_root.h"
#include "mappers.h"
#include "process.h"
#include "region.h"
#include "region_legs.h"
#include "region_object.h"
#include "sysfs.h"

static int region_refuse_ram(struct port *port, const char *name, uint32_t id)
{
	_cleanup_closedir_ DIR *dir = dax_region_open(port->root, id);
	char device[DAX_NAME_BYTES];
	uint32_t child;

	while (dir && dax_region_next(dir, id, &child)) {
		dax_name(id, child, device);
		if (dax_driver(port->root, device) == ISO_DAX_KMEM)
			return port_fail(
				port, -EBUSY,
				"region %s: %s is System RAM (driver kmem): offline it first", name,
				device);
	}
	return 0;
}

/* To unbind an instance takes it from whoever maps it: of one made by hand nobody was asked before. */
static int region_refuse_mapped(struct port *port, const char *name, uint32_t id)
{
	_cleanup_(mapping_set_free) struct mapping_set set = {0};
	_cleanup_(mappers_walk_close) struct mappers_walk walk = MAPPERS_WALK_NULL;
	struct mappers_process process;
	char where[ISO_EVIDENCE_BYTES];
	int found;

	found = mapping_set_all(port, &set);
	mapping_set_keep(&set, id);
	if (!found && set.n)
		found = mappers_walk_open(port, &set, false, &walk);
	if (!found && set.n)
		found = mappers_walk_next(&walk, &process);
	if (found <= 0)
		return found;
	process_where(port, process.pid, where);
	return port_fail(port, -EBUSY, "region %s: process %" PRId32 " (%s) maps dax%u.%u", name,
			 process.pid, where, id, set.devices[process.maps[0]].kernel_id);
}

static int region_remove_children(struct port *port, const char *name, uint32_t id)
{
	_cleanup_closedir_ DIR *dir = dax_region_open(port->root, id);
	uint32_t child;

	while (dir && dax_region_next(dir, id, &child)) {
		const char *step = "";
		int error = guard_claim(port, id, child);

		if (!error)
			error = dax_remove(port->root, id, child, &step);
		if (error)
			return port_fail(port, error, "region %s: %s: %s (dax%u.%u)", name, step,
					 strerror(-error), id, child);
	}
	return 0;
}

static int region_delete(struct port *port, const char *name, uint32_t id)
{
	char real[PATH_MAX], device[32];
	const char *window;
	int error;

	snprintf(device, sizeof(device), "region%u", id);
	error = sysfs_real(port->root, real, "/sys/bus/cxl/devices/%s", device);
	if (error == -ENOENT)
		return 0;
	if (!error) {
		*strrchr(real, '/') = '\0';
		window = strrchr(real, '/') + 1;
		/* Never `cxl destroy-region`: after a loss it empties targets and gives up. */
		error = sysfs_write(port->root, device, "/sys/bus/cxl/devices/%s/delete_region",
				    window);
	}
	if (error && error != -ENOENT && error != -ENODEV)
		return port_fail(port, error, "region %s: delete_region: %s (%s)", name,
				 strerror(-error), device);
	return 0;
}

static int region_clear_object(struct port *port, const struct job_region *region)
{
	const char *name = region->definition.name;
	uint32_t id = region->kernel_id;
	struct guard guard = GUARD_NULL;
	int error;

	if (id == ISO_NONE || !sysfs_exists(port->root, "/sys/bus/cxl/devices/region%u", id) ||
	    !region_is_meant(port, region))
		return 0;
	error = region_refuse_ram(port, name, id);
	if (!error)
		error = region_refuse_mapped(port, name, id);
	if (!error)
		error = guard_enter(port, &guard);
	if (!error)
		error = region_remove_children(port, name, id);
	guard_leave(port, &guard);
	return error ? error : region_delete(port, name, id);
}

int region_clear(struct port *port, const struct job_region *region)
{
	_cleanup_(libcxl_unrefp) struct cxl_ctx *ctx = NULL;
	struct region_legs legs;
	int error;

	error = region_clear_object(port, region);
	if (!error)
		error = libcxl_open(port, &ctx);
	if (!error)
		error = region_legs_find(port, ctx, &region->definition, false, &legs);
	if (!error)
		error = region_legs_free(port, &legs, region->definition.name);
	/* Nothing of the region is left that could be cleared now: it is said in the message. */
	return error == REGION_LEGS_HELD ? 0 : error;
}
