/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who maps which instance, and what those processes pin: looked at soon after
 * an attach, when the VM has opened its files, and then on a slow timer. What
 * is found is said, not acted upon: a VM that pins without consent and a
 * stranger are dangers to the host, but nobody dies of a suspicion.
 */
#include "state.h"

enum { SOON_NS = 1000000000 };

static void inspect_at(struct iso_engine *e, uint64_t at_ns)
{
	if (at_ns < e->inspect_at_ns)
		e->inspect_at_ns = at_ns;
	engine_arm(e, e->inspect_at_ns);
}

void inspection_soon(struct iso_engine *e)
{
	if (e->policy.inspect_ns)
		inspect_at(e, e->now_ns + SOON_NS);
}

static bool anybody_attached(const struct iso_engine *e)
{
	uint32_t l;

	for (l = 0; l < e->n_leases; l++)
		if (e->leases[l].used && e->leases[l].state == ISO_LEASE_ATTACHED)
			return true;
	return false;
}

/* Return: whether one was begun. */
bool inspection_of_everybody(struct iso_engine *e)
{
	struct operation_object nothing = {ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE};

	e->inspect_at_ns = UINT64_MAX;
	e->inspect_operation = operation_start(e, ISO_EFFECT_INSPECT, nothing, ISO_NONE, 0);
	return e->inspect_operation != 0;
}

/* Return: whether one was begun: not when nobody could map anything. */
bool inspection_now(struct iso_engine *e)
{
	e->inspect_at_ns = e->now_ns;
	inspection_advance(e);
	return e->inspect_operation != 0;
}

void inspection_advance(struct iso_engine *e)
{
	if (e->inspect_operation || !e->observed)
		return;
	if (e->inspect_at_ns > e->now_ns) {
		if (e->inspect_at_ns != UINT64_MAX)
			engine_arm(e, e->inspect_at_ns);
		return;
	}
	e->inspect_at_ns = UINT64_MAX;
	if (e->held || anybody_attached(e))
		inspection_of_everybody(e);
}

void inspection_completed(struct iso_engine *e, const struct iso_completion *completion)
{
	e->inspect_operation = 0;
	adopt_inspection_ended(e, completion);
	reconcile_inspection_ended(e, completion);
	if (completion->result >= 0)
		e->inspect_problem[0] = '\0';
	else if (operation_problem(e->inspect_problem, completion->message))
		emit_note(e, ISO_NOTE_FAILED, 0, "looking who maps instances: %s",
			  completion->message);
	if (e->held)
		inspect_at(e, e->now_ns + e->policy.observe_ns);
	else if (e->policy.inspect_ns)
		inspect_at(e, e->now_ns + e->policy.inspect_ns);
}

static void forget_last_look(struct iso_engine *e)
{
	uint32_t l;

	for (l = 0; l < e->n_leases; l++)
		e->leases[l].look = (struct look){0};
}

static void take_in_one(struct iso_engine *e, const struct iso_observed_mapper *mapper,
			uint64_t seqnum)
{
	uint32_t i = instance_indexed(e, mapper->region_kernel_id, mapper->kernel_id);
	struct lease *lease;

	if (i == ISO_NONE || e->instances[i].lost ||
	    seqnum < e->instances[i].seqnum_floor) /* the name had another owner then */
		return;
	if (e->instances[i].lease == ISO_NONE && !hold_adopt(e, i, mapper->pid)) {
		if (!e->instances[i].seen) /* the first of several, as of those who verify */
			instance_stranger(e, i, mapper->pid);
		e->instances[i].seen = true;
		return;
	}
	lease = &e->leases[e->instances[i].lease];
	if (mapper->pid != lease->pid) {
		lease->look.stranger = mapper->pid;
		return;
	}
	lease->look.seen = true;
	lease->look.pins |= mapper->pins;
	if (mapper->evidence[0])
		copy_text(lease->evidence, sizeof(lease->evidence), mapper->evidence);
}

static void conclude(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];

	if (lease->look.stranger && lease->look.stranger != lease->stranger)
		emit_note(e, ISO_NOTE_STRANGER, 0,
			  "%s: process %d, which is not its VM, maps its memory", lease->terms.name,
			  lease->look.stranger)
			->lease = l;
	lease->stranger = lease->look.stranger;
	if (!lease->look.seen) /* it has not mapped its memory yet */
		return;
	if (lease->look.pins & ~lease->pins)
		emit_note(
			e, ISO_NOTE_PINNING, 0,
			"%s: process %d pins memory: %s: %s: a loss of its port can panic the host",
			lease->terms.name, lease->pid,
			iso_pin_name(lease->look.pins & ~lease->pins), lease->evidence)
			->lease = l;
	if (lease->pins != lease->look.pins)
		emit_save_lease(e, l);
	lease->pins = lease->look.pins;
	lease->pinned |= lease->pins != 0;
	if (!lease->pins)
		lease->evidence[0] = '\0';
}

/* While nothing is removed nobody else asks who maps an orphan that stands, or no longer does. */
static void let_go_of(struct iso_engine *e, uint64_t seqnum)
{
	uint32_t i;

	for (i = 0; e->held && i < e->n_instances; i++) {
		struct instance *instance = &e->instances[i];

		if (instance->used && !instance->seen && !instance->lost &&
		    seqnum >= instance->seqnum_floor)
			instance->stranger = 0;
	}
}

void inspection_take_in(struct iso_engine *e, const struct iso_inspection *inspection)
{
	uint32_t i;

	instance_index(e);
	hold_index(e);
	forget_last_look(e);
	for (i = 0; i < e->n_instances; i++)
		e->instances[i].seen = false; /* scratch */
	for (i = 0; i < inspection->n_mappers; i++)
		take_in_one(e, &inspection->mappers[i], inspection->uevent_seqnum);
	let_go_of(e, inspection->uevent_seqnum);
	for (i = 0; i < e->n_leases; i++)
		if (e->leases[i].used && e->leases[i].state == ISO_LEASE_ATTACHED)
			conclude(e, i);
	adopt_inspected(e, inspection);
}
