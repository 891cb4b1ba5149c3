/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HDM decoders of one port commit in ascending HPA order and are reset in
 * descending order (kernel: drivers/cxl/core/region.c, "out of order
 * shutdown"). So a region cannot be made again while a higher one stands on
 * a decoder set they share. A host bridge with a single root port passes
 * through and keeps no order.
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

	for (i = 0; i < a->definition.ways; i++) {
		uint32_t m = topology_memdev_by_serial(e, a->definition.serials[i]);

		for (j = 0; m != ISO_NONE && j < b->definition.ways; j++) {
			uint32_t n = topology_memdev_by_serial(e, b->definition.serials[j]);

			if (n != ISO_NONE && memdevs_share(e, m, n))
				return true;
		}
	}
	return false;
}

static uint64_t expected_hpa(const struct iso_engine *e, const struct region *region)
{
	if (region->range.bytes)
		return region->range.start.v;
	if (region->has_hpa)
		return region->last_hpa.v;
	if (region->window != ISO_NONE)
		return e->windows[region->window].observed.range.start.v;
	return 0;
}

/* Whether region a lies, or will lie, above region b. */
bool order_above(const struct iso_engine *e, uint32_t a, uint32_t b)
{
	uint64_t hpa_a = expected_hpa(e, &e->regions[a]);
	uint64_t hpa_b = expected_hpa(e, &e->regions[b]);

	return hpa_a != hpa_b ? hpa_a > hpa_b : a > b;
}
