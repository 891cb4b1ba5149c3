/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store of the simulated platform, and what a restarted engine is told from it. */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

void store_lease(struct world *w, const struct iso_effect *effect)
{
	struct iso_restore_lease *saved = w->stored.leases;
	struct iso_instance_view instance;
	struct iso_region_view region;
	struct iso_lease_view lease;
	uint32_t i, n = 0;

	for (i = 0; i < w->stored.n_leases && strcmp(saved[i].terms.name, effect->text); i++)
		;
	if (!iso_lease_get(w->engine, effect->lease, &lease)) {
		if (i < w->stored.n_leases)
			saved[i] = saved[--w->stored.n_leases];
		return;
	}
	cr_assert_lt(i, 64);
	saved[i] = (struct iso_restore_lease){
		.terms = *lease.terms,
		.sequence = lease.sequence,
		.state = lease.state,
		.was_killed = lease.was_killed,
		.pid = lease.pid,
		.incident = lease.incident,
	};
	for (uint32_t p = 0; p < lease.n_instances; p++) {
		iso_instance_get(w->engine, lease.instances[p], &instance);
		if (!instance.named || instance.lost ||
		    !iso_region_get(w->engine, instance.region, &region))
			continue;
		saved[i].parts[n] = (struct iso_restore_part){
			instance.region_kernel_id, instance.kernel_id, instance.bytes, ""};
		strcpy(saved[i].parts[n++].region, region.definition->name);
	}
	saved[i].n_parts = n;
	if (i == w->stored.n_leases)
		w->stored.n_leases++;
}

void store_region(struct world *w, const struct iso_effect *effect)
{
	struct iso_restore_region *saved = w->stored.regions;
	struct iso_region_view region;
	uint32_t i;

	for (i = 0; i < w->stored.n_regions && strcmp(saved[i].definition.name, effect->text); i++)
		;
	if (!iso_region_get(w->engine, effect->region, &region)) {
		if (i < w->stored.n_regions)
			saved[i] = saved[--w->stored.n_regions];
		return;
	}
	saved[i] = (struct iso_restore_region){
		.definition = *region.definition,
		.kernel_id = region.kernel_id,
		.last_hpa = region.range.start,
		.has_hpa = region.has_hpa,
		.from_operator = region.from_operator,
	};
	if (i == w->stored.n_regions)
		w->stored.n_regions++;
}

void store_incident(struct world *w, uint64_t id)
{
	struct iso_restore_incident *saved = w->stored.incidents;
	struct iso_incident_view v;
	uint32_t i, slot;

	for (i = 0; i < iso_incident_count(w->engine); i++)
		if (iso_incident_get(w->engine, i, &v) && v.id == id)
			break;
	if (i == iso_incident_count(w->engine))
		return;
	for (slot = 0; slot < w->stored.n_incidents && saved[slot].id != id; slot++)
		;
	if (slot == 16)
		for (slot = 15; slot > 0 && saved[slot].open; slot--)
			;
	saved[slot] = (struct iso_restore_incident){
		.id = id,
		.cause = v.cause,
		.record_ns = v.record_ns,
		.detected_ns = v.detected_ns,
		.contained_ns = v.contained_ns,
		.capacity_before_bytes = v.capacity_before_bytes,
		.n_killed = v.n_killed,
		.n_exited = v.n_exited,
		.n_records = v.n_records,
		.open = v.open,
	};
	strcpy(saved[slot].unit, v.unit);
	strcpy(saved[slot].held_port, v.held_port);
	saved[slot].held_flapping = v.held_flapping;
	if (slot == w->stored.n_incidents)
		w->stored.n_incidents++;
}

/* The pidfd store: which process of a lease outlived the daemon. */
static struct world_process *survivor(struct world *w, const char *lease)
{
	uint32_t i;

	for (i = 0; i < w->n_processes; i++)
		if (w->processes[i].running && w->processes[i].is_vm &&
		    !strcmp(w->processes[i].name, lease))
			return &w->processes[i];
	return NULL;
}

static void restore_lease(struct world *w, const struct iso_restore_lease *saved)
{
	struct world_process *process = survivor(w, saved->terms.name);
	struct iso_event event = {.kind = ISO_EVENT_RESTORE_LEASE};
	struct iso_restore_lease restore = *saved;
	struct iso_lease_view lease;
	uint32_t l;

	restore.has_process = process != NULL;
	restore.pid = process ? process->pid : 0;
	restore.was_killed &= !process || saved->pid == process->pid;
	event.restore_lease = &restore;
	if (process) { /* known before the step, which may kill it */
		process->lease = w->next_lease;
		process->lease_epoch = 1;
	}
	world_step(w, &event);
	l = iso_lease_find(w->engine, saved->terms.name);
	if (l == ISO_NONE)
		return;
	w->next_lease = l + 1;
	iso_lease_get(w->engine, l, &lease);
	if (process)
		cr_assert(process->lease == l && process->lease_epoch == lease.epoch);
}

void world_restart(struct world *w)
{
	struct world_stored stored = w->stored;
	struct iso_event event = {0};
	uint32_t i;

	w->amnesia = false;
	w->next_lease = 0;
	for (i = 0; i < w->n_processes; i++)
		w->processes[i].lease = ISO_NONE;
	world_start_engine(w);
	for (i = 0; i < w->n_defined; i++) {
		event.kind = ISO_EVENT_REGION_DEFINE;
		memset(&event.define, 0, sizeof(event.define));
		event.define.definition = w->defined[i];
		world_step(w, &event);
	}
	for (i = 0; i < stored.n_regions; i++) {
		event.kind = ISO_EVENT_RESTORE_REGION;
		event.restore_region = &stored.regions[i];
		world_step(w, &event);
	}
	for (i = 0; i < stored.n_incidents; i++) {
		event.kind = ISO_EVENT_RESTORE_INCIDENT;
		event.restore_incident = &stored.incidents[i];
		world_step(w, &event);
	}
	for (i = 0; i < stored.n_leases; i++)
		restore_lease(w, &stored.leases[i]);
}
