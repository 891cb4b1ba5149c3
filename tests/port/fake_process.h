/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes in a fake tree: what they map, hold open, and how they stand.
 */
#ifndef TESTS_PORT_FAKE_PROCESS_H
#define TESTS_PORT_FAKE_PROCESS_H

#include "fake.h"

/* A process with one thread in this state, started at tick 98765; it maps /dev/<node> unless NULL. */
void fake_process(struct fake *fake, int pid, char state, const char *wchan, const char *node);

/* One more thread of it. */
void fake_thread(struct fake *fake, int pid, int tid, char state, const char *wchan);

/* A descriptor of a thread: where its link leads, and its fdinfo (NULL: flags 0100002). */
void fake_descriptor(struct fake *fake, int pid, int tid, int fd, const char *target,
		     const char *fdinfo);

/* What the kernel counts. */
void fake_pin_counters(struct fake *fake, unsigned int acquired, unsigned int released);

#endif
