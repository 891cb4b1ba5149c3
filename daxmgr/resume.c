/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMs that an earlier daemon stopped because the kernel took their memory, and
 * did not come to kill. What was recorded of that may have died with it: whether
 * a VM has lost anything is seen by looking. If so it is killed like any other;
 * if not it goes on, once the kernel has had its time to unbind after all. Who
 * was stopped by somebody else is let alone.
 */
#include "clock.h"
#include "daemon.h"
#include "log.h"

static bool is_whole(const struct daemon *daemon, const struct iso_lease_view *lease)
{
	struct iso_instance_view instance;
	struct iso_region_view region;

	for (uint32_t i = 0; i < lease->n_instances; i++)
		if (!iso_instance_get(daemon->engine, lease->instances[i], &instance) ||
		    !instance.named || instance.lost || instance.state != ISO_INSTANCE_HELD ||
		    !iso_region_get(daemon->engine, instance.region, &region) ||
		    region.state != ISO_REGION_LIVE)
			return false;
	return lease->n_instances > 0;
}

/* Return: whether it is decided; a VM that is to be killed is. */
static bool resume_one(struct daemon *daemon, uint32_t index, uint64_t looked_ns)
{
	struct iso_lease_view lease;

	if (!vms_was_left_stopped(daemon->vms, index) ||
	    !iso_lease_get(daemon->engine, index, &lease) || lease.state != ISO_LEASE_ATTACHED)
		return true;
	if (!is_whole(daemon, &lease) || !vms_continue(daemon->vms, index, looked_ns))
		return false;
	log_line(LOG_NOTICE, "%s: process %d goes on: its memory is as it was", lease.terms->name,
		 lease.pid);
	return true;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;
	struct iso_event look = {.kind = ISO_EVENT_CHANGED};

	(void)source;
	(void)usec;
	daemon_step(daemon, &look);
	return 0;
}

void resume_stopped(struct daemon *daemon, uint64_t looked_ns)
{
	uint32_t i, undecided = 0;

	for (i = 0; i < iso_lease_count(daemon->engine); i++)
		undecided += !resume_one(daemon, i, looked_ns);
	daemon->resume_timer = sd_event_source_disable_unref(daemon->resume_timer);
	if (undecided)
		sd_event_add_time_relative(daemon->event, &daemon->resume_timer, CLOCK_BOOTTIME,
					   (uint64_t)VMS_HOLD_MS * 1000, 0, on_time, daemon);
}

void resume_tell(const struct daemon *daemon, uint32_t lease, const char *name)
{
	if (vms_was_left_stopped(daemon->vms, lease))
		log_line(
			LOG_WARNING,
			"%s: an earlier daxmgrd stopped it when its memory was being lost: it is killed if that is so, else it goes on",
			name);
	else if (vms_is_stopped(daemon->vms, lease))
		log_line(LOG_NOTICE, "%s: it is stopped, but not by daxmgrd: left so", name);
}
