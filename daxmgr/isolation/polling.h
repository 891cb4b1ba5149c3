/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One timer that reads the isolation status of many ports, at an even pace.
 *
 * Each read is one load from a mapped register; what a change means is the
 * caller's to say, at once and before the next port is read.
 */
#ifndef DAXMGR_ISOLATION_POLLING_H
#define DAXMGR_ISOLATION_POLLING_H

#include <stdint.h>
#include <systemd/sd-event.h>

#include "access.h"

enum { ISOLATION_POLL_PORTS_MAX = 64 }; /* root ports of a host */

struct isolation_poll;

struct isolation_poll_handlers {
	/* The status is another one than before, which is still `polled->status`. */
	void (*changed)(void *userdata, uint32_t port, uint32_t status);
	/* It could not be read several times in a row; its registers were let go of. */
	void (*lost)(void *userdata, uint32_t port);
};

struct isolation_polled {
	struct isolation_access access; /* of the registers; none: the port is passed over */
	uint32_t status; /* as read last */
	uint32_t n_failed; /* reads in a row */
};

/*
 * Makes a timer on CLOCK_BOOTTIME that does not run yet, for ports 0 to
 * ISOLATION_POLL_PORTS_MAX - 1, all without registers. `handlers` and `userdata` outlive it.
 * Return: 0 or a negative errno.
 */
int isolation_poll_new(sd_event *event, int64_t priority, uint64_t interval_us,
		       const struct isolation_poll_handlers *handlers, void *userdata,
		       struct isolation_poll **ret);

/* Closes all registers. Return: NULL. */
struct isolation_poll *isolation_poll_free(struct isolation_poll *poll);

/* From now on, if it does not run already. */
int isolation_poll_start(struct isolation_poll *poll);

/* What is known of a port; its registers are put here by the caller and closed with the rest. */
struct isolation_polled *isolation_poll_at(struct isolation_poll *poll, uint32_t port);

/* Reads one port now. */
void isolation_poll_port(struct isolation_poll *poll, uint32_t port);

/*
 * Clears the timeout in the status of one port, that bit and no other, and looks
 * whether it went. Return: 0 or a negative errno.
 */
int isolation_poll_clear_timeout(struct isolation_poll *poll, uint32_t port);

/* How often the timer has run, and how many reads have failed. */
uint64_t isolation_poll_count(const struct isolation_poll *poll, uint64_t *ret_failed);

#endif
