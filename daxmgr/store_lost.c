/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records that are lost, by source. What stands in a log of its source (pages,
 * the kernel's log) is read again from the store's mark on; what a store that
 * ends could not write of the rest is counted in a small file for the next
 * start. That queues one block with all of it, names the file in each row, and
 * the file goes once the block is durable: a daemon that dies in between leaves
 * both, and is believed the rows.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "store_internal.h"

enum { FILE_BYTES = 8192 }; /* more than any has */

static const char head[] = "daxmgr-lost 1";

/* ---- counting ---- */

struct store_missed *store_losses_of(struct store_losses *losses, const char *source, bool placed)
{
	uint32_t i;

	for (i = 0; i < losses->n; i++)
		if (losses->of[i].placed == placed && !strcmp(losses->of[i].source, source))
			return &losses->of[i];
	if (i == STORE_SOURCES_MAX) /* more sources than there are */
		return &losses->of[i - 1];
	losses->of[i] = (struct store_missed){.placed = placed};
	snprintf(losses->of[i].source, sizeof(losses->of[i].source), "%s", source);
	losses->n++;
	return &losses->of[i];
}

void store_losses_add(struct store_missed *missed, const struct store_event *event, uint64_t count)
{
	if (strcmp(event->kind, "gap") != 0)
		missed->n += count;
	else if (event->has_lost)
		missed->n += event->lost;
	else
		missed->n_unknown += count;
	missed->last_ns = event->at_ns;
}

void store_losses_gap(const struct store_missed *missed, bool unknown, struct store_event *ret)
{
	*ret = missed->place;
	snprintf(ret->source, sizeof(ret->source), "%s", missed->source);
	snprintf(ret->kind, sizeof(ret->kind), "gap");
	ret->severity = STORE_WARNING;
	ret->at_ns = missed->last_ns;
	ret->lost = unknown ? 0 : missed->n;
	ret->has_lost = !unknown;
}

/* It is read again at the next start, from the mark on. */
static bool comes_again(const struct store *store, const struct store_event *event)
{
	return (event->page && store->spool_id[0]) || event->has_log_sequence;
}

void store_lose_block(struct store *store, struct store_block *block)
{
	struct store_entry *entry = NULL;
	struct store_event_row row;

	while ((entry = store_block_next(block, entry))) {
		store_entry_row(entry, &row);
		row.event.at_ns = entry->last_at_ns;
		if (!comes_again(store, &row.event))
			store_losses_add(store_losses_of(&store->lost, row.event.source, false),
					 &row.event, entry->count);
	}
}

static void merge(struct store_losses *to, const struct store_missed *missed)
{
	struct store_missed *line = store_losses_of(to, missed->source, false);

	line->n += missed->n;
	line->n_unknown += missed->n_unknown;
	if (missed->last_ns > line->last_ns)
		line->last_ns = missed->last_ns;
}

/* What the thread never saw, and what came up while it ended. */
static void gather(struct store *store)
{
	for (struct store_item *item = store->queue.first; item; item = item->next)
		if (item->kind == STORE_ITEM_RECORDS)
			store_lose_block(store, item->block);
	for (uint32_t i = 0; i < store->missed_records.n; i++)
		if (!comes_again(store, &store->missed_records.of[i].place))
			merge(&store->lost, &store->missed_records.of[i]);
}

/* ---- the file ---- */

void store_lost_told(const struct store *store)
{
	if (store->lost_path && unlink(store->lost_path) < 0 && errno != ENOENT)
		log_line(LOG_WARNING, "%s: %s", store->lost_path, strerror(errno));
}

static int write_file(const struct store *store, const char *text, size_t bytes)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s.new", store->lost_path) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, text, bytes) != (ssize_t)bytes)
		return -EIO;
	return rename(path, store->lost_path) < 0 ? -errno : 0;
}

void store_keep_lost(struct store *store)
{
	char text[FILE_BYTES];
	size_t used;
	int r;

	if (!store->lost_path)
		return;
	gather(store);
	if (!store->lost.n) {
		store_lost_told(store);
		return;
	}
	used = (size_t)snprintf(text, sizeof(text), "%s %s\n", head, store->boot_id);
	for (uint32_t i = 0; i < store->lost.n; i++) {
		const struct store_missed *missed = &store->lost.of[i];

		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", missed->n,
					 missed->n_unknown, missed->last_ns, missed->source);
		log_line(LOG_WARNING, "%s: %" PRIu64 "%s records cannot be written and are lost",
			 missed->source, missed->n, missed->n_unknown ? " and more" : "");
	}
	r = write_file(store, text, used);
	if (r < 0)
		log_line(LOG_ERR, "%s: %s; no gap will tell of what is lost", store->lost_path,
			 strerror(-r));
}

/* Return: false when it makes no sense. */
static bool parse(const char *text, const char *boot_id, struct store_losses *ret)
{
	struct store_missed line = {0};
	char boot[STORE_BOOT_ID_BYTES];
	int used = 0;

	if (sscanf(text, "daxmgr-lost 1 %32s%n", boot, &used) != 1 || strcmp(boot, boot_id) != 0 ||
	    text[used] != '\n')
		return false;
	for (text += used + 1; *text; text += used + 1) {
		used = 0;
		if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %47[^\n]%n", &line.n,
			   &line.n_unknown, &line.last_ns, line.source, &used) != 4 ||
		    text[used] != '\n' || ret->n == STORE_SOURCES_MAX)
			return false;
		merge(ret, &line);
	}
	return ret->n > 0;
}

static uint64_t hash(uint64_t so_far, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		so_far = (so_far ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
	return so_far;
}

/* Return: false when there is none. What it says in `ret`, and in `ret_id` which one it is. */
static bool read_file(const struct store *store, struct store_losses *ret, uint64_t *ret_id)
{
	_cleanup_close_ int fd =
		open(store->lost_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	uint64_t now_ns = clock_boottime_ns();
	char text[FILE_BYTES + 1];
	struct stat status;
	ssize_t n = -1;

	if (fd < 0 && errno == ENOENT)
		return false;
	*ret_id = hash(UINT64_C(0xcbf29ce484222325), &now_ns, sizeof(now_ns));
	if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		n = read(fd, text, FILE_BYTES);
	if (n >= 0) {
		*ret_id = hash(UINT64_C(0xcbf29ce484222325), text, (size_t)n);
		*ret_id = hash(*ret_id, &status.st_ino, sizeof(status.st_ino));
		*ret_id = hash(*ret_id, &status.st_mtim, sizeof(status.st_mtim));
		text[n] = '\0';
	}
	if (n < 0 || strlen(text) != (size_t)n || !parse(text, store->boot_id, ret)) {
		*ret = (struct store_losses){0};
		*store_losses_of(ret, "store", false) =
			(struct store_missed){.source = "store", .n_unknown = 1, .last_ns = now_ns};
	}
	return true;
}

/* Whether its rows are there: then the daemon died before the file went. */
static bool is_told(struct store *store, const char *fields)
{
	static const char sql[] =
		"SELECT 1 FROM events WHERE id > (SELECT max(id) - 16384 FROM events)"
		" AND kind = 'gap' AND fields = ?1";
	sqlite3_stmt *s;
	bool told;

	if (store_load_begin(store, sql, &s) != 0)
		return false;
	sqlite3_bind_text(s, 1, fields, -1, SQLITE_STATIC);
	told = sqlite3_step(s) == SQLITE_ROW;
	sqlite3_finalize(s);
	return told;
}

static void describe(const struct store_missed *missed, bool unknown, struct store_event *ret)
{
	store_losses_gap(missed, unknown, ret);
	if (unknown)
		snprintf(
			ret->text, sizeof(ret->text),
			"records were lost when the daemon ended and the database could not be written; how many is not known");
	else
		snprintf(
			ret->text, sizeof(ret->text),
			"%" PRIu64
			" records were lost when the daemon ended and the database could not be written",
			missed->n);
}

/* All in one block: it becomes durable as one. */
static struct store_block *queue_gaps(struct store *store, const struct store_losses *losses,
				      const char *fields)
{
	struct store_block *block = store_block_queue(store);
	struct store_event gap;

	if (!block)
		return NULL;
	block->tells_lost = true;
	for (uint32_t i = 0; i < losses->n; i++)
		for (int unknown = 0; unknown < 2; unknown++) {
			if (unknown ? !losses->of[i].n_unknown : !losses->of[i].n)
				continue;
			describe(&losses->of[i], unknown, &gap);
			gap.fields = fields;
			/* There is room for more than there can be. */
			(void)store_block_add(block, &gap, clock_realtime_us_at(gap.at_ns));
		}
	return block;
}

int store_load_lost(struct store *store, const char *path,
		    void (*each)(void *userdata, const struct store_event *gap), void *userdata)
{
	struct store_losses losses = {0};
	struct store_entry *entry = NULL;
	struct store_event_row row;
	struct store_block *block;
	char fields[64];
	uint64_t id;

	store->lost_path = strdup(path);
	if (!store->lost_path)
		return -ENOMEM;
	if (!read_file(store, &losses, &id))
		return 0;
	snprintf(fields, sizeof(fields), "{\"lost_file\":\"%016" PRIx64 "\"}", id);
	if (is_told(store, fields)) {
		store_lost_told(store);
		return 0;
	}
	block = queue_gaps(store, &losses, fields);
	if (!block) {
		store->lost = losses; /* told next time */
		return -ENOMEM;
	}
	/* What `each` leads to may stand behind them. */
	for (uint64_t left = block->n_entries; left; left--) {
		entry = store_block_next(block, entry);
		store_entry_row(entry, &row);
		row.event.at_ns = entry->at_ns;
		each(userdata, &row.event);
	}
	return 0;
}
