/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves the order in which an isolated root port comes back, that ports are
 * armed before regions are made and never under them, and each reason that
 * arming is refused for. The registers are those of the simulated host.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "world.h"

static struct world *begin(bool link_down)
{
	struct iso_limits limits = {8, 32, 32, 8, 24, 48, 48, 96, 16, 32};
	struct iso_policy policy;
	struct world *w;

	iso_policy_default(&policy);
	policy.inspect_ns = 0;
	policy.arm_ports = true;
	w = world_new_with(&limits, &policy);
	world_simple_bridge(w, 2, 0x10);
	world_offer_isolation(w, 0, link_down);
	world_offer_isolation(w, 1, link_down);
	return w;
}

static struct world *running(bool link_down)
{
	struct world *w = begin(link_down);

	world_define_one(w, "low", 0x10);
	world_define_one(w, "high", 0x11);
	world_run(w, 2 * WORLD_SECOND);
	world_start_vm(w, "a", "low", WORLD_PART);
	world_start_vm(w, "b", "high", WORLD_PART);
	return w;
}

static uint64_t ask(struct world *w, uint32_t port, uint32_t wish, uint32_t range)
{
	struct iso_event event = {.kind = ISO_EVENT_ARM};

	event.arm.request = w->request++;
	event.arm.wish = wish;
	event.arm.range = range;
	strcpy(event.arm.port, w->ports[port].path);
	world_step(w, &event);
	return event.arm.request;
}

Test(engine_isolation, armed_before_regions_are_made)
{
	struct world *w = running(true);

	cr_assert_eq(w->n_effects[ISO_EFFECT_ARM_PORT], 2);
	cr_assert(w->isolation[0].control & ISO_ISOLATION_ENABLE);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	world_free(w); /* the world breaks the run when one is toggled under a region */
}

Test(engine_isolation, only_those_behind_it_die_and_all_comes_back_in_order)
{
	struct world *w = running(true);

	cr_assert(world_isolate(w, 1));
	cr_assert_eq(w->n_kills, 1);
	cr_assert_eq(world_lease(w, "a").state, ISO_LEASE_ATTACHED);
	cr_assert_eq(world_incident(w, 1).cause, ISO_CAUSE_ISOLATED);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->isolation[1].status, 0, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_FORCE_LINK_DOWN], 0);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

Test(engine_isolation, a_link_that_stays_up_is_forced_down_first)
{
	struct world *w = running(false);

	cr_assert(world_isolate(w, 1));
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_FORCE_LINK_DOWN], 1, "%s", w->trace);
	cr_assert_eq(w->isolation[1].status, 0);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

Test(engine_isolation, busy_that_never_ends_is_quarantined_until_an_operator_comes)
{
	struct world *w = running(true);

	w->isolation[1].never_ends = true;
	cr_assert(world_isolate(w, 1));
	world_run(w, 120 * WORLD_SECOND);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_QUARANTINED, "%s", w->trace);
	cr_assert(strstr(world_reason(w, 1), "stays isolated"), "%s", world_reason(w, 1));
	cr_assert_neq(world_region(w, "high").state, ISO_REGION_LIVE);
	w->isolation[1].never_ends = false;
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

Test(engine_isolation, a_record_older_than_the_region_harms_nobody)
{
	struct world *w = running(true);
	struct iso_event event = {.kind = ISO_EVENT_FAULT};

	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_ISOLATED;
	event.fault.address = w->ports[1].address;
	event.fault.record_ns = 1;
	world_step(w, &event);
	cr_assert_eq(w->n_kills, 0);
	world_free(w);
}

static void would(struct world *w, uint32_t port, uint32_t wish, uint32_t range,
		  enum iso_arm_outcome expected)
{
	enum iso_arm_outcome outcome;
	uint32_t obstacles;

	cr_assert(iso_arm_try(w->engine, port, wish, range, &outcome, &obstacles));
	cr_assert_eq(outcome, expected, "%u", outcome);
	cr_assert_eq(!obstacles, outcome != ISO_ARM_REFUSED);
}

Test(engine_isolation, a_try_says_what_the_deed_would)
{
	struct world *w = running(true);
	enum iso_arm_outcome outcome;
	uint32_t obstacles;

	would(w, 1, ISO_ARM_YES, ISO_NONE, ISO_ARM_ALREADY);
	would(w, 1, ISO_ARM_NO, ISO_NONE, ISO_ARM_WAITS);
	cr_assert_eq(world_reply(w, ask(w, 1, ISO_ARM_NO, ISO_NONE)), ISO_REPLY_DONE);
	world_port_request(w, ISO_EVENT_ISOLATE, 1);
	world_run(w, 2 * WORLD_SECOND);
	would(w, 1, ISO_ARM_NO, ISO_NONE, ISO_ARM_ALREADY);
	would(w, 1, ISO_ARM_YES, ISO_NONE, ISO_ARM_NOW);
	w->isolation[1].obstacles = ISO_OBSTACLE_CPU;
	world_tell_isolation(w, 1);
	would(w, 1, ISO_ARM_YES, ISO_NONE, ISO_ARM_REFUSED);
	would(w, 1, ISO_ARM_NO, ISO_NONE, ISO_ARM_ALREADY);
	cr_assert_not(iso_arm_try(w->engine, 99, ISO_ARM_YES, ISO_NONE, &outcome, &obstacles));
	world_free(w);
}

/* An operator's own range of before is not what is armed when none is given. */
Test(engine_isolation, a_try_without_a_range_takes_the_policy_s)
{
	struct iso_event event = {.kind = ISO_EVENT_ISOLATION_SEEN};
	struct world *w = begin(true);
	enum iso_arm_outcome outcome;
	uint32_t obstacles;

	world_define_one(w, "low", 0x10);
	world_run(w, WORLD_SECOND);
	event.isolation_seen.address = w->ports[1].address;
	event.isolation_seen.isolation = (struct iso_isolation){
		.source = ISO_ISOLATION_REGISTERS,
		.capability = w->isolation[1].capability,
		.ranges = 1 | 1 << 2,
		.ranges_safe = 1 << 2,
	};
	world_step(w, &event);
	cr_assert_eq(world_reply(w, ask(w, 1, ISO_ARM_YES, 2)), ISO_REPLY_DONE);
	cr_assert(iso_arm_try(w->engine, 1, ISO_ARM_YES, ISO_NONE, &outcome, &obstacles));
	cr_assert_eq(outcome, ISO_ARM_REFUSED);
	cr_assert_eq(obstacles, ISO_OBSTACLE_TIMEOUT);
	cr_assert_eq(world_reply(w, ask(w, 1, ISO_ARM_YES, ISO_NONE)), ISO_REPLY_REFUSED);
	world_free(w);
}

static void inject(struct world *w, uint32_t port)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT};

	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_ISOLATED;
	event.fault.address = w->ports[port].address;
	event.fault.record_ns = w->now_ns;
	event.fault.synthetic = true;
	kernel_condemn(w, port);
	world_step(w, &event);
}

/* The hardware has no part in it: the VM dies, the link stays up, and it ends. */
static void injected(bool link_down)
{
	struct world *w = running(link_down);
	struct iso_port_view view;

	inject(w, 1);
	cr_assert_eq(w->n_kills, 1);
	cr_assert_eq(world_lease(w, "a").state, ISO_LEASE_ATTACHED);
	cr_assert_eq(world_incident(w, 1).cause, ISO_CAUSE_ISOLATED);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_FORCE_LINK_DOWN], 0, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CLEAR_ISOLATION], 0, "%s", w->trace);
	cr_assert(w->isolation[1].control & ISO_ISOLATION_ENABLE);
	cr_assert(iso_port_get(w->engine, iso_port_find(w->engine, w->ports[1].path), &view));
	cr_assert_not(view.isolated_ns, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

Test(engine_isolation, an_injected_one_takes_no_link_down_and_ends)
{
	injected(true);
	injected(false);
}

/* The memory of whom dies is unbound by the kernel only where the port takes its link down. */
Test(engine_isolation, who_is_stopped_before_the_kill)
{
	for (int link_down = 0; link_down <= 1; link_down++) {
		struct world *w = running(link_down);
		struct iso_event event = {.kind = ISO_EVENT_FAULT, .now_ns = w->now_ns};
		struct iso_effects effects;

		event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
		event.fault.cause = ISO_CAUSE_ISOLATED;
		event.fault.address = w->ports[1].address;
		event.fault.record_ns = w->now_ns;
		effects = iso_step(w->engine, &event);
		cr_assert_eq(effects.n_kills, 1);
		cr_assert_eq(effects.kills[0].unbinding != 0, link_down);
		world_free(w);
	}
}

Test(engine_isolation, a_real_one_during_an_injected_one_is_cleared_in_order)
{
	struct world *w = running(false);

	inject(w, 1);
	cr_assert(world_isolate(w, 1));
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_FORCE_LINK_DOWN], 1, "%s", w->trace);
	cr_assert_eq(w->isolation[1].status, 0, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

Test(engine_isolation, refused_with_each_reason)
{
	static const uint32_t reasons[] = {ISO_OBSTACLE_LOCKDOWN,      ISO_OBSTACLE_CPU,
					   ISO_OBSTACLE_CPU_UNKNOWN,   ISO_OBSTACLE_PANIC_ON_OOPS,
					   ISO_OBSTACLE_PANIC_ON_WARN, ISO_OBSTACLE_MACHINE_CHECK,
					   ISO_OBSTACLE_MEMORY_FAILURE};
	struct world *w = begin(true);
	struct iso_arming arming;

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		w->isolation[0].obstacles |= reasons[i];
	world_define_one(w, "high", 0x11);
	world_run(w, WORLD_SECOND);
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		w->isolation[0].obstacles = reasons[i];
		world_tell_isolation(w, 0);
		cr_assert_eq(world_reply(w, ask(w, 0, ISO_ARM_YES, ISO_NONE)), ISO_REPLY_REFUSED);
		cr_assert(iso_arming(w->engine, 0, ISO_NONE, &arming));
		cr_assert_eq(arming.obstacles, reasons[i]);
	}
	cr_assert_eq(w->isolation[0].control, 0);
	cr_assert_eq(world_reply(w, ask(w, 1, ISO_ARM_YES, 6)), ISO_REPLY_DONE,
		     "where there is one timeout only, it is the one");
	w->isolation[0].obstacles = 0;
	world_tell_isolation(w, 0);
	world_run(w, WORLD_SECOND);
	cr_assert(w->isolation[0].control & ISO_ISOLATION_ENABLE, "%s", w->trace);
	world_free(w);
}

Test(engine_isolation, disarmed_only_once_nothing_stands_on_it_and_over_a_restart)
{
	struct world *w = running(true);

	cr_assert_eq(world_reply(w, ask(w, 1, ISO_ARM_NO, ISO_NONE)), ISO_REPLY_DONE);
	world_run(w, WORLD_SECOND);
	cr_assert(w->isolation[1].control & ISO_ISOLATION_ENABLE);
	cr_assert(world_noted(w, "waits until it is quiesced"));
	world_restart(w);
	world_run(w, WORLD_SECOND);
	world_port_request(w, ISO_EVENT_ISOLATE, 1);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_not(w->isolation[1].control & ISO_ISOLATION_ENABLE, "%s", w->trace);
	world_free(w);
}

/* Proves: what was made since the last look and is lost to an operator only is in use until the kernel lets go of it. */
Test(engine_isolation, not_disarmed_under_what_was_not_looked_at_since_it_was_made)
{
	static const uint64_t serials[] = {0x10, 0x11};
	struct world *w = begin(true);

	world_define(w, "both", 2, serials);
	while (w->now_ns < 5 * WORLD_SECOND && world_region(w, "both").state != ISO_REGION_LIVE)
		world_run(w, WORLD_MS / 10);
	cr_assert_eq(world_region(w, "both").state, ISO_REGION_LIVE, "%s", w->trace);
	world_port_request(w, ISO_EVENT_ISOLATE, 0);
	cr_assert_eq(world_reply(w, ask(w, 1, ISO_ARM_NO, ISO_NONE)), ISO_REPLY_DONE);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(w->isolation[1].control & ISO_ISOLATION_ENABLE, "%s", w->trace);
	world_free(w); /* the world breaks the run when one is toggled under a region */
}

Test(engine_isolation, two_held_ports_are_both_held_over_a_restart)
{
	struct world *w = running(true);
	struct iso_port_view view;

	world_port_request(w, ISO_EVENT_ISOLATE, 0);
	world_port_request(w, ISO_EVENT_ISOLATE, 1);
	world_run(w, 2 * WORLD_SECOND);
	world_restart(w);
	world_run(w, 2 * WORLD_SECOND);
	for (uint32_t i = 0; i < 2; i++) {
		cr_assert(
			iso_port_get(w->engine, iso_port_find(w->engine, w->ports[i].path), &view));
		cr_assert(view.held);
	}
	world_free(w);
}

Test(engine_isolation, a_daemon_that_dies_before_it_looks_behind_the_port_is_made_good_by_the_next)
{
	struct world *w = running(false);

	world_isolate(w, 1);
	for (uint32_t i = 0; i < 5000 && w->isolation[1].status; i++)
		world_run(w, WORLD_MS);
	cr_assert_eq(w->isolation[1].status, 0, "%s", w->trace);
	cr_assert_not(w->memdevs[1].plugged, "nobody has looked for it: %s", w->trace);
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

Test(engine_isolation, empty_ports_are_not_looked_behind_for_ever)
{
	struct world *w = running(false);

	kernel_unplug(w, 1);
	world_changed(w);
	world_run(w, 2 * WORLD_SECOND);
	world_restart(w);
	world_run(w, 600 * WORLD_SECOND);
	cr_assert_leq(w->n_effects[ISO_EFFECT_RESCAN_PORT], 4, "%s", w->trace);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_HEALTHY);
	kernel_plug(w, 1);
	world_changed(w);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

Test(engine_isolation, regions_above_do_not_wait_for_one_that_waits_for_a_person)
{
	struct world *w = running(false);
	struct world_plan *plan = world_plan(w, ISO_EFFECT_FORCE_LINK_DOWN);

	plan->times = UINT32_MAX;
	plan->error = -EBUSY;
	world_isolate(w, 0);
	world_isolate(w, 1);
	world_run(w, 300 * WORLD_SECOND);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_QUARANTINED, "%s", w->trace);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_ABSENT, "%s", w->trace);
	plan->times = 0;
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_port_request(w, ISO_EVENT_RECOVER, 0);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->isolation[0].status, 0, "%s", w->trace);
	world_free(w);
}

/* Proves: memory that the kernel uses is not armed under, also where no region object tells of it. */
Test(engine_isolation, not_armed_under_system_ram)
{
	struct world *w = begin(true);
	struct iso_arming arming;

	w->ports[1].system_ram = true;
	world_define_one(w, "low", 0x10);
	world_run(w, WORLD_SECOND);
	cr_assert(w->isolation[0].control & ISO_ISOLATION_ENABLE, "the other one is: %s", w->trace);
	cr_assert_not(w->isolation[1].control & ISO_ISOLATION_ENABLE, "%s", w->trace);
	cr_assert(iso_arming(w->engine, 1, ISO_NONE, &arming));
	cr_assert_eq(arming.obstacles, ISO_OBSTACLE_SYSTEM_RAM);
	cr_assert_not(arming.quiesced);
	cr_assert_eq(world_reply(w, ask(w, 1, ISO_ARM_YES, ISO_NONE)), ISO_REPLY_REFUSED);
	w->ports[1].system_ram = false;
	world_changed(w);
	world_run(w, WORLD_SECOND);
	cr_assert(w->isolation[1].control & ISO_ISOLATION_ENABLE, "%s", w->trace);
	world_free(w);
}

/* Firmware has armed the second port; nothing of ours stands on it, and the policy only watches. */
static struct world *watching(void)
{
	struct iso_limits limits = {8, 32, 32, 8, 24, 48, 48, 96, 16, 32};
	struct iso_policy policy;
	struct world *w;

	iso_policy_default(&policy);
	policy.inspect_ns = 0;
	w = world_new_with(&limits, &policy);
	world_simple_bridge(w, 2, 0x10);
	world_offer_isolation(w, 0, false);
	world_offer_isolation(w, 1, false);
	w->isolation[1].control = ISO_ISOLATION_ENABLE;
	world_define_one(w, "low", 0x10);
	return w;
}

static void expect_wait(struct world *w, const char *words)
{
	struct iso_port_view view;

	cr_assert(world_isolate(w, 1));
	world_run(w, 300 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_FORCE_LINK_DOWN], 0, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CLEAR_ISOLATION], 0, "%s", w->trace);
	cr_assert(world_noted(w, words), "%s", w->trace);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_WAITING, "%s", world_reason(w, 1));
	cr_assert(strstr(world_reason(w, 1), words), "%s", world_reason(w, 1));
	cr_assert(iso_port_get(w->engine, iso_port_find(w->engine, w->ports[1].path), &view));
	cr_assert(strstr(view.isolation_reason, words), "%s", view.isolation_reason);
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_FORCE_LINK_DOWN], 0, "%s", w->trace);
}

static void expect_end(struct world *w)
{
	struct iso_port_view view;

	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_FORCE_LINK_DOWN], 1, "%s", w->trace);
	cr_assert_eq(w->isolation[1].status, 0, "%s", w->trace);
	cr_assert(iso_port_get(w->engine, iso_port_find(w->engine, w->ports[1].path), &view));
	cr_assert_str_eq(view.isolation_reason, "");
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_HEALTHY, "%s", world_reason(w, 1));
}

/* Proves: who uses a region that is not managed was not killed, so its link is left to a person. */
Test(engine_isolation, no_link_is_taken_down_under_a_region_that_is_not_managed)
{
	struct world *w = watching();
	uint32_t o = kernel_foreign_region(w, 0, 1);

	w->objects[o].ways = 1;
	w->objects[o].committed = true;
	w->objects[o].targets[0].serial = 0x11;
	w->objects[o].targets[0].present = true;
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	expect_wait(w, "not managed");
	w->objects[o].used = false;
	expect_end(w);
	world_free(w);
}

Test(engine_isolation, no_link_is_taken_down_under_system_ram)
{
	struct world *w = watching();

	w->ports[1].system_ram = true;
	world_run(w, WORLD_SECOND);
	expect_wait(w, "System RAM");
	w->ports[1].system_ram = false;
	expect_end(w);
	world_free(w);
}

/* Proves: isolation that no timeout can begin is not what was asked for, whoever enabled it. */
Test(engine_isolation, what_firmware_armed_by_half_is_armed_wholly)
{
	struct world *w = begin(true);

	w->isolation[0].capability |= ISO_ISOLATION_TIMEOUT | ISO_ISOLATION_ERR_COR;
	w->isolation[0].control = ISO_ISOLATION_ENABLE | ISO_ISOLATION_LINK_DOWN;
	world_define_one(w, "low", 0x10);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->isolation[0].control, w->isolation[0].capability, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_ARM_PORT], 2, "and the one that offers no more");
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	world_free(w);
}

static void set_obstacles(struct world *w, uint32_t port, uint32_t obstacles)
{
	w->isolation[port].obstacles = obstacles;
	world_tell_isolation(w, port);
}

/* Proves: an armed port that has come to be a danger is told of at once, and disarmed as soon as that is no danger itself. */
Test(engine_isolation, disarmed_when_it_has_become_a_danger)
{
	struct world *w = running(true);

	set_obstacles(w, 1, ISO_OBSTACLE_PANIC_ON_OOPS);
	world_run(w, WORLD_SECOND);
	cr_assert(world_noted(w, "is armed, and should not be"), "%s", w->trace);
	cr_assert(w->isolation[1].control & ISO_ISOLATION_ENABLE, "it is used: %s", w->trace);
	world_port_request(w, ISO_EVENT_ISOLATE, 1);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_not(w->isolation[1].control & ISO_ISOLATION_ENABLE, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_ARM_PORT], 3, "%s", w->trace);
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_port_request(w, ISO_EVENT_ISOLATE, 1);
	world_run(w, 2 * WORLD_SECOND);
	set_obstacles(w, 1, 0);
	world_run(w, WORLD_SECOND);
	cr_assert(w->isolation[1].control & ISO_ISOLATION_ENABLE, "%s", w->trace);
	world_free(w);
}

/* Proves: what firmware armed is disarmed before anything is made behind it, if it would be a danger. */
Test(engine_isolation, a_danger_of_firmware_s_is_disarmed_before_regions_are_made)
{
	struct world *w = begin(true);

	w->isolation[1].control = w->isolation[1].capability;
	w->isolation[1].obstacles = ISO_OBSTACLE_CPU;
	world_define_one(w, "high", 0x11);
	world_run(w, WORLD_SECOND);
	cr_assert_not(w->isolation[1].control & ISO_ISOLATION_ENABLE, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: where the policy only watches, nothing is written, and it is said all the same. */
Test(engine_isolation, a_danger_is_told_where_nothing_is_armed)
{
	struct world *w = watching();

	w->ports[1].system_ram = true;
	world_run(w, WORLD_SECOND);
	cr_assert(world_noted(w, "is armed, and should not be"), "%s", w->trace);
	cr_assert_not(world_noted(w, "is not armed"), "the other one: %s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_ARM_PORT], 0);
	world_free(w);
}

static void set_source(struct world *w, uint32_t port, uint32_t source)
{
	struct iso_event event = {.kind = ISO_EVENT_ISOLATION_SEEN};

	event.isolation_seen.address = w->ports[port].address;
	event.isolation_seen.isolation.source = source;
	world_step(w, &event);
}

/* Proves: registers that cannot be read are not taken for those of a port that is not armed. */
Test(engine_isolation, what_cannot_be_read_is_not_known)
{
	static const uint32_t sources[] = {ISO_ISOLATION_UNKNOWN, ISO_ISOLATION_LOCKED,
					   ISO_ISOLATION_FAILED};
	struct world *w = watching();
	struct iso_port_view view;
	enum iso_arm_outcome outcome;
	uint32_t obstacles;

	world_run(w, WORLD_SECOND);
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		set_source(w, 1, sources[i]);
		cr_assert(iso_port_get(w->engine, 1, &view));
		cr_assert_not(view.armed_known || view.armed);
		cr_assert(iso_arm_try(w->engine, 1, ISO_ARM_NO, ISO_NONE, &outcome, &obstacles));
		cr_assert_eq(outcome, ISO_ARM_UNKNOWN);
	}
	cr_assert_eq(world_reply(w, ask(w, 1, ISO_ARM_NO, ISO_NONE)), ISO_REPLY_DONE);
	world_run(w, WORLD_SECOND);
	cr_assert(world_noted(w, "may be armed or not: its registers cannot be read"), "%s",
		  w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_ARM_PORT], 0);
	world_tell_isolation(w, 1);
	world_run(w, WORLD_SECOND);
	cr_assert_not(w->isolation[1].control & ISO_ISOLATION_ENABLE, "%s", w->trace);
	set_source(w, 1, ISO_ISOLATION_NONE);
	cr_assert(iso_arm_try(w->engine, 1, ISO_ARM_NO, ISO_NONE, &outcome, &obstacles));
	cr_assert_eq(outcome, ISO_ARM_ALREADY, "it cannot be");
	world_free(w);
}
