/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a host must come to once nothing fails any more. */
#include <stdio.h>

#include "sim.h"

/* Healthy, or what a person or a device has to change is said in words. */
static bool is_named(const struct world *w, uint32_t port)
{
	switch (world_domain(w, port)) {
	case ISO_DOMAIN_HEALTHY:
		return true;
	case ISO_DOMAIN_WAITING:
	case ISO_DOMAIN_ISOLATED:
	case ISO_DOMAIN_QUARANTINED:
		return world_reason(w, port)[0];
	case ISO_DOMAIN_UNKNOWN:
	case ISO_DOMAIN_CONTAINING:
	case ISO_DOMAIN_RECOVERING:
	case ISO_DOMAIN_STATES:
		break;
	}
	return false;
}

bool liveness_named(const struct world *w, const uint32_t *ports, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (!is_named(w, ports[i]))
			return false;
	return world_quiet(w);
}

bool liveness_settled(const struct world *w)
{
	struct iso_instance_view instance;
	struct iso_lease_view lease;
	uint32_t i;

	for (i = 0; i < iso_instance_count(w->engine); i++)
		if (iso_instance_get(w->engine, i, &instance) &&
		    instance.state != ISO_INSTANCE_HELD)
			return false;
	for (i = 0; i < iso_lease_count(w->engine); i++)
		if (iso_lease_get(w->engine, i, &lease) && lease.state != ISO_LEASE_ATTACHED &&
		    lease.state != ISO_LEASE_ACQUIRED)
			return false; /* one that waits is tried again: there is room for all */
	return world_quiet(w);
}

bool liveness_healthy(const struct world *w, const uint32_t *ports, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (world_domain(w, ports[i]) != ISO_DOMAIN_HEALTHY)
			return false;
	return true;
}

void liveness_tell(const struct world *w, const uint32_t *ports, uint32_t n)
{
	struct iso_instance_view instance;
	struct iso_region_view region;
	struct iso_lease_view lease;
	uint32_t i;

	for (i = 0; i < n; i++)
		fprintf(stderr, "%s: %s %s\n", w->ports[ports[i]].path,
			iso_domain_state_name(world_domain(w, ports[i])),
			world_reason(w, ports[i]));
	for (i = 0; i < iso_region_count(w->engine); i++)
		if (iso_region_get(w->engine, i, &region))
			fprintf(stderr, "%s: %s %s %s, %#llx+%#llx\n", region.definition->name,
				iso_region_state_name(region.state),
				iso_region_wait_name(region.wait), region.reason,
				(unsigned long long)region.range.start.v,
				(unsigned long long)region.range.bytes);
	for (i = 0; i < iso_lease_count(w->engine); i++)
		if (iso_lease_get(w->engine, i, &lease))
			fprintf(stderr, "%s: %s %s\n", lease.terms->name,
				iso_lease_state_name(lease.state), lease.waits_for);
	for (i = 0; i < iso_instance_count(w->engine); i++)
		if (iso_instance_get(w->engine, i, &instance))
			fprintf(stderr, "instance %u: %s region %u lease %d\n", i,
				iso_instance_state_name(instance.state), instance.region,
				(int)instance.lease);
}

/* What a VM holds is not known any more when its lease is lost with the store: nobody can kill it. */
void liveness_check_victims(struct world *w)
{
	uint32_t i, j;

	for (i = 0; i < w->n_processes; i++)
		for (j = 0; w->processes[i].running && j < w->processes[i].n_maps; j++)
			if (!w->dax[w->processes[i].maps[j]].exists && !w->store_was_lost)
				world_break(w, "%s lives on memory that is gone",
					    w->processes[i].name);
}
