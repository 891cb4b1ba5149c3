/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What outlives the kill: a VM that does not exit, or somebody else who still
 * maps its memory. The mapping is revoked if every holder is shown to be free
 * of pins; then the memory can be used again although the process stays. Else
 * nothing is touched (the kernel would oops), the domain says for whom it
 * waits, and it is tried again: holders change.
 */
#include <stdio.h>

#include "state.h"

static void name_holder(struct lease *lease, const char *evidence)
{
	int32_t pid = lease->n_mappers ? lease->mappers[0] : lease->pid;

	if (!lease->pid && !lease->n_mappers)
		snprintf(lease->waits_for, sizeof(lease->waits_for), "the end of its pins%s%s",
			 evidence[0] ? ": " : "", evidence);
	else if (!lease->pid)
		snprintf(lease->waits_for, sizeof(lease->waits_for),
			 "process %d, which still maps its memory%s%s", pid,
			 evidence[0] ? ": " : "", evidence);
	else
		snprintf(lease->waits_for, sizeof(lease->waits_for),
			 "process %d, which was killed and does not exit%s%s", lease->pid,
			 evidence[0] ? ": " : "", evidence);
}

void stuck_enter(struct iso_engine *e, uint32_t l, const char *evidence)
{
	struct lease *lease = &e->leases[l];

	name_holder(lease, evidence);
	lease->retry_at_ns = 0;
	lease_enter(e, l, ISO_LEASE_STUCK);
}

void stuck_advance(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];

	if (lease->operation || lease_instances_busy(e, lease))
		return;
	/* A grant that nobody attached to never had a process: there is none to wait for. */
	if (lease->revoked && !lease->pid)
		lease_enter(e, l, ISO_LEASE_RETRACTING);
	else if (lease->revoked) /* nobody can reach them, whoever still lives */
		lease_take_apart(e, l);
	else if (lease->retry_at_ns > e->now_ns)
		engine_arm(e, lease->retry_at_ns);
	else
		lease_operate(e, l, ISO_EFFECT_REVOKE);
}

static void refused(struct iso_engine *e, uint32_t l, const struct iso_completion *completion)
{
	struct lease *lease = &e->leases[l];
	bool news = lease->stuck_pins != completion->pins || !lease->told_stuck;

	lease->n_mappers = completion->n_mappers;
	memcpy(lease->mappers, completion->mappers, sizeof(lease->mappers));
	lease->stuck_pins = completion->pins;
	lease->told_stuck = true;
	name_holder(lease, completion->message);
	lease->retry_at_ns = e->now_ns + e->policy.observe_ns;
	engine_arm(e, lease->retry_at_ns);
	e->domains_dirty = true;
	if (news)
		emit_note(e,
			  completion->result == -16 /* EBUSY */ ? ISO_NOTE_STRANGER
								: ISO_NOTE_FAILED,
			  lease->incident, "%s: its memory cannot be revoked: %s",
			  lease->terms.name, completion->message)
			->lease = l;
}

void stuck_revoked(struct iso_engine *e, uint32_t l, const struct iso_completion *completion)
{
	struct lease *lease = &e->leases[l];

	if (lease->state != ISO_LEASE_STUCK)
		return;
	if (completion->result < 0) {
		refused(e, l, completion);
		return;
	}
	lease->revoked = true;
	lease->retry_at_ns = 0;
	lease_doom_instances(e, lease);
	if (lease->pid || lease->n_mappers)
		emit_note(e, ISO_NOTE_REVOKED, lease->incident,
			  "%s: its memory was taken from all who still mapped it%s",
			  lease->terms.name, lease->pid ? "; its process has yet to exit" : "")
			->lease = l;
	incident_lease_contained(e, l);
	e->domains_dirty = true;
	emit_save_lease(e, l);
}

/* Whether somebody keeps a region's memory who cannot be shown to let go of it. */
bool stuck_on_region(const struct iso_engine *e, uint32_t r)
{
	uint32_t i;

	for (i = e->regions[r].first_instance; i != ISO_NONE; i = e->instances[i].next) {
		uint32_t l = e->instances[i].lease;

		if (l != ISO_NONE && e->leases[l].state == ISO_LEASE_STUCK && !e->leases[l].revoked)
			return true;
	}
	return false;
}
