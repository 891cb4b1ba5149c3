/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a raw ring-buffer page to decoded records. Apart from the reader of
 * tracefs (trace.h), so that a recorded page can be fed through the same code.
 * Nothing here allocates after trace_pump_init().
 */
#ifndef DAXMGR_SOURCE_TRACE_PUMP_H
#define DAXMGR_SOURCE_TRACE_PUMP_H

#include "trace_decode.h"

#include <sys/types.h>

struct kbuffer;

enum {
	/* libtraceevent may look at a word or two behind the last record of a damaged page. */
	TRACE_PAGE_SLACK_BYTES = 64,
};

enum trace_gap {
	TRACE_GAP_LOST,      /* the ring overwrote records before they were read */
	TRACE_GAP_MALFORMED, /* a record or page that this table cannot read */
};

/* The record borrows from the page: valid during the call only. */
typedef void (*trace_record_handler)(void *userdata, const struct trace_record *record);

/* Something may have happened that nobody will tell: observe. `count` 0: unknown how many. */
typedef void (*trace_gap_handler)(void *userdata, enum trace_gap gap, uint64_t count);

struct trace_counts {
	uint64_t pages;
	uint64_t records;
	uint64_t unknown;   /* records of events that are not in the table */
	uint64_t malformed;
	uint64_t gaps;
	uint64_t lost;      /* of the gaps whose size is known */
	uint64_t last_ns;   /* kernel timestamp of the newest record, 0: none */
};

struct trace_pump {
	const struct trace_formats *formats; /* the caller's */
	trace_record_handler on_early; /* NULL: none; trace_pump_set_early() */
	trace_record_handler on_record;
	trace_gap_handler on_gap;
	void *userdata;
	struct kbuffer *kbuffer;
	uint8_t *page; /* page_bytes and slack: trace_pump_read() reads into it */
	size_t page_bytes;
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
 * does not fit the page's own header is a gap.
 */
void trace_pump_page(struct trace_pump *pump, uint32_t cpu, void *page, size_t bytes);

/*
 * Reads and decodes pages from a non-blocking fd until it has no more, at
 * most `pages_max`. Return: pages read, or negative errno when the fd is dead.
 */
int trace_pump_read(struct trace_pump *pump, uint32_t cpu, int fd, unsigned int pages_max);

#endif
