/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cleanup.h"
#include "dax.h"
#include "guard.h"
#include "sysfs.h"

bool guard_is_system_ram(struct port *port, struct iso_hpa_range range)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[PATH_MAX], line[256];

	snprintf(path, sizeof(path), "%s/proc/iomem", port->root);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		uint64_t start, end;

		if (strstr(line, "System RAM") &&
		    sscanf(line, " %" SCNx64 "-%" SCNx64, &start, &end) == 2 &&
		    start < range.start.v + range.bytes && end >= range.start.v)
			return true;
	}
	return false;
}

static int guard_take_back(struct port *port, uint32_t region, const char *name,
			   struct iso_hpa_range range)
{
	int error = sysfs_write(port->root, name, "/sys/bus/dax/drivers/kmem/unbind");

	if (!error && dax_driver(port->root, name) == ISO_DAX_UNBOUND &&
	    !guard_is_system_ram(port, range))
		return port_fail(port, -EREMOTEIO,
				 "kmem guard: somebody bound %s to kmem; it has been taken back",
				 name);
	return port_fail(
		port, -EBUSY,
		"kmem guard: region%u has become System RAM (%s, driver kmem) and cannot be "
		"taken back: %s; only a reboot removes it",
		region, name, error ? strerror(-error) : "memory is in use");
}

/* A target that is lost takes the region's commit with it, and with 6.12 the region. */
static bool guard_region_stands(struct port *port, uint32_t region)
{
	uint64_t committed;

	return !sysfs_read_u64(port->root, &committed, "/sys/bus/cxl/devices/region%u/commit",
			       region) &&
	       committed;
}

int guard_disarm(struct port *port, uint32_t region, struct iso_hpa_range range)
{
	char name[DAX_NAME_BYTES];
	struct dax_device device;
	unsigned int pause = 2;
	int error;

	dax_name(region, 0, name);
	/* dax_cxl may still be loading, and from 7.1 on it probes asynchronously. */
	while ((error = dax_read(port->root, region, 0, &device)) == -ENOENT) {
		if (!guard_region_stands(port, region))
			return port_fail(port, -ENODEV, "region%u lost a target before %s appeared",
					 region, name);
		if (!port_pause(port, pause))
			return port_fail(port, -ETIME,
					 "%s did not appear (is the module dax_cxl loaded?)", name);
		pause = pause < 20 ? pause * 2 : 20;
	}
	if (error)
		return port_fail(port, error, "%s: %s", name, strerror(-error));
	if (device.driver == ISO_DAX_KMEM)
		return guard_take_back(port, region, name, range);
	if (device.driver != ISO_DAX_UNBOUND)
		return port_fail(port, -EREMOTEIO, "%s is bound to a driver already", name);
	error = sysfs_write(port->root, "0", "/sys/bus/dax/devices/%s/size", name);
	if (error && dax_driver(port->root, name) != ISO_DAX_KMEM)
		return port_fail(port, error, "%s: size 0: %s", name, strerror(-error));
	if (dax_driver(port->root, name) == ISO_DAX_KMEM)
		return guard_take_back(port, region, name, range);
	if (guard_is_system_ram(port, range))
		return port_fail(port, -EBUSY,
				 "kmem guard: a part of region%u is System RAM; only a reboot "
				 "removes it",
				 region);
	return 0;
}

/* Is any memory block of the region online? A block that cannot be read counts as one that is. */
static bool guard_is_online(struct port *port, uint32_t region)
{
	char text[32];
	uint64_t start, bytes, block;

	if (sysfs_read_u64(port->root, &start, "/sys/bus/cxl/devices/region%u/resource", region) ||
	    sysfs_read_u64(port->root, &bytes, "/sys/bus/cxl/devices/region%u/size", region) ||
	    sysfs_read(port->root, text, sizeof(text),
		       "/sys/devices/system/memory/block_size_bytes"))
		return true;
	block = strtoull(text, NULL, 16); /* without 0x */
	if (!block)
		return true;
	for (uint64_t at = start / block; at <= (start + bytes - 1) / block; at++) {
		int error = sysfs_read(port->root, text, sizeof(text),
				       "/sys/devices/system/memory/memory%" PRIu64 "/state", at);

		if (error != -ENOENT && (error || strcmp(text, "offline")))
			return true;
	}
	return false;
}

static int guard_evict_kmem(struct port *port, uint32_t region, const char *name)
{
	int error;

	if (guard_is_online(port, region))
		return port_fail(port, -EBUSY,
				 "kmem guard: %s is System RAM and online (driver kmem); only a "
				 "reboot takes it back",
				 name);
	error = sysfs_write(port->root, name, "/sys/bus/dax/drivers/kmem/unbind");
	if (!error)
		port_say(port, "kmem guard: %s was taken from kmem, none of it was online", name);
	return error ? port_fail(port, error, "kmem guard: unbind: %s (%s)", strerror(-error), name)
		     : 0;
}

int guard_reclaim(struct port *port, uint32_t region)
{
	char name[DAX_NAME_BYTES];
	struct dax_device device;
	const char *step = "";
	int error;

	dax_name(region, 0, name);
	error = dax_read(port->root, region, 0, &device);
	if (error)
		return error == -ENOENT ? 0
					: port_fail(port, error, "%s: %s", name, strerror(-error));
	if (device.driver == ISO_DAX_KMEM) {
		error = guard_evict_kmem(port, region, name);
		if (error)
			return error;
	}
	error = dax_remove(port->root, region, 0, &step);
	return error ? port_fail(port, error, "%s: %s (%s)", step, strerror(-error), name) : 0;
}
