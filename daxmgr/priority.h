/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a port is lost everybody is busy at once: virtual machines die and are
 * started, udev runs its rules. The daemon kills in real time; what brings the
 * memory back is short and goes next, just below it; what takes long does not.
 */
#ifndef DAXMGR_PRIORITY_H
#define DAXMGR_PRIORITY_H

#include <stdbool.h>

/* Of what comes after the event loop, which has a higher one (daxmgrd.service). */
enum { PRIORITY_BELOW_LOOP = 1 };

/* Whether the calling thread has a priority in real time. */
bool priority_is_realtime(void);

/* Puts the calling thread below the daemon's event loop, if that has a priority in real time. */
void priority_step_below(void);

/* From now on a process that computes for long without ever sleeping leaves real time. */
void priority_limit(void);

/* The calling thread leaves real time for good: there is no way back without privileges. */
void priority_leave(void);

/* Whether it has been left. */
bool priority_left(void);

#endif
