/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shapes of hosts: interleaving, shared memdevs, sizes, both ways back after a loss. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

static struct world *bridges_of_one_port(uint32_t n)
{
	struct world *w = world_new();
	uint32_t i, bridges[WORLD_BRIDGES];

	for (i = 0; i < n; i++) {
		bridges[i] = world_bridge(w);
		world_memdev(w, world_port(w, ISO_PORT_ROOT, bridges[i], ISO_NONE), 0x10 + i);
	}
	world_window(w, 16, n, bridges);
	return w;
}

static void expect_live(struct world *w, const char *name)
{
	cr_assert_eq(world_region(w, name).state, ISO_REGION_LIVE, "%s is %s, waits for %s: %s\n%s",
		     name, iso_region_state_name(world_region(w, name).state),
		     iso_region_wait_name(world_region(w, name).wait), world_region(w, name).reason,
		     w->trace);
}

/* Proves: where each leg has a bridge of its own the kernel's object is refilled: same number, same address. */
Test(engine_shapes, refilled)
{
	uint32_t n;

	for (n = 1; n <= 4; n++) {
		struct world *w = bridges_of_one_port(n);
		uint64_t serials[] = {0x10, 0x11, 0x12, 0x13};
		struct iso_region_view before;

		world_define(w, "fast", n, serials);
		world_run(w, WORLD_SECOND);
		before = world_region(w, "fast");
		world_start_vm(w, "web", "fast", WORLD_PART);
		world_surprise_down(w, n - 1);
		world_run(w, 5 * WORLD_SECOND);
		expect_live(w, "fast");
		cr_assert_eq(w->n_effects[ISO_EFFECT_REFILL_REGION], 1);
		cr_assert_eq(w->n_effects[ISO_EFFECT_CREATE_REGION], 1, "the first time only");
		cr_assert_eq(world_region(w, "fast").kernel_id, before.kernel_id);
		cr_assert_eq(world_region(w, "fast").range.start.v, before.range.start.v);
		cr_assert_gt(world_region(w, "fast").epoch, before.epoch);
		world_free(w);
	}
}

/* Proves: two legs on one bridge, an object that vanished, a refused refill: deleted and made anew. */
Test(engine_shapes, made_anew)
{
	static const char *const ways[] = {"shared bridge", "vanished", "refused", "policy"};
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct world *w = i == 0 ? world_new() : bridges_of_one_port(2);
		uint64_t serials[] = {0x10, 0x11};

		if (i == 0)
			world_simple_bridge(w, 2, 0x10);
		w->objects_vanish = i == 1;
		if (i == 2)
			world_fail(w, ISO_EFFECT_REFILL_REGION, 1, 1, -EINVAL);
		w->policy.refill = i != 3;
		world_start_engine(w);
		world_define(w, "fast", 2, serials);
		world_run(w, WORLD_SECOND);
		world_surprise_down(w, 0);
		world_run(w, 5 * WORLD_SECOND);
		expect_live(w, "fast");
		cr_assert_eq(w->n_effects[ISO_EFFECT_REFILL_REGION], i == 2, "%s", ways[i]);
		cr_assert_eq(w->n_effects[ISO_EFFECT_CREATE_REGION], 2, "%s\n%s", ways[i],
			     w->trace);
		world_free(w);
	}
}

/* Proves: a leg that has not come back is not waited for with the object in the way. */
Test(engine_shapes, cleared_while_a_leg_is_away)
{
	struct world *w = bridges_of_one_port(2);
	uint64_t serials[] = {0x10, 0x11};

	world_define(w, "fast", 2, serials);
	world_run(w, WORLD_SECOND);
	world_unplug(w, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "fast").state, ISO_REGION_ABSENT);
	cr_assert_eq(world_region(w, "fast").wait, ISO_WAIT_MEMDEV);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_WAITING);
	cr_assert(strstr(world_reason(w, 0), "serial 0x11 has not come back"));
	kernel_plug(w, 1);
	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	expect_live(w, "fast");
	world_free(w);
}

/*
 * p0 and p1 of one bridge: "pair" over both, "own" on p1 alone. A config that
 * names pair first must not put it below own.
 */
static struct world *leg_and_own(void)
{
	struct world *w = world_new();
	uint64_t serials[] = {0x10, 0x11};

	world_simple_bridge(w, 2, 0x10);
	w->memdevs[1].bytes = w->seen_memdevs[1].volatile_bytes = 2 * WORLD_UNIT;
	world_define(w, "pair", 2, serials);
	world_define_one(w, "own", 0x11);
	return w;
}

/* Proves: of regions that share memdevs the one with fewer ports lies lower, and gets what the other leaves. */
Test(engine_shapes, leg_and_own_region)
{
	struct world *w = leg_and_own();
	struct iso_region_definition sized = {.name = "pair", .ways = 2};
	uint32_t a, b;

	world_free(w);
	w = world_new();
	world_simple_bridge(w, 2, 0x10);
	w->memdevs[1].bytes = w->seen_memdevs[1].volatile_bytes = 2 * WORLD_UNIT;
	sized.serials[0] = 0x10;
	sized.serials[1] = 0x11;
	sized.bytes = 2 * WORLD_UNIT;
	world_define_as(w, &sized);
	world_define_one(w, "own", 0x11);
	world_run(w, 2 * WORLD_SECOND);
	expect_live(w, "pair");
	expect_live(w, "own");
	cr_assert_lt(world_region(w, "own").range.start.v, world_region(w, "pair").range.start.v);
	cr_assert_eq(world_region(w, "own").range.bytes, WORLD_UNIT);
	cr_assert_eq(world_region(w, "pair").range.bytes, 2 * WORLD_UNIT);
	a = world_start_vm(w, "a", "pair", WORLD_PART);
	b = world_start_vm(w, "b", "own", WORLD_PART);
	world_surprise_down(w, 0);
	world_run(w, 5 * WORLD_SECOND);
	expect_live(w, "pair");
	cr_assert_eq(w->processes[a].kills, 1);
	cr_assert_eq(w->processes[b].kills, 0);
	cr_assert(w->processes[b].running);
	world_surprise_down(w, 1);
	world_run(w, 5 * WORLD_SECOND);
	expect_live(w, "pair");
	expect_live(w, "own");
	cr_assert_eq(w->processes[b].kills, 1);
	world_free(w);
}

/* Proves: without sizes the second region on a memdev has nothing left, and says so instead of failing. */
Test(engine_shapes, nothing_left)
{
	struct world *w = leg_and_own();

	world_run(w, 5 * WORLD_SECOND);
	expect_live(w, "own");
	cr_assert_eq(world_region(w, "pair").state, ISO_REGION_ABSENT);
	cr_assert_eq(world_region(w, "pair").wait, ISO_WAIT_TOO_SMALL, "%s", w->trace);
	cr_assert(strstr(world_region(w, "pair").reason, "memdev 0x11 has 0 MiB"), "%s",
		  world_region(w, "pair").reason);
	cr_assert_eq(world_region(w, "pair").range.bytes, 0);
	world_free(w);
}

/* Proves: a smaller device is used as far as it goes; where a size is asked for it is waited for. */
Test(engine_shapes, smaller_device)
{
	uint32_t sized;

	for (sized = 0; sized < 2; sized++) {
		struct world *w = world_new();
		struct iso_region_definition definition = {.name = "fast", .ways = 1};

		world_simple_bridge(w, 1, 0x10);
		w->memdevs[0].bytes = w->seen_memdevs[0].volatile_bytes = 2 * WORLD_UNIT;
		definition.serials[0] = 0x10;
		definition.bytes = sized ? 2 * WORLD_UNIT : 0;
		world_define_as(w, &definition);
		world_run(w, WORLD_SECOND);
		cr_assert_eq(world_region(w, "fast").range.bytes, 2 * WORLD_UNIT);
		world_unplug(w, 0);
		world_run(w, WORLD_SECOND);
		w->memdevs[0].bytes = w->seen_memdevs[0].volatile_bytes = WORLD_UNIT;
		kernel_plug(w, 0);
		world_changed(w);
		world_run(w, 5 * WORLD_SECOND);
		if (!sized) {
			expect_live(w, "fast");
			cr_assert_eq(world_region(w, "fast").range.bytes, WORLD_UNIT);
		} else {
			cr_assert_eq(world_region(w, "fast").wait, ISO_WAIT_TOO_SMALL);
			cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_WAITING);
			cr_assert(strstr(world_reason(w, 0), "has 256 MiB"), "%s",
				  world_reason(w, 0));
		}
		world_free(w);
	}
}

/* Proves: a serial that comes back at another port is found there, with the blast radius of that port. */
Test(engine_shapes, another_port)
{
	struct world *w = world_pair();
	uint32_t spare = world_port(w, ISO_PORT_ROOT, 0, ISO_NONE), vm;

	world_start_vm(w, "web", "high", WORLD_PART);
	world_unplug(w, 1);
	world_run(w, 2 * WORLD_SECOND);
	w->seen_memdevs[1].port = spare;
	strcat(strcpy(w->seen_memdevs[1].path, w->ports[spare].path), "/00.0");
	kernel_plug(w, 1);
	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	expect_live(w, "high");
	world_acquire(w, "web", "high", WORLD_PART);
	world_run(w, WORLD_SECOND);
	vm = world_attach(w, "web");
	world_surprise_down(w, 1);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 0, "it does not hang there any more");
	world_surprise_down(w, spare);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 1);
	expect_live(w, "high");
	world_free(w);
}

/* Proves: legs that do not alternate over the window's bridges are told as the reason of the kernel's refusal. */
Test(engine_shapes, wrong_order_of_legs)
{
	struct world *w = world_new();
	uint64_t serials[] = {0x10, 0x11, 0x20, 0x21}; /* bridges 0 0 1 1 */
	uint32_t bridges[2], i;

	for (i = 0; i < 4; i++) {
		if (i % 2 == 0)
			bridges[i / 2] = world_bridge(w);
		world_memdev(w, world_port(w, ISO_PORT_ROOT, bridges[i / 2], ISO_NONE), serials[i]);
	}
	world_window(w, 16, 2, bridges);
	world_fail(w, ISO_EFFECT_CREATE_REGION, 1, 100, -ENXIO);
	world_define(w, "four", 4, serials);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(strstr(world_region(w, "four").reason, "order of Memdevs="), "%s",
		  world_region(w, "four").reason);
	world_free(w);
}

/* Proves: a region that firmware locked is used, but never cleared, evicted or destroyed. */
Test(engine_shapes, locked)
{
	struct world *w = world_pair();

	w->objects[world_region(w, "high").kernel_id].locked = true;
	world_changed(w);
	world_run(w, WORLD_SECOND);
	cr_assert(world_region(w, "high").locked);
	cr_assert_eq(world_reply(w, world_named(w, ISO_EVENT_REGION_DESTROY, "high")),
		     ISO_REPLY_LOCKED);
	world_surprise_down(w, 0);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_ABSENT);
	cr_assert_eq(world_region(w, "low").wait, ISO_WAIT_LOCKED);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_WAITING);
	cr_assert(strstr(world_reason(w, 0), "waits for a reboot"));
	expect_live(w, "high");
	world_free(w);
}

/* Proves: a host bridge with a single port has room for one region; another says so instead of failing for ever. */
Test(engine_shapes, single_port_bridge)
{
	struct world *w = world_new();
	uint32_t bridge = world_bridge(w), root, upstream, i;

	root = world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE);
	upstream = world_port(w, ISO_PORT_SWITCH_UPSTREAM, bridge, root);
	for (i = 0; i < 2; i++)
		world_memdev(w, world_port(w, ISO_PORT_SWITCH_DOWNSTREAM, bridge, upstream),
			     0x10 + i);
	world_window(w, 16, 1, &bridge);
	world_define_one(w, "first", 0x10);
	world_define_one(w, "second", 0x11);
	world_run(w, 5 * WORLD_SECOND);
	expect_live(w, "first");
	cr_assert_eq(world_region(w, "second").wait, ISO_WAIT_WINDOW);
	cr_assert(strstr(world_reason(w, 0), "single root port"), "%s", world_reason(w, 0));
	world_unplug(w, 0);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "second").state, ISO_REGION_ABSENT, "the place is kept");
	cr_assert_eq(world_reply(w, world_named(w, ISO_EVENT_REGION_DESTROY, "first")),
		     ISO_REPLY_DONE);
	world_run(w, 5 * WORLD_SECOND);
	expect_live(w, "second");
	world_free(w);
}

/* Proves: two regions on one memdev are told apart after a restart, and after a reboot that swapped their numbers. */
Test(engine_shapes, two_on_one_memdev)
{
	struct world *w = world_new();
	struct iso_region_definition small = {.name = "small", .ways = 1, .bytes = WORLD_UNIT};
	struct iso_region_definition large = {.name = "large", .ways = 1, .bytes = 2 * WORLD_UNIT};
	uint32_t small_id, large_id, vm;

	world_simple_bridge(w, 2, 0x10);
	w->memdevs[0].bytes = w->seen_memdevs[0].volatile_bytes = 3 * WORLD_UNIT;
	small.serials[0] = large.serials[0] = 0x10;
	world_define_as(w, &large);
	world_define_as(w, &small);
	world_run(w, 2 * WORLD_SECOND);
	expect_live(w, "small");
	expect_live(w, "large");
	small_id = world_region(w, "small").kernel_id;
	large_id = world_region(w, "large").kernel_id;
	vm = world_start_vm(w, "web", "small", WORLD_PART);
	world_restart(w);
	world_run(w, 2 * WORLD_SECOND);
	expect_live(w, "small");
	cr_assert_eq(world_region(w, "small").kernel_id, small_id);
	cr_assert_eq(world_region(w, "large").kernel_id, large_id);
	cr_assert_eq(w->processes[vm].kills, 0);
	world_surprise_down(w, 0);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 1);
	expect_live(w, "small");
	expect_live(w, "large");
	world_free(w);
}
