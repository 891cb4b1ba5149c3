/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of dax devices go on to other devices: what is known of the one is not done to the other. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

/*
 * Device x goes, and one by hand gets its name, which a process maps that
 * belongs to nothing. Return: it.
 */
static uint32_t exchange(struct world *w, uint32_t x)
{
	struct world_process *process = &w->processes[w->n_processes];
	uint32_t other;

	for (other = 0; w->dax[other].used; other++)
		;
	w->dax[other] = w->dax[x];
	w->dax[other].minor = w->dax[x].minor + 40;
	w->dax[other].node = false;
	w->dax[x].exists = w->dax[x].bound = false;
	w->seqnum++;
	*process = (struct world_process){
		.pid = WORLD_FIRST_PID / 2, .running = true, .n_maps = 1, .maps = {other}};
	w->n_processes++;
	world_changed(w);
	return other;
}

static void check_taken_apart(bool restarted)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART), other;

	world_fail(w, ISO_EFFECT_INTENT, 1, UINT32_MAX, -28 /* ENOSPC */);
	world_exit(w, vm);
	world_run(w, 5 * WORLD_SECOND);
	if (restarted) {
		world_restart(w);
		world_run(w, 5 * WORLD_SECOND);
	}
	cr_assert_eq(w->n_effects[ISO_EFFECT_REMOVE], 0);
	other = exchange(w, w->processes[vm].maps[0]);
	world_run(w, 5 * WORLD_SECOND);
	w->n_plans = 0; /* the store works again */
	world_run(w, 60 * WORLD_SECOND);
	cr_assert(w->dax[other].exists && w->dax[other].bound, "%s", w->trace);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert(world_noted(w, "belongs to no lease but process"), "%s", w->trace);
	world_free(w);
}

/* Proves: while an ended lease's instance waits to be removed its name may go to another, which stays. */
Test(engine_names, of_an_instance_that_waits_to_be_removed)
{
	check_taken_apart(false);
}

/* Proves: the same by a daemon that was started meanwhile, and has looked once. */
Test(engine_names, the_same_after_a_restart)
{
	check_taken_apart(true);
}

static bool is_told(struct world *w, const struct world_process *mapper)
{
	char text[64];

	snprintf(text, sizeof(text), "belongs to no lease but process %d", mapper->pid);
	return world_noted(w, text);
}

/* Proves: an orphan whose name goes to another one is forgotten, and the other is looked at by itself. */
Test(engine_names, of_an_orphan)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART), other;

	w->stored = (struct world_stored){0};
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(is_told(w, &w->processes[vm]), "%s", w->trace);
	w->processes[vm].running = false;
	other = exchange(w, w->processes[vm].maps[0]);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert(w->dax[other].exists && w->dax[other].bound, "%s", w->trace);
	cr_assert(is_told(w, &w->processes[w->n_processes - 1]), "%s", w->trace);
	world_free(w);
}

/* Proves: a region whose number a vanished one still claims is looked at again, not made a second time. */
Test(engine_names, number_of_a_vanished_region)
{
	struct world *w = world_new();
	struct iso_region_definition low = {
		.name = "low", .ways = 1, .bytes = WORLD_UNIT, .serials = {0x10}};
	uint32_t i, n = 0;

	w->objects_vanish = true;
	world_simple_bridge(w, 1, 0x10);
	world_simple_bridge(w, 1, 0x20);
	w->memdevs[0].bytes = w->seen_memdevs[0].volatile_bytes = 2 * WORLD_UNIT;
	kernel_unplug(w, 0);
	world_define_as(w, &low);
	world_define_one(w, "other", 0x20);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "other").kernel_id, 0);
	kernel_plug(w, 0);
	world_changed(w);
	for (i = 0; i < 100 && w->n_effects[ISO_EFFECT_CREATE_REGION] < 2; i++)
		world_run(w, WORLD_MS);
	w->no_uevents = true;
	kernel_unplug(w, 1); /* its number is free, and nobody has told */
	for (i = 0; i < 100 && !world_noted(w, "its number given away"); i++)
		world_run(w, WORLD_MS);
	world_acquire(w, "web", "other", WORLD_PART);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CARVE], 0, "nothing is carved from the one in doubt");
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_region(w, "low").kernel_id, 0);
	for (i = 0; i < WORLD_OBJECTS; i++)
		n += w->objects[i].used;
	cr_assert_eq(n, 1, "made once\n%s", w->trace);
	world_free(w);
}
