/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One managed region: made true when its memdevs are there, lost with them,
 * cleared of what the kernel left, made again.
 *
 *        create ok            fault                 tenants contained
 *  ABSENT --> CREATING --> LIVE --> LOST --> CLEARING --> ABSENT ...
 *                            \___ nobody on it, makes way or destroyed ___/
 */
#include <errno.h>
#include <stdio.h>

#include "state.h"

static const struct operation_object no_object = {ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE};

uint32_t region_lane(const struct iso_engine *e, uint32_t r)
{
	return e->regions[r].domain == ISO_NONE ? 0 : e->regions[r].domain;
}

static bool definition_valid(const struct iso_region_definition *d)
{
	static const uint32_t ways[] = {1, 2, 3, 4, 6, 8, 12, 16};
	uint32_t i, j;
	bool known = false;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		known |= d->ways == ways[i];
	if (!known || !iso_name_valid(d->name))
		return false;
	if (d->granularity && (d->granularity < 256 || d->granularity > 16384 ||
			       (d->granularity & (d->granularity - 1))))
		return false;
	for (i = 0; i < d->ways; i++) {
		if (!d->serials[i])
			return false;
		for (j = 0; j < i; j++)
			if (d->serials[i] == d->serials[j])
				return false;
	}
	return true;
}

static uint32_t region_slot(struct iso_engine *e)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (!e->regions[r].used)
			return r;
	if (e->n_regions == e->limits.regions)
		return ISO_NONE;
	e->regions[e->n_regions].epoch = 0;
	return e->n_regions++;
}

static uint32_t region_new(struct iso_engine *e, const struct iso_region_definition *definition)
{
	uint32_t r = region_slot(e);
	struct region *region;

	if (r == ISO_NONE)
		return ISO_NONE;
	region = &e->regions[r];
	*region = (struct region){
		.definition = *definition,
		.epoch = region->epoch + 1,
		.domain = ISO_NONE,
		.kernel_id = ISO_NONE,
		.window = ISO_NONE,
		.first_instance = ISO_NONE,
		.used = true,
		.desired = true,
		/* The one under way may show a region that was just cleared under this name. */
		.observation_stale = e->observed,
		.look_stale = e->observed,
		.unobserved = true,
	};
	topology_domains(e);
	e->regions_dirty = true;
	engine_observe(e);
	return r;
}

void region_define(struct iso_engine *e, uint64_t request,
		   const struct iso_region_definition *definition, bool from_operator)
{
	uint32_t r = iso_region_find(e, definition->name);

	if (!definition_valid(definition)) {
		emit_reply(e, request, ISO_REPLY_BAD_REGION, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	if (r != ISO_NONE) {
		bool same = e->regions[r].definition.ways == definition->ways &&
			    !memcmp(e->regions[r].definition.serials, definition->serials,
				    definition->ways * sizeof(definition->serials[0]));

		if (same) {
			e->regions[r].desired = true;
			e->regions[r].leaving = false;
			e->regions[r].despite_health |= from_operator &&
							health_gate_reason(e, definition) != NULL;
		}
		e->regions_dirty = true;
		emit_reply(e, request, same ? ISO_REPLY_ALREADY : ISO_REPLY_NAME_IN_USE, ISO_NONE,
			   r, same ? NULL : "a region of this name stands on other memdevs");
		return;
	}
	r = region_new(e, definition);
	if (r == ISO_NONE) {
		emit_reply(e, request, ISO_REPLY_TABLE_FULL, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	e->regions[r].from_operator = from_operator;
	e->regions[r].despite_health = from_operator && health_gate_reason(e, definition) != NULL;
	if (from_operator)
		emit_save_region(e, r);
	emit_reply(e, request, ISO_REPLY_DONE, ISO_NONE, r, NULL);
}

/* A person wants it: earlier failures do not count, and what was given up is taken up. */
static void try_anew(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];

	region->failures = region->clear_failures = 0;
	region->retry_at_ns = 0;
	if (region->state == ISO_REGION_QUARANTINED)
		region_enter(e, r, ISO_REGION_LOST);
	e->regions_dirty = true;
}

void region_destroy(struct iso_engine *e, uint64_t request, const char *name)
{
	uint32_t r = iso_region_find(e, name);
	struct region *region;

	if (r == ISO_NONE) {
		emit_reply(e, request, ISO_REPLY_NO_SUCH_NAME, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	region = &e->regions[r];
	if (region->n_instances || region->locked) {
		emit_reply(e, request, region->locked ? ISO_REPLY_LOCKED : ISO_REPLY_BUSY, ISO_NONE,
			   r, NULL);
		return;
	}
	region->desired = false;
	try_anew(e, r);
	emit_save_region(e, r);
	emit_reply(e, request, ISO_REPLY_DONE, ISO_NONE, r, NULL);
}

/* What the store knew; configuration may have defined the same region already. */
void region_restore(struct iso_engine *e, const struct iso_restore_region *restore)
{
	uint32_t r = iso_region_find(e, restore->definition.name);
	struct region *region;

	if (r == ISO_NONE) {
		if (!definition_valid(&restore->definition))
			return;
		r = region_new(e, &restore->definition);
		if (r == ISO_NONE)
			return;
		/* Its section left the configuration: not ours any more, but for who is on it. */
		e->regions[r].desired = restore->from_operator;
		e->regions[r].leaving = !restore->from_operator;
	}
	region = &e->regions[r];
	region->from_operator = restore->from_operator;
	region->kernel_id = restore->kernel_id;
	region->has_hpa = restore->has_hpa;
	region->last_hpa = restore->last_hpa;
	region->creation_interrupted = restore->creation_interrupted;
}

static bool region_operate(struct iso_engine *e, uint32_t r, uint32_t kind)
{
	struct operation_object object = no_object;

	object.region = r;
	e->regions[r].operation = operation_start(e, kind, object, region_lane(e, r), 0);
	e->regions[r].operation_topology = e->topology;
	return e->regions[r].operation != 0;
}

/* Whether some region can only be made after this live one has stepped aside. */
static bool is_in_the_way(const struct iso_engine *e, uint32_t r)
{
	uint32_t i;

	for (i = 0; i < e->n_held_up; i++) {
		const struct region *other = &e->regions[e->held_up[i]];

		if (other->used && other->desired && other->state == ISO_REGION_ABSENT &&
		    !health_gate_holds(e, other) &&
		    order_shares_decoders(e, &e->regions[r], other) &&
		    order_blocks(e, r, e->held_up[i]))
			return true;
	}
	return false;
}

static void region_drop(struct iso_engine *e, uint32_t r)
{
	assert(!e->regions[r].n_instances && !e->regions[r].n_operations);
	region_set_wait(e, r, ISO_WAIT_NOTHING);
	ledger_forget_region(e, r);
	e->regions[r].used = false;
	emit_save_region(e, r); /* of a region not used: forget it */
	topology_domains(e);
}

/* Left as it is: whether it shall go on to exist is not ours to say. */
static bool region_leaves(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];

	if (!region->used || !region->leaving || region->n_instances || region->n_operations)
		return false;
	emit_note(e, ISO_NOTE_REGION, 0, "region %s is not defined any more: left alone",
		  region->definition.name);
	region_drop(e, r);
	engine_observe(e); /* its place is somebody else's from now on */
	return true;
}

/* All leases are known, the host is not yet: what nobody stands on is not looked at. */
void region_drop_leaving(struct iso_engine *e)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		region_leaves(e, r);
}

static void begin_making(struct iso_engine *e, uint32_t r, uint32_t kind)
{
	if (!region_operate(e, r, kind))
		return;
	e->regions[r].began_ns = e->now_ns;
	region_enter(e, r, ISO_REGION_CREATING);
}

/* Saved before the intent: a start finds by both whose it is what was left half made. */
static void create(struct iso_engine *e, uint32_t r)
{
	if (!hold_intents(e))
		emit_save_region(e, r);
	begin_making(e, r, ISO_EFFECT_CREATE_REGION);
}

static void advance_absent(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];
	uint32_t waited = region->wait;

	if (!region->desired && region->unobserved) {
		engine_observe(e); /* the kernel may have one that nobody has seen yet */
		return;
	}
	if (!region->desired) {
		if (!region->leaving && !region->n_instances && !region->n_operations)
			region_drop(e, r);
		return;
	}
	region_set_wait(e, r, region_creation_wait(e, r));
	if (region->wait == ISO_WAIT_OBSERVATION)
		engine_observe(e);
	else if (region->wait == ISO_WAIT_NOTHING)
		create(e, r);
	if (region->wait != waited)
		e->regions_dirty = true; /* who stands in its way looks again */
	e->domains_dirty = true;
}

/*
 * The kernel keeps the object of a region that lost a leg, with its address
 * and the healthy legs' memory. Where two targets share a host bridge it takes
 * no leg back (its port counts a target too many, EINVAL): not even tried.
 */
static bool can_refill(struct iso_engine *e, uint32_t r)
{
	const struct region *region = &e->regions[r];

	return e->policy.refill && region->state == ISO_REGION_LOST && region->desired &&
	       !region->refill_failed && !region->creation_interrupted &&
	       !health_gate_holds(e, region) && /* it makes way for those above it */
	       region->kernel_id != ISO_NONE && region->range.bytes &&
	       region_legs_wait(e, region) == ISO_WAIT_NOTHING && size_still_fits(e, r) &&
	       !window_shares_bridge(e, region);
}

/* Whether a moment's patience may save what is lost from being deleted. */
static bool waits_for_rescan(struct iso_engine *e, const struct region *region)
{
	return region->state == ISO_REGION_LOST && region->desired &&
	       region_legs_wait(e, region) == ISO_WAIT_MEMDEV && rescan_may_help(e, region);
}

static void advance_clear(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];

	if (region->n_instances || region->n_operations || region->unobserved ||
	    region_decoders_busy(e, r) || region_legs_settling(e, region) ||
	    waits_for_rescan(e, region) || isolation_holds_region(e, region))
		return;
	if (region->state == ISO_REGION_LOST && health_gate_keeps_remains(e, region))
		return;
	if (region->retry_at_ns > e->now_ns) {
		engine_arm(e, region->retry_at_ns);
		return;
	}
	if (can_refill(e, r) && region_refill_comes_after(e, r))
		return;
	if (can_refill(e, r) && region_decoders_wait(e, r) == ISO_WAIT_NOTHING) {
		begin_making(e, r, ISO_EFFECT_REFILL_REGION);
	} else if (!region->locked && region_operate(e, r, ISO_EFFECT_CLEAR_REGION)) {
		region_enter(e, r, ISO_REGION_CLEARING);
	}
}

/* A live region steps aside once nobody is on it, and takes no new tenants before. */
static void advance_live(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];
	bool draining = is_in_the_way(e, r);

	if (draining != region->draining) {
		region->draining = draining;
		/* It makes way for what an operator wants, and comes back with it. */
		region->despite_health |= draining &&
					  health_gate_reason(e, &region->definition) != NULL;
		e->placement_dirty = true;
		e->domains_dirty = true;
	}
	if (!region->desired || region->draining) /* one that is locked is never in that way */
		advance_clear(e, r);
}

void region_advance(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];

	if (!region->used || region->operation || (e->observed && region_leaves(e, r)))
		return;
	switch ((enum iso_region_state)region->state) {
	case ISO_REGION_ABSENT:
		advance_absent(e, r);
		break;
	case ISO_REGION_LIVE:
		advance_live(e, r);
		break;
	case ISO_REGION_LOST:
		advance_clear(e, r);
		break;
	case ISO_REGION_CREATING:
	case ISO_REGION_CLEARING:
	case ISO_REGION_QUARANTINED:
	case ISO_REGION_STATES:
		break;
	}
}

void region_lose_instances(struct iso_engine *e, uint32_t r, uint64_t incident)
{
	uint32_t i, next;

	for (i = e->regions[r].first_instance; i != ISO_NONE; i = next) {
		struct instance *instance = &e->instances[i];

		next = instance->next;
		instance->lost = true;
		if (instance->lease != ISO_NONE)
			lease_fault(e, instance->lease, incident);
		else
			instance_advance(e, i);
	}
}

/* A region and all on it are lost; victims are killed in this same step. */
void region_lose(struct iso_engine *e, uint32_t r, uint64_t incident)
{
	struct region *region = &e->regions[r];

	if (region->state == ISO_REGION_CREATING || region->state == ISO_REGION_CLEARING) {
		region->fault_while_busy = true;
		return;
	}
	if (region->state != ISO_REGION_LIVE)
		return;
	region->draining = false;
	region->failures = region->clear_failures = 0;
	region->refill_failed = false;
	region->retry_at_ns = 0;
	region_lose_instances(e, r, incident);
	region_enter(e, r, ISO_REGION_LOST);
	/* Which regionN it was, and whether it still is, must be known before that is deleted. */
	region->unobserved = true;
	region->observation_stale = true;
	engine_observe(e);
	emit_save_region(e, r);
}

static void region_failed(struct iso_engine *e, uint32_t r, const struct iso_completion *completion,
			  uint32_t *failures, enum iso_region_state back)
{
	struct region *region = &e->regions[r];
	uint32_t shift = *failures < 5 ? *failures : 5;

	copy_text(region->reason, sizeof(region->reason), completion->message);
	++*failures;
	region->retry_at_ns = e->now_ns + (e->policy.retry_ns << shift);
	engine_arm(e, region->retry_at_ns);
	emit_note(e, ISO_NOTE_FAILED, 0, "region %s: attempt %u failed: %s",
		  region->definition.name, *failures, completion->message)
		->region = r;
	region_enter(e, r, *failures >= e->policy.attempts ? ISO_REGION_QUARANTINED : back);
}

static void creation_failed(struct iso_engine *e, uint32_t r,
			    const struct iso_completion *completion)
{
	struct region *region = &e->regions[r];
	struct iso_completion plain = *completion;

	/* It may have got half way: what stands there without a target is ours. */
	region->creation_interrupted = true;
	if (completion->result == -EBUSY)
		order_refused(e, r);
	if (completion->result == -ENXIO && window_misordered(e, r))
		copy_text(plain.message, sizeof(plain.message),
			  "the order of Memdevs= does not follow the host bridges of the window: "
			  "they have to alternate as its targets do");
	region_failed(e, r, &plain, &region->failures, ISO_REGION_ABSENT);
}

/*
 * An operation on it whose intent was not made durable. What was lost meanwhile
 * is lost now.
 */
void region_undone(struct iso_engine *e, const struct operation *op,
		   const struct iso_completion *completion)
{
	uint32_t r = op->region;
	struct region *region = &e->regions[r];
	bool fault = region->fault_while_busy;

	assert(region->operation == op->id);
	region->operation = 0;
	region->fault_while_busy = false;
	region->retry_at_ns = e->store_retry_ns;
	if (op->before != ISO_REGION_LIVE)
		snprintf(region->reason, sizeof(region->reason), "the store: %.180s",
			 completion->message);
	region_enter(e, r, op->before);
	if (fault && region->state == ISO_REGION_LIVE)
		region_lose(e, r, 0);
	engine_observe(e);
}

/* The long way is left: delete the object and make another. */
static void refill_failed(struct iso_engine *e, uint32_t r, const struct iso_completion *completion)
{
	struct region *region = &e->regions[r];

	region->refill_failed = true;
	emit_note(e, ISO_NOTE_FAILED, 0, "region %s: refilling failed: %s; it is made anew",
		  region->definition.name, completion->message)
		->region = r;
	region_enter(e, r, ISO_REGION_LOST);
}

/*
 * A number belongs to one region, and rather to one that lives: who else had
 * it has lost it without our seeing. Return: whether r has it now.
 */
bool region_take_kernel_id(struct iso_engine *e, uint32_t r, uint32_t kernel_id)
{
	uint32_t i;

	e->regions[r].kernel_id = ISO_NONE;
	for (i = 0; kernel_id != ISO_NONE && i < e->n_regions; i++) {
		if (!e->regions[i].used || e->regions[i].kernel_id != kernel_id)
			continue;
		if (e->regions[i].state == ISO_REGION_LIVE) {
			/* Nothing is carved from it before it is seen. */
			e->regions[i].doubted = true;
			engine_observe(e);
			return false;
		}
		e->regions[i].kernel_id = ISO_NONE;
	}
	e->regions[r].kernel_id = kernel_id;
	return true;
}

static void region_created(struct iso_engine *e, uint32_t r,
			   const struct iso_completion *completion)
{
	static const struct iso_completion overtaken = {
		.result = -ESTALE,
		.message = "made, lost and its number given away before we heard of it",
	};
	struct region *region = &e->regions[r];

	if (!region_take_kernel_id(e, r, completion->kernel_id)) {
		creation_failed(e, r, &overtaken);
		return;
	}
	region->epoch++;
	ledger_region_made(e, r);
	memset(region->leg_dpa, 0, sizeof(region->leg_dpa));
	region->range = completion->range;
	region->last_hpa = completion->range.start;
	region->has_hpa = true;
	region->failures = 0;
	region->retry_at_ns = 0;
	region->creation_interrupted = false;
	region->evict = false;
	region->despite_health = false;
	region->reason[0] = '\0';
	region_set_wait(e, r, ISO_WAIT_NOTHING);
	region_enter(e, r, ISO_REGION_LIVE);
	if (region->fault_while_busy) {
		region->fault_while_busy = false;
		region_lose(e, r, 0);
	}
}

static void region_cleared(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];

	memset(region->leg_dpa, 0, sizeof(region->leg_dpa));
	region->kernel_id = ISO_NONE;
	region->range = (struct iso_hpa_range){{0}, 0};
	region->clear_failures =
		0; /* those of creation count on: it may leave this behind each time */
	region->creation_interrupted = false;
	region->fault_while_busy = false;
	region->draining = false;
	region->reason[0] = '\0';
	region_enter(e, r, ISO_REGION_ABSENT);
}

void region_completed(struct iso_engine *e, const struct operation *op,
		      const struct iso_completion *completion)
{
	uint32_t r = op->region;
	struct region *region = &e->regions[r];

	assert(region->operation == op->id);
	region->operation = 0;
	engine_observe(e);
	if (op->before == ISO_REGION_LIVE)
		order_left(e, r);
	if (op->kind == ISO_EFFECT_CREATE_REGION || op->kind == ISO_EFFECT_REFILL_REGION) {
		if (completion->result == 0)
			region_created(e, r, completion);
		else if (op->kind == ISO_EFFECT_CREATE_REGION)
			creation_failed(e, r, completion);
		else
			refill_failed(e, r, completion);
		region->fault_while_busy = false;
	} else if (completion->result == 0) {
		region_cleared(e, r);
	} else {
		region_failed(e, r, completion, &region->clear_failures, ISO_REGION_LOST);
	}
	emit_save_region(e, r);
}

/* An operator asks for another try of what was given up. */
void region_retry(struct iso_engine *e, uint32_t port, bool evict)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++) {
		if (!e->regions[r].used || !blast_region_on(e, &e->regions[r], port, ISO_NONE))
			continue;
		e->regions[r].evict |= evict;
		e->regions[r].despite_health = health_gate_reason(e, &e->regions[r].definition) !=
					       NULL;
		try_anew(e, r);
	}
	e->regions_dirty = true;
}
