/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A world for benchmarks in which every operation of the engine succeeds at
 * once: one root port, one memdev, one region, and leases brought to life by
 * the same events as in the daemon. No hardware and no kernel is involved.
 */
#ifndef TESTS_BENCH_WORLD_H
#define TESTS_BENCH_WORLD_H

#include <isolate/engine.h>

enum {
	WORLD_LEASE_BYTES = 2 << 20,
	WORLD_SERIAL = 0x12,
};

struct world;

/*
 * Builds an engine with the daemon's limits, whose region stands below the root
 * port with that address ("0000:64:00.0"). Ends the program on failure.
 */
struct world *world_new(const char *port);
void world_free(struct world *world);

struct iso_engine *world_engine(struct world *world);

/* Acquires and attaches; the lease's index and epoch are what a kill names. */
void world_attach(struct world *world, const char *name, int32_t pid, uint32_t *ret_lease,
		  uint32_t *ret_epoch);

/* One event through the engine; `event->now_ns` is set here. */
struct iso_effects world_step(struct world *world, struct iso_event *event);

#endif
