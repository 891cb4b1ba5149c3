/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One small table of all sources: how each is, what came from it, what was
 * lost, and what it can and cannot tell on this host. Each source fills its
 * line; `daxmgrctl sources` shows them. No allocation, no clock.
 */
#ifndef DAXMGR_SOURCE_STATE_H
#define DAXMGR_SOURCE_STATE_H

#include <isolate/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum source_id {
	SOURCE_TRACE,
	SOURCE_UEVENT,
	SOURCE_KERNEL_LOG,
	SOURCE_AER_COUNTERS,
	SOURCE_DEVICE_HEALTH,
	SOURCE_POISON_LIST,
	SOURCE_ISOLATION,
	SOURCE_QMP,
	SOURCE_LAST_BOOT,
	SOURCES,
};

enum source_condition {
	SOURCE_OFF,     /* switched off by configuration */
	SOURCE_MISSING, /* this host or kernel has none of it */
	SOURCE_REFUSED, /* it is there, and this daemon may not or cannot read it */
	SOURCE_OK,
	SOURCE_CONDITIONS,
};

struct source_state {
	uint32_t condition;        /* enum source_condition */
	char why[ISO_TEXT_BYTES];  /* not OK: what is missing or was refused; may be empty */
	char cannot_here[ISO_TEXT_BYTES]; /* what it cannot tell on this host; may be empty */
	uint64_t last_read_ns; /* when it was last looked at or heard, CLOCK_BOOTTIME; 0: never */
	uint64_t last_event_ns; /* time of the newest record, as the record says; 0: none */
	uint64_t records; /* that became records */
	uint64_t ignored; /* that mean nothing here */
	uint64_t lost; /* of the gaps whose size is known */
	uint64_t gaps;
	uint64_t waiting,
		room; /* pages in the spool, and how many it can hold; room 0: it has none */
	uint64_t durable; /* how often the lag was measured */
	uint64_t lag_ns; /* of a record: from its time until it was durable */
	uint64_t lag_max_ns;
	uint64_t sample_ns; /* time of the record that the lag is measured with; 0: none waits */
	uint64_t sample_page;
	uint32_t sample_index;
};

struct source_table {
	struct source_state states[SOURCES];
};

/* "trace", "kernel-log", ...: also `source` of its records. Never NULL. */
const char *source_name(enum source_id id);
/* The source of that name. Return: SOURCES when there is none. */
enum source_id source_find(const char *name);
/* "ok", "missing", "refused", "off". Never NULL. */
const char *source_condition_name(uint32_t condition);
/* What it tells, and what it cannot on any host; a sentence each. Never NULL. */
const char *source_tells(enum source_id id);
const char *source_cannot(enum source_id id);
/* What follows from its absence, for people. Never NULL. */
const char *source_without(enum source_id id);

/* OK again; or not, and why. `format` may be NULL. */
void source_ok(struct source_table *table, enum source_id id);
void source_not(struct source_table *table, enum source_id id, enum source_condition condition,
		const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The negative errno of what could not be opened as a condition: not there, or refused. */
enum source_condition source_condition_of(int error);

/* One more thing that it cannot tell here; what finds no room is left out and said to be. */
void source_cannot_here(struct source_table *table, enum source_id id, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What was found of that is to be found anew. */
void source_can_here(struct source_table *table, enum source_id id);

/* It was looked at now. */
void source_read(struct source_table *table, enum source_id id, uint64_t now_ns);
/* A record of it was handed on; `is_gap` with the number of what was lost, 0: not known. */
void source_record(struct source_table *table, enum source_id id, uint64_t at_ns, bool is_gap,
		   uint64_t lost);
/*
 * A record at that place of the source's own log was handed to the store; the
 * lag is measured with one of them at a time. `at_ns` not 0.
 */
void source_sample(struct source_table *table, enum source_id id, uint64_t page, uint32_t index,
		   uint64_t at_ns);
/* All of that log up to that place is durable now. */
void source_marked(struct source_table *table, enum source_id id, uint64_t page, uint32_t index,
		   uint64_t now_ns);

#endif
