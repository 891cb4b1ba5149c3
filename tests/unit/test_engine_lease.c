/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of a lease while nothing fails. */
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

/* Two ports of one bridge, a region on each. */
static struct world *two_regions(void)
{
	struct world *w = world_new();

	world_simple_bridge(w, 2, 0x10);
	world_define_one(w, "low", 0x10);
	world_define_one(w, "high", 0x11);
	cr_assert(world_settle(w, 60 * WORLD_SECOND), "%s", w->trace);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	return w;
}

/* Proves: acquire, attach and a clean exit give all capacity back and leave nothing. */
Test(engine_lease, clean_life)
{
	struct world *w = two_regions();
	uint64_t request = world_acquire(w, "web", "low", WORLD_PART);
	uint32_t vm;

	cr_assert_eq(world_reply(w, request), ISO_REPLY_WAITING);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	vm = world_attach(w, "web");
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ATTACHED);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT - WORLD_PART);
	world_exit(w, vm);
	world_run(w, WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	cr_assert_eq(w->n_kills, 0);
	world_free(w);
}
