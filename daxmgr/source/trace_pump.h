/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a raw ring-buffer page to decoded records. Apart from the reader of
 * tracefs (trace.h), so that a recorded page can be fed through the same code.
 * Nothing here allocates after trace_pump_init().
 */
#ifndef DAXMGR_SOURCE_TRACE_PUMP_H
#define DAXMGR_SOURCE_TRACE_PUMP_H

#include "trace_decode.h"
#include "trace_spool.h"

#include <sys/types.h>

struct kbuffer;

enum trace_gap {
	TRACE_GAP_LOST,      /* the ring overwrote records before they were read */
	TRACE_GAP_MALFORMED, /* a record or page that this table cannot read */
};

/* The record borrows from the page: valid during the call only. */
typedef void (*trace_record_handler)(void *userdata, const struct trace_record *record);

/*
 * Something may have happened that nobody will tell: observe. `count` 0: unknown
 * how many; that of a page needs no row, as the rings' counters will tell the number.
 */
typedef void (*trace_gap_handler)(void *userdata, enum trace_gap gap, uint64_t count);

struct trace_counts {
	uint64_t pages;
	uint64_t records;
	uint64_t replayed; /* of these, what an earlier daemon had read and nobody knew to be durable */
	uint64_t unknown; /* records of events that are not in the table */
	uint64_t malformed;
	uint64_t gaps;
	uint64_t lost; /* of the gaps whose size is known */
	uint64_t last_ns; /* kernel timestamp of the newest record, 0: none */
};

struct trace_pump {
	const struct trace_formats *formats; /* the caller's */
	trace_record_handler on_early; /* NULL: none; trace_pump_set_early() */
	trace_record_handler on_record;
	trace_gap_handler on_gap;
	void *userdata;
	struct kbuffer *kbuffer;
	uint8_t *page; /* page_bytes and slack: for what goes into no spool */
	size_t page_bytes;
	struct trace_spool *spool; /* NULL: none; the caller's */
	uint64_t hand_page; /* the next to be handed over, and what of it was */
	uint32_t handed_index;
	uint32_t last_index; /* of what the handlers took of it in this run, 0: nothing */
	uint64_t replay_end; /* pages before it are of an earlier daemon */
	uint64_t page_number; /* while handlers are called; 0: a page of no spool */
	uint32_t place;
	uint32_t n_visited;
	bool refused;
	bool handing;
	bool blocked; /* the handlers refused something; trace_pump_hand_over() tries again */
	bool full; /* there was no slot for the last page that was asked for */
	struct trace_counts counts;
};

/*
 * `page_bytes` is the size of the ring's sub-buffers; at least 64. Formats,
 * handlers and userdata must outlive the pump. Return: 0, -EINVAL or -ENOMEM.
 */
int trace_pump_init(struct trace_pump *pump, const struct trace_formats *formats, size_t page_bytes,
		    trace_record_handler on_record, trace_gap_handler on_gap, void *userdata);

/*
 * `on_early` sees every record of a page before the other handlers see any of
 * it: what asks for a kill must not wait until the records before it are
 * written down.
 */
void trace_pump_set_early(struct trace_pump *pump, trace_record_handler on_early);

/* Frees what init allocated; also for a zeroed pump. */
void trace_pump_done(struct trace_pump *pump);

/*
 * Decodes a raw page of CPU `cpu` and calls the handlers in ring order. `bytes`
 * is what was read, TRACE_PAGE_SLACK_BYTES more must be readable behind it. What
 * does not fit the page's own header is a gap. The page is in no spool.
 */
void trace_pump_page(struct trace_pump *pump, uint32_t cpu, void *page, size_t bytes);

/*
 * Pages go through the spool from now on: read into it, looked at early, and
 * handed to the other handlers as fast as these take them.
 */
void trace_pump_set_spool(struct trace_pump *pump, struct trace_spool *spool);

/*
 * What an earlier daemon left in the spool, from behind `mark` on (NULL: none of
 * it is durable), through the same handlers. Once, before the first read.
 */
void trace_pump_replay(struct trace_pump *pump, const struct trace_spool_place *mark);

/* For handlers: this record or gap cannot be taken now; it will be offered again. Only with a spool. */
void trace_pump_refuse(struct trace_pump *pump);

/* For on_record: one more record is made of this one. Return: the index of its place. */
uint32_t trace_pump_also(struct trace_pump *pump);

/* A page could not be read at all. */
void trace_pump_unreadable(struct trace_pump *pump);

/* For handlers of gaps: the place of the gap. Return: the page, 0: in no spool. */
uint64_t trace_pump_place(const struct trace_pump *pump, uint32_t *ret_index);

/* Offers what waits in the spool. Return: false when the handlers refused something. */
bool trace_pump_hand_over(struct trace_pump *pump);

/*
 * Reads and decodes pages from a non-blocking fd until it has no more, at
 * most `pages_max`, or until no slot of the spool is free (`full`). Return: pages
 * read, or negative errno when the fd is dead.
 */
int trace_pump_read(struct trace_pump *pump, uint32_t cpu, int fd, unsigned int pages_max);

/*
 * For when slots do not become free, because the disk takes nothing: reads pages
 * for on_early only and counts their records as dropped in the spool. Return: as above.
 */
int trace_pump_skim(struct trace_pump *pump, uint32_t cpu, int fd, unsigned int pages_max);

#endif
