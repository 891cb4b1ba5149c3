/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by trace.c, trace_events.c and trace_flow.c only. */
#ifndef DAXMGR_SOURCE_TRACE_INTERNAL_H
#define DAXMGR_SOURCE_TRACE_INTERNAL_H

#include <tracefs.h>

#include "trace.h"
#include "trace_formats.h"

struct trace_cpu {
	struct trace *trace;
	uint32_t cpu;
	int fd;
	bool asleep;
	sd_event_source *source;
};

struct trace {
	struct trace_formats formats;
	struct trace_pump pump;
	struct trace_spool *spool;
	struct tracefs_instance *instance;
	struct trace_report report;
	trace_format_handler on_format;
	void *userdata;
	struct trace_spool_place mark; /* up to which the spool was durable at start */
	sd_event_source *replay; /* once, when the loop runs */
	sd_event_source *timer;  /* trace_check() */
	sd_event_source *retry;  /* while something has to wait */
	uint64_t full_since_ns; /* when the last slot was taken and the rings were not empty since; 0: not so */
	bool has_other_clock; /* than CLOCK_BOOTTIME */
	bool uncounted; /* a page told of a loss without its number */
	bool paused; /* the loop does not look at the rings: no slot is free */
	int stats_fd; /* per_cpu/ of the instance */
	uint32_t n_cpus;
	struct trace_cpu *cpus;
};

/*
 * trace_events.c: enables what the kernel has of the wanted events, also those
 * that came late. Return: whether some had not been heard any more.
 */
bool trace_enable_events(struct trace *trace);

/* trace.c: empties the rings. Return: 0 or -errno. */
int trace_use_boot_clock(struct trace *trace);

/* trace_flow.c */
int trace_flow_open(struct trace *trace, sd_event *loop, int64_t priority);
void trace_flow_close(struct trace *trace);
/* What was said of the ring before is of another one, or of this one. Before the first read. */
void trace_flow_compare_ring(struct trace *trace);
int trace_on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata);

#endif
