/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store_block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

static const char cut_note[] = " (raw record cut)";
static const char left_out_note[] = " (fields left out)";

struct store_block *store_block_new(size_t bytes)
{
	struct store_block *block = malloc(sizeof(*block) + bytes);

	if (!block)
		return NULL;
	block->room = bytes;
	store_block_reset(block);
	return block;
}

void store_block_reset(struct store_block *block)
{
	size_t room = block->room;

	memset(block, 0, sizeof(*block));
	block->room = room;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 33)) * UINT64_C(0xff51afd7ed558ccd);
	x = (x ^ (x >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ (x >> 33);
}

uint64_t store_block_key(const struct store_event *event)
{
	uint64_t key;

	if (!event->likeness)
		return 0;
	key = mix(event->likeness + mix(2 * event->incident + event->synthetic));
	return key ? key : 1;
}

static size_t raw_kept(const struct store_event *event)
{
	return event->raw_bytes < STORE_RAW_MAX ? event->raw_bytes : STORE_RAW_MAX;
}

static size_t fields_kept(const struct store_event *event)
{
	size_t length = event->fields ? strlen(event->fields) : 0;

	return length <= STORE_FIELDS_MAX ? length : 0;
}

size_t store_block_need(const struct store_event *event)
{
	return sizeof(struct store_entry) + strlen(event->source) + strlen(event->kind) +
	       strlen(event->unit) + strlen(event->domain) + strlen(event->lease) +
	       strlen(event->text) + sizeof(cut_note) + sizeof(left_out_note) + fields_kept(event) +
	       STORE_TEXTS + 2 * raw_kept(event) + 8;
}

static bool is_close(uint64_t a_ns, uint64_t b_ns)
{
	return (a_ns > b_ns ? a_ns - b_ns : b_ns - a_ns) < STORE_LIKE_NS;
}

/* The place of the key, or the one it would get; places are given up to later keys. */
static uint32_t *place_of(struct store_block *block, uint64_t key)
{
	uint32_t *first = &block->like[key % STORE_BLOCK_LIKE];

	for (uint32_t i = 0; i < 8; i++) {
		uint32_t *place = &block->like[(key + i) % STORE_BLOCK_LIKE];

		if (!*place || ((const struct store_entry *)(block->data + *place - 1))->key == key)
			return place;
	}
	return first;
}

static void mark(struct store_block *block, const struct store_event *event)
{
	if (event->page) {
		block->has_mark[STORE_LOG_PAGES] = true;
		block->marks[STORE_LOG_PAGES] = (struct store_mark){event->page, event->index};
	}
	if (event->has_log_sequence) {
		block->has_mark[STORE_LOG_KERNEL] = true;
		block->marks[STORE_LOG_KERNEL] = (struct store_mark){event->log_sequence, 0};
	}
}

static bool add_to(struct store_block *block, struct store_entry *entry,
		   const struct store_event *event)
{
	size_t raw_bytes = raw_kept(event);

	if (!is_close(entry->at_ns, event->at_ns) || raw_bytes > entry->raw_bytes)
		return false;
	entry->count++;
	entry->lost += event->lost;
	entry->last_at_ns = event->at_ns;
	if (raw_bytes)
		memcpy((uint8_t *)entry + entry->last_raw, event->raw, raw_bytes);
	entry->last_raw_bytes = (uint32_t)raw_bytes;
	block->n_records++;
	return true;
}

static void put_text(struct store_entry *entry, enum store_block_text which, const char *text,
		     size_t length)
{
	entry->text[which] = entry->size;
	memcpy((uint8_t *)entry + entry->size, text, length);
	((uint8_t *)entry)[entry->size + length] = '\0';
	entry->size += (uint32_t)length + 1;
}

static void put_texts(struct store_entry *entry, const struct store_event *event)
{
	size_t fields = fields_kept(event), length;
	const char *cut = event->raw_bytes > STORE_RAW_MAX ? cut_note : "";
	const char *left_out = event->fields && event->fields[0] && !fields ? left_out_note : "";
	char text[ISO_TEXT_BYTES];

	put_text(entry, STORE_TEXT_SOURCE, event->source, strlen(event->source));
	put_text(entry, STORE_TEXT_KIND, event->kind, strlen(event->kind));
	put_text(entry, STORE_TEXT_UNIT, event->unit, strlen(event->unit));
	put_text(entry, STORE_TEXT_DOMAIN, event->domain, strlen(event->domain));
	put_text(entry, STORE_TEXT_LEASE, event->lease, strlen(event->lease));
	length = sizeof(text) - 1 - strlen(cut) - strlen(left_out);
	length = (size_t)snprintf(text, sizeof(text), "%.*s%s%s", (int)length, event->text, cut,
				  left_out);
	put_text(entry, STORE_TEXT_TEXT, text, length);
	put_text(entry, STORE_TEXT_FIELDS, fields ? event->fields : "", fields);
	entry->has_fields = fields > 0;
}

static void put_raw(struct store_entry *entry, const struct store_event *event)
{
	size_t bytes = raw_kept(event);

	entry->raw = entry->size;
	entry->raw_bytes = (uint32_t)bytes;
	if (bytes)
		memcpy((uint8_t *)entry + entry->raw, event->raw, bytes);
	entry->size += (uint32_t)bytes;
	entry->last_raw = entry->size;
	if (entry->key)
		entry->size += (uint32_t)bytes;
	entry->size = (entry->size + 7) & ~7U;
}

bool store_block_add(struct store_block *block, const struct store_event *event,
		     uint64_t realtime_us)
{
	uint64_t key = store_block_key(event);
	uint32_t *place = key ? place_of(block, key) : NULL;
	struct store_entry *entry;

	if (place && *place) {
		entry = (struct store_entry *)(block->data + *place - 1);
		if (entry->key == key && add_to(block, entry, event)) {
			mark(block, event);
			return true;
		}
	}
	if (block->used + store_block_need(event) > block->room)
		return false;
	entry = (struct store_entry *)(block->data + block->used);
	*entry = (struct store_entry){
		.size = sizeof(*entry),
		.severity = event->severity,
		.cpu = event->cpu,
		.index = event->index,
		.has_cpu = event->has_cpu,
		.has_log_sequence = event->has_log_sequence,
		.has_serial = event->has_serial,
		.has_hpa = event->has_hpa,
		.has_dpa = event->has_dpa,
		.has_lost = event->has_lost,
		.synthetic = event->synthetic,
		.at_ns = event->at_ns,
		.last_at_ns = event->at_ns,
		.realtime_us = realtime_us,
		.key = key,
		.count = 1,
		.format = event->format,
		.likeness = event->likeness,
		.incident = event->incident,
		.page = event->page,
		.log_sequence = event->log_sequence,
		.serial = event->serial,
		.hpa = event->hpa,
		.dpa = event->dpa,
		.bytes = event->bytes,
		.lost = event->lost,
	};
	put_texts(entry, event);
	put_raw(entry, event);
	if (place)
		*place = (uint32_t)block->used + 1;
	block->used += entry->size;
	block->n_entries++;
	block->n_records++;
	mark(block, event);
	return true;
}

struct store_entry *store_block_next(struct store_block *block, const struct store_entry *entry)
{
	size_t at = entry ? (size_t)((const uint8_t *)entry - block->data) + entry->size : 0;

	return at < block->used ? (struct store_entry *)(block->data + at) : NULL;
}

const char *store_entry_text(const struct store_entry *entry, enum store_block_text which)
{
	return (const char *)entry + entry->text[which];
}

static void copy_text(char *to, size_t room, const struct store_entry *entry,
		      enum store_block_text which)
{
	snprintf(to, room, "%s", store_entry_text(entry, which));
}

void store_entry_row(const struct store_entry *entry, struct store_event_row *ret)
{
	struct store_event *event = &ret->event;
	bool is_first = entry->row_count == entry->count;

	*ret = (struct store_event_row){
		.event = {.severity = entry->severity,
			  .at_ns = entry->row_at_ns,
			  .cpu = entry->cpu,
			  .has_cpu = entry->has_cpu,
			  .fields = entry->has_fields ? store_entry_text(entry, STORE_TEXT_FIELDS)
						      : NULL,
			  .format = entry->format,
			  .likeness = entry->likeness,
			  .incident = entry->incident,
			  .page = entry->page,
			  .index = entry->index,
			  .log_sequence = entry->log_sequence,
			  .has_log_sequence = entry->has_log_sequence,
			  .serial = entry->serial,
			  .has_serial = entry->has_serial,
			  .hpa = entry->hpa,
			  .has_hpa = entry->has_hpa,
			  .dpa = entry->dpa,
			  .has_dpa = entry->has_dpa,
			  .bytes = entry->bytes,
			  .lost = entry->lost,
			  .has_lost = entry->has_lost,
			  .synthetic = entry->synthetic},
		.id = entry->id,
		.count = entry->row_count,
		.last_at_ns = entry->last_at_ns,
		.realtime_us = entry->realtime_us,
	};
	copy_text(event->source, sizeof(event->source), entry, STORE_TEXT_SOURCE);
	copy_text(event->kind, sizeof(event->kind), entry, STORE_TEXT_KIND);
	copy_text(event->unit, sizeof(event->unit), entry, STORE_TEXT_UNIT);
	copy_text(event->domain, sizeof(event->domain), entry, STORE_TEXT_DOMAIN);
	copy_text(event->lease, sizeof(event->lease), entry, STORE_TEXT_LEASE);
	copy_text(event->text, sizeof(event->text), entry, STORE_TEXT_TEXT);
	/* The first raw record of a row that others are added to is in the database only. */
	if (is_first && entry->raw_bytes) {
		event->raw = (const uint8_t *)entry + entry->raw;
		event->raw_bytes = entry->raw_bytes;
	}
	if (entry->count > 1 && entry->last_raw_bytes) {
		ret->last_raw = (const uint8_t *)entry + entry->last_raw;
		ret->last_raw_bytes = entry->last_raw_bytes;
	} else if (!is_first && entry->raw_bytes) {
		ret->last_raw = (const uint8_t *)entry + entry->raw;
		ret->last_raw_bytes = entry->raw_bytes;
	}
}
