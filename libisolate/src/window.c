/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state.h"

static uint32_t memdev_host_bridge(const struct iso_engine *e, uint32_t m)
{
	if (m == ISO_NONE || e->memdevs[m].port == ISO_NONE)
		return ISO_NONE;
	return e->ports[e->memdevs[m].port].host_bridge;
}

static bool window_has(const struct iso_observed_window *window, uint32_t host_bridge)
{
	uint32_t i;

	for (i = 0; i < window->ways; i++)
		if (window->host_bridges[i] == host_bridge)
			return true;
	return false;
}

static bool region_uses(const struct iso_engine *e, const struct region *region,
			uint32_t host_bridge)
{
	uint32_t i;

	for (i = 0; i < region->definition.ways; i++)
		if (memdev_host_bridge(e, region->legs[i]) == host_bridge)
			return true;
	return false;
}

/*
 * A window decodes for exactly the host bridges it interleaves over, so a
 * region fits where the two sets of bridges are the same.
 */
static bool window_fits(const struct iso_engine *e, const struct iso_observed_window *window,
			const struct region *region)
{
	uint32_t i;

	if (!window->volatile_capable || !window->ways || region->definition.ways < window->ways)
		return false;
	for (i = 0; i < region->definition.ways; i++) {
		uint32_t hb = memdev_host_bridge(e, region->legs[i]);

		if (hb == ISO_NONE || !window_has(window, hb))
			return false;
	}
	for (i = 0; i < window->ways; i++)
		if (!region_uses(e, region, window->host_bridges[i]))
			return false;
	return true;
}

static bool on_single_port_bridge(const struct iso_engine *e, const struct region *a,
				  const struct region *b)
{
	uint32_t i, hb;

	for (i = 0; i < a->definition.ways; i++) {
		hb = memdev_host_bridge(e, a->legs[i]);
		if (hb != ISO_NONE && e->host_bridges[hb].n_root_ports == 1 &&
		    region_uses(e, b, hb))
			return true;
	}
	return false;
}

/*
 * A host bridge with a single root port has no decoders of its own and passes
 * through for one region only, also where a switch hangs below it. Return: the
 * region that has that place, or was defined before r; or ISO_NONE.
 */
uint32_t window_taken_by(const struct iso_engine *e, uint32_t r)
{
	uint32_t i;

	for (i = 0; i < e->n_regions; i++) {
		const struct region *other = &e->regions[i];

		if (i == r || !other->used || other->state == ISO_REGION_QUARANTINED ||
		    (other->state == ISO_REGION_ABSENT && (!other->desired || i > r)))
			continue;
		if (on_single_port_bridge(e, &e->regions[r], other))
			return i;
	}
	return ISO_NONE;
}

static bool alternates(const struct iso_engine *e, const struct iso_observed_window *window,
		       const struct region *region)
{
	uint32_t i;

	for (i = 0; i < region->definition.ways; i++)
		if (memdev_host_bridge(e, region->legs[i]) !=
		    window->host_bridges[i % window->ways])
			return false;
	return true;
}

/*
 * Whether its legs do not follow each other as the targets of its window do.
 * Only a hint: where a window spreads by XOR the kernel counts otherwise.
 */
bool window_misordered(const struct iso_engine *e, uint32_t r)
{
	const struct region *region = &e->regions[r];

	return region->window < e->n_windows &&
	       !alternates(e, &e->windows[region->window].observed, region);
}

bool window_shares_bridge(const struct iso_engine *e, const struct region *region)
{
	uint32_t i, j;

	for (i = 0; i < region->definition.ways; i++)
		for (j = 0; j < i; j++)
			if (memdev_host_bridge(e, region->legs[i]) ==
			    memdev_host_bridge(e, region->legs[j]))
				return true;
	return false;
}

/*
 * Return: index of the window to create the region in, or ISO_NONE. One
 * without room is better than none: the kernel's refusal says what is wrong.
 */
uint32_t window_for(const struct iso_engine *e, uint32_t r)
{
	uint32_t i, full = ISO_NONE;
	uint64_t start;

	for (i = 0; i < e->n_windows; i++) {
		if (!window_fits(e, &e->windows[i].observed, &e->regions[r]))
			continue;
		if (order_gap(e, r, i, &start))
			return i;
		if (full == ISO_NONE)
			full = i;
	}
	return full;
}
