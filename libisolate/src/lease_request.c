/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What clients ask of leases, and leases known from before a restart. */
#include "state.h"

static const uint64_t default_align = 2ull << 20;

static uint64_t align_of(const struct iso_acquire *terms)
{
	return terms->align ? terms->align : default_align;
}

static enum iso_reply check_terms(const struct iso_acquire *terms)
{
	uint64_t align = align_of(terms);
	uint32_t p;

	if (!iso_name_valid(terms->name))
		return ISO_REPLY_BAD_NAME;
	if (!terms->n_parts || terms->n_parts > ISO_LEASE_PARTS_MAX || (align & (align - 1)))
		return ISO_REPLY_BAD_SIZE;
	for (p = 0; p < terms->n_parts; p++)
		if (!terms->parts[p].bytes || terms->parts[p].bytes % align)
			return ISO_REPLY_BAD_SIZE;
	for (p = 0; p < terms->n_parts; p++)
		if (terms->parts[p].region[0] && !iso_name_valid(terms->parts[p].region))
			return ISO_REPLY_NO_SUCH_NAME;
	return ISO_REPLY_DONE;
}

static bool same_parts(const struct iso_acquire *a, const struct iso_acquire *b)
{
	uint32_t p;

	if (a->n_parts != b->n_parts || align_of(a) != align_of(b))
		return false;
	for (p = 0; p < a->n_parts; p++)
		if (a->parts[p].bytes != b->parts[p].bytes ||
		    strcmp(a->parts[p].region, b->parts[p].region))
			return false;
	return true;
}

static void set_terms(struct iso_engine *e, uint32_t l, const struct iso_acquire *terms)
{
	struct lease *lease = &e->leases[l];

	lease->terms = *terms;
	lease->terms.align = align_of(terms);
	lease->pinned |= terms->pins != 0;
	lease->ahead = false;
	emit_save_lease(e, l);
}

static void take_terms(struct iso_engine *e, uint32_t l, const struct iso_acquire *terms)
{
	struct lease *lease = &e->leases[l];

	set_terms(e, l, terms);
	lease->request = terms->request;
	lease->client_waits = true;
	lease->ending = false;
	lease->failures = 0;
	if (lease->state == ISO_LEASE_WAITING)
		lease->retry_at_ns = 0;
	lease->deadline_ns = lease->state == ISO_LEASE_WAITING ? 0 : lease->deadline_ns;
	lease->waits_for[0] = '\0';
	lease_dirty(e, l);
	e->placement_dirty = true;
}

static bool regions_known(const struct iso_engine *e, const struct iso_acquire *terms)
{
	uint32_t p;

	for (p = 0; p < terms->n_parts; p++)
		if (terms->parts[p].region[0] &&
		    iso_region_find(e, terms->parts[p].region) == ISO_NONE)
			return false;
	return true;
}

static void acquire_new(struct iso_engine *e, const struct iso_acquire *terms)
{
	uint32_t l = lease_new(e, terms->name);

	if (l == ISO_NONE) {
		emit_reply(e, terms->request, ISO_REPLY_TABLE_FULL, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	take_terms(e, l, terms); /* the planner takes it from here, in this same step */
	if (terms->wait)
		emit_reply(e, terms->request, ISO_REPLY_WAITING, l, ISO_NONE, NULL);
}

/* It asks for what is granted, or has been made ready for it. */
static void acquire_again(struct iso_engine *e, uint32_t l, const struct iso_acquire *terms)
{
	if (e->leases[l].ahead) {
		set_terms(e, l, terms);
		lease_begin_grant(e, l);
	}
	emit_reply(e, terms->request, ISO_REPLY_DONE, l, ISO_NONE, NULL);
}

static bool can_take_terms(const struct lease *lease, const struct iso_acquire *terms)
{
	if (lease->state == ISO_LEASE_WAITING || (lease->state == ISO_LEASE_PREPARING &&
						  lease->ahead && same_parts(&lease->terms, terms)))
		return true;
	/* It has to be taken apart first. */
	return terms->wait && (lease->state != ISO_LEASE_ACQUIRED || lease->ahead);
}

static void acquire_known(struct iso_engine *e, uint32_t l, const struct iso_acquire *terms)
{
	struct lease *lease = &e->leases[l];
	bool in_use = lease->client_waits || lease->terms.uid != terms->uid ||
		      lease->state == ISO_LEASE_ATTACHED;
	bool other_parts = !same_parts(&lease->terms, terms);
	bool ahead = lease->ahead;

	/* A launcher that asks again for what it was granted gets the same answer. */
	if (!in_use && lease->state == ISO_LEASE_ACQUIRED && !other_parts) {
		acquire_again(e, l, terms);
		return;
	}
	if (in_use || !can_take_terms(lease, terms)) {
		emit_reply(e, terms->request, ISO_REPLY_NAME_IN_USE, l, ISO_NONE,
			   iso_lease_state_name(lease->state));
		return;
	}
	take_terms(e, l, terms);
	if (lease->state == ISO_LEASE_KEPT ||
	    (ahead && other_parts &&
	     (lease->state == ISO_LEASE_PREPARING || lease->state == ISO_LEASE_ACQUIRED)))
		lease_begin_end(e, l);
	if (terms->wait)
		emit_reply(e, terms->request, ISO_REPLY_WAITING, l, ISO_NONE, NULL);
}

void lease_acquire(struct iso_engine *e, const struct iso_acquire *terms)
{
	enum iso_reply check = check_terms(terms);
	uint32_t l;

	if (check == ISO_REPLY_DONE && terms->pins && !e->policy.host_may_panic) {
		emit_reply(e, terms->request, ISO_REPLY_PINNING, ISO_NONE, ISO_NONE,
			   terms->evidence);
		return;
	}
	if (check == ISO_REPLY_DONE && !e->observed)
		check = ISO_REPLY_NOT_READY;
	else if (check == ISO_REPLY_DONE && !regions_known(e, terms))
		check = ISO_REPLY_NO_SUCH_NAME;
	if (check != ISO_REPLY_DONE) {
		emit_reply(e, terms->request, check, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	l = iso_lease_find(e, terms->name);
	if (l == ISO_NONE)
		acquire_new(e, terms);
	else
		acquire_known(e, l, terms);
}

void lease_release(struct iso_engine *e, uint64_t request, const char *name)
{
	uint32_t l = iso_lease_find(e, name);
	struct lease *lease;

	if (l == ISO_NONE) {
		emit_reply(e, request, ISO_REPLY_NO_SUCH_NAME, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	lease = &e->leases[l];
	if (lease->state == ISO_LEASE_ATTACHED) {
		emit_reply(e, request, ISO_REPLY_NOT_ATTACHED_GONE, l, ISO_NONE, NULL);
		return;
	}
	emit_reply(e, request, ISO_REPLY_DONE, l, ISO_NONE, NULL);
	lease->ending = true;
	if (lease->state == ISO_LEASE_PREPARING || lease->state == ISO_LEASE_ACQUIRED ||
	    lease->state == ISO_LEASE_KEPT)
		lease_begin_end(e, l);
	lease_dirty(e, l);
}

/* The client that waited has gone. What was granted already lives until it expires. */
void lease_withdraw(struct iso_engine *e, const char *name)
{
	uint32_t l = iso_lease_find(e, name);
	struct lease *lease;

	if (l == ISO_NONE || !e->leases[l].client_waits)
		return;
	lease = &e->leases[l];
	emit_reply(e, lease->request, ISO_REPLY_WITHDRAWN, l, ISO_NONE, NULL);
	lease->client_waits = false;
	lease->request = 0;
	lease->comes_back = false;
	lease->ending = true;
	if (lease->state == ISO_LEASE_PREPARING)
		lease_begin_end(e, l);
	lease_dirty(e, l);
}

static uint32_t restore_instance(struct iso_engine *e, uint32_t l, uint32_t part,
				 const struct iso_restore_part *restore, uint64_t align)
{
	uint32_t r = iso_region_find(e, restore->region);
	uint32_t i;

	if (r == ISO_NONE)
		return ISO_NONE;
	i = instance_new(e, r, l, part, restore->bytes, align);
	if (i == ISO_NONE)
		return ISO_NONE;
	e->instances[i].state = ISO_INSTANCE_HELD;
	e->instances[i].named = true;
	e->instances[i].region_kernel_id = restore->region_kernel_id;
	e->instances[i].kernel_id = restore->kernel_id;
	if (restore->begun_ns)
		e->instances[i].begun_ns = restore->begun_ns;
	return i;
}

/* Saved after its victim was gone, or before it ever had a process. */
static bool is_granted_anew(const struct iso_restore_lease *restore)
{
	return restore->state == ISO_LEASE_WAITING || restore->state == ISO_LEASE_PREPARING ||
	       restore->state == ISO_LEASE_ACQUIRED;
}

static void restore_state(struct iso_engine *e, uint32_t l, const struct iso_restore_lease *restore)
{
	struct lease *lease = &e->leases[l];

	if (restore->has_process) {
		lease->state = ISO_LEASE_ATTACHED;
		lease->pid = restore->pid;
		if (lease->was_killed) /* a kill may be repeated; a forgotten one may not stay */
			lease_kill_again(e, l);
		return;
	}
	if (!lease->n_instances) {
		/* Else it waits for its client to ask again. */
		lease->ending = !lease->comes_back && restore->state != ISO_LEASE_WAITING &&
				restore->state != ISO_LEASE_PREPARING;
		return;
	}
	if (restore->state == ISO_LEASE_ACQUIRED) {
		lease->state = ISO_LEASE_ACQUIRED;
		lease->deadline_ns = e->now_ns + e->policy.grant_ns;
		engine_arm(e, lease->deadline_ns);
		return;
	}
	/* It was about to be handed over: its client asks again, and finds its place in the order. */
	lease->comes_back |= restore->state == ISO_LEASE_PREPARING;
	lease->died_unseen = restore->state == ISO_LEASE_ATTACHED;
	lease->state = ISO_LEASE_ATTACHED;
	lease->exited_ns = e->now_ns;
	lease_begin_end(e, l);
}

void lease_restore(struct iso_engine *e, const struct iso_restore_lease *restore)
{
	struct incident *incident = incident_get(e, restore->incident);
	uint64_t contained_ns = incident ? incident->contained_ns : 0;
	struct lease *lease;
	uint32_t l, p, i;

	e->reconcile.n_leases_rebooted += restore->rebooted;
	if (restore->rebooted)
		return;
	if (iso_lease_find(e, restore->terms.name) != ISO_NONE ||
	    !iso_name_valid(restore->terms.name))
		return;
	l = lease_new(e, restore->terms.name);
	if (l == ISO_NONE)
		return;
	lease = &e->leases[l];
	lease->terms = restore->terms;
	lease->pinned = restore->terms.pins != 0;
	lease->terms.request = 0;
	plan_leave(e, l);
	lease->sequence = restore->sequence;
	if (restore->sequence >= e->next_sequence)
		e->next_sequence = restore->sequence + 1;
	for (p = 0; p < restore->n_parts && p < ISO_LEASE_PARTS_MAX; p++) {
		i = restore_instance(e, l, p, &restore->parts[p], lease->terms.align);
		if (i != ISO_NONE)
			lease->instances[lease->n_instances++] = i;
	}
	lease->handed_over = restore->n_parts > 0;
	/* A process that attached after that, which was not stored any more, is not the one killed. */
	lease->was_killed = restore->was_killed &&
			    !(restore->has_process && is_granted_anew(restore));
	if (lease->was_killed)
		lease_restore_victim(e, l, restore->incident);
	if (restore->state == ISO_LEASE_KILLED && !restore->has_process)
		incident_exit_seen(e, restore->incident);
	restore_state(e, l, restore);
	/* What the incident took is long gone, and was contained when it was. */
	if (lease->state == ISO_LEASE_WAITING || is_granted_anew(restore)) {
		incident_lease_contained(e, l);
		if (incident && !incident->n_pending)
			incident->contained_ns = contained_ns;
	}
	if (lease->state == ISO_LEASE_WAITING) {
		plan_join(e, l);
		lease->deadline_ns = e->now_ns + e->policy.grant_ns;
		engine_arm(e, lease->deadline_ns);
	}
}
