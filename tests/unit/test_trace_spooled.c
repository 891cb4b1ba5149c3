/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves that a pump with a spool hands over as fast as it is let, goes on where
 * a mark says, looks at once for what calls for a kill, and counts what it drops.
 */
#include "../data/trace_files.h"
#include "source/trace_pump.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

enum { PAGE = 4096, ROWS = 64 };

struct row {
	uint64_t page;
	uint32_t index;
	uint64_t lost;
	bool replayed;
};

static struct trace_formats formats;
static struct trace_pump pump;
static struct trace_spool *spool;
static uint8_t page[PAGE + TRACE_PAGE_SLACK_BYTES];
static char path[64];
static int fds[2];
static struct row rows[ROWS];
static uint32_t n_rows, n_early, n_observed;
static uint32_t room; /* how many rows are taken before one is refused */

static bool take(uint64_t number, uint32_t index, uint64_t lost, bool replayed)
{
	if (!room) {
		trace_pump_refuse(&pump);
		return false;
	}
	room--;
	cr_assert_lt(n_rows, ROWS);
	rows[n_rows++] = (struct row){number, index, lost, replayed};
	return true;
}

static void on_record(void *userdata, const struct trace_record *record)
{
	(void)userdata;
	take(record->page, record->index, 0, record->replayed);
}

static void on_early(void *userdata, const struct trace_record *record)
{
	(void)userdata;
	(void)record;
	n_early++;
}

static void on_gap(void *userdata, enum trace_gap gap, uint64_t count)
{
	uint32_t index;
	uint64_t number = trace_pump_place(&pump, &index);

	(void)userdata;
	if (gap == TRACE_GAP_LOST && count == 0)
		n_observed++;
	else
		take(number, index, count, false);
}

static void open_spool(void)
{
	const struct trace_spool_setup setup = {
		.path = path, .boot_id = "boot", .page_bytes = PAGE, .bytes = 1};
	enum trace_spool_found found;
	char problem[ISO_TEXT_BYTES];

	cr_assert_eq(trace_spool_open(&setup, &spool, &found, problem), 0);
	cr_assert_eq(trace_pump_init(&pump, &formats, PAGE, on_record, on_gap, NULL), 0);
	trace_pump_set_early(&pump, on_early);
	trace_pump_set_spool(&pump, spool);
}

static void close_spool(void)
{
	trace_pump_done(&pump);
	spool = trace_spool_close(spool);
}

static void prepare(void)
{
	snprintf(path, sizeof(path), "/dev/shm/spooled-%d", (int)getpid());
	unlink(path);
	memset(&formats, 0, sizeof(formats));
	trace_files_formats("tests/data/trace/7.2", &formats);
	cr_assert_eq(trace_file_read("tests/data/trace/7.2/plug.page", page, PAGE), PAGE);
	cr_assert_eq(pipe2(fds, O_NONBLOCK | O_DIRECT), 0);
	n_rows = n_early = n_observed = 0;
	room = ROWS;
	open_spool();
}

static void clean(void)
{
	close_spool();
	unlink(path);
	close(fds[0]);
	close(fds[1]);
}

TestSuite(trace_spooled, .init = prepare, .fini = clean);

static void send(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		cr_assert_eq(write(fds[1], page, PAGE), PAGE);
}

/* The recorded page has two records. */
Test(trace_spooled, what_is_refused_is_offered_again_and_once)
{
	room = 3;
	send(3);
	cr_assert_eq(trace_pump_read(&pump, 0, fds[0], 8), 3);
	cr_assert_eq(n_early, 6, "all were looked at, whatever the store takes");
	cr_assert_eq(n_rows, 3);
	cr_assert(pump.blocked);
	trace_spool_durable(spool, rows[2].page, rows[2].index);
	cr_assert_eq(trace_spool_first(spool), 2, "the second page is not durable as a whole");
	room = ROWS;
	cr_assert(trace_pump_hand_over(&pump));
	cr_assert_eq(n_rows, 6);
	for (uint32_t i = 1; i < n_rows; i++)
		cr_assert(rows[i].page > rows[i - 1].page ||
			  (rows[i].page == rows[i - 1].page && rows[i].index > rows[i - 1].index));
	trace_spool_durable(spool, rows[5].page, rows[5].index);
	cr_assert_eq(trace_spool_first(spool), trace_spool_next(spool));
}

Test(trace_spooled, the_next_one_goes_on_behind_the_mark)
{
	struct trace_spool_place mark;

	send(3);
	cr_assert_eq(trace_pump_read(&pump, 0, fds[0], 8), 3);
	mark = (struct trace_spool_place){trace_spool_id(spool), rows[2].page, rows[2].index};
	close_spool();
	n_rows = n_early = 0;
	open_spool();
	trace_pump_replay(&pump, &mark);
	cr_assert_eq(n_rows, 3, "the second of page 2, and both of page 3");
	cr_assert_eq(rows[0].page, 2);
	cr_assert_gt(rows[0].index, mark.index);
	cr_assert(rows[0].replayed && rows[2].replayed);
	cr_assert_eq(n_early, 4, "whether it was done is not known");
	send(1);
	cr_assert_eq(trace_pump_read(&pump, 0, fds[0], 8), 1);
	cr_assert_not(rows[3].replayed);
	cr_assert_eq(pump.counts.replayed, 3);
}

Test(trace_spooled, a_mark_of_another_spool_says_nothing)
{
	struct trace_spool_place mark;

	send(2);
	trace_pump_read(&pump, 0, fds[0], 8);
	mark = (struct trace_spool_place){trace_spool_id(spool) ^ 2, 2, 3};
	close_spool();
	n_rows = 0;
	open_spool();
	trace_pump_replay(&pump, &mark);
	cr_assert_eq(n_rows, 4);
}

static void mark_lost(uint64_t count)
{
	uint64_t commit;

	memcpy(&commit, page + 8, sizeof(commit));
	if (count) {
		memcpy(page + 16 + commit, &count, sizeof(count));
		commit |= UINT64_C(1) << 30;
	}
	commit |= UINT64_C(1) << 31;
	memcpy(page + 8, &commit, sizeof(commit));
}

Test(trace_spooled, a_loss_is_a_row_with_its_number)
{
	mark_lost(42);
	send(1);
	cr_assert_eq(trace_pump_read(&pump, 0, fds[0], 8), 1);
	cr_assert_eq(n_rows, 3);
	cr_assert_eq(rows[2].lost, 42);
	cr_assert_gt(rows[2].index, rows[1].index);
	cr_assert_eq(trace_spool_lost(spool), 42);
}

Test(trace_spooled, one_without_a_number_holds_no_page)
{
	mark_lost(0);
	send(1);
	cr_assert_eq(trace_pump_read(&pump, 0, fds[0], 8), 1);
	cr_assert_eq(n_observed, 1);
	cr_assert_eq(n_rows, 2, "its number comes from the ring's counters");
	trace_spool_durable(spool, rows[1].page, rows[1].index);
	cr_assert_eq(trace_spool_first(spool), 2);
	cr_assert(trace_spool_add_loss(spool, 7));
	trace_pump_hand_over(&pump);
	cr_assert_eq(rows[2].lost, 7);
	cr_assert_eq(trace_spool_lost(spool), 7);
}

Test(trace_spooled, a_full_one_leaves_the_rest_where_it_is)
{
	send(TRACE_SPOOL_SLOTS_MIN + 2);
	cr_assert_eq(trace_pump_read(&pump, 0, fds[0], 16), TRACE_SPOOL_SLOTS_MIN);
	cr_assert(pump.full);
	cr_assert_eq(n_early, 2 * TRACE_SPOOL_SLOTS_MIN);

	cr_assert_eq(trace_pump_skim(&pump, 0, fds[0], 1), 1);
	cr_assert_eq(n_early, 2 * TRACE_SPOOL_SLOTS_MIN + 2, "a kill waits for no disk");
	cr_assert_eq(trace_spool_dropped(spool), 2);
	cr_assert_eq(n_rows, 2 * TRACE_SPOOL_SLOTS_MIN);

	trace_spool_durable(spool, 1, rows[1].index);
	cr_assert_eq(trace_pump_read(&pump, 0, fds[0], 16), 1);
	cr_assert_not(pump.full && trace_pump_read(&pump, 0, fds[0], 16) > 0);
}

/* Proves: whoever dies while a page is skimmed leaves it to be counted, once, whenever that is. */
Test(trace_spooled, a_page_that_is_skimmed_is_counted_over_a_death)
{
	uint64_t *slot, *number;

	send(TRACE_SPOOL_SLOTS_MIN);
	cr_assert_eq(trace_pump_read(&pump, 0, fds[0], 16), TRACE_SPOOL_SLOTS_MIN);
	cr_assert_null(trace_spool_prepare(spool, 0), "there is no room for pages");
	slot = trace_spool_skim(spool, 0);
	cr_assert(slot);
	close_spool(); /* before the page was read */
	open_spool();
	trace_pump_replay(&pump, NULL);
	cr_assert_eq(trace_spool_dropped(spool), 0);

	slot = trace_spool_skim(spool, 0);
	memcpy(slot, page, PAGE);
	close_spool(); /* before it was counted */
	open_spool();
	n_early = n_rows = 0;
	trace_pump_replay(&pump, NULL);
	cr_assert_eq(trace_spool_dropped(spool), 2);
	cr_assert_eq(n_early, 2 * TRACE_SPOOL_SLOTS_MIN + 2,
		     "whether it was looked at is not known");
	cr_assert_eq(n_rows, 2 * TRACE_SPOOL_SLOTS_MIN, "it is counted and not kept");

	slot = trace_spool_skim(spool, 0);
	memcpy(slot, page, PAGE);
	number = slot - 8; /* in the slot's head */
	trace_spool_skimmed(spool, 2);
	cr_assert_eq(*number, 0);
	*number = TRACE_SPOOL_SLOTS_MIN +
		  1; /* as if it died when it was counted and the slot still in use */
	close_spool();
	n_rows = 0;
	open_spool();
	trace_pump_replay(&pump, NULL);
	cr_assert_eq(trace_spool_dropped(spool), 4);
	cr_assert_eq(trace_spool_next(spool), TRACE_SPOOL_SLOTS_MIN + 1);
}

/* Proves: a page that cannot be read as a whole is said to be one, also when it is skimmed. */
Test(trace_spooled, what_is_skimmed_and_not_readable_is_a_gap)
{
	send(TRACE_SPOOL_SLOTS_MIN);
	cr_assert_eq(trace_pump_read(&pump, 0, fds[0], 16), TRACE_SPOOL_SLOTS_MIN);
	memset(page + 8, 0xff, 8);
	send(1);
	n_rows = 0;
	cr_assert_eq(trace_pump_skim(&pump, 0, fds[0], 1), 1);
	cr_assert_eq(n_rows, 1);
	cr_assert_eq(rows[0].lost, 1);
	cr_assert_eq(rows[0].page, 0);
}
