/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves that a reader that is killed at any moment loses no record and brings
 * none twice: a child reads ring pages from a pipe through pump and spool into
 * a store of shared memory that makes durable when it likes, is killed, and the
 * next one goes on. And that while nothing becomes durable, each record is
 * either in the spool or counted as dropped.
 */
#include "../data/trace_files.h"
#include "source/trace_pump.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	PAGES = 4000,
	KILLS = 60,
	ROWS_MAX = 2 * PAGES + 16,
	LOST_EVERY = 97, /* such a page says that the ring lost as many records */
};

/* What a transaction makes durable, in one step: rows, then how many count. */
struct row {
	uint32_t number; /* of the record, from 1 on; 0: a loss */
	uint64_t lost;
	struct trace_spool_place place;
};

struct shared {
	uint32_t n_durable; /* rows before it survive the death of the writer */
	uint32_t n_sent;
	struct row rows[ROWS_MAX];
};

static struct shared *shared;
static struct trace_pump pump;
static struct trace_spool *spool;
static uint32_t n_queued; /* rows behind the durable ones: gone with their writer */
static unsigned int seed;
static bool takes_nothing;

static void commit(void)
{
	struct row *last;

	if (n_queued == shared->n_durable)
		return;
	__atomic_store_n(&shared->n_durable, n_queued, __ATOMIC_RELEASE);
	last = &shared->rows[n_queued - 1];
	trace_spool_durable(spool, last->place.page, last->place.index);
}

static void keep(uint32_t number, uint64_t lost, uint64_t page, uint32_t index)
{
	struct row *row;

	if (n_queued >= ROWS_MAX)
		_exit(4);
	row = &shared->rows[n_queued++];
	*row = (struct row){.number = number, .lost = lost};
	row->place = (struct trace_spool_place){trace_spool_id(spool), page, index};
	if (rand_r(&seed) % 8 == 0)
		commit();
}

static void on_record(void *userdata, const struct trace_record *record)
{
	(void)userdata;
	if (takes_nothing || rand_r(&seed) % 16 == 0) {
		trace_pump_refuse(&pump);
		return;
	}
	keep((uint32_t)record->aer.status.value, 0, record->page, record->index);
}

static void on_gap(void *userdata, enum trace_gap gap, uint64_t count)
{
	uint64_t page;
	uint32_t index;

	(void)userdata;
	if (gap != TRACE_GAP_LOST)
		_exit(5);
	page = trace_pump_place(&pump, &index);
	keep(0, count, page, index);
}

static int begin(const char *path, const struct trace_formats *formats)
{
	const struct trace_spool_setup setup = {
		.path = path, .boot_id = "boot", .page_bytes = PAGE, .bytes = 16 * PAGE};
	enum trace_spool_found found;
	char problem[ISO_TEXT_BYTES];

	seed = (unsigned int)getpid();
	if (trace_spool_open(&setup, &spool, &found, problem) < 0)
		return 2;
	if (trace_pump_init(&pump, formats, PAGE, on_record, on_gap, NULL) < 0)
		return 3;
	trace_pump_set_spool(&pump, spool);
	return 0;
}

/* Between reading and counting, which is too short for a signal of the parent to hit it. */
static void die_at_times(void *userdata, const struct trace_record *record)
{
	(void)userdata;
	(void)record;
	if (takes_nothing && rand_r(&seed) % 64 == 0)
		kill(getpid(), SIGKILL);
}

/* Reads until it is killed or there is no more; 0: all that was not kept is counted. */
static int skim_all(int fd, const char *path, const struct trace_formats *formats)
{
	int n, r = begin(path, formats);
	bool all;

	if (r)
		return r;
	takes_nothing = true;
	trace_pump_set_early(&pump, die_at_times);
	trace_pump_replay(&pump, NULL);
	do {
		all = __atomic_load_n(&shared->n_sent, __ATOMIC_ACQUIRE) == PAGES;
		n = trace_pump_read(&pump, 1, fd, 3);
		if (n == 0)
			n = trace_pump_skim(&pump, 1, fd, 3);
		if (n < 0)
			return 6;
	} while (n || !all);
	return 0;
}

/* Reads until it is killed or there is no more; 0: all is durable. */
static int read_all(int fd, const char *path, const struct trace_formats *formats)
{
	struct trace_spool_place mark = {0};
	int r = begin(path, formats);

	if (r)
		return r;
	n_queued = shared->n_durable;
	if (n_queued)
		mark = shared->rows[n_queued - 1].place;
	trace_pump_replay(&pump, &mark);
	for (;;) {
		int n = trace_pump_read(&pump, 1, fd, 3);

		if (n < 0)
			return 6;
		if (!trace_pump_hand_over(&pump) || pump.full)
			commit();
		if (n == 0 && !pump.full && !pump.blocked && shared->n_sent == PAGES)
			break;
	}
	/* What was sent last may have come in between. */
	while (trace_pump_read(&pump, 1, fd, 3) > 0 || pump.full || !trace_pump_hand_over(&pump))
		commit();
	commit();
	return 0;
}

/* Where the status of the one record of the page lies. */
static size_t status_offset;

static void find_status(void *userdata, const struct trace_record *record)
{
	status_offset = (size_t)((const uint8_t *)record->raw - (const uint8_t *)userdata) + 12;
}

static void look_at(uint8_t *recorded, const struct trace_formats *formats)
{
	struct trace_pump look = {0};

	cr_assert_eq(trace_pump_init(&look, formats, PAGE, find_status, on_gap, recorded), 0);
	trace_pump_page(&look, 0, recorded, PAGE);
	trace_pump_done(&look);
	cr_assert_gt(status_offset, 16);
}

static void make_page(const uint8_t *recorded, uint32_t number, uint8_t *page)
{
	uint64_t commit_word, lost = LOST_EVERY;
	uint32_t status = number + 1;

	memcpy(page, recorded, PAGE);
	memcpy(page + status_offset, &status, sizeof(status)); /* what it is known by */
	if (number % LOST_EVERY)
		return;
	memcpy(&commit_word, page + 8, sizeof(commit_word));
	memcpy(page + 16 + commit_word, &lost, sizeof(lost));
	commit_word |= UINT64_C(3) << 30;
	memcpy(page + 8, &commit_word, sizeof(commit_word));
}

typedef int (*reader_t)(int fd, const char *path, const struct trace_formats *formats);

static pid_t begin_reader(reader_t body, int fd, const char *path,
			  const struct trace_formats *formats)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0)
		_exit(body(fd, path, formats));
	return pid;
}

static void send(int fd, const uint8_t *recorded, uint32_t n)
{
	uint8_t page[PAGE];

	for (uint32_t i = 0; i < n && shared->n_sent < PAGES; i++) {
		make_page(recorded, shared->n_sent, page);
		if (write(fd, page, PAGE) != PAGE)
			return; /* the pipe is full */
		__atomic_fetch_add(&shared->n_sent, 1, __ATOMIC_RELEASE);
	}
}

static void check(void)
{
	static uint8_t times[PAGES + 1];
	uint64_t records = 0, lost = 0;

	for (uint32_t i = 0; i < shared->n_durable; i++) {
		const struct row *row = &shared->rows[i];

		lost += row->lost;
		if (row->lost)
			continue;
		cr_assert(row->number >= 1 && row->number <= PAGES);
		cr_assert_eq(times[row->number]++, 0, "%u came twice", row->number);
		records++;
	}
	cr_assert_eq(records, PAGES);
	cr_assert_eq(lost, (PAGES + LOST_EVERY - 1) / LOST_EVERY * LOST_EVERY);
}

/* Return: how often the reader died by itself. */
static int run(reader_t body, char path[])
{
	static uint8_t recorded[PAGE + TRACE_PAGE_SLACK_BYTES];
	static struct trace_formats formats;
	int fds[2], status = 0, kills = 0, deaths = 0, fd = mkstemp(path);
	unsigned int own = 1;
	pid_t reader;

	cr_assert_geq(fd, 0);
	close(fd);
	unlink(path);
	trace_files_formats("tests/data/trace/7.2", &formats);
	cr_assert_eq(trace_file_read("tests/data/trace/7.2/surprise-down.page", recorded, PAGE),
		     PAGE);
	look_at(recorded, &formats);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	cr_assert_neq(shared, MAP_FAILED);
	cr_assert_eq(pipe2(fds, O_NONBLOCK | O_DIRECT), 0);
	reader = begin_reader(body, fds[0], path, &formats);
	for (;;) {
		if (waitpid(reader, &status, WNOHANG) == reader) {
			if (body != skim_all || WIFEXITED(status))
				break;
			deaths++;
			reader = begin_reader(body, fds[0], path, &formats);
		}
		send(fds[1], recorded, 1 + (uint32_t)rand_r(&own) % 16);
		/* At any moment, of which the first microseconds are as good as others. */
		usleep((useconds_t)rand_r(&own) % 3000);
		if (kills >= KILLS || shared->n_sent < (uint32_t)(kills + 1) * PAGES / (KILLS + 2))
			continue;
		kill(reader, SIGKILL);
		cr_assert_eq(waitpid(reader, &status, 0), reader);
		cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "ended by itself: %d",
			  status);
		kills++;
		reader = begin_reader(body, fds[0], path, &formats);
	}
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
	cr_assert_eq(kills, KILLS);
	close(fds[0]);
	close(fds[1]);
	return deaths;
}

Test(trace_killed, nothing_is_lost_and_nothing_comes_twice)
{
	char path[] = "/dev/shm/killed-XXXXXX";

	cr_assert_eq(run(read_all, path), 0);
	check();
	unlink(path);
}

Test(trace_killed, what_is_skimmed_is_kept_or_counted)
{
	char path[] = "/dev/shm/killed-XXXXXX";

	cr_assert_gt(run(skim_all, path), 10);
	cr_assert_eq(begin(path, NULL), 0);
	cr_assert_eq(trace_spool_next(spool) - trace_spool_first(spool), trace_spool_slots(spool));
	cr_assert_eq(trace_spool_dropped(spool) + trace_spool_slots(spool), PAGES);
	trace_pump_done(&pump);
	trace_spool_close(spool);
	unlink(path);
}
