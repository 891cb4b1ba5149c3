/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the engine believes, as rows of the store: restore.c reads them back. */
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "log.h"
#include "note.h"

static void row_of_part(const struct iso_engine *engine, uint32_t index,
			struct iso_restore_lease *row)
{
	struct iso_instance_view instance;
	struct iso_region_view region;
	struct iso_restore_part *part = &row->parts[row->n_parts];

	if (!iso_instance_get(engine, index, &instance) || !instance.named || instance.lost ||
	    !iso_region_get(engine, instance.region, &region))
		return;
	part->region_kernel_id = instance.region_kernel_id;
	part->kernel_id = instance.kernel_id;
	part->bytes = instance.bytes;
	part->begun_ns = instance.begun_ns;
	memcpy(part->region, region.definition->name, sizeof(part->region));
	row->n_parts++;
}

void save_lease(struct daemon *daemon, const struct iso_effect *effect)
{
	struct iso_restore_lease row = {0};
	struct iso_lease_view lease;
	uint32_t i;

	if (!iso_lease_get(daemon->engine, effect->lease, &lease) ||
	    strcmp(lease.terms->name, effect->text)) {
		store_end_lease(daemon->store, effect->text, 0);
		return;
	}
	row.terms = *lease.terms;
	/* What was seen of it counts like its own word: pins can outlive this daemon. */
	row.terms.pins |= lease.pins;
	if (lease.pins)
		snprintf(row.terms.evidence, sizeof(row.terms.evidence), "%s", lease.evidence);
	row.sequence = lease.sequence;
	row.state = lease.state;
	row.was_killed = lease.was_killed;
	row.pid = lease.pid;
	row.process_start = vms_process_start(daemon->vms, effect->lease);
	row.incident = lease.incident;
	for (i = 0; i < lease.n_instances; i++)
		row_of_part(daemon->engine, lease.instances[i], &row);
	store_save_lease(daemon->store, &row, 0);
}

void save_region(struct daemon *daemon, const struct iso_effect *effect)
{
	struct iso_restore_region row = {0};
	struct iso_region_view region;

	if (!iso_region_get(daemon->engine, effect->region, &region) ||
	    strcmp(region.definition->name, effect->text)) {
		store_forget_region(daemon->store, effect->text, 0);
		return;
	}
	row.definition = *region.definition;
	row.kernel_id = region.kernel_id;
	row.last_hpa = region.range.start;
	row.has_hpa = region.has_hpa;
	row.from_operator = region.from_operator && region.desired;
	store_save_region(daemon->store, &row, 0);
}

void save_port(struct daemon *daemon, uint32_t port)
{
	struct iso_restore_port row = {0};
	struct iso_port_view view;

	if (!iso_port_get(daemon->engine, port, &view))
		return;
	snprintf(row.path, sizeof(row.path), "%s", view.path);
	row.wish = view.arm_wish;
	row.range = view.range_wish;
	row.held = view.held;
	row.flapping = view.flapping;
	row.link_taken = view.link_taken;
	row.n_losses = view.n_losses;
	memcpy(row.losses_ns, view.losses_ns, view.n_losses * sizeof(view.losses_ns[0]));
	store_save_port(daemon->store, &row, 0);
}

void save_incident(struct daemon *daemon, uint64_t id)
{
	struct store_incident row;
	uint32_t i;

	for (i = 0; i < iso_incident_count(daemon->engine); i++)
		if (note_incident(daemon->engine, i, &row) && row.id == id)
			store_save_incident(daemon->store, &row);
}

void save_fence(struct daemon *daemon, uint32_t i)
{
	struct iso_restore_fence row = {0};
	struct iso_fence_view fence;

	if (!iso_fence_get(daemon->engine, i, &fence))
		return;
	row.kind = fence.kind;
	row.serial = fence.serial;
	snprintf(row.unit, sizeof(row.unit), "%s", fence.unit);
	snprintf(row.rule, sizeof(row.rule), "%s", fence.rule);
	store_save_fence(daemon->store, &row, fence.lifted);
}

/*
 * The database has lost something that the engine still knows. What is refused
 * for want of room comes once more, and until then the mark stays that a start
 * holds by.
 */
void save_all(struct daemon *daemon)
{
	struct store_counters before, after;
	struct iso_incident_view incident;
	struct iso_region_view region;
	struct iso_lease_view lease;
	uint32_t i;

	store_count(daemon->store, &before);
	store_begin_anew(daemon->store);
	for (i = 0; i < iso_region_count(daemon->engine); i++)
		if (iso_region_get(daemon->engine, i, &region))
			save_region(daemon, &(struct iso_effect){.region = i,
								 .text = region.definition->name});
	for (i = 0; i < iso_lease_count(daemon->engine); i++)
		if (iso_lease_get(daemon->engine, i, &lease))
			save_lease(daemon,
				   &(struct iso_effect){.lease = i, .text = lease.terms->name});
	for (i = 0; i < iso_port_count(daemon->engine); i++)
		save_port(daemon, i);
	for (i = 0; i < iso_incident_count(daemon->engine); i++)
		if (iso_incident_get(daemon->engine, i, &incident))
			save_incident(daemon, incident.id);
	for (i = 0; i < iso_bad_count(daemon->engine); i++)
		save_poison(daemon, i);
	for (i = 0; i < iso_fence_count(daemon->engine); i++)
		save_fence(daemon, i);
	store_count(daemon->store, &after);
	if (after.refused == before.refused && !iso_hold_reason(daemon->engine))
		store_end_hold(daemon->store);
	log_line(LOG_NOTICE, "all leases, regions and incidents were written anew");
}
