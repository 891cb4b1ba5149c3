/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether host and memdevs are well enough that what was lost is made again by
 * itself.
 *
 * After an oops or a lockup nobody knows which of the kernel's locks are still
 * held; to make regions takes most of those of cxl and dax. A memdev that says
 * of itself that it fails would be handed out again only to be lost again: its
 * regions are taken apart, so that those above them can be made. All of that
 * waits until they are well, or an operator says that it shall not. Containment
 * never waits.
 */
#include "state.h"

const char *iso_health_of_memdev(const struct iso_engine *e, uint64_t serial)
{
	uint32_t i;

	for (i = 0; i < e->n_unwell_memdevs; i++)
		if (e->unwell_memdevs[i].serial == serial)
			return e->unwell_memdevs[i].reason;
	return NULL;
}

const char *health_gate_reason(const struct iso_engine *e,
			       const struct iso_region_definition *region)
{
	const char *reason = e->unwell ? e->unwell_reason : NULL;
	uint32_t i;

	for (i = 0; !reason && i < region->ways; i++)
		reason = iso_health_of_memdev(e, region->serials[i]);
	return reason;
}

bool health_gate_holds(const struct iso_engine *e, const struct region *region)
{
	return region->desired && !region->despite_health &&
	       health_gate_reason(e, &region->definition);
}

bool health_gate_keeps_remains(const struct iso_engine *e, const struct region *region)
{
	return e->unwell && health_gate_holds(e, region);
}

static void take_host(struct iso_engine *e, const struct iso_health *health)
{
	if (health->ok == !e->unwell && (health->ok || !strcmp(e->unwell_reason, health->why)))
		return;
	e->unwell = !health->ok;
	copy_text(e->unwell_reason, sizeof(e->unwell_reason), health->ok ? "" : health->why);
	if (health->ok)
		emit_note(e, ISO_NOTE_WAITING, 0,
			  "the host is well again: what was lost is made again");
	else
		emit_note(e, ISO_NOTE_WAITING, 0, "nothing is made again by itself: %.150s",
			  health->why);
}

/* Before it was seen here, too. Beyond what there is room for nothing is held: it says what it says. */
static void take_memdev(struct iso_engine *e, const struct iso_health *health)
{
	struct unwell_memdev *unwell = e->unwell_memdevs;
	struct unwell_memdev *end = unwell + e->n_unwell_memdevs;

	while (unwell < end && unwell->serial != health->serial)
		unwell++;
	if (health->ok ? unwell == end
		       : unwell == e->unwell_memdevs + UNWELL_MEMDEVS_MAX ||
				 (unwell < end && !strcmp(unwell->reason, health->why)))
		return;
	if (health->ok) {
		*unwell = end[-1];
		e->n_unwell_memdevs--;
	} else {
		e->n_unwell_memdevs += unwell == end;
		unwell->serial = health->serial;
		copy_text(unwell->reason, sizeof(unwell->reason), health->why);
	}
	emit_note(e, ISO_NOTE_WAITING, 0, "memdev with serial number %#llx: %s%.110s",
		  (unsigned long long)health->serial,
		  health->ok ? "it is well again" : "nothing is made on it again by itself: ",
		  health->why);
}

void health_gate_take(struct iso_engine *e, const struct iso_health *health)
{
	uint32_t r;

	if (health->of_memdev)
		take_memdev(e, health);
	else
		take_host(e, health);
	for (r = 0; r < e->n_regions; r++)
		if (e->regions[r].used && !health_gate_reason(e, &e->regions[r].definition))
			e->regions[r].despite_health = false;
	e->regions_dirty = true;
	e->domains_dirty = true;
}

/* All that region waits for is the health of what it lies on. */
bool health_gate_is_waited_for(const struct iso_engine *e, const struct region *region)
{
	if (!health_gate_holds(e, region))
		return false;
	if (region->state == ISO_REGION_ABSENT)
		return region->wait == ISO_WAIT_HEALTH;
	return health_gate_keeps_remains(e, region) && region->state == ISO_REGION_LOST &&
	       !region->locked && !region->n_instances && !region->n_operations;
}

const char *iso_health_reason(const struct iso_engine *e)
{
	return e->unwell ? e->unwell_reason : NULL;
}
