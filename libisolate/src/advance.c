/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* After an event: everything that can go on now, until nothing more can. */
#include "state.h"

static bool advance_leases(struct iso_engine *e)
{
	bool any = false;
	uint32_t l;

	while (e->dirty_head != ISO_NONE) {
		l = e->dirty_head;
		e->dirty_head = e->leases[l].next_dirty;
		if (e->dirty_head == ISO_NONE)
			e->dirty_tail = ISO_NONE;
		e->leases[l].dirty = false;
		lease_advance(e, l);
		any = true;
	}
	return any;
}

/* An isolated port lets go of what is below it once no region stands on it. */
static void advance_ports(struct iso_engine *e)
{
	uint32_t p, r;

	for (p = 0; p < e->n_ports; p++) {
		struct operation_object object = {ISO_NONE, ISO_NONE, ISO_NONE, p, ISO_NONE};
		bool standing = false;

		if (!e->ports[p].detach_wanted || e->ports[p].operation)
			continue;
		for (r = 0; r < e->n_regions; r++)
			standing |= e->regions[r].used &&
				    e->regions[r].state != ISO_REGION_ABSENT &&
				    e->regions[r].state != ISO_REGION_QUARANTINED &&
				    blast_region_on(e, &e->regions[r], p, ISO_NONE);
		if (standing)
			continue;
		e->ports[p].operation =
			operation_start(e, ISO_EFFECT_DETACH_PORT, object, e->ports[p].domain, 0);
		e->ports[p].detach_wanted = e->ports[p].operation == 0;
	}
}

void engine_advance(struct iso_engine *e)
{
	uint32_t rounds, r;

	for (rounds = 0; rounds < 64; rounds++) {
		bool any = advance_leases(e);

		if (e->regions_dirty) {
			e->regions_dirty = false;
			for (r = 0; r < e->n_regions; r++)
				region_advance(e, r);
			evict_advance(e);
			isolation_advance(e);
			advance_ports(e);
			rescan_advance(e);
			any = true;
		}
		if (e->domains_dirty) {
			e->domains_dirty = false;
			domain_update(e);
			incident_update(e);
			any = true;
		}
		/* After the domains: they fence placement. */
		if (e->placement_dirty && e->observed) {
			e->placement_dirty = false;
			plan_waiting(e);
			any = true;
		}
		if (!any)
			return;
	}
	engine_arm(e, e->now_ns); /* more next time: the loop outside goes on */
}
