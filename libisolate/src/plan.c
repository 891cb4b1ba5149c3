/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The carve planner: which regions serve a request. The kernel chooses the
 * range inside a region; the planner only promises that the bytes are free.
 */
#include <stdio.h>

#include "fence.h"

/* Waiting leases are kept in the order in which they first asked. */
void plan_join(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];
	uint32_t before = e->queue_tail;

	while (before != ISO_NONE && e->leases[before].sequence > lease->sequence)
		before = e->leases[before].queue_prev;
	lease->queue_prev = before;
	lease->queue_next = before != ISO_NONE ? e->leases[before].queue_next : e->queue_head;
	*(before != ISO_NONE ? &e->leases[before].queue_next : &e->queue_head) = l;
	*(lease->queue_next != ISO_NONE ? &e->leases[lease->queue_next].queue_prev
					: &e->queue_tail) = l;
}

void plan_leave(struct iso_engine *e, uint32_t l)
{
	const struct lease *lease = &e->leases[l];

	*(lease->queue_prev != ISO_NONE ? &e->leases[lease->queue_prev].queue_next
					: &e->queue_head) = lease->queue_next;
	*(lease->queue_next != ISO_NONE ? &e->leases[lease->queue_next].queue_prev
					: &e->queue_tail) = lease->queue_prev;
}

static bool region_open(const struct iso_engine *e, const struct region *region)
{
	uint32_t i;

	if (!region->used || region->state != ISO_REGION_LIVE || region->draining ||
	    !region->desired || region->doubted || region->domain == ISO_NONE ||
	    e->domains[region->domain].state == ISO_DOMAIN_CONTAINING || region->closed ||
	    fence_of_region(e, region))
		return false;
	for (i = 0; i < region->definition.ways; i++) {
		uint32_t m = region->legs[i];

		if (m == ISO_NONE || !e->memdevs[m].bound ||
		    e->memdevs[m].settling_until_ns > e->now_ns)
			return false;
	}
	return true;
}

/* What there is to give away before anybody gets any of it. */
static void survey(struct iso_engine *e)
{
	uint32_t r;

	e->surveyed_step = e->step;
	place_account(e);
	for (r = 0; r < e->n_regions; r++) {
		struct region *region = &e->regions[r];

		region->open = region_open(e, region);
		region->reading = region->open && poison_list_awaited(e, region);
		region->open &= !region->reading;
		region->spare_bytes = region->open ? region_free_bytes(region) : 0;
	}
}

/* Not held by anybody, and good. */
uint64_t region_free_bytes(const struct region *region)
{
	uint64_t taken = region->held_bytes + region->bad_bytes;

	return region->range.bytes > taken ? region->range.bytes - taken : 0;
}

static uint64_t free_in(const struct iso_engine *e, uint32_t r, const struct lease *lease,
			const uint32_t *taken, uint32_t n_taken)
{
	uint64_t bytes = e->regions[r].spare_bytes;
	uint32_t p;

	for (p = 0; p < n_taken; p++)
		if (taken[p] == r)
			bytes -= bytes < lease->terms.parts[p].bytes ? bytes
								     : lease->terms.parts[p].bytes;
	return bytes;
}

/* The region that a part names. Hundreds may wait for the same one, and are looked at often. */
static uint32_t named_region(const struct iso_engine *e, struct lease *lease, uint32_t part)
{
	const char *name = lease->terms.parts[part].region;
	uint32_t r = lease->named_regions[part];

	if (r >= e->n_regions || !e->regions[r].used || strcmp(e->regions[r].definition.name, name))
		lease->named_regions[part] = iso_region_find(e, name);
	return lease->named_regions[part];
}

static enum plan_outcome plan_named(const struct iso_engine *e, struct lease *lease, uint32_t part,
				    uint32_t *taken)
{
	uint32_t r = named_region(e, lease, part);

	if (r == ISO_NONE)
		return PLAN_NO_REGION;
	if (!e->regions[r].open)
		return e->regions[r].reading ? PLAN_READING : PLAN_FENCED;
	if (free_in(e, r, lease, taken, part) < lease->terms.parts[part].bytes)
		return PLAN_NO_CAPACITY;
	taken[part] = r;
	return PLAN_PLACED;
}

/* The emptiest region spreads tenants over fault units. */
static enum plan_outcome plan_anywhere(const struct iso_engine *e, const struct lease *lease,
				       uint32_t part, uint32_t *taken)
{
	uint64_t best_bytes = 0;
	uint32_t r, best = ISO_NONE;
	bool open = false, reading = false;

	for (r = 0; r < e->n_regions; r++) {
		uint64_t bytes;

		reading |= e->regions[r].used && e->regions[r].reading;
		if (!e->regions[r].used || !e->regions[r].open)
			continue;
		open = true;
		bytes = free_in(e, r, lease, taken, part);
		if (bytes >= lease->terms.parts[part].bytes && bytes > best_bytes) {
			best = r;
			best_bytes = bytes;
		}
	}
	if (best == ISO_NONE && reading)
		return PLAN_READING;
	if (best == ISO_NONE)
		return open ? PLAN_NO_CAPACITY : PLAN_FENCED;
	taken[part] = best;
	return PLAN_PLACED;
}

static enum plan_outcome plan(struct iso_engine *e, uint32_t l,
			      uint32_t ret_regions[ISO_LEASE_PARTS_MAX])
{
	struct lease *lease = &e->leases[l];
	uint32_t p;

	for (p = 0; p < lease->terms.n_parts; p++) {
		enum plan_outcome outcome = lease->terms.parts[p].region[0]
						    ? plan_named(e, lease, p, ret_regions)
						    : plan_anywhere(e, lease, p, ret_regions);

		if (outcome != PLAN_PLACED)
			return outcome;
	}
	return PLAN_PLACED;
}

/* Whether a lease could be placed if nobody else waited. */
enum plan_outcome plan_lease(struct iso_engine *e, uint32_t l)
{
	uint32_t regions[ISO_LEASE_PARTS_MAX];

	if (hold_placement(e, e->leases[l].waits_for, sizeof(e->leases[l].waits_for)))
		return PLAN_ON_HOLD;
	if (e->surveyed_step != e->step) /* thousands may come due in one step */
		survey(e);
	return plan(e, l, regions);
}

/* What an absent region waits for; empty when it is about to be made. */
static const char *wait_words(uint32_t wait)
{
	static const char *const words[ISO_WAIT_HEALTH + 1] = {
		[ISO_WAIT_NOTHING] = "",
		[ISO_WAIT_OBSERVATION] = ", waits for a look at the host",
		[ISO_WAIT_MEMDEV] = ", waits for its memdevs",
		[ISO_WAIT_SETTLING] = ", waits for the kernel, which is resetting a memdev",
		[ISO_WAIT_DECODER_ORDER] = ", waits for the tenants of a region above it",
		[ISO_WAIT_OPERATOR] = ", waits for an operator, who keeps it away",
		[ISO_WAIT_RETRY] = ", waits for its next attempt",
		[ISO_WAIT_OTHER_REGION] = ", waits for another region, which comes first",
		[ISO_WAIT_WINDOW] = ", waits for a window that reaches its memdevs",
		[ISO_WAIT_TOO_SMALL] = ", waits for more room on its memdevs",
		[ISO_WAIT_LOCKED] = ", waits for a reboot: firmware locked what is in its way",
		[ISO_WAIT_FLAPPING] = ", waits for an operator: it was lost too often",
		[ISO_WAIT_ISOLATION] = ", waits for the isolation of its root port",
		[ISO_WAIT_HEALTH] = ", waits until host and memdevs are well again",
	};

	return words[wait];
}

static void say_why(struct iso_engine *e, struct lease *lease, enum plan_outcome outcome)
{
	const char *name = lease->terms.parts[0].region;
	uint32_t r = name[0] ? named_region(e, lease, 0) : ISO_NONE;
	const struct fence *fence = r != ISO_NONE ? fence_of_region(e, &e->regions[r]) : NULL;

	if (outcome == PLAN_NO_CAPACITY)
		snprintf(lease->waits_for, sizeof(lease->waits_for), "free capacity%s%s",
			 name[0] ? " in region " : "", name);
	else if (outcome == PLAN_READING)
		copy_text(lease->waits_for, sizeof(lease->waits_for),
			  "the poison lists of the memdevs, which are being read");
	else if (r != ISO_NONE && e->regions[r].closed)
		snprintf(lease->waits_for, sizeof(lease->waits_for), "region %s: %s", name,
			 e->regions[r].closed);
	else if (fence && e->regions[r].state == ISO_REGION_LIVE)
		snprintf(lease->waits_for, sizeof(lease->waits_for),
			 "an operator: `daxmgrctl recover %.60s`, which rule %.48s fenced",
			 fence->unit, fence->rule);
	else if (r != ISO_NONE)
		snprintf(lease->waits_for, sizeof(lease->waits_for), "region %s: %s%s", name,
			 iso_region_state_name(e->regions[r].state),
			 e->regions[r].state == ISO_REGION_ABSENT ? wait_words(e->regions[r].wait)
								  : "");
	else
		snprintf(lease->waits_for, sizeof(lease->waits_for), "%s%s",
			 name[0] ? "region " : "a healthy region", name);
}

static void place(struct iso_engine *e, uint32_t l, const uint32_t *regions)
{
	struct lease *lease = &e->leases[l];
	uint32_t p, i;

	lease_enter(e, l, ISO_LEASE_PREPARING);
	lease->ahead = !lease->client_waits;
	lease->deadline_ns = 0;
	lease->waits_for[0] = '\0';
	for (p = 0; p < lease->terms.n_parts; p++) {
		i = instance_new(e, regions[p], l, p, lease->terms.parts[p].bytes,
				 lease->terms.align);
		if (i == ISO_NONE) {
			copy_text(lease->waits_for, sizeof(lease->waits_for),
				  "the instance table is full");
			lease->failures++;
			lease_begin_end(e, l);
			return;
		}
		lease->instances[lease->n_instances++] = i;
		instance_advance(e, i);
	}
	/* Not the first part of the first: its intent tries the store. */
	if (!e->instances[lease->instances[0]].operation)
		hold_placement(e, lease->waits_for, sizeof(lease->waits_for));
}

static void reserve(struct iso_engine *e, const struct lease *lease, const uint32_t *regions)
{
	uint32_t p;

	for (p = 0; p < lease->terms.n_parts; p++)
		e->regions[regions[p]].spare_bytes -= lease->terms.parts[p].bytes;
}

/* A client that would not wait hears no; a lease that wants to come back stays without it. */
static void refuse(struct iso_engine *e, uint32_t l, enum plan_outcome outcome)
{
	static const enum iso_reply replies[] = {
		[PLAN_PLACED] = ISO_REPLY_DONE,     [PLAN_NO_CAPACITY] = ISO_REPLY_NO_CAPACITY,
		[PLAN_FENCED] = ISO_REPLY_FENCED,   [PLAN_NO_REGION] = ISO_REPLY_NO_SUCH_NAME,
		[PLAN_ON_HOLD] = ISO_REPLY_ON_HOLD, [PLAN_READING] = ISO_REPLY_FENCED,
	};
	struct lease *lease = &e->leases[l];

	emit_reply(e, lease->request, replies[outcome], ISO_NONE, ISO_NONE, lease->waits_for);
	lease->request = 0;
	lease->client_waits = false;
	if (!lease->comes_back) {
		lease_free(e, l);
		return;
	}
	lease->deadline_ns = e->now_ns + e->policy.grant_ns;
	engine_arm(e, lease->deadline_ns);
}

static void try_one(struct iso_engine *e, uint32_t l)
{
	uint32_t regions[ISO_LEASE_PARTS_MAX];
	struct lease *lease = &e->leases[l];
	enum plan_outcome outcome;

	if (!lease->client_waits && !lease->comes_back)
		return;
	if (lease->retry_at_ns > e->now_ns) {
		engine_arm(e, lease->retry_at_ns);
		return;
	}
	if (hold_placement(e, lease->waits_for, sizeof(lease->waits_for))) {
		if (lease->client_waits && !lease->terms.wait)
			refuse(e, l, PLAN_ON_HOLD);
		return;
	}
	outcome = plan(e, l, regions);
	/* A victim's memory is made ready before its client, who is being restarted, asks again. */
	if (outcome == PLAN_PLACED) {
		reserve(e, lease, regions);
		place(e, l, regions);
	} else {
		say_why(e, lease, outcome);
		/* Lists are read in a moment: that is no reason to say no. */
		if (lease->client_waits && !lease->terms.wait && outcome != PLAN_READING)
			refuse(e, l, outcome);
	}
}

void plan_waiting(struct iso_engine *e)
{
	uint32_t l, next;

	survey(e);
	for (l = e->queue_head; l != ISO_NONE; l = next) {
		next = e->leases[l].queue_next;
		try_one(e, l);
	}
}
