/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves the readers of the kernel's log and of a VM's monitor on a loop of
 * their own, and the table of sources. A FIFO stands in for /dev/kmsg: with
 * one record in it at a time a read gives just that.
 */
#include "clock.h"
#include "source/kernel_log.h"
#include "source/qmp.h"
#include "source_state.h"
#include "sources_internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static sd_event *loop;
static unsigned int n_lines, n_live, n_gaps, n_ends;
static uint64_t lost, before, last_late_ns;
static char last[64];
static bool room = true;
static int end_error = 1;

static void on_line(void *userdata, const struct kernel_log_line *line)
{
	(void)userdata;
	n_lines++;
	n_live += line->live;
	last_late_ns = line->late_ns;
	snprintf(last, sizeof(last), "%.60s", line->record->text);
}

static void on_log_gap(void *userdata, uint64_t count, uint64_t up_to, bool malformed)
{
	(void)userdata;
	(void)malformed;
	n_gaps++;
	lost += count;
	before = up_to;
}

static bool has_room(void *userdata)
{
	(void)userdata;
	return room;
}

static void on_end(void *userdata, int error)
{
	(void)userdata;
	n_ends++;
	end_error = error;
}

static void turn(unsigned int rounds)
{
	while (rounds--)
		cr_assert_geq(sd_event_run(loop, 20000), 0);
}

static const struct kernel_log_handlers log_handlers = {on_line, on_log_gap, has_room, on_end,
							NULL};

/* A FIFO gives what was written in one piece when nothing else waits. */
static int open_log_apart(const uint64_t *after, int64_t apart_ns, struct kernel_log **log,
			  char path[64])
{
	char problem[ISO_TEXT_BYTES];
	int fd;

	snprintf(path, 64, "/tmp/daxmgr-kmsg-%d", getpid());
	unlink(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_geq(sd_event_new(&loop), 0);
	cr_assert_eq(kernel_log_open(loop, 0, path, after, apart_ns, &log_handlers, log, problem),
		     0, "%s", problem);
	return fd;
}

static int open_log(const uint64_t *after, struct kernel_log **log, char path[64])
{
	return open_log_apart(after, 0, log, path);
}

static void say(int fd, const char *line)
{
	cr_assert_eq(write(fd, line, strlen(line)), (ssize_t)strlen(line));
	turn(2);
}

Test(kernel_log, what_was_told_is_known_again_and_what_is_missing_is_counted)
{
	struct kernel_log_report report;
	struct kernel_log *log = NULL;
	uint64_t after = 10;
	char path[64];
	int fd = open_log(&after, &log, path);

	say(fd, "1,9,1,-;BUG: unable to handle page fault\n");
	cr_assert_eq(n_lines, 0, "its record is durable");
	cr_assert_eq(n_gaps, 0);
	say(fd, "6,11,1,-;nothing\n");
	say(fd, "0,15,1,-;watchdog: BUG: soft lockup - CPU#1 stuck for 26s!\n");
	cr_assert_eq(n_lines, 1);
	cr_assert_eq(n_gaps, 1);
	cr_assert_eq(lost, 3);
	cr_assert_eq(before, 15);
	cr_assert_gt(n_live, 0, "the log was read to its end before");
	say(fd, "no header");
	cr_assert_eq(n_gaps, 2);
	kernel_log_get_report(log, &report);
	cr_assert_eq(report.last_sequence, 15);
	cr_assert_eq(report.malformed, 1);
	kernel_log_close(log);
	close(fd);
	unlink(path);
	sd_event_unref(loop);
}

/* Its clock stands nowhere near ours here: what is read at once is of now, and the next reader is told. */
Test(kernel_log, a_line_that_is_read_at_once_is_of_now)
{
	struct kernel_log_report report;
	struct kernel_log *log = NULL;
	char path[64];
	int fd = open_log(NULL, &log, path);

	say(fd, "1,9,1,-;BUG: unable to handle page fault\n");
	cr_assert_eq(n_live, 0);
	say(fd, "1,10,1,-;BUG: unable to handle page fault\n");
	cr_assert_eq(n_live, 1);
	cr_assert_eq(last_late_ns, 0);
	kernel_log_get_report(log, &report);
	cr_assert_gt(report.apart_ns, INT64_C(1000000));
	kernel_log_close(log);
	close(fd);
	unlink(path);
	sd_event_unref(loop);
}

Test(kernel_log, a_line_that_waited_is_as_old_as_lines_were_before)
{
	struct kernel_log *log = NULL;
	uint64_t begin_ns = clock_read_ns(CLOCK_MONOTONIC);
	char path[64];
	int fd = open_log_apart(NULL, INT64_C(60000000), &log, path);

	say(fd, "1,9,1000,-;BUG: unable to handle page fault\n");
	cr_assert_eq(n_live, 0);
	cr_assert_geq(last_late_ns, begin_ns - UINT64_C(61000000));
	cr_assert_leq(last_late_ns, clock_read_ns(CLOCK_MONOTONIC) - UINT64_C(61000000));
	kernel_log_close(log);
	close(fd);
	unlink(path);
	sd_event_unref(loop);
}

Test(kernel_log, while_the_store_is_full_nothing_is_read)
{
	struct kernel_log *log = NULL;
	char path[64];
	int fd = open_log(NULL, &log, path);

	room = false;
	say(fd, "1,1,1,-;BUG: unable to handle page fault\n");
	turn(3);
	cr_assert_eq(n_lines, 0);
	room = true;
	for (int i = 0; i < 20 && !n_lines; i++)
		turn(1);
	cr_assert_eq(n_lines, 1);
	cr_assert_eq(n_gaps, 0);
	kernel_log_close(log);
	close(fd);
	unlink(path);
	sd_event_unref(loop);
}

Test(kernel_log, a_log_that_is_not_there_says_so)
{
	char problem[ISO_TEXT_BYTES];
	struct kernel_log *log = NULL;

	cr_assert_geq(sd_event_new(&loop), 0);
	cr_assert_eq(
		kernel_log_open(loop, 0, "/nowhere/kmsg", NULL, 0, &log_handlers, &log, problem),
		-ENOENT);
	cr_assert(strstr(problem, "/nowhere/kmsg"));
	sd_event_unref(loop);
}

/* ---- a VM's monitor ---- */

static unsigned int n_events;

static void on_event(void *userdata, const struct qmp_event *event, const char *line, size_t bytes)
{
	(void)userdata;
	(void)line;
	(void)bytes;
	n_events++;
	cr_assert_eq(event->kind, QMP_MEMORY_FAILURE);
}

static void on_gap(void *userdata, uint64_t dropped)
{
	(void)userdata;
	n_gaps++;
	lost += dropped;
}

static const struct qmp_handlers qmp_handlers = {on_event, on_gap, on_end, NULL};

static int open_qmp(struct qmp **qmp)
{
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	cr_assert_geq(sd_event_new(&loop), 0);
	cr_assert_eq(qmp_open(loop, 0, pair[0], &qmp_handlers, qmp), 0);
	return pair[1];
}

#define EVENT "{\"event\": \"MEMORY_FAILURE\", \"data\": {}}\r\n"

Test(qmp, the_greeting_is_answered_and_events_come)
{
	struct qmp *qmp = NULL;
	char answer[64] = "";
	int fd = open_qmp(&qmp);

	cr_assert_not(qmp_is_ready(qmp));
	say(fd, "{\"QMP\": {}}\r\n");
	cr_assert_gt(read(fd, answer, sizeof(answer) - 1), 0);
	cr_assert(strstr(answer, "qmp_capabilities"));
	cr_assert(qmp_is_ready(qmp));
	say(fd, "{\"return\": {}}\r\n" EVENT);
	cr_assert_eq(n_events, 1);
	close(fd);
	turn(2);
	cr_assert_eq(n_ends, 1);
	cr_assert_eq(end_error, 0);
	qmp_close(qmp);
	sd_event_unref(loop);
}

Test(qmp, a_flood_is_cut_and_counted)
{
	struct qmp *qmp = NULL;
	int fd = open_qmp(&qmp);

	for (int i = 0; i < 3 * QMP_EVENTS_PER_SECOND; i++)
		cr_assert_gt(write(fd, EVENT, sizeof(EVENT) - 1), 0);
	turn(1);
	cr_assert_eq(n_events, QMP_EVENTS_PER_SECOND);
	for (int i = 0; i < 200 && !n_gaps; i++)
		turn(1);
	cr_assert_eq(lost, 2 * QMP_EVENTS_PER_SECOND);
	say(fd, EVENT);
	cr_assert_eq(n_events, QMP_EVENTS_PER_SECOND + 1, "the next second is another one");
	qmp_close(qmp);
	close(fd);
	sd_event_unref(loop);
}

Test(qmp, who_talks_nonsense_is_hung_up_on)
{
	struct qmp *qmp = NULL;
	int fd = open_qmp(&qmp);

	for (int i = 0; i <= QMP_MALFORMED_MAX; i++)
		say(fd, "hello\n");
	cr_assert_eq(n_ends, 1);
	cr_assert_eq(end_error, -EBADMSG);
	qmp_close(qmp);
	close(fd);
	sd_event_unref(loop);
}

/* ---- the table ---- */

Test(source_state, every_source_has_its_words)
{
	for (unsigned int i = 0; i < SOURCES; i++) {
		cr_assert_eq(source_find(source_name(i)), i);
		cr_assert_gt(strlen(source_tells(i)), 10);
		cr_assert_gt(strlen(source_cannot(i)), 10);
		cr_assert_gt(strlen(source_without(i)), 10);
	}
	cr_assert_eq(source_find("none"), SOURCES);
}

Test(source_state, counts_and_lag)
{
	struct source_table table = {0};
	struct source_state *state = &table.states[SOURCE_QMP];

	cr_assert_str_eq(source_condition_name(state->condition), "off");
	source_not(&table, SOURCE_QMP, source_condition_of(-ENOENT), "no %s", "socket");
	cr_assert_str_eq(source_condition_name(state->condition), "missing");
	cr_assert_str_eq(state->why, "no socket");
	cr_assert_eq(source_condition_of(-EACCES), SOURCE_REFUSED);
	source_ok(&table, SOURCE_QMP);
	cr_assert_str_empty(state->why);
	source_record(&table, SOURCE_QMP, 5, false, 0);
	source_record(&table, SOURCE_QMP, 3, true, 7);
	cr_assert_eq(state->records, 1);
	cr_assert_eq(state->gaps, 1);
	cr_assert_eq(state->lost, 7);
	cr_assert_eq(state->last_event_ns, 5);
}

Test(source_state, the_lag_is_that_of_a_record_until_its_mark)
{
	struct source_table table = {0};
	struct source_state *state = &table.states[SOURCE_TRACE];

	source_sample(&table, SOURCE_TRACE, 2, 7, 5);
	source_sample(&table, SOURCE_TRACE, 3, 1, 6);
	source_marked(&table, SOURCE_TRACE, 2, 6, 20);
	cr_assert_eq(state->durable, 0, "not yet");
	source_marked(&table, SOURCE_TRACE, 2, 7, 25);
	cr_assert_eq(state->durable, 1);
	cr_assert_eq(state->lag_ns, 20);
	source_sample(&table, SOURCE_TRACE, 3, 2, 30);
	source_marked(&table, SOURCE_TRACE, 4, 0, 31);
	cr_assert_eq(state->lag_ns, 1);
	cr_assert_eq(state->lag_max_ns, 20);
}

/* Proves: what is found on a host is said, one after the other, and what finds no room is said to be left out. */
Test(source_state, what_it_cannot_tell_here)
{
	struct source_table table = {0};
	const char *words = table.states[SOURCE_TRACE].cannot_here;

	source_cannot_here(&table, SOURCE_TRACE, "%d links", 2);
	source_cannot_here(&table, SOURCE_TRACE, "%s", "pages");
	cr_assert_str_eq(words, "2 links; pages");
	for (int i = 0; i < 50; i++)
		source_cannot_here(&table, SOURCE_TRACE, "another thing %d", i);
	cr_assert_lt(strlen(words), ISO_TEXT_BYTES);
	cr_assert(strstr(words, "another thing 0; "));
	cr_assert_str_eq(words + strlen(words) - 10, "; and more");
	source_can_here(&table, SOURCE_TRACE);
	cr_assert_str_empty(words);
}

static void add_event(struct trace_report *report, const char *name, enum trace_event_state state)
{
	struct trace_event_report *event = &report->events[report->n_events++];

	snprintf(event->name, sizeof(event->name), "%s", name);
	event->state = state;
}

/* Proves: of the trace ring it is said which events this kernel lacks, and what was overwritten. */
Test(source_state, events_that_this_kernel_lacks)
{
	static struct trace_report report;
	struct source_table table = {0};
	const char *words = table.states[SOURCE_TRACE].cannot_here;

	add_event(&report, "ras:aer_event", TRACE_EVENT_ENABLED);
	add_event(&report, "cxl:cxl_poison", TRACE_EVENT_ENABLED);
	add_event(&report, "pci:pci_hp_event", TRACE_EVENT_ENABLED);
	sources_here_trace(&table, &report);
	cr_assert_str_empty(words);
	report.events[2].state = TRACE_EVENT_MISSING;
	report.dropped = 3;
	report.overrun = 4;
	sources_here_trace(&table, &report);
	cr_assert(strstr(words, "lost links"), "%s", words);
	cr_assert(strstr(words, "7 records"), "%s", words);
	cr_assert_null(strstr(words, "PCIe"));
	cr_assert_null(strstr(words, "bad ranges"));
	report.events[1].state = TRACE_EVENT_REFUSED;
	sources_here_trace(&table, &report);
	cr_assert(strstr(words, "bad ranges"), "%s", words);
	snprintf(report.events[1].name, sizeof(report.events[1].name), "cxl:*");
	sources_here_trace(&table, &report);
	cr_assert(strstr(words, "CXL devices"), "%s", words);
	cr_assert_null(strstr(words, "bad ranges"), "%s", words);
}
