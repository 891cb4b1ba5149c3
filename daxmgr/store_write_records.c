/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records as rows, on the store's thread within a transaction. Those that are
 * like one of a row that is not a minute old are added to it: which rows these
 * are is remembered for a bounded number of the newest; where it is forgotten there
 * is one row more, and the sum of all counts is the same.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store_internal.h"

enum { PROBES = 16 };

void store_forget_recent(struct store *store)
{
	if (store->recent)
		memset(store->recent, 0, STORE_RECENT_MAX * sizeof(*store->recent));
}

/* The row that has the key, else the place of the oldest of those that it may have. NULL for no key. */
static struct store_recent *recent_of(struct store *store, uint64_t key)
{
	struct store_recent *oldest = NULL;

	if (!key || !store->recent)
		return NULL;
	for (uint64_t i = 0; i < PROBES; i++) {
		struct store_recent *recent = &store->recent[(key + i) % STORE_RECENT_MAX];

		if (recent->id && recent->key == key)
			return recent;
		if (!oldest || !recent->id || (oldest->id && recent->id < oldest->id))
			oldest = recent;
	}
	return oldest;
}

/* A subscriber that comes back has to find what has grown without looking at all there is. */
static bool is_near(const struct store *store, const struct store_recent *recent)
{
	return store->newest_row - recent->id < STORE_GROW_ROWS;
}

static bool takes(const struct store_recent *recent, const struct store_entry *entry)
{
	uint64_t apart = recent->at_ns > entry->at_ns ? recent->at_ns - entry->at_ns
						      : entry->at_ns - recent->at_ns;

	return recent->id && recent->key == entry->key && apart < STORE_LIKE_NS;
}

static void bind_optional(struct store_binder *b, bool has, uint64_t value)
{
	if (has)
		store_bind_number(b, value);
	else
		store_bind_null(b);
}

static void bind_bytes(struct store_binder *b, const struct store_entry *entry, uint32_t at,
		       uint32_t bytes)
{
	if (!bytes)
		store_bind_null(b);
	else if (b->code == SQLITE_OK)
		b->code = sqlite3_bind_blob(b->statement, b->at++, (const uint8_t *)entry + at,
					    (int)bytes, SQLITE_STATIC);
}

static void bind_what(struct store_binder *b, const struct store_entry *entry, const char *serial)
{
	store_bind_text(b, store_severity_name(entry->severity));
	bind_optional(b, entry->incident, entry->incident);
	store_bind_name(b, store_entry_text(entry, STORE_TEXT_DOMAIN));
	store_bind_name(b, store_entry_text(entry, STORE_TEXT_LEASE));
	store_bind_number(b, entry->count);
	bind_optional(b, entry->count > 1, entry->last_at_ns);
	store_bind_name(b, serial);
	bind_optional(b, entry->has_hpa, entry->hpa);
	bind_optional(b, entry->has_dpa, entry->dpa);
	bind_optional(b, entry->bytes, entry->bytes);
	bind_optional(b, entry->has_lost, entry->lost);
	store_bind_number(b, entry->synthetic);
	bind_optional(b, entry->likeness, entry->likeness);
	bind_optional(b, entry->format, entry->format);
	store_bind_name(b, store_entry_text(entry, STORE_TEXT_FIELDS));
	bind_bytes(b, entry, entry->last_raw, entry->last_raw_bytes);
}

static int insert(struct store *store, struct store_entry *entry)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_EVENT);
	char serial[24] = ""; /* bound until it has run */
	int code;

	if (entry->has_serial)
		snprintf(serial, sizeof(serial), "0x%" PRIx64, entry->serial);
	store_bind_text(&b, store_entry_text(entry, STORE_TEXT_SOURCE));
	store_bind_text(&b, store_entry_text(entry, STORE_TEXT_KIND));
	bind_optional(&b, entry->has_cpu, entry->cpu);
	store_bind_number(&b, entry->at_ns);
	store_bind_text(&b, store->boot_id);
	store_bind_number(&b, entry->realtime_us);
	store_bind_name(&b, store_entry_text(entry, STORE_TEXT_UNIT));
	store_bind_text(&b, store_entry_text(entry, STORE_TEXT_TEXT));
	bind_bytes(&b, entry, entry->raw, entry->raw_bytes);
	bind_what(&b, entry, serial);
	code = store_bind_run(&b);
	if (code != SQLITE_OK)
		return code;
	entry->id = (uint64_t)sqlite3_last_insert_rowid(store->db);
	store->newest_row = entry->id;
	entry->row_at_ns = entry->at_ns;
	entry->row_count = entry->count;
	return SQLITE_OK;
}

/* Return: SQLITE_OK, SQLITE_NOTFOUND when the row is not there any more, or an error. */
static int add_to_row(struct store *store, struct store_recent *recent, struct store_entry *entry)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_EVENT_MORE);
	bool several = entry->count > 1;
	int code;

	store_bind_number(&b, recent->id);
	store_bind_number(&b, entry->count);
	store_bind_number(&b, entry->last_at_ns);
	bind_bytes(&b, entry, several ? entry->last_raw : entry->raw,
		   several ? entry->last_raw_bytes : entry->raw_bytes);
	bind_optional(&b, entry->has_lost, entry->lost);
	store_bind_number(&b, store->newest_row);
	code = store_bind_run(&b);
	if (code != SQLITE_OK)
		return code;
	if (sqlite3_changes(store->db) == 0)
		return SQLITE_NOTFOUND;
	recent->count += entry->count;
	entry->id = recent->id;
	entry->row_at_ns = recent->at_ns;
	entry->row_count = recent->count;
	return SQLITE_OK;
}

static int write_entry(struct store *store, struct store_entry *entry)
{
	struct store_recent *recent = recent_of(store, entry->key);
	int code = SQLITE_NOTFOUND;

	if (recent && takes(recent, entry) && is_near(store, recent))
		code = add_to_row(store, recent, entry);
	if (code != SQLITE_NOTFOUND)
		return code;
	code = insert(store, entry);
	if (code == SQLITE_OK && recent)
		*recent = (struct store_recent){entry->key, entry->id, entry->at_ns, entry->count};
	return code;
}

static int write_mark(struct store *store, enum store_log log, const struct store_mark *mark)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_MARK);

	store_bind_text(&b, log == STORE_LOG_PAGES ? "pages" : "kernel");
	store_bind_text(&b, log == STORE_LOG_PAGES ? store->spool_id : store->boot_id);
	store_bind_number(&b, mark->page);
	store_bind_number(&b, mark->index);
	return store_bind_run(&b);
}

int store_write_block(struct store *store, struct store_block *block)
{
	struct store_entry *entry = NULL;
	int code = SQLITE_OK;

	block->n_bad = 0;
	block->newest = 0;
	while (code == SQLITE_OK && (entry = store_block_next(block, entry))) {
		code = write_entry(store, entry);
		/* That one is nothing for a database: it must not hold up the others for ever. */
		entry->bad = code != SQLITE_OK && !store_is_trouble(code);
		if (code == SQLITE_OK && entry->id > block->newest)
			block->newest = entry->id;
		block->n_bad += entry->bad;
		if (entry->bad)
			code = SQLITE_OK;
	}
	for (uint32_t log = 0; log < STORE_LOGS && code == SQLITE_OK; log++)
		if (block->has_mark[log])
			code = write_mark(store, log, &block->marks[log]);
	return code;
}

int store_write_format(struct store *store, const struct store_item *item)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_FORMAT);

	store_bind_number(&b, item->format.number);
	store_bind_text(&b, store->boot_id);
	store_bind_text(&b, item->format.system);
	store_bind_text(&b, item->format.name);
	store_bind_text(&b, item->format.text);
	return store_bind_run(&b);
}

int store_load_mark(struct store *store, enum store_log log, const char *spool,
		    struct store_mark *ret)
{
	static const char sql[] = "SELECT page, position FROM marks WHERE log = ?1 AND spool = ?2";
	sqlite3_stmt *statement;
	int code;

	if (!store->db)
		return -ENOENT;
	code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
	if (code != SQLITE_OK)
		return store_errno(code);
	sqlite3_bind_text(statement, 1, log == STORE_LOG_PAGES ? "pages" : "kernel", -1,
			  SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, log == STORE_LOG_PAGES ? spool : store->boot_id, -1,
			  SQLITE_STATIC);
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*ret = (struct store_mark){(uint64_t)sqlite3_column_int64(statement, 0),
					   (uint32_t)sqlite3_column_int64(statement, 1)};
	sqlite3_finalize(statement);
	if (code == SQLITE_DONE)
		return -ENOENT;
	return code == SQLITE_ROW ? 0 : store_errno(code);
}
