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

/* An event's format file. Return: its number in the store, 0: it is not there. */
typedef uint64_t (*trace_format_handler)(void *userdata, const char *system, const char *name,
					 const char *text, size_t bytes);

/* Up to where the spool `id` is durable. Return: false when nobody knows. */
typedef bool (*trace_mark_handler)(void *userdata, const char *id, struct trace_spool_place *ret);

struct trace_setup {
	const char *instance;  /* name below tracefs' instances/ */
	size_t buffer_bytes;   /* of each CPU's ring, at least; rounded up to KiB */
	const char *spool;     /* path of the file that pages lie in until they are durable */
	uint64_t spool_bytes;
	const char *boot_id;
	int64_t priority;      /* of the sd-event sources */
	trace_record_handler on_early; /* all of a page before the others; may be NULL */
	trace_record_handler on_record; /* these two may call trace_refuse() */
	trace_gap_handler on_gap;
	trace_format_handler on_format; /* may be NULL */
	trace_mark_handler load_mark;   /* may be NULL; called by trace_open() */
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
	uint64_t overrun;       /* records that the rings lost since the instance was made */
	uint64_t dropped;       /* records that were read while nothing could be written down */
	uint64_t told;          /* of both, what gaps told of */
	uint64_t ring_bytes;    /* of each CPU's ring */
	uint32_t spool_slots, spool_used; /* pages that have room in the spool, and are in it */
	bool spool_aside;       /* an old file could not be used: what was in it is not known */
	bool spool_in_memory; /* there is no file: a daemon that is killed loses what is not durable */
	char spool_problem[ISO_TEXT_BYTES]; /* why; or what was found wrong at start; empty: nothing */
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

/*
 * Creates or adopts the instance and enables the wanted events, as trace_open()
 * does, and leaves it so: of `setup` only the instance and its size are used.
 * Return: as of trace_open().
 */
int trace_prepare(const struct trace_setup *setup, char problem[ISO_TEXT_BYTES]);

/* For handlers: this cannot be taken now and is to be offered again. */
void trace_refuse(struct trace *trace);

/* For handlers of gaps: the place of the gap. Return: the page, 0: it has none. */
uint64_t trace_place(const struct trace *trace, uint32_t *ret_index);

/*
 * For the handler of records: one more record is made of this one. Return: the index of its place.
 */
uint32_t trace_also(struct trace *trace);

/* For the handler of gaps: a page told of a loss and not of its number: the rings' counters are asked soon. */
void trace_look_soon(struct trace *trace);

/* Decodes for people; the record is one that a handler is called with. */
const struct trace_formats *trace_formats_of(const struct trace *trace);

/* The store says that all records up to there are durable. */
void trace_durable(struct trace *trace, uint64_t page, uint32_t index);

/* Hands all formats to on_format once more: what had them is gone. Allocates. */
void trace_save_formats(struct trace *trace);

/* Stops reading and frees; the instance stays and keeps recording. Accepts NULL. */
struct trace *trace_close(struct trace *trace);

/* Reads what waits in the rings now, through the handlers. Return: whether that was all. */
bool trace_drain(struct trace *trace);

/*
 * Runs on a timer of its own: counts what was lost unseen (a gap when there is
 * something), tries again to read rings that were not there, and enables events
 * that have appeared since. Allocates.
 */
void trace_check(struct trace *trace);

void trace_get_report(const struct trace *trace, struct trace_report *ret);

/* Names of event states for people and JSON. Never NULL. */
const char *trace_event_state_name(enum trace_event_state state);

#endif
