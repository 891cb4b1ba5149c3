/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How records flow: from the rings into the spool, and from there to the
 * handlers as fast as these take them. When the spool is full records wait in
 * the rings; when that lasts, pages are read for what calls for a kill, which
 * never waits for a disk, and their records are counted as dropped. What the
 * rings and we lost is compared with what was told whenever all is empty.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cleanup.h"
#include "../clock.h"
#include "trace_internal.h"

enum {
	PAGES_PER_DISPATCH = 64, /* then other sources get their turn */
	PAGES_PER_DRAIN = 16384, /* a storm must not hold the caller for ever */
	CHECK_USEC = 30 * 1000 * 1000,
	CHECK_SOON_USEC = 200 * 1000,
	RETRY_USEC = 20 * 1000,
	STATS_BYTES = 1024,
};

/* A kill waits no longer than this for the disk. */
#define SKIM_AFTER_NS UINT64_C(500000000)

/* ---- pausing ---- */

static void set_paused(struct trace *trace, bool paused)
{
	if (trace->paused == paused)
		return;
	trace->paused = paused;
	for (uint32_t i = 0; i < trace->n_cpus; i++)
		if (!trace->cpus[i].asleep)
			sd_event_source_set_enabled(trace->cpus[i].source,
						    paused ? SD_EVENT_OFF : SD_EVENT_ON);
}

static bool has_slot(const struct trace *trace)
{
	return trace_spool_next(trace->spool) - trace_spool_first(trace->spool) <
	       trace_spool_slots(trace->spool);
}

static void set_timer(sd_event_source *timer, uint64_t usec)
{
	sd_event_source_set_time_relative(timer, usec);
	sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* Sees to it that what waits is looked at again. */
static void settle(struct trace *trace)
{
	if (trace->pump.full && !trace->full_since_ns) {
		trace->full_since_ns = clock_boottime_ns();
		trace_look_soon(trace); /* whether all rings are empty; one of them says nothing */
	}
	set_paused(trace, !has_slot(trace));
	if (trace->paused || trace->pump.blocked)
		set_timer(trace->retry, RETRY_USEC);
}

int trace_on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct trace_cpu *cpu = userdata;
	struct trace *trace = cpu->trace;
	int r = -ENODEV;

	if (revents & EPOLLIN)
		r = trace_pump_read(&trace->pump, cpu->cpu, fd, PAGES_PER_DISPATCH);
	settle(trace);
	if (r >= 0)
		return 0;

	if (r == -EIO)
		trace_pump_unreadable(&trace->pump);
	/* A CPU that is not there polls as an error for ever: leave it to trace_check(). */
	cpu->asleep = true;
	trace->report.n_cpus_asleep++;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

/* Return: whether all rings are empty now. */
static bool drain(struct trace *trace)
{
	bool empty = true;

	for (uint32_t i = 0; i < trace->n_cpus; i++) {
		int n = trace_pump_read(&trace->pump, trace->cpus[i].cpu, trace->cpus[i].fd,
					PAGES_PER_DRAIN);

		empty = empty && n < PAGES_PER_DRAIN && !trace->pump.full;
	}
	if (empty)
		trace->full_since_ns = 0;
	settle(trace);
	return empty;
}

bool trace_drain(struct trace *trace)
{
	return drain(trace);
}

static void skim(struct trace *trace)
{
	for (uint32_t i = 0; i < trace->n_cpus; i++)
		(void)trace_pump_skim(&trace->pump, trace->cpus[i].cpu, trace->cpus[i].fd,
				      PAGES_PER_DISPATCH);
	trace_look_soon(trace);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct trace *trace = userdata;

	(void)source;
	(void)usec;
	trace_pump_hand_over(&trace->pump);
	if (has_slot(trace))
		trace->pump.full = false;
	else if (trace->full_since_ns &&
		 clock_boottime_ns() - trace->full_since_ns >= SKIM_AFTER_NS)
		skim(trace);
	settle(trace);
	return 0;
}

void trace_durable(struct trace *trace, uint64_t page, uint32_t index)
{
	if (!trace)
		return;
	trace_spool_durable(trace->spool, page, index);
	trace_pump_hand_over(&trace->pump);
	settle(trace);
}

/* ---- counting what was lost ---- */

static uint64_t count_in(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	unsigned long long count = 0;

	/* The name begins a line: "overrun: 3" is also the end of "commit overrun: 3". */
	while (at && at != text && at[-1] != '\n')
		at = strstr(at + 1, name);
	if (at)
		(void)sscanf(at + strlen(name), ": %llu", &count);
	return count;
}

static uint64_t lost_of_cpu(const struct trace *trace, uint32_t cpu)
{
	_cleanup_close_ int fd = -1;
	char text[STATS_BYTES];
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "cpu%u/stats", cpu);
	fd = openat(trace->stats_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return count_in(text, "overrun") + count_in(text, "commit overrun") +
	       count_in(text, "dropped events");
}

static uint64_t lost_in_rings(struct trace *trace)
{
	uint64_t lost = 0;

	for (uint32_t i = 0; i < trace->n_cpus; i++)
		lost += lost_of_cpu(trace, trace->cpus[i].cpu);
	trace->report.overrun = lost;
	return lost;
}

/* A number that the ring has for as long as it is there. */
static uint64_t ring_number(const struct trace *trace)
{
	struct stat status;

	return fstat(trace->stats_fd, &status) < 0 ? 1 : (uint64_t)status.st_ino + 1;
}

static void tell_unknown_loss(struct trace *trace)
{
	trace->pump.counts.gaps++;
	trace->pump.on_gap(trace->pump.userdata, TRACE_GAP_LOST, 0);
}

void trace_flow_compare_ring(struct trace *trace)
{
	uint64_t ring = ring_number(trace), before = trace_spool_ring(trace->spool);

	if (ring == before)
		return;
	/* Nothing is told of a new one, and what was dropped before was seen to be. */
	trace_spool_set_ring(trace->spool, ring, trace_spool_dropped(trace->spool));
	if (before)
		tell_unknown_loss(trace);
}

static void wake_cpus(struct trace *trace)
{
	for (uint32_t i = 0; i < trace->n_cpus; i++) {
		struct trace_cpu *cpu = &trace->cpus[i];

		if (!cpu->asleep)
			continue;
		cpu->asleep = false;
		trace->report.n_cpus_asleep--;
		if (!trace->paused)
			sd_event_source_set_enabled(cpu->source, SD_EVENT_ON);
	}
}

/* Return: false when it cannot be said yet. */
static bool count_losses(struct trace *trace)
{
	uint64_t lost, told;

	/* In this order: pages tell of all that had been overwritten when it was counted. */
	lost = lost_in_rings(trace);
	if (!drain(trace))
		return false;
	lost += trace_spool_dropped(trace->spool);
	told = trace_spool_lost(trace->spool);
	if (lost > told) {
		if (!trace_spool_add_loss(trace->spool, lost - told))
			return false;
		trace_pump_hand_over(&trace->pump);
		settle(trace);
	} else if (lost < told && lost_in_rings(trace) + trace_spool_dropped(trace->spool) < told) {
		/* Somebody emptied the rings: how much is gone cannot be known. */
		trace_spool_set_ring(trace->spool, ring_number(trace), lost);
		tell_unknown_loss(trace);
	}
	return true;
}

/* The rings were seen to be empty; what came since goes with their old clock. */
static void change_clock(struct trace *trace)
{
	if (trace_use_boot_clock(trace) < 0)
		return;
	trace->has_other_clock = false;
	trace_spool_set_ring(trace->spool, ring_number(trace), trace_spool_dropped(trace->spool));
	tell_unknown_loss(trace);
}

void trace_check(struct trace *trace)
{
	bool counted;

	wake_cpus(trace);
	if (trace_enable_events(trace))
		tell_unknown_loss(trace);
	counted = count_losses(trace);
	if (counted)
		trace->uncounted = false;
	if (counted && trace->has_other_clock)
		change_clock(trace);
	set_timer(trace->timer, counted ? CHECK_USEC : CHECK_SOON_USEC);
}

void trace_look_soon(struct trace *trace)
{
	if (trace->uncounted)
		return;
	trace->uncounted = true;
	set_timer(trace->timer, CHECK_SOON_USEC);
}

static int on_check(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	trace_check(userdata);
	return 0;
}

/* ---- the loop ---- */

int trace_flow_open(struct trace *trace, sd_event *loop, int64_t priority)
{
	int r;

	r = sd_event_add_time_relative(loop, &trace->timer, CLOCK_BOOTTIME, CHECK_SOON_USEC, 0,
				       on_check, trace);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &trace->retry, CLOCK_BOOTTIME, RETRY_USEC,
					       1000, on_retry, trace);
	if (r >= 0)
		r = sd_event_source_set_priority(trace->retry, priority);
	return r < 0 ? r : 0;
}

void trace_flow_close(struct trace *trace)
{
	trace->timer = sd_event_source_disable_unref(trace->timer);
	trace->retry = sd_event_source_disable_unref(trace->retry);
	for (uint32_t i = 0; i < trace->n_cpus; i++) {
		sd_event_source_disable_unref(trace->cpus[i].source);
		close(trace->cpus[i].fd);
	}
	free(trace->cpus);
	trace->cpus = NULL;
	trace->n_cpus = 0;
}
