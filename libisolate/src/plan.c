/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The carve planner: which regions serve a request. The kernel chooses the
 * range inside a region; the planner only promises that the bytes are free.
 */
#include <stdio.h>

#include "state.h"

static bool region_open(const struct iso_engine *e, const struct region *region)
{
	uint32_t i;

	if (!region->used || region->state != ISO_REGION_LIVE || region->draining ||
	    !region->desired || region->unobserved)
		return false;
	for (i = 0; i < region->definition.ways; i++) {
		uint32_t m = region->legs[i];

		if (m == ISO_NONE || !e->memdevs[m].bound ||
		    e->memdevs[m].settling_until_ns > e->now_ns)
			return false;
	}
	return true;
}

static uint64_t free_in(const struct iso_engine *e, uint32_t r, const struct lease *lease,
			const uint32_t *taken, uint32_t n_taken)
{
	const struct region *region = &e->regions[r];
	uint64_t bytes = region->range.bytes > region->held_bytes ?
		region->range.bytes - region->held_bytes : 0;
	uint32_t p;

	for (p = 0; p < n_taken; p++)
		if (taken[p] == r)
			bytes -= bytes < lease->terms.parts[p].bytes ? bytes :
				 lease->terms.parts[p].bytes;
	return bytes;
}

static enum plan_outcome plan_named(const struct iso_engine *e, const struct lease *lease,
				    uint32_t part, uint32_t *taken)
{
	uint32_t r = iso_region_find(e, lease->terms.parts[part].region);

	if (r == ISO_NONE)
		return PLAN_NO_REGION;
	if (!region_open(e, &e->regions[r]))
		return PLAN_FENCED;
	if (free_in(e, r, lease, taken, part) < lease->terms.parts[part].bytes)
		return PLAN_NO_CAPACITY;
	taken[part] = r;
	return PLAN_PLACED;
}

/* The emptiest region spreads tenants over fault units. */
static enum plan_outcome plan_anywhere(const struct iso_engine *e, const struct lease *lease,
				       uint32_t part, uint32_t *taken)
{
	uint64_t best_bytes = 0;
	uint32_t r, best = ISO_NONE;
	bool open = false;

	for (r = 0; r < e->n_regions; r++) {
		uint64_t bytes;

		if (!region_open(e, &e->regions[r]))
			continue;
		open = true;
		bytes = free_in(e, r, lease, taken, part);
		if (bytes >= lease->terms.parts[part].bytes && bytes > best_bytes) {
			best = r;
			best_bytes = bytes;
		}
	}
	if (best == ISO_NONE)
		return open ? PLAN_NO_CAPACITY : PLAN_FENCED;
	taken[part] = best;
	return PLAN_PLACED;
}

enum plan_outcome plan_lease(const struct iso_engine *e, uint32_t l,
			     uint32_t ret_regions[ISO_LEASE_PARTS_MAX])
{
	const struct lease *lease = &e->leases[l];
	uint32_t p;

	for (p = 0; p < lease->terms.n_parts; p++) {
		enum plan_outcome outcome = lease->terms.parts[p].region[0] ?
			plan_named(e, lease, p, ret_regions) :
			plan_anywhere(e, lease, p, ret_regions);

		if (outcome != PLAN_PLACED)
			return outcome;
	}
	return PLAN_PLACED;
}

static void say_why(struct iso_engine *e, struct lease *lease, enum plan_outcome outcome)
{
	const char *name = lease->terms.parts[0].region;
	uint32_t r = name[0] ? iso_region_find(e, name) : ISO_NONE;

	if (outcome == PLAN_NO_CAPACITY)
		snprintf(lease->waits_for, sizeof(lease->waits_for), "free capacity%s%s",
			 name[0] ? " in region " : "", name);
	else if (r != ISO_NONE)
		snprintf(lease->waits_for, sizeof(lease->waits_for), "region %s: %s%s%s", name,
			 iso_region_state_name(e->regions[r].state),
			 e->regions[r].state == ISO_REGION_ABSENT ? ", waits for " : "",
			 e->regions[r].state == ISO_REGION_ABSENT ?
			 iso_region_wait_name(e->regions[r].wait) : "");
	else
		snprintf(lease->waits_for, sizeof(lease->waits_for), "%s%s",
			 name[0] ? "region " : "a healthy region", name);
}

static void place(struct iso_engine *e, uint32_t l, const uint32_t *regions)
{
	struct lease *lease = &e->leases[l];
	uint32_t p, i;

	lease_enter(e, l, ISO_LEASE_PREPARING);
	lease->waits_for[0] = '\0';
	for (p = 0; p < lease->terms.n_parts; p++) {
		i = instance_new(e, regions[p], l, p, lease->terms.parts[p].bytes,
				 lease->terms.align);
		if (i == ISO_NONE) {
			copy_text(lease->waits_for, sizeof(lease->waits_for),
				  "the instance table is full");
			lease->failures++;
			lease_begin_end(e, l);
			return;
		}
		lease->instances[lease->n_instances++] = i;
		instance_advance(e, i);
	}
}

static void try_one(struct iso_engine *e, uint32_t l)
{
	uint32_t regions[ISO_LEASE_PARTS_MAX];
	struct lease *lease = &e->leases[l];
	enum plan_outcome outcome;

	if (lease->retry_at_ns > e->now_ns) {
		engine_arm(e, lease->retry_at_ns);
		return;
	}
	outcome = plan_lease(e, l, regions);
	if (outcome == PLAN_PLACED)
		place(e, l, regions);
	else
		say_why(e, lease, outcome);
}

/* Waiting leases in the order in which they first asked. */
void plan_waiting(struct iso_engine *e)
{
	uint64_t done = 0; /* sequences start at 1 */
	uint32_t l, next;

	do {
		next = ISO_NONE;
		for (l = 0; l < e->n_leases; l++) {
			const struct lease *lease = &e->leases[l];

			if (lease->used && lease->state == ISO_LEASE_WAITING &&
			    lease->client_waits && lease->sequence > done &&
			    (next == ISO_NONE || lease->sequence < e->leases[next].sequence))
				next = l;
		}
		if (next != ISO_NONE) {
			done = e->leases[next].sequence;
			try_one(e, next);
		}
	} while (next != ISO_NONE);
}
