/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Behind which root ports memory is System RAM. A region says it exactly, if all
 * its targets are known. What lies in a window and in no such region may be
 * behind any port that the window leads to: firmware programs decoders too, and
 * the kernel uses that memory whether or not it could make a region of them.
 */
#include "observe.h"

static struct iso_hpa_range intersection(struct iso_hpa_range a, struct iso_hpa_range b)
{
	struct iso_hpa_range *low = a.start.v < b.start.v ? &a : &b, *high = low == &a ? &b : &a;
	uint64_t gap = high->start.v - low->start.v, left;

	if (gap >= low->bytes)
		return (struct iso_hpa_range){0};
	left = low->bytes - gap;
	return (struct iso_hpa_range){high->start, left < high->bytes ? left : high->bytes};
}

static struct iso_observed_port *root_port(struct observation *o, uint32_t port)
{
	while (port != ISO_NONE && o->ports[port].parent != ISO_NONE)
		port = o->ports[port].parent;
	return port == ISO_NONE ? NULL : &o->ports[port];
}

/* Marks the root port of a target, if `mark`: all of them, should several devices share its serial. Return: whether there is one. */
static bool take_target(struct observation *o, const struct iso_observed_target *target, bool mark)
{
	struct iso_observed_port *port;
	bool known = false;

	for (uint32_t i = 0; target->present && i < o->counts.n_memdevs; i++) {
		port = o->memdevs[i].serial == target->serial ? root_port(o, o->memdevs[i].port)
							      : NULL;
		if (!port)
			continue;
		port->system_ram |= mark;
		known = true;
	}
	return known;
}

static bool is_known(struct observation *o, const struct iso_observed_region *region)
{
	for (uint32_t i = 0; i < region->ways; i++)
		if (!take_target(o, &region->targets[i], false))
			return false;
	return region->committed && region->ways;
}

/* Return: how many of these bytes regions account for. */
static uint64_t take_regions(struct observation *o, struct iso_hpa_range ram)
{
	uint64_t bytes = 0;

	for (uint32_t r = 0; r < o->counts.n_regions; r++) {
		const struct iso_observed_region *region = &o->regions[r];
		struct iso_hpa_range piece = intersection(ram, region->range);

		if (!piece.bytes || !is_known(o, region))
			continue;
		bytes += piece.bytes;
		for (uint32_t i = 0; i < region->ways; i++)
			take_target(o, &region->targets[i], true);
	}
	return bytes;
}

/* A target that is not known may be any of them. */
static bool leads_to(const struct iso_observed_window *window, uint32_t host_bridge)
{
	for (uint32_t i = 0; i < window->ways; i++)
		if (window->host_bridges[i] == host_bridge || window->host_bridges[i] == ISO_NONE)
			return true;
	return false;
}

static void take_window(struct observation *o, const struct iso_observed_window *window)
{
	for (uint32_t p = 0; p < o->counts.n_ports; p++)
		if (o->ports[p].kind == ISO_PORT_ROOT && leads_to(window, o->ports[p].host_bridge))
			o->ports[p].system_ram = true;
}

void observe_ram(struct observation *o)
{
	for (uint32_t i = 0; i < o->iomem.n_ram; i++)
		for (uint32_t w = 0; w < o->counts.n_windows; w++) {
			struct iso_hpa_range ram =
				intersection(o->iomem.ram[i], o->windows[w].range);

			if (ram.bytes && take_regions(o, ram) < ram.bytes)
				take_window(o, &o->windows[w]);
		}
}
