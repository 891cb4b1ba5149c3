/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One dax device: made for one tenant, zeroed by one process, proved zero by
 * another, handed over once, removed after it. Never bound a second time.
 */
#include <errno.h>

#include "state.h"

bool instance_has_room(const struct iso_engine *e)
{
	return e->free_instances != ISO_NONE || e->n_instances < e->limits.instances;
}

uint32_t instance_new(struct iso_engine *e, uint32_t r, uint32_t lease, uint32_t part,
		      uint64_t bytes, uint64_t align)
{
	struct region *region = &e->regions[r];
	uint32_t i = e->free_instances;
	struct instance *instance;

	if (!instance_has_room(e))
		return ISO_NONE;
	if (i == ISO_NONE)
		i = e->n_instances++;
	else
		e->free_instances = e->instances[i].next;
	instance = &e->instances[i];
	*instance = (struct instance){
		.state = ISO_INSTANCE_CARVING,
		.region = r,
		.lease = lease,
		.part = part,
		.epoch = region->epoch,
		.region_kernel_id = ISO_NONE,
		.kernel_id = ISO_NONE,
		.bytes = bytes,
		.align = align,
		.begun_ns = e->now_ns,
		.next = region->first_instance,
		.prev = ISO_NONE,
		.used = true,
	};
	if (region->first_instance != ISO_NONE)
		e->instances[region->first_instance].prev = i;
	region->first_instance = i;
	region->n_instances++;
	region->held_bytes += bytes;
	e->ledger_dirty = true;
	return i;
}

void instance_free(struct iso_engine *e, uint32_t i)
{
	struct instance *instance = &e->instances[i];
	struct region *region = &e->regions[instance->region];

	assert(instance->used && !instance->operation);
	if (instance->lost && region->state == ISO_REGION_LIVE)
		engine_observe(e); /* lost alone: what is left of it shows as an orphan */
	if (instance->prev != ISO_NONE)
		e->instances[instance->prev].next = instance->next;
	else
		region->first_instance = instance->next;
	if (instance->next != ISO_NONE)
		e->instances[instance->next].prev = instance->prev;
	assert(region->n_instances > 0 && region->held_bytes >= instance->bytes);
	region->n_instances--;
	region->held_bytes -= instance->bytes;
	instance->used = false;
	e->ledger_dirty = true;
	instance->next = e->free_instances;
	e->free_instances = i;
	e->regions_dirty = true;
	e->placement_dirty = true;
	e->domains_dirty = true;
}

uint32_t instance_find(const struct iso_engine *e, uint32_t region_kernel_id, uint32_t kernel_id)
{
	uint32_t i;

	for (i = 0; i < e->n_instances; i++) {
		const struct instance *instance = &e->instances[i];

		if (instance->used && instance->named && !instance->lost &&
		    instance->kernel_id == kernel_id &&
		    instance->region_kernel_id == region_kernel_id)
			return i;
	}
	return ISO_NONE;
}

static void instance_operate(struct iso_engine *e, uint32_t i, uint32_t kind)
{
	struct instance *instance = &e->instances[i];
	struct operation_object object = {ISO_NONE, i, ISO_NONE, ISO_NONE, ISO_NONE};
	uint64_t extra_ns = 0;

	if (kind == ISO_EFFECT_ZERO || kind == ISO_EFFECT_PROVE)
		extra_ns = e->policy.zero_ns_per_gib * ((instance->bytes >> 30) + 1);
	instance->operation =
		operation_start(e, kind, object, region_lane(e, instance->region), extra_ns);
}

static void instance_gone(struct iso_engine *e, uint32_t i)
{
	uint32_t lease = e->instances[i].lease;

	if (lease != ISO_NONE)
		lease_instance_gone(e, lease, i);
	instance_free(e, i);
}

static void advance_doomed(struct iso_engine *e, uint32_t i)
{
	struct instance *instance = &e->instances[i];

	/* Nothing to remove: never made, or its region takes it along once it is unmapped. */
	if (!instance->named || (instance->lost && instance->lease != ISO_NONE)) {
		instance_gone(e, i);
		return;
	}
	if (instance->adopting)
		return; /* it goes on when that has been decided */
	if (instance->retry_at_ns > e->now_ns) {
		engine_arm(e, instance->retry_at_ns);
		return;
	}
	/* Whose it is may still show, and what cannot be removed need not be looked at. */
	if (instance->lease == ISO_NONE && !instance->lost && (e->held || hold_intents(e)))
		return;
	/* A lease has shown that nobody maps its instances; an orphan has not. */
	if (instance->lease == ISO_NONE) {
		instance_operate(e, i, ISO_EFFECT_VERIFY);
		if (instance->operation)
			instance_enter(e, i, ISO_INSTANCE_VERIFYING);
	} else {
		instance_operate(e, i, ISO_EFFECT_REMOVE);
		if (instance->operation)
			instance_enter(e, i, ISO_INSTANCE_REMOVING);
	}
}

/* Drives an instance whose operation has ended; the lease decides when it is doomed. */
void instance_advance(struct iso_engine *e, uint32_t i)
{
	struct instance *instance = &e->instances[i];

	if (!instance->used || instance->operation)
		return;
	switch ((enum iso_instance_state)instance->state) {
	case ISO_INSTANCE_CARVING:
		instance_operate(e, i, ISO_EFFECT_CARVE);
		break;
	case ISO_INSTANCE_ZEROING:
		instance_operate(e, i, ISO_EFFECT_ZERO);
		break;
	case ISO_INSTANCE_PROVING:
		instance_operate(e, i, ISO_EFFECT_PROVE);
		break;
	case ISO_INSTANCE_DOOMED:
		advance_doomed(e, i);
		break;
	case ISO_INSTANCE_READY:
	case ISO_INSTANCE_HANDING:
	case ISO_INSTANCE_HELD:
	case ISO_INSTANCE_VERIFYING:
	case ISO_INSTANCE_REMOVING:
	case ISO_INSTANCE_STATES:
		break;
	}
}

/*
 * The kernel gave a name anew: whoever had it before is gone, whatever we heard
 * of that. A minor number comes back only when nobody can reach the old device
 * any more; while it differs the old one may still be mapped and is looked for.
 */
static void lose_name(struct iso_engine *e, uint32_t old, uint32_t minor)
{
	struct instance *instance = &e->instances[old];

	if (instance->state == ISO_INSTANCE_HELD && !instance->lost)
		fault_instance_gone(e, old, e->now_ns);
	instance->named = instance->minor != minor;
	instance->lost = true;
	if (instance->lease == ISO_NONE)
		return;
	lease_dirty(e, instance->lease);
	emit_save_lease(e, instance->lease);
}

static bool has_name(const struct instance *instance, const struct iso_completion *completion)
{
	return instance->used && instance->named && instance->kernel_id == completion->kernel_id &&
	       instance->region_kernel_id == completion->region_kernel_id;
}

/*
 * A name in a completion that took long may have been given to another since:
 * then it is the carved one that has gone. Return: whether i has the name now.
 */
static bool take_name(struct iso_engine *e, uint32_t i, const struct iso_completion *completion)
{
	uint32_t old;

	for (old = 0; old < e->n_instances; old++)
		if (old != i && has_name(&e->instances[old], completion) &&
		    !e->instances[old].lost &&
		    e->instances[old].seqnum_floor > completion->uevent_seqnum)
			return false;
	for (old = 0; old < e->n_instances; old++)
		if (old != i && has_name(&e->instances[old], completion))
			lose_name(e, old, completion->minor);
	e->instances[i].named = true;
	e->instances[i].region_kernel_id = completion->region_kernel_id;
	e->instances[i].kernel_id = completion->kernel_id;
	e->instances[i].major = completion->major;
	e->instances[i].minor = completion->minor;
	return true;
}

static void instance_failed(struct iso_engine *e, uint32_t i,
			    const struct iso_completion *completion)
{
	struct instance *instance = &e->instances[i];
	/* Nobody waits for an orphan; one that cannot go is told again rarely. */
	uint32_t most = instance->lease == ISO_NONE ? 11 : 5;
	uint32_t shift = instance->failures < most ? instance->failures : most;

	instance->failures++;
	instance->retry_at_ns = e->now_ns + (e->policy.retry_ns << shift);
	engine_observe(e); /* how far did it get? */
	emit_note(e, ISO_NOTE_FAILED, 0, "instance of %s: %s",
		  e->regions[instance->region].definition.name, completion->message)
		->instance = i;
	if (instance->state == ISO_INSTANCE_VERIFYING || instance->state == ISO_INSTANCE_REMOVING ||
	    instance->lease == ISO_NONE) {
		instance_enter(e, i, ISO_INSTANCE_DOOMED);
		instance_advance(e, i);
		return;
	}
	/* The lease gives all of its parts back and tries again. */
	e->leases[instance->lease].failures++;
	copy_text(e->leases[instance->lease].waits_for, ISO_TEXT_BYTES, completion->message);
	if (e->leases[instance->lease].state == ISO_LEASE_PREPARING)
		lease_begin_end(e, instance->lease);
	lease_dirty(e, instance->lease);
}

/*
 * A region that went without a word has left its number to another: what was
 * carved by that number is the other's. Looking shows it as an orphan there.
 */
static bool is_elsewhere(const struct region *region, const struct iso_completion *completion)
{
	return region->range.bytes && completion->range.bytes &&
	       (completion->range.start.v < region->range.start.v ||
		completion->range.start.v - region->range.start.v >= region->range.bytes);
}

/* Where it lies; what is not known now may have been known before. */
static void take_pieces(struct iso_engine *e, struct instance *instance,
			const struct iso_hpa_range *pieces, uint32_t n)
{
	if (!n || n > ISO_PIECES_MAX)
		return;
	instance->n_pieces = n;
	memcpy(instance->pieces, pieces, n * sizeof(*pieces));
	e->ledger_dirty = true;
}

static void carved(struct iso_engine *e, struct instance *instance,
		   const struct iso_completion *completion)
{
	static const struct iso_completion overtaken = {
		.result = -ESTALE,
		.message = "made, lost and its name given away before we heard of it",
	};
	static const struct iso_completion elsewhere = {
		.result = -ESTALE,
		.message = "another region has the number of its own now",
	};
	static const struct iso_completion poisoned = {
		.result = -EHWPOISON,
		.message = "carved over memory that was found bad meanwhile",
	};
	uint32_t i = instance - e->instances;

	if (is_elsewhere(&e->regions[instance->region], completion)) {
		instance_failed(e, i, &elsewhere);
		return;
	}
	if (!take_name(e, i, completion)) {
		instance_failed(e, i, &overtaken);
		return;
	}
	instance->start = completion->range.start;
	take_pieces(e, instance, completion->pieces, completion->n_pieces);
	instance->seqnum_floor = completion->uevent_seqnum;
	if (place_bad_under(e, instance) != ISO_NONE) { /* found while it was being carved */
		instance_failed(e, i, &poisoned);
		return;
	}
	instance_enter(e, i, ISO_INSTANCE_ZEROING);
}

/* CARVE, REVOKE or REMOVE whose intent was not made durable. */
void instance_undone(struct iso_engine *e, const struct operation *op)
{
	uint32_t i = op->instance;
	struct instance *instance = &e->instances[i];
	struct lease *lease = instance->lease != ISO_NONE ? &e->leases[instance->lease] : NULL;

	assert(instance->used && instance->operation == op->id);
	instance->operation = 0;
	instance->retry_at_ns = e->store_retry_ns;
	if (instance->state == ISO_INSTANCE_REMOVING || instance->state == ISO_INSTANCE_VERIFYING)
		instance_enter(e, i, ISO_INSTANCE_DOOMED);
	if (!lease) {
		instance_advance(e, i);
		return;
	}
	lease_dirty(e, instance->lease);
	if (lease->state != ISO_LEASE_PREPARING)
		return;
	hold_placement(e, lease->waits_for, sizeof(lease->waits_for));
	if (lease->client_waits && !lease->terms.wait)
		lease_refuse(e, instance->lease, e->store_reason);
}

/* Told once: it may stay for as long as its VM runs. */
void instance_stranger(struct iso_engine *e, uint32_t i, int32_t pid)
{
	struct instance *instance = &e->instances[i];

	instance->was_mapped = true;
	if (instance->stranger == pid)
		return;
	instance->stranger = pid;
	emit_note(e, ISO_NOTE_STRANGER, 0, "dax%u.%u belongs to no lease but process %d maps it",
		  instance->region_kernel_id, instance->kernel_id, pid)
		->instance = i;
}

/* Nobody maps it, and nothing of its pages is held. */
static void orphan_let_go(struct iso_engine *e, uint32_t i)
{
	struct instance *instance = &e->instances[i];

	if (instance->lost) { /* its region takes it along */
		instance_gone(e, i);
		return;
	}
	if (instance->adopting) {
		instance_enter(e, i, ISO_INSTANCE_DOOMED);
		return;
	}
	instance_enter(e, i, ISO_INSTANCE_REMOVING);
	instance_operate(e, i, ISO_EFFECT_REMOVE);
	if (!instance->operation)
		instance_enter(e, i, ISO_INSTANCE_DOOMED);
}

static void orphan_verified(struct iso_engine *e, uint32_t i,
			    const struct iso_completion *completion)
{
	struct instance *instance = &e->instances[i];

	if (completion->n_mappers) {
		instance_enter(e, i, ISO_INSTANCE_DOOMED);
		instance->retry_at_ns = e->now_ns + e->policy.observe_ns;
		engine_arm(e, instance->retry_at_ns);
		instance_stranger(e, i, completion->mappers[0]);
		return;
	}
	instance->stranger = 0;
	if (!instance->was_mapped || instance->adopting) {
		orphan_let_go(e, i);
		return;
	}
	/* I/O in flight holds pages still, whoever has gone, and what he pinned nobody knows: to be shown. */
	instance_operate(e, i, ISO_EFFECT_REVOKE);
	if (!instance->operation)
		instance_enter(e, i, ISO_INSTANCE_DOOMED);
}

void instance_completed(struct iso_engine *e, const struct operation *op,
			const struct iso_completion *completion)
{
	uint32_t i = op->instance;
	struct instance *instance = &e->instances[i];

	assert(instance->used && instance->operation == op->id);
	instance->operation = 0;
	if (op->kind == ISO_EFFECT_CARVE && completion->result == 0 &&
	    instance->state == ISO_INSTANCE_DOOMED) {
		/* Doomed while it was being made: it exists and must be removed. */
		if (is_elsewhere(&e->regions[instance->region], completion))
			engine_observe(e); /* there, where it is an orphan */
		else
			take_name(e, i, completion);
	}
	if (instance->state == ISO_INSTANCE_DOOMED) {
		if (instance->lease != ISO_NONE)
			lease_dirty(e, instance->lease);
		else
			instance_advance(e, i);
		return;
	}
	if (completion->result < 0) {
		instance_failed(e, i, completion);
		return;
	}
	if (op->kind == ISO_EFFECT_CARVE)
		carved(e, instance, completion);
	else if (op->kind == ISO_EFFECT_ZERO)
		instance_enter(e, i, ISO_INSTANCE_PROVING);
	else if (op->kind == ISO_EFFECT_PROVE)
		instance_enter(e, i, ISO_INSTANCE_READY);
	else if (op->kind == ISO_EFFECT_VERIFY)
		orphan_verified(e, i, completion);
	else if (op->kind == ISO_EFFECT_REVOKE)
		orphan_let_go(e, i);
	else if (op->kind == ISO_EFFECT_REMOVE)
		instance_gone(e, i);
	if (e->instances[i].used && instance->lease != ISO_NONE)
		lease_dirty(e, instance->lease);
	if (e->instances[i].used)
		instance_advance(e, i);
}

static uint32_t live_region_with(const struct iso_engine *e, uint32_t kernel_id)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (e->regions[r].used && e->regions[r].state == ISO_REGION_LIVE &&
		    e->regions[r].kernel_id == kernel_id)
			return r;
	return ISO_NONE;
}

/* Where a name is, or would be, in the index of this observation. */
static uint32_t *index_slot(const struct iso_engine *e, uint32_t region_kernel_id,
			    uint32_t kernel_id)
{
	uint32_t mask = e->name_index_size - 1;
	uint32_t slot = (region_kernel_id * 2654435761u ^ kernel_id * 2246822519u) & mask;

	for (;; slot = (slot + 1) & mask) {
		uint32_t i = e->name_index[slot];

		if (i == ISO_NONE || (e->instances[i].kernel_id == kernel_id &&
				      e->instances[i].region_kernel_id == region_kernel_id))
			return &e->name_index[slot];
	}
}

/* Thousands of names are looked up in one observation; a list would be walked for each. */
void instance_index(const struct iso_engine *e)
{
	uint32_t i;

	memset(e->name_index, 0xff, e->name_index_size * sizeof(*e->name_index));
	for (i = 0; i < e->n_instances; i++) {
		const struct instance *instance = &e->instances[i];
		uint32_t *slot;

		if (!instance->used || !instance->named)
			continue;
		slot = index_slot(e, instance->region_kernel_id, instance->kernel_id);
		/* Rather one that stands: a lost one's name may be in use again. */
		if (*slot == ISO_NONE || !instance->lost)
			*slot = i;
	}
}

uint32_t instance_indexed(const struct iso_engine *e, uint32_t region_kernel_id, uint32_t kernel_id)
{
	return *index_slot(e, region_kernel_id, kernel_id);
}

static bool believable(const struct region *region)
{
	return !region->observation_stale && !region->n_operations;
}

static void adopt_orphan(struct iso_engine *e, uint32_t r, const struct iso_observed_instance *seen)
{
	uint32_t i;

	if (seen->kernel_id == 0 && seen->bytes == 0)
		return; /* the placeholder every region keeps */
	i = instance_new(e, r, ISO_NONE, 0, seen->bytes, seen->align);
	if (i == ISO_NONE) {
		emit_note(e, ISO_NOTE_FAILED, 0, "dax%u.%u: no room in the instance table",
			  seen->region_kernel_id, seen->kernel_id)
			->region = r;
		return;
	}
	e->instances[i].named = true;
	e->instances[i].seen = true;
	e->instances[i].system_ram = seen->driver == ISO_DAX_KMEM;
	e->instances[i].region_kernel_id = seen->region_kernel_id;
	e->instances[i].kernel_id = seen->kernel_id;
	e->instances[i].start = seen->start;
	take_pieces(e, &e->instances[i], seen->pieces, seen->n_pieces);
	e->instances[i].major = seen->major;
	e->instances[i].minor = seen->minor;
	e->instances[i].seqnum_floor = e->observed_seqnum;
	*index_slot(e, seen->region_kernel_id, seen->kernel_id) = i;
	instance_enter(e, i, ISO_INSTANCE_DOOMED);
	emit_note(e, ISO_NOTE_REGION, 0,
		  "dax%u.%u of region %s belongs to no lease: it will be removed",
		  seen->region_kernel_id, seen->kernel_id, e->regions[r].definition.name)
		->instance = i;
	instance_advance(e, i);
}

/*
 * A name that was given to another device while nobody looked: other numbers,
 * or another size where the store remembers no numbers.
 */
bool instance_is_another(const struct instance *instance, const struct iso_observed_instance *seen)
{
	if (instance->major && seen->major)
		return instance->major != seen->major || instance->minor != seen->minor;
	return instance->state == ISO_INSTANCE_HELD && instance->bytes != seen->bytes;
}

/* A lease's own has gone: the other one is an orphan once that is taken apart. */
static void take_in_another(struct iso_engine *e, uint32_t r, uint32_t i,
			    const struct iso_observed_instance *seen)
{
	if (e->instances[i].lease != ISO_NONE || e->instances[i].operation)
		return;
	instance_gone(e, i);
	adopt_orphan(e, r, seen);
}

static void take_in_one(struct iso_engine *e, const struct iso_observed_instance *seen)
{
	uint32_t r = live_region_with(e, seen->region_kernel_id);
	bool unknown;
	uint32_t i;

	if (r == ISO_NONE || !believable(&e->regions[r]))
		return;
	i = *index_slot(e, seen->region_kernel_id, seen->kernel_id);
	if (i != ISO_NONE && e->instances[i].region != r)
		i = ISO_NONE;
	if (seen->driver == ISO_DAX_KMEM && (i == ISO_NONE || !e->instances[i].system_ram))
		emit_note(e, ISO_NOTE_GUARD, 0,
			  "dax%u.%u of region %s was given to the kernel as System RAM",
			  seen->region_kernel_id, seen->kernel_id, e->regions[r].definition.name)
			->region = r;
	if (i == ISO_NONE) {
		adopt_orphan(e, r, seen); /* also from kmem, as long as none of it is online */
		return;
	}
	if (instance_is_another(&e->instances[i], seen)) {
		take_in_another(e, r, i, seen);
		return;
	}
	e->instances[i].system_ram = seen->driver == ISO_DAX_KMEM;
	e->instances[i].seen = seen->driver == ISO_DAX_DEVICE_DAX ||
			       e->instances[i].state != ISO_INSTANCE_HELD;
	e->instances[i].major = seen->major;
	e->instances[i].minor = seen->minor;
	e->instances[i].start = seen->start;
	unknown = !e->instances[i].n_pieces;
	take_pieces(e, &e->instances[i], seen->pieces, seen->n_pieces);
	if (unknown && e->observed)
		poison_recheck(e, i);
}

void instance_take_in(struct iso_engine *e, const struct iso_snapshot *snapshot)
{
	uint32_t i;

	instance_index(e);
	for (i = 0; i < e->n_instances; i++)
		e->instances[i].seen = false;
	for (i = 0; i < snapshot->n_instances; i++)
		take_in_one(e, &snapshot->instances[i]);
	for (i = 0; i < e->n_instances; i++) {
		struct instance *instance = &e->instances[i];
		struct region *region = &e->regions[instance->region];

		if (!instance->used || instance->seen || !instance->named || instance->lost ||
		    instance->operation || region->state != ISO_REGION_LIVE || !believable(region))
			continue;
		if (instance->lease == ISO_NONE)
			instance_gone(e, i);
		else
			fault_instance_gone(e, i, e->now_ns);
	}
}
