/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The thread that owns the database. It takes all that is queued, makes one
 * transaction of the writes up to the next query, and gives back what wants to
 * come back. On a failing disk items with a token fail at once; the others
 * stay, in order, and are tried again each second.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "priority.h"
#include "store_internal.h"

enum {
	IDLE_SECONDS = 1,
	GATHER_NS = 50000000, /* how long what only tells of the past waits for more, ... */
	GATHER_RECORDS_NS = 2000000, /* ... and what subscribers and policy wait for */
	BATCH_MAX = 4096, /* items and records in one transaction */
};

void store_list_add(struct store_list *list, struct store_item *item)
{
	item->next = NULL;
	if (list->last)
		list->last->next = item;
	else
		list->first = item;
	list->last = item;
	list->n++;
}

static struct store_item *list_take(struct store_list *list)
{
	struct store_item *item = list->first;

	if (!item)
		return NULL;
	list->first = item->next;
	if (!list->first)
		list->last = NULL;
	list->n--;
	item->next = NULL;
	return item;
}

/* `from` behind what `to` has. */
static void list_move(struct store_list *to, struct store_list *from)
{
	if (!from->first)
		return;
	if (to->last)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	to->n += from->n;
	*from = (struct store_list){0};
}

void store_item_free(struct store_item *item)
{
	if (item->kind == STORE_ITEM_RECORDS)
		free(item->block); /* not counted any more, or the store is going */
	if (item->kind == STORE_ITEM_FORMAT)
		free(item->format.system);
	store_rows_free(&item->rows);
	free(item);
}

static bool is_query(const struct store_item *item)
{
	return item->kind == STORE_ITEM_QUERY_INCIDENTS || item->kind == STORE_ITEM_QUERY_EVENTS ||
	       item->kind == STORE_ITEM_ACKNOWLEDGE;
}

bool store_item_urgent(const struct store_item *item)
{
	return item->kind != STORE_ITEM_RECORDS && item->kind != STORE_ITEM_FORMAT &&
	       item->kind != STORE_ITEM_NOTE;
}

bool store_is_trouble(int code)
{
	int error = store_errno(code);

	return error != 0 && error != -EINVAL && error != -E2BIG;
}

/* The disk is being used from now on, or is not. */
static void set_busy(struct store *store, bool busy)
{
	pthread_mutex_lock(&store->mutex);
	store->busy_since_ns = busy ? clock_boottime_ns() : 0;
	pthread_mutex_unlock(&store->mutex);
}

static void wake_loop(struct store *store)
{
	uint64_t one = 1;

	if (write(store->event_fd, &one, sizeof(one)) < 0)
		return; /* only when the counter is full: then the loop is woken already */
}

/* Return: whether the loop is to see the records. */
static bool finish_records(struct store *store, struct store_item *item, int result)
{
	bool wanted, news;

	if (item->block->tells_lost && result == 0)
		store_lost_told(store);
	pthread_mutex_lock(&store->mutex);
	store_block_written(store, item->block, result);
	wanted = store->watched && result == 0;
	news = store->has_mark[STORE_LOG_PAGES] || store->has_mark[STORE_LOG_KERNEL];
	if (wanted) {
		store_list_add(&store->finished, item);
	} else {
		store_block_drop(store, item->block);
		item->block = NULL;
	}
	news |= store->missed_records.n > 0; /* there is room now */
	pthread_mutex_unlock(&store->mutex);
	if (wanted || news)
		wake_loop(store);
	return wanted;
}

static void finish(struct store *store, struct store_item *item, int result)
{
	bool wanted = item->token || is_query(item);

	if (item->kind == STORE_ITEM_RECORDS) {
		if (!finish_records(store, item, result))
			store_item_free(item);
		return;
	}

	pthread_mutex_lock(&store->mutex);
	if (!is_query(item)) {
		if (result == 0)
			store->counters.committed++;
		else
			store->counters.failed++;
		store->n_lost += result < 0 && !item->token;
	}
	item->result = result;
	if (wanted)
		store_list_add(&store->finished, item);
	pthread_mutex_unlock(&store->mutex);
	if (!wanted)
		store_item_free(item);
	else
		wake_loop(store);
}

void store_describe_failure(struct store *store, int error)
{
	char problem[ISO_TEXT_BYTES];
	bool news;

	snprintf(
		problem, sizeof(problem),
		"the database cannot be written: %s; until it can, nothing is handed out or taken apart",
		store_error_text(store_cause(store, error)));
	pthread_mutex_lock(&store->mutex);
	news = strcmp(problem, store->problem) != 0;
	memcpy(store->problem, problem, sizeof(problem));
	pthread_mutex_unlock(&store->mutex);
	if (news && store->started) /* at start the whole of it is said */
		log_line(LOG_ERR, "%s: %s", store->path, problem);
}

static void clear_problem(struct store *store)
{
	bool had;

	pthread_mutex_lock(&store->mutex);
	had = store->problem[0];
	store->problem[0] = '\0';
	pthread_mutex_unlock(&store->mutex);
	if (had)
		log_line(LOG_NOTICE, "%s: the database can be written again", store->path);
}

static void roll_back(struct store *store)
{
	store_forget_recent(store); /* rows of it never were */
	if (store->db && !sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

static void tell(struct store *store, bool *news)
{
	pthread_mutex_lock(&store->mutex);
	*news = true;
	pthread_mutex_unlock(&store->mutex);
	wake_loop(store);
}

/*
 * One that is damaged while it is in use is put aside like any other, but all
 * that a start needs is known: it is written anew, and nothing is held for it.
 */
static int open_again(struct store *store)
{
	int r = store_database_open(store);

	if (r != -EUCLEAN)
		return r;
	r = store_set_aside(store);
	if (r < 0)
		return r;
	pthread_mutex_lock(&store->mutex);
	store->missed = true; /* asked for once there is a new one */
	pthread_mutex_unlock(&store->mutex);
	return store_database_open(store);
}

/* What went with a damaged database, or found no room in the queue while the disk failed. */
static void make_up(struct store *store)
{
	bool missed;

	pthread_mutex_lock(&store->mutex);
	missed = store->missed;
	store->missed = false;
	pthread_mutex_unlock(&store->mutex);
	if (missed)
		tell(store, &store->wants_all);
}

static uint64_t weight(const struct store_item *item)
{
	return item->kind == STORE_ITEM_RECORDS ? item->block->n_entries : 1;
}

/* One transaction of the items from `first` to the one before `end`. */
static int write_all(struct store *store, struct store_item *first, struct store_item *end)
{
	uint64_t n = 0;
	int code, r;

	set_busy(store, true);
	r = store->db ? 0 : open_again(store);
	if (r < 0) {
		set_busy(store, false);
		store_describe_failure(store, r);
		return SQLITE_CANTOPEN;
	}
	code = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	for (struct store_item *item = first; code == SQLITE_OK && item != end; item = item->next)
		code = store_write_item(store, item);
	if (code == SQLITE_OK)
		code = sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
	set_busy(store, false);
	if (code != SQLITE_OK) {
		if (store_is_trouble(code))
			store_describe_failure(store, store_errno(code));
		roll_back(store);
		return code;
	}
	for (struct store_item *item = first; item != end; item = item->next)
		n += weight(item);
	store->n_last = n;
	store->n_unsaved += n;
	store->n_untried += n;
	store->n_untidied += n;
	clear_problem(store);
	return SQLITE_OK;
}

/* After trouble an own connection may hold on to what is gone: a later try begins with a new one. */
static void give_up_connection(struct store *store, int code)
{
	int error = store_errno(code);

	if (error == -EIO || error == -EUCLEAN || error == -EROFS)
		store_database_close(store);
}

/* Item by item, so that one bad item does not take others with it. Return: SQLITE_OK, or the trouble. */
static int write_singly(struct store *store, struct store_list *batch, struct store_list *kept)
{
	struct store_item *item;
	int trouble = SQLITE_OK;

	while ((item = list_take(batch))) {
		int code = trouble;

		if (trouble == SQLITE_OK)
			code = write_all(store, item, NULL);
		if (store_is_trouble(code))
			trouble = code;
		if (code == SQLITE_OK || item->token || !store_is_trouble(code))
			finish(store, item, store_errno(code));
		else
			store_list_add(kept, item);
	}
	return trouble;
}

/* Return: false when the disk did not take it; what waits for a better time is in `kept`. */
static bool run_writes(struct store *store, struct store_list *batch, struct store_list *kept)
{
	struct store_item *item;
	int code;

	if (!batch->first)
		return true;
	code = write_all(store, batch->first, NULL);
	if (code != SQLITE_OK) {
		code = write_singly(store, batch, kept);
		if (code != SQLITE_OK)
			give_up_connection(store, code);
		return code == SQLITE_OK;
	}
	while ((item = list_take(batch)))
		finish(store, item, 0);
	return true;
}

static void run_query(struct store *store, struct store_item *item)
{
	int code = SQLITE_CANTOPEN;

	if (store->db || store_database_open(store) >= 0)
		code = store_query_item(store, item);
	/* Statements are tested: a value is out of range where the caller's is. */
	finish(store, item, code == SQLITE_RANGE ? -ERANGE : store_errno(code));
}

/* What an operator confirmed counts once everything before it is durable. Return: whether it was done. */
static bool run_hold_end(struct store *store, struct store_item *item, struct store_list *kept)
{
	int r = kept->first ? -EAGAIN : store_remove_hold(store);

	if (r < 0) {
		if (r != -EAGAIN)
			store_describe_failure(store, r);
		store_list_add(kept, item);
		return false;
	}
	pthread_mutex_lock(&store->mutex);
	store->hold[0] = '\0';
	pthread_mutex_unlock(&store->mutex);
	finish(store, item, 0);
	return true;
}

static bool is_barrier(const struct store_item *item)
{
	return is_query(item) || item->kind == STORE_ITEM_HOLD_END;
}

/* Return: false when something waits for a better time; it is all in `list` again. */
static bool run(struct store *store, struct store_list *list)
{
	struct store_list batch = {0}, kept = {0};
	struct store_item *item;
	bool healthy = true;
	uint64_t n = 0;

	while ((item = list_take(list))) {
		if (is_query(item)) {
			run_query(store, item);
			continue;
		}
		if (item->kind == STORE_ITEM_HOLD_END) {
			healthy &= run_hold_end(store, item, &kept);
			continue;
		}
		store_list_add(&batch, item);
		n += weight(item);
		if (!list->first || is_barrier(list->first) || n >= BATCH_MAX) {
			healthy &= run_writes(store, &batch, &kept);
			n = 0;
		}
	}
	*list = kept;
	return healthy && !kept.first;
}

/*
 * What the database holds was never read: writing would mix it with what this
 * run believes. Nothing is taken, and once it can be read the daemon is told.
 */
static bool run_unread(struct store *store, struct store_list *list)
{
	struct store_item *item;
	int r;

	while ((item = list_take(list)))
		finish(store, item, -EIO);
	r = store_database_open(store);
	if (r == -EUCLEAN)
		r = store_set_aside(store);
	store_database_close(store);
	if (r == 0)
		tell(store, &store->can_read);
	return r == 0;
}

/* What fills the disk may be the log, and what of it is in the file can be written over. */
static void empty_log(struct store *store)
{
	if (store->db)
		sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static int try_disk(struct store *store)
{
	empty_log(store);
	return store_schema_touch(store->db);
}

/* Nothing to write: a disk that failed is tried all the same, so that it is known when it heals. */
static bool run_idle(struct store *store)
{
	bool failing = store->problem[0]; /* only this thread writes it */
	int code = SQLITE_OK, r = store->db ? 0 : open_again(store);

	if (r == 0 && failing)
		code = try_disk(store);
	if (r < 0 || code != SQLITE_OK) {
		store_describe_failure(store, r < 0 ? r : store_errno(code));
		return false;
	}
	clear_problem(store);
	store->reading = false;
	store_tidy(store);
	return true;
}

/*
 * A loss makes hundreds of records: a transaction for each would take the CPUs from those that exit.
 * What came while the disk was busy has waited already.
 */
static void gather(struct store *store)
{
	struct timespec until;
	uint64_t until_ns;
	int r = 0;

	while (store->queue.first && !store->n_urgent && !store->stop && r == 0 &&
	       store->records_bytes < STORE_RECORDS_BYTES_MAX / 4) {
		until_ns = store->records_since_ns ? store->records_since_ns + GATHER_RECORDS_NS
						   : store->queued_since_ns + GATHER_NS;
		until = (struct timespec){.tv_sec = (time_t)(until_ns / 1000000000),
					  .tv_nsec = (long)(until_ns % 1000000000)};
		r = pthread_cond_timedwait(&store->wake, &store->mutex, &until);
	}
}

/* Takes what is queued, or times out. Return: false when it is time to end. */
static bool wait_for_work(struct store *store, struct store_list *list, bool *ret_idle)
{
	struct timespec until;
	bool stop;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	pthread_mutex_lock(&store->mutex);
	while (!store->queue.first && !store->stop && r == 0) {
		if (list->first || store->n_unsaved || store->unread || store->problem[0])
			r = pthread_cond_timedwait(&store->wake, &store->mutex, &until);
		else
			r = pthread_cond_wait(&store->wake, &store->mutex);
	}
	gather(store);
	*ret_idle = !store->queue.first && !store->stop;
	list_move(list, &store->queue);
	store->n_urgent = 0;
	store->records_since_ns = 0;
	store->counters.queued = list->n;
	stop = store->stop;
	pthread_mutex_unlock(&store->mutex);
	return !stop || list->first;
}

static void give_up(struct store *store, struct store_list *list)
{
	struct store_item *item;

	while ((item = list_take(list)))
		finish(store, item, -EIO);
}

void *store_thread(void *userdata)
{
	struct store *store = userdata;
	struct store_list list = {0};
	bool idle, healthy = true, stop = false;

	prctl(PR_SET_NAME, "store");
	priority_step_below(); /* a recovery waits for its intents */
	while (wait_for_work(store, &list, &idle)) {
		if (store->unread)
			healthy = run_unread(store, &list);
		else if (idle && !list.first)
			healthy = run_idle(store);
		else
			healthy = run(store, &list);
		store_tidy_busy(store);
		pthread_mutex_lock(&store->mutex);
		stop = store->stop && !store->queue.first;
		store->counters.queued = list.n;
		pthread_mutex_unlock(&store->mutex);
		if (stop && !healthy)
			break;
		if (healthy && !list.first && !store->unread) /* there is room in the queue now */
			make_up(store);
		/* New work does not make a full disk any emptier: do not try with each item. */
		if (!healthy) {
			empty_log(store);
			nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
		}
	}
	give_up(store, &list);
	empty_log(store);
	return NULL;
}
