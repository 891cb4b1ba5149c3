/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs that pin their memory: refused, admitted with consent, found later. */
#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

static uint64_t acquire_pinning(struct world *w)
{
	struct iso_acquire terms = {.name = "web", .uid = 1, .n_parts = 1, .wait = true};

	strcpy(terms.parts[0].region, "low");
	terms.parts[0].bytes = WORLD_PART;
	terms.pins = ISO_PIN_DIRECT_IO;
	strcpy(terms.evidence, "-drive cache=none");
	return world_acquire_terms(w, &terms);
}

static struct world *with_consent(bool consent, uint64_t inspect_ns)
{
	struct world *w = world_pair();

	w->policy.host_may_panic = consent;
	w->policy.inspect_ns = inspect_ns;
	world_restart(w);
	world_run(w, WORLD_SECOND);
	return w;
}

/* Proves: what says of itself that it will pin is refused at once, unless the host may panic. */
Test(engine_pins, at_acquire)
{
	struct world *w = with_consent(false, 0);

	cr_assert_eq(world_reply(w, acquire_pinning(w)), ISO_REPLY_PINNING);
	cr_assert_not(world_has_lease(w, "web"));
	world_free(w);
	w = with_consent(true, 0);
	cr_assert_eq(world_reply(w, acquire_pinning(w)), ISO_REPLY_WAITING);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	world_free(w);
}

/* Proves: a grant that nobody attached to has no process to wait for, whatever it said of itself; it just ends. */
Test(engine_pins, never_attached)
{
	struct world *w = with_consent(true, 0);

	acquire_pinning(w);
	world_run(w, WORLD_SECOND);
	world_named(w, ISO_EVENT_RELEASE, "web");
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_not(world_noted(w, "has yet to exit"));
	acquire_pinning(w);
	world_run(w, WORLD_SECOND);
	world_surprise_down(w, 0);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_HEALTHY, "%s", world_reason(w, 0));
	world_free(w);
}

/* Proves: a process that is found to pin does not become the VM; the grant stays for another. */
Test(engine_pins, at_attach)
{
	struct world *w = with_consent(false, 0);

	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	w->next_pins = ISO_PIN_VFIO;
	cr_assert_eq(world_attach(w, "web"), ISO_NONE);
	cr_assert_eq(world_reply(w, w->request - 1), ISO_REPLY_PINNING);
	cr_assert(world_noted(w, "pinning: web: process "));
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	w->next_pins = 0;
	cr_assert_neq(world_attach(w, "web"), ISO_NONE);
	world_free(w);
	w = with_consent(true, 0);
	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	w->next_pins = ISO_PIN_VFIO;
	cr_assert_neq(world_attach(w, "web"), ISO_NONE);
	cr_assert_eq(world_lease(w, "web").pins, ISO_PIN_VFIO);
	world_free(w);
}

/* Proves: what cannot be looked at is not admitted. */
Test(engine_pins, cannot_look)
{
	struct world *w = with_consent(false, 0);

	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_fail(w, ISO_EFFECT_INSPECT, 1, 1, -EACCES);
	cr_assert_eq(world_attach(w, "web"), ISO_NONE);
	cr_assert_eq(world_reply(w, w->request - 1), ISO_REPLY_NOT_GRANTED);
	cr_assert_neq(world_attach(w, "web"), ISO_NONE);
	world_free(w);
}

/* Proves: while a process is looked at, nobody else becomes the VM, and a fault voids the grant. */
Test(engine_pins, fault_while_looking)
{
	struct world *w = with_consent(false, 0);
	struct iso_event attach = {.kind = ISO_EVENT_ATTACH};
	uint64_t first;

	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_plan(w, ISO_EFFECT_INSPECT)->late_ns = WORLD_SECOND;
	strcpy(attach.attach.name, "web");
	first = attach.attach.request = w->request++;
	attach.attach.pid = 77;
	world_step(w, &attach);
	cr_assert_eq(iso_attaching_pid(w->engine, iso_lease_find(w->engine, "web")), 77);
	attach.attach.request = w->request++;
	attach.attach.pid = 78;
	world_step(w, &attach);
	cr_assert_eq(world_reply(w, w->request - 1), ISO_REPLY_NAME_IN_USE);
	world_surprise_down(w, 0);
	cr_assert_eq(world_reply(w, first), ISO_REPLY_GRANT_VOID);
	cr_assert_eq(w->n_kills, 0);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: a VM that begins to pin, and a stranger, are found on the timer, told once, and nobody is killed. */
Test(engine_pins, on_the_timer)
{
	struct world *w = with_consent(false, 10 * WORLD_SECOND);
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART), stranger;

	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").pins, 0);
	w->processes[vm].pins = ISO_PIN_DIRECT_IO;
	stranger = world_stranger(w, "web");
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").pins, ISO_PIN_DIRECT_IO, "%s", w->trace);
	cr_assert_str_eq(world_lease(w, "web").evidence, "fd 12: O_DIRECT /x");
	cr_assert_eq(world_lease(w, "web").stranger, w->processes[stranger].pid);
	cr_assert_eq(world_count_notes(w, "pinning: "), 1, "%s", w->trace);
	cr_assert_eq(world_count_notes(w, "stranger: "), 1);
	cr_assert_eq(w->n_kills, 0);
	w->processes[vm].pins = 0;
	world_exit(w, stranger);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").pins, 0);
	cr_assert_eq(world_lease(w, "web").stranger, 0);
	cr_assert_str_empty(world_lease(w, "web").evidence);
	world_free(w);
}

/* Proves: the exit of a VM that has pinned does not prove that its pins are gone: they are waited for. */
Test(engine_pins, outlive_the_process)
{
	struct world *w = with_consent(true, 0);
	uint32_t vm;

	acquire_pinning(w);
	world_run(w, WORLD_SECOND);
	w->next_pins = ISO_PIN_DIRECT_IO;
	vm = world_attach(w, "web");
	w->pins_outstanding = true;
	world_exit(w, vm);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_STUCK, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_REMOVE], 0);
	cr_assert(strstr(world_lease(w, "web").waits_for, "the end of its pins"));
	w->pins_outstanding = false;
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	world_free(w);
}

/* Proves: the pins of somebody whom nobody knew outlive him as well: what he mapped is not removed under them. */
Test(engine_pins, outlive_a_stranger)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->stored = (struct world_stored){0};
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(world_noted(w, "belongs to no lease but process"), "%s", w->trace);
	w->pins_outstanding = true;
	w->processes[vm].running = false;
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_REMOVE], 0, "%s", w->trace);
	w->pins_outstanding = false;
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT, "%s", w->trace);
	world_free(w);
}

/* Proves: the same where its region is lost: that is not cleared. */
Test(engine_pins, outlive_a_stranger_on_a_lost_region)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->stored = (struct world_stored){0};
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	w->pins_outstanding = true;
	world_surprise_down(w, 0);
	world_run(w, WORLD_SECOND);
	w->processes[vm].running = false;
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LOST, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CLEAR_REGION] + w->n_effects[ISO_EFFECT_REFILL_REGION],
		     0);
	w->pins_outstanding = false;
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: what-if counts the victims whose loss can panic the host. */
Test(engine_pins, what_if)
{
	struct world *w = with_consent(true, 0);
	struct iso_what_if what = {0};

	acquire_pinning(w);
	world_run(w, WORLD_SECOND);
	w->next_pins = ISO_PIN_DIRECT_IO;
	world_attach(w, "web");
	w->next_pins = 0;
	world_start_vm(w, "db", "low", WORLD_PART);
	cr_assert(iso_what_if(w->engine, 0, ISO_NONE, &what));
	cr_assert_eq(what.n_leases, 2);
	cr_assert_eq(what.n_pinning, 1);
	world_free(w);
}
