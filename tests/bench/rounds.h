/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One round of the containment benchmark: N processes that map shared memory,
 * a pipe becomes readable, all of them are killed. Each round runs in a process
 * of its own, so that the ways of killing do not disturb each other.
 */
#ifndef TESTS_BENCH_ROUNDS_H
#define TESTS_BENCH_ROUNDS_H

#include "source/trace_decode.h"

enum way {
	WAY_ENGINE, /* raw page, decoder, engine, executor: what the daemon does */
	WAY_BARE,   /* wake from epoll, pidfd_send_signal for each: the limit */
	WAY_SPAWN,  /* wake from epoll, fork and exec of /bin/kill for each */
	WAYS,
};

enum {
	VICTIMS_MAX = 1024,
	PAGE_BYTES = 4096,
	VICTIM_BYTES = 1 << 20,
};

struct recorded {
	struct trace_formats formats;
	uint8_t page[PAGE_BYTES];
	bool realtime; /* the loop runs under SCHED_FIFO: its victims cannot push it aside */
};

/* Nanoseconds since the writer was about to make the pipe readable. */
struct timing {
	uint64_t woken_ns;   /* the loop has called back */
	uint64_t decoded_ns; /* engine only */
	uint64_t decided_ns; /* engine only: iso_step() has returned */
	uint64_t sent_ns;    /* the last SIGKILL has been sent */
	uint64_t exited_ns;  /* the last exit has been seen */
};

/*
 * `memory` is a memfd of VICTIM_BYTES per victim. Return: 0, or -1 after an
 * error message.
 */
int round_run(enum way way, unsigned int n_victims, const struct recorded *recorded, int memory,
	      struct timing *ret);

#endif
