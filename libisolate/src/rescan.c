/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A memdev that is there but not bound: the kernel's own recovery has failed
 * (seen on 7.2: its probe meets the detach still pending and gives up with
 * EBUSY). Nothing else will bind it again, so the port is looked at anew, with
 * growing pauses.
 */
#include "state.h"

/* A rescan that does not help at once may never help. */
enum { RESCANS_PATIENCE = 2 };

static bool rescan_start(struct iso_engine *e, uint32_t p)
{
	struct operation_object object = {ISO_NONE, ISO_NONE, ISO_NONE, p, ISO_NONE};
	struct port *port = &e->ports[p];
	uint32_t shift = port->rescans < 5 ? port->rescans : 5;

	if (port->operation)
		return false;
	port->operation = operation_start(e, ISO_EFFECT_RESCAN_PORT, object, port->domain, 0);
	if (!port->operation)
		return false;
	port->rescan_at_ns = e->now_ns + (e->policy.observe_ns << shift);
	port->rescans++;
	engine_arm(e, port->rescan_at_ns);
	return true;
}

static void consider(struct iso_engine *e, const struct memdev *memdev)
{
	struct port *port = &e->ports[memdev->port];

	if (!memdev->present || memdev->bound || memdev->duplicate_serial || port->held)
		return;
	if (memdev->settling_until_ns > e->now_ns) {
		engine_arm(e, memdev->settling_until_ns);
		return;
	}
	/* What was seen while the kernel was at it says nothing. */
	if (memdev->seen_ns < memdev->settled_ns || memdev->seen_ns < memdev->settling_until_ns) {
		engine_observe(e);
		return;
	}
	if (port->rescan_at_ns > e->now_ns)
		engine_arm(e, port->rescan_at_ns);
	else
		rescan_start(e, memdev->port);
}

/* One that has just come: the kernel's probe is probably still at it, which takes its time on a busy host. */
void rescan_newcomer(struct iso_engine *e, const struct memdev *memdev)
{
	struct port *port;

	if (memdev->bound || memdev->port == ISO_NONE)
		return;
	port = &e->ports[memdev->port];
	if (port->rescan_at_ns < e->now_ns + e->policy.observe_ns)
		port->rescan_at_ns = e->now_ns + e->policy.observe_ns;
}

/* What an operator asked for comes after an operation that is still under way, as a detach. */
static void serve_operator(struct iso_engine *e)
{
	uint32_t p;

	for (p = 0; p < e->n_ports; p++)
		if (e->ports[p].rescan_wanted && rescan_start(e, p))
			e->ports[p].rescan_wanted = false;
}

/* Only memdevs that a managed region waits for: others are their operator's. */
static bool waits_for_memdev(struct iso_engine *e, const struct region *region)
{
	if (!region->used || !region->desired)
		return false;
	if (region->state == ISO_REGION_ABSENT)
		return region->wait == ISO_WAIT_MEMDEV;
	return region->state == ISO_REGION_LOST && !region->n_instances && !region->n_operations &&
	       region_legs_wait(e, region) == ISO_WAIT_MEMDEV;
}

/* A memdev that this daemon has never seen: where it hangs is not known. */
static bool misses_a_stranger(const struct iso_engine *e)
{
	uint32_t r, i;

	for (r = 0; r < e->n_regions; r++) {
		const struct region *region = &e->regions[r];

		if (!region->used || !region->desired || health_gate_holds(e, region))
			continue;
		for (i = 0; i < region->definition.ways; i++)
			if (region->legs[i] == ISO_NONE)
				return true;
	}
	return false;
}

static bool is_empty(const struct iso_engine *e, uint32_t p)
{
	uint32_t m;

	for (m = 0; m < e->n_memdevs; m++)
		if (e->memdevs[m].present && topology_below(e, e->memdevs[m].port, p))
			return false;
	return true;
}

/*
 * An earlier daemon may have taken a link down for an isolation and died before
 * it looked for what came back: then the device is there, and nobody says so.
 */
static void look_behind(struct iso_engine *e)
{
	uint32_t p;

	for (p = 0; p < e->n_ports; p++) {
		struct port *port = &e->ports[p];

		if (port->kind != ISO_PORT_ROOT || !port->present || port->held ||
		    port->isolation.since_ns || !isolation_has_registers(&port->isolation) ||
		    port->rescans >= RESCANS_PATIENCE || !is_empty(e, p))
			continue;
		if (port->rescan_at_ns > e->now_ns)
			engine_arm(e, port->rescan_at_ns);
		else
			rescan_start(e, p);
	}
}

void rescan_advance(struct iso_engine *e)
{
	uint32_t r, i, m;

	serve_operator(e);
	if (e->observed && misses_a_stranger(e))
		look_behind(e);
	for (r = 0; e->observed && r < e->n_regions; r++) {
		struct region *region = &e->regions[r];

		/* It takes a device away before it brings it back. */
		if (health_gate_holds(e, region))
			continue;
		for (i = 0; waits_for_memdev(e, region) && i < region->definition.ways; i++) {
			m = topology_memdev_by_serial(e, region->definition.serials[i]);
			if (m != ISO_NONE && e->memdevs[m].port != ISO_NONE)
				consider(e, &e->memdevs[m]);
		}
	}
}

/*
 * Whether an operation on a port above it goes on or has not been looked at. A
 * rescan takes the memdev away before it brings it back, even one that the
 * kernel has bound meanwhile: the removal may have waited for just that.
 */
bool rescan_under_way(const struct iso_engine *e, const struct memdev *memdev)
{
	uint32_t p;

	for (p = memdev->port; p != ISO_NONE; p = e->ports[p].parent)
		if (e->ports[p].operation || e->seen_ns < e->ports[p].changed_ns)
			return true;
	return false;
}

/* Whether a rescan of its port goes on, has not been looked at, or is worth trying. */
static bool may_come_back(const struct iso_engine *e, const struct memdev *memdev)
{
	const struct port *port = &e->ports[memdev->port];

	if (port->held || memdev->duplicate_serial)
		return false;
	if (rescan_under_way(e, memdev))
		return true;
	return memdev->present && !memdev->bound && port->rescans < RESCANS_PATIENCE;
}

/*
 * While a rescan is likely to bring a leg back the region keeps its place, and
 * those above it in the decoder order wait: they would be in its way later.
 */
bool rescan_may_help(const struct iso_engine *e, const struct region *region)
{
	uint32_t i;

	for (i = 0; i < region->definition.ways; i++)
		if (region->legs[i] != ISO_NONE && e->memdevs[region->legs[i]].port != ISO_NONE &&
		    may_come_back(e, &e->memdevs[region->legs[i]]))
			return true;
	return false;
}
