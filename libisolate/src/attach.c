/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process becomes the VM of a lease once it was looked at: one that pins its
 * memory is refused, because the loss of its port would panic the host. Until
 * the answer it is not a victim of anything: a fault voids the grant.
 */
#include "state.h"

bool attach_process_taken(const struct iso_engine *e, int32_t pid)
{
	uint32_t l;

	if (pid <= 1)
		return true;
	for (l = 0; l < e->n_leases; l++)
		if (e->leases[l].used &&
		    (e->leases[l].pid == pid || e->leases[l].attaching.pid == pid))
			return true;
	return false;
}

static enum iso_reply check(const struct iso_engine *e, const struct lease *lease, int32_t pid)
{
	if (lease->state == ISO_LEASE_ATTACHED || lease->attaching.request)
		return ISO_REPLY_NAME_IN_USE;
	if (lease->state != ISO_LEASE_ACQUIRED)
		return lease->incident ? ISO_REPLY_GRANT_VOID : ISO_REPLY_NOT_GRANTED;
	if (attach_process_taken(e, pid))
		return ISO_REPLY_PROCESS_TAKEN;
	return ISO_REPLY_DONE;
}

void lease_attach(struct iso_engine *e, uint64_t request, const char *name, int32_t pid)
{
	uint32_t l = iso_lease_find(e, name);
	enum iso_reply reply;
	struct lease *lease;

	if (l == ISO_NONE) {
		emit_reply(e, request, ISO_REPLY_NO_SUCH_NAME, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	lease = &e->leases[l];
	reply = check(e, lease, pid);
	if (reply == ISO_REPLY_DONE) {
		lease->attaching.request = request;
		lease->attaching.pid = pid;
		lease_operate(e, l, ISO_EFFECT_INSPECT);
		if (lease->operation)
			return;
		lease->attaching.request = 0;
		lease->attaching.pid = 0;
		reply = ISO_REPLY_TABLE_FULL;
	}
	emit_reply(e, request, reply, l, ISO_NONE, NULL);
}

static void answer(struct iso_engine *e, uint32_t l, enum iso_reply reply, const char *text)
{
	struct lease *lease = &e->leases[l];

	emit_reply(e, lease->attaching.request, reply, l, ISO_NONE, text);
	lease->attaching.request = 0;
	lease->attaching.pid = 0;
}

/* The grant ends while its process is being looked at. */
void attach_refuse(struct iso_engine *e, uint32_t l, enum iso_reply reply)
{
	if (e->leases[l].attaching.request)
		answer(e, l, reply, NULL);
}

static void attached(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];

	lease->pid = lease->attaching.pid;
	lease->attached_ns = e->now_ns;
	lease->was_killed = false;
	lease->comes_back = false;
	lease->ahead = false;
	lease->stranger = 0;
	incident_lease_restored(e, l);
	lease_enter(e, l, ISO_LEASE_ATTACHED);
	lease->incident = 0;
	inspection_soon(e);
	answer(e, l, ISO_REPLY_DONE, NULL);
}

void attach_inspected(struct iso_engine *e, uint32_t l, const struct iso_completion *completion)
{
	struct lease *lease = &e->leases[l];
	bool pins = completion->result == 0 && completion->pins;

	if (!lease->attaching.request) /* refused meanwhile */
		return;
	if (pins)
		emit_note(e, ISO_NOTE_PINNING, 0, "%s: process %d pins memory: %s: %s",
			  lease->terms.name, lease->attaching.pid, iso_pin_name(completion->pins),
			  completion->evidence)
			->lease = l;
	if (completion->result < 0) {
		answer(e, l, ISO_REPLY_NOT_GRANTED, completion->message);
	} else if (pins && !e->policy.host_may_panic) {
		answer(e, l, ISO_REPLY_PINNING, completion->evidence);
	} else {
		lease->pins = completion->pins;
		lease->pinned |= pins;
		copy_text(lease->evidence, sizeof(lease->evidence), completion->evidence);
		attached(e, l);
	}
}
