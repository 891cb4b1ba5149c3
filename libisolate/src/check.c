/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What must always hold, after every step. */
#include "fence.h"

static const char *check_region(const struct iso_engine *e, uint32_t r)
{
	const struct region *region = &e->regions[r];
	uint64_t bytes = 0;
	uint32_t i, n = 0;

	for (i = region->first_instance; i != ISO_NONE; i = e->instances[i].next) {
		if (!e->instances[i].used || e->instances[i].region != r)
			return "a region's list holds only its own instances";
		if (++n > region->n_instances)
			return "a region's list is as long as its count";
		bytes += e->instances[i].bytes;
	}
	if (n != region->n_instances || bytes != region->held_bytes)
		return "what instances hold of a region adds up";
	if (region->open && e->surveyed_step == e->step && fence_of_region(e, region))
		return "what policy has fenced takes no new tenants";
	if (region->state != ISO_REGION_LIVE)
		return NULL;
	if (region->kernel_id == ISO_NONE || !region->range.bytes)
		return "a live region is known to the kernel";
	if (region->held_bytes > region->range.bytes)
		return "no byte of a region is leased twice";
	for (i = 0; i < r; i++)
		if (e->regions[i].used && e->regions[i].kernel_id == region->kernel_id)
			return "a kernel's region is one of ours only once";
	return NULL;
}

static const char *check_attached(const struct iso_engine *e, const struct lease *lease)
{
	uint32_t p;

	if (lease->pid <= 1)
		return "an attached lease has a process";
	for (p = 0; p < lease->n_instances; p++) {
		const struct instance *instance = &e->instances[lease->instances[p]];

		if (instance->lost)
			return "a VM with lost memory has been killed";
		if (instance->state != ISO_INSTANCE_HELD)
			return "an attached lease holds proved instances";
		if (e->observed && !e->regions[instance->region].unobserved &&
		    e->regions[instance->region].state != ISO_REGION_LIVE)
			return "an attached lease stands on live regions";
	}
	return NULL;
}

static const char *check_lease(const struct iso_engine *e, uint32_t l)
{
	const struct lease *lease = &e->leases[l];
	uint32_t p;

	for (p = 0; p < lease->n_instances; p++)
		if (!e->instances[lease->instances[p]].used ||
		    e->instances[lease->instances[p]].lease != l)
			return "a lease and its instances name each other";
	if (lease->state == ISO_LEASE_WAITING && lease->n_instances)
		return "a waiting lease holds nothing";
	if (lease->state == ISO_LEASE_KILLED && !lease->was_killed)
		return "a killed lease says so";
	return lease->state == ISO_LEASE_ATTACHED ? check_attached(e, lease) : NULL;
}

/* Two that stand: what was lost may have left its name to another. */
static bool name_taken_twice(const struct iso_engine *e, const struct instance *instance)
{
	uint32_t i;

	for (i = e->regions[instance->region].first_instance; i != ISO_NONE;
	     i = e->instances[i].next)
		if (&e->instances[i] != instance && e->instances[i].named &&
		    !e->instances[i].lost && e->instances[i].kernel_id == instance->kernel_id &&
		    e->instances[i].region_kernel_id == instance->region_kernel_id)
			return true;
	return false;
}

/* A range that was found bad after this VM had got its memory. */
static bool stands_on_news(const struct iso_engine *e, const struct instance *instance)
{
	struct region_span span;
	uint32_t b;

	for (b = 0; e->n_not_good && b < e->n_bad; b++)
		if (e->bad[b].used && e->bad[b].state == ISO_BAD_BAD && e->bad[b].last_ns &&
		    e->bad[b].last_ns >= instance->begun_ns &&
		    place_bad(e, &e->bad[b], instance->region, &span) == PLACE_HERE &&
		    place_covers(e, instance, span))
			return true;
	return false;
}

static const char *check_bad(const struct iso_engine *e, const struct instance *instance)
{
	const struct lease *lease = &e->leases[instance->lease];

	if (!e->observed || instance->lost || e->regions[instance->region].state != ISO_REGION_LIVE)
		return NULL;
	if (instance->state == ISO_INSTANCE_READY || instance->state == ISO_INSTANCE_HANDING ||
	    (instance->state == ISO_INSTANCE_HELD && lease->state == ISO_LEASE_ACQUIRED))
		return place_bad_under(e, instance) != ISO_NONE
			       ? "no bad memory is kept ready or handed out"
			       : NULL;
	if (lease->state == ISO_LEASE_ATTACHED && poison_kills(e, lease) &&
	    stands_on_news(e, instance))
		return "a VM whose memory is poisoned has been killed";
	return NULL;
}

static const char *check_instance(const struct iso_engine *e, const struct instance *instance)
{
	uint32_t l = instance->lease;

	if (instance->named && !instance->lost && name_taken_twice(e, instance))
		return "a name of a dax device belongs to one instance";

	if (instance->state == ISO_INSTANCE_REMOVING && l != ISO_NONE &&
	    e->leases[l].state != ISO_LEASE_RETRACTING && !e->leases[l].revoked)
		return "an instance is removed only when nobody is shown to map it";
	return l != ISO_NONE ? check_bad(e, instance) : NULL;
}

static const char *check_order(const struct iso_engine *e, uint32_t r)
{
	uint32_t i;

	if (e->regions[r].state != ISO_REGION_CREATING ||
	    e->regions[r].operation_topology != e->topology)
		return NULL;
	for (i = 0; i < e->n_regions; i++)
		if (i != r && e->regions[i].used && e->regions[i].operation &&
		    e->regions[i].operation_topology == e->topology &&
		    order_shares_decoders(e, &e->regions[r], &e->regions[i]))
			return "one operation at a time on shared decoders";
	return NULL;
}

static const char *check_incident(const struct iso_engine *e, const struct incident *incident)
{
	uint32_t l, pending = 0, unrestored = 0;

	if (!incident->id || !incident->open)
		return NULL;
	if (incident->contained_ns && incident->n_pending)
		return "an incident is contained when nobody is left to wait for";
	for (l = 0; l < e->n_leases; l++) {
		const struct lease *lease = &e->leases[l];

		if (!lease->used || lease->incident != incident->id)
			continue;
		pending += lease->contain_pending;
		unrestored += lease->restore_pending;
	}
	if (pending != incident->n_pending)
		return "an incident counts the leases not yet contained";
	if (unrestored != incident->n_unrestored)
		return "an incident counts the leases that want to come back";
	return NULL;
}

static const char *check_domain(const struct iso_engine *e, const struct region *region)
{
	if (!e->observed || e->domains_dirty || region->domain == ISO_NONE || !region->desired ||
	    hold_standing(e, region) == ISO_REGION_LIVE)
		return NULL;
	return e->domains[region->domain].state == ISO_DOMAIN_HEALTHY
		       ? "a healthy domain has all its regions"
		       : NULL;
}

static const char *check_port(const struct port *port)
{
	return port->flapping && !port->held ? "a port that was lost too often is kept away" : NULL;
}

static const char *check_queue(const struct iso_engine *e)
{
	uint64_t sequence = 0;
	uint32_t l, waiting = 0;

	for (l = 0; l < e->n_leases; l++)
		waiting += e->leases[l].used && e->leases[l].state == ISO_LEASE_WAITING;
	for (l = e->queue_head; l != ISO_NONE; l = e->leases[l].queue_next) {
		if (!e->leases[l].used || e->leases[l].state != ISO_LEASE_WAITING ||
		    e->leases[l].sequence < sequence || !waiting--)
			return "waiting leases queue in fairness order";
		sequence = e->leases[l].sequence;
	}
	return waiting ? "waiting leases queue in fairness order" : NULL;
}

static const char *check_questions(const struct iso_engine *e)
{
	uint32_t i, adopting = 0;

	if ((e->reconcile.stage == RECONCILE_IDLE) != (e->reconcile.n_asked == 0))
		return "who asks to reconcile is being answered";
	for (i = 0; i < e->n_instances; i++)
		adopting += e->instances[i].used && e->instances[i].adopting;
	if (adopting > (e->adoption.stage != ADOPTION_IDLE))
		return "an instance waits for adoption only while that is decided";
	return NULL;
}

/* What is counted so that nobody has to look through all leases and regions. */
static const char *check_counts(const struct iso_engine *e)
{
	uint32_t i, dying = 0, stuck = 0, held_up = 0;

	for (i = 0; i < e->n_leases; i++) {
		dying += e->leases[i].used && e->leases[i].state == ISO_LEASE_KILLED;
		stuck += e->leases[i].used && e->leases[i].state == ISO_LEASE_STUCK;
	}
	if (dying != e->n_dying || stuck != e->n_stuck)
		return "dying and stuck leases are counted";
	for (i = 0; i < e->n_regions; i++)
		held_up += e->regions[i].used && e->regions[i].wait == ISO_WAIT_DECODER_ORDER;
	for (i = 0; i < e->n_held_up && held_up == e->n_held_up; i++)
		if (!e->regions[e->held_up[i]].used ||
		    e->regions[e->held_up[i]].wait != ISO_WAIT_DECODER_ORDER)
			held_up = 0;
	return held_up == e->n_held_up ? NULL : "regions held up by the decoder order are listed";
}

static const char *check_ledger(const struct iso_engine *e)
{
	uint32_t b, not_good = 0, unsaved = 0;

	for (b = 0; b < e->n_bad; b++) {
		const struct bad_range *bad = &e->bad[b];

		unsaved += bad->unsaved;
		if (!bad->used)
			continue;
		not_good += bad->state != ISO_BAD_VERIFIED;
		if (!bad->bytes || (!bad->has_dpa && bad->region == ISO_NONE))
			return "a bad range says where it is";
		if (bad->state == ISO_BAD_VERIFIED && !bad->cleared_ns && bad->last_ns)
			return "what is good again was cleared";
	}
	if (not_good != e->n_not_good || unsaved != e->n_unsaved)
		return "bad ranges are counted";
	return NULL;
}

const char *iso_check(const struct iso_engine *e)
{
	const char *broken = NULL;
	uint32_t i;

	for (i = 0; !broken && i < e->n_regions; i++) {
		if (!e->regions[i].used)
			continue;
		broken = check_region(e, i);
		if (!broken)
			broken = check_order(e, i);
	}
	for (i = 0; !broken && i < e->n_leases; i++)
		if (e->leases[i].used)
			broken = check_lease(e, i);
	for (i = 0; !broken && i < e->n_instances; i++)
		if (e->instances[i].used)
			broken = check_instance(e, &e->instances[i]);
	for (i = 0; !broken && i < e->n_incidents; i++)
		broken = check_incident(e, &e->incidents[i]);
	for (i = 0; !broken && i < e->n_regions; i++)
		if (e->regions[i].used)
			broken = check_domain(e, &e->regions[i]);
	for (i = 0; !broken && i < e->n_ports; i++)
		broken = check_port(&e->ports[i]);
	if (!broken)
		broken = check_ledger(e);
	if (!broken)
		broken = check_queue(e);
	if (!broken)
		broken = check_questions(e);
	if (!broken)
		broken = check_counts(e);
	if (!broken && e->n_dropped)
		broken = "effects found room";
	return broken;
}
