/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the host is well enough that what was lost is made again by itself.
 *
 * After an oops or a lockup nobody knows which of the kernel's locks are still
 * held; to make regions takes most of those of cxl and dax. So that waits until
 * the host has been well for a while, or an operator says that it shall not.
 * Containment never waits.
 */
#include "state.h"

bool host_health_holds(const struct iso_engine *e, const struct region *region)
{
	return e->unwell && region->desired && !region->despite_health;
}

void host_health_take(struct iso_engine *e, bool host_ok, const char *why)
{
	uint32_t r;

	if (host_ok == !e->unwell && (host_ok || !strcmp(e->unwell_reason, why)))
		return;
	e->unwell = !host_ok;
	copy_text(e->unwell_reason, sizeof(e->unwell_reason), host_ok ? "" : why);
	if (host_ok)
		emit_note(e, ISO_NOTE_WAITING, 0,
			  "the host is well again: what was lost is made again");
	else
		emit_note(e, ISO_NOTE_WAITING, 0, "nothing is made again by itself: %.150s", why);
	for (r = 0; host_ok && r < e->n_regions; r++)
		e->regions[r].despite_health = false;
	e->regions_dirty = true;
	e->domains_dirty = true;
}

/* All that region waits for is the host. */
bool host_health_is_waited_for(const struct iso_engine *e, const struct region *region)
{
	if (!host_health_holds(e, region))
		return false;
	if (region->state == ISO_REGION_ABSENT)
		return region->wait == ISO_WAIT_HEALTH;
	return region->state == ISO_REGION_LOST && !region->locked && !region->n_instances &&
	       !region->n_operations;
}

const char *iso_health_reason(const struct iso_engine *e)
{
	return e->unwell ? e->unwell_reason : NULL;
}
