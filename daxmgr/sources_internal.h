/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by sources*.c only. */
#ifndef DAXMGR_SOURCES_INTERNAL_H
#define DAXMGR_SOURCES_INTERNAL_H

#include <systemd/sd-json.h>

#include "daemon.h"

struct job_reply;

/* Something was not seen: what is found otherwise than believed is told. */
void sources_observe_gap(struct daemon *daemon);
/* A gap of a source whose size is not known, as a record and in the journal. */
void sources_keep_gap(struct daemon *daemon, const char *source, const char *text);
/* A gap of a source: kept, counted, followed by an observation. `text` says what was lost. */
void sources_gap(struct daemon *daemon, enum source_id id, uint64_t lost, const char *text);
/* As sources_gap(), with what the caller fills in beside source, kind, text and number. */
void sources_gap_at(struct daemon *daemon, enum source_id id, struct store_event *gap,
		    uint64_t lost, const char *text);

/* As sources_gap_at(), but nothing of the host is in doubt: no observation. */
void sources_gap_keep(struct daemon *daemon, enum source_id id, struct store_event *gap,
		      uint64_t lost, const char *text);

/*
 * Whether rows can be made of records at `now_ns`, CLOCK_BOOTTIME: whom one is about is known
 * from the first observation on, and is waited for no longer than ten seconds from the start.
 */
bool sources_know_host(const struct daemon *daemon, uint64_t now_ns);
/* Whether a record that can wait in its source's own log shall be taken in now. */
bool sources_can_take(const struct daemon *daemon);

/* The object as text for store_event.fields; takes `object`, which may be NULL. Return: NULL without memory. */
char *sources_fields(sd_json_variant *object);

/* sources_trace.c */
void sources_trace_open(struct daemon *daemon);
void sources_trace_mark(struct daemon *daemon, const struct store_mark *mark);

/* sources_common.c: all but trace and uevents */
void sources_open_others(struct daemon *daemon);
void sources_close_others(struct daemon *daemon);

/* sources_kernel_log.c */
void kernel_log_source_open(struct daemon *daemon);
void kernel_log_source_close(struct daemon *daemon);
void kernel_log_source_refresh(struct daemon *daemon);

/* sources_health.c */
void health_source_open(struct daemon *daemon);
void health_source_close(struct daemon *daemon);

/* sources_poll.c: AER counters, device health, the last boot */
void polled_sources_open(struct daemon *daemon);
void polled_sources_close(struct daemon *daemon);
/* Something was missed: the counters tell whether there were errors. */
void polled_sources_hurry(struct daemon *daemon);
/* Whether the reply was to one of its jobs. */
bool polled_sources_done(struct daemon *daemon, const struct job_reply *reply, int fd);

/* sources_here.c: what sources cannot tell on this host */
void sources_here_trace(struct source_table *table, const struct trace_report *report);
void sources_here_poison(struct source_table *table, const struct iso_engine *engine);

/* sources_qmp.c */
void qmp_source_open(struct daemon *daemon);
void qmp_source_close(struct daemon *daemon);
bool qmp_source_done(struct daemon *daemon, const struct job_reply *reply, int fd);

#endif
