/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The monitor (QMP) of one virtual machine: handshake, then its events. Never
 * blocking, and whatever the other end sends costs a bounded amount of memory
 * and time: lines are bounded, so is what is read and told in a second.
 */
#ifndef DAXMGR_SOURCE_QMP_H
#define DAXMGR_SOURCE_QMP_H

#include "qmp_decode.h"

#include <systemd/sd-event.h>

enum {
	QMP_EVENTS_PER_SECOND = 32,
	QMP_BYTES_PER_SECOND = 256 * 1024,
	QMP_MALFORMED_MAX = 16, /* lines, then it is hung up */
};

struct qmp;

struct qmp_handlers {
	/* An event; the line is what came, valid during the call. */
	void (*on_event)(void *userdata, const struct qmp_event *event, const char *line,
			 size_t bytes);
	/* So many events were left out within a second, or lines were too long. */
	void (*on_gap)(void *userdata, uint64_t dropped);
	/* It ended, or is no monitor; 0 at its end. No call follows; qmp_close() is still to be called. */
	void (*on_end)(void *userdata, int error);
	void *userdata;
};

/* Takes `fd`, a connected non-blocking stream socket, in any case. Return: 0 or negative errno. */
int qmp_open(sd_event *loop, int64_t priority, int fd, const struct qmp_handlers *handlers,
	     struct qmp **ret);

/* Accepts NULL. Return: NULL. Not from within a handler but on_end(). */
struct qmp *qmp_close(struct qmp *qmp);

/* Whether the handshake is done: events come. */
bool qmp_is_ready(const struct qmp *qmp);

#endif
