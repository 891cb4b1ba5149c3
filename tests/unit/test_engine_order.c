/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of decoders: what recovery must wait for, and what not. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

/* Proves: the lower region waits for the tenants above by name and goes on when the last one left. */
Test(engine_order, lower_waits_for_those_above)
{
	struct world *w = world_pair();
	uint32_t one, two;
	uint64_t hpa = world_region(w, "low").range.start.v;

	world_start_vm(w, "victim", "low", WORLD_PART);
	one = world_start_vm(w, "one", "high", WORLD_PART);
	two = world_start_vm(w, "two", "high", WORLD_PART);
	world_surprise_down(w, 0);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").wait, ISO_WAIT_DECODER_ORDER);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_WAITING);
	cr_assert_str_eq(world_reason(w, 0), "region low waits for tenants above it: two one");
	cr_assert(world_noted(w, "waiting: domain hb0/00.0: "));
	cr_assert(world_region(w, "high").draining);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_HEALTHY, "its tenants are well");
	world_exit(w, two);
	world_run(w, WORLD_SECOND);
	cr_assert_str_eq(world_reason(w, 0), "region low waits for tenants above it: one");
	world_exit(w, one);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_region(w, "low").range.start.v, hpa);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "and the higher one is back");
	cr_assert_not(world_region(w, "high").draining);
	cr_assert_eq(w->n_kills, 1);
	world_free(w);
}

/* Proves: the highest region comes back at once while the lower has tenants. */
Test(engine_order, highest_comes_back_freely)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	world_surprise_down(w, 1);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	cr_assert(w->processes[vm].running);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_HEALTHY);
	world_free(w);
}

/* Proves: a higher region without tenants steps aside by itself. */
Test(engine_order, empty_region_makes_way)
{
	struct world *w = world_pair();

	world_start_vm(w, "web", "low", WORLD_PART);
	world_surprise_down(w, 0);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: a draining region takes no tenants, and takes them again when nobody needs its way any more. */
Test(engine_order, draining_ends)
{
	struct world *w = world_pair();
	struct iso_acquire terms = {.name = "late", .uid = 1, .n_parts = 1};
	uint64_t request;

	strcpy(terms.parts[0].region, "high");
	terms.parts[0].bytes = WORLD_PART;
	world_start_vm(w, "one", "high", WORLD_PART);
	world_surprise_down(w, 0);
	world_run(w, WORLD_SECOND);
	request = world_acquire_terms(w, &terms);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_FENCED);
	world_unplug(w, 0); /* now the lower one waits for its memdev */
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").wait, ISO_WAIT_MEMDEV);
	cr_assert_str_eq(world_reason(w, 0),
			 "region low waits for a memdev: serial 0x10 has not come back");
	cr_assert_not(world_region(w, "high").draining);
	request = world_acquire_terms(w, &terms);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE);
	world_free(w);
}

/* Proves: many regions on one bridge come up one above the other and stay. */
Test(engine_order, four_on_a_bridge)
{
	struct world *w = world_new();
	static const char *const names[] = {"a", "b", "c", "d"};
	uint32_t i;

	world_simple_bridge(w, 4, 0x10);
	for (i = 0; i < 4; i++)
		world_define_one(w, names[i], 0x10 + i);
	world_run(w, 10 * WORLD_SECOND);
	for (i = 0; i < 4; i++) {
		cr_assert_eq(world_region(w, names[i]).state, ISO_REGION_LIVE, "%s", w->trace);
		cr_assert_eq(world_region(w, names[i]).epoch, 2, "it was made once\n%s", w->trace);
	}
	cr_assert_eq(w->n_effects[ISO_EFFECT_CREATE_REGION], 4);
	world_free(w);
}

/* Proves: a region that arrives late waits for nobody when there is no hole below those that stand. */
Test(engine_order, newcomer)
{
	struct world *w = world_new();
	uint32_t vm;

	world_simple_bridge(w, 3, 0x10);
	kernel_unplug(w, 0);
	world_define_one(w, "late", 0x10);
	world_define_one(w, "b", 0x11);
	world_define_one(w, "c", 0x12);
	world_run(w, WORLD_SECOND);
	vm = world_start_vm(w, "web", "c", WORLD_PART);
	kernel_plug(w, 0);
	world_changed(w);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "late").state, ISO_REGION_LIVE, "%s\n%s", world_reason(w, 0),
		     w->trace);
	cr_assert(w->processes[vm].running);
	world_free(w);
}

/* Proves: over a hole nothing new can be made, wherever it would lie: it waits, it does not fail. */
Test(engine_order, hole_blocks_everything)
{
	struct world *w = world_new();
	uint32_t vm;

	world_simple_bridge(w, 3, 0x10);
	world_define_one(w, "a", 0x10);
	world_define_one(w, "b", 0x11);
	world_run(w, WORLD_SECOND);
	vm = world_start_vm(w, "web", "b", WORLD_PART);
	world_unplug(w, 0);
	world_run(w, WORLD_SECOND);
	kernel_foreign_region(w, 0, 1); /* takes the place below, so that c would lie on top */
	world_define_one(w, "c", 0x12);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "c").wait, ISO_WAIT_DECODER_ORDER, "%s", w->trace);
	cr_assert_str_eq(world_reason(w, 2), "region c waits for tenants above it: web");
	cr_assert_not(world_noted(w, "failed"), "%s", w->trace);
	world_exit(w, vm);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "c").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_region(w, "b").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: a hole from before a restart is learned from the kernel's refusal. */
Test(engine_order, hole_unknown_after_restart)
{
	struct world *w = world_new();
	uint32_t vm;

	world_simple_bridge(w, 3, 0x10);
	world_define_one(w, "a", 0x10);
	world_define_one(w, "b", 0x11);
	world_run(w, WORLD_SECOND);
	vm = world_start_vm(w, "web", "b", WORLD_PART);
	world_unplug(w, 0);
	world_run(w, WORLD_SECOND);
	kernel_foreign_region(w, 0, 1);
	world_restart(w);
	world_define_one(w, "c", 0x12);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "c").wait, ISO_WAIT_DECODER_ORDER, "%s", w->trace);
	cr_assert_eq(world_count_notes(w, "failed: region c"), 1);
	world_exit(w, vm);
	world_run(w, 3 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "c").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: a window above another is no reason to take turns for ever. */
Test(engine_order, two_windows)
{
	struct world *w = world_new();
	uint32_t bridges[2], vm;

	bridges[0] = world_simple_bridge(w, 2, 0x10);
	bridges[1] = world_simple_bridge(w, 2, 0x20);
	world_window(w, 8, 2, bridges);
	kernel_unplug(w, 0);
	world_define(w, "wide", 2, (uint64_t[]){0x11, 0x21});
	world_define_one(w, "late", 0x10);
	world_run(w, WORLD_SECOND);
	vm = world_start_vm(w, "web", "wide", WORLD_PART);
	kernel_plug(w, 0);
	world_changed(w);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "late").wait, ISO_WAIT_DECODER_ORDER, "%s", w->trace);
	world_exit(w, vm);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "late").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_region(w, "wide").state, ISO_REGION_LIVE);
	cr_assert_leq(w->n_effects[ISO_EFFECT_CREATE_REGION], 3);
	world_free(w);
}

/* Proves: what-if names the regions, the VMs that would die and those recovery would wait for. */
Test(engine_order, what_if)
{
	struct world *w = world_pair();
	uint32_t regions[4], leases[4], blockers[4];
	struct iso_what_if what = {
		.regions = regions,
		.regions_room = 4,
		.leases = leases,
		.leases_room = 4,
		.blockers = blockers,
		.blockers_room = 4,
	};

	world_start_vm(w, "victim", "low", WORLD_PART);
	world_start_vm(w, "above", "high", 2 * WORLD_PART);
	cr_assert(iso_what_if(w->engine, iso_port_find(w->engine, "hb0/00.0"), ISO_NONE, &what));
	cr_assert_eq(what.n_regions, 1);
	cr_assert_eq(regions[0], iso_region_find(w->engine, "low"));
	cr_assert_eq(what.n_leases, 1);
	cr_assert_eq(leases[0], iso_lease_find(w->engine, "victim"));
	cr_assert_eq(what.n_blockers, 1);
	cr_assert_eq(blockers[0], iso_lease_find(w->engine, "above"));
	cr_assert_eq(what.bytes, WORLD_PART);
	cr_assert(iso_what_if(w->engine, ISO_NONE, iso_memdev_find(w->engine, "0x11"), &what));
	cr_assert_eq(what.n_blockers, 0);
	cr_assert_eq(what.bytes, 2 * WORLD_PART);
	what.leases_room = 0;
	cr_assert(iso_what_if(w->engine, ISO_NONE, iso_memdev_find(w->engine, "0x11"), &what));
	cr_assert_eq(what.n_leases, 1, "the count tells of what found no room");
	cr_assert_not(iso_what_if(w->engine, 999, ISO_NONE, &what));
	cr_assert_not(iso_what_if(w->engine, ISO_NONE, ISO_NONE, &what));
	world_free(w);
}

/* Proves: a window without room is said by the kernel's own words, and given up in the end. */
Test(engine_order, window_without_room)
{
	struct world *w = world_new();
	uint32_t bridge = world_bridge(w);

	world_window(w, 2, 1, &bridge);
	world_memdev(w, world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE), 0x10);
	kernel_foreign_region(w, 0, 2);
	world_define_one(w, "a", 0x10);
	world_run(w, 300 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_QUARANTINED);
	cr_assert_str_eq(world_reason(w, 0),
			 "region a given up: create-region: No space left on device");
	world_free(w);
}

/* Proves: of two windows that fit the one with room is taken. */
Test(engine_order, second_window)
{
	struct world *w = world_new();
	uint32_t bridge = world_bridge(w);

	world_window(w, 2, 1, &bridge);
	world_window(w, 2, 1, &bridge);
	world_memdev(w, world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE), 0x10);
	kernel_foreign_region(w, 0, 2);
	world_define_one(w, "a", 0x10);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_region(w, "a").window_kernel_id, 1);
	world_free(w);
}

/* Proves: a region whose removal the store did not take leaves no hole: what is above it is in nobody's way. */
Test(engine_order, no_hole_where_nothing_was_removed)
{
	struct world *w = world_new();

	world_simple_bridge(w, 3, 0x10);
	world_define_one(w, "low", 0x10);
	world_define_one(w, "high", 0x11);
	world_run(w, WORLD_SECOND);
	world_start_vm(w, "web", "high", WORLD_PART);
	world_fail(w, ISO_EFFECT_INTENT, 1, UINT32_MAX, -28 /* ENOSPC */);
	world_named(w, ISO_EVENT_REGION_DESTROY, "low");
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	world_define_one(w, "low", 0x10); /* it shall stay after all */
	w->n_plans = 0;
	world_define_one(w, "top", 0x12);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "top").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CLEAR_REGION], 0);
	world_free(w);
}

/* Proves: one that was removed from below does leave one. */
Test(engine_order, hole_where_one_was_removed)
{
	struct world *w = world_new();

	world_simple_bridge(w, 3, 0x10);
	world_define_one(w, "low", 0x10);
	world_define_one(w, "high", 0x11);
	world_run(w, WORLD_SECOND);
	world_start_vm(w, "web", "high", WORLD_PART);
	world_named(w, ISO_EVENT_REGION_DESTROY, "low");
	world_run(w, 2 * WORLD_SECOND);
	world_define_one(w, "top", 0x12);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "top").wait, ISO_WAIT_DECODER_ORDER, "%s", w->trace);
	world_free(w);
}
