/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What somebody is given who comes back: what is new, what has grown, and nothing that was seen. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "store_fixture.h"

static struct store_event record(const char *kind, uint64_t likeness)
{
	struct store_event event = {
		.source = "trace", .text = "x", .at_ns = 1, .likeness = likeness};

	snprintf(event.kind, sizeof(event.kind), "%s", kind);
	return event;
}

struct rows {
	bool came;
	size_t n;
	uint64_t first, first_count, since, scanned, newest;
};

static void on_rows(void *userdata, int result, const struct store_result *rows)
{
	struct rows *ret = userdata;

	cr_assert_eq(result, 0);
	*ret = (struct rows){.came = true,
			     .n = rows->n_events,
			     .since = rows->since,
			     .scanned = rows->scanned,
			     .newest = rows->newest};
	if (!rows->n_events)
		return;
	ret->first = rows->events[0].id;
	ret->first_count = rows->events[0].count;
}

static struct rows query(struct store_fixture *f, struct store_event_query q)
{
	struct rows rows = {0};

	q.limit = q.limit ? q.limit : 100;
	cr_assert_eq(store_query_events(f->store, &q, on_rows, &rows), 0);
	for (int i = 0; i < 500 && !rows.came; i++)
		cr_assert_geq(sd_event_run(f->event, 20000), 0);
	cr_assert(rows.came);
	return rows;
}

/* Everything that was queued is durable, and what comes is in another block. */
static void settle(struct store_fixture *f)
{
	query(f, (struct store_event_query){0});
}

static void open_and_start(struct store_fixture *f)
{
	fixture_open(f, BOOT);
	fixture_start(f);
}

/* Rows that grew since `since` was the newest, and what is behind it, in parts of `limit`. */
static uint32_t resume(struct store_fixture *f, uint64_t since, uint32_t limit, uint64_t ids[8])
{
	struct store_event_query q = {.since = since, .resume = true, .limit = limit};
	uint32_t n = 0;

	for (;;) {
		struct rows rows = query(f, q);

		for (size_t i = 0; i < rows.n && n < 8; i++)
			ids[n++] = i ? 0 : rows.first;
		if (rows.scanned >= rows.newest)
			return n;
		if (q.resume)
			q.seen = rows.since;
		q.resume = false;
		q.since = rows.scanned;
	}
}

/* Proves: one that comes back learns what a row has grown to that it knows, once more, and of no other one. */
Test(store_resume, who_comes_back_is_given_what_has_grown)
{
	struct store_event grows = record("cxl_dram", 7), other = record("other", 0),
			   early = record("cxl_poison", 8);
	struct store_fixture f;
	struct rows rows;
	uint64_t ids[8];

	fixture_setup(&f);
	open_and_start(&f);
	store_save_event(f.store, &early);
	settle(&f);
	store_save_event(f.store, &early); /* before the next one: row 1 has two */
	settle(&f);
	store_save_event(f.store, &grows); /* 2 */
	settle(&f);
	store_save_event(f.store, &other); /* 3 */
	settle(&f);
	cr_assert_eq(resume(&f, 3, 1, ids), 0, "nothing happened");
	for (int i = 0; i < 5; i++)
		store_save_event(f.store, &grows);
	settle(&f);
	store_save_event(f.store, &other); /* 4 */
	settle(&f);
	cr_assert_eq(resume(&f, 3, 1, ids), 2);
	cr_assert_eq(ids[0], 2);
	cr_assert_eq(ids[1], 4);
	rows = query(&f, (struct store_event_query){.since = 3, .resume = true});
	cr_assert_eq(rows.n, 2);
	cr_assert_eq(rows.since, 3);
	cr_assert_eq(rows.first_count, 6);
	cr_assert_eq(resume(&f, 4, 1, ids), 0, "it saw that with row 4");

	/* What grew stays known over a restart. */
	f.store = store_free(f.store);
	open_and_start(&f);
	cr_assert_eq(resume(&f, 2, 1, ids), 3);
	cr_assert_eq(ids[0], 2);
	cr_assert_eq(query(&f, (struct store_event_query){.since = 2}).n, 2, "not asked for");
	fixture_teardown(&f);
}

/* Proves: a number that is of another database hides nothing of this one. */
Test(store_resume, a_number_that_never_was_begins_at_the_oldest)
{
	struct store_event event = record("other", 0);
	struct store_fixture f;
	struct rows rows;
	uint64_t newest;

	fixture_setup(&f);
	open_and_start(&f);
	cr_assert(store_newest_event(f.store, &newest));
	cr_assert_eq(newest, 0);
	for (int i = 0; i < 3; i++)
		store_save_event(f.store, &event);
	settle(&f);
	cr_assert(store_newest_event(f.store, &newest));
	cr_assert_eq(newest, 3);
	rows = query(&f, (struct store_event_query){.since = 1000, .resume = true});
	cr_assert_eq(rows.n, 3);
	cr_assert_eq(rows.since, 0);
	rows = query(&f, (struct store_event_query){.since = 1, .seen = 1000});
	cr_assert_eq(rows.n, 2, "put aside while somebody read");
	f.store = store_free(f.store);
	open_and_start(&f);
	cr_assert(store_newest_event(f.store, &newest));
	cr_assert_eq(newest, 3);
	fixture_teardown(&f);
}

/* Proves: what somebody has to look through who comes back is bounded. */
Test(store_resume, a_row_that_is_far_behind_grows_no_more)
{
	struct store_event grows = record("cxl_dram", 7), other = record("other", 0);
	struct store_fixture f;
	struct rows rows;

	fixture_setup(&f);
	open_and_start(&f);
	store_save_event(f.store, &grows);
	settle(&f);
	for (int i = 0; i < 4094; i++)
		store_save_event(f.store, &other);
	settle(&f);
	store_save_event(f.store, &grows);
	settle(&f);
	store_save_event(f.store, &other);
	store_save_event(f.store, &other);
	settle(&f);
	store_save_event(f.store, &grows);
	rows = query(&f, (struct store_event_query){.filter.kind = "cxl_dram"});
	cr_assert_eq(rows.n, 2);
	cr_assert_eq(rows.first_count, 2, "the sum of both is three");
	fixture_teardown(&f);
}

/* Proves: after such a question what was there keeps its count. */
Test(store_resume, what_was_asked_to_settle_grows_no_more)
{
	struct store_event event = record("cxl_dram", 7);
	struct store_fixture f;
	struct rows rows;

	fixture_setup(&f);
	open_and_start(&f);
	store_save_event(f.store, &event);
	store_save_event(f.store, &event);
	rows = query(&f, (struct store_event_query){.newest = true, .settles = true});
	cr_assert_eq(rows.first_count, 2);
	store_save_event(f.store, &event);
	settle(&f);
	rows = query(&f, (struct store_event_query){0});
	cr_assert_eq(rows.n, 2);
	cr_assert_eq(rows.first_count, 2);
	fixture_teardown(&f);
}
