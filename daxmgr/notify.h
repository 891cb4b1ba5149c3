/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the service manager is told. sd_notify() waits while the manager's
 * queue is full, and with it a kill would wait for process 1; here a message
 * that does not fit is left out, and the caller knows.
 */
#ifndef DAXMGR_NOTIFY_H
#define DAXMGR_NOTIFY_H

#include <systemd/sd-event.h>

/*
 * Sends `state` as sd_notify(3) does, with a descriptor when `fd` is not
 * negative. Never sleeps, allocates nothing. Return: 1 when it was sent, 0
 * when no manager listens, -EAGAIN when it does not keep up, or another
 * negative errno.
 */
int notify_send(const char *state, int fd);

/* As notify_send(), printed. */
int notify_sendf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Says READY=1, again until it was taken, and from then on as often as the
 * manager's watchdog wants it that the loop runs. `ret` is the caller's to
 * unref. Return: 0 or negative errno.
 */
int notify_ready(sd_event *event, int64_t priority, sd_event_source **ret);

#endif
