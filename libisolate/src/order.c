/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HDM decoders of one port commit in ascending HPA order and are reset in
 * descending order (kernel: drivers/cxl/core/region.c, "out of order
 * shutdown"). Two things follow. A region cannot be made below a live one on
 * decoders they share. And when a region goes while one above it stays, the
 * hole keeps every new region off these decoders, wherever it would lie,
 * until the upper one has gone too. A host bridge with a single root port
 * passes through and keeps no order.
 */
#include "state.h"

static uint32_t upstream_switch(const struct iso_engine *e, uint32_t port)
{
	uint32_t steps;

	for (steps = 0; port != ISO_NONE && steps < 32; steps++) {
		if (e->ports[port].kind == ISO_PORT_SWITCH_UPSTREAM)
			return port;
		port = e->ports[port].parent;
	}
	return ISO_NONE;
}

static bool memdevs_share(const struct iso_engine *e, uint32_t a, uint32_t b)
{
	uint32_t port_a = e->memdevs[a].port, port_b = e->memdevs[b].port;
	uint32_t bridge, above;

	if (a == b)
		return true;
	if (port_a == ISO_NONE || port_b == ISO_NONE)
		return false;
	bridge = e->ports[port_a].host_bridge;
	if (bridge != ISO_NONE && bridge == e->ports[port_b].host_bridge &&
	    e->host_bridges[bridge].n_root_ports > 1)
		return true;
	for (above = upstream_switch(e, port_a); above != ISO_NONE;
	     above = upstream_switch(e, e->ports[above].parent))
		if (topology_below(e, port_b, above))
			return true;
	return false;
}

bool order_shares_decoders(const struct iso_engine *e, const struct region *a,
			   const struct region *b)
{
	uint32_t i, j;

	for (i = 0; i < a->definition.ways; i++)
		for (j = 0; a->legs[i] != ISO_NONE && j < b->definition.ways; j++)
			if (b->legs[j] != ISO_NONE && memdevs_share(e, a->legs[i], b->legs[j]))
				return true;
	return false;
}

static bool overlaps(struct iso_hpa_range range, uint64_t start, uint64_t bytes)
{
	return range.bytes && range.start.v < start + bytes && start < range.start.v + range.bytes;
}

/* The end of something that lies in [start, start + bytes), or 0. */
static uint64_t end_of_occupant(const struct iso_engine *e, uint32_t r, uint64_t start,
				uint64_t bytes)
{
	uint32_t i;

	for (i = 0; i < e->n_regions; i++)
		if (i != r && e->regions[i].used && overlaps(e->regions[i].range, start, bytes))
			return e->regions[i].range.start.v + e->regions[i].range.bytes;
	for (i = 0; i < e->n_foreign; i++)
		if (overlaps(e->foreign[i], start, bytes))
			return e->foreign[i].start.v + e->foreign[i].bytes;
	return 0;
}

/* The lowest place in a window that holds the region: where the kernel will put it. */
bool order_gap(const struct iso_engine *e, uint32_t r, uint32_t window, uint64_t *ret_start)
{
	const struct iso_hpa_range *range = &e->windows[window].observed.range;
	uint64_t bytes = size_wanted(e, &e->regions[r]), start = range->start.v, end;

	while ((end = end_of_occupant(e, r, start, bytes))) {
		if (end <= start) /* nonsense was observed: a range that wraps */
			return false;
		start = end;
	}
	if (start + bytes > range->start.v + range->bytes)
		return false;
	*ret_start = start;
	return true;
}

static uint64_t position(const struct iso_engine *e, uint32_t r)
{
	const struct region *region = &e->regions[r];
	uint64_t start;

	if (region->range.bytes)
		return region->range.start.v;
	if (region->window < e->n_windows && order_gap(e, r, region->window, &start))
		return start;
	return region->has_hpa ? region->last_hpa.v : 0;
}

/* Whether a live region that shares decoders keeps r from being made, or would if r were lost. */
bool order_blocks(const struct iso_engine *e, uint32_t live, uint32_t r)
{
	const struct region *other = &e->regions[live];

	return other->over_hole || other->range.start.v > position(e, r);
}

/* How many ports can take it away. */
static uint32_t root_ports_of(const struct iso_engine *e, const struct region *region)
{
	uint32_t i, j, n = 0;

	for (i = 0; i < region->definition.ways; i++) {
		uint32_t port = region->legs[i] == ISO_NONE ? ISO_NONE
							    : e->memdevs[region->legs[i]].port;

		for (j = 0; j < i; j++)
			if (region->legs[j] != ISO_NONE && e->memdevs[region->legs[j]].port == port)
				break;
		n += j == i;
	}
	return n;
}

/*
 * Of two absent regions: the one that will lie lower, else it would find the
 * other in its way. In the same gap the one that fewer ports can take away
 * lies lower: so the loss of one port of an interleaved region leaves nothing
 * above it that recovery would have to wait for. Among equals each should find
 * its old place again.
 */
bool order_before(const struct iso_engine *e, uint32_t a, uint32_t b)
{
	const struct region *ra = &e->regions[a], *rb = &e->regions[b];
	uint64_t start_a = position(e, a), start_b = position(e, b);
	uint32_t ports_a = root_ports_of(e, ra), ports_b = root_ports_of(e, rb);

	if (start_a != start_b)
		return start_a < start_b;
	if (ports_a != ports_b)
		return ports_a < ports_b;
	if (ra->has_hpa != rb->has_hpa)
		return ra->has_hpa;
	if (ra->has_hpa && ra->last_hpa.v != rb->last_hpa.v)
		return ra->last_hpa.v < rb->last_hpa.v;
	return a < b;
}

/* A live region is going: those above it stand over a hole now. */
void order_left(struct iso_engine *e, uint32_t r)
{
	const struct region *gone = &e->regions[r];
	uint32_t i;

	for (i = 0; i < e->n_regions; i++) {
		struct region *other = &e->regions[i];

		if (i != r && other->used && other->state == ISO_REGION_LIVE &&
		    other->range.start.v > gone->range.start.v &&
		    order_shares_decoders(e, gone, other))
			other->over_hole = true;
	}
}

/*
 * The kernel found the decoders busy. What made the hole may have gone before
 * this engine was started: believe the kernel.
 */
void order_refused(struct iso_engine *e, uint32_t r)
{
	uint32_t i;

	for (i = 0; i < e->n_regions; i++) {
		struct region *other = &e->regions[i];

		if (i != r && other->used && other->state == ISO_REGION_LIVE &&
		    order_shares_decoders(e, &e->regions[r], other))
			other->over_hole = true;
	}
}
