/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records: in from the loop, packed into blocks (store_block.h), and what is
 * told of them once they are durable. Records that find no room are counted for
 * each source; a gap with the number follows as soon as there is room, and no
 * mark goes beyond them before that gap is durable.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "store_internal.h"

/* Behind other work it may be for a single record, of which many can wait. */
static size_t room_for(const struct store *store, size_t need)
{
	const struct store_item *last = store->queue.last;
	size_t usual = last && last->kind != STORE_ITEM_RECORDS ? STORE_BLOCK_SMALL_BYTES
								: STORE_BLOCK_BYTES;

	return need > usual ? need : usual;
}

static struct store_block *take_block(struct store *store, size_t need)
{
	struct store_block *block = need > STORE_BLOCK_SMALL_BYTES ? store->spare : NULL;

	if (block && block->room >= need) {
		store->spare = NULL;
		store_block_reset(block);
	} else {
		block = store_block_new(need);
	}
	if (block)
		store->records_bytes += block->room;
	return block;
}

void store_block_drop(struct store *store, struct store_block *block)
{
	store->records_bytes -= block->room;
	if (store->spare || block->room != STORE_BLOCK_BYTES)
		free(block);
	else
		store->spare = block;
}

static struct store_block *queue_block(struct store *store, size_t bytes)
{
	struct store_item *item = calloc(1, sizeof(*item));

	if (!item)
		return NULL;
	item->kind = STORE_ITEM_RECORDS;
	item->block = take_block(store, bytes);
	if (!item->block) {
		free(item);
		return NULL;
	}
	store_queue_add(store, item);
	return item->block;
}

struct store_block *store_block_queue(struct store *store)
{
	return queue_block(store, STORE_BLOCK_BYTES);
}

/* A block at the end of the queue with room for `need`. Return: NULL when there may be no more. */
static struct store_block *block_for(struct store *store, size_t need, bool always)
{
	if (!always && store->records_bytes + need > STORE_RECORDS_BYTES_MAX)
		return NULL;
	return queue_block(store, room_for(store, need));
}

static bool add(struct store *store, const struct store_event *event, uint64_t realtime_us,
		bool always)
{
	struct store_item *last = store->queue.last;
	struct store_block *block;

	if (last && last->kind == STORE_ITEM_RECORDS &&
	    store_block_add(last->block, event, realtime_us))
		return true;
	block = block_for(store, store_block_need(event), always);
	return block && store_block_add(block, event, realtime_us);
}

static bool has_place(const struct store_event *event)
{
	return event->page || event->has_log_sequence;
}

static void miss(struct store *store, const struct store_event *event)
{
	struct store_missed *missed =
		store_losses_of(&store->missed_records, event->source, has_place(event));

	store_losses_add(missed, event, 1);
	if (event->page) {
		missed->place.page = event->page;
		missed->place.index = event->index;
	}
	if (event->has_log_sequence) {
		missed->place.log_sequence = event->log_sequence;
		missed->place.has_log_sequence = true;
	}
	store->counters.refused++;
}

static bool add_gap(struct store *store, const struct store_missed *missed, bool unknown,
		    bool always)
{
	struct store_event gap;

	store_losses_gap(missed, unknown, &gap);
	if (unknown)
		snprintf(
			gap.text, sizeof(gap.text),
			"records were lost, how many is not known, and what told of it found no room");
	else
		snprintf(gap.text, sizeof(gap.text),
			 "%" PRIu64 " records found no room while the database could not keep up",
			 missed->n);
	return add(store, &gap, clock_realtime_us_at(gap.at_ns), always);
}

/* Return: whether all gaps are written down. */
static bool add_gaps(struct store *store, bool always)
{
	struct store_losses *losses = &store->missed_records;

	for (; losses->n; losses->n--) {
		struct store_missed *missed = &losses->of[losses->n - 1];

		if (missed->n && !add_gap(store, missed, false, always))
			return false;
		missed->n = 0;
		if (missed->n_unknown && !add_gap(store, missed, true, always))
			return false;
	}
	return true;
}

void store_queue_gaps(struct store *store, bool always)
{
	pthread_mutex_lock(&store->mutex);
	add_gaps(store, always);
	pthread_mutex_unlock(&store->mutex);
}

int store_save_event(struct store *store, const struct store_event *event)
{
	uint64_t realtime_us = clock_realtime_us_at(event->at_ns);
	bool taken;

	pthread_mutex_lock(&store->mutex);
	/* A gap stands before what follows it. */
	taken = add_gaps(store, false) && add(store, event, realtime_us, false);
	if (!taken)
		miss(store, event);
	pthread_mutex_unlock(&store->mutex);
	return taken ? 0 : -ENOBUFS;
}

bool store_has_room(struct store *store)
{
	bool has_room;

	pthread_mutex_lock(&store->mutex);
	has_room = !store->missed_records.n && store->records_bytes < STORE_RECORDS_BYTES_MAX / 2;
	pthread_mutex_unlock(&store->mutex);
	return has_room;
}

/* FNV-1a: the same text has the same number in every run and on every host. */
static uint64_t hash(uint64_t so_far, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		so_far = (so_far ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
	return so_far;
}

uint64_t store_save_format(struct store *store, const char *system, const char *name,
			   const char *text, size_t bytes)
{
	uint64_t number = UINT64_C(0xcbf29ce484222325);
	size_t system_bytes = strlen(system) + 1, name_bytes = strlen(name) + 1;
	struct store_item *item = store_item_new(store, STORE_ITEM_FORMAT, 0);

	if (!item)
		return 0;
	number = hash(number, system, system_bytes);
	number = hash(number, name, name_bytes);
	number = hash(number, text, bytes);
	item->format.number = number ? number : 1;
	number = item->format.number;
	item->format.system = malloc(system_bytes + name_bytes + bytes + 1);
	if (!item->format.system) {
		store_item_free(item);
		return 0;
	}
	memcpy(item->format.system, system, system_bytes);
	memcpy(item->format.system + system_bytes, name, name_bytes);
	memcpy(item->format.system + system_bytes + name_bytes, text, bytes);
	item->format.system[system_bytes + name_bytes + bytes] = '\0';
	item->format.name = item->format.system + system_bytes;
	item->format.text = item->format.name + name_bytes;
	item->format.bytes = bytes;
	return store_enqueue(store, item) < 0 ? 0 : number;
}

void store_set_spool(struct store *store, const char *spool)
{
	snprintf(store->spool_id, sizeof(store->spool_id), "%s", spool);
}

void store_set_record_handlers(struct store *store, const struct store_record_handlers *handlers)
{
	store->record_handlers = *handlers;
}

void store_watch_records(struct store *store, bool watch)
{
	if (!store)
		return;
	pthread_mutex_lock(&store->mutex);
	store->watched = watch;
	pthread_mutex_unlock(&store->mutex);
}

bool store_newest_event(struct store *store, uint64_t *ret)
{
	bool known;

	pthread_mutex_lock(&store->mutex);
	known = store->knows_newest;
	*ret = store->newest;
	pthread_mutex_unlock(&store->mutex);
	return known;
}

/* What the database refused of a block that is durable otherwise. */
static void miss_bad(struct store *store, struct store_block *block)
{
	struct store_entry *entry = NULL;
	struct store_event_row row;

	while ((entry = store_block_next(block, entry)))
		for (uint64_t i = 0; entry->bad && i < entry->count; i++) {
			store_entry_row(entry, &row);
			row.event.page = 0; /* the marks are beyond it */
			row.event.has_log_sequence = false;
			miss(store, &row.event);
		}
}

void store_block_written(struct store *store, struct store_block *block, int result)
{
	if (result < 0) {
		store->counters.failed += block->n_records;
		store->n_lost += block->n_records;
		store_lose_block(store, block);
		return;
	}
	store->counters.committed += block->n_records;
	if (block->newest > store->newest)
		store->newest = block->newest;
	for (int log = 0; log < STORE_LOGS; log++)
		if (block->has_mark[log]) {
			store->marks[log] = block->marks[log];
			store->has_mark[log] = true;
		}
	if (block->n_bad)
		miss_bad(store, block);
}

void store_tell_marks(struct store *store)
{
	struct store_mark marks[STORE_LOGS];
	bool has[STORE_LOGS];

	pthread_mutex_lock(&store->mutex);
	memcpy(marks, store->marks, sizeof(marks));
	memcpy(has, store->has_mark, sizeof(has));
	memset(store->has_mark, 0, sizeof(store->has_mark));
	pthread_mutex_unlock(&store->mutex);
	for (uint32_t log = 0; log < STORE_LOGS && store->record_handlers.on_mark; log++)
		if (has[log])
			store->record_handlers.on_mark(store->record_handlers.userdata, log,
						       &marks[log]);
}

void store_tell_records(struct store *store, struct store_block *block)
{
	struct store_entry *entry = NULL;
	struct store_event_row row;

	while (store->record_handlers.on_record && (entry = store_block_next(block, entry))) {
		if (entry->bad)
			continue;
		store_entry_row(entry, &row);
		snprintf(row.boot_id, sizeof(row.boot_id), "%s", store->boot_id);
		store->record_handlers.on_record(store->record_handlers.userdata, &row);
	}
}

bool store_event_matches(const struct store_event_filter *filter, const struct store_event *event)
{
	if (filter->source[0] && strcmp(filter->source, event->source))
		return false;
	if (filter->kind[0] && strcmp(filter->kind, event->kind))
		return false;
	if (filter->unit[0] && strcmp(filter->unit, event->unit))
		return false;
	if (filter->domain[0] && strcmp(filter->domain, event->domain))
		return false;
	if (filter->lease[0] && strcmp(filter->lease, event->lease))
		return false;
	if (filter->incident && filter->incident != event->incident)
		return false;
	return event->severity >= filter->severity;
}
