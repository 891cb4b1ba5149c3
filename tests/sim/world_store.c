/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store of the simulated platform, and what a restarted engine is told from it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define COMMIT_NS (20 * WORLD_MS) /* how long one commit takes */

/*
 * As the real store does it (daxmgr/store_thread.c): all that is queued becomes
 * durable together, in the order in which it was saved, and what is saved
 * meanwhile waits for the next commit. A daemon that dies takes along what has
 * not been committed: the last of it, never something in between.
 */
static void committed(struct world *w)
{
	*w->synced = *w->batch;
	if (w->queued) {
		*w->batch = w->stored;
		w->batch_end_ns += COMMIT_NS;
	} else {
		w->batch_end_ns = 0;
	}
	w->queued = false;
}

static void age(struct world *w)
{
	while (w->disk == WORLD_DISK_TORN && w->batch_end_ns && w->now_ns >= w->batch_end_ns)
		committed(w);
}

void world_store_before(struct world *w)
{
	age(w);
}

void world_store_after(struct world *w)
{
	if (w->disk != WORLD_DISK_TORN)
		return;
	if (w->batch_end_ns) {
		w->queued = true;
		return;
	}
	*w->batch = w->stored;
	w->batch_end_ns = w->now_ns + COMMIT_NS;
}

void world_store_asked(struct world *w)
{
	if (w->disk != WORLD_DISK_TORN)
		return;
	age(w);
	*w->batch = w->stored;
	w->batch_end_ns = w->now_ns + COMMIT_NS;
	w->queued = false;
}

void world_store_lease(struct world *w, const struct iso_effect *effect)
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
	world_room(w, i, WORLD_LEASES);
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
			.region_kernel_id = instance.region_kernel_id,
			.kernel_id = instance.kernel_id,
			.bytes = instance.bytes,
			.begun_ns = instance.begun_ns,
		};
		strcpy(saved[i].parts[n++].region, region.definition->name);
	}
	saved[i].n_parts = n;
	if (i == w->stored.n_leases)
		w->stored.n_leases++;
}

void world_store_region(struct world *w, const struct iso_effect *effect)
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
		.creation_interrupted = i < w->stored.n_regions && saved[i].creation_interrupted,
		.definition = *region.definition,
		.kernel_id = region.kernel_id,
		.last_hpa = region.range.start,
		.has_hpa = region.has_hpa,
		.from_operator = region.from_operator,
	};
	if (i == w->stored.n_regions)
		w->stored.n_regions++;
}

void world_store_incident(struct world *w, uint64_t id)
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
	saved[slot].synthetic = v.synthetic;
	if (slot == w->stored.n_incidents)
		w->stored.n_incidents++;
}

void world_store_port(struct world *w, uint32_t port)
{
	struct iso_restore_port *saved = w->stored.ports;
	struct iso_port_view view;
	uint32_t i;

	if (!iso_port_get(w->engine, port, &view))
		return;
	for (i = 0; i < w->stored.n_ports && strcmp(saved[i].path, view.path); i++)
		;
	world_room(w, i, WORLD_PORTS);
	saved[i] = (struct iso_restore_port){
		.wish = view.arm_wish,
		.range = view.range_wish,
		.held = view.held,
		.flapping = view.flapping,
		.link_taken = view.link_taken,
		.n_losses = view.n_losses,
	};
	memcpy(saved[i].losses_ns, view.losses_ns, view.n_losses * sizeof(view.losses_ns[0]));
	strcpy(saved[i].path, view.path);
	if (i == w->stored.n_ports)
		w->stored.n_ports++;
}

static bool same_fence(const struct iso_restore_fence *a, const struct iso_fence_view *b)
{
	return a->kind == b->kind &&
	       (a->kind == ISO_FENCE_MEMDEV ? a->serial == b->serial : !strcmp(a->unit, b->unit));
}

void world_store_fence(struct world *w, uint32_t fence)
{
	struct iso_restore_fence *saved = w->stored.fences;
	struct iso_fence_view view;
	uint32_t i;

	if (!iso_fence_get(w->engine, fence, &view)) {
		world_break(w, "a fence is saved that nobody can read");
		return;
	}
	for (i = 0; i < w->stored.n_fences && !same_fence(&saved[i], &view); i++)
		;
	if (view.lifted) {
		if (i < w->stored.n_fences)
			saved[i] = saved[--w->stored.n_fences];
		return;
	}
	world_room(w, i, WORLD_FENCES);
	saved[i] = (struct iso_restore_fence){.kind = view.kind, .serial = view.serial};
	strcpy(saved[i].unit, view.unit);
	strcpy(saved[i].rule, view.rule);
	if (i == w->stored.n_fences)
		w->stored.n_fences++;
}

static bool stands(const struct world *w, const struct iso_restore_fence *fence)
{
	struct iso_fence_view view;
	uint32_t i;

	for (i = 0; i < iso_fence_count(w->engine); i++)
		if (iso_fence_get(w->engine, i, &view) && !view.lifted && same_fence(fence, &view))
			return true;
	return false;
}

/* What is stored of fences is what stands, and shows. */
void world_check_fences(struct world *w)
{
	const struct iso_restore_fence *fence;
	uint32_t i, p;

	for (i = 0; w->disk == WORLD_DISK_GOOD && i < w->stored.n_fences; i++) {
		fence = &w->stored.fences[i];
		if (!stands(w, fence))
			world_break(w, "a fence of rule %s is forgotten", fence->rule);
		p = iso_port_find(w->engine, fence->unit);
		if (fence->kind != ISO_FENCE_MEMDEV && p != ISO_NONE &&
		    iso_domain_state(w->engine, p) == ISO_DOMAIN_HEALTHY)
			world_break(w, "%s is fenced and called healthy", fence->unit);
	}
}

static void mark_creation(struct world *w, struct world_stored *stored, uint32_t region,
			  bool begins)
{
	struct iso_region_view view;
	uint32_t i;

	if (!iso_region_get(w->engine, region, &view))
		return;
	for (i = 0; i < stored->n_regions; i++)
		if (!strcmp(stored->regions[i].definition.name, view.definition->name))
			stored->regions[i].creation_interrupted = begins;
}

/* All that was under way fails; then one at a time tries now and then whether that is over. */
static void check_patience(struct world *w)
{
	uint64_t seconds = (w->now_ns - w->full_ns) / WORLD_SECOND;

	if (++w->n_refused_intents > w->limits.operations + 2 * (seconds + 1))
		world_break(w, "a store that takes nothing is asked again and again");
}

/* An intent is durable with all that was saved before it. Of a region nobody saved a start knows nothing. */
void world_store_intent(struct world *w, const struct iso_effect *effect,
			struct iso_completion *ret)
{
	if (w->disk == WORLD_DISK_FULL) {
		check_patience(w);
		ret->result = -ENOSPC;
		strcpy(ret->message, "the store's disk is full");
		return;
	}
	if (w->disk == WORLD_DISK_TORN && w->batch_end_ns)
		committed(w);
	if (effect->intent != ISO_EFFECT_CREATE_REGION)
		return;
	mark_creation(w, &w->stored, effect->region, true);
	if (w->disk == WORLD_DISK_TORN) {
		mark_creation(w, w->batch, effect->region, true);
		mark_creation(w, w->synced, effect->region, true);
	}
}

/* Made or cleared: nothing half made is left. After a failure something may be. */
void world_store_done(struct world *w, const struct iso_effect *effect)
{
	if (w->disk != WORLD_DISK_FULL)
		mark_creation(w, &w->stored, effect->region, false);
}

static bool region_is_known(const struct world *w, const char *name)
{
	return iso_region_find(w->engine, name) != ISO_NONE;
}

/* Intents are in the store by themselves: a creation that was cut short stays one until one succeeds. */
static void store_regions(struct world *w)
{
	struct iso_restore_region *saved = w->stored.regions;
	struct iso_region_view region;
	struct iso_effect save = {0};
	uint32_t i;

	for (i = 0; i < w->stored.n_regions; i++)
		if (!region_is_known(w, saved[i].definition.name))
			saved[i--] = saved[--w->stored.n_regions];
	for (i = 0; i < iso_region_count(w->engine); i++) {
		save.region = i;
		if (!iso_region_get(w->engine, i, &region))
			continue;
		save.text = region.definition->name;
		world_store_region(w, &save);
		if (region.state == ISO_REGION_LIVE)
			mark_creation(w, &w->stored, i, false);
	}
}

static void store_all(struct world *w)
{
	struct iso_incident_view incident;
	struct iso_fence_view fence;
	struct iso_lease_view lease;
	struct iso_effect save = {0};
	uint32_t i;

	store_regions(w);
	w->stored.n_leases = 0;
	for (i = 0; i < iso_lease_count(w->engine); i++) {
		save.lease = i;
		if (!iso_lease_get(w->engine, i, &lease))
			continue;
		save.text = lease.terms->name;
		world_store_lease(w, &save);
	}
	for (i = 0; i < iso_port_count(w->engine); i++)
		world_store_port(w, i);
	for (i = 0; i < iso_incident_count(w->engine); i++)
		if (iso_incident_get(w->engine, i, &incident))
			world_store_incident(w, incident.id);
	for (i = 0; i < iso_bad_count(w->engine); i++)
		world_store_poison(w, i);
	w->stored.n_fences = 0;
	for (i = 0; i < iso_fence_count(w->engine); i++)
		if (iso_fence_get(w->engine, i, &fence) && !fence.lifted)
			world_store_fence(w, i);
}

void world_disk(struct world *w, enum world_disk disk)
{
	bool was_full = w->disk == WORLD_DISK_FULL;

	w->disk = disk;
	w->full_ns = w->now_ns;
	w->n_refused_intents = 0;
	if (was_full)
		store_all(w);
	if (disk == WORLD_DISK_GOOD)
		return;
	w->n_faults++;
	if (!w->synced) {
		w->synced = malloc(sizeof(*w->synced));
		w->batch = malloc(sizeof(*w->batch));
	}
	*w->synced = *w->batch = w->stored;
	w->batch_end_ns = 0;
	w->queued = false;
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
	uint32_t l, life;

	restore.has_process = process != NULL;
	restore.pid = process ? process->pid : 0;
	restore.was_killed &= !process || !saved->pid || saved->pid == process->pid;
	event.restore_lease = &restore;
	if (process) { /* known before the step, which may kill it */
		process->lease = w->next_lease;
		process->lease_epoch = 1;
	}
	life = w->life;
	world_step(w, &event);
	l = iso_lease_find(w->engine, saved->terms.name);
	if (l == ISO_NONE || w->life != life)
		return;
	w->next_lease = l + 1;
	iso_lease_get(w->engine, l, &lease);
	if (process && saved->pid && restore.was_killed && lease.state == ISO_LEASE_ATTACHED)
		world_break(w, "%s was killed before the restart and is believed to live on",
			    process->name);
	if (process && (process->lease != l || process->lease_epoch != lease.epoch))
		world_give_up(w, "a lease was restored as another one than expected");
}

static void restore_definitions(struct world *w, const struct world_stored *stored)
{
	struct iso_event event = {.kind = ISO_EVENT_REGION_DEFINE};
	uint32_t i, life = w->life;

	for (i = 0; i < w->n_defined && w->life == life; i++) {
		event.define.definition = w->defined[i];
		world_step(w, &event);
	}
	event.kind = ISO_EVENT_RESTORE_REGION;
	for (i = 0; i < stored->n_regions && w->life == life; i++) {
		event.restore_region = &stored->regions[i];
		world_step(w, &event);
	}
}

static void restore_tenants(struct world *w, const struct world_stored *stored)
{
	struct iso_event event = {.kind = ISO_EVENT_RESTORE_PORT};
	uint32_t i, life = w->life;

	for (i = 0; i < stored->n_ports && w->life == life; i++) {
		event.restore_port = &stored->ports[i];
		world_step(w, &event);
	}
	event.kind = ISO_EVENT_RESTORE_INCIDENT;
	for (i = 0; i < stored->n_incidents && w->life == life; i++) {
		event.restore_incident = &stored->incidents[i];
		world_step(w, &event);
	}
	for (i = 0; i < stored->n_leases && w->life == life; i++)
		restore_lease(w, &stored->leases[i]);
	event.kind = ISO_EVENT_RESTORE_POISON;
	for (i = 0; i < stored->n_poison && w->life == life; i++) {
		event.restore_poison = &stored->poison[i];
		world_step(w, &event);
	}
}

static void restore_fences(struct world *w, const struct world_stored *stored)
{
	struct iso_event event = {.kind = ISO_EVENT_RESTORE_FENCE};
	uint32_t i, life = w->life;

	for (i = 0; i < stored->n_fences && w->life == life; i++) {
		event.restore_fence = &stored->fences[i];
		world_step(w, &event);
	}
}

/* It may die again while it starts: then the start after that has done all there is to do. */
void world_restart(struct world *w)
{
	struct world_stored *stored;
	uint32_t i;

	world_tell(w, "host", "the daemon is dead; another one is started");
	age(w);
	w->saves_were_lost |= w->disk != WORLD_DISK_GOOD;
	if (w->disk == WORLD_DISK_TORN || w->disk == WORLD_DISK_LYING)
		w->stored = *w->synced;
	w->store_was_lost |= w->disk == WORLD_DISK_LYING;
	w->full_ns = w->now_ns;
	w->n_refused_intents = 0;
	w->batch_end_ns = 0;
	w->queued = false;
	stored = malloc(sizeof(*stored));
	*stored = w->stored;
	w->n_crashes++;
	w->amnesia = false;
	w->next_lease = 0;
	for (i = 0; i < w->n_processes; i++)
		w->processes[i].lease = ISO_NONE;
	w->restoring = true;
	world_start_engine(w);
	i = w->life;
	restore_fences(w, stored);
	if (w->life == i)
		w->restoring = false;
	if (w->life == i)
		restore_definitions(w, stored);
	if (w->life == i)
		restore_tenants(w, stored);
	free(stored);
}
