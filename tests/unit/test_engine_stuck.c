/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What outlives the kill: VMs that do not exit, strangers, and what they pin. */
#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

/* A VM on "low" that ignores SIGKILL and pins, or not. */
static uint32_t stubborn_vm(struct world *w, uint32_t pins)
{
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->processes[vm].stubborn = true;
	w->processes[vm].pins = pins;
	return vm;
}

/* Proves: a VM that does not exit and may hold pins is stuck, nothing is torn down under it, and its exit sets all going. */
Test(engine_stuck, never_exits_and_pins)
{
	struct world *w = world_pair();
	uint32_t vm = stubborn_vm(w, ISO_PIN_DIRECT_IO);

	world_surprise_down(w, 0);
	world_run(w, 120 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_STUCK);
	cr_assert_not(world_lease(w, "web").revoked);
	cr_assert(strstr(world_lease(w, "web").waits_for, "which was killed and does not exit"));
	cr_assert(strstr(world_lease(w, "web").waits_for, "direct I/O"));
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_QUARANTINED, "%s", world_reason(w, 0));
	cr_assert(strstr(world_reason(w, 0), "VM web is stuck: process "), "%s",
		  world_reason(w, 0));
	cr_assert_eq(w->n_effects[ISO_EFFECT_CLEAR_REGION], 0);
	cr_assert_eq(w->n_effects[ISO_EFFECT_REFILL_REGION], 0);
	cr_assert_eq(w->n_effects[ISO_EFFECT_REMOVE], 0);
	cr_assert_eq(world_incident(w, 1).contained_ns, 0);
	cr_assert_eq(world_count_notes(w, "cannot be revoked"), 1, "it is told once\n%s", w->trace);
	world_exit(w, vm);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	cr_assert_gt(world_incident(w, 1).contained_ns, 0);
	world_free(w);
}

/* Proves: one that does not exit but pins nothing loses its memory, and the region comes back before it dies. */
Test(engine_stuck, never_exits_but_pins_nothing)
{
	struct world *w = world_pair();
	uint32_t vm = stubborn_vm(w, 0);

	world_surprise_down(w, 0);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert(w->processes[vm].running);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_STUCK);
	cr_assert(world_lease(w, "web").revoked);
	cr_assert_eq(world_lease(w, "web").n_instances, 0);
	cr_assert_gt(world_incident(w, 1).contained_ns, 0);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	/* Its place is free for others; it itself is waited for. */
	world_start_vm(w, "db", "low", WORLD_PART);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_WAITING);
	cr_assert(strstr(world_reason(w, 0), "VM web comes back after the end of process 1"), "%s",
		  world_reason(w, 0));
	world_exit(w, vm);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED, "%s", w->trace);
	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	cr_assert_neq(world_attach(w, "web"), ISO_NONE);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_HEALTHY, "%s", world_reason(w, 0));
	cr_assert_not(world_incident(w, 1).open);
	world_free(w);
}

/* Proves: pins that end let a stuck VM's memory be revoked at the next try. */
Test(engine_stuck, pins_end)
{
	struct world *w = world_pair();
	uint32_t vm = stubborn_vm(w, ISO_PIN_OUTSTANDING);

	world_surprise_down(w, 0);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert_not(world_lease(w, "web").revoked);
	w->processes[vm].pins = 0;
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(world_lease(w, "web").revoked, "%s", w->trace);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: while one domain waits for a VM that does not die, another contains and recovers. */
Test(engine_stuck, others_recover)
{
	struct world *w = world_pair();

	world_simple_bridge(w, 1, 0x20);
	world_define_one(w, "other", 0x20);
	world_changed(w);
	world_run(w, WORLD_SECOND);
	stubborn_vm(w, ISO_PIN_VFIO);
	world_start_vm(w, "db", "other", WORLD_PART);
	world_surprise_down(w, 0);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_QUARANTINED);
	world_surprise_down(w, 2);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "other").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_lease(w, "db").state, ISO_LEASE_ACQUIRED);
	world_free(w);
}

/* Proves: on the way of an operator's isolation the same holds, where the kernel has taken nothing yet. */
Test(engine_stuck, isolated_by_operator)
{
	struct world *w = world_pair();
	uint32_t vm = stubborn_vm(w, ISO_PIN_IO_URING);

	world_port_request(w, ISO_EVENT_ISOLATE, 0);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_DETACH_PORT], 0, "not under its pins\n%s", w->trace);
	w->processes[vm].pins = 0;
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_ISOLATED, "%s\n%s", world_reason(w, 0),
		     w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_DETACH_PORT], 1);
	world_free(w);
}

/* Proves: a stranger that maps a VM's memory is named; at teardown it is revoked, never killed. */
Test(engine_stuck, stranger)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART), stranger;

	stranger = world_stranger(w, "web");
	world_exit(w, vm);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert(world_noted(w, "stranger: web: process "));
	cr_assert_eq(world_count_notes(w, "stranger: "), 1, "it is told once\n%s", w->trace);
	cr_assert(world_noted(w, "revoked: web: "));
	cr_assert(w->processes[stranger].running);
	cr_assert_eq(w->processes[stranger].kills, 0);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	world_free(w);
}

/* Proves: a stranger that may hold pins holds up the teardown, on a live region and on a lost one, and is named. */
Test(engine_stuck, stranger_pins)
{
	uint32_t lost;

	for (lost = 0; lost < 2; lost++) {
		struct world *w = world_pair();
		uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART), stranger;

		stranger = world_stranger(w, "web");
		w->processes[stranger].pins = ISO_PIN_RDMA;
		if (lost)
			world_surprise_down(w, 0);
		else
			world_exit(w, vm);
		world_run(w, 60 * WORLD_SECOND);
		cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_STUCK, "%s", w->trace);
		cr_assert_eq(world_lease(w, "web").n_mappers, 1);
		cr_assert_eq(world_lease(w, "web").mappers[0], w->processes[stranger].pid);
		cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_QUARANTINED);
		cr_assert_eq(w->n_effects[ISO_EFFECT_CLEAR_REGION], 0);
		cr_assert_eq(w->n_effects[ISO_EFFECT_REMOVE], 0);
		world_exit(w, stranger);
		world_run(w, 5 * WORLD_SECOND);
		cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
		/* A victim comes back, one that ended by itself does not. */
		cr_assert_eq(world_region(w, "low").free_bytes,
			     lost ? WORLD_UNIT - WORLD_PART : WORLD_UNIT);
		world_free(w);
	}
}

/* Proves: a revocation that cannot be tried is tried again, and told. */
Test(engine_stuck, revocation_fails)
{
	struct world *w = world_pair();

	stubborn_vm(w, 0);
	world_fail(w, ISO_EFFECT_REVOKE, 1, 3, -EIO);
	world_surprise_down(w, 0);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert(world_noted(w, "failed: web: its memory cannot be revoked: planned failure"));
	cr_assert(world_lease(w, "web").revoked, "%s", w->trace);
	world_free(w);
}

/* Proves: a restart while a revoked process has yet to exit ends the same way. */
Test(engine_stuck, restart)
{
	struct world *w = world_pair();
	uint32_t vm = stubborn_vm(w, 0);

	world_surprise_down(w, 0);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert(world_lease(w, "web").revoked);
	world_restart(w);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	world_exit(w, vm);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED, "%s", w->trace);
	world_free(w);
}
