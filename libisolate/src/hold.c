/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why nothing is handed out, beside fences and capacity.
 *
 * The store takes no intents (its disk is full, read-only, slow or broken):
 * what needs one waits. One intent at a time tries whether that is over, so
 * that thousands who wait do not all ask at once.
 *
 * The leases are not known (the database was damaged): until an operator
 * confirms that what is observed is all there is, nothing is handed out and no
 * device without a lease is removed: it may be that of a VM nobody told us of.
 * VMs whose processes are known get their devices back by mapping them, and
 * are killed with them.
 */
#include <stdio.h>

#include "state.h"

static void look_again(struct iso_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->n_instances; i++)
		if (e->instances[i].used && e->instances[i].lease == ISO_NONE)
			instance_advance(e, i);
	e->regions_dirty = true;
	e->placement_dirty = true;
	e->domains_dirty = true;
}

/* ---- the store ---- */

bool hold_intents(struct iso_engine *e)
{
	if (!e->store_failing)
		return false;
	if (e->store_retry_ns > e->now_ns)
		engine_arm(e, e->store_retry_ns);
	return e->store_probe || e->store_retry_ns > e->now_ns;
}

void hold_intent_begun(struct iso_engine *e, uint64_t operation)
{
	if (e->store_failing)
		e->store_probe = operation;
}

void hold_intent_durable(struct iso_engine *e)
{
	if (!e->store_failing)
		return;
	e->store_failing = false;
	e->store_probe = 0;
	e->store_reason[0] = '\0';
	emit_note(e, ISO_NOTE_WAITING, 0, "the store takes intents again: all goes on");
	look_again(e);
	engine_arm(e, e->now_ns); /* who was not let try it waits for nothing else */
}

void hold_intent_failed(struct iso_engine *e, uint64_t operation, const char *why)
{
	bool news = !e->store_failing || strcmp(e->store_reason, why) != 0;

	if (e->store_probe == operation)
		e->store_probe = 0;
	e->store_failing = true;
	e->store_retry_ns = e->now_ns + e->policy.observe_ns;
	engine_arm(e, e->store_retry_ns);
	e->domains_dirty = true;
	copy_text(e->store_reason, sizeof(e->store_reason), why);
	if (news)
		emit_note(e, ISO_NOTE_WAITING, 0,
			  "nothing is handed out or taken apart until the store works: %s", why);
}

/* State of a region: of one that tries the store nothing is begun yet, it is where it was. */
enum iso_region_state hold_standing(const struct iso_engine *e, const struct region *region)
{
	if (region->operation && region->operation == e->store_probe)
		return e->operations[region->operation & 0xffff].before;
	return region->state;
}

/* ---- the operator ---- */

void hold_begin(struct iso_engine *e, const char *why)
{
	e->held = true;
	copy_text(e->held_reason, sizeof(e->held_reason), why);
	emit_note(e, ISO_NOTE_WAITING, 0, "nothing is handed out until `daxmgrctl confirm`: %s",
		  why);
}

void hold_confirm(struct iso_engine *e, uint64_t request)
{
	if (!e->held) {
		emit_reply(e, request, ISO_REPLY_ALREADY, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	e->held = false;
	e->held_reason[0] = '\0';
	emit_note(e, ISO_NOTE_WAITING, 0,
		  "an operator has confirmed that what is observed is all there is");
	look_again(e);
	emit_reply(e, request, ISO_REPLY_DONE, ISO_NONE, ISO_NONE, NULL);
}

const char *iso_hold_reason(const struct iso_engine *e)
{
	return e->held ? e->held_reason : NULL;
}

/* What new tenants wait for, if not for capacity. Return: false when they need not. */
bool hold_placement(struct iso_engine *e, char *text, size_t room)
{
	if (e->held)
		snprintf(text, room, "an operator: `daxmgrctl confirm` (%.150s)", e->held_reason);
	else if (hold_intents(e))
		snprintf(text, room, "the store: %.180s", e->store_reason);
	else
		return false;
	return true;
}

/* Where the lease of a process is, or would be, in the index. */
static uint32_t *pid_slot(const struct iso_engine *e, int32_t pid)
{
	uint32_t mask = e->pid_index_size - 1;
	uint32_t slot = ((uint32_t)pid * 2654435761u) & mask;

	while (e->pid_index[slot] != ISO_NONE && e->leases[e->pid_index[slot]].pid != pid)
		slot = (slot + 1) & mask;
	return &e->pid_index[slot];
}

/* Thousands of mappers are looked up in one inspection; all leases would be walked for each. */
void hold_index(struct iso_engine *e)
{
	uint32_t l;

	if (!e->held)
		return;
	memset(e->pid_index, 0xff, e->pid_index_size * sizeof(*e->pid_index));
	for (l = 0; l < e->n_leases; l++)
		if (e->leases[l].used && e->leases[l].state == ISO_LEASE_ATTACHED)
			*pid_slot(e, e->leases[l].pid) = l;
}

/*
 * A process of whose lease only the name is known maps an instance that nobody
 * claims: it is one of that lease. After hold_index(). Return: whether it was taken.
 */
bool hold_adopt(struct iso_engine *e, uint32_t i, int32_t pid)
{
	struct instance *instance = &e->instances[i];
	struct lease *lease;
	uint32_t l;

	if (!e->held || instance->lease != ISO_NONE || instance->lost || instance->operation ||
	    instance->state != ISO_INSTANCE_DOOMED)
		return false;
	l = *pid_slot(e, pid);
	if (l == ISO_NONE || e->leases[l].n_instances == ISO_LEASE_PARTS_MAX)
		return false;
	lease = &e->leases[l];
	instance->lease = l;
	instance->part = lease->n_instances;
	instance->stranger = 0;
	instance->failures = 0;
	instance_enter(e, i, ISO_INSTANCE_HELD);
	lease->instances[lease->n_instances++] = i;
	if (lease->terms.n_parts < lease->n_instances) {
		lease->terms.parts[lease->terms.n_parts].bytes = instance->bytes;
		copy_text(lease->terms.parts[lease->terms.n_parts++].region, ISO_NAME_BYTES,
			  e->regions[instance->region].definition.name);
	}
	lease->handed_over = true;
	emit_note(e, ISO_NOTE_LEASE, 0, "%s: process %d maps dax%u.%u: taken back into its lease",
		  lease->terms.name, pid, instance->region_kernel_id, instance->kernel_id)
		->lease = l;
	emit_save_lease(e, l);
	poison_recheck(e, i);
	return true;
}
