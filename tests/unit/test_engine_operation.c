/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operations: intents, completions that are late, repeated or missing, observations that overlap, full tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"
#include "state.h"

static const struct iso_effect *effect_of(const struct world *w, uint32_t kind)
{
	uint32_t i;

	for (i = 0; i < w->effects.n_others; i++)
		if (w->effects.others[i].kind == kind)
			return &w->effects.others[i];
	return NULL;
}

static void complete(struct world *w, uint64_t operation, int32_t result)
{
	struct iso_event event = {.kind = ISO_EVENT_COMPLETION};

	event.completion.operation = operation;
	event.completion.result = result;
	world_step(w, &event);
}

static struct iso_instance_view first_instance(struct world *w, const char *lease)
{
	struct iso_instance_view view = {0};

	iso_instance_get(w->engine, world_lease(w, lease).instances[0], &view);
	return view;
}

static void complete_intent(struct world *w, uint64_t operation, int32_t result)
{
	struct iso_event event = {.kind = ISO_EVENT_COMPLETION};

	event.completion.operation = operation;
	event.completion.intent = true;
	event.completion.result = result;
	world_step(w, &event);
}

/* Proves: a deed follows its durable intent, under the same id, and not one that failed. */
Test(engine_operation, intent_before_deed)
{
	struct world *w = world_pair();
	const struct iso_effect *intent, *carve;
	uint64_t operation;

	world_acquire(w, "web", "low", WORLD_PART);
	intent = effect_of(w, ISO_EFFECT_INTENT);
	cr_assert_not_null(intent);
	cr_assert_eq(intent->intent, ISO_EFFECT_CARVE);
	cr_assert_neq(intent->instance, ISO_NONE);
	cr_assert_null(effect_of(w, ISO_EFFECT_CARVE));
	operation = intent->operation;
	world_forget(w);
	w->intended[w->n_intended++] = operation;
	complete_intent(w, operation, 0);
	carve = effect_of(w, ISO_EFFECT_CARVE);
	cr_assert_not_null(carve);
	cr_assert_eq(carve->operation, operation);
	cr_assert_gt(carve->deadline_ns, w->now_ns);
	world_forget(w);
	complete_intent(w, operation, 0); /* repeated: not the end of the deed */
	cr_assert_eq(first_instance(w, "web").state, ISO_INSTANCE_CARVING);
	complete(w, operation, -5); /* the deed fails: given back, then tried anew */
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED, "%s", w->trace);

	world_acquire(w, "db", "low", WORLD_PART);
	operation = effect_of(w, ISO_EFFECT_INTENT)->operation;
	world_forget(w);
	complete_intent(w, operation, -5);
	cr_assert_null(effect_of(w, ISO_EFFECT_CARVE), "no deed without a durable intent");
	world_free(w);
}

/* Proves: what was given up, repeated or never asked for changes nothing. */
Test(engine_operation, late_and_repeated)
{
	struct world *w = world_pair();
	struct iso_lease_view before, after;
	uint64_t operation;

	world_acquire(w, "web", "low", WORLD_PART);
	operation = effect_of(w, ISO_EFFECT_INTENT)->operation;
	world_run(w, WORLD_SECOND);
	before = world_lease(w, "web");
	complete(w, operation, 0);
	complete(w, operation, -5);
	complete(w, 0, 0);
	complete(w, UINT64_MAX, 0);
	complete(w, operation ^ 0xffff0000, 0);
	after = world_lease(w, "web");
	cr_assert_eq(w->effects.n_others, 0);
	cr_assert_eq(before.state, after.state);
	world_free(w);
}

/* Proves: what an observation saw that was given up long ago is not believed. */
Test(engine_operation, late_observation)
{
	struct world *w = world_new();
	struct world_plan *plan = world_plan(w, ISO_EFFECT_OBSERVE);

	world_simple_bridge(w, 1, 0x10);
	plan->late_ns = 36 * WORLD_SECOND;
	plan->times = 3;
	world_define_one(w, "low", 0x10);
	world_run(w, 40 * WORLD_SECOND);
	cr_assert_eq(iso_port_count(w->engine), 0);
	world_run(w, 200 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: a host that cannot be looked at for long is told once, asked less and less, and at once known again. */
Test(engine_operation, observations_that_fail_for_long)
{
	struct world *w = world_pair();
	uint32_t asked;

	world_start_vm(w, "web", "low", WORLD_PART);
	world_fail(w, ISO_EFFECT_OBSERVE, 1, 1000, -5);
	world_surprise_down(w, 1);
	world_run(w, 60 * WORLD_SECOND);
	asked = w->n_effects[ISO_EFFECT_OBSERVE];
	world_run(w, 40 * WORLD_SECOND);
	cr_assert_leq(w->n_effects[ISO_EFFECT_OBSERVE] - asked, 26);
	cr_assert_eq(world_count_notes(w, "observation failed"), 1, "%s", w->trace);
	w->n_plans = 0;
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_count_notes(w, "the host can be looked at again"), 1, "%s", w->trace);
	world_free(w);
}

/* Proves: a node that cannot be taken back is told once, and tried on. */
Test(engine_operation, a_node_that_cannot_be_taken_back)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	world_fail(w, ISO_EFFECT_RETRACT, 1, 60, -30);
	world_exit(w, vm);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "web: retract: "), 1, "%s", w->trace);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	world_free(w);
}

/* Proves: what was carved by a region's number is not handed out when another region has it by now. */
Test(engine_operation, number_of_another)
{
	struct world *w = world_new();
	uint64_t request;

	w->objects_vanish = true;
	w->no_uevents = true;
	world_simple_bridge(w, 1, 0x10);
	world_simple_bridge(w, 1, 0x20);
	world_define_one(w, "a", 0x10);
	world_run(w, WORLD_SECOND);
	request = world_acquire(w, "one", "a", WORLD_PART);
	kernel_unplug(w, 0); /* region0 is gone, and nobody tells */
	cr_assert_eq(kernel_foreign_region(w, 1, 1), 0);
	w->objects[0].committed = true;
	world_run(w, 30 * WORLD_MS); /* carved, but of somebody else's region */
	cr_assert(world_noted(w, "another region has the number"), "%s", w->trace);
	world_run(w, 30 * WORLD_SECOND);
	cr_assert_neq(world_reply(w, request), ISO_REPLY_DONE);
	cr_assert_neq(world_region(w, "a").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: a name in an answer that took long is not taken from whom the kernel gave it to since. */
Test(engine_operation, late_name)
{
	struct world *w = world_new();
	uint32_t two;

	w->objects_vanish = true;
	world_simple_bridge(w, 1, 0x10);
	world_simple_bridge(w, 1, 0x20);
	world_define_one(w, "a", 0x10);
	world_run(w, WORLD_SECOND);
	world_plan(w, ISO_EFFECT_CARVE)->late_ns = 50 * WORLD_SECOND;
	world_acquire(w, "one", "a", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_unplug(w, 0); /* region0 is gone, and dax0.1 */
	world_run(w, WORLD_SECOND);
	world_define_one(w, "c", 0x20);
	world_run(w, WORLD_SECOND);
	two = world_start_vm(w, "two", "c", WORLD_PART);
	cr_assert_eq(first_instance(w, "two").region_kernel_id, 0);
	cr_assert_eq(first_instance(w, "two").kernel_id, 1);
	world_run(w, 100 * WORLD_SECOND);
	cr_assert_eq(w->n_kills, 0, "%s", w->trace);
	cr_assert(w->processes[two].running);
	world_free(w);
}

/* Proves: an operation that nobody speaks of is given up after its deadline, and its object goes on. */
Test(engine_operation, no_answer)
{
	static const uint32_t kinds[] = {
		ISO_EFFECT_INTENT, ISO_EFFECT_OBSERVE, ISO_EFFECT_CARVE,
		ISO_EFFECT_ZERO,   ISO_EFFECT_PROVE,   ISO_EFFECT_HAND_OVER,
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct world *w = world_pair();

		world_plan(w, kinds[i])->lost = true;
		world_changed(w);
		world_acquire(w, "web", "low", WORLD_PART);
		world_run(w, 10 * WORLD_SECOND);
		cr_assert(kinds[i] == ISO_EFFECT_OBSERVE ||
			  world_lease(w, "web").state == ISO_LEASE_PREPARING);
		world_run(w, 280 * WORLD_SECOND);
		cr_assert_neq(world_lease(w, "web").state, ISO_LEASE_PREPARING, "%s\n%s",
			      iso_effect_name(kinds[i]), w->trace);
		cr_assert(world_noted(w, "no answer in time"));
		world_run(w, WORLD_SECOND);
		cr_assert_eq(iso_free_bytes(w->engine),
			     2 * WORLD_UNIT - world_lease(w, "web").n_instances * WORLD_PART,
			     "nothing leaks\n%s", w->trace);
		world_free(w);
	}
}

/* Proves: an observation that overlaps an operation is not believed about that region. */
Test(engine_operation, overlapping_observation)
{
	struct world *w = world_pair();
	struct world_picture *before;
	struct iso_event event = {0};

	before = kernel_picture(w); /* without the new instance */
	world_start_vm(w, "web", "low", WORLD_PART);
	world_forget(w);
	kernel_picture_event(before, &event);
	w->engine->regions[0].observation_stale = true; /* as if it had begun back then */
	world_step(w, &event);
	cr_assert_eq(w->effects.n_kills, 0);
	cr_assert_eq(iso_incident_count(w->engine), 0);
	cr_assert(w->engine->observe_wanted || w->engine->observe_operation, "but looks again");
	free(before);
	world_free(w);
}

/* Proves: zeroing, which takes minutes, keeps nobody from seeing a loss meanwhile. */
Test(engine_operation, observation_while_zeroing)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART), looked;

	world_plan(w, ISO_EFFECT_ZERO)->late_ns = 60 * WORLD_SECOND;
	world_acquire(w, "db", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	looked = w->n_effects[ISO_EFFECT_OBSERVE];
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_leq(w->n_effects[ISO_EFFECT_OBSERVE], looked + 1, "and does not look in circles");
	w->dax[w->processes[vm].maps[0]].exists = false;
	world_changed(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 1);
	world_free(w);
}

/* Proves: what is lost comes back at once, also while something on it is being zeroed or proved. */
Test(engine_operation, loss_while_zeroing)
{
	static const uint32_t kinds[] = {ISO_EFFECT_ZERO, ISO_EFFECT_PROVE};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct world *w = world_pair();

		world_plan(w, kinds[i])->late_ns = 60 * WORLD_SECOND;
		world_acquire(w, "db", "high", WORLD_PART);
		world_run(w, WORLD_SECOND);
		cr_assert_eq(world_lease(w, "db").state, ISO_LEASE_PREPARING);
		world_surprise_down(w, 1);
		world_run(w, 10 * WORLD_SECOND);
		cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
		cr_assert_eq(w->n_effects[ISO_EFFECT_ABANDON], 1);
		cr_assert_eq(world_lease(w, "db").state, ISO_LEASE_ACQUIRED, "%s", w->trace);
		cr_assert_eq(w->n_effects[ISO_EFFECT_ZERO], 2,
			     "what was done before is not believed");
		world_free(w);
	}
}

/* Proves: a snapshot older than the last one is left alone. */
Test(engine_operation, old_snapshot)
{
	struct world *w = world_pair();
	struct world_picture *old = kernel_picture(w);
	struct iso_event event = {0};

	world_start_vm(w, "web", "low", WORLD_PART);
	world_changed(w);
	world_run(w, WORLD_SECOND);
	kernel_picture_event(old, &event);
	world_step(w, &event);
	cr_assert_eq(w->effects.n_kills, 0);
	free(old);
	world_free(w);
}

/* Proves: an observation that fails is repeated after a pause, not at once, and less often after a few times. */
Test(engine_operation, observation_fails)
{
	struct world *w = world_new();

	world_simple_bridge(w, 1, 0x10);
	world_fail(w, ISO_EFFECT_OBSERVE, 1, 10, -5);
	world_define_one(w, "a", 0x10);
	world_run(w, WORLD_SECOND);
	cr_assert_leq(w->n_effects[ISO_EFFECT_OBSERVE], 6);
	cr_assert(world_noted(w, "observation failed: planned failure of observe"));
	world_run(w, 15 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LIVE);
	world_free(w);
}

static struct world *small_world(struct iso_limits limits)
{
	struct iso_policy policy;
	struct world *w;

	iso_policy_default(&policy);
	w = world_new_with(&limits, &policy);
	world_simple_bridge(w, 2, 0x10);
	world_define_one(w, "low", 0x10);
	world_run(w, WORLD_SECOND);
	return w;
}

/* Proves: a full table is an answer, and what was refused works when there is room again. */
Test(engine_operation, full_tables)
{
	struct iso_limits limits = {1, 2, 2, 1, 1, 2, 2, 64, 2, 12};
	struct world *w = small_world(limits);
	uint64_t request;
	uint32_t one, two;

	cr_assert_eq(world_reply(w, world_define_one(w, "high", 0x11)), ISO_REPLY_TABLE_FULL);
	one = world_start_vm(w, "one", "low", WORLD_PART);
	two = world_start_vm(w, "two", "low", WORLD_PART);
	request = world_acquire(w, "three", "low", WORLD_PART);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_TABLE_FULL);
	world_exit(w, one);
	world_exit(w, two);
	world_run(w, WORLD_SECOND);
	world_start_vm(w, "three", "low", WORLD_PART);
	world_free(w);
}

/* Proves: without room for an instance a lease waits, or hears so. */
Test(engine_operation, no_room_for_instances)
{
	struct iso_limits limits = {1, 2, 2, 1, 1, 1, 4, 64, 2, 12};
	struct world *w = small_world(limits);
	struct iso_acquire terms = {.name = "three", .uid = 1, .n_parts = 1};
	uint32_t one = world_start_vm(w, "one", "low", WORLD_PART);
	uint64_t two = world_acquire(w, "two", "low", WORLD_PART), three;

	terms.parts[0].bytes = WORLD_PART;
	three = world_acquire_terms(w, &terms);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, two), ISO_REPLY_WAITING);
	cr_assert_eq(world_reply(w, three), ISO_REPLY_TABLE_FULL);
	world_exit(w, one);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, two), ISO_REPLY_DONE, "%s", w->trace);
	world_free(w);
}

/* Proves: with room for one operation only everything still gets done, and kills need none. */
Test(engine_operation, one_operation_at_a_time)
{
	struct iso_limits limits = {1, 2, 2, 1, 2, 4, 4, 1, 2, 12};
	struct world *w = small_world(limits);
	uint32_t one, two;

	world_acquire(w, "one", "low", WORLD_PART);
	world_run(w, 60 * WORLD_SECOND);
	one = world_attach(w, "one");
	world_acquire(w, "two", "low", WORLD_PART);
	world_run(w, 60 * WORLD_SECOND);
	two = world_attach(w, "two");
	cr_assert_neq(two, ISO_NONE, "%s", w->trace);
	world_changed(w); /* takes the only place */
	world_run(w, 2 * WORLD_MS);
	world_surprise_down(w, 0);
	cr_assert_eq(w->effects.n_kills, 2);
	world_run(w, 120 * WORLD_SECOND);
	cr_assert_not(w->processes[one].running);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: uevents in the midst of a change do not each cost an observation; after it the next is looked at at once. */
Test(engine_operation, observations_in_a_storm)
{
	struct world *w = world_pair();
	uint32_t before, i;

	w->reset_ns = WORLD_SECOND;
	world_start_vm(w, "web", "low", WORLD_PART);
	world_surprise_down(w, 0);
	before = w->n_effects[ISO_EFFECT_OBSERVE];
	for (i = 0; i < 90; i++) { /* while the kernel resets */
		world_changed(w);
		world_run(w, 10 * WORLD_MS);
	}
	cr_assert_leq(w->n_effects[ISO_EFFECT_OBSERVE] - before, 10);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	before = w->n_effects[ISO_EFFECT_OBSERVE];
	world_changed(w);
	world_run(w, 20 * WORLD_MS);
	cr_assert_eq(w->n_effects[ISO_EFFECT_OBSERVE], before + 1);
	world_free(w);
}

/* Proves: with every incident open the kills still come. */
Test(engine_operation, no_room_for_incidents)
{
	struct iso_limits limits = {4, 8, 8, 4, 4, 8, 8, 64, 1, 12};
	struct iso_policy policy;
	struct world *w;
	uint32_t vm;

	iso_policy_default(&policy);
	w = world_new_with(&limits, &policy);
	world_simple_bridge(w, 1, 0x10);
	world_simple_bridge(w, 1, 0x20);
	world_define_one(w, "a", 0x10);
	world_define_one(w, "b", 0x20);
	world_run(w, WORLD_SECOND);
	world_unplug(w, 0);
	vm = world_start_vm(w, "web", "b", WORLD_PART);
	world_surprise_down(w, 1);
	cr_assert_eq(w->processes[vm].kills, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "b").state, ISO_REGION_LIVE);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	world_free(w);
}

/* Proves: limits that cannot be held are refused, those of the daemon can. */
Test(engine_operation, limits)
{
	static uint64_t memory[1 << 20] __attribute__((aligned(64)));
	struct iso_limits limits, bad;
	struct iso_policy policy;
	size_t bytes;
	void *large;

	iso_limits_default(&limits);
	iso_policy_default(&policy);
	bytes = iso_engine_bytes(&limits);
	cr_assert_lt(bytes, 64u << 20);
	large = aligned_alloc(64, bytes);
	cr_assert_not_null(iso_engine_init(large, bytes, &limits, &policy));
	cr_assert_null(iso_engine_init(large, bytes - 64, &limits, &policy));
	free(large);
	limits = (struct iso_limits){1, 1, 1, 1, 1, 1, 1, 1, 1, 12};
	cr_assert_not_null(iso_engine_init(memory, sizeof(memory), &limits, &policy));
	cr_assert_null(iso_engine_init((char *)memory + 8, sizeof(memory) - 64, &limits, &policy));
	for (size_t i = 0; i < sizeof(limits) / sizeof(uint32_t); i++) {
		bad = limits;
		((uint32_t *)&bad)[i] = 0;
		cr_assert_null(iso_engine_init(memory, sizeof(memory), &bad, &policy));
		((uint32_t *)&bad)[i] = UINT32_MAX;
		cr_assert_null(iso_engine_init(memory, sizeof(memory), &bad, &policy));
	}
}
