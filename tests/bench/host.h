/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A full host for benchmarks of the engine alone: 16 host bridges with four root
 * ports each, a switch with four memdevs below each of these, one region on each
 * memdev. Every effect is answered at once and well; a VM that is killed exits,
 * asks again and attaches. Time is a number that grows with each event: no clock
 * is read and no system call is made.
 */
#ifndef TESTS_BENCH_HOST_H
#define TESTS_BENCH_HOST_H

#include <isolate/engine.h>
#include <isolate/view.h>

enum {
	HOST_BRIDGES = 16,
	HOST_ROOT_PORTS = 64,
	HOST_PORTS = 64 + 64 + 256, /* root ports, upstream and downstream ports of switches */
	HOST_MEMDEVS = 256,
	HOST_REGION_LEASES = 64,
	HOST_LEASES = HOST_MEMDEVS * HOST_REGION_LEASES,
	HOST_VICTIMS =
		256, /* on the root port that host_lose() takes, once there are as many leases */
};

struct host;

/* Makes the host, its regions and `n_leases` attached leases. Ends the program on failure. */
struct host *host_new(uint32_t n_leases);
void host_free(struct host *host);
struct iso_engine *host_engine(struct host *host);

/* How many events the engine has taken. */
uint64_t host_events(const struct host *host);
/* Effects that wait for their answer now, and the most there have been at once. */
uint32_t host_outstanding(const struct host *host);
uint32_t host_outstanding_most(const struct host *host);

/* One event, and keeps what the engine asks for. */
void host_step(struct host *host, struct iso_event *event);
/* Answers all effects, and theirs, until none is left. */
void host_answer(struct host *host);

/* Answers what is under way but the observation that is asked for next; then this is its snapshot. */
void host_begin_observation(struct host *host, struct iso_event *ret_snapshot,
			    struct iso_event *ret_completion);

/*
 * A surprise down of a root port: the kernel's part of it has happened, the
 * event tells of it. The topmost port of a host bridge: nothing keeps it waiting.
 */
void host_lose(struct host *host, uint32_t bridge, struct iso_event *ret_fault);
/* The devices come back; until all regions are live and all leases attached. */
void host_recover(struct host *host, uint32_t bridge);

/* Forgets the engine and starts another from what a store would have kept, up to its first snapshot. */
void host_restart(struct host *host, struct iso_event *ret_snapshot,
		  struct iso_event *ret_completion);

#endif
