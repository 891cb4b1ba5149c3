/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the loss of a unit would mean, answered without changing anything. */
#include "state.h"

/* Return: whether it was not there yet; past `room` nothing is remembered. */
static bool add(uint32_t *array, uint32_t room, uint32_t *n, uint32_t value)
{
	uint32_t i;

	for (i = 0; i < *n && i < room; i++)
		if (array[i] == value)
			return false;
	if (*n < room)
		array[*n] = value;
	(*n)++;
	return true;
}

static bool holds_tenant(const struct lease *lease)
{
	return lease->state != ISO_LEASE_VERIFYING && lease->state != ISO_LEASE_RETRACTING;
}

static void add_victims(const struct iso_engine *e, const struct region *region,
			struct iso_what_if *what)
{
	uint32_t i;

	for (i = region->first_instance; i != ISO_NONE; i = e->instances[i].next) {
		uint32_t l = e->instances[i].lease;

		if (l == ISO_NONE || !holds_tenant(&e->leases[l]))
			continue;
		what->bytes += e->instances[i].bytes;
		if (add(what->leases, what->leases_room, &what->n_leases, l))
			what->n_pinning += e->leases[l].pins != 0;
	}
}

static void add_blockers(const struct iso_engine *e, const struct region *region,
			 struct iso_what_if *what)
{
	uint32_t i;

	for (i = region->first_instance; i != ISO_NONE; i = e->instances[i].next) {
		uint32_t l = e->instances[i].lease;

		if (l != ISO_NONE && holds_tenant(&e->leases[l]))
			add(what->blockers, what->blockers_room, &what->n_blockers, l);
	}
}

bool iso_what_if(const struct iso_engine *e, uint32_t port, uint32_t memdev,
		 struct iso_what_if *what)
{
	uint32_t r, other;

	if (port != ISO_NONE ? port >= e->n_ports : memdev >= e->n_memdevs)
		return false;
	what->n_regions = what->n_leases = what->n_blockers = what->n_pinning = 0;
	what->bytes = 0;
	for (r = 0; r < e->n_regions; r++) {
		if (!e->regions[r].used || !blast_region_on(e, &e->regions[r], port, memdev))
			continue;
		add(what->regions, what->regions_room, &what->n_regions, r);
		add_victims(e, &e->regions[r], what);
		for (other = 0; other < e->n_regions; other++)
			if (other != r && e->regions[other].used &&
			    e->regions[other].state == ISO_REGION_LIVE &&
			    !blast_region_on(e, &e->regions[other], port, memdev) &&
			    order_shares_decoders(e, &e->regions[r], &e->regions[other]) &&
			    order_blocks(e, other, r))
				add_blockers(e, &e->regions[other], what);
	}
	return true;
}
