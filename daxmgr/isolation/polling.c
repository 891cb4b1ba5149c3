/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "polling.h"

#include <errno.h>
#include <stdlib.h>

#include "registers.h"

enum { FAILED_READS = 3 }; /* in a row: the registers are to be looked for anew */

struct isolation_poll {
	sd_event_source *timer;
	uint64_t interval_us;
	const struct isolation_poll_handlers *handlers;
	void *userdata;
	struct isolation_polled ports[ISOLATION_POLL_PORTS_MAX];
	uint64_t n_polls, n_failed;
};

struct isolation_polled *isolation_poll_at(struct isolation_poll *poll, uint32_t port)
{
	return &poll->ports[port];
}

static void lose(struct isolation_poll *poll, uint32_t port)
{
	isolation_access_close(&poll->ports[port].access);
	poll->ports[port].n_failed = 0;
	poll->handlers->lost(poll->userdata, port);
}

void isolation_poll_port(struct isolation_poll *poll, uint32_t port)
{
	struct isolation_polled *polled = &poll->ports[port];
	uint32_t status;

	if (polled->access.fd < 0)
		return;
	if (isolation_read32(&polled->access, ISOLATION_STATUS, &status) < 0 ||
	    status == UINT32_MAX) {
		poll->n_failed++;
		if (++polled->n_failed >= FAILED_READS)
			lose(poll, port);
		return;
	}
	polled->n_failed = 0;
	if (status == polled->status)
		return;
	poll->handlers->changed(poll->userdata, port, status);
	polled->status = status;
}

int isolation_poll_clear_timeout(struct isolation_poll *poll, uint32_t port)
{
	int r = isolation_write32(&poll->ports[port].access, ISOLATION_STATUS,
				  ISOLATION_STATUS_TIMEOUT);

	/* One that comes from now on is a change again. */
	if (r == 0)
		isolation_poll_port(poll, port);
	return r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct isolation_poll *poll = userdata;
	uint64_t now = 0;

	poll->n_polls++;
	for (uint32_t i = 0; i < ISOLATION_POLL_PORTS_MAX; i++)
		isolation_poll_port(poll, i);
	/* From when it was due, so that it keeps its pace; one that was missed is not made up for. */
	sd_event_now(sd_event_source_get_event(source), CLOCK_BOOTTIME, &now);
	usec += poll->interval_us;
	sd_event_source_set_time(source, usec > now ? usec : now + poll->interval_us);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int isolation_poll_new(sd_event *event, int64_t priority, uint64_t interval_us,
		       const struct isolation_poll_handlers *handlers, void *userdata,
		       struct isolation_poll **ret)
{
	struct isolation_poll *poll = calloc(1, sizeof(*poll));
	int r;

	if (!poll)
		return -ENOMEM;
	poll->interval_us = interval_us;
	poll->handlers = handlers;
	poll->userdata = userdata;
	for (uint32_t i = 0; i < ISOLATION_POLL_PORTS_MAX; i++)
		poll->ports[i].access = ISOLATION_ACCESS_NULL;
	/* Accuracy: without one the timer is put off to save power, by up to 250 ms. */
	r = sd_event_add_time(event, &poll->timer, CLOCK_BOOTTIME, UINT64_MAX, 1, on_timer, poll);
	if (r >= 0)
		r = sd_event_source_set_enabled(poll->timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_priority(poll->timer, priority);
	if (r < 0) {
		isolation_poll_free(poll);
		return r;
	}
	*ret = poll;
	return 0;
}

struct isolation_poll *isolation_poll_free(struct isolation_poll *poll)
{
	if (!poll)
		return NULL;
	sd_event_source_disable_unref(poll->timer);
	for (uint32_t i = 0; i < ISOLATION_POLL_PORTS_MAX; i++)
		isolation_access_close(&poll->ports[i].access);
	free(poll);
	return NULL;
}

int isolation_poll_start(struct isolation_poll *poll)
{
	int enabled = SD_EVENT_OFF;

	sd_event_source_get_enabled(poll->timer, &enabled);
	if (enabled != SD_EVENT_OFF)
		return 0;
	sd_event_source_set_time_relative(poll->timer, poll->interval_us);
	return sd_event_source_set_enabled(poll->timer, SD_EVENT_ONESHOT);
}

uint64_t isolation_poll_count(const struct isolation_poll *poll, uint64_t *ret_failed)
{
	*ret_failed = poll->n_failed;
	return poll->n_polls;
}
