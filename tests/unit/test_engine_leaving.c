/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A region whose section left the configuration while a VM stands on it. */
#include <criterion/criterion.h>

#include "world.h"

/* Proves: a region that left the configuration under a VM is kept for it, and then left alone. */
Test(engine_leaving, kept_for_its_vm)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "high", WORLD_PART);
	uint32_t o = world_region(w, "high").kernel_id, cleared;
	uint64_t request;

	w->n_defined--;
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(w->processes[vm].running);
	cr_assert_eq(world_lease(w, "web").n_instances, 1, "%s", w->trace);
	cr_assert(world_noted(w, "reconcile: region high: "), "%s", w->trace);
	request = world_acquire(w, "db", "high", WORLD_PART);
	world_run(w, WORLD_SECOND);
	cr_assert_neq(world_reply(w, request), ISO_REPLY_DONE, "it takes nobody else");
	world_named(w, ISO_EVENT_RELEASE, "db");
	cleared = w->n_effects[ISO_EFFECT_CLEAR_REGION];
	world_exit(w, vm);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(iso_region_find(w->engine, "high"), ISO_NONE, "%s", w->trace);
	cr_assert(w->objects[o].used && w->objects[o].committed, "it is not ours to delete");
	cr_assert_eq(w->n_effects[ISO_EFFECT_CLEAR_REGION], cleared);
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(iso_region_find(w->engine, "high"), ISO_NONE, "and forgotten");
	world_free(w);
}

/* Proves: and the loss of that region still kills the VM on it. */
Test(engine_leaving, loss_still_kills)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "high", WORLD_PART);

	w->n_defined--;
	world_restart(w);
	world_run(w, WORLD_SECOND);
	world_surprise_down(w, 1);
	cr_assert_eq(w->processes[vm].kills, 1);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(iso_region_find(w->engine, "high"), ISO_NONE, "%s", w->trace);
	world_free(w);
}

/* Proves: it is ours again when it is defined again. */
Test(engine_leaving, defined_again)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "high", WORLD_PART);

	w->n_defined--;
	world_restart(w);
	world_run(w, WORLD_SECOND);
	world_define_one(w, "high", 0x11);
	world_exit(w, vm);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").free_bytes, WORLD_UNIT);
	world_free(w);
}
