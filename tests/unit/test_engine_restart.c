/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon dies at any moment; a new one is told what the store holds and finds the same end. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

/* Proves: a port that an operator took away stays away over a restart, until it is given back. */
Test(engine_restart, isolation_is_kept)
{
	struct world *w = world_pair();

	world_start_vm(w, "web", "high", WORLD_PART);
	world_port_request(w, ISO_EVENT_ISOLATE, 1);
	world_run(w, 5 * WORLD_SECOND);
	world_restart(w);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_ISOLATED, "%s", w->trace);
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	world_restart(w);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_neq(world_domain(w, 1), ISO_DOMAIN_ISOLATED, "%s", w->trace);
	world_free(w);
}

/* Proves: while all is well a restart touches nobody and knows everything again. */
Test(engine_restart, all_is_well)
{
	struct world *w = world_pair();
	uint32_t one = world_start_vm(w, "one", "low", WORLD_PART);
	uint32_t two = world_start_vm(w, "two", "high", WORLD_PART);
	uint32_t created = w->n_effects[ISO_EFFECT_CREATE_REGION];

	world_acquire(w, "granted", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->n_kills, 0);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CREATE_REGION], created);
	cr_assert_eq(world_lease(w, "one").state, ISO_LEASE_ATTACHED);
	cr_assert_eq(world_lease(w, "two").pid, w->processes[two].pid);
	cr_assert_eq(world_lease(w, "granted").state, ISO_LEASE_ACQUIRED);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT - 2 * WORLD_PART);
	cr_assert_eq(iso_incident_count(w->engine), 0);
	world_surprise_down(w, 0); /* and it still knows whom to kill */
	cr_assert_eq(w->processes[one].kills, 1);
	world_free(w);
}

/* Proves: a region defined after the first observation began is not taken for lost. */
Test(engine_restart, observation_overtakes_definitions)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "high", WORLD_PART);

	w->operation_ns = 2; /* the snapshot is there before the leases are restored */
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(w->processes[vm].running);
	cr_assert_eq(w->n_kills, 0, "%s", w->trace);
	world_free(w);
}

/* Proves: the clients' first words are answered before the host has been looked at. */
Test(engine_restart, not_ready)
{
	struct world *w = world_pair();

	world_restart(w);
	cr_assert_eq(world_reply(w, world_acquire(w, "web", "low", WORLD_PART)),
		     ISO_REPLY_NOT_READY);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_UNKNOWN);
	world_free(w);
}

/* Proves: at every moment after a fault a killed daemon makes no difference to the end. */
Test(engine_restart, at_any_moment_of_a_recovery)
{
	uint64_t ms;

	for (ms = 0; ms < 600; ms += 5) {
		struct world *w = world_pair();
		uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
		uint32_t other = world_start_vm(w, "other", "high", WORLD_PART);
		uint64_t request;

		if (ms % 10) /* without somebody above it there is more to interrupt */
			world_exit(w, other);
		world_surprise_down(w, 0);
		world_run(w, ms * WORLD_MS);
		world_restart(w);
		world_run(w, 5 * WORLD_SECOND);
		cr_assert_not(w->processes[vm].running);
		if (w->processes[other].running)
			world_exit(w, other);
		request = world_acquire(w, "web", "low", WORLD_PART);
		world_run(w, 5 * WORLD_SECOND);
		cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%d ms\n%s", (int)ms,
			     w->trace);
		world_attach(w, "web");
		cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_HEALTHY);
		cr_assert_eq(iso_incident_count(w->engine),
			     ms < 200 ? 1 : iso_incident_count(w->engine),
			     "one cause, one incident\n%s", w->trace);
		cr_assert_eq(w->processes[other].kills, 0);
		world_run(w, WORLD_SECOND);
		cr_assert_eq(iso_free_bytes(w->engine), 2 * WORLD_UNIT - WORLD_PART,
			     "nothing leaks");
		world_free(w);
	}
}

/* Proves: the same while a lease is prepared or torn down. */
Test(engine_restart, at_any_moment_of_a_lease)
{
	uint64_t ms;

	for (ms = 0; ms < 160; ms += 4) {
		struct world *w = world_pair();

		world_acquire(w, "web", "low", WORLD_PART);
		world_run(w, (ms < 80 ? ms : 200) * WORLD_MS);
		if (ms >= 80) {
			world_exit(w, world_attach(w, "web"));
			world_run(w, (ms - 80) * WORLD_MS);
		}
		world_restart(w);
		world_run(w, WORLD_SECOND);
		if (world_has_lease(w, "web") && world_lease(w, "web").state == ISO_LEASE_ACQUIRED)
			world_named(w, ISO_EVENT_RELEASE, "web");
		world_run(w, 400 * WORLD_SECOND);
		cr_assert_not(world_has_lease(w, "web"), "%d ms: %s\n%s", (int)ms,
			      iso_lease_state_name(world_lease(w, "web").state), w->trace);
		cr_assert_eq(iso_free_bytes(w->engine), 2 * WORLD_UNIT, "%d ms\n%s", (int)ms,
			     w->trace);
		world_free(w);
	}
}

/* Proves: kills that were sent but not stored are found out by looking. */
Test(engine_restart, killed_before_it_was_stored)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->amnesia = true;
	world_surprise_down(w, 0);
	world_restart(w);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ATTACHED);
	world_run(w, 15 * WORLD_MS);
	cr_assert_eq(w->processes[vm].kills, 2, "killed again, which harms nobody");
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED, "and comes back");
	world_free(w);
}

/* Proves: a recorded kill is repeated when the process still lives, and counted once. */
Test(engine_restart, killed_but_alive)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->processes[vm].stubborn = true;
	world_surprise_down(w, 0);
	world_restart(w);
	cr_assert_eq(w->processes[vm].kills, 2, "in the step that restores it");
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_incident(w, 1).n_killed, 1);
	cr_assert_eq(iso_incident_count(w->engine), 1);
	world_exit(w, vm);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_incident(w, 1).n_exited, 1);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: a VM that was killed and went while nobody looked is counted, and comes back. */
Test(engine_restart, exit_unseen)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->processes[vm].stubborn = true;
	world_surprise_down(w, 0);
	w->processes[vm].running = false;
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_incident(w, 1).n_exited, 1);
	cr_assert_gt(world_incident(w, 1).contained_ns, 0);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	world_free(w);
}

/* Proves: a VM that ended by itself while we were down is a clean exit. */
Test(engine_restart, clean_exit_unseen)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->processes[vm].running = false;
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_eq(iso_incident_count(w->engine), 0);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	world_free(w);
}

/* Proves: a region lost while we were down kills what stands on it as soon as that is seen. */
Test(engine_restart, region_gone_while_down)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
	uint32_t other = world_start_vm(w, "other", "high", WORLD_PART);

	kernel_surprise_down(w, 0);
	world_restart(w);
	world_run(w, 15 * WORLD_MS);
	cr_assert_eq(w->processes[vm].kills, 1, "%s", w->trace);
	cr_assert_eq(w->processes[other].kills, 0);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_WAITING);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_WAITING);
	world_free(w);
}

/* Proves: the incident's numbers go on, and an incident on a unit that is away finds its domain. */
Test(engine_restart, incident_goes_on)
{
	struct world *w = world_pair();
	uint64_t contained_ns;

	world_start_vm(w, "web", "low", WORLD_PART);
	world_unplug(w, 0);
	world_run(w, WORLD_SECOND);
	contained_ns = world_incident(w, 1).contained_ns;
	world_restart(w);
	world_run(w, WORLD_SECOND);
	cr_assert(world_incident(w, 1).open);
	cr_assert_eq(world_incident(w, 1).contained_ns, contained_ns, "it was then, not now");
	cr_assert_eq(world_count_notes(w, "contained, 1 killed"), 1, "%s", w->trace);
	cr_assert_eq(world_region(w, "low").wait, ISO_WAIT_MEMDEV);
	kernel_plug(w, 0);
	world_changed(w);
	world_run(w, WORLD_SECOND);
	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_attach(w, "web");
	cr_assert_not(world_incident(w, 1).open, "%s", w->trace);
	world_surprise_down(w, 0);
	cr_assert(world_incident(w, 2).open);
	world_free(w);
}

static void run_to_hand_over(struct world *w)
{
	uint32_t asked = w->n_effects[ISO_EFFECT_HAND_OVER], i;

	for (i = 0; i < 1000 && w->n_effects[ISO_EFFECT_HAND_OVER] == asked; i++)
		world_run(w, WORLD_MS);
	cr_assert_neq(w->n_effects[ISO_EFFECT_HAND_OVER], asked);
}

/* Proves: from the moment a VM may have its memory a start knows of it, whatever was written last. */
Test(engine_restart, memory_is_known_before_it_is_handed_over)
{
	struct world *w = world_pair();
	uint32_t vm;

	world_acquire(w, "web", "low", WORLD_PART);
	run_to_hand_over(w);
	w->amnesia = true; /* nothing that is saved from here on reaches the disk */
	world_run(w, WORLD_SECOND);
	vm = world_attach(w, "web");
	cr_assert_neq(vm, ISO_NONE);
	world_restart(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").n_instances, 1, "%s", w->trace);
	world_surprise_down(w, 0);
	cr_assert_eq(w->processes[vm].kills, 1, "%s", w->trace);
	world_free(w);
}

/* Proves: who was about to be handed its memory when the daemon died is still served before the next. */
Test(engine_restart, hand_over_cut_short)
{
	struct world *w = world_pair();
	uint64_t first, second;

	world_acquire(w, "first", "low", WORLD_UNIT);
	world_acquire(w, "second", "low", WORLD_UNIT);
	run_to_hand_over(w);
	world_restart(w);
	world_run(w, WORLD_SECOND);
	second = world_acquire(w, "second", "low", WORLD_UNIT);
	first = world_acquire(w, "first", "low", WORLD_UNIT);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, first), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_eq(world_reply(w, second), ISO_REPLY_WAITING);
	world_free(w);
}

/* Proves: a VM that came back is not taken for the one that was killed when its attach was not stored. */
Test(engine_restart, came_back_unstored)
{
	struct world *w = world_pair();
	uint32_t vm;

	world_start_vm(w, "web", "low", WORLD_PART);
	world_unplug(w, 0);
	world_run(w, WORLD_SECOND);
	kernel_plug(w, 0);
	world_changed(w);
	world_run(w, WORLD_SECOND);
	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	w->amnesia = true;
	vm = world_attach(w, "web");
	world_restart(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 0, "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ATTACHED);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_HEALTHY, "%s", world_reason(w, 0));
	world_free(w);
}

/* Proves: two stored leases that claim one device do not cost the newer one its VM. */
Test(engine_restart, stale_claim)
{
	struct world *w = world_pair();
	uint32_t one = world_start_vm(w, "one", "low", WORLD_PART), two;

	world_plan(w, ISO_EFFECT_REMOVE)->lost = true; /* done, but nobody hears of it */
	world_exit(w, one);
	world_run(w, WORLD_SECOND);
	two = world_start_vm(w, "two", "low", WORLD_PART);
	cr_assert_str_eq(w->stored.leases[0].terms.name, "one");
	cr_assert_eq(w->stored.leases[0].n_parts, 0);
	world_restart(w);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(w->processes[two].kills, 0);
	cr_assert_not(world_has_lease(w, "one"), "%s", w->trace);
	world_free(w);
}

/* Proves: what a creation that was cut short left behind is found and cleared. */
Test(engine_restart, half_made_region)
{
	struct world *w = world_pair();
	struct world_plan *plan;

	world_run(w, WORLD_SECOND);
	plan = world_plan(w, ISO_EFFECT_CREATE_REGION);
	plan->leftover = plan->lost = true;
	plan->error = -5;
	w->objects_vanish = true;
	world_surprise_down(w, 1);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_CREATING);
	for (uint32_t i = 0; i < w->stored.n_regions; i++)
		w->stored.regions[i].creation_interrupted = true; /* an intent without an outcome */
	world_restart(w);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").range.start.v,
		     world_region(w, "low").range.start.v + WORLD_UNIT, "nothing eats the window");
	world_free(w);
}

/* Proves: nothing is left over of a region's very first creation either, when the daemon dies in it. */
Test(engine_restart, half_made_for_the_first_time)
{
	struct world *w = world_new();
	struct world_plan *plan;
	uint32_t i;

	world_simple_bridge(w, 1, 0x10);
	plan = world_plan(w, ISO_EFFECT_CREATE_REGION);
	plan->leftover = plan->lost = true;
	plan->error = -5;
	world_define_one(w, "low", 0x10);
	for (i = 0; i < 1000 && !w->n_effects[ISO_EFFECT_CREATE_REGION]; i++)
		world_run(w, WORLD_MS);
	world_run(w, 10 * WORLD_MS);
	cr_assert(w->objects[0].used, "something was left");
	world_restart(w);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	world_check_rest(w);
	world_free(w);
}

/* Proves: stored nonsense is left out and does no harm. */
Test(engine_restart, nonsense)
{
	struct world *w = world_pair();
	struct iso_restore_lease lease = {.terms = {.name = "../x"}, .n_parts = 99};
	struct iso_restore_region region = {.definition = {.name = "gone", .ways = 5}};
	struct iso_event event = {.kind = ISO_EVENT_RESTORE_LEASE, .restore_lease = &lease};

	world_step(w, &event);
	cr_assert_not(world_has_lease(w, "../x"));
	strcpy(lease.terms.name, "web");
	strcpy(lease.parts[0].region, "nowhere");
	world_step(w, &event);
	world_step(w, &event); /* twice */
	cr_assert_eq(world_lease(w, "web").n_instances, 0);
	event.kind = ISO_EVENT_RESTORE_REGION;
	event.restore_region = &region;
	world_step(w, &event);
	region.from_operator = true;
	world_step(w, &event);
	cr_assert_eq(iso_region_find(w->engine, "gone"), ISO_NONE);
	world_free(w);
}

/* Proves: a number that another region had before does not keep a region from being recognised. */
Test(engine_restart, number_used_again)
{
	struct world *w = world_pair();
	uint32_t i, created = w->n_effects[ISO_EFFECT_CREATE_REGION];

	world_define(w, "gone", 2, (uint64_t[]){0x98, 0x99});
	for (i = 0; i < w->stored.n_regions; i++)
		w->stored.regions[i].kernel_id = ISO_NONE;
	w->stored.regions[w->stored.n_regions++] = (struct iso_restore_region){
		.definition = {.name = "gone", .ways = 2, .serials = {0x98, 0x99}},
		.kernel_id = world_region(w, "low").kernel_id,
	};
	world_restart(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CREATE_REGION], created);
	world_free(w);
}

/* Proves: a VM that went together with its region while we were down is a victim and may come back. */
Test(engine_restart, vm_and_region_gone_while_down)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	kernel_surprise_down(w, 0);
	w->processes[vm].running = false; /* of SIGBUS */
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED, "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").incident, 1);
	cr_assert_eq(w->n_kills, 0);
	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_attach(w, "web");
	cr_assert_not(world_incident(w, 1).open);
	world_free(w);
}

/* Proves: a region that the operator made is known again, one that left the configuration is not. */
Test(engine_restart, regions_of_the_operator)
{
	struct world *w = world_pair();
	struct iso_event event = {.kind = ISO_EVENT_REGION_DEFINE};

	world_named(w, ISO_EVENT_REGION_DESTROY, "high");
	world_run(w, WORLD_SECOND);
	strcpy(event.define.definition.name, "mine");
	event.define.definition.ways = 1;
	event.define.definition.serials[0] = 0x11;
	event.define.from_operator = true;
	world_step(w, &event);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "mine").state, ISO_REGION_LIVE);
	w->n_defined = 0; /* nothing is configured any more */
	world_restart(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "mine").state, ISO_REGION_LIVE);
	cr_assert(world_region(w, "mine").from_operator);
	cr_assert_eq(iso_region_find(w->engine, "low"), ISO_NONE);
	world_free(w);
}

/* Proves: a region that is given up before the first look after a start is cleared, not forgotten. */
Test(engine_restart, destroyed_before_it_was_seen)
{
	struct world *w = world_pair();
	uint32_t o, n = 0;

	w->n_defined = 1; /* "high" is an operator's: no configuration makes it anew */
	world_restart(w);
	world_define_one(w, "high", 0x11);
	world_named(w, ISO_EVENT_REGION_DESTROY, "high");
	world_run(w, 5 * WORLD_SECOND);
	for (o = 0; o < WORLD_OBJECTS; o++)
		n += w->objects[o].used;
	cr_assert_eq(n, 1, "%s", w->trace);
	cr_assert_eq(iso_region_find(w->engine, "high"), ISO_NONE);
	world_free(w);
}

/* Proves: a fault told before the first look is kept until then, and kills then as its record says. */
Test(engine_restart, fault_before_the_first_look)
{
	struct world *w = world_pair();
	uint32_t web = world_start_vm(w, "web", "low", WORLD_PART);
	uint32_t other = world_start_vm(w, "other", "high", WORLD_PART);
	uint64_t record_ns, i;

	world_restart(w);
	record_ns = w->now_ns - 1;
	for (i = 0; i < 500; i++)
		world_fault_port(w, 0, ISO_CAUSE_FATAL_ERROR);
	cr_assert_eq(w->n_kills, 0);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[web].kills, 1, "%s%s", w->trace, w->broken);
	cr_assert_eq(w->processes[other].kills, 0);
	cr_assert_eq(world_incident(w, 1).cause, ISO_CAUSE_FATAL_ERROR);
	cr_assert_eq(world_incident(w, 1).record_ns, record_ns);
	cr_assert_eq(iso_incident_count(w->engine), 1);
	cr_assert_not(world_noted(w, "found no room"));
	world_free(w);
}

/* Proves: what the first look finds gone is of the unit, cause and time of the record that came before. */
Test(engine_restart, loss_before_the_first_look)
{
	struct world *w = world_pair();
	uint32_t web = world_start_vm(w, "web", "low", WORLD_PART);
	uint64_t record_ns;

	kernel_surprise_down(w, 0);
	world_restart(w);
	record_ns = w->now_ns - 1;
	world_fault_port(w, 0, ISO_CAUSE_SURPRISE_DOWN);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[web].kills, 1, "%s%s", w->trace, w->broken);
	cr_assert_eq(world_incident(w, 1).cause, ISO_CAUSE_SURPRISE_DOWN);
	cr_assert_str_eq(world_incident(w, 1).unit, "hb0/00.0");
	cr_assert_eq(world_incident(w, 1).record_ns, record_ns);
	world_free(w);
}

/* Proves: a record that is told again after a restart harms nobody who came since. */
Test(engine_restart, old_fault_again)
{
	struct world *w = world_pair();
	struct iso_event event = {.kind = ISO_EVENT_FAULT};
	uint32_t web;

	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_SURPRISE_DOWN;
	event.fault.address = w->ports[0].address;
	event.fault.record_ns = w->now_ns;
	world_run(w, WORLD_SECOND);
	web = world_start_vm(w, "web", "low", WORLD_PART);
	world_restart(w);
	world_step(w, &event);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[web].kills, 0, "%s%s", w->trace, w->broken);
	cr_assert_eq(iso_incident_count(w->engine), 0);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	world_free(w);
}
