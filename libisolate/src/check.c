/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What must always hold, after every step. */
#include "state.h"

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
	if (region->state != ISO_REGION_LIVE)
		return NULL;
	if (region->kernel_id == ISO_NONE || !region->range.bytes)
		return "a live region is known to the kernel";
	if (region->held_bytes > region->range.bytes)
		return "no byte of a region is leased twice";
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

static const char *check_removal(const struct iso_engine *e, const struct instance *instance)
{
	uint32_t l = instance->lease;

	if (instance->state == ISO_INSTANCE_REMOVING && l != ISO_NONE &&
	    e->leases[l].state != ISO_LEASE_RETRACTING)
		return "an instance is removed only when nobody is shown to map it";
	return NULL;
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
	uint32_t l, pending = 0;

	if (!incident->id || !incident->open)
		return NULL;
	for (l = 0; l < e->n_leases; l++)
		pending += e->leases[l].used && e->leases[l].contain_pending &&
			   e->leases[l].incident == incident->id;
	return pending == incident->n_pending ? NULL :
	       "an incident counts the leases not yet contained";
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
			broken = check_removal(e, &e->instances[i]);
	for (i = 0; !broken && i < e->n_incidents; i++)
		broken = check_incident(e, &e->incidents[i]);
	if (!broken && e->n_dropped)
		broken = "effects found room";
	return broken;
}
