/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that were taken out of the kernel's ring and whose records are not all
 * durable yet. They lie in a file of a tmpfs, so that a daemon that is killed
 * at any moment leaves them to the next one, which knows from the store's mark
 * where to go on: nothing is lost and nothing comes twice.
 *
 * Pages are numbered from 1 and leave in the order in which they came: a ring
 * of slots. The number is in the slot before the kernel is asked for the page,
 * and read(2) of a page is not cut short by SIGKILL; so a page is either still
 * the kernel's or whole in its slot.
 *
 * What was lost and is told is counted here, too: it has to survive like the
 * pages that tell of it. One slot more than there are pages is for those that
 * are read when all are taken, and only counted: whoever dies between reading and
 * counting leaves that to the next one. Nothing here allocates after trace_spool_open().
 */
#ifndef DAXMGR_SOURCE_TRACE_SPOOL_H
#define DAXMGR_SOURCE_TRACE_SPOOL_H

#include <isolate/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TRACE_SPOOL_VERSION = 1,
	TRACE_SPOOL_SLOTS_MIN = 4,
	TRACE_SPOOL_SLOTS_MAX = 1 << 20,
	/* libtraceevent may look at a word or two behind the last record of a damaged page. */
	TRACE_PAGE_SLACK_BYTES = 64,
};

struct trace_spool;

struct trace_spool_setup {
	const char *path;    /* NULL: memory that ends with the process */
	const char *boot_id; /* a file of another boot is not ours; at most 32 characters */
	size_t page_bytes;   /* of the ring's sub-buffers */
	uint64_t bytes;      /* about how much all pages may take */
};

/* What became of a file that an earlier daemon left. */
enum trace_spool_found {
	TRACE_SPOOL_NEW,     /* there was none, or an empty one of another size */
	TRACE_SPOOL_KEPT,    /* its pages are here */
	TRACE_SPOOL_ASIDE,   /* torn, or not of this boot or version: renamed to PATH.aside */
};

/* A place in it: `index` of a record in page `page`. Page 0: none. */
struct trace_spool_place {
	uint64_t spool; /* id of the file */
	uint64_t page;
	uint32_t index;
};

/* One entry as it lies there. */
struct trace_spool_entry {
	uint64_t page;
	uint32_t cpu;
	size_t bytes;   /* of the page; 0: no page but a loss that the ring's counters told of */
	uint64_t lost;  /* then: how many records */
	void *data;     /* TRACE_PAGE_SLACK_BYTES more are readable behind it */
};

/*
 * Return: 0, or negative errno with `problem` in words. `ret_found` says what
 * was there; for TRACE_SPOOL_ASIDE `problem` says why.
 */
int trace_spool_open(const struct trace_spool_setup *setup, struct trace_spool **ret,
		     enum trace_spool_found *ret_found, char problem[ISO_TEXT_BYTES]);

/* Unmaps; the file stays. NULL is fine. */
struct trace_spool *trace_spool_close(struct trace_spool *spool);

uint64_t trace_spool_id(const struct trace_spool *spool);
/* How many pages have room. */
uint32_t trace_spool_slots(const struct trace_spool *spool);
/* Pages [first, next) are there. */
uint64_t trace_spool_first(const struct trace_spool *spool);
uint64_t trace_spool_next(const struct trace_spool *spool);

/*
 * Prepares the slot of the next page of ring `cpu`. Return: where to read it
 * to, page_bytes long; NULL when all slots are taken. It becomes an entry by
 * trace_spool_add(); asking again without that gives the same slot.
 */
void *trace_spool_prepare(struct trace_spool *spool, uint32_t cpu);
void trace_spool_add(struct trace_spool *spool, size_t bytes);

/* An entry without a page: `lost` records are gone. Return: false when all slots are taken. */
bool trace_spool_add_loss(struct trace_spool *spool, uint64_t lost);

/* Return: false when that page is not there. */
bool trace_spool_get(const struct trace_spool *spool, uint64_t page, struct trace_spool_entry *ret);

/* All records of the page were handed over; the last one has this index, 0: there was none. */
void trace_spool_handed(struct trace_spool *spool, uint64_t page, uint32_t last_index);

/* The store says that everything up to there is durable. Frees what can be. */
void trace_spool_durable(struct trace_spool *spool, uint64_t page, uint32_t index);

/* ---- what was lost and is told ---- */

/* Losses that the page itself tells of; each page counts once, whoever says so and how often. */
void trace_spool_account(struct trace_spool *spool, uint64_t page, uint64_t lost);
/* All that was accounted for since the ring `ring` (any number that names it) was made. */
uint64_t trace_spool_lost(const struct trace_spool *spool);
uint64_t trace_spool_ring(const struct trace_spool *spool);
/*
 * Where to read a page of ring `cpu` to that is only counted, page_bytes long. Return: NULL when a
 * file of an earlier version has no slot for that. The second ends it: that many records were
 * read and go nowhere, a counter beside those of the ring.
 */
void *trace_spool_skim(struct trace_spool *spool, uint32_t cpu);
void trace_spool_skimmed(struct trace_spool *spool, uint64_t records);
/* One that was read so, and not counted when the daemon died. Return: false when there is none. */
bool trace_spool_uncounted(const struct trace_spool *spool, struct trace_spool_entry *ret);
uint64_t trace_spool_dropped(const struct trace_spool *spool);
/* The ring was made anew, or its counters were: nothing of it is told yet but `lost`. */
void trace_spool_set_ring(struct trace_spool *spool, uint64_t ring, uint64_t lost);

#endif
