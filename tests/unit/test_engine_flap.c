/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports that come back and go again; tenants that make way in the decoder order. */
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

static struct world *flapping_pair(uint32_t losses)
{
	struct world *w = world_pair();

	w->policy.flap_losses = losses;
	world_restart(w);
	world_run(w, WORLD_SECOND);
	return w;
}

/* Proves: the loss that is one too many within the window keeps the port away, until an operator trusts it again. */
Test(engine_flap, quarantined_and_recovered)
{
	struct world *w = flapping_pair(3);
	uint32_t i;

	for (i = 0; i < 3; i++) {
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "after %u losses", i);
		world_surprise_down(w, 1);
		world_run(w, 10 * WORLD_SECOND);
	}
	cr_assert_eq(world_region(w, "high").wait, ISO_WAIT_FLAPPING, "%s", w->trace);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_QUARANTINED);
	cr_assert(strstr(world_reason(w, 1), "flapping: lost too often within"), "%s",
		  world_reason(w, 1));
	cr_assert(strstr(world_reason(w, 1), "`daxmgrctl recover"), "%s", world_reason(w, 1));
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "its neighbour goes on");
	cr_assert(world_incident(w, 3).open);
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	cr_assert_not(world_incident(w, 3).open);
	world_surprise_down(w, 1);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "the count began anew");
	world_free(w);
}

static void inject_loss(struct world *w, uint32_t port)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT};

	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_SURPRISE_DOWN;
	event.fault.address = w->ports[port].address;
	event.fault.record_ns = w->now_ns;
	event.fault.synthetic = true;
	kernel_condemn(w, port);
	world_step(w, &event);
}

/* Proves: drills are no flapping; a loss of the hardware in the middle of one makes its incident a real one. */
Test(engine_flap, injected)
{
	struct world *w = flapping_pair(2);
	uint32_t i;

	for (i = 0; i < 4; i++) {
		inject_loss(w, 1);
		cr_assert(world_incident(w, i + 1).synthetic);
		world_run(w, 10 * WORLD_SECOND);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
		cr_assert_not(world_incident(w, i + 1).open);
	}
	inject_loss(w, 1);
	world_surprise_down(w, 1);
	cr_assert(world_incident(w, 5).open);
	cr_assert_not(world_incident(w, 5).synthetic);
	world_free(w);
}

/* Proves: losses that are far enough apart are no flapping; nor are an operator's. */
Test(engine_flap, far_apart)
{
	struct world *w = flapping_pair(2);
	uint32_t i;

	for (i = 0; i < 4; i++) {
		world_surprise_down(w, 1);
		world_run(w, w->policy.flap_window_ns + 10 * WORLD_SECOND);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	}
	for (i = 0; i < 4; i++) {
		world_port_request(w, ISO_EVENT_ISOLATE, 1);
		world_run(w, 2 * WORLD_SECOND);
		world_port_request(w, ISO_EVENT_RECOVER, 1);
		world_run(w, 5 * WORLD_SECOND);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	}
	world_free(w);
}

/* Proves: a restart of the daemon forgets neither that a port is kept away nor why. */
Test(engine_flap, restart)
{
	struct world *w = flapping_pair(1);

	world_surprise_down(w, 1);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_QUARANTINED);
	world_restart(w);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_QUARANTINED, "%s", world_reason(w, 1));
	cr_assert(strstr(world_reason(w, 1), "flapping"));
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	world_free(w);
}

static void lose_and_restart(struct world *w, uint32_t times)
{
	for (uint32_t i = 0; i < times; i++) {
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
		world_surprise_down(w, 1);
		world_restart(w);
		world_run(w, 10 * WORLD_SECOND);
	}
}

/* Proves: losses count over restarts of the daemon, in between and in their midst, each once. */
Test(engine_flap, losses_over_restarts)
{
	struct world *w = flapping_pair(3);

	lose_and_restart(w, 2);
	cr_assert_neq(world_region(w, "high").wait, ISO_WAIT_FLAPPING, "two are not too many");
	lose_and_restart(w, 1);
	cr_assert_eq(world_region(w, "high").wait, ISO_WAIT_FLAPPING, "%s", w->trace);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_QUARANTINED);
	world_free(w);
}

/* Proves: what an operator trusts again stays trusted over a restart, also if it was not held yet. */
Test(engine_flap, forgotten_over_a_restart)
{
	struct world *w = flapping_pair(3);

	lose_and_restart(w, 2);
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	lose_and_restart(w, 2);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	lose_and_restart(w, 1);
	cr_assert_eq(world_region(w, "high").wait, ISO_WAIT_FLAPPING, "%s", w->trace);
	world_free(w);
}

/* Proves: a loss that is told again after a restart is no second one. */
Test(engine_flap, told_again)
{
	struct world *w = flapping_pair(2);
	struct iso_event event = {.kind = ISO_EVENT_FAULT}, *settled;

	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_SURPRISE_DOWN;
	event.fault.address = w->ports[1].address;
	event.fault.record_ns = w->now_ns - 1;
	lose_and_restart(w, 1);
	settled = world_later(w, w->reset_ns);
	settled->kind = ISO_EVENT_SETTLED;
	settled->settled = w->ports[1].address;
	kernel_surprise_down(w, 1);
	kernel_condemn(w, 1);
	world_step(w, &event);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: a loss while the daemon was away counts once its record tells what failed. */
Test(engine_flap, while_away)
{
	struct world *w = flapping_pair(1);
	struct iso_event event = {.kind = ISO_EVENT_FAULT};

	world_start_vm(w, "b", "high", WORLD_PART);
	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_SURPRISE_DOWN;
	event.fault.address = w->ports[1].address;
	event.fault.record_ns = w->now_ns;
	kernel_condemn(w, 1);
	world_restart(w);
	world_step(w, &event);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").wait, ISO_WAIT_FLAPPING, "%s", w->trace);
	world_free(w);
}

static void recover_with_eviction(struct world *w, uint32_t port)
{
	struct iso_event event = {.kind = ISO_EVENT_RECOVER};

	event.port.request = w->request++;
	event.port.evict = true;
	strcpy(event.port.port, w->ports[port].path);
	world_step(w, &event);
	cr_assert_eq(world_reply(w, event.port.request), ISO_REPLY_DONE);
}

/* Proves: by policy, or when an operator asks, tenants above make way and all come back; else they are waited for. */
Test(engine_flap, eviction)
{
	uint32_t by_policy;

	for (by_policy = 0; by_policy < 2; by_policy++) {
		struct world *w = world_pair();
		uint32_t a, b;

		w->policy.evict = by_policy;
		world_restart(w);
		world_run(w, WORLD_SECOND);
		a = world_start_vm(w, "a", "low", WORLD_PART);
		b = world_start_vm(w, "b", "high", WORLD_PART);
		w->evicts = true; /* a kill outside the blast radius is meant here */
		world_surprise_down(w, 0);
		world_run(w, 5 * WORLD_SECOND);
		cr_assert_eq(w->processes[a].kills, 1);
		if (!by_policy) {
			cr_assert_eq(w->processes[b].kills, 0);
			cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_WAITING);
			recover_with_eviction(w, 0);
			world_run(w, 5 * WORLD_SECOND);
		}
		cr_assert_eq(w->processes[b].kills, 1, "%s", w->trace);
		cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
		cr_assert_lt(world_region(w, "low").range.start.v,
			     world_region(w, "high").range.start.v);
		cr_assert_eq(world_incident(w, 2).cause, ISO_CAUSE_EVICTED);
		cr_assert_eq(world_lease(w, "b").state, ISO_LEASE_ACQUIRED, "it comes back");
		world_acquire(w, "a", "low", WORLD_PART);
		world_acquire(w, "b", "high", WORLD_PART);
		world_run(w, WORLD_SECOND);
		world_attach(w, "a");
		world_attach(w, "b");
		world_run(w, WORLD_SECOND);
		cr_assert_not(world_incident(w, 1).open);
		cr_assert_not(world_incident(w, 2).open);
		world_free(w);
	}
}
