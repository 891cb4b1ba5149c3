/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * To the journal, with fields and message ids, or to stderr when that is not
 * the journal. A thread of its own does the writing, so that a journal that
 * does not read stops nobody; what it could not take is counted and said.
 */
#ifndef DAXMGR_LOG_H
#define DAXMGR_LOG_H

#include <syslog.h>

#include "store.h"

/* Starts the thread. Before that, and without it, lines are written by the caller. Return: 0 or negative errno. */
int log_start(void);

/* Writes what is queued and ends the thread. */
void log_stop(void);

/* One line; `priority` as in syslog(3). errno is kept, and %m works. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line of a timeline, with its fields and the message id of its kind. */
void log_note(const struct store_note *note);

#endif
