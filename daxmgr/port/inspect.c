/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cleanup.h"
#include "../inspection_file.h"
#include "mappers.h"
#include "pins.h"
#include "process.h"
#include "sysfs.h"

struct inspection {
	struct iso_observed_mapper *mappers;
	uint32_t n, room;
};

int inspect_process(struct port *port, int32_t pid)
{
	struct pins pins = {0};
	int error = pins_of_process(port, pid, &pins);

	if (error)
		return port_fail(port, error, "process %" PRId32 " has gone", pid);
	port->completion->pins = pins.bits;
	memcpy(port->completion->evidence, pins.evidence, sizeof(pins.evidence));
	return 0;
}

static int inspect_room(struct port *port, struct inspection *inspection)
{
	struct iso_observed_mapper *grown;
	uint32_t room;

	if (inspection->n < inspection->room)
		return 0;
	if (inspection->n == INSPECTION_MAPPERS_MAX)
		return port_fail(port, -EOVERFLOW, "more than %d mappings of dax devices",
				 INSPECTION_MAPPERS_MAX);
	room = inspection->room ? 2 * inspection->room : 64;
	grown = reallocarray(inspection->mappers, room, sizeof(*grown));
	if (!grown)
		return port_fail(port, -ENOMEM, "inspection: no memory");
	inspection->mappers = grown;
	inspection->room = room;
	return 0;
}

static int inspect_add(struct port *port, struct inspection *inspection,
		       const struct mapping_set *set, const struct mappers_process *process)
{
	struct pins pins = {0};
	uint64_t start;

	/* One that has gone meanwhile maps nothing any more. */
	if (pins_of_process(port, process->pid, &pins) || process_start(port, process->pid, &start))
		return 0;
	for (uint32_t i = 0; i < process->n_maps; i++) {
		const struct mapping_device *device = &set->devices[process->maps[i]];
		struct iso_observed_mapper *m;
		int error = inspect_room(port, inspection);

		if (error)
			return error;
		m = &inspection->mappers[inspection->n++];
		*m = (struct iso_observed_mapper){
			.pid = process->pid,
			.process_start = start,
			.region_kernel_id = device->region_kernel_id,
			.kernel_id = device->kernel_id,
			.pins = pins.bits,
		};
		memcpy(m->evidence, pins.evidence, sizeof(m->evidence));
	}
	return 0;
}

static int inspect_walk(struct port *port, struct inspection *inspection)
{
	_cleanup_(mapping_set_free) struct mapping_set set = {0};
	_cleanup_(mappers_walk_close) struct mappers_walk walk = MAPPERS_WALK_NULL;
	struct mappers_process process;
	int found;

	found = mapping_set_all(port, &set);
	if (!found)
		found = mappers_walk_open(port, &set, false, &walk);
	if (found)
		return found;
	while ((found = mappers_walk_next(&walk, &process)) > 0) {
		int error = inspect_add(port, inspection, &set, &process);

		if (error)
			return error;
	}
	return found;
}

int inspect_everybody(struct port *port)
{
	struct inspection inspection = {0};
	/* First: what a uevent up to here told is in what is read from here on. */
	uint64_t seqnum = sysfs_uevent_seqnum(port->root);
	int fd = inspect_walk(port, &inspection);

	if (!fd) {
		fd = inspection_file_write(
			&(struct iso_inspection){inspection.mappers, inspection.n, seqnum});
		if (fd < 0)
			port_fail(port, fd, "inspection: memfd: %s", strerror(-fd));
	}
	free(inspection.mappers);
	return fd;
}
