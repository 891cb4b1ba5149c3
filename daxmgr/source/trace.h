/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads the daemon's own tracefs instance. The instance outlives the daemon,
 * so records of its absence wait in the ring; trace_open() adopts it as it is.
 * Opening allocates and may take milliseconds; reading does neither.
 */
#ifndef DAXMGR_SOURCE_TRACE_H
#define DAXMGR_SOURCE_TRACE_H

#include "trace_pump.h"

#include <systemd/sd-event.h>

struct trace;

struct trace_setup {
	const char *instance;  /* name below tracefs' instances/ */
	size_t buffer_bytes;   /* of each CPU's ring; rounded up to KiB */
	int64_t priority;      /* of the sd-event sources */
	trace_record_handler on_early; /* all of a page before the others; may be NULL */
	trace_record_handler on_record;
	trace_gap_handler on_gap;
	void *userdata;
};

enum trace_event_state {
	TRACE_EVENT_ENABLED,
	TRACE_EVENT_MISSING, /* this kernel does not have it */
	TRACE_EVENT_REFUSED, /* it is there but cannot be read or enabled */
};

struct trace_event_report {
	char name[2 * TRACE_NAME_BYTES]; /* "ras:aer_event" */
	enum trace_event_state state;
};

struct trace_report {
	bool adopted; /* the instance was there already */
	uint32_t n_events;
	struct trace_event_report events[TRACE_EVENTS_MAX];
	uint32_t n_cpus;        /* rings that are being read */
	uint32_t n_cpus_asleep; /* rings of CPUs that are not there; trace_check() tries again */
	uint64_t overrun;       /* records overwritten since the instance was made */
	struct trace_counts counts;
};

/*
 * Creates or adopts the instance, enables what the kernel has of the wanted
 * events and attaches to the loop. `problem` says in one line what failed.
 * Return: 0; -ENODEV without tracefs or without any of the events; -EPERM or
 * -EACCES under lockdown; other negative errno of the step that failed.
 */
int trace_open(sd_event *loop, const struct trace_setup *setup, struct trace **ret,
	       char problem[ISO_TEXT_BYTES]);

/* Stops reading and frees; the instance stays and keeps recording. Accepts NULL. */
struct trace *trace_close(struct trace *trace);

/* Reads what waits in the rings now, through the handlers. */
void trace_drain(struct trace *trace);

/*
 * For a slow timer: counts what was overwritten unseen (a gap when there is
 * something) and tries again to read rings that were not there. Allocates.
 */
void trace_check(struct trace *trace);

void trace_get_report(const struct trace *trace, struct trace_report *ret);

/* Names of event states for people and JSON. Never NULL. */
const char *trace_event_state_name(enum trace_event_state state);

#endif
