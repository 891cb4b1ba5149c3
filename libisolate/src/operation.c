/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations: effects that end with a completion.
 *
 * What destroys or hands out capacity is announced to the store first: the
 * same operation then has two stages, the intent and the deed, and only a
 * durable intent is followed by the deed. An intent that is not made durable
 * leaves everything as it was, and counts as no attempt of anything: it is the
 * store that fails, see hold.c.
 */
#include "state.h"

/* How long after its deadline an operation is given up without hearing of it. */
enum { GRACE_SECONDS = 5 };

static bool needs_intent(uint32_t kind)
{
	switch ((enum iso_effect_kind)kind) {
	case ISO_EFFECT_CREATE_REGION:
	case ISO_EFFECT_REFILL_REGION:
	case ISO_EFFECT_CLEAR_REGION:
	case ISO_EFFECT_CARVE:
	case ISO_EFFECT_HAND_OVER:
	case ISO_EFFECT_REMOVE:
	case ISO_EFFECT_REVOKE:
	case ISO_EFFECT_DETACH_PORT:
	case ISO_EFFECT_RESCAN_PORT:
	case ISO_EFFECT_FORCE_LINK_DOWN:
	case ISO_EFFECT_CLEAR_ISOLATION:
	case ISO_EFFECT_ARM_PORT:
		return true;
	case ISO_EFFECT_OBSERVE:
	case ISO_EFFECT_ZERO: /* a carved instance belongs to nobody until it is proved */
	case ISO_EFFECT_PROVE:
	case ISO_EFFECT_RETRACT: /* takes back, gives nothing away */
	case ISO_EFFECT_VERIFY:
	case ISO_EFFECT_INSPECT:
	case ISO_EFFECT_READ_POISON:
		return false;
	case ISO_EFFECT_KILL:
	case ISO_EFFECT_REPLY:
	case ISO_EFFECT_NOTE:
	case ISO_EFFECT_SAVE_LEASE:
	case ISO_EFFECT_SAVE_REGION:
	case ISO_EFFECT_SAVE_INCIDENT:
	case ISO_EFFECT_SAVE_POISON:
	case ISO_EFFECT_SAVE_PORT:
	case ISO_EFFECT_SAVE_FENCE:
	case ISO_EFFECT_INTENT:
	case ISO_EFFECT_ABANDON:
	case ISO_EFFECT_KINDS:
		break;
	}
	assert(!"not an operation");
	return false;
}

static void emit_operation(struct iso_engine *e, const struct operation *op)
{
	uint32_t kind = op->intent_pending ? (uint32_t)ISO_EFFECT_INTENT : op->kind;
	struct iso_effect *effect = emit(e, kind);

	effect->operation = op->id;
	effect->intent = op->kind;
	effect->deadline_ns = op->deadline_ns;
	effect->lane = op->lane;
	effect->region = op->region;
	effect->instance = op->instance;
	effect->lease = op->lease;
	effect->port = op->port;
	effect->memdev = op->memdev;
	if (op->lease != ISO_NONE)
		effect->lease_epoch = e->leases[op->lease].epoch;
	if (kind ==
	    ISO_EFFECT_CARVE) /* what is recorded before is about who had that memory then */
		e->instances[op->instance].begun_ns = e->now_ns;
}

/*
 * The region whose picture an operation changes, so that an overlapping
 * observation is not believed. Zeroing, which takes minutes, changes nothing
 * that is observed.
 */
static struct region *touched_region(struct iso_engine *e, const struct operation *op)
{
	if (op->region != ISO_NONE)
		return &e->regions[op->region];
	if (op->kind == ISO_EFFECT_CARVE || op->kind == ISO_EFFECT_REMOVE)
		return &e->regions[e->instances[op->instance].region];
	return NULL;
}

static bool operation_has_room(const struct iso_engine *e)
{
	return e->free_operations != ISO_NONE || e->n_operations < e->limits.operations;
}

static uint32_t operation_slot(struct iso_engine *e)
{
	uint32_t slot = e->free_operations;

	if (slot == ISO_NONE)
		return e->n_operations++;
	e->free_operations = e->operations[slot].next_free;
	return slot;
}

/* Return: the id, or 0 when the table is full or the store fails: the object tries again later. */
uint64_t operation_start(struct iso_engine *e, uint32_t kind, struct operation_object object,
			 uint32_t lane, uint64_t extra_ns)
{
	struct operation *op;
	struct region *region;
	uint32_t slot;

	if (needs_intent(kind) && hold_intents(e))
		return 0;
	if (!operation_has_room(e) || e->n_others + 1 >= e->others_room) {
		engine_arm(e, e->now_ns + e->policy.retry_ns);
		return 0;
	}
	slot = operation_slot(e);
	op = &e->operations[slot];
	*op = (struct operation){
		.id = (e->next_operation++ << 16) | slot,
		.kind = kind,
		.region = object.region,
		.instance = object.instance,
		.lease = object.lease,
		.port = object.port,
		.memdev = object.memdev,
		.lane = lane,
		.deadline_ns = e->now_ns + e->policy.operation_ns + extra_ns,
		.intent_pending = needs_intent(kind),
		.before = object.region != ISO_NONE ? e->regions[object.region].state : 0,
	};
	if (op->intent_pending)
		hold_intent_begun(e, op->id);
	region = touched_region(e, op);
	if (region) {
		e->n_changing++;
		region->n_operations++;
		region->observation_stale = region->look_stale = true;
		region->unobserved |= op->region != ISO_NONE;
	}
	engine_arm(e, op->deadline_ns + GRACE_SECONDS * 1000000000ull);
	emit_operation(e, op);
	return op->id;
}

static struct operation *operation_find(struct iso_engine *e, uint64_t id)
{
	uint32_t slot = id & 0xffff;

	if (!id || slot >= e->n_operations || e->operations[slot].id != id)
		return NULL;
	return &e->operations[slot];
}

static void operation_end(struct iso_engine *e, struct operation *op)
{
	struct region *region = touched_region(e, op);

	if (region) {
		assert(region->n_operations > 0 && e->n_changing > 0);
		e->n_changing--;
		region->n_operations--;
		region->observation_stale = region->look_stale = true;
		region->unobserved |= op->region != ISO_NONE;
		if (region->observe_again)
			engine_observe(e);
		region->observe_again = false;
	}
	op->id = 0;
	op->next_free = e->free_operations;
	e->free_operations = op - e->operations;
}

/* Whether this is said for the first time in a row: it may fail the same way for hours. */
bool operation_problem(char told[ISO_TEXT_BYTES], const char *problem)
{
	const char *text = *problem ? problem : "no reason was given";
	bool news = strcmp(told, text) != 0;

	copy_text(told, ISO_TEXT_BYTES, text);
	return news;
}

/* The host could not be looked at: again, and after a few times less often. */
static void not_observed(struct iso_engine *e, const struct iso_completion *completion)
{
	uint32_t shift = e->observe_failures < 3 ? e->observe_failures : 3;

	if (operation_problem(e->observe_problem, completion->message))
		emit_note(e, ISO_NOTE_FAILED, 0, "observation failed: %s", completion->message);
	e->observe_failures++;
	e->observe_hold_ns = e->now_ns + (e->policy.retry_ns << shift);
	engine_arm(e, e->observe_hold_ns);
	engine_observe(e);
}

static void observation_ended(struct iso_engine *e, const struct iso_completion *completion)
{
	e->observe_operation = 0;
	reconcile_observation_ended(e, completion);
	if (completion->result < 0) {
		not_observed(e, completion);
		return;
	}
	if (e->observe_failures > 1)
		emit_note(e, ISO_NOTE_WAITING, 0, "the host can be looked at again");
	e->observe_failures = 0;
	e->observe_problem[0] = '\0';
}

static void dispatch(struct iso_engine *e, const struct operation *op,
		     const struct iso_completion *completion)
{
	if (op->kind == ISO_EFFECT_OBSERVE) {
		observation_ended(e, completion);
	} else if (op->kind == ISO_EFFECT_INSPECT && op->lease == ISO_NONE) {
		inspection_completed(e, completion);
	} else if (op->memdev != ISO_NONE) {
		poison_list_completed(e, op->memdev, completion);
	} else if (isolation_is_operation(op->kind)) {
		isolation_completed(e, op, completion);
	} else if (op->port != ISO_NONE) {
		e->ports[op->port].operation = 0;
		e->ports[op->port].changed_ns = e->now_ns;
		if (completion->result < 0)
			emit_note(e, ISO_NOTE_FAILED, 0, "%s: %s", e->ports[op->port].path,
				  completion->message)
				->port = op->port;
		e->regions_dirty = true;
		engine_observe(e);
	} else if (op->lease != ISO_NONE) {
		lease_completed(e, op, completion);
	} else if (op->instance != ISO_NONE) {
		instance_completed(e, op, completion);
	} else {
		region_completed(e, op, completion);
	}
}

/* The deed was never begun: who asked for it is as before, and asks again. */
static void dispatch_undone(struct iso_engine *e, const struct operation *op,
			    const struct iso_completion *completion)
{
	hold_intent_failed(e, op->id, completion->message);
	if (op->port != ISO_NONE) {
		struct port *port = &e->ports[op->port];

		port->operation = 0;
		if (isolation_is_operation(op->kind)) {
			isolation_undone(e, op->port);
		} else if (op->kind == ISO_EFFECT_DETACH_PORT) {
			port->detach_wanted = port->held;
		} else {
			port->rescans -= port->rescans > 0;
			port->rescan_at_ns = e->store_retry_ns;
		}
		e->regions_dirty = true;
	} else if (op->lease != ISO_NONE) {
		lease_undone(e, op, completion);
	} else if (op->instance != ISO_NONE) {
		instance_undone(e, op);
	} else {
		region_undone(e, op, completion);
	}
}

void operation_complete(struct iso_engine *e, const struct iso_completion *completion)
{
	struct operation *op = operation_find(e, completion->operation);
	struct operation ended;

	/* Late or repeated: the operation was already settled, or its intent was. */
	if (!op || completion->intent != op->intent_pending)
		return;
	if (op->intent_pending && completion->result == 0) {
		op->intent_pending = false;
		op->deadline_ns += e->policy.operation_ns;
		hold_intent_durable(e);
		emit_operation(e, op);
		return;
	}
	ended = *op;
	operation_end(e, op);
	if (ended.intent_pending)
		dispatch_undone(e, &ended, completion);
	else
		dispatch(e, &ended, completion);
}

/* Nobody told how these ended: say so to their objects. */
void operation_expire(struct iso_engine *e)
{
	static const struct iso_completion late = {.result = -62 /* ETIME */,
						   .message = "no answer in time"};
	static const struct iso_completion slow = {.result = -62,
						   .message = "it gave no answer in time"};
	uint32_t i;

	for (i = 0; i < e->n_operations; i++) {
		struct operation *op = &e->operations[i];
		uint64_t at_ns = op->deadline_ns + GRACE_SECONDS * 1000000000ull;
		struct iso_completion expired;

		if (!op->id)
			continue;
		if (at_ns > e->now_ns) {
			engine_arm(e, at_ns);
			continue;
		}
		expired = op->intent_pending ? slow : late;
		expired.operation = op->id;
		expired.intent = op->intent_pending;
		operation_complete(e, &expired);
	}
}
