/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeps managed memory from becoming System RAM.
 *
 * A dax device that has capacity and no driver is taken by kmem, which puts it
 * online, when the dax bus probes: as a device is added (daxX.0 comes with the
 * whole region) and as the module kmem is loaded, which udev does because a
 * device was added. So the bus probes nothing by itself from before such a
 * device exists until it is empty, bound to device_dax, or gone. An empty
 * device cannot be probed.
 *
 * Outside of that the bus probes as its operator wants it: memory that is not
 * managed stays his. A first device of somebody else's that comes meanwhile is
 * offered to the drivers afterwards. What has to be put right is written to
 * /run first, so that the next guard repairs what a dead one left behind.
 */
#ifndef DAXMGR_GUARD_H
#define DAXMGR_GUARD_H

#include <isolate/types.h>

#include "port.h"

struct guard {
	int holder; /* a shared lock; the last one out switches probing on again */
};

#define GUARD_NULL ((struct guard){.holder = -1})

/* Stops probing. Several may be inside at once. Return: 0 or a negative errno, told. */
int guard_enter(struct port *port, struct guard *guard);

/*
 * Marks daxX.Y as ours before it exists or loses its driver: it is never
 * offered, and is emptied should its maker die. Return: 0 or a negative errno, told.
 */
int guard_claim(struct port *port, uint32_t region, uint32_t id);

/* Probing as before when nobody else is inside. Accepts GUARD_NULL. */
void guard_leave(struct port *port, struct guard *guard);

/*
 * Waits until daxX.0 of a freshly bound region is there, makes sure that it is
 * System RAM nowhere and takes its capacity back, so that it stays as an empty
 * placeholder. Return: 0; -EBUSY when it is System RAM and cannot be taken
 * back: then the region must stay as it is; -EREMOTEIO when kmem got it and it
 * was taken back; -ENODEV when the region lost a target meanwhile; or another
 * negative errno, told.
 */
int guard_disarm(struct port *port, uint32_t region, struct iso_hpa_range range);

/*
 * Takes the whole capacity of a region that others made (firmware, an earlier
 * kernel) back from its daxX.0, also from kmem as long as none of it is online.
 * Call it inside the guard. Return: 0; -EBUSY when it is in use as System RAM;
 * or another negative errno, told.
 */
int guard_reclaim(struct port *port, uint32_t region);

/* Repairs what workers that died inside left behind. */
int guard_repair(struct port *port);

/* Is any part of `range` System RAM, as /proc/iomem tells? */
bool guard_is_system_ram(struct port *port, struct iso_hpa_range range);

#endif
