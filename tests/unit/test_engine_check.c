/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every invariant of iso_check() trips when the state is corrupted as it says. */
#include <criterion/criterion.h>

#include "world.h"
#include "state.h"

struct corrupted {
	struct world *w;
	struct region *low, *high;
	struct lease *lease; /* attached, on low */
	struct instance *instance;
};

static struct corrupted begin(void)
{
	struct corrupted c = {.w = world_pair()};

	world_start_vm(c.w, "web", "low", WORLD_PART);
	c.low = &c.w->engine->regions[iso_region_find(c.w->engine, "low")];
	c.high = &c.w->engine->regions[iso_region_find(c.w->engine, "high")];
	c.lease = &c.w->engine->leases[iso_lease_find(c.w->engine, "web")];
	c.instance = &c.w->engine->instances[c.lease->instances[0]];
	cr_assert_null(iso_check(c.w->engine));
	return c;
}

static void trips(struct corrupted *c, const char *invariant)
{
	const char *broken = iso_check(c->w->engine);

	cr_assert_not_null(broken, "'%s' does not trip", invariant);
	cr_assert_str_eq(broken, invariant);
	world_free(c->w);
}

Test(engine_check, region_lists_its_own)
{
	struct corrupted c = begin();

	c.instance->region = c.high - c.w->engine->regions;
	trips(&c, "a region's list holds only its own instances");
}

Test(engine_check, region_list_is_finite)
{
	struct corrupted c = begin();

	c.instance->next = c.lease->instances[0];
	trips(&c, "a region's list is as long as its count");
}

Test(engine_check, region_bytes_add_up)
{
	struct corrupted c = begin();

	c.low->held_bytes++;
	trips(&c, "what instances hold of a region adds up");
}

Test(engine_check, live_region_is_known)
{
	struct corrupted c = begin();

	c.high->kernel_id = ISO_NONE;
	trips(&c, "a live region is known to the kernel");
}

Test(engine_check, region_number_is_its_own)
{
	struct corrupted c = begin();

	c.high->kernel_id = c.low->kernel_id;
	trips(&c, "a kernel's region is one of ours only once");
}

Test(engine_check, no_byte_twice)
{
	struct corrupted c = begin();

	c.low->range.bytes = WORLD_PART / 2;
	trips(&c, "no byte of a region is leased twice");
}

Test(engine_check, attached_has_process)
{
	struct corrupted c = begin();

	c.lease->pid = 1;
	trips(&c, "an attached lease has a process");
}

Test(engine_check, lost_memory_means_killed)
{
	struct corrupted c = begin();

	c.instance->lost = true;
	trips(&c, "a VM with lost memory has been killed");
}

Test(engine_check, attached_holds_proved)
{
	struct corrupted c = begin();

	c.instance->state = ISO_INSTANCE_ZEROING;
	trips(&c, "an attached lease holds proved instances");
}

Test(engine_check, attached_only_on_live)
{
	struct corrupted c = begin();

	c.low->state = ISO_REGION_LOST;
	trips(&c, "an attached lease stands on live regions");
}

Test(engine_check, lease_and_instance_agree)
{
	struct corrupted c = begin();

	c.instance->lease = ISO_NONE;
	trips(&c, "a lease and its instances name each other");
}

Test(engine_check, waiting_holds_nothing)
{
	struct corrupted c = begin();

	c.lease->state = ISO_LEASE_WAITING;
	trips(&c, "a waiting lease holds nothing");
}

Test(engine_check, killed_says_so)
{
	struct corrupted c = begin();

	c.lease->state = ISO_LEASE_KILLED;
	trips(&c, "a killed lease says so");
}

Test(engine_check, removal_is_proved_safe)
{
	struct corrupted c = begin();

	c.lease->state = ISO_LEASE_VERIFYING;
	c.instance->state = ISO_INSTANCE_REMOVING;
	trips(&c, "an instance is removed only when nobody is shown to map it");
}

Test(engine_check, names_are_unique)
{
	struct corrupted c = begin();

	world_start_vm(c.w, "db", "low", WORLD_PART);
	c.w->engine->instances[world_lease(c.w, "db").instances[0]].kernel_id =
		c.instance->kernel_id;
	trips(&c, "a name of a dax device belongs to one instance");
}

Test(engine_check, one_operation_on_shared_decoders)
{
	struct corrupted c = begin();

	c.low->state = ISO_REGION_CREATING;
	c.low->held_bytes = c.low->n_instances = 0;
	c.low->first_instance = ISO_NONE;
	c.lease->used = c.instance->used = false;
	c.low->operation_topology = c.high->operation_topology = c.w->engine->topology;
	c.high->operation = 77;
	trips(&c, "one operation at a time on shared decoders");
}

Test(engine_check, incident_counts_the_pending)
{
	struct corrupted c = begin();

	world_surprise_down(c.w, 0);
	c.w->engine->incidents[0].n_pending++;
	trips(&c, "an incident counts the leases not yet contained");
}

Test(engine_check, incident_counts_the_wishes)
{
	struct corrupted c = begin();

	world_surprise_down(c.w, 0);
	c.w->engine->incidents[0].n_unrestored--;
	trips(&c, "an incident counts the leases that want to come back");
}

Test(engine_check, queue_is_sorted)
{
	struct corrupted c = begin();

	world_acquire(c.w, "one", "low", WORLD_UNIT);
	world_acquire(c.w, "two", "low", WORLD_UNIT);
	c.w->engine->leases[iso_lease_find(c.w->engine, "one")].sequence = 999;
	trips(&c, "waiting leases queue in fairness order");
}

Test(engine_check, queue_is_whole)
{
	struct corrupted c = begin();

	world_acquire(c.w, "one", "low", WORLD_UNIT);
	c.w->engine->queue_head = ISO_NONE;
	trips(&c, "waiting leases queue in fairness order");
}

Test(engine_check, reconcile_is_answered)
{
	struct corrupted c = begin();

	c.w->engine->reconcile.n_asked = 1;
	trips(&c, "who asks to reconcile is being answered");
}

Test(engine_check, adoption_ends)
{
	struct corrupted c = begin();

	c.instance->adopting = true;
	trips(&c, "an instance waits for adoption only while that is decided");
}

Test(engine_check, the_dying_are_counted)
{
	struct corrupted c = begin();

	world_surprise_down(c.w, 0);
	c.w->engine->n_dying--;
	trips(&c, "dying and stuck leases are counted");
}

Test(engine_check, the_stuck_are_counted)
{
	struct corrupted c = begin();

	c.w->engine->n_stuck++;
	trips(&c, "dying and stuck leases are counted");
}

Test(engine_check, the_held_up_are_listed)
{
	struct corrupted c = begin();

	c.w->engine->held_up[c.w->engine->n_held_up++] = 0;
	trips(&c, "regions held up by the decoder order are listed");
}

Test(engine_check, only_the_held_up_are_listed)
{
	struct corrupted c = begin();

	c.high->wait = ISO_WAIT_DECODER_ORDER;
	c.w->engine->held_up[c.w->engine->n_held_up++] = c.low - c.w->engine->regions;
	trips(&c, "regions held up by the decoder order are listed");
}

Test(engine_check, effects_found_room)
{
	struct corrupted c = begin();

	c.w->engine->n_dropped = 1;
	trips(&c, "effects found room");
}

Test(engine_check, healthy_means_all_there)
{
	struct corrupted c = begin();

	c.high->state = ISO_REGION_LOST;
	trips(&c, "a healthy domain has all its regions");
}

Test(engine_check, flapping_means_kept_away)
{
	struct corrupted c = begin();

	c.w->engine->ports[0].flapping = true;
	trips(&c, "a port that was lost too often is kept away");
}

Test(engine_check, contained_means_nobody_pending)
{
	struct corrupted c = begin();

	world_surprise_down(c.w, 0);
	c.w->engine->incidents[0].contained_ns = 1;
	trips(&c, "an incident is contained when nobody is left to wait for");
}
