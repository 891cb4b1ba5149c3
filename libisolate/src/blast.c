/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blast radius: the regions with a target below the unit that failed. Victims
 * come from here and from nowhere else.
 */
#include "state.h"

/* Marks the memdevs below a port. Return: how many there are. */
uint32_t blast_of_port(struct iso_engine *e, uint32_t port)
{
	uint32_t i, n = 0;

	for (i = 0; i < e->n_memdevs; i++) {
		e->memdev_down[i] = topology_below(e, e->memdevs[i].port, port);
		n += e->memdev_down[i];
	}
	return n;
}

void blast_of_memdev(struct iso_engine *e, uint32_t memdev)
{
	memset(e->memdev_down, 0, e->limits.memdevs * sizeof(*e->memdev_down));
	e->memdev_down[memdev] = true;
}

/* Whether a region has a target among the memdevs marked down. */
bool blast_hits(const struct iso_engine *e, const struct region *region)
{
	uint32_t i;

	for (i = 0; i < region->definition.ways; i++)
		if (region->legs[i] != ISO_NONE && e->memdev_down[region->legs[i]])
			return true;
	return false;
}

/* The same question without scratch memory, for one port or one memdev. */
bool blast_region_on(const struct iso_engine *e, const struct region *region, uint32_t port,
		     uint32_t memdev)
{
	uint32_t i;

	for (i = 0; i < region->definition.ways; i++) {
		uint32_t m = region->legs[i];

		if (m == ISO_NONE)
			continue;
		if (port != ISO_NONE ? topology_below(e, e->memdevs[m].port, port) : m == memdev)
			return true;
	}
	return false;
}
