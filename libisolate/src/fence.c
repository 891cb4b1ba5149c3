/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fences: what policy keeps new tenants from, a domain or a memdev, until an
 * operator recovers it. Who has a lease there keeps it. They outlive restarts,
 * and are known by path and serial, so that they may name what is not there.
 */
#include "fence.h"

#include <stdlib.h>
#include <string.h>

static struct fence *find(struct iso_engine *e, const struct iso_restore_fence *fence)
{
	uint32_t i;

	for (i = 0; i < e->fences_room; i++) {
		struct fence *other = &e->fences[i];

		if (other->used && other->kind == fence->kind &&
		    (fence->kind == ISO_FENCE_MEMDEV ? other->serial == fence->serial
						     : !strcmp(other->unit, fence->unit)))
			return other;
	}
	return NULL;
}

/* Not one whose end is still to be read by who saves it. */
static struct fence *free_slot(struct iso_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->fences_room; i++)
		if (!e->fences[i].used && e->fences[i].lifted_step != e->step)
			return &e->fences[i];
	return NULL;
}

static void changed(struct iso_engine *e, const struct fence *fence)
{
	emit(e, ISO_EFFECT_SAVE_FENCE)->fence = fence - e->fences;
	e->regions_dirty = true;
	e->domains_dirty = true;
	e->placement_dirty = true;
}

static struct fence *put(struct iso_engine *e, const struct iso_restore_fence *fence)
{
	struct fence *slot = free_slot(e);

	if (!slot)
		return NULL;
	*slot = (struct fence){
		.kind = fence->kind,
		.serial = fence->serial,
		.port = ISO_NONE,
		.used = true,
	};
	copy_text(slot->unit, sizeof(slot->unit), fence->unit);
	copy_text(slot->rule, sizeof(slot->rule), fence->rule);
	e->n_fences++;
	return slot;
}

/* Return: false when the table is full. One that stands already stays as it is. */
bool fence_add(struct iso_engine *e, const struct iso_restore_fence *fence)
{
	struct fence *slot;

	if (find(e, fence))
		return true;
	slot = put(e, fence);
	if (slot)
		changed(e, slot);
	return slot != NULL;
}

void fence_restore(struct iso_engine *e, const struct iso_restore_fence *fence)
{
	if (fence->kind < ISO_FENCES && !find(e, fence))
		put(e, fence);
}

static void lift(struct iso_engine *e, struct fence *fence)
{
	fence->used = false;
	fence->lifted_step = e->step;
	e->n_fences--;
	changed(e, fence);
}

/* The domain it is about, or ISO_NONE for a port or memdev that is not known now. */
uint32_t fence_domain(const struct iso_engine *e, const struct fence *fence)
{
	uint32_t p = fence->port, m;

	if (fence->kind == ISO_FENCE_MEMDEV) {
		m = topology_memdev_by_serial(e, fence->serial);
		p = m == ISO_NONE ? ISO_NONE : e->memdevs[m].port;
	} else if (p >= e->n_ports || strcmp(e->ports[p].path, fence->unit)) {
		p = iso_port_find(e, fence->unit);
		((struct fence *)fence)->port = p; /* places of ports are given away seldom */
	}
	return p < e->n_ports ? e->ports[p].domain : ISO_NONE;
}

static bool closes(const struct iso_engine *e, const struct fence *fence,
		   const struct region *region)
{
	uint32_t i;

	if (fence->kind != ISO_FENCE_MEMDEV)
		return region->domain != ISO_NONE && fence_domain(e, fence) == region->domain;
	for (i = 0; i < region->definition.ways; i++)
		if (region->definition.serials[i] == fence->serial)
			return true;
	return false;
}

/* What keeps new tenants from a region, or NULL. */
const struct fence *fence_of_region(const struct iso_engine *e, const struct region *region)
{
	uint32_t i;

	for (i = 0; e->n_fences && i < e->fences_room; i++)
		if (e->fences[i].used && closes(e, &e->fences[i], region))
			return &e->fences[i];
	return NULL;
}

bool fence_quarantined(const struct iso_engine *e, uint32_t domain)
{
	uint32_t i;

	for (i = 0; domain != ISO_NONE && e->n_fences && i < e->fences_room; i++)
		if (e->fences[i].used && e->fences[i].kind == ISO_FENCE_QUARANTINE &&
		    fence_domain(e, &e->fences[i]) == domain)
			return true;
	return false;
}

/* An operator trusts the domain of this port again. */
void fence_lift_domain(struct iso_engine *e, uint32_t port)
{
	uint32_t i;

	for (i = 0; e->n_fences && i < e->fences_room; i++)
		if (e->fences[i].used && e->fences[i].kind != ISO_FENCE_MEMDEV &&
		    fence_domain(e, &e->fences[i]) == e->ports[port].domain)
			lift(e, &e->fences[i]);
}

uint32_t iso_fence_of_memdev(const struct iso_engine *e, const char *text)
{
	uint32_t m = iso_memdev_find(e, text), i;
	char *end;
	uint64_t serial = strtoull(text, &end, 0);
	bool has_serial = *text && !*end;

	if (m != ISO_NONE) {
		serial = e->memdevs[m].serial;
		has_serial = true;
	}
	for (i = 0; i < e->fences_room; i++) {
		const struct fence *fence = &e->fences[i];

		if (fence->used && fence->kind == ISO_FENCE_MEMDEV &&
		    (has_serial ? fence->serial == serial : !strcmp(fence->unit, text)))
			return i;
	}
	return ISO_NONE;
}

/*
 * The same of a memdev that was retired; its port never went away, but it may have
 * itself. Return: whether the event names a memdev and so was answered.
 */
bool fence_recover_memdev(struct iso_engine *e, const struct iso_event *event)
{
	uint32_t i = iso_fence_of_memdev(e, event->port.port);

	if (i == ISO_NONE && iso_memdev_find(e, event->port.port) == ISO_NONE)
		return false;
	if (iso_port_find(e, event->port.port) != ISO_NONE)
		return false;
	if (i != ISO_NONE)
		lift(e, &e->fences[i]);
	emit_reply(e, event->port.request, i != ISO_NONE ? ISO_REPLY_DONE : ISO_REPLY_ALREADY,
		   ISO_NONE, ISO_NONE, NULL);
	return true;
}

uint32_t iso_fence_count(const struct iso_engine *e)
{
	return e->fences_room;
}

bool iso_fence_get(const struct iso_engine *e, uint32_t i, struct iso_fence_view *ret)
{
	const struct fence *fence;

	if (i >= e->fences_room)
		return false;
	fence = &e->fences[i];
	if (!fence->used && (!fence->lifted_step || fence->lifted_step != e->step))
		return false;
	*ret = (struct iso_fence_view){
		.kind = fence->kind,
		.unit = fence->unit,
		.serial = fence->serial,
		.rule = fence->rule,
		.lifted = !fence->used,
	};
	return true;
}
