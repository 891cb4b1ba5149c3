/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much of its memdevs a region gets: what its definition says; else all
 * that the other regions on the same memdevs leave.
 */
#include <stdio.h>

#include "state.h"

static const uint64_t granule = 256ull << 20; /* CXL specification: HDM decoder size and base */

static bool has_leg(const struct region *region, uint32_t m)
{
	uint32_t i;

	for (i = 0; i < region->definition.ways; i++)
		if (region->legs[i] == m)
			return true;
	return false;
}

/* What one leg of a region holds or was promised; 0: it takes what it finds. */
static uint64_t leg_share(const struct region *region)
{
	if (region->range.bytes)
		return region->range.bytes / region->definition.ways;
	return region->desired ? region->definition.bytes / region->definition.ways : 0;
}

static uint64_t promised_to_others(const struct iso_engine *e, uint32_t r, uint32_t m)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < e->n_regions; i++)
		if (i != r && e->regions[i].used && has_leg(&e->regions[i], m))
			bytes += leg_share(&e->regions[i]);
	return bytes;
}

/* The leg with the least room for this region; its room in whole granules. */
static uint32_t narrowest_leg(const struct iso_engine *e, uint32_t r, uint64_t *ret_room)
{
	const struct region *region = &e->regions[r];
	uint32_t i, narrowest = 0;

	*ret_room = UINT64_MAX;
	for (i = 0; i < region->definition.ways; i++) {
		uint64_t has = e->memdevs[region->legs[i]].volatile_bytes;
		uint64_t others = promised_to_others(e, r, region->legs[i]);
		uint64_t room = has > others ? (has - others) / granule * granule : 0;

		if (room >= *ret_room)
			continue;
		*ret_room = room;
		narrowest = i;
	}
	return narrowest;
}

/*
 * Decides what a region that can be made is made with. Without a size of its
 * own and alone on its memdevs it stays 0: all there is, as the kernel says.
 */
enum iso_region_wait size_plan(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];
	uint64_t room, need = region->definition.bytes / region->definition.ways;
	uint32_t leg = narrowest_leg(e, r, &room), i;

	region->planned_bytes = region->definition.bytes;
	for (i = 0; !need && i < region->definition.ways; i++)
		if (promised_to_others(e, r, region->legs[i]))
			region->planned_bytes = room * region->definition.ways;
	if (room && room >= need)
		return ISO_WAIT_NOTHING;
	snprintf(
		region->reason, sizeof(region->reason),
		"region %.48s: too small: memdev %#llx has %llu MiB of volatile memory left for it, %llu are needed",
		region->definition.name, (unsigned long long)region->definition.serials[leg],
		(unsigned long long)room >> 20, (unsigned long long)(need ? need : granule) >> 20);
	return ISO_WAIT_TOO_SMALL;
}

/* Whether the memdevs that came back can fill the object that the kernel kept. */
bool size_still_fits(const struct iso_engine *e, uint32_t r)
{
	const struct region *region = &e->regions[r];
	uint64_t share = region->range.bytes / region->definition.ways;
	uint32_t i;

	for (i = 0; i < region->definition.ways; i++)
		if (region->legs[i] == ISO_NONE ||
		    e->memdevs[region->legs[i]].volatile_bytes < share)
			return false;
	return true;
}

/* As well as it is known before the region can be made: for looking for a place. */
uint64_t size_wanted(const struct iso_engine *e, const struct region *region)
{
	uint64_t leg_bytes = UINT64_MAX;
	uint32_t i;

	if (region->definition.bytes)
		return region->definition.bytes;
	if (region->planned_bytes)
		return region->planned_bytes;
	for (i = 0; i < region->definition.ways; i++)
		if (region->legs[i] == ISO_NONE)
			return 1;
		else if (e->memdevs[region->legs[i]].volatile_bytes < leg_bytes)
			leg_bytes = e->memdevs[region->legs[i]].volatile_bytes;
	return leg_bytes ? leg_bytes * region->definition.ways : 1;
}
