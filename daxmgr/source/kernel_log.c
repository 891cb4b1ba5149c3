/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../clock.h"

enum {
	/* Each read gives one record; a shorter buffer would be EINVAL for a long one. */
	RECORD_BYTES = 8192,
	RECORDS_PER_DISPATCH = 64,
	PAUSE_USEC = 50 * 1000,
};

struct kernel_log {
	int fd;
	sd_event_source *source;
	sd_event_source *pause;
	struct kernel_log_handlers handlers;
	struct kernel_log_context context;
	struct kernel_log_report report;
	struct kernel_log_clock clock;
	uint64_t late_ns; /* of the line that is read now */
	bool live; /* what was there at the begin is read */
	uint64_t next; /* number that is expected; only when has_next */
	bool has_next;
	char raw[RECORD_BYTES];
	struct kernel_log_record record;
	struct kernel_log_news news;
};

static void tell(struct kernel_log *log, size_t bytes)
{
	struct kernel_log_line line = {
		.record = &log->record,
		.news = &log->news,
		.raw = log->raw,
		.raw_bytes = bytes,
		.read_ns = log->report.last_read_ns,
		.live = log->live,
		.late_ns = log->late_ns,
	};

	log->report.meant++;
	log->handlers.on_line(log->handlers.userdata, &line);
}

static void take(struct kernel_log *log, size_t bytes)
{
	uint64_t now_ns = clock_read_ns(CLOCK_MONOTONIC), sequence;

	log->report.last_read_ns = clock_boottime_ns();
	log->report.read++;
	if (kernel_log_decode(log->raw, bytes, &log->record) != KERNEL_LOG_DECODED) {
		log->report.malformed++;
		log->handlers.on_gap(log->handlers.userdata, 1, log->next, true);
		return;
	}
	log->late_ns = kernel_log_clock_take(&log->clock, log->record.at_ns, now_ns, log->live);
	log->report.apart_ns = log->clock.apart_ns;
	sequence = log->record.sequence;
	if (log->has_next && sequence < log->next) {
		/* Told by an earlier run; the stack that may follow it is of it all the same. */
		kernel_log_meaning(&log->record, &log->context, &log->news);
		return;
	}
	if (log->has_next && sequence > log->next) {
		log->report.lost += sequence - log->next;
		log->handlers.on_gap(log->handlers.userdata, sequence - log->next, sequence, false);
	}
	log->next = sequence + 1;
	log->has_next = true;
	log->report.last_sequence = sequence;
	if (kernel_log_meaning(&log->record, &log->context, &log->news) != KERNEL_LOG_NOTHING)
		tell(log, bytes);
}

/* Return: false when there is nothing more to read now. */
static bool receive(struct kernel_log *log)
{
	ssize_t n = read(log->fd, log->raw, sizeof(log->raw));
	int error = errno;

	if (n > 0) {
		take(log, (size_t)n);
		return true;
	}
	/* Overwritten: the next read gives the oldest there is, and its number says how many are missing. */
	if (n < 0 && (error == EPIPE || error == EINTR))
		return true;
	if (n < 0 && error == EAGAIN) {
		log->live = true;
		return false;
	}
	sd_event_source_set_enabled(log->source, SD_EVENT_OFF);
	log->handlers.on_end(log->handlers.userdata, n < 0 ? -error : -ENODATA);
	return false;
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct kernel_log *log = userdata;

	(void)source;
	(void)usec;
	return sd_event_source_set_enabled(log->source, SD_EVENT_ON);
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct kernel_log *log = userdata;

	(void)fd;
	(void)revents;
	for (unsigned int i = 0; i < RECORDS_PER_DISPATCH; i++) {
		if (log->handlers.has_room && !log->handlers.has_room(log->handlers.userdata)) {
			/* The kernel keeps it, and what it overwrites meanwhile is counted. */
			sd_event_source_set_enabled(source, SD_EVENT_OFF);
			sd_event_source_set_time_relative(log->pause, PAUSE_USEC);
			return sd_event_source_set_enabled(log->pause, SD_EVENT_ONESHOT);
		}
		if (!receive(log))
			break;
	}
	return 0;
}

static int attach(struct kernel_log *log, sd_event *loop, int64_t priority)
{
	int r = sd_event_add_io(loop, &log->source, log->fd, EPOLLIN, on_readable, log);

	if (r >= 0)
		r = sd_event_source_set_priority(log->source, priority);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &log->pause, CLOCK_MONOTONIC, UINT64_MAX / 2,
					       0, on_pause_over, log);
	if (r >= 0)
		r = sd_event_source_set_enabled(log->pause, SD_EVENT_OFF);
	return r;
}

int kernel_log_open(sd_event *loop, int64_t priority, const char *path, const uint64_t *after,
		    int64_t apart_ns, const struct kernel_log_handlers *handlers,
		    struct kernel_log **ret, char problem[ISO_TEXT_BYTES])
{
	struct kernel_log *log = calloc(1, sizeof(*log));
	int r = -ENOMEM;

	if (log) {
		log->handlers = *handlers;
		log->has_next = after != NULL;
		log->next = after ? *after + 1 : 0;
		log->clock.apart_ns = apart_ns;
		log->report.apart_ns = apart_ns;
		log->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		r = log->fd < 0 ? -errno : attach(log, loop, priority);
	}
	if (r < 0) {
		snprintf(problem, ISO_TEXT_BYTES, "%s: %s", path, strerror(-r));
		kernel_log_close(log);
		return r;
	}
	*ret = log;
	return 0;
}

struct kernel_log *kernel_log_close(struct kernel_log *log)
{
	if (!log)
		return NULL;
	sd_event_source_disable_unref(log->source);
	sd_event_source_disable_unref(log->pause);
	if (log->fd >= 0)
		close(log->fd);
	free(log);
	return NULL;
}

void kernel_log_get_report(const struct kernel_log *log, struct kernel_log_report *ret)
{
	*ret = log->report;
}
