/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all ports share: the context of the job that runs, how a failure is
 * told, and waiting that ends at the job's deadline.
 */
#ifndef DAXMGR_PORT_H
#define DAXMGR_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "../job.h"

struct port {
	const char *root; /* prefix of /sys, /dev, /proc and /run; "" on a real host */
	uint64_t deadline_ns; /* CLOCK_BOOTTIME; waits end here */
	struct iso_completion *completion;
	bool told; /* port_fail() has said why */
};

/* CLOCK_BOOTTIME in nanoseconds. */
uint64_t port_now_ns(void);

/*
 * Puts one line for a person into the completion, unless an earlier failure
 * has already said why. Return: `error`, so that a caller can return it.
 */
int port_fail(struct port *port, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds to what the message says, as far as there is room. */
void port_say(struct port *port, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sleeps for `ms` milliseconds. Return: false when the deadline has passed. */
bool port_pause(const struct port *port, unsigned int ms);

/*
 * Takes ROOT/run/daxmgr/NAME.lock, which one process of the host holds at a
 * time; it is free again when the descriptor is closed, also by death.
 * Return: the descriptor; -ETIME when it was held until the deadline; or a
 * negative errno.
 */
int port_lock(struct port *port, const char *name);

/*
 * Waits a moment for its turn with the cxl bus: those that look go together,
 * one that makes or deletes a region goes alone. The kernel (seen on 7.3) can
 * lock both against each other until one is killed. Only a courtesy: who has
 * waited long enough goes on without, so that nothing hangs behind a worker
 * that hangs. Return: a descriptor to close when done, or a negative errno
 * that means nothing to the caller.
 */
int port_turn(struct port *port, bool changes);

#endif
