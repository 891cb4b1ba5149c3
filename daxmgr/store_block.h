/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records on their way to the disk, packed one behind the other. A block is
 * written by one transaction or not at all, together with the marks of the
 * sources' logs: so records that are like each other can be one entry within
 * it, and still none is lost or counted twice, whenever the power fails.
 *
 * Pure: allocates in store_block_new() only.
 */
#ifndef DAXMGR_STORE_BLOCK_H
#define DAXMGR_STORE_BLOCK_H

#include "store.h"

enum {
	STORE_BLOCK_BYTES = 64 * 1024, /* of usual blocks; a record that needs more gets its own */
	STORE_BLOCK_SMALL_BYTES = 4 * 1024, /* of those for single records */
	STORE_BLOCK_LIKE = 256, /* places for entries that more may be added to */
};

/* Records that are like each other come within this time of the first. */
#define STORE_LIKE_NS UINT64_C(60000000000)

enum store_block_text {
	STORE_TEXT_SOURCE,
	STORE_TEXT_KIND,
	STORE_TEXT_UNIT,
	STORE_TEXT_DOMAIN,
	STORE_TEXT_LEASE,
	STORE_TEXT_TEXT,
	STORE_TEXT_FIELDS,
	STORE_TEXTS,
};

/* One or more records; texts and raw bytes follow it. */
struct store_entry {
	uint32_t size; /* of all of it: where the next one begins */
	uint32_t text[STORE_TEXTS]; /* offsets from the entry's start */
	uint32_t raw, raw_bytes;
	uint32_t last_raw, last_raw_bytes; /* there is as much room as for `raw` */
	uint32_t severity, cpu, index;
	bool has_cpu, has_log_sequence, has_serial, has_hpa, has_dpa, has_lost, synthetic;
	bool has_fields;
	bool bad; /* the database does not take this one */
	uint64_t at_ns, last_at_ns, realtime_us;
	uint64_t key; /* store_block_key() */
	uint64_t count;
	uint64_t format, likeness, incident, page, log_sequence, serial, hpa, dpa, bytes, lost;
	/* Once written: its row, and what that holds now. */
	uint64_t id, row_at_ns, row_count;
};

struct store_block {
	size_t room, used;
	uint64_t n_entries, n_records;
	uint64_t n_bad; /* entries, once written */
	uint64_t newest; /* number of a row, once written */
	struct store_mark marks[STORE_LOGS];
	bool has_mark[STORE_LOGS];
	bool tells_lost; /* all that an earlier run had lost */
	uint32_t like[STORE_BLOCK_LIKE]; /* offset + 1 of an entry */
	_Alignas(8) uint8_t data[];
};

/* Room for `bytes`. Return: NULL without memory. */
struct store_block *store_block_new(size_t bytes);
/* Empties it. */
void store_block_reset(struct store_block *block);
/* Bytes that the record takes in an empty block, at most. */
size_t store_block_need(const struct store_event *event);
/* Adds a record, to one that it is like where there is one. Return: false when it has no room here. */
bool store_block_add(struct store_block *block, const struct store_event *event,
		     uint64_t realtime_us);
/* The entry behind `entry`; the first for NULL. Return: NULL at the end. */
struct store_entry *store_block_next(struct store_block *block, const struct store_entry *entry);
const char *store_entry_text(const struct store_entry *entry, enum store_block_text which);
/* As a row; borrows from the entry. `row->boot_id` is left empty. */
void store_entry_row(const struct store_entry *entry, struct store_event_row *ret);
/* What is the same of records that may be one row; 0: never. */
uint64_t store_block_key(const struct store_event *event);

#endif
