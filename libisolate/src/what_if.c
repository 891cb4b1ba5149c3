/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the loss of a unit would mean, answered without changing anything. */
#include "state.h"

static void add(uint32_t *array, uint32_t room, uint32_t *n, uint32_t value)
{
	uint32_t i;

	for (i = 0; i < *n && i < room; i++)
		if (array[i] == value)
			return;
	if (*n < room)
		array[*n] = value;
	(*n)++;
}

static bool holds_tenant(const struct lease *lease)
{
	return lease->state != ISO_LEASE_VERIFYING && lease->state != ISO_LEASE_RETRACTING;
}

static void add_tenants(const struct iso_engine *e, const struct region *region, uint32_t *array,
			uint32_t room, uint32_t *n, uint64_t *bytes)
{
	uint32_t i;

	for (i = region->first_instance; i != ISO_NONE; i = e->instances[i].next) {
		uint32_t l = e->instances[i].lease;

		if (l == ISO_NONE || !holds_tenant(&e->leases[l]))
			continue;
		add(array, room, n, l);
		if (bytes)
			*bytes += e->instances[i].bytes;
	}
}

bool iso_what_if(const struct iso_engine *e, uint32_t port, uint32_t memdev,
		 struct iso_what_if *what)
{
	uint32_t r, other;

	if (port != ISO_NONE ? port >= e->n_ports : memdev >= e->n_memdevs)
		return false;
	what->n_regions = what->n_leases = what->n_blockers = 0;
	what->bytes = 0;
	for (r = 0; r < e->n_regions; r++) {
		if (!e->regions[r].used || !blast_region_on(e, &e->regions[r], port, memdev))
			continue;
		add(what->regions, what->regions_room, &what->n_regions, r);
		add_tenants(e, &e->regions[r], what->leases, what->leases_room, &what->n_leases,
			    &what->bytes);
		for (other = 0; other < e->n_regions; other++)
			if (other != r && e->regions[other].used &&
			    e->regions[other].state == ISO_REGION_LIVE &&
			    !blast_region_on(e, &e->regions[other], port, memdev) &&
			    order_shares_decoders(e, &e->regions[r], &e->regions[other]) &&
			    order_blocks(e, other, r))
				add_tenants(e, &e->regions[other], what->blockers,
					    what->blockers_room, &what->n_blockers, NULL);
	}
	return true;
}
