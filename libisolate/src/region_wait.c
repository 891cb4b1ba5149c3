/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What keeps a region from being made, or what the kernel left of it from
 * being refilled: a person, a device, the order of decoders, another region.
 */
#include <stdio.h>

#include "fence.h"

/* The only writer of a region's wait: those held up by the decoder order are listed apart. */
void region_set_wait(struct iso_engine *e, uint32_t r, enum iso_region_wait wait)
{
	struct region *region = &e->regions[r];
	bool was_held_up = region->wait == ISO_WAIT_DECODER_ORDER;
	bool is_held_up = wait == ISO_WAIT_DECODER_ORDER;
	uint32_t i;

	region->wait = wait;
	if (is_held_up == was_held_up)
		return;
	if (is_held_up) {
		assert(e->n_held_up < e->limits.regions);
		e->held_up[e->n_held_up++] = r;
		return;
	}
	for (i = 0; i < e->n_held_up && e->held_up[i] != r; i++)
		;
	assert(i < e->n_held_up);
	e->held_up[i] = e->held_up[--e->n_held_up];
}

/* The port above that is kept away, or ISO_NONE. */
static uint32_t held_port(const struct iso_engine *e, uint32_t port)
{
	uint32_t steps;

	for (steps = 0; port != ISO_NONE && steps < 32; steps++) {
		if (e->ports[port].held)
			return port;
		port = e->ports[port].parent;
	}
	return ISO_NONE;
}

/* What one leg lacks, if anything. */
static enum iso_region_wait memdev_wait(struct iso_engine *e, uint32_t m)
{
	struct memdev *memdev;
	uint32_t held;

	if (m == ISO_NONE)
		return ISO_WAIT_MEMDEV;
	memdev = &e->memdevs[m];
	held = held_port(e, memdev->port);
	if (held != ISO_NONE)
		return e->ports[held].flapping ? ISO_WAIT_FLAPPING : ISO_WAIT_OPERATOR;
	if (isolation_holds_port(e, memdev->port))
		return ISO_WAIT_ISOLATION;
	if (!memdev->present || memdev->duplicate_serial)
		return ISO_WAIT_MEMDEV;
	if (memdev->settling_until_ns > e->now_ns) {
		engine_arm(e, memdev->settling_until_ns);
		return ISO_WAIT_SETTLING;
	}
	if (!memdev->bound || rescan_under_way(e, memdev))
		return ISO_WAIT_MEMDEV;
	return ISO_WAIT_NOTHING;
}

enum iso_region_wait region_legs_wait(struct iso_engine *e, const struct region *region)
{
	enum iso_region_wait wait = ISO_WAIT_NOTHING;
	uint32_t i;

	if (fence_quarantined(e, region->domain))
		return ISO_WAIT_OPERATOR;
	for (i = 0; i < region->definition.ways; i++) {
		enum iso_region_wait leg = memdev_wait(e, region->legs[i]);

		/* A person or a device outlasts the kernel's own work: say that one. */
		if (leg == ISO_WAIT_OPERATOR || leg == ISO_WAIT_FLAPPING || leg == ISO_WAIT_MEMDEV)
			return leg;
		if (leg != ISO_WAIT_NOTHING)
			wait = leg;
	}
	return wait;
}

/* Whether another absent region can be made now and has to lie below r. */
static bool comes_first(struct iso_engine *e, uint32_t i, uint32_t r)
{
	struct region *other = &e->regions[i];

	if (!other->desired || health_gate_holds(e, other) ||
	    region_legs_wait(e, other) != ISO_WAIT_NOTHING)
		return false;
	if (window_taken_by(e, i) != ISO_NONE || size_plan(e, i) != ISO_WAIT_NOTHING)
		return false;
	other->window = window_for(e, i);
	return other->window != ISO_NONE && order_before(e, i, r);
}

static bool lies_below(const struct iso_engine *e, uint32_t low, uint32_t high)
{
	return e->regions[low].range.start.v < e->regions[high].range.start.v;
}

/* What another region on the same decoders means for making r. */
static enum iso_region_wait wait_for(struct iso_engine *e, uint32_t i, uint32_t r)
{
	struct region *other = &e->regions[i];

	switch ((enum iso_region_state)other->state) {
	case ISO_REGION_LIVE:
		if (!order_blocks(e, i, r))
			return ISO_WAIT_NOTHING;
		return other->locked ? ISO_WAIT_LOCKED : ISO_WAIT_DECODER_ORDER;
	case ISO_REGION_CREATING:
	case ISO_REGION_CLEARING:
		return ISO_WAIT_OTHER_REGION;
	case ISO_REGION_LOST:
		/* Under somebody who does not go it may stay for ever: the kernel has the word. */
		if (stuck_on_region(e, i) || other->locked)
			return ISO_WAIT_NOTHING;
		/* Both keep their addresses: the lower one is refilled first. */
		if (e->regions[r].state == ISO_REGION_LOST && lies_below(e, r, i))
			return ISO_WAIT_NOTHING;
		return ISO_WAIT_OTHER_REGION;
	case ISO_REGION_ABSENT:
		return comes_first(e, i, r) ? ISO_WAIT_OTHER_REGION : ISO_WAIT_NOTHING;
	case ISO_REGION_QUARANTINED:
	case ISO_REGION_STATES:
		break;
	}
	return ISO_WAIT_NOTHING;
}

enum iso_region_wait region_decoders_wait(struct iso_engine *e, uint32_t r)
{
	enum iso_region_wait wait = ISO_WAIT_NOTHING;
	uint32_t i;

	for (i = 0; i < e->n_regions; i++) {
		enum iso_region_wait one;

		if (i == r || !e->regions[i].used ||
		    !order_shares_decoders(e, &e->regions[r], &e->regions[i]))
			continue;
		one = wait_for(e, i, r);
		if (one == ISO_WAIT_DECODER_ORDER || one == ISO_WAIT_LOCKED)
			return one; /* tenants and firmware outlast our own work: say that */
		if (one == ISO_WAIT_NOTHING)
			continue;
		wait = one;
		e->regions[r].waits_for = i;
	}
	return wait;
}

/* Whether another one that was lost as well lies below r and can be refilled before it. */
bool region_refill_comes_after(const struct iso_engine *e, uint32_t r)
{
	uint32_t i;

	for (i = 0; i < e->n_regions; i++)
		if (i != r && e->regions[i].used && e->regions[i].state == ISO_REGION_LOST &&
		    !e->regions[i].locked && !stuck_on_region(e, i) && lies_below(e, i, r) &&
		    order_shares_decoders(e, &e->regions[r], &e->regions[i]))
			return true;
	return false;
}

enum iso_region_wait region_creation_wait(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];
	enum iso_region_wait wait;
	uint32_t taken_by;

	if (!e->observed || region->unobserved)
		return ISO_WAIT_OBSERVATION;
	wait = region_legs_wait(e, region);
	if (wait != ISO_WAIT_NOTHING)
		return wait;
	/* Before the order of decoders: nobody makes way for what is not begun. */
	if (health_gate_holds(e, region))
		return ISO_WAIT_HEALTH;
	taken_by = window_taken_by(e, r);
	if (taken_by != ISO_NONE) {
		snprintf(
			region->reason, sizeof(region->reason),
			"region %.48s: a host bridge with a single root port decodes for one region, "
			"which is %.48s",
			region->definition.name, e->regions[taken_by].definition.name);
		return ISO_WAIT_WINDOW;
	}
	region->window = window_for(e, r);
	if (region->window == ISO_NONE) {
		snprintf(region->reason, sizeof(region->reason),
			 "no window reaches the memdevs of region %s", region->definition.name);
		return ISO_WAIT_WINDOW;
	}
	wait = size_plan(e, r);
	if (wait != ISO_WAIT_NOTHING)
		return wait;
	wait = region_decoders_wait(e, r);
	if (wait != ISO_WAIT_NOTHING)
		return wait;
	if (region->retry_at_ns > e->now_ns) {
		engine_arm(e, region->retry_at_ns);
		return ISO_WAIT_RETRY;
	}
	return ISO_WAIT_NOTHING;
}

/* The kernel is still resetting a leg; it holds the same locks and objects. */
bool region_legs_settling(struct iso_engine *e, const struct region *region)
{
	uint32_t i;

	for (i = 0; i < region->definition.ways; i++)
		if (memdev_wait(e, region->legs[i]) == ISO_WAIT_SETTLING)
			return true;
	return false;
}

/* Another operation that holds the same decoders, in whatever lane. */
bool region_decoders_busy(const struct iso_engine *e, uint32_t r)
{
	uint32_t i;

	for (i = 0; i < e->n_regions; i++)
		if (i != r && e->regions[i].used && e->regions[i].operation &&
		    order_shares_decoders(e, &e->regions[r], &e->regions[i]))
			return true;
	return false;
}
