/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../cleanup.h"
#include "dax.h"
#include "observe.h"
#include "sysfs.h"

static int observe_instance(struct port *port, struct observation *o, uint32_t region, uint32_t id)
{
	uint32_t index = o->counts.n_instances;
	struct iso_observed_instance *i = &o->instances[index];
	struct dax_device device;
	int error;

	if (index == SNAPSHOT_INSTANCES_MAX)
		return port_fail(port, -EOVERFLOW, "more than %d dax devices",
				 SNAPSHOT_INSTANCES_MAX);
	error = dax_read(port->root, region, id, &device);
	if (sysfs_is_gone(error))
		return 0; /* it has just left */
	if (error)
		return port_fail(port, error, "dax%u.%u: %s", region, id, strerror(-error));
	*i = (struct iso_observed_instance){
		.region_kernel_id = region,
		.kernel_id = id,
		.bytes = device.bytes,
		.align = device.align,
		.start = device.start,
		.major = device.major,
		.minor = device.minor,
		.driver = device.driver,
	};
	i->n_pieces = iomem_pieces(&o->iomem, region, id, i->pieces);
	if (i->n_pieces > ISO_PIECES_MAX) /* made by hand; what is known of it is true */
		i->n_pieces = ISO_PIECES_MAX;
	o->counts.n_instances++;
	return 0;
}

int observe_dax(struct port *port, struct observation *o)
{
	int unread = iomem_read(port->root, &o->iomem);

	if (unread)
		return port_fail(port, unread, "observation: /proc/iomem: %s", strerror(-unread));
	for (uint32_t r = 0; r < o->counts.n_regions; r++) {
		uint32_t region = o->regions[r].kernel_id, id;
		_cleanup_closedir_ DIR *dir = dax_region_open(port->root, region);

		if (!dir && !sysfs_is_gone(-errno))
			return port_fail(port, -errno, "dax_region%u: %s", region, strerror(errno));
		while (dir && dax_region_next(dir, region, &id)) {
			int error = observe_instance(port, o, region, id);

			if (error)
				return error;
		}
	}
	return 0;
}
