/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A root port's isolation registers, in a worker: finding them, arming, forcing
 * its link down, clearing. They are reached in one of three ways: memory of
 * another function that configuration names in their place, the kernel's own
 * attributes where it has some, else the port's component registers.
 */
#ifndef DAXMGR_PORT_ISOLATION_H
#define DAXMGR_PORT_ISOLATION_H

#include "port.h"

/*
 * Finds them and reads all words. Where the kernel has attributes those say what
 * is offered and set, and the status is of the registers, if they can be mapped. That there are none, or that they may not be
 * mapped, is an answer (`ret->source`) and no failure. `*ret_fd` is the file
 * whose `ret->offset` the capability is at, -1 when nothing can be mapped.
 */
int isolation_find(struct port *port, const struct job_isolation *wanted,
		   struct job_isolation_found *ret, int *ret_fd);

/* What of this host forbids to arm a port: enum iso_obstacle. */
int isolation_host(struct port *port, bool cpu_is_known_to_recover, uint32_t *ret_obstacles);

/*
 * Writes the control register as `wanted` says and reads it back into the
 * completion. Return: 0; -EBUSY when the port is isolated now; or a negative
 * errno, told.
 */
int isolation_arm(struct port *port, const struct job_isolation *wanted);

/*
 * Takes the link down and sees that it is: slot power, link disable, secondary
 * bus reset, whatever works first. One that is down already is success.
 * Return: 0 or a negative errno, told.
 */
int isolation_force_link_down(struct port *port, const struct job_isolation *wanted);

/*
 * Waits for RP Busy to end, clears the status and gives the link and the slot
 * back. Return: 0; -EBUSY when RP Busy does not end before the deadline; or a
 * negative errno, told.
 */
int isolation_clear(struct port *port, const struct job_isolation *wanted);

#endif
