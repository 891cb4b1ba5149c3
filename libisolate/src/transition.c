/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state machines: which state may follow which. These functions are the
 * only writers of a state; a move that is not in a table is a bug and stops
 * the program, which is safe because a restart reconciles.
 */
#include "state.h"

#define TO(state) (1u << (state))

static const uint32_t region_moves[ISO_REGION_STATES] = {
	[ISO_REGION_ABSENT] = TO(ISO_REGION_CREATING) | TO(ISO_REGION_LIVE) | TO(ISO_REGION_LOST) |
			      TO(ISO_REGION_QUARANTINED),
	[ISO_REGION_CREATING] = TO(ISO_REGION_LIVE) | TO(ISO_REGION_ABSENT) | TO(ISO_REGION_LOST) |
				TO(ISO_REGION_QUARANTINED),
	[ISO_REGION_LIVE] = TO(ISO_REGION_LOST) | TO(ISO_REGION_CLEARING),
	[ISO_REGION_LOST] = TO(ISO_REGION_CLEARING) | TO(ISO_REGION_CREATING),
	/* Back to LIVE when nothing was done. */
	[ISO_REGION_CLEARING] = TO(ISO_REGION_ABSENT) | TO(ISO_REGION_LOST) | TO(ISO_REGION_LIVE) |
				TO(ISO_REGION_QUARANTINED),
	[ISO_REGION_QUARANTINED] = TO(ISO_REGION_LOST) | TO(ISO_REGION_ABSENT),
};

static const uint32_t instance_moves[ISO_INSTANCE_STATES] = {
	[ISO_INSTANCE_CARVING] = TO(ISO_INSTANCE_ZEROING) | TO(ISO_INSTANCE_DOOMED),
	[ISO_INSTANCE_ZEROING] = TO(ISO_INSTANCE_PROVING) | TO(ISO_INSTANCE_DOOMED),
	[ISO_INSTANCE_PROVING] = TO(ISO_INSTANCE_READY) | TO(ISO_INSTANCE_DOOMED),
	[ISO_INSTANCE_READY] = TO(ISO_INSTANCE_HANDING) | TO(ISO_INSTANCE_DOOMED),
	[ISO_INSTANCE_HANDING] = TO(ISO_INSTANCE_HELD) | TO(ISO_INSTANCE_DOOMED) |
				 TO(ISO_INSTANCE_READY), /* when nothing was done */
	[ISO_INSTANCE_HELD] = TO(ISO_INSTANCE_DOOMED),
	/* HELD: an orphan that is adopted, or whose tenant was found. */
	[ISO_INSTANCE_DOOMED] = TO(ISO_INSTANCE_REMOVING) | TO(ISO_INSTANCE_VERIFYING) |
				TO(ISO_INSTANCE_HELD),
	[ISO_INSTANCE_VERIFYING] = TO(ISO_INSTANCE_REMOVING) | TO(ISO_INSTANCE_DOOMED),
	[ISO_INSTANCE_REMOVING] = TO(ISO_INSTANCE_DOOMED),
};

static const uint32_t lease_moves[ISO_LEASE_STATES] = {
	/* ATTACHED: of an instance and its process that are adopted. */
	[ISO_LEASE_WAITING] = TO(ISO_LEASE_PREPARING) | TO(ISO_LEASE_ATTACHED),
	[ISO_LEASE_PREPARING] = TO(ISO_LEASE_ACQUIRED) | TO(ISO_LEASE_VERIFYING),
	[ISO_LEASE_ACQUIRED] = TO(ISO_LEASE_ATTACHED) | TO(ISO_LEASE_VERIFYING),
	[ISO_LEASE_ATTACHED] = TO(ISO_LEASE_KILLED) | TO(ISO_LEASE_KEPT) | TO(ISO_LEASE_VERIFYING),
	[ISO_LEASE_KILLED] = TO(ISO_LEASE_VERIFYING) | TO(ISO_LEASE_STUCK),
	[ISO_LEASE_KEPT] = TO(ISO_LEASE_VERIFYING) | TO(ISO_LEASE_ACQUIRED),
	[ISO_LEASE_VERIFYING] = TO(ISO_LEASE_RETRACTING) | TO(ISO_LEASE_STUCK),
	[ISO_LEASE_RETRACTING] = TO(ISO_LEASE_WAITING),
	[ISO_LEASE_STUCK] = TO(ISO_LEASE_VERIFYING) | TO(ISO_LEASE_RETRACTING),
};

#define ANY_BUT_UNKNOWN                                                                            \
	(TO(ISO_DOMAIN_HEALTHY) | TO(ISO_DOMAIN_CONTAINING) | TO(ISO_DOMAIN_RECOVERING) |          \
	 TO(ISO_DOMAIN_WAITING) | TO(ISO_DOMAIN_ISOLATED) | TO(ISO_DOMAIN_QUARANTINED))

/* Containment comes before everything else and ends before capacity is healthy. */
static const uint32_t domain_moves[ISO_DOMAIN_STATES] = {
	[ISO_DOMAIN_UNKNOWN] = ANY_BUT_UNKNOWN,     [ISO_DOMAIN_HEALTHY] = ANY_BUT_UNKNOWN,
	[ISO_DOMAIN_CONTAINING] = ANY_BUT_UNKNOWN,  [ISO_DOMAIN_RECOVERING] = ANY_BUT_UNKNOWN,
	[ISO_DOMAIN_WAITING] = ANY_BUT_UNKNOWN,     [ISO_DOMAIN_ISOLATED] = ANY_BUT_UNKNOWN,
	[ISO_DOMAIN_QUARANTINED] = ANY_BUT_UNKNOWN,
};

/* With a store that fails a live region is about to be cleared and is not, each second: told once. */
static bool is_news(struct iso_engine *e, struct region *region, uint32_t was, uint32_t state)
{
	bool untold = region->untold;

	region->untold = was == ISO_REGION_LIVE && state == ISO_REGION_CLEARING && e->store_failing;
	if (region->untold || (untold && state == ISO_REGION_LIVE))
		return false;
	return state == ISO_REGION_LIVE || state == ISO_REGION_QUARANTINED ||
	       was == ISO_REGION_LIVE;
}

void region_enter(struct iso_engine *e, uint32_t r, enum iso_region_state state)
{
	struct region *region = &e->regions[r];
	uint32_t was = region->state;

	assert(region->used);
	assert(region_moves[was] & TO(state));
	/* One that is cleared leaves when that is done: the store may not even take the intent. */
	if (was == ISO_REGION_LIVE && state == ISO_REGION_LOST)
		order_left(e, r);
	region->state = state;
	e->ledger_dirty = true;
	if (state == ISO_REGION_LIVE)
		poison_list_needed(e, r);
	if (state != ISO_REGION_LIVE && state != ISO_REGION_CLEARING)
		region->over_hole = false;
	if (is_news(e, region, was, state))
		emit_note(e, ISO_NOTE_REGION, 0, "region %s: %s -> %s%s%s", region->definition.name,
			  iso_region_state_name(was), iso_region_state_name(state),
			  region->reason[0] ? ": " : "", region->reason)
			->region = r;
	e->regions_dirty = true;
	e->domains_dirty = true;
	e->placement_dirty = true;
}

void instance_enter(struct iso_engine *e, uint32_t i, enum iso_instance_state state)
{
	struct instance *instance = &e->instances[i];

	assert(instance->used);
	assert(instance_moves[instance->state] & TO(state));
	instance->state = state;
}

void lease_enter(struct iso_engine *e, uint32_t l, enum iso_lease_state state)
{
	struct lease *lease = &e->leases[l];
	uint32_t was = lease->state;
	struct iso_effect *note;

	assert(lease->used);
	assert(lease_moves[was] & TO(state));
	if (was == ISO_LEASE_WAITING)
		plan_leave(e, l);
	lease->state = state;
	if (state == ISO_LEASE_KILLED)
		e->n_dying++;
	else if (was == ISO_LEASE_KILLED && --e->n_dying == 0)
		verify_gathered(e);
	e->n_stuck += (state == ISO_LEASE_STUCK) - (was == ISO_LEASE_STUCK);
	if (state == ISO_LEASE_WAITING)
		plan_join(e, l);
	lease->deadline_ns = 0;
	lease_dirty(e, l);
	e->domains_dirty = true;
	if (state == ISO_LEASE_KILLED) /* has its own note, after the kill pass */
		return;
	note = emit_note(e, ISO_NOTE_LEASE, lease->incident, "%s: %s -> %s", lease->terms.name,
			 iso_lease_state_name(was), iso_lease_state_name(state));
	note->lease = l;
	note->lease_epoch = lease->epoch;
	emit_save_lease(e, l);
}

void domain_enter(struct iso_engine *e, uint32_t d, enum iso_domain_state state, const char *reason)
{
	struct domain *domain = &e->domains[d];
	enum iso_note_kind kind = state == ISO_DOMAIN_WAITING ? ISO_NOTE_WAITING : ISO_NOTE_DOMAIN;
	struct incident *incident;

	if (domain->state == (uint32_t)state && !strcmp(domain->reason, reason))
		return;
	incident = incident_of_domain(e, d);
	assert(domain_moves[domain->state] & TO(state));
	e->placement_dirty |= domain->state != (uint32_t)state;
	/* Each exit has its own note; who is still to go is no news. */
	if (domain->state != (uint32_t)state)
		emit_note(e, kind, incident ? incident->id : 0, "domain %s: %s -> %s%s%s",
			  e->ports[d].path, iso_domain_state_name(domain->state),
			  iso_domain_state_name(state), reason[0] ? ": " : "", reason)
			->port = d;
	else if (state != ISO_DOMAIN_CONTAINING)
		emit_note(e, kind, incident ? incident->id : 0, "domain %s: %s: %s",
			  e->ports[d].path, iso_domain_state_name(state), reason)
			->port = d;
	domain->state = state;
	copy_text(domain->reason, sizeof(domain->reason), reason);
}
