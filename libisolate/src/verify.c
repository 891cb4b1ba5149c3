/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Before an instance is given up it is shown that nobody maps it: told by the
 * kernel, not by the end of the VM.
 */
#include "state.h"

static bool any_instance_named(const struct iso_engine *e, const struct lease *lease)
{
	uint32_t p;

	for (p = 0; p < lease->n_instances; p++)
		if (e->instances[lease->instances[p]].named)
			return true;
	return false;
}

/*
 * A walk over all processes shows all who are gone by then: while others are
 * about to exit it waits for them a moment, so that there is one walk for all.
 */
static bool gathers(struct iso_engine *e, struct lease *lease)
{
	uint64_t until_ns = lease->exited_ns + e->policy.retry_ns / 2;

	lease->gathering = e->n_dying && lease->was_killed && lease->exited_ns &&
			   until_ns > e->now_ns;
	if (lease->gathering)
		lease->retry_at_ns = until_ns;
	return lease->gathering;
}

/* The last one has gone. */
void verify_gathered(struct iso_engine *e)
{
	uint32_t l;

	for (l = 0; l < e->n_leases; l++) {
		if (!e->leases[l].used || !e->leases[l].gathering)
			continue;
		e->leases[l].gathering = false;
		e->leases[l].retry_at_ns = 0;
		lease_dirty(e, l);
	}
}

void verify_advance(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];

	/* Before the first observation it is not known which instances still stand. */
	if (lease->operation || lease_instances_busy(e, lease) || !e->observed)
		return;
	if (!any_instance_named(e, lease)) {
		incident_lease_contained(e, l);
		lease_enter(e, l, ISO_LEASE_RETRACTING);
		return;
	}
	if (lease->retry_at_ns > e->now_ns || gathers(e, lease)) {
		engine_arm(e, lease->retry_at_ns);
		return;
	}
	lease_operate(e, l, ISO_EFFECT_VERIFY);
}

void verify_completed(struct iso_engine *e, uint32_t l, const struct iso_completion *completion)
{
	struct lease *lease = &e->leases[l];

	lease->n_mappers = completion->n_mappers;
	memcpy(lease->mappers, completion->mappers, sizeof(lease->mappers));
	if (!lease->n_mappers && lease->pinned && !lease->revoked) {
		/* I/O in flight holds its pages still, whoever has gone: that has to be shown. */
		stuck_enter(e, l, "pins may outlive it");
		return;
	}
	if (!lease->n_mappers) {
		lease->died_unseen = false;
		incident_lease_contained(e, l);
		lease->retry_at_ns = 0;
		lease->waits_for[0] = '\0';
		lease_enter(e, l, ISO_LEASE_RETRACTING);
		return;
	}
	if (lease->deadline_ns > e->now_ns) {
		lease->retry_at_ns = e->now_ns + e->policy.retry_ns / 4;
		engine_arm(e, lease->retry_at_ns);
		return;
	}
	emit_note(e, ISO_NOTE_STRANGER, lease->incident, "%s: process %d still maps its memory%s%s",
		  lease->terms.name, lease->mappers[0], completion->evidence[0] ? ": " : "",
		  completion->evidence)
		->lease = l;
	stuck_enter(e, l, completion->evidence);
}
