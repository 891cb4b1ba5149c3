/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* After the kills: capacity and VMs come back, or it is said what stands in the way. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

/* Proves: killed VMs come back in the order in which they first asked, on new instances. */
Test(engine_recovery, fairness_order)
{
	static const char *const names[] = {"first", "second", "third", "fourth"};
	struct world *w = world_pair();
	uint64_t requests[4], epoch;
	uint32_t i;

	for (i = 0; i < 4; i++)
		world_start_vm(w, names[i], "low", WORLD_PART);
	epoch = world_region(w, "low").epoch;
	w->reset_ns = WORLD_SECOND;
	world_surprise_down(w, 0);
	for (i = 4; i-- > 0;) { /* their launchers come back the other way round */
		world_run(w, 60 * WORLD_MS);
		requests[i] =
			world_acquire(w, names[i], "low", 2 * WORLD_PART); /* half as many fit */
		cr_assert_eq(world_reply(w, requests[i]), ISO_REPLY_WAITING);
	}
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").epoch, epoch + 1);
	cr_assert_eq(world_reply(w, requests[0]), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_eq(world_reply(w, requests[1]), ISO_REPLY_DONE);
	cr_assert_eq(world_reply(w, requests[2]), ISO_REPLY_WAITING);
	cr_assert_eq(world_reply(w, requests[3]), ISO_REPLY_WAITING);
	cr_assert(world_incident(w, 1).open);
	cr_assert_neq(world_attach(w, "first"), ISO_NONE);
	world_free(w);
}

/* Proves: the incident closes when the victims run again, not before. */
Test(engine_recovery, closes_when_they_run)
{
	struct world *w = world_pair();
	struct iso_incident_view incident;

	world_start_vm(w, "web", "low", WORLD_PART);
	world_surprise_down(w, 0);
	world_run(w, WORLD_SECOND);
	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	cr_assert(world_incident(w, 1).open);
	cr_assert_str_eq(world_reason(w, 0), "its VMs are coming back");
	world_attach(w, "web");
	incident = world_incident(w, 1);
	cr_assert_not(incident.open);
	cr_assert_eq(incident.recovered_ns, w->now_ns);
	cr_assert_eq(incident.capacity_after_bytes, incident.capacity_before_bytes);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_HEALTHY);
	cr_assert_eq(world_lease(w, "web").incident, 0);
	world_free(w);
}

/* Proves: capacity is kept for a victim whose client is not back yet, until it had its time. */
Test(engine_recovery, kept_for_the_victim)
{
	struct world *w = world_pair();
	uint64_t other, victim;

	world_start_vm(w, "victim", "low", WORLD_UNIT);
	other = world_acquire(w, "other", "low", WORLD_UNIT);
	world_surprise_down(w, 0);
	world_run(w, 100 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	cr_assert_eq(world_reply(w, other), ISO_REPLY_WAITING);
	victim = world_acquire(w, "victim", "low", WORLD_UNIT);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, victim), ISO_REPLY_DONE);
	world_exit(w, world_attach(w, "victim"));
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, other), ISO_REPLY_DONE);
	world_free(w);
}

/* Proves: victims that exit one after another are verified together, and one that does not exit holds up nobody. */
Test(engine_recovery, one_walk_for_all_victims)
{
	uint32_t stubborn;

	for (stubborn = 0; stubborn < 2; stubborn++) {
		struct world *w = world_pair();
		uint32_t vms[3], i;

		for (i = 0; i < 3; i++) {
			char name[8];

			snprintf(name, sizeof(name), "vm%u", i);
			vms[i] = world_start_vm(w, name, "low", WORLD_PART);
			w->processes[vms[i]].stubborn = true;
		}
		world_surprise_down(w, 0);
		for (i = stubborn; i < 3; i++) {
			world_run(w, 20 * WORLD_MS);
			world_exit(w, vms[i]);
		}
		cr_assert_leq(w->n_effects[ISO_EFFECT_VERIFY], 3 - stubborn);
		cr_assert_eq(world_lease(w, "vm2").state, ISO_LEASE_VERIFYING);
		world_run(w, (stubborn ? 150 : 30) * WORLD_MS);
		cr_assert_eq(world_lease(w, "vm1").state, ISO_LEASE_WAITING, "%s", w->trace);
		cr_assert_eq(world_lease(w, "vm2").state, ISO_LEASE_WAITING, "%s", w->trace);
		world_free(w);
	}
}

/* Proves: a wish to come back that no client takes up ends, and with it the incident. */
Test(engine_recovery, wish_without_client)
{
	struct world *w = world_pair();

	world_start_vm(w, "web", "low", WORLD_PART);
	world_surprise_down(w, 0);
	world_run(w, 250 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	cr_assert(world_incident(w, 1).open);
	world_run(w, 100 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"));
	cr_assert_not(world_incident(w, 1).open);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_HEALTHY);
	world_free(w);
}

/* Proves: a lease without the wish ends with its VM. */
Test(engine_recovery, no_wish)
{
	struct world *w = world_pair();
	struct iso_acquire terms = {.name = "web", .uid = 1, .n_parts = 1, .wait = true};

	terms.parts[0].bytes = WORLD_PART;
	world_acquire_terms(w, &terms);
	world_run(w, WORLD_SECOND);
	world_surprise_down(w, w->dax[w->processes[world_attach(w, "web")].maps[0]].object);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_not(world_incident(w, 1).open);
	world_free(w);
}

/* Proves: a launcher that gives up after the kill takes its wish along. */
Test(engine_recovery, client_withdraws)
{
	struct world *w = world_pair();

	world_start_vm(w, "web", "low", WORLD_PART);
	world_unplug(w, 0);
	world_run(w, WORLD_SECOND);
	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_named(w, ISO_EVENT_WITHDRAW, "web");
	cr_assert_not(world_has_lease(w, "web"));
	kernel_plug(w, 0);
	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(world_incident(w, 1).open);
	world_free(w);
}

/* Proves: a victim on its way back that is hit again, elsewhere, belongs to the new incident. */
Test(engine_recovery, hit_again_elsewhere)
{
	struct world *w = world_new();
	struct iso_region_view region;
	uint32_t i;

	world_simple_bridge(w, 1, 0x10);
	world_simple_bridge(w, 1, 0x20);
	world_define_one(w, "a", 0x10);
	world_define_one(w, "b", 0x20);
	world_run(w, WORLD_SECOND);
	world_start_vm(w, "web", "", WORLD_PART);
	for (i = 0; i < 2; i++) {
		struct iso_instance_view instance;

		cr_assert(
			iso_instance_get(w->engine, world_lease(w, "web").instances[0], &instance));
		cr_assert(iso_region_get(w->engine, instance.region, &region));
		world_unplug(w, !strcmp(region.definition->name, "a") ? 0 : 1);
		world_run(w, WORLD_SECOND);
		if (i == 0) {
			world_acquire(w, "web", "", WORLD_PART);
			world_run(w, WORLD_SECOND);
			cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
		}
	}
	cr_assert_eq(world_lease(w, "web").incident, 2);
	kernel_plug(w, 0);
	kernel_plug(w, 1);
	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(world_incident(w, 1).open, "%s", w->trace);
	cr_assert(world_incident(w, 2).open);
	world_acquire(w, "web", "", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_attach(w, "web");
	cr_assert_not(world_incident(w, 2).open);
	world_free(w);
}

/* Proves: a failed creation is tried again with growing pauses and works in the end. */
Test(engine_recovery, creation_fails_then_works)
{
	struct world *w = world_pair();

	w->objects_vanish = true; /* nothing is left to refill */
	world_fail(w, ISO_EFFECT_CREATE_REGION, 1, 3, -EIO);
	world_surprise_down(w, 1);
	world_run(w, 600 * WORLD_MS);
	cr_assert_eq(world_region(w, "high").wait, ISO_WAIT_RETRY, "%s", w->trace);
	cr_assert_str_eq(world_region(w, "high").reason, "planned failure of create-region");
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	cr_assert_str_empty(world_region(w, "high").reason);
	cr_assert(world_noted(
		w, "failed: region high: attempt 3 failed: planned failure of create-region"));
	world_free(w);
}

/* Proves: after so many failures in a row a region is given up with the reason, until somebody says recover. */
Test(engine_recovery, quarantine)
{
	for (uint32_t leftover = 0; leftover < 2; leftover++) {
		struct world *w = world_pair();
		struct world_plan *plan = world_plan(w, ISO_EFFECT_CREATE_REGION);
		uint32_t attempts = w->policy.attempts,
			 tried = w->n_effects[ISO_EFFECT_CREATE_REGION];

		w->objects_vanish = true;
		*plan = (struct world_plan){.kind = ISO_EFFECT_CREATE_REGION,
					    .nth = 1,
					    .times = 1000,
					    .error = -EIO,
					    .leftover = leftover};
		world_surprise_down(w, 1);
		world_run(w, 300 * WORLD_SECOND);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_QUARANTINED, "%s", w->trace);
		cr_assert_eq(w->n_effects[ISO_EFFECT_CREATE_REGION], tried + attempts);
		cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_QUARANTINED);
		cr_assert_str_eq(world_reason(w, 1),
				 "region high given up: planned failure of create-region");
		cr_assert(world_incident(w, 1).open);
		plan->times = 0;
		world_run(w, 60 * WORLD_SECOND);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_QUARANTINED);
		world_port_request(w, ISO_EVENT_RECOVER, 1);
		world_run(w, 5 * WORLD_SECOND);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
		cr_assert_not(world_incident(w, 1).open);
		world_free(w);
	}
}

/* Proves: the same for what cannot be cleared. */
Test(engine_recovery, clearing_fails)
{
	struct world *w = world_pair();

	world_fail(w, ISO_EFFECT_REFILL_REGION, 1, 2, -EINVAL); /* which would need no clearing */
	world_fail(w, ISO_EFFECT_CLEAR_REGION, 1, 2, -EIO);
	world_surprise_down(w, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_fail(w, ISO_EFFECT_CLEAR_REGION, 1, w->policy.attempts, -EIO);
	world_surprise_down(w, 1);
	world_run(w, 300 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_QUARANTINED);
	cr_assert_eq(world_reply(w, world_named(w, ISO_EVENT_REGION_DESTROY, "high")),
		     ISO_REPLY_DONE);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(iso_region_find(w->engine, "high"), ISO_NONE, "destroyed all the same");
	world_free(w);
}

/* Proves: isolating a port kills its VMs, lets the device go, and nothing comes back before recover. */
Test(engine_recovery, isolate_and_recover)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "high", WORLD_PART);
	uint64_t request = world_port_request(w, ISO_EVENT_ISOLATE, 1);

	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE);
	cr_assert_eq(w->processes[vm].kills, 1, "in the same step");
	cr_assert_eq(world_incident(w, 1).cause, ISO_CAUSE_OPERATOR);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_ISOLATED);
	cr_assert_str_eq(world_reason(w, 1), "held by an operator until `recover`");
	cr_assert_not(w->memdevs[1].plugged);
	cr_assert_eq(world_region(w, "high").wait, ISO_WAIT_OPERATOR);
	cr_assert_eq(world_reply(w, world_port_request(w, ISO_EVENT_ISOLATE, 1)),
		     ISO_REPLY_ALREADY);
	cr_assert_eq(world_reply(w, world_port_request(w, ISO_EVENT_RECOVER, 1)), ISO_REPLY_DONE);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_acquire(w, "web", "high", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_attach(w, "web");
	cr_assert_not(world_incident(w, 1).open);
	world_free(w);
}

/* Proves: a port with nothing on it can be held as well, and says so. */
Test(engine_recovery, isolate_an_empty_port)
{
	struct world *w = world_pair();
	struct iso_port_view view;

	world_port(w, ISO_PORT_ROOT, 0, ISO_NONE);
	world_changed(w);
	world_run(w, WORLD_SECOND);
	world_port_request(w, ISO_EVENT_ISOLATE, 2);
	cr_assert_eq(world_domain(w, 2), ISO_DOMAIN_ISOLATED);
	cr_assert(iso_port_get(w->engine, 2, &view) && view.held);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_DETACH_PORT], 1);
	world_port_request(w, ISO_EVENT_RECOVER, 2);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_domain(w, 2), ISO_DOMAIN_HEALTHY);
	cr_assert_eq(iso_incident_count(w->engine), 0);
	world_free(w);
}

/* Proves: ports that nobody knows are answered. */
Test(engine_recovery, unknown_port)
{
	struct world *w = world_pair();
	struct iso_event event = {.kind = ISO_EVENT_ISOLATE};

	strcpy(event.port.port, "hb9/00.0");
	event.port.request = w->request++;
	world_step(w, &event);
	cr_assert_eq(world_reply(w, event.port.request), ISO_REPLY_NO_SUCH_NAME);
	event.kind = ISO_EVENT_RECOVER;
	event.port.request = w->request++;
	world_step(w, &event);
	cr_assert_eq(world_reply(w, event.port.request), ISO_REPLY_NO_SUCH_NAME);
	world_free(w);
}

/* Proves: a fault while a region is being made again does not end in a region on nothing. */
Test(engine_recovery, fault_in_mid_recovery)
{
	uint64_t ms;

	for (ms = 0; ms < 400; ms += 7) {
		struct world *w = world_pair();

		world_start_vm(w, "web", "high", WORLD_PART);
		world_surprise_down(w, 1);
		world_run(w, ms * WORLD_MS);
		world_surprise_down(w, 1);
		world_run(w, 10 * WORLD_SECOND);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%d ms\n%s", (int)ms,
			     w->trace);
		cr_assert(w->objects[world_region(w, "high").kernel_id].committed);
		world_free(w);
	}
}

/* Proves: an orphan is removed only once nobody maps it. */
Test(engine_recovery, orphan)
{
	struct world *w = world_pair();
	uint32_t x, stranger;

	world_start_vm(w, "web", "low", WORLD_PART);
	stranger = world_stranger(w, "web");
	x = w->processes[stranger].maps[0];
	w->stored.n_leases = 0; /* the store has lost the lease */
	w->processes[0].running = false;
	world_restart(w);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert(w->dax[x].exists);
	cr_assert(world_noted(w, "belongs to no lease but process "), "%s", w->trace);
	world_exit(w, stranger);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(w->dax[x].exists);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	world_free(w);
}

/* Proves: an orphan on a region that is lost holds up the clearing while it is mapped. */
Test(engine_recovery, orphan_on_lost_region)
{
	struct world *w = world_pair();
	uint32_t stranger;

	world_start_vm(w, "web", "high", WORLD_PART);
	stranger = world_stranger(w, "web");
	w->stored.n_leases = 0;
	w->processes[0].running = false;
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	world_surprise_down(w, 1);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LOST);
	world_exit(w, stranger);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: a memdev that the kernel's own recovery left unbound is looked for, and comes back. */
Test(engine_recovery, left_unbound)
{
	struct world *w = world_pair();

	w->recovery_fails = true;
	world_surprise_down(w, 1);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_RESCAN_PORT], 1);
	world_fail(w, ISO_EFFECT_RESCAN_PORT, 1, 3, -EIO);
	world_surprise_down(w, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(strstr(world_reason(w, 1), "is not bound to its driver"), "%s",
		  world_reason(w, 1));
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_RESCAN_PORT], 5);
	world_free(w);
}

/* Proves: no region is made on a memdev that a rescan may still take away, though it is bound already. */
Test(engine_recovery, enumerated_anew)
{
	struct world *w = world_pair();
	struct world_plan *plan = world_plan(w, ISO_EFFECT_RESCAN_PORT);

	plan->nth = plan->times = 1;
	plan->late_ns = 5 * WORLD_SECOND;
	w->recovery_fails = true;
	world_surprise_down(w, 1);
	while (!w->n_effects[ISO_EFFECT_RESCAN_PORT])
		world_run(w, 100 * WORLD_MS);
	w->n_effects[ISO_EFFECT_REFILL_REGION] = w->n_effects[ISO_EFFECT_CREATE_REGION] = 0;
	world_run(w, 3 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_REFILL_REGION], 0, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CREATE_REGION], 0);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: what has just come is given the time to be bound, and only then enumerated anew. */
Test(engine_recovery, newcomer_is_given_time)
{
	struct world *w = world_pair();

	world_unplug(w, 1);
	world_run(w, 2 * WORLD_SECOND);
	kernel_plug(w, 1);
	w->memdevs[1].unbound = true;
	world_changed(w);
	world_run(w, WORLD_SECOND / 2);
	cr_assert_eq(w->n_effects[ISO_EFFECT_RESCAN_PORT], 0, "%s", w->trace);
	w->memdevs[1].unbound = false;
	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_RESCAN_PORT], 0, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);

	world_unplug(w, 1);
	world_run(w, 2 * WORLD_SECOND);
	kernel_plug(w, 1);
	w->memdevs[1].unbound = true;
	world_changed(w);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_RESCAN_PORT], 1, "%s", w->trace);
	cr_assert(world_noted(w, "is being enumerated anew"), "%s", w->trace);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: of two that are lost together the upper one waits until a rescan has brought back the lower one's memdev. */
Test(engine_recovery, left_unbound_below_another)
{
	struct world *w = world_pair();
	uint64_t low, high;

	world_start_vm(w, "a", "low", WORLD_PART);
	world_start_vm(w, "b", "high", WORLD_PART);
	low = world_region(w, "low").range.start.v;
	high = world_region(w, "high").range.start.v;
	w->recovery_fails = true;
	world_surprise_down(w, 0);
	w->recovery_fails = false;
	world_surprise_down(w, 1);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_RESCAN_PORT], 1, "%s", w->trace);
	cr_assert_eq(world_region(w, "low").range.start.v, low, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").range.start.v, high, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CLEAR_REGION], 0);
	cr_assert_not(world_noted(w, "waits for tenants above it"), "%s", w->trace);
	world_free(w);
}

/* Proves: one that no rescan brings back is not waited for by those above it. */
Test(engine_recovery, left_unbound_for_ever_below_another)
{
	struct world *w = world_pair();

	world_start_vm(w, "b", "high", WORLD_PART);
	w->recovery_fails = true;
	world_surprise_down(w, 0);
	w->recovery_fails = false;
	world_fail(w, ISO_EFFECT_RESCAN_PORT, 1, 1000, -EIO);
	world_surprise_down(w, 1);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_lease(w, "b").state, ISO_LEASE_ACQUIRED);
	cr_assert(strstr(world_reason(w, 0), "is not bound to its driver"), "%s",
		  world_reason(w, 0));
	world_free(w);
}

/* Proves: by policy nothing is made again before a person says so, and containment does not wait. */
Test(engine_recovery, waits_for_operator)
{
	struct iso_limits limits = {8, 32, 32, 8, 24, 48, 48, 96, 16, 12};
	struct iso_policy policy;
	struct world *w;
	uint32_t vm;

	iso_policy_default(&policy);
	policy.waits_for_operator = true;
	w = world_new_with(&limits, &policy);
	world_simple_bridge(w, 2, 0x10);
	world_define_one(w, "a", 0x10);
	world_run(w, WORLD_SECOND);
	vm = world_start_vm(w, "web", "a", WORLD_PART);
	world_surprise_down(w, 0);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_not(w->processes[vm].running);
	cr_assert_gt(world_incident(w, 1).contained_ns, 0);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_ABSENT);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_ISOLATED);
	world_port_request(w, ISO_EVENT_RECOVER, 0);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/*
 * Proves: what a failed creation left is found also under a number that another region is just
 * giving up, and whose end is heard of late.
 */
Test(engine_recovery, leftover_with_the_number_of_one_that_is_cleared)
{
	struct world *w = world_new();
	struct world_plan *plan;

	world_simple_bridge(w, 1, 0x10);
	world_simple_bridge(w, 1, 0x20);
	world_define_one(w, "one", 0x10);
	world_define_one(w, "two", 0x20);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "one").kernel_id, 0);
	w->objects_vanish = true;
	kernel_unplug(w, 1);
	world_changed(w);
	world_run(w, 2 * WORLD_SECOND);
	world_plan(w, ISO_EFFECT_CLEAR_REGION)->late_ns = 50 * WORLD_SECOND;
	world_named(w, ISO_EVENT_REGION_DESTROY, "one");
	world_run(w, WORLD_SECOND);
	plan = world_plan(w, ISO_EFFECT_CREATE_REGION);
	plan->leftover = true;
	plan->error = -EIO;
	kernel_plug(w, 1);
	world_changed(w);
	world_run(w, WORLD_SECOND);
	cr_assert(w->objects[0].used, "something was left: %s", w->trace);
	world_run(w, 100 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "two").state, ISO_REGION_LIVE, "%s", w->trace);
	world_check_rest(w);
	world_free(w);
}
