/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Eviction: where policy or an operator says so, the tenants of a region that
 * stands above a lost one in the decoder order do not hold up its recovery:
 * they are killed like victims, their region makes way, both come back. The
 * one case in which a VM outside a blast radius is signalled.
 */
#include "state.h"

static bool can_be_evicted(const struct lease *lease)
{
	switch ((enum iso_lease_state)lease->state) {
	case ISO_LEASE_PREPARING:
	case ISO_LEASE_ACQUIRED:
	case ISO_LEASE_ATTACHED:
	case ISO_LEASE_KEPT:
		return true;
	case ISO_LEASE_WAITING:
	case ISO_LEASE_KILLED:
	case ISO_LEASE_VERIFYING:
	case ISO_LEASE_RETRACTING:
	case ISO_LEASE_STUCK:
	case ISO_LEASE_STATES:
		break;
	}
	return false;
}

static bool has_tenants(const struct iso_engine *e, const struct region *region)
{
	uint32_t i;

	for (i = region->first_instance; i != ISO_NONE; i = e->instances[i].next)
		if (e->instances[i].lease != ISO_NONE &&
		    can_be_evicted(&e->leases[e->instances[i].lease]))
			return true;
	return false;
}

static void evict_tenants(struct iso_engine *e, uint32_t above, uint32_t r)
{
	struct region *region = &e->regions[above];
	struct incident *incident;
	uint32_t i, next;

	incident = incident_of_domain(e, region->domain);
	if (!incident)
		incident = incident_open(e, ISO_CAUSE_EVICTED, region->definition.name,
					 region->domain, e->now_ns);
	emit_note(e, ISO_NOTE_REGION, incident ? incident->id : 0,
		  "region %s: its VMs make way for region %s, which lies below it",
		  region->definition.name, e->regions[r].definition.name)
		->region = above;
	for (i = region->first_instance; i != ISO_NONE; i = next) {
		uint32_t l = e->instances[i].lease;

		next = e->instances[i].next;
		if (l != ISO_NONE && can_be_evicted(&e->leases[l]))
			lease_fault(e, l, incident ? incident->id : 0);
	}
	if (incident)
		emit_save_incident(e, incident);
}

static bool stands_above(const struct iso_engine *e, uint32_t above, uint32_t r)
{
	const struct region *region = &e->regions[above];

	return above != r && region->used && region->state == ISO_REGION_LIVE &&
	       order_shares_decoders(e, &e->regions[r], region) && order_blocks(e, above, r);
}

/* After the regions were looked at: what waits for tenants says so in its wait. */
void evict_advance(struct iso_engine *e)
{
	uint32_t r, i;

	for (r = 0; r < e->n_regions; r++) {
		const struct region *region = &e->regions[r];

		if (!region->used || !region->desired || region->state != ISO_REGION_ABSENT ||
		    region->wait != ISO_WAIT_DECODER_ORDER || !(e->policy.evict || region->evict))
			continue;
		for (i = 0; i < e->n_regions; i++)
			if (stands_above(e, i, r) && has_tenants(e, &e->regions[i]))
				evict_tenants(e, i, r);
	}
}

static bool is_in(const struct iso_engine *e, const struct lease *lease, uint32_t r)
{
	uint32_t i;

	for (i = 0; i < lease->n_instances; i++)
		if (e->instances[lease->instances[i]].region == r)
			return true;
	return false;
}

bool iso_lease_makes_way(const struct iso_engine *e, uint32_t l)
{
	uint32_t r, i;

	if (l >= e->n_leases || !e->leases[l].used || !can_be_evicted(&e->leases[l]))
		return false;
	for (r = 0; r < e->n_regions; r++) {
		const struct region *region = &e->regions[r];

		if (!region->used || !region->desired || region->state == ISO_REGION_LIVE ||
		    !(e->policy.evict || region->evict))
			continue;
		for (i = 0; i < e->n_regions; i++)
			if (stands_above(e, i, r) && is_in(e, &e->leases[l], i))
				return true;
	}
	return false;
}
