/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "revoke.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../cleanup.h"
#include "dax.h"
#include "guard.h"
#include "mappers.h"
#include "pins.h"
#include "process.h"
#include "sysfs.h"

struct revoke {
	const struct job_instance *instances;
	uint32_t n;
	struct mapping_set set;
};

static void revoke_refuse_process(struct port *port, int32_t pid, const struct pins *pins)
{
	char where[ISO_EVIDENCE_BYTES];

	process_where(port, pid, where);
	port_fail(port, -EBUSY, "process %" PRId32 " (%s) may hold pins: %s", pid, where,
		  pins->evidence);
}

static int revoke_check_processes(struct port *port, const struct revoke *r)
{
	_cleanup_(mappers_walk_close) struct mappers_walk walk = MAPPERS_WALK_NULL;
	struct mappers_process process;
	int found;

	found = mappers_walk_open(port, &r->set, true, &walk);
	if (found)
		return found;
	while ((found = mappers_walk_next(&walk, &process)) > 0) {
		struct pins pins = {0};

		if (process.n_maps)
			mappers_add(port, process.pid);
		(void)pins_of_process(port, process.pid, &pins);
		if (pins.bits)
			revoke_refuse_process(port, process.pid, &pins);
		port->completion->pins |= pins.bits;
	}
	return found;
}

/* Return: 0; -EBUSY, told; or another negative errno, told. */
static int revoke_check(struct port *port, const struct revoke *r)
{
	struct iso_completion *c = port->completion;
	struct pins outstanding = {0};
	int error;

	c->n_mappers = 0;
	c->evidence[0] = '\0';
	c->pins = 0;
	error = revoke_check_processes(port, r);
	if (error)
		return error;
	if (c->pins)
		return -EBUSY; /* told for the first one */
	pins_outstanding(port, &outstanding);
	c->pins = outstanding.bits;
	if (!c->pins)
		return 0;
	return port_fail(port, -EBUSY, "%s, nobody knows by whom", outstanding.evidence);
}

/* Is it there, the device that is meant, and bound to something? */
static bool revoke_is_bound(const struct port *port, const struct job_instance *i,
			    uint32_t *ret_driver)
{
	struct dax_device device;

	if (dax_read(port->root, i->region_kernel_id, i->kernel_id, &device) ||
	    device.major != i->major || device.minor != i->minor)
		return false;
	*ret_driver = device.driver;
	return device.driver != ISO_DAX_UNBOUND;
}

static int revoke_failed(struct port *port, int error, const char *step, const char *name)
{
	return port_fail(port, error, "revoke: %s: %s (%s)", step, strerror(-error), name);
}

/* Under the kmem guard: with capacity and without a driver it would be taken. */
static int revoke_one(struct port *port, const struct revoke *r, const struct job_instance *i)
{
	char name[DAX_NAME_BYTES];
	const char *step = "";
	uint32_t driver;
	int error;

	dax_name(i->region_kernel_id, i->kernel_id, name);
	if (!revoke_is_bound(port, i, &driver))
		return 0;
	if (driver != ISO_DAX_DEVICE_DAX)
		return port_fail(port, -EREMOTEIO,
				 "revoke: %s is bound to a driver that is not device_dax", name);
	error = guard_claim(port, i->region_kernel_id, i->kernel_id);
	if (!error)
		error = revoke_check(port, r);
	if (error)
		return error;
	error = dax_unbind(port->root, name, &step);
	if (error)
		return revoke_failed(port, error, step, name);
	error = sysfs_write(port->root, "0", "/sys/bus/dax/devices/%s/size", name);
	if (error && error != -ENOENT && error != -ENODEV && error != -ENXIO)
		return revoke_failed(port, error, "size", name);
	return 0;
}

static bool revoke_is_any_bound(const struct port *port, const struct revoke *r)
{
	uint32_t driver;

	for (uint32_t i = 0; i < r->n; i++)
		if (revoke_is_bound(port, &r->instances[i], &driver))
			return true;
	return false;
}

static int revoke_all(struct port *port, const struct revoke *r)
{
	struct guard guard = GUARD_NULL;
	int error;

	/* Before the guard: it keeps others waiting. */
	error = revoke_check(port, r);
	if (error || !revoke_is_any_bound(port, r))
		return error;
	error = guard_enter(port, &guard);
	for (uint32_t i = 0; !error && i < r->n; i++)
		error = revoke_one(port, r, &r->instances[i]);
	guard_leave(port, &guard);
	return error;
}

int revoke_run(struct port *port, const struct job_instance *instances, uint32_t n)
{
	struct revoke r = {.instances = instances, .n = n};
	int error;

	error = mapping_set_add(port, instances, n, &r.set);
	if (!error)
		error = revoke_all(port, &r);
	mapping_set_free(&r.set);
	return error;
}
