/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "observe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../cleanup.h"
#include "sysfs.h"

static int observe_cxl_in_turn(struct port *port, struct observation *o)
{
	_cleanup_close_ int turn = port_turn(port, false);

	return observe_cxl(port, o);
}

static void observation_freep(struct observation **o)
{
	if (*o)
		iomem_free(&(*o)->iomem);
	free(*o);
}

int observe_run(struct port *port)
{
	_cleanup_(observation_freep) struct observation *o = calloc(1, sizeof(*o));
	int error, fd;

	if (!o)
		return port_fail(port, -ENOMEM, "observation: no memory");
	/* First: what a uevent up to here told is in what is read from here on. */
	o->counts.uevent_seqnum = sysfs_uevent_seqnum(port->root);
	error = observe_ports(port, o);
	if (!error)
		error = observe_cxl_in_turn(port, o);
	if (!error)
		error = observe_dax(port, o);
	if (error)
		return error;
	observe_ram(o);
	o->counts.host_bridges = o->host_bridges;
	o->counts.ports = o->ports;
	o->counts.memdevs = o->memdevs;
	o->counts.windows = o->windows;
	o->counts.regions = o->regions;
	o->counts.instances = o->instances;
	fd = snapshot_file_write(&o->counts);
	if (fd < 0)
		return port_fail(port, fd, "observation: memfd: %s", strerror(-fd));
	return fd;
}
