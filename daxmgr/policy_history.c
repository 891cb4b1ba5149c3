/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an earlier daemon had counted: the stored records of the longest window,
 * read through the store's queue once the host has been looked at, because only
 * then it is known which unit a record names. Those that came during this run
 * and before that look are counted here, too, and may act.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "policy.h"

enum {
	ROWS_MAX = 20000, /* the newest ones */
	ROWS_AT_ONCE = 500,
	FIRINGS_KEPT = 1024,
};

struct policy_history {
	struct daemon *daemon;
	uint64_t last_before; /* record of an earlier run */
	uint64_t last; /* record before the look */
	uint64_t at; /* read up to this one */
	struct store_firing *firings;
	uint32_t n_firings;
};

static int64_t boot_us(void)
{
	return (int64_t)(clock_read_ns(CLOCK_REALTIME) / 1000) -
	       (int64_t)(clock_boottime_ns() / 1000);
}

static int keep_firing(void *userdata, const struct store_firing *firing)
{
	struct policy_history *history = userdata;

	if (history->n_firings < FIRINGS_KEPT)
		history->firings[history->n_firings++] = *firing;
	return 0;
}

int policy_history_load(struct daemon *daemon, struct policy_history **ret)
{
	struct policy_history *history = calloc(1, sizeof(*history));
	int r = -ENOMEM;

	if (!history)
		return r;
	history->daemon = daemon;
	history->firings = calloc(FIRINGS_KEPT, sizeof(*history->firings));
	if (history->firings)
		r = store_load_firings(daemon->store, keep_firing, history);
	if (r >= 0)
		r = store_load_last_event(daemon->store, &history->last_before);
	if (r < 0) {
		policy_history_free(history);
		return r;
	}
	*ret = history;
	return 0;
}

struct policy_history *policy_history_free(struct policy_history *history)
{
	if (history)
		free(history->firings);
	free(history);
	return NULL;
}

static void restore_firings(struct policy_history *history)
{
	for (uint32_t i = 0; i < history->n_firings; i++)
		policy_restore_firing(history->daemon->policy, &history->firings[i]);
}

static void take_row(struct policy_history *history, const struct store_event_row *row)
{
	uint64_t at_ns = row->last_at_ns ? row->last_at_ns : row->event.at_ns;
	int64_t when_ns = (int64_t)at_ns;

	if (strcmp(row->boot_id, history->daemon->boot_id))
		when_ns = ((int64_t)row->realtime_us - boot_us()) * 1000;
	policy_take(history->daemon->policy, &row->event, row->count ? row->count : 1, when_ns,
		    row->id <= history->last_before);
}

static void end(struct policy_history *history)
{
	restore_firings(history); /* of rules without a hold-off what was used up */
	history->daemon->policy_history = policy_history_free(history);
}

static void on_rows(void *userdata, int result, const struct store_result *rows);

static int ask(struct policy_history *history)
{
	const struct store_event_query query = {.since = history->at, .limit = ROWS_AT_ONCE};

	return store_query_events(history->daemon->store, &query, on_rows, history);
}

static void on_rows(void *userdata, int result, const struct store_result *rows)
{
	struct policy_history *history = userdata;
	bool more = result >= 0 && rows->n_events > 0;

	if (result == -ESHUTDOWN) /* the daemon ends, and frees it */
		return;
	for (size_t i = 0; i < rows->n_events && more; i++) {
		if (rows->events[i].id > history->last) {
			more = false;
			break;
		}
		take_row(history, &rows->events[i]);
		history->at = rows->events[i].id;
	}
	if (more && history->at < history->last && ask(history) >= 0)
		return;
	end(history);
}

/*
 * All that was queued before this question is in the answer. Later records, which were
 * counted as they came, have larger numbers: no row before the answer grows by them.
 */
static void on_newest(void *userdata, int result, const struct store_result *rows)
{
	struct policy_history *history = userdata;

	if (result == -ESHUTDOWN)
		return;
	history->last = result >= 0 && rows->n_events ? rows->events[0].id : 0;
	history->at = history->last > ROWS_MAX ? history->last - ROWS_MAX : 0;
	if (!history->last || !policy_window_ns(history->daemon->policy) || ask(history) < 0)
		end(history);
}

void policy_history_begin(struct policy_history *history)
{
	const struct store_event_query newest = {.newest = true, .settles = true, .limit = 1};

	if (!history)
		return;
	restore_firings(history);
	if (store_query_events(history->daemon->store, &newest, on_newest, history) < 0) {
		log_line(LOG_WARNING,
			 "policy: what was counted before is not known: the store is busy");
		end(history);
	}
}
