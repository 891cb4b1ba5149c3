/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A root port that isolates once more before the end of its recovery was heard of. */
#include <criterion/criterion.h>

#include "world.h"

static struct world *armed_world(void)
{
	struct world *w = world_new();

	w->policy.arm_ports = true;
	world_simple_bridge(w, 2, 0x10);
	world_offer_isolation(w, 1, false);
	world_define_one(w, "high", 0x11);
	world_restart(w);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert(w->isolation[1].control & ISO_ISOLATION_ENABLE, "%s", w->trace);
	return w;
}

/* Proves: that the link went down for the first is not taken for the second, whose clearing has to wait for its own. */
Test(engine_isolation_again, while_the_clearing_of_the_first_has_not_ended)
{
	struct world *w = armed_world();

	world_plan(w, ISO_EFFECT_CLEAR_ISOLATION)->late_ns = 100 * WORLD_SECOND;
	cr_assert(world_isolate(w, 1));
	w->isolation[1].busy_until_ns = 0; /* the first attempt shall do */
	for (uint32_t i = 0; i < 5000 && w->isolation[1].status; i++)
		world_run(w, WORLD_MS);
	cr_assert_eq(w->isolation[1].status, 0, "%s", w->trace);
	world_tell_isolation(w, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(world_isolate(w, 1));
	world_run(w, 200 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_FORCE_LINK_DOWN], 2, "%s", w->trace);
	cr_assert_eq(w->isolation[1].status, 0, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w); /* the world breaks the run when one is cleared before its link was down */
}
