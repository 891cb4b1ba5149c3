/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a lease and of its VM.
 *
 *  WAITING -> PREPARING -> ACQUIRED -> ATTACHED -> (exit) ----------.
 *     ^          |            |           |  fault                  v
 *     |          |            |           `-> KILLED -> (exit) -> VERIFYING -> RETRACTING
 *     |          `------------`--- fault, expiry, release ----------^  |            |
 *     |                                         KILLED/VERIFYING -> STUCK            |
 *     `------------------ comes back, or a client asks again ------------------------'
 */
#include <stdio.h>

#include "state.h"

static uint32_t bucket_of(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash % LEASE_BUCKETS;
}

uint32_t iso_lease_find(const struct iso_engine *e, const char *name)
{
	uint32_t l;

	for (l = e->lease_buckets[bucket_of(name)]; l != ISO_NONE; l = e->leases[l].hash_next)
		if (!strcmp(e->leases[l].terms.name, name))
			return l;
	return ISO_NONE;
}

void lease_dirty(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];

	if (lease->dirty || !lease->used)
		return;
	lease->dirty = true;
	lease->next_dirty = ISO_NONE;
	if (e->dirty_tail != ISO_NONE)
		e->leases[e->dirty_tail].next_dirty = l;
	else
		e->dirty_head = l;
	e->dirty_tail = l;
}

/* A free place in the table, one that was used before if there is any; ISO_NONE: none. */
static uint32_t take_place(struct iso_engine *e)
{
	uint32_t l = e->free_lease;

	if (l != ISO_NONE) {
		e->free_lease = e->leases[l].next_dirty;
	} else if (e->n_leases < e->limits.leases) {
		l = e->n_leases++;
		e->leases[l].epoch = 0;
		effects_reserve(e, l);
	}
	return l;
}

uint32_t lease_new(struct iso_engine *e, const char *name)
{
	uint32_t l = take_place(e), bucket = bucket_of(name);
	struct lease *lease;

	if (l == ISO_NONE)
		return ISO_NONE;
	lease = &e->leases[l];
	*lease = (struct lease){
		.state = ISO_LEASE_WAITING,
		.epoch = lease->epoch + 1,
		.sequence = e->next_sequence++,
		.hash_next = e->lease_buckets[bucket],
		.next_dirty = ISO_NONE,
		.used = true,
	};
	copy_text(lease->terms.name, sizeof(lease->terms.name), name);
	e->lease_buckets[bucket] = l;
	plan_join(e, l);
	return l;
}

static void unhash(struct iso_engine *e, uint32_t l)
{
	uint32_t *at = &e->lease_buckets[bucket_of(e->leases[l].terms.name)];

	while (*at != l)
		at = &e->leases[*at].hash_next;
	*at = e->leases[l].hash_next;
}

static void undirty(struct iso_engine *e, uint32_t l)
{
	uint32_t *at = &e->dirty_head, before = ISO_NONE;

	if (!e->leases[l].dirty)
		return;
	while (*at != l) {
		before = *at;
		at = &e->leases[*at].next_dirty;
	}
	*at = e->leases[l].next_dirty;
	if (e->dirty_tail == l)
		e->dirty_tail = before;
}

void lease_free(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];

	assert(lease->used && !lease->n_instances && !lease->operation);
	assert(lease->state == ISO_LEASE_WAITING || lease->state == ISO_LEASE_RETRACTING);
	incident_lease_contained(e, l);
	incident_lease_restored(e, l);
	if (lease->state == ISO_LEASE_WAITING)
		plan_leave(e, l);
	undirty(e, l);
	unhash(e, l);
	lease->used = false;
	lease->dirty = false;
	lease->saved_step = 0;
	emit_save_lease(e, l); /* of a lease not used: its end */
	emit_note(e, ISO_NOTE_LEASE, lease->incident, "%s: ended", lease->terms.name);
	lease->next_dirty = e->free_lease;
	e->free_lease = l;
	e->placement_dirty = true;
	e->domains_dirty = true;
}

/* What takes minutes is not waited for; it keeps its operation until its worker has let go. */
static void doom(struct iso_engine *e, uint32_t i)
{
	const struct instance *instance = &e->instances[i];

	if (instance->state == ISO_INSTANCE_DOOMED || instance->state == ISO_INSTANCE_REMOVING)
		return;
	if (instance->operation &&
	    (instance->state == ISO_INSTANCE_ZEROING || instance->state == ISO_INSTANCE_PROVING))
		emit_abandon(e, instance->operation);
	instance_enter(e, i, ISO_INSTANCE_DOOMED);
}

void lease_doom_instances(struct iso_engine *e, const struct lease *lease)
{
	uint32_t p;

	for (p = 0; p < lease->n_instances; p++)
		doom(e, lease->instances[p]);
}

/* From here on nobody gets these instances any more; they go once nobody maps them. */
void lease_begin_end(struct iso_engine *e, uint32_t l)
{
	attach_refuse(e, l, e->leases[l].voided ? ISO_REPLY_GRANT_VOID : ISO_REPLY_NOT_GRANTED);
	lease_doom_instances(e, &e->leases[l]);
	lease_enter(e, l, ISO_LEASE_VERIFYING);
	e->leases[l].deadline_ns = e->now_ns + e->policy.exit_ns;
	engine_arm(e, e->leases[l].deadline_ns);
}

static void count_victim(struct iso_engine *e, struct lease *lease, uint64_t incident_id)
{
	struct incident *incident = incident_get(e, incident_id);

	if (lease->incident != incident_id) {
		/* On its way back from another one: from here on this is the one it waits for. */
		incident_lease_contained(e, lease - e->leases);
		incident_lease_restored(e, lease - e->leases);
	}
	lease->incident = incident_id;
	lease->comes_back = lease->terms.restart && !lease->ending;
	if (!incident)
		return;
	if (!lease->contain_pending) {
		lease->contain_pending = true;
		incident->n_pending++;
		if (lease - e->leases < incident->first_pending)
			incident->first_pending = lease - e->leases;
		incident->contained_ns = 0;
	}
	if ((lease->comes_back || lease->client_waits) && !lease->restore_pending) {
		lease->restore_pending = true;
		incident->n_unrestored++;
	}
}

static void lease_kill(struct iso_engine *e, uint32_t l, uint64_t incident_id)
{
	struct lease *lease = &e->leases[l];
	struct incident *incident = incident_get(e, incident_id);
	struct iso_effect *note;

	count_victim(e, lease, incident_id);
	if (incident)
		incident->n_killed++;
	lease->was_killed = true;
	lease->killed_ns = e->now_ns;
	lease_enter(e, l, ISO_LEASE_KILLED);
	lease->deadline_ns = e->now_ns + e->policy.exit_ns;
	engine_arm(e, lease->deadline_ns);
	emit_kill(e, l);
	note = emit_note(e, ISO_NOTE_KILL, incident_id, "%s: process %d is killed",
			 lease->terms.name, lease->pid);
	note->lease = l;
	note->lease_epoch = lease->epoch;
	emit_save_lease(e, l);
}

/* After a restart: the kill was recorded but the process still lives. */
void lease_kill_again(struct iso_engine *e, uint32_t l)
{
	struct incident *incident = incident_get(e, e->leases[l].incident);

	if (incident && incident->n_killed) /* it was counted when it was killed first */
		incident->n_killed--;
	lease_kill(e, l, e->leases[l].incident);
}

void lease_restore_victim(struct iso_engine *e, uint32_t l, uint64_t incident)
{
	count_victim(e, &e->leases[l], incident);
}

/* An instance of this lease is lost. */
void lease_fault(struct iso_engine *e, uint32_t l, uint64_t incident)
{
	struct lease *lease = &e->leases[l];

	switch ((enum iso_lease_state)lease->state) {
	case ISO_LEASE_ATTACHED:
		lease_kill(e, l, incident);
		break;
	case ISO_LEASE_PREPARING:
	case ISO_LEASE_ACQUIRED:
	case ISO_LEASE_KEPT:
		count_victim(e, lease, incident);
		lease->voided = lease->state != ISO_LEASE_KEPT;
		lease->comes_back &= lease->voided;
		lease_begin_end(e, l);
		break;
	case ISO_LEASE_VERIFYING:
		if (lease->died_unseen)
			count_victim(e, lease, incident);
		lease->died_unseen = false;
		lease_dirty(e, l);
		break;
	case ISO_LEASE_KILLED:
	case ISO_LEASE_RETRACTING:
	case ISO_LEASE_STUCK:
		lease_dirty(e, l);
		break;
	case ISO_LEASE_WAITING:
	case ISO_LEASE_STATES:
		assert(!"a lease without instances cannot lose one");
	}
}

void lease_exited(struct iso_engine *e, uint32_t l, uint32_t epoch)
{
	struct lease *lease = &e->leases[l];
	struct iso_effect *note;

	if (l >= e->n_leases || !lease->used || lease->epoch != epoch || lease->exited_ns)
		return;
	if (lease->state != ISO_LEASE_ATTACHED && lease->state != ISO_LEASE_KILLED &&
	    lease->state != ISO_LEASE_STUCK)
		return;
	lease->exited_ns = e->now_ns;
	note = emit_note(e, ISO_NOTE_EXIT, lease->was_killed ? lease->incident : 0,
			 "%s: process %d is gone", lease->terms.name, lease->pid);
	note->lease = l;
	note->lease_epoch = epoch;
	lease->pid = 0; /* the number may name another process from now on */
	if (lease->was_killed)
		incident_exit_seen(e, lease->incident);
	if (lease->state == ISO_LEASE_ATTACHED && lease->terms.keep_ns) {
		lease_enter(e, l, ISO_LEASE_KEPT);
		lease->deadline_ns = e->now_ns + lease->terms.keep_ns;
		engine_arm(e, lease->deadline_ns);
		return;
	}
	lease_begin_end(e, l);
}

bool lease_instances_busy(const struct iso_engine *e, const struct lease *lease)
{
	uint32_t p;

	for (p = 0; p < lease->n_instances; p++)
		if (e->instances[lease->instances[p]].operation)
			return true;
	return false;
}

void lease_operate(struct iso_engine *e, uint32_t l, uint32_t kind)
{
	struct lease *lease = &e->leases[l];
	struct operation_object object = {ISO_NONE, ISO_NONE, l, ISO_NONE, ISO_NONE};
	uint32_t lane =
		lease->n_instances ? region_lane(e, e->instances[lease->instances[0]].region) : 0;

	lease->operation = operation_start(e, kind, object, lane, 0);
	if (!lease->operation)
		lease->retry_at_ns = e->now_ns + e->policy.retry_ns;
}

static void advance_preparing(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];
	uint32_t p;

	if (lease->operation)
		return;
	for (p = 0; p < lease->n_instances; p++)
		if (e->instances[lease->instances[p]].state != ISO_INSTANCE_READY)
			return;
	/* Before the intent, and so durable with it: a start has to know what its VM may map by then. */
	if (!hold_intents(e))
		emit_save_lease(e, l);
	lease_operate(e, l, ISO_EFFECT_HAND_OVER);
	if (!lease->operation)
		return;
	lease->handed_over = true; /* perhaps only in part: taken back in any case */
	for (p = 0; p < lease->n_instances; p++)
		instance_enter(e, lease->instances[p], ISO_INSTANCE_HANDING);
}

static uint64_t back_off(const struct iso_engine *e, uint32_t failures)
{
	return e->policy.retry_ns << (failures < 5 ? failures : 5);
}

static void lease_ended(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];
	bool fresh = !lease->comes_back && !lease->voided && !lease->failures;

	lease->pid = 0;
	lease->n_mappers = 0;
	lease->revoked = false;
	lease->told_stuck = false;
	lease->pinned = false;
	lease->pins = 0;
	lease->evidence[0] = '\0';
	lease->stranger = 0;
	if (lease->client_waits && (lease->ending || (!lease->terms.wait && !fresh))) {
		emit_reply(e, lease->request,
			   lease->ending           ? ISO_REPLY_WITHDRAWN
			   : lease->voided         ? ISO_REPLY_FENCED
			   : !instance_has_room(e) ? ISO_REPLY_TABLE_FULL
						   : ISO_REPLY_NO_CAPACITY,
			   l, ISO_NONE, lease->waits_for);
		lease->request = 0;
		lease->client_waits = false;
	}
	/* Nobody has asked, and it cannot be made: a client that still comes asks anew. */
	if (!lease->client_waits && lease->failures >= e->policy.attempts)
		lease->comes_back = false;
	if ((!lease->comes_back && !lease->client_waits) || lease->ending) {
		lease_free(e, l);
		return;
	}
	if (fresh)
		lease->sequence = e->next_sequence++;
	lease->retry_at_ns = lease->failures ? e->now_ns + back_off(e, lease->failures - 1) : 0;
	lease->epoch++;
	lease->voided = false;
	lease->ahead = false;
	lease->exited_ns = 0;
	lease_enter(e, l, ISO_LEASE_WAITING);
	if (!lease->client_waits) {
		lease->deadline_ns = e->now_ns + e->policy.grant_ns;
		engine_arm(e, lease->deadline_ns);
	}
	e->placement_dirty = true;
}

/* Nodes first, then the instances. Return: whether all is gone. */
bool lease_take_apart(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];
	uint32_t p;

	if (lease->operation)
		return false;
	if (lease->handed_over) {
		if (lease->retry_at_ns > e->now_ns)
			engine_arm(e, lease->retry_at_ns);
		else
			lease_operate(e, l, ISO_EFFECT_RETRACT);
		return false;
	}
	for (p = lease->n_instances; p > 0; p--)
		instance_advance(e, lease->instances[p - 1]);
	return !lease->n_instances;
}

static void advance_retracting(struct iso_engine *e, uint32_t l)
{
	if (lease_take_apart(e, l))
		lease_ended(e, l);
}

/* Every region it could stand on is there, and still nobody asks: let it go. */
static void advance_waiting(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];

	if (lease->ending) {
		emit_reply(e, lease->request, ISO_REPLY_WITHDRAWN, l, ISO_NONE, NULL);
		lease_free(e, l);
		return;
	}
	if (lease->client_waits || !lease->deadline_ns || lease->deadline_ns > e->now_ns)
		return;
	switch (plan_lease(e, l)) {
	case PLAN_FENCED:
	case PLAN_ON_HOLD:
	case PLAN_READING:
		break;
	case PLAN_PLACED:
	case PLAN_NO_CAPACITY:
	case PLAN_NO_REGION:
		lease_free(e, l);
		return;
	}
	lease->deadline_ns = e->now_ns + e->policy.grant_ns;
	engine_arm(e, lease->deadline_ns);
}

void lease_advance(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];
	bool due = lease->deadline_ns && lease->deadline_ns <= e->now_ns;

	switch ((enum iso_lease_state)lease->state) {
	case ISO_LEASE_WAITING:
		advance_waiting(e, l);
		break;
	case ISO_LEASE_PREPARING:
		advance_preparing(e, l);
		break;
	case ISO_LEASE_ACQUIRED:
	case ISO_LEASE_KEPT:
		if (!due)
			break;
		lease->comes_back = false; /* it had its chance */
		lease_begin_end(e, l);
		break;
	case ISO_LEASE_KILLED:
		if (due)
			stuck_enter(e, l, "");
		break;
	case ISO_LEASE_VERIFYING:
		verify_advance(e, l);
		break;
	case ISO_LEASE_RETRACTING:
		advance_retracting(e, l);
		break;
	case ISO_LEASE_STUCK:
		stuck_advance(e, l);
		break;
	case ISO_LEASE_ATTACHED:
	case ISO_LEASE_STATES:
		break;
	}
}

void lease_instance_gone(struct iso_engine *e, uint32_t l, uint32_t i)
{
	struct lease *lease = &e->leases[l];
	uint32_t p;

	for (p = 0; p < lease->n_instances && lease->instances[p] != i; p++)
		;
	assert(p < lease->n_instances);
	lease->instances[p] = lease->instances[--lease->n_instances];
	lease_dirty(e, l);
	emit_save_lease(e, l); /* a later start must not look for it under its old name */
}

/* From here on the client has so long to attach; one that did not ask yet, to ask. */
void lease_begin_grant(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];
	bool own = lease->terms.expires_ns && !lease->ahead;

	lease->deadline_ns = e->now_ns + (own ? lease->terms.expires_ns : e->policy.grant_ns);
	engine_arm(e, lease->deadline_ns);
}

/* A client that would not wait hears no; what was begun for it is given back. */
void lease_refuse(struct iso_engine *e, uint32_t l, const char *text)
{
	struct lease *lease = &e->leases[l];

	emit_reply(e, lease->request, ISO_REPLY_ON_HOLD, l, ISO_NONE, text);
	lease->request = 0;
	lease->client_waits = false;
	lease->ending = !lease->comes_back;
	lease_begin_end(e, l);
}

/* HAND_OVER or REVOKE whose intent was not made durable. */
void lease_undone(struct iso_engine *e, const struct operation *op,
		  const struct iso_completion *completion)
{
	struct lease *lease = &e->leases[op->lease];
	uint32_t p;

	assert(lease->used && lease->operation == op->id);
	lease->operation = 0;
	lease->retry_at_ns = e->store_retry_ns;
	lease_dirty(e, op->lease);
	if (op->kind != ISO_EFFECT_HAND_OVER)
		return;
	lease->handed_over = false;
	if (lease->state != ISO_LEASE_PREPARING)
		return;
	for (p = 0; p < lease->n_instances; p++)
		instance_enter(e, lease->instances[p], ISO_INSTANCE_READY);
	hold_placement(e, lease->waits_for, sizeof(lease->waits_for));
	if (lease->client_waits && !lease->terms.wait)
		lease_refuse(e, op->lease, completion->message);
}

static void granted(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];
	uint32_t p;

	for (p = 0; p < lease->n_instances; p++)
		instance_enter(e, lease->instances[p], ISO_INSTANCE_HELD);
	lease->failures = 0;
	lease->waits_for[0] = '\0';
	lease_enter(e, l, ISO_LEASE_ACQUIRED);
	lease_begin_grant(e, l);
	emit_reply(e, lease->request, ISO_REPLY_DONE, l, ISO_NONE, NULL);
	lease->request = 0;
	lease->client_waits = false;
}

static void lease_failed(struct iso_engine *e, uint32_t l, const struct operation *op,
			 const struct iso_completion *completion)
{
	struct lease *lease = &e->leases[l];

	lease->retry_at_ns = e->now_ns + e->policy.retry_ns;
	if (op->kind == ISO_EFFECT_HAND_OVER)
		lease->failures++;
	else if (lease->deadline_ns <= e->now_ns)
		lease->retry_at_ns = e->now_ns + e->policy.observe_ns;
	engine_arm(e, lease->retry_at_ns);
	if (operation_problem(lease->waits_for, completion->message))
		emit_note(e, ISO_NOTE_FAILED, lease->incident, "%s: %s: %s", lease->terms.name,
			  iso_effect_name(op->kind), completion->message)
			->lease = l;
	if (op->kind == ISO_EFFECT_HAND_OVER && lease->state == ISO_LEASE_PREPARING)
		lease_begin_end(e, l);
}

void lease_completed(struct iso_engine *e, const struct operation *op,
		     const struct iso_completion *completion)
{
	uint32_t l = op->lease;
	struct lease *lease = &e->leases[l];

	assert(lease->used && lease->operation == op->id);
	lease->operation = 0;
	lease_dirty(e, l);
	if (op->kind == ISO_EFFECT_INSPECT) {
		attach_inspected(e, l, completion);
		return;
	}
	if (op->kind == ISO_EFFECT_REVOKE) {
		stuck_revoked(e, l, completion);
		return;
	}
	if (completion->result < 0) {
		lease_failed(e, l, op, completion);
		return;
	}
	if (op->kind == ISO_EFFECT_HAND_OVER && lease->state == ISO_LEASE_PREPARING)
		granted(e, l);
	else if (op->kind == ISO_EFFECT_VERIFY && lease->state == ISO_LEASE_VERIFYING)
		verify_completed(e, l, completion);
	else if (op->kind == ISO_EFFECT_RETRACT)
		lease->handed_over = false;
}
