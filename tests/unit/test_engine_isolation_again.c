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

/* Whose first attempt to clear it does. */
static void isolate(struct world *w)
{
	cr_assert(world_isolate(w, 1));
	w->isolation[1].busy_until_ns = 0;
}

static uint32_t nth_of(uint32_t kind)
{
	struct world *w = armed_world();
	uint32_t i;

	isolate(w);
	world_run(w, 5 * WORLD_SECOND);
	for (i = 0; i < w->n_asked && w->asked[i] != kind; i++)
		;
	cr_assert_lt(i, w->n_asked);
	world_free(w);
	return i + 1;
}

/* Proves: a link that was forced down is given back also by the next daemon, wherever this one dies. */
Test(engine_isolation_again, the_next_daemon_gives_the_link_back)
{
	static const uint32_t kinds[] = {ISO_EFFECT_FORCE_LINK_DOWN, ISO_EFFECT_CLEAR_ISOLATION};

	for (uint32_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct world *w = armed_world();

		w->spoil.kind = WORLD_SPOIL_CRASH_AFTER;
		w->spoil.nth = nth_of(kinds[i]);
		isolate(w);
		for (uint32_t ms = 0; ms < 5000 && !w->spoil.hits; ms++)
			world_run(w, WORLD_MS);
		world_run(w, 10 * WORLD_SECOND);
		cr_assert_eq(w->spoil.hits, 1);
		cr_assert_not(w->isolation[1].link_disabled, "%s", w->trace);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
		world_free(w);
	}
}

/* Proves: where only a record told of the isolation the link is given back, too. */
Test(engine_isolation_again, the_link_is_given_back_without_registers)
{
	struct world *w = world_new();
	struct iso_event event = {.kind = ISO_EVENT_FAULT};

	world_simple_bridge(w, 2, 0x10);
	world_define_one(w, "high", 0x11);
	world_run(w, 2 * WORLD_SECOND);
	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_ISOLATED;
	event.fault.address = w->ports[1].address;
	event.fault.record_ns = w->now_ns;
	kernel_condemn(w, 1);
	world_step(w, &event);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_FORCE_LINK_DOWN], 1, "%s", w->trace);
	cr_assert_not(w->isolation[1].link_disabled, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: that the link went down for the first is not taken for the second, whose clearing has to wait for its own. */
Test(engine_isolation_again, while_the_clearing_of_the_first_has_not_ended)
{
	struct world *w = armed_world();

	world_plan(w, ISO_EFFECT_CLEAR_ISOLATION)->late_ns = 100 * WORLD_SECOND;
	isolate(w);
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
