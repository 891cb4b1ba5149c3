/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where bad ranges lie: device addresses to places in a region and back, and
 * what a region has left beside them. Computed only where the sums are known to
 * be right: regions of one memdev, and windows that interleave by modulo.
 */
#include "state.h"

static const uint64_t avoid_unit = 2ull << 20; /* what is given away is whole ones of these */

bool place_computable(const struct iso_engine *e, const struct region *region)
{
	if (region->definition.ways == 1)
		return true;
	return region->granularity && region->window < e->n_windows &&
	       e->windows[region->window].observed.arithmetic == ISO_ARITHMETIC_MODULO;
}

/* From the start of a leg's part to the start of the region. */
static uint64_t spread(const struct region *region, uint32_t leg, uint64_t within)
{
	uint64_t granule = region->granularity, ways = region->definition.ways;

	if (ways == 1)
		return within;
	return (within / granule * ways + leg) * granule + within % granule;
}

/*
 * A range of a memdev is in pieces in an interleaved region: the span is from
 * the first to the last of them. The gaps are a few granules, less than what is
 * ever given away, so that whoever has something of the span has something bad.
 */
static enum place place_on_leg(const struct iso_engine *e, const struct region *region,
			       uint32_t leg, const struct bad_range *bad, struct region_span *ret)
{
	const struct iso_dpa_range *part = &region->leg_dpa[leg];
	uint64_t start = bad->dpa.v, end = bad->dpa.v + bad->bytes, last;

	if (!part->bytes)
		return PLACE_UNKNOWN;
	if (start < part->start.v)
		start = part->start.v;
	if (end > part->start.v + part->bytes)
		end = part->start.v + part->bytes;
	if (start >= end)
		return PLACE_ELSEWHERE;
	if (!place_computable(e, region))
		return PLACE_UNKNOWN;
	ret->start.v = spread(region, leg, start - part->start.v);
	last = spread(region, leg, end - 1 - part->start.v);
	if (last >= region->range.bytes)
		return PLACE_UNKNOWN;
	ret->bytes = last + 1 - ret->start.v;
	return PLACE_HERE;
}

enum place place_bad(const struct iso_engine *e, const struct bad_range *bad, uint32_t r,
		     struct region_span *ret)
{
	const struct region *region = &e->regions[r];
	enum place place = PLACE_ELSEWHERE;
	uint32_t i;

	if (!region->used || !region->range.bytes)
		return PLACE_ELSEWHERE;
	if (bad->region == r && bad->region_epoch == region->epoch) {
		*ret = (struct region_span){bad->offset, bad->bytes};
		return PLACE_HERE;
	}
	for (i = 0; bad->has_dpa && place == PLACE_ELSEWHERE && i < region->definition.ways; i++)
		if (region->definition.serials[i] == bad->serial)
			place = place_on_leg(e, region, i, bad, ret);
	return place;
}

uint32_t place_region_at(const struct iso_engine *e, struct iso_hpa hpa)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++) {
		const struct region *region = &e->regions[r];

		if (region->used && region->state == ISO_REGION_LIVE &&
		    hpa.v >= region->range.start.v &&
		    hpa.v - region->range.start.v < region->range.bytes)
			return r;
	}
	return ISO_NONE;
}

/* The parts of [offset, offset + bytes) that are one memdev's: they follow each other there. */
static bool key_of_leg(const struct region *region, uint32_t leg, uint64_t offset, uint64_t bytes,
		       struct bad_range *ret)
{
	uint64_t ways = region->definition.ways;
	uint64_t granule = ways == 1 ? region->range.bytes : region->granularity;
	uint64_t last = offset + bytes - 1, first_chunk = offset / granule,
		 last_chunk = last / granule;
	uint64_t lowest = first_chunk + (leg + ways - first_chunk % ways) % ways;
	uint64_t highest, start, end;

	if (lowest > last_chunk)
		return false;
	highest = last_chunk - (last_chunk % ways + ways - leg) % ways;
	start = lowest / ways * granule + (lowest == first_chunk ? offset % granule : 0);
	end = highest / ways * granule + (highest == last_chunk ? last % granule : granule - 1) + 1;
	*ret = (struct bad_range){
		.has_dpa = true,
		.serial = region->definition.serials[leg],
		.dpa = {region->leg_dpa[leg].start.v + start},
		.bytes = end - start,
		.region = ISO_NONE,
	};
	return true;
}

static bool legs_known(const struct region *region)
{
	uint32_t i;

	for (i = 0; i < region->definition.ways; i++)
		if (!region->leg_dpa[i].bytes)
			return false;
	return true;
}

/* Addresses are given away again: what was there before is not there now. */
static uint32_t region_of_record(const struct iso_engine *e, const struct iso_poison *poison)
{
	uint32_t r = poison->has_hpa ? place_region_at(e, poison->hpa) : ISO_NONE;

	return r != ISO_NONE && poison->record_ns < e->regions[r].began_ns ? ISO_NONE : r;
}

/* By what the ledger knows this: by its memdevs, which outlive the region, where that can be told. */
uint32_t place_keys(const struct iso_engine *e, const struct iso_poison *poison,
		    struct bad_range keys[ISO_WAYS_MAX])
{
	uint32_t r = region_of_record(e, poison);
	const struct region *region = r != ISO_NONE ? &e->regions[r] : NULL;
	uint64_t offset = region ? poison->hpa.v - region->range.start.v : 0;
	uint64_t bytes = poison->bytes;
	struct region_span span;
	uint32_t i, n = 0;
	bool one_piece;

	if (region && bytes > region->range.bytes - offset)
		bytes = region->range.bytes - offset;
	if (region && !(poison->has_serial && poison->has_dpa) && legs_known(region) &&
	    place_computable(e, region)) {
		for (i = 0; i < region->definition.ways; i++)
			n += key_of_leg(region, i, offset, bytes, &keys[n]);
		return n;
	}
	keys[0] = (struct bad_range){
		.has_dpa = poison->has_serial && poison->has_dpa,
		.serial = poison->serial,
		.dpa = poison->dpa,
		.bytes = poison->bytes,
		.region = ISO_NONE,
	};
	/* Of several granules the kernel has told only where the first one is. */
	one_piece = region && (region->definition.ways == 1 || !keys[0].has_dpa ||
			       bytes <= (region->granularity ? region->granularity : 256));
	if (one_piece && place_bad(e, &keys[0], r, &span) != PLACE_HERE) {
		keys[0].region = r;
		keys[0].region_epoch = region->epoch;
		keys[0].offset.v = offset;
		keys[0].bytes = bytes;
	}
	return keys[0].has_dpa || keys[0].region != ISO_NONE;
}

static uint64_t overlap(struct iso_hpa_range a, struct iso_hpa_range b)
{
	uint64_t start = a.start.v > b.start.v ? a.start.v : b.start.v;
	uint64_t a_end = a.start.v + a.bytes, b_end = b.start.v + b.bytes;
	uint64_t end = a_end < b_end ? a_end : b_end;

	return end > start ? end - start : 0;
}

bool place_covers(const struct iso_engine *e, const struct instance *instance,
		  struct region_span span)
{
	struct iso_hpa_range bad = {
		{e->regions[instance->region].range.start.v + span.start.v},
		span.bytes,
	};
	uint32_t p;

	for (p = 0; p < instance->n_pieces; p++)
		if (overlap(instance->pieces[p], bad))
			return true;
	return false;
}

/* A range under this instance that is not known to be good again, or ISO_NONE. */
uint32_t place_bad_under(const struct iso_engine *e, const struct instance *instance)
{
	struct region_span span;
	uint32_t b;

	for (b = 0; e->n_not_good && b < e->n_bad; b++)
		if (e->bad[b].used && e->bad[b].state != ISO_BAD_VERIFIED &&
		    place_bad(e, &e->bad[b], instance->region, &span) == PLACE_HERE &&
		    place_covers(e, instance, span))
			return b;
	return ISO_NONE;
}

/* Into a list of ranges that do not touch, lowest first. Return: how many there are then. */
static uint32_t merge(struct iso_hpa_range *list, uint32_t n, struct iso_hpa_range range)
{
	uint64_t end = range.start.v + range.bytes;
	uint32_t i, first, after;

	for (first = 0; first < n && list[first].start.v + list[first].bytes < range.start.v;)
		first++;
	for (after = first; after < n && list[after].start.v <= end; after++) {
		uint64_t other_end = list[after].start.v + list[after].bytes;

		if (list[after].start.v < range.start.v)
			range.start = list[after].start;
		if (other_end > end)
			end = other_end;
	}
	range.bytes = end - range.start.v;
	if (after == first) {
		if (n == ISO_AVOID_MAX)
			return n + 1;
		for (i = n++; i > first; i--)
			list[i] = list[i - 1];
	} else {
		for (i = after; i < n; i++)
			list[first + 1 + i - after] = list[i];
		n -= after - first - 1;
	}
	list[first] = range;
	return n;
}

static struct iso_hpa_range whole_units(const struct region *region, struct region_span span,
					uint64_t unit)
{
	uint64_t from = region->range.start.v + span.start.v;
	uint64_t start = from / unit * unit, end = (from + span.bytes + unit - 1) / unit * unit;
	uint64_t last = region->range.start.v + region->range.bytes;

	if (start < region->range.start.v)
		start = region->range.start.v;
	if (end > last)
		end = last;
	return (struct iso_hpa_range){{start}, end - start};
}

uint32_t iso_region_avoid(const struct iso_engine *e, uint32_t r, uint64_t align,
			  struct iso_hpa_range *ret)
{
	struct region_span span;
	uint32_t b, n = 0;

	for (b = 0; e->n_not_good && b < e->n_bad && n <= ISO_AVOID_MAX; b++)
		if (e->bad[b].used && e->bad[b].state != ISO_BAD_VERIFIED &&
		    place_bad(e, &e->bad[b], r, &span) == PLACE_HERE)
			n = merge(ret, n,
				  whole_units(&e->regions[r], span,
					      align > avoid_unit ? align : avoid_unit));
	return n;
}

/* Why nobody is placed in it for what is bad, beside what can be carved around; NULL: nothing. */
static const char *closed(const struct iso_engine *e, uint32_t r)
{
	const struct region *region = &e->regions[r];
	struct region_span span;
	uint32_t i, b;

	for (i = 0; i < region->definition.ways; i++)
		if (region->legs[i] != ISO_NONE && e->memdevs[region->legs[i]].closed_ns)
			return e->memdevs[region->legs[i]].closed;
	for (b = 0; e->n_not_good && b < e->n_bad; b++)
		if (e->bad[b].used && e->bad[b].state != ISO_BAD_VERIFIED &&
		    place_bad(e, &e->bad[b], r, &span) == PLACE_UNKNOWN)
			return "memory of its memdev is bad, and where that lies in it is not known";
	return NULL;
}

/* Bytes that are free and not given away. What is somebody's counts as his. */
static uint64_t bad_bytes(const struct iso_engine *e, const struct region *region,
			  const struct iso_hpa_range *avoid, uint32_t n)
{
	uint64_t bytes = 0, taken = 0;
	uint32_t a, i, p;

	for (a = 0; a < n; a++)
		bytes += avoid[a].bytes;
	for (i = n ? region->first_instance : ISO_NONE; i != ISO_NONE; i = e->instances[i].next)
		for (p = 0; !e->instances[i].lost && p < e->instances[i].n_pieces; p++)
			for (a = 0; a < n; a++)
				taken += overlap(avoid[a], e->instances[i].pieces[p]);
	return bytes > taken ? bytes - taken : 0;
}

/* Return: whether it has more or less to give than before. */
static bool account(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];
	struct iso_hpa_range avoid[ISO_AVOID_MAX];
	const char *was_closed = region->closed;
	uint64_t before = region->bad_bytes;
	uint32_t n;

	region->bad_bytes = 0;
	region->closed = closed(e, r);
	region->newly_closed |= region->closed && region->closed != was_closed;
	n = iso_region_avoid(e, r, avoid_unit, avoid);
	if (n > ISO_AVOID_MAX)
		region->closed = "it has too many bad places to go around";
	else
		region->bad_bytes = bad_bytes(e, region, avoid, n);
	e->domains_dirty |= region->closed != was_closed;
	return region->closed != was_closed || region->bad_bytes != before;
}

/* What regions have to give, after anything that bears on it has changed. */
void place_account(struct iso_engine *e)
{
	bool changed = false;
	uint32_t r;

	if (!e->ledger_dirty)
		return;
	e->ledger_dirty = false;
	for (r = 0; r < e->n_regions; r++)
		if (e->regions[r].used)
			changed |= account(e, r);
	if (!changed)
		return;
	e->placement_dirty = true;
	engine_arm(e, e->now_ns); /* also what changes at the end of a step is acted on */
}
