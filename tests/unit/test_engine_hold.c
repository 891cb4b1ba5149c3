/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A store that takes no intents stops what is irreversible and what hands out,
 * and nothing else, without using anything up. Leases that are not known stop
 * the same until an operator confirms; nobody's device is removed before.
 */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

#define FOR_EVER UINT32_MAX

/* From now on no intent is made durable, until heal(). */
static void fail_store(struct world *w)
{
	world_fail(w, ISO_EFFECT_INTENT, 1, FOR_EVER, -28 /* ENOSPC */);
}

static void heal_store(struct world *w)
{
	w->n_plans = 0;
}

static uint64_t acquire_at_once(struct world *w, const char *name, const char *region)
{
	struct iso_acquire terms = {.n_parts = 1, .restart = true};

	strcpy(terms.name, name);
	strcpy(terms.parts[0].region, region);
	terms.parts[0].bytes = WORLD_PART;
	return world_acquire_terms(w, &terms);
}

/* Proves: a full disk delays the kill by nothing; recovery waits for it without giving up, and goes on. */
Test(engine_hold, containment_goes_on_and_recovery_waits)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART), intents, notes;

	fail_store(w);
	world_surprise_down(w, 0);
	cr_assert_eq(w->processes[vm].kills, 1);
	world_run(w, 100 * WORLD_SECOND);
	cr_assert_gt(world_incident(w, 1).contained_ns, 0, "%s", w->trace);
	cr_assert_neq(world_region(w, "low").state, ISO_REGION_QUARANTINED);
	cr_assert_eq(w->n_effects[ISO_EFFECT_REMOVE] + w->n_effects[ISO_EFFECT_CLEAR_REGION] +
			     w->n_effects[ISO_EFFECT_REFILL_REGION],
		     0);
	intents = w->n_effects[ISO_EFFECT_INTENT];
	notes = w->n_effects[ISO_EFFECT_NOTE];
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_leq(w->n_effects[ISO_EFFECT_INTENT] - intents, 12, "once a second");
	cr_assert_eq(w->n_effects[ISO_EFFECT_NOTE], notes, "that is no news\n%s", w->trace);
	cr_assert(strstr(world_reason(w, 0), "waits for the store: planned failure"), "'%s'",
		  world_reason(w, 0));
	cr_assert_eq(world_count_notes(w, "until the store works"), 1, "%s", w->trace);
	heal_store(w);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED, "%s", w->trace);
	cr_assert_eq(world_count_notes(w, "the store takes intents again"), 1);
	world_free(w);
}

/* Proves: a live region that cannot be taken apart for want of the store is no news each second, and stays healthy. */
Test(engine_hold, a_region_that_shall_go_stays_quietly)
{
	struct world *w = world_pair();
	uint32_t notes;

	fail_store(w);
	world_named(w, ISO_EVENT_REGION_DESTROY, "high");
	world_run(w, 5 * WORLD_SECOND);
	notes = w->n_effects[ISO_EFFECT_NOTE];
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_NOTE], notes, "%s", w->trace);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_HEALTHY);
	cr_assert_eq(world_count_notes(w, "region high: clearing -> live"), 1, "%s", w->trace);
	heal_store(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(iso_region_find(w->engine, "high"), ISO_NONE, "%s", w->trace);
	world_free(w);
}

/* Proves: who waits is told why and is served in the old order; who would not wait hears no. */
Test(engine_hold, leases_wait_with_the_reason)
{
	struct world *w = world_pair();
	uint64_t first, second, impatient;

	fail_store(w);
	first = world_acquire(w, "first", "low", WORLD_UNIT);
	second = world_acquire(w, "second", "low", WORLD_PART);
	impatient = acquire_at_once(w, "impatient", "high");
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, impatient), ISO_REPLY_ON_HOLD);
	cr_assert_not(world_has_lease(w, "impatient"), "%s", w->trace);
	cr_assert_eq(world_reply(w, first), ISO_REPLY_WAITING);
	cr_assert(strstr(world_lease(w, "first").waits_for, "the store: planned failure"), "'%s'",
		  world_lease(w, "first").waits_for);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CARVE], 0);
	impatient = acquire_at_once(w, "impatient", "high");
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, impatient), ISO_REPLY_ON_HOLD);
	heal_store(w);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, first), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_str_eq(world_lease(w, "first").waits_for, "");
	cr_assert_eq(world_reply(w, second), ISO_REPLY_WAITING);
	world_named(w, ISO_EVENT_RELEASE, "first");
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, second), ISO_REPLY_DONE);
	world_free(w);
}

/* Proves: when the store is well again all who waited for it go on at once, not only who tried it. */
Test(engine_hold, all_go_on_when_the_store_is_well)
{
	struct world *w = world_pair();
	uint64_t requests[8];
	char name[16];
	uint32_t i;

	world_fail(w, ISO_EFFECT_INTENT, 1, 8, -28 /* ENOSPC */);
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		requests[i] = world_acquire(w, name, i % 2 ? "high" : "low", WORLD_PART / 2);
	}
	world_run(w, 3 * WORLD_SECOND);
	for (i = 0; i < 8; i++)
		cr_assert_eq(world_reply(w, requests[i]), ISO_REPLY_DONE, "%u\n%s", i, w->trace);
	world_free(w);
}

/* Proves: whichever intent of a recovery or a lease fails, once or for a while, the end is the same. */
Test(engine_hold, any_intent_may_fail)
{
	uint32_t nth, times;

	for (nth = 1; nth <= 12; nth++)
		for (times = 1; times <= 8; times += 7) {
			struct world *w = world_pair();
			uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
			uint64_t request;

			world_fail(w, ISO_EFFECT_INTENT, nth, times, -5);
			world_surprise_down(w, 0);
			world_run(w, 30 * WORLD_SECOND);
			cr_assert_not(w->processes[vm].running);
			request = world_acquire(w, "web", "low", WORLD_PART);
			world_run(w, 30 * WORLD_SECOND);
			cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%u %u\n%s", nth,
				     times, w->trace);
			world_attach(w, "web");
			world_port_request(w, ISO_EVENT_ISOLATE, 1);
			world_run(w, 30 * WORLD_SECOND);
			cr_assert_eq(w->n_effects[ISO_EFFECT_DETACH_PORT], 1, "%u %u\n%s", nth,
				     times, w->trace);
			cr_assert_eq(iso_free_bytes(w->engine), WORLD_UNIT - WORLD_PART);
			world_free(w);
		}
}

/* Proves: a second loss while the first recovery waits for the store is contained at once. */
Test(engine_hold, loss_while_an_intent_is_under_way)
{
	uint64_t ms;

	for (ms = 0; ms < 400; ms += 7) {
		struct world *w = world_pair();
		uint32_t vm = world_start_vm(w, "other", "high", WORLD_PART);

		world_fail(w, ISO_EFFECT_INTENT, 1, 4, -28);
		world_surprise_down(w, 0);
		world_run(w, ms * WORLD_MS);
		world_surprise_down(w, 1);
		world_surprise_down(w, 0);
		cr_assert_eq(w->processes[vm].kills, 1);
		world_run(w, 60 * WORLD_SECOND);
		cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
		world_free(w);
	}
}

/* Proves: a slow disk that never answers in time is a failing one. */
Test(engine_hold, slow_store)
{
	struct world *w = world_pair();
	struct world_plan *plan;

	plan = world_plan(w, ISO_EFFECT_INTENT);
	plan->times = 2;
	plan->lost = true;
	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, 40 * WORLD_SECOND);
	cr_assert(strstr(world_lease(w, "web").waits_for, "no answer in time"), "'%s'",
		  world_lease(w, "web").waits_for);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED, "%s", w->trace);
	world_free(w);
}

/* ---- leases that are not known ---- */

static void hold(struct world *w)
{
	struct iso_event event = {.kind = ISO_EVENT_HOLD, .hold = "the database was damaged"};

	world_step(w, &event);
}

/* A process that the service manager has kept under the name of its lease. */
static void name_process(struct world *w, uint32_t process)
{
	struct iso_restore_lease lease = {.state = ISO_LEASE_ATTACHED, .has_process = true};
	struct iso_event event = {.kind = ISO_EVENT_RESTORE_LEASE, .restore_lease = &lease};

	strcpy(lease.terms.name, w->processes[process].name);
	lease.pid = w->processes[process].pid;
	world_step(w, &event);
	w->processes[process].lease = iso_lease_find(w->engine, lease.terms.name);
	w->processes[process].lease_epoch = world_lease(w, lease.terms.name).epoch;
}

static void restart_without_store(struct world *w)
{
	w->stored = (struct world_stored){0};
	world_restart(w);
	hold(w);
}

static uint64_t confirm(struct world *w)
{
	return world_named(w, ISO_EVENT_CONFIRM, "");
}

/* Proves: nothing is handed out or removed before the word, and everything is after it. */
Test(engine_hold, nothing_happens_until_an_operator_confirms)
{
	struct world *w = world_pair();
	uint64_t waiting, impatient;

	world_acquire(w, "granted", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	restart_without_store(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not_null(iso_hold_reason(w->engine));
	waiting = world_acquire(w, "web", "low", WORLD_PART);
	impatient = acquire_at_once(w, "now", "low");
	cr_assert_eq(world_reply(w, impatient), ISO_REPLY_ON_HOLD);
	world_run(w, 500 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, waiting), ISO_REPLY_WAITING);
	cr_assert(strstr(world_lease(w, "web").waits_for, "daxmgrctl confirm"), "'%s'",
		  world_lease(w, "web").waits_for);
	cr_assert_eq(w->n_effects[ISO_EFFECT_REMOVE], 0, "its launcher may be about to start");
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT - WORLD_PART);
	cr_assert_eq(world_reply(w, confirm(w)), ISO_REPLY_DONE);
	cr_assert_eq(world_reply(w, confirm(w)), ISO_REPLY_ALREADY);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, waiting), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_REMOVE], 1);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT - WORLD_PART, "only of web");
	world_free(w);
}

/* Proves: a VM whose process is known gets its memory back into its lease, and dies with its port. */
Test(engine_hold, a_known_process_is_protected_again)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
	uint32_t other = world_start_vm(w, "other", "high", WORLD_PART);

	restart_without_store(w);
	name_process(w, vm);
	name_process(w, other);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").n_instances, 1, "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").terms->n_parts, 1);
	cr_assert_eq(world_lease(w, "web").terms->parts[0].bytes, WORLD_PART);
	world_surprise_down(w, 0);
	cr_assert_eq(w->processes[vm].kills, 1, "%s", w->trace);
	cr_assert_eq(w->processes[other].kills, 0);
	world_run(w, 10 * WORLD_SECOND);
	world_exit(w, other);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(iso_free_bytes(w->engine), 2 * WORLD_UNIT, "%s", w->trace);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	cr_assert_not_null(iso_hold_reason(w->engine), "recovery is no confirmation");
	world_free(w);
}

/* Proves: the memory of a process that nobody knows is never taken, before the word or after it. */
Test(engine_hold, an_unknown_process_keeps_its_memory)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	restart_without_store(w);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "belongs to no lease but process"), 1, "%s", w->trace);
	confirm(w);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert(w->processes[vm].running);
	cr_assert_eq(w->n_effects[ISO_EFFECT_REMOVE], 0);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT - WORLD_PART);
	cr_assert_eq(world_count_notes(w, "belongs to no lease but process"), 1, "told once");
	world_surprise_down(w, 0);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 0, "whose it is is not known");
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LOST, "it waits for him");
	w->processes[vm].running = false;
	w->processes[vm].n_maps = 0;
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: who maps what nobody claims is shown for as long as he does, and no longer. */
Test(engine_hold, who_maps_it_is_who_does_so_now)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART), i;
	struct iso_instance_view view;

	restart_without_store(w);
	world_run(w, 5 * WORLD_SECOND);
	for (i = 0; !iso_instance_get(w->engine, i, &view); i++)
		;
	cr_assert_eq(view.mapper, w->processes[vm].pid);
	w->processes[vm].n_maps = 0;
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(iso_instance_get(w->engine, i, &view));
	cr_assert_eq(view.mapper, 0, "he maps it no more");
	w->processes[vm].n_maps = 1;
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(iso_instance_get(w->engine, i, &view));
	cr_assert_eq(view.mapper, w->processes[vm].pid);
	world_free(w);
}

/* Proves: who maps what nobody claims is told once when that is lost, too. */
Test(engine_hold, who_maps_what_is_lost)
{
	struct world *w = world_pair();

	world_start_vm(w, "web", "low", WORLD_PART);
	world_start_vm(w, "db", "high", WORLD_PART);
	restart_without_store(w);
	world_run(w, 5 * WORLD_SECOND);
	world_surprise_down(w, 0);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "belongs to no lease but process"), 2, "%s", w->trace);
	world_free(w);
}

/* Proves: that nobody can be asked who maps what is told once, and asked on. */
Test(engine_hold, nobody_can_be_asked_who_maps_what)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	restart_without_store(w);
	name_process(w, vm);
	world_fail(w, ISO_EFFECT_INSPECT, 1, 20, -5);
	world_run(w, 15 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "looking who maps instances"), 1, "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").n_instances, 0);
	world_run(w, 15 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").n_instances, 1, "%s", w->trace);
	world_free(w);
}

/* Proves: of several who map what nobody claims one is told, once, as long as he does. */
Test(engine_hold, one_of_several_mappers_is_told)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
	uint32_t child = world_stranger(w, "web");

	restart_without_store(w);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "belongs to no lease but process"), 1, "%s", w->trace);
	confirm(w);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "belongs to no lease but process"), 1, "%s", w->trace);
	w->processes[vm].running = false;
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "belongs to no lease but process"), 2, "%s", w->trace);
	cr_assert(w->processes[child].running);
	world_free(w);
}

/* Proves: a daemon that is restarted during the hold finds the rebuilt leases in the new store. */
Test(engine_hold, rebuilt_leases_are_stored)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	restart_without_store(w);
	name_process(w, vm);
	world_run(w, 2 * WORLD_SECOND);
	world_restart(w);
	hold(w);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").n_instances, 1);
	world_surprise_down(w, 0);
	cr_assert_eq(w->processes[vm].kills, 1, "%s", w->trace);
	world_free(w);
}
