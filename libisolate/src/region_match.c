/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which kernel region is which managed one, and what that says about it. A
 * region is its ordered memdev serials; regionN only helps within one boot,
 * when targets are already empty.
 */
#include "state.h"

enum match { MATCH_NO, MATCH_PARTLY, MATCH_WHOLE };

static enum match match_targets(const struct region *region, const struct iso_observed_region *seen)
{
	uint32_t i, present = 0;

	if (seen->ways != region->definition.ways || seen->ways > ISO_WAYS_MAX)
		return MATCH_NO;
	for (i = 0; i < seen->ways; i++) {
		if (!seen->targets[i].present)
			continue;
		if (seen->targets[i].serial != region->definition.serials[i])
			return MATCH_NO;
		present++;
	}
	return present == seen->ways ? MATCH_WHOLE : MATCH_PARTLY;
}

static bool any_target(const struct iso_observed_region *seen)
{
	uint32_t i;

	for (i = 0; i < seen->ways && i < ISO_WAYS_MAX; i++)
		if (seen->targets[i].present)
			return true;
	return false;
}

static bool is_managed(const struct iso_engine *e, uint32_t kernel_id)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (e->regions[r].used && e->regions[r].kernel_id == kernel_id)
			return true;
	return false;
}

/* Numbers are used again: who had it before a restart of ours may have lost it since. */
static bool is_anothers(const struct iso_engine *e, const struct region *region,
			const struct iso_observed_region *seen)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (e->regions[r].used && &e->regions[r] != region &&
		    e->regions[r].kernel_id == seen->kernel_id &&
		    match_targets(&e->regions[r], seen) != MATCH_NO)
			return true;
	return false;
}

/*
 * How well a kernel region fits: several regions may stand on the same memdevs,
 * and then number, address and size tell them apart. 0: it is not ours.
 */
static uint32_t likeness(const struct iso_engine *e, const struct region *region,
			 const struct iso_observed_region *seen)
{
	enum match match = match_targets(region, seen);
	uint32_t points = 0;

	if (match == MATCH_NO)
		return 0;
	if (seen->kernel_id == region->kernel_id)
		return 100;
	if (is_anothers(e, region, seen))
		return 0;
	if (region->has_hpa && region->last_hpa.v == seen->range.start.v)
		points += 4;
	if (region->definition.bytes && region->definition.bytes == seen->range.bytes)
		points += 2;
	if (match == MATCH_WHOLE)
		return 20 + points;
	/* A leftover without any target may be ours only if we were making one. */
	if (any_target(seen))
		return 10 + points;
	return region->creation_interrupted && !seen->committed ? 1 : 0;
}

const struct iso_observed_region *region_observed(const struct iso_engine *e,
						  const struct region *region,
						  const struct iso_snapshot *s)
{
	const struct iso_observed_region *best = NULL;
	uint32_t i, most = 0;

	for (i = 0; i < s->n_regions; i++) {
		uint32_t points = likeness(e, region, &s->regions[i]);

		if (points <= most)
			continue;
		most = points;
		best = &s->regions[i];
	}
	return best;
}

static uint32_t window_at(const struct iso_engine *e, struct iso_hpa hpa)
{
	uint32_t i;

	for (i = 0; i < e->n_windows; i++) {
		const struct iso_hpa_range *range = &e->windows[i].observed.range;

		if (hpa.v >= range->start.v && hpa.v - range->start.v < range->bytes)
			return i;
	}
	return ISO_NONE;
}

bool region_works(const struct region *region, const struct iso_observed_region *seen)
{
	return seen && match_targets(region, seen) == MATCH_WHOLE && seen->committed &&
	       seen->bound && seen->has_dax;
}

static void adopt(struct iso_engine *e, uint32_t r, const struct iso_observed_region *seen)
{
	struct region *region = &e->regions[r];
	bool was_known = region->state == ISO_REGION_LIVE;
	uint32_t known_id = region->kernel_id, i;
	bool news = false;

	if (!region_take_kernel_id(e, r, seen->kernel_id)) {
		region->kernel_id = known_id; /* contradictory: the next look will tell */
		return;
	}
	region->range = seen->range;
	region->last_hpa = seen->range.start;
	region->has_hpa = true;
	region->locked = seen->locked;
	region->window = window_at(e, seen->range.start);
	region->granularity = seen->granularity;
	for (i = 0; i < seen->ways; i++) {
		news |= !region->leg_dpa[i].bytes && seen->targets[i].dpa.bytes;
		region->leg_dpa[i] = seen->targets[i].dpa;
	}
	e->ledger_dirty = true;
	if (!was_known) {
		region_set_wait(e, r, ISO_WAIT_NOTHING);
		region->creation_interrupted = false;
		region_enter(e, r, ISO_REGION_LIVE);
		emit_save_region(e, r);
	}
	if (news)
		ledger_resettle(e, r);
}

/*
 * Whether an interrupted creation may have left something under a number that another region is
 * just giving up: whose it is is known when the end of that was heard of.
 */
static bool leftover_in_doubt(const struct iso_engine *e, const struct region *region,
			      const struct iso_snapshot *s)
{
	uint32_t i, r;

	for (i = 0; region->creation_interrupted && i < s->n_regions; i++) {
		const struct iso_observed_region *seen = &s->regions[i];

		if (seen->committed || any_target(seen) || match_targets(region, seen) == MATCH_NO)
			continue;
		for (r = 0; r < e->n_regions; r++)
			if (e->regions[r].used && &e->regions[r] != region &&
			    e->regions[r].kernel_id == seen->kernel_id &&
			    e->regions[r].state == ISO_REGION_CLEARING)
				return true;
	}
	return false;
}

static void take_in_one(struct iso_engine *e, uint32_t r, const struct iso_snapshot *s)
{
	struct region *region = &e->regions[r];
	const struct iso_observed_region *seen = region_observed(e, region, s);

	switch ((enum iso_region_state)region->state) {
	case ISO_REGION_ABSENT:
		if (region_works(region, seen) && region->domain != ISO_NONE) {
			adopt(e, r, seen);
		} else if (seen && region_take_kernel_id(e, r, seen->kernel_id)) {
			region->range = seen->range; /* it holds its place until it is cleared */
			region->has_hpa = true;
			region->last_hpa = seen->range.start;
			region_enter(e, r, ISO_REGION_LOST);
		} else {
			region->kernel_id = ISO_NONE;
		}
		/* It is there, but another claims its number: nothing is made before the next look tells. */
		region->unobserved = region->state == ISO_REGION_ABSENT &&
				     (seen || leftover_in_doubt(e, region, s));
		break;
	case ISO_REGION_LIVE:
		if (region_works(region, seen)) {
			adopt(e, r, seen);
			break;
		}
		fault_region_gone(e, r);
		region->unobserved = region->observation_stale = false; /* this is what was seen */
		region_take_kernel_id(e, r, seen ? seen->kernel_id : ISO_NONE);
		break;
	case ISO_REGION_LOST:
	case ISO_REGION_QUARANTINED:
		region_take_kernel_id(e, r, seen ? seen->kernel_id : ISO_NONE);
		break;
	case ISO_REGION_CREATING:
	case ISO_REGION_CLEARING:
	case ISO_REGION_STATES:
		break;
	}
}

/* It was not looked at yet, or not at rest: the next observation tells which kernel region it is. */
static bool in_doubt(const struct region *region)
{
	return region->n_operations || region->observation_stale || region->unobserved;
}

bool region_may_be_managed(const struct iso_engine *e, const struct iso_observed_region *seen)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (e->regions[r].used && in_doubt(&e->regions[r]) &&
		    match_targets(&e->regions[r], seen) != MATCH_NO)
			return true;
	return is_managed(e, seen->kernel_id);
}

/* Other people's regions take room in the windows. */
static void take_in_foreign(struct iso_engine *e, const struct iso_snapshot *s)
{
	uint32_t i;

	e->n_foreign = 0;
	for (i = 0; i < s->n_regions && e->n_foreign < e->limits.regions; i++)
		if (!is_managed(e, s->regions[i].kernel_id))
			e->foreign[e->n_foreign++] = s->regions[i].range;
}

/* An instance known from before a restart of ours, on a region that is not there any more. */
static bool stands_on_nothing(const struct iso_engine *e, const struct region *region)
{
	uint32_t i;

	if (region->state == ISO_REGION_LIVE)
		return false;
	for (i = region->first_instance; i != ISO_NONE; i = e->instances[i].next)
		if (!e->instances[i].lost)
			return true;
	return false;
}

void region_take_in(struct iso_engine *e, const struct iso_snapshot *snapshot)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++) {
		struct region *region = &e->regions[r];

		if (!region->used)
			continue;
		/* Overlapped by an operation: it shows neither before nor after. */
		if (region->n_operations) {
			region->observe_again = true;
			continue;
		}
		if (region->observation_stale) {
			engine_observe(e);
			continue;
		}
		region->unobserved = false;
		e->placement_dirty |= region->doubted;
		region->doubted = false;
		take_in_one(e, r, snapshot);
		if (stands_on_nothing(e, region))
			fault_restored(e, r);
	}
	take_in_foreign(e, snapshot);
	e->regions_dirty = true;
}
