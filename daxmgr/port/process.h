/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes and their threads as /proc shows them. What has ended while it is
 * read is not an error.
 */
#ifndef DAXMGR_PROCESS_H
#define DAXMGR_PROCESS_H

#include <dirent.h>

#include "port.h"

enum { PROCESS_NAME_BYTES = 16 };

/* The next entry of /proc, or of /proc/PID/task, that is a number. Return: NULL at the end. */
const char *process_next(DIR *dir);

/* Takes a line of /proc/PID/stat apart. Return: false when it is not one. */
bool process_stat_parse(const char *line, char *ret_state, uint64_t *ret_start);

/* Ticks since boot at which it started. Return: -ESRCH when it has gone, or -EBADMSG. */
int process_start(const struct port *port, int32_t pid, uint64_t *ret);

/*
 * State and place in the kernel of the thread that keeps the process, for
 * people: "D in folio_wait_bit_common", "S", "gone". A process that does not
 * exit is held by one thread in an uninterruptible sleep, often not the first,
 * which is a zombie then.
 */
void process_where(const struct port *port, int32_t pid, char ret[ISO_EVIDENCE_BYTES]);

#endif
