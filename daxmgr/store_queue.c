/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What callers see: items go in, results come back through the event loop. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "store_internal.h"

enum { THREAD_STACK_BYTES = 256 * 1024 }; /* locked memory: not the default 8 MiB */

static void deliver(struct store *store, struct store_item *item)
{
	if (item->kind == STORE_ITEM_RECORDS) {
		store_tell_records(store, item->block);
		pthread_mutex_lock(&store->mutex);
		store_block_drop(store, item->block);
		pthread_mutex_unlock(&store->mutex);
		item->block = NULL;
	} else if (item->callback) {
		struct store_result rows = {
			.incidents = item->rows.incidents,
			.n_incidents = item->rows.n_incidents,
			.victims = item->rows.victims,
			.n_victims = item->rows.n_victims,
			.timeline = item->rows.timeline,
			.n_timeline = item->rows.n_timeline,
			.events = item->rows.events,
			.n_events = item->rows.n_events,
			.since = item->rows.since,
			.oldest = item->rows.oldest,
			.scanned = item->rows.scanned,
			.newest = item->rows.newest,
		};

		item->callback(item->userdata, item->result, &rows);
	} else if (store->done) {
		store->done(store->userdata, item->token, item->result);
	}
}

static int on_finished(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct store *store = userdata;
	struct store_list finished;
	uint64_t count;
	bool can_read, wants_all;

	(void)source;
	(void)revents;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	pthread_mutex_lock(&store->mutex);
	finished = store->finished;
	store->finished = (struct store_list){0};
	can_read = store->can_read;
	store->can_read = false;
	wants_all = store->wants_all;
	store->wants_all = false;
	pthread_mutex_unlock(&store->mutex);
	if (can_read && store->news)
		store->news(store->userdata, STORE_READABLE);
	if (wants_all && store->news)
		store->news(store->userdata, STORE_WANTS_ALL);
	while (finished.first) {
		struct store_item *item = finished.first;

		finished.first = item->next;
		deliver(store, item);
		store_item_free(item);
	}
	store_tell_marks(store);
	store_queue_gaps(store, false);
	return 0;
}

static int start_thread(struct store *store)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	/* Signals are the event loop's. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&store->thread, &attributes, store_thread, store);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	store->started = r == 0;
	return -r;
}

int store_start(struct store *store, sd_event *event, int64_t priority, store_done_t done,
		store_news_t news, void *userdata)
{
	int r;

	if (store->reading) /* that connection cannot write */
		store_database_close(store);
	store->done = done;
	store->news = news;
	store->userdata = userdata;
	store->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (store->event_fd < 0)
		return -errno;
	r = sd_event_add_io(event, &store->source, store->event_fd, EPOLLIN, on_finished, store);
	if (r >= 0)
		r = sd_event_source_set_priority(store->source, priority);
	return r < 0 ? r : start_thread(store);
}

static void clear_list(struct store_list *list)
{
	while (list->first) {
		struct store_item *item = list->first;

		list->first = item->next;
		store_item_free(item);
	}
	*list = (struct store_list){0};
}

struct store *store_free(struct store *store)
{
	if (!store)
		return NULL;
	if (store->started) {
		store_queue_gaps(store, true);
		pthread_mutex_lock(&store->mutex);
		store->stop = true;
		pthread_cond_signal(&store->wake);
		pthread_mutex_unlock(&store->mutex);
		pthread_join(store->thread, NULL);
	}
	store->source = sd_event_source_disable_unref(store->source);
	if (store->event_fd >= 0)
		close(store->event_fd);
	/* Queries that nobody waits for any more still own their callers' memory. */
	for (struct store_item *item = store->finished.first; item; item = item->next)
		if (item->callback)
			item->callback(item->userdata, -ESHUTDOWN, &(struct store_result){0});
	clear_list(&store->finished);
	store_keep_lost(store);
	clear_list(&store->queue);
	store_database_close(store);
	free(store->spare);
	free(store->recent);
	pthread_cond_destroy(&store->wake);
	pthread_mutex_destroy(&store->mutex);
	free(store->path);
	free(store->directory);
	free(store->lost_path);
	free(store);
	return NULL;
}

static bool is_needed_at_start(const struct store_item *item)
{
	return item->kind == STORE_ITEM_LEASE || item->kind == STORE_ITEM_LEASE_END ||
	       item->kind == STORE_ITEM_REGION || item->kind == STORE_ITEM_REGION_END ||
	       item->kind == STORE_ITEM_INCIDENT || item->kind == STORE_ITEM_PORT ||
	       item->kind == STORE_ITEM_FENCE || item->kind == STORE_ITEM_POISON ||
	       item->kind == STORE_ITEM_POISON_END || item->kind == STORE_ITEM_ANEW;
}

void store_queue_add(struct store *store, struct store_item *item)
{
	bool records = item->kind == STORE_ITEM_RECORDS && !store->records_since_ns;
	bool urgent = store_item_urgent(item);
	uint64_t now_ns = clock_read_ns(CLOCK_MONOTONIC);

	if (!store->queue.first)
		store->queued_since_ns = now_ns;
	if (records)
		store->records_since_ns = now_ns;
	store->n_urgent += urgent;
	if (!store->queue.first || records || urgent)
		pthread_cond_signal(&store->wake);
	store_list_add(&store->queue, item);
}

/* Notes, which come in storms, leave room for what matters more. */
int store_enqueue(struct store *store, struct store_item *item)
{
	uint64_t room = store_item_urgent(item) ? STORE_QUEUE_MAX : STORE_QUEUE_MAX / 4 * 3;
	bool taken;

	pthread_mutex_lock(&store->mutex);
	taken = store->queue.n + store->counters.queued < room;
	if (taken) {
		store_queue_add(store, item);
	} else {
		store->counters.refused++;
		store->missed |= is_needed_at_start(item);
	}
	pthread_mutex_unlock(&store->mutex);
	if (taken)
		return 0;
	store_item_free(item);
	return -ENOBUFS;
}

struct store_item *store_item_new(struct store *store, enum store_item_kind kind, uint64_t token)
{
	struct store_item *item = calloc(1, sizeof(*item));

	if (!item) {
		pthread_mutex_lock(&store->mutex);
		store->counters.refused++;
		pthread_mutex_unlock(&store->mutex);
		return NULL;
	}
	item->kind = kind;
	item->token = token;
	return item;
}

int store_save_lease(struct store *store, const struct iso_restore_lease *lease, uint64_t token)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_LEASE, token);

	if (!item)
		return -ENOBUFS;
	item->lease = *lease;
	return store_enqueue(store, item);
}

static int enqueue_name(struct store *store, enum store_item_kind kind, const char *name,
			uint64_t token)
{
	struct store_item *item = store_item_new(store, kind, token);

	if (!item)
		return -ENOBUFS;
	snprintf(item->name, sizeof(item->name), "%s", name);
	return store_enqueue(store, item);
}

int store_end_lease(struct store *store, const char *name, uint64_t token)
{
	return enqueue_name(store, STORE_ITEM_LEASE_END, name, token);
}

int store_save_region(struct store *store, const struct iso_restore_region *region, uint64_t token)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_REGION, token);

	if (!item)
		return -ENOBUFS;
	item->region = *region;
	return store_enqueue(store, item);
}

int store_forget_region(struct store *store, const char *name, uint64_t token)
{
	return enqueue_name(store, STORE_ITEM_REGION_END, name, token);
}

int store_save_port(struct store *store, const struct iso_restore_port *port, uint64_t token)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_PORT, token);

	if (!item)
		return -ENOBUFS;
	item->port = *port;
	return store_enqueue(store, item);
}

int store_save_incident(struct store *store, const struct store_incident *incident)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_INCIDENT, 0);

	if (!item)
		return -ENOBUFS;
	item->incident = *incident;
	item->realtime_us = clock_realtime_us_at(incident->record_ns);
	return store_enqueue(store, item);
}

int store_save_poison(struct store *store, const struct iso_restore_poison *poison)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_POISON, 0);

	if (!item)
		return -ENOBUFS;
	item->poison = *poison;
	return store_enqueue(store, item);
}

int store_forget_poison(struct store *store, uint32_t slot)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_POISON_END, 0);

	if (!item)
		return -ENOBUFS;
	item->poison.slot = slot;
	return store_enqueue(store, item);
}

int store_save_note(struct store *store, const struct store_note *note)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_NOTE, 0);

	if (!item)
		return -ENOBUFS;
	item->note = *note;
	item->realtime_us = clock_realtime_us_at(note->at_ns);
	return store_enqueue(store, item);
}

int store_save_action(struct store *store, const struct store_action *action)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_ACTION, 0);

	if (!item)
		return -ENOBUFS;
	item->action = *action;
	item->realtime_us = clock_read_ns(CLOCK_REALTIME) / 1000;
	return store_enqueue(store, item);
}

int store_save_fence(struct store *store, const struct iso_restore_fence *fence, bool lifted)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_FENCE, 0);

	if (!item)
		return -ENOBUFS;
	item->fence = (struct store_fence){.fence = *fence, .lifted = lifted};
	return store_enqueue(store, item);
}

int store_save_firing(struct store *store, const struct store_firing *firing)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_FIRING, 0);

	if (!item)
		return -ENOBUFS;
	item->firing = *firing;
	return store_enqueue(store, item);
}

int store_intent(struct store *store, const struct store_intent *intent, uint64_t token)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_INTENT, token);

	if (!item)
		return -ENOBUFS;
	item->intent = *intent;
	return store_enqueue(store, item);
}

int store_begin_anew(struct store *store)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_ANEW, 0);

	return item ? store_enqueue(store, item) : -ENOBUFS;
}

int store_end_hold(struct store *store)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_HOLD_END, 0);

	return item ? store_enqueue(store, item) : -ENOBUFS;
}

int store_intent_done(struct store *store, uint64_t operation, int result)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_INTENT_DONE, 0);

	if (!item)
		return -ENOBUFS;
	item->done.operation = operation;
	item->done.result = result;
	return store_enqueue(store, item);
}

static int enqueue_query(struct store *store, enum store_item_kind kind, uint64_t id,
			 uint32_t limit, store_result_t callback, void *userdata)
{
	struct store_item *item = store_item_new(store, kind, 0);

	if (!item)
		return -ENOBUFS;
	item->query.id = id;
	item->query.limit = limit;
	item->callback = callback;
	item->userdata = userdata;
	return store_enqueue(store, item);
}

int store_query_incidents(struct store *store, uint64_t id, uint32_t limit, store_result_t callback,
			  void *userdata)
{
	return enqueue_query(store, STORE_ITEM_QUERY_INCIDENTS, id, limit, callback, userdata);
}

int store_query_events(struct store *store, const struct store_event_query *query,
		       store_result_t callback, void *userdata)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_QUERY_EVENTS, 0);

	if (!item)
		return -ENOBUFS;
	item->events = *query;
	item->callback = callback;
	item->userdata = userdata;
	return store_enqueue(store, item);
}

int store_acknowledge(struct store *store, const char *subscriber, uint64_t id,
		      store_result_t callback, void *userdata)
{
	struct store_item *item = store_item_new(store, STORE_ITEM_ACKNOWLEDGE, 0);

	if (!item)
		return -ENOBUFS;
	item->events.since = id;
	snprintf(item->events.subscriber, sizeof(item->events.subscriber), "%s", subscriber);
	item->callback = callback;
	item->userdata = userdata;
	return store_enqueue(store, item);
}

void store_problem(struct store *store, char *text, size_t room)
{
	uint64_t busy_s;

	pthread_mutex_lock(&store->mutex);
	busy_s = store->busy_since_ns
			 ? (clock_boottime_ns() - store->busy_since_ns) / UINT64_C(1000000000)
			 : 0;
	if (store->problem[0])
		snprintf(text, room, "%s", store->problem);
	else if (busy_s >= STORE_SLOW_SECONDS)
		snprintf(
			text, room,
			"the disk is slow: the database waits for it since %llu s; nothing is handed out or taken apart meanwhile",
			(unsigned long long)busy_s);
	else if (store->tidy_problem[0])
		snprintf(text, room, "%s", store->tidy_problem);
	else if (store->counters.refused + store->n_lost)
		snprintf(text, room,
			 "%llu records were lost while the database could not keep up or take them",
			 (unsigned long long)(store->counters.refused + store->n_lost));
	else
		snprintf(text, room, "%s", store->hold);
	pthread_mutex_unlock(&store->mutex);
}

void store_count(struct store *store, struct store_counters *ret)
{
	pthread_mutex_lock(&store->mutex);
	*ret = store->counters;
	ret->queued += store->queue.n;
	pthread_mutex_unlock(&store->mutex);
}
