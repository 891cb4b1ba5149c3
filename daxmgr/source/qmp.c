/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 16 * 1024, WINDOW_USEC = 1000 * 1000 };

struct qmp {
	int fd;
	sd_event_source *source;
	sd_event_source *window; /* ends a second in which something came */
	struct qmp_handlers handlers;
	struct qmp_lines lines;
	uint64_t too_long_told;
	uint32_t n_bytes, n_events; /* of this second */
	uint32_t n_dropped;
	uint32_t n_malformed;
	bool ready;
};

/* on_end() may close it: nothing of it is touched after that. */
static void end(struct qmp *qmp, int error)
{
	const struct qmp_handlers handlers = qmp->handlers;

	sd_event_source_set_enabled(qmp->source, SD_EVENT_OFF);
	sd_event_source_set_enabled(qmp->window, SD_EVENT_OFF);
	if (qmp->n_dropped)
		handlers.on_gap(handlers.userdata, qmp->n_dropped);
	handlers.on_end(handlers.userdata, error == -ENODATA ? 0 : error);
}

static void negotiate(struct qmp *qmp, int *error)
{
	static const char command[] = "{\"execute\":\"qmp_capabilities\"}\n";

	if (send(qmp->fd, command, sizeof(command) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) !=
	    (ssize_t)sizeof(command) - 1)
		*error = errno ? -errno : -EPIPE;
	else
		qmp->ready = true;
}

struct taking {
	struct qmp *qmp;
	int error;
};

static void on_line(void *userdata, const char *line, size_t bytes)
{
	struct taking *taking = userdata;
	struct qmp *qmp = taking->qmp;
	struct qmp_event event;

	if (taking->error)
		return;
	switch (qmp_decode(line, bytes, &event)) {
	case QMP_NOTHING:
		return;
	case QMP_MALFORMED:
		if (++qmp->n_malformed > QMP_MALFORMED_MAX)
			taking->error = -EBADMSG;
		return;
	case QMP_GREETING:
		if (!qmp->ready)
			negotiate(qmp, &taking->error);
		return;
	case QMP_ERROR:
		return;
	default:
		break;
	}
	if (qmp->n_events >= QMP_EVENTS_PER_SECOND) {
		qmp->n_dropped++;
		return;
	}
	qmp->n_events++;
	qmp->handlers.on_event(qmp->handlers.userdata, &event, line, bytes);
}

static int on_window(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct qmp *qmp = userdata;
	uint64_t lost = qmp->n_dropped + (qmp->lines.too_long - qmp->too_long_told);

	(void)source;
	(void)usec;
	qmp->n_bytes = qmp->n_events = qmp->n_dropped = 0;
	qmp->too_long_told = qmp->lines.too_long;
	if (lost)
		qmp->handlers.on_gap(qmp->handlers.userdata, lost);
	return sd_event_source_set_enabled(qmp->source, SD_EVENT_ON);
}

static void open_window(struct qmp *qmp)
{
	int enabled;

	if (sd_event_source_get_enabled(qmp->window, &enabled) >= 0 && enabled != SD_EVENT_OFF)
		return;
	sd_event_source_set_time_relative(qmp->window, WINDOW_USEC);
	sd_event_source_set_enabled(qmp->window, SD_EVENT_ONESHOT);
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct qmp *qmp = userdata;
	struct taking taking = {.qmp = qmp};
	char data[READ_BYTES];
	ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		taking.error = n < 0 ? -errno : -ENODATA;
	} else {
		qmp->n_bytes += (uint32_t)n;
		qmp_lines_take(&qmp->lines, data, (size_t)n, on_line, &taking);
		open_window(qmp);
		/* The rest of the second it talks to itself. */
		if (qmp->n_bytes >= QMP_BYTES_PER_SECOND)
			sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	if (taking.error)
		end(qmp, taking.error);
	return 0;
}

static int attach(struct qmp *qmp, sd_event *loop, int64_t priority)
{
	int r = sd_event_add_io(loop, &qmp->source, qmp->fd, EPOLLIN, on_readable, qmp);

	if (r >= 0)
		r = sd_event_source_set_priority(qmp->source, priority);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &qmp->window, CLOCK_MONOTONIC, WINDOW_USEC, 0,
					       on_window, qmp);
	if (r >= 0)
		r = sd_event_source_set_priority(qmp->window, priority);
	if (r >= 0)
		r = sd_event_source_set_enabled(qmp->window, SD_EVENT_OFF);
	return r;
}

int qmp_open(sd_event *loop, int64_t priority, int fd, const struct qmp_handlers *handlers,
	     struct qmp **ret)
{
	struct qmp *qmp = calloc(1, sizeof(*qmp));
	int r;

	if (!qmp) {
		close(fd);
		return -ENOMEM;
	}
	qmp->fd = fd;
	qmp->handlers = *handlers;
	r = attach(qmp, loop, priority);
	if (r < 0) {
		qmp_close(qmp);
		return r;
	}
	*ret = qmp;
	return 0;
}

struct qmp *qmp_close(struct qmp *qmp)
{
	if (!qmp)
		return NULL;
	sd_event_source_disable_unref(qmp->source);
	sd_event_source_disable_unref(qmp->window);
	qmp_lines_done(&qmp->lines);
	close(qmp->fd);
	free(qmp);
	return NULL;
}

bool qmp_is_ready(const struct qmp *qmp)
{
	return qmp->ready;
}
