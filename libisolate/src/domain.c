/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of an isolation domain follows from its regions, leases and
 * incident: it is derived after every step, never set by hand.
 */
#include <stdio.h>

#include "fence.h"

static void judge(struct verdict *v, enum iso_domain_state state, const char *reason)
{
	/* Worst first: the order in which a person must hear of it. */
	static const uint8_t weight[ISO_DOMAIN_STATES] = {
		[ISO_DOMAIN_HEALTHY] = 0,     [ISO_DOMAIN_RECOVERING] = 1,
		[ISO_DOMAIN_WAITING] = 2,     [ISO_DOMAIN_ISOLATED] = 3,
		[ISO_DOMAIN_QUARANTINED] = 4, [ISO_DOMAIN_CONTAINING] = 5,
		[ISO_DOMAIN_UNKNOWN] = 6,
	};

	if (weight[state] <= weight[v->state])
		return;
	v->state = state;
	copy_text(v->reason, sizeof(v->reason), reason);
}

/* Names who stands above: tenants keep a higher region, and so the order, in place. */
static void name_tenants_above(const struct iso_engine *e, uint32_t r, char *to, size_t room)
{
	size_t length = 0;
	uint32_t i, j, named = 0;

	length += snprintf(to, room,
			   "region %s waits for tenants above it:", e->regions[r].definition.name);
	for (i = 0; i < e->n_regions; i++) {
		const struct region *other = &e->regions[i];

		if (i == r || !other->used || other->state != ISO_REGION_LIVE ||
		    !order_shares_decoders(e, &e->regions[r], other) || !order_blocks(e, i, r))
			continue;
		for (j = other->first_instance; j != ISO_NONE; j = e->instances[j].next) {
			uint32_t l = e->instances[j].lease;

			if (length < room && named++ < 8)
				length += snprintf(to + length, room - length, " %s",
						   l == ISO_NONE ? "(orphan)"
								 : e->leases[l].terms.name);
		}
	}
	if (!named && length < room)
		snprintf(to + length, room - length, " (leaving)");
}

static void name_missing_leg(const struct iso_engine *e, const struct region *region, char *to,
			     size_t room)
{
	const char *lacks = "has not come back";
	uint32_t i, m = ISO_NONE;

	for (i = 0; i < region->definition.ways; i++) {
		m = region->legs[i];
		if (m == ISO_NONE || !e->memdevs[m].present || !e->memdevs[m].bound ||
		    rescan_under_way(e, &e->memdevs[m]))
			break;
	}
	if (m != ISO_NONE && e->memdevs[m].present)
		lacks = e->memdevs[m].duplicate_serial ? "shares its serial with another device"
			: e->memdevs[m].bound          ? "is being enumerated anew"
						       : "is not bound to its driver";
	snprintf(to, room, "region %s waits for a memdev: serial %#llx %s", region->definition.name,
		 i < region->definition.ways ? (unsigned long long)region->definition.serials[i]
					     : 0,
		 lacks);
}

/* The store is all that it waits for, whatever else there may be afterwards. */
static bool waits_for_store(const struct iso_engine *e, const struct region *region)
{
	switch (hold_standing(e, region)) {
	case ISO_REGION_ABSENT:
		return e->store_failing && region->desired &&
		       (region->wait == ISO_WAIT_NOTHING || region->wait == ISO_WAIT_RETRY);
	case ISO_REGION_LOST:
		return e->store_failing && !region->n_instances && !region->locked;
	case ISO_REGION_CREATING:
	case ISO_REGION_LIVE:
	case ISO_REGION_CLEARING:
	case ISO_REGION_QUARANTINED:
	case ISO_REGION_STATES:
		break;
	}
	return false;
}

static void judge_absent(struct iso_engine *e, uint32_t r, struct verdict *v)
{
	const struct region *region = &e->regions[r];
	char reason[ISO_TEXT_BYTES];

	switch ((enum iso_region_wait)region->wait) {
	case ISO_WAIT_DECODER_ORDER:
		name_tenants_above(e, r, reason, sizeof(reason));
		judge(v, ISO_DOMAIN_WAITING, reason);
		break;
	case ISO_WAIT_MEMDEV:
		name_missing_leg(e, region, reason, sizeof(reason));
		judge(v, ISO_DOMAIN_WAITING, reason);
		break;
	case ISO_WAIT_WINDOW:
	case ISO_WAIT_TOO_SMALL:
		judge(v, ISO_DOMAIN_WAITING, region->reason);
		break;
	case ISO_WAIT_LOCKED:
		snprintf(
			reason, sizeof(reason),
			"region %s waits for a reboot: a region that firmware locked is in its way",
			region->definition.name);
		judge(v, ISO_DOMAIN_WAITING, reason);
		break;
	case ISO_WAIT_ISOLATION: /* judge_isolation() says of which port */
		judge(v, ISO_DOMAIN_RECOVERING, "a root port is being armed or cleared");
		break;
	case ISO_WAIT_FLAPPING: /* judge_held() says what to do about it */
	case ISO_WAIT_HEALTH: /* said already */
		break;
	case ISO_WAIT_OPERATOR:
		judge(v, ISO_DOMAIN_ISOLATED, "held by an operator until `recover`");
		break;
	case ISO_WAIT_NOTHING:
	case ISO_WAIT_OBSERVATION:
	case ISO_WAIT_SETTLING:
	case ISO_WAIT_RETRY:
		snprintf(reason, sizeof(reason), "region %s is being made again (%s)",
			 region->definition.name, iso_region_wait_name(region->wait));
		judge(v, ISO_DOMAIN_RECOVERING, reason);
		break;
	case ISO_WAIT_OTHER_REGION:
		snprintf(reason, sizeof(reason), "region %s comes after region %s (%s)",
			 region->definition.name, e->regions[region->waits_for].definition.name,
			 iso_region_state_name(hold_standing(e, &e->regions[region->waits_for])));
		judge(v, ISO_DOMAIN_RECOVERING, reason);
		break;
	}
}

static void judge_region(struct iso_engine *e, uint32_t r, struct verdict *v)
{
	const struct region *region = &e->regions[r];
	enum iso_region_state state = hold_standing(e, region);
	char reason[ISO_TEXT_BYTES];

	if (waits_for_store(e, region)) {
		snprintf(reason, sizeof(reason), "region %.48s waits for the store: %.110s",
			 region->definition.name, e->store_reason);
		judge(v, ISO_DOMAIN_RECOVERING, reason);
		return;
	}
	if (health_gate_is_waited_for(e, region)) {
		snprintf(reason, sizeof(reason),
			 "region %.48s waits until %s well (`recover` does not): %.80s",
			 region->definition.name, e->unwell ? "the host is" : "its memdevs are",
			 health_gate_reason(e, &region->definition));
		judge(v, ISO_DOMAIN_WAITING, reason);
		return;
	}
	switch (state) {
	case ISO_REGION_LIVE:
		/* Its tenants are well; it only takes no new ones. */
		if (region->draining && !v->reason[0])
			copy_text(v->reason, sizeof(v->reason),
				  "takes no new tenants: makes way for a lower region");
		else if (region->closed && !v->reason[0])
			snprintf(v->reason, sizeof(v->reason),
				 "region %.48s takes no new tenants: %.110s",
				 region->definition.name, region->closed);
		break;
	case ISO_REGION_QUARANTINED:
		snprintf(reason, sizeof(reason), "region %.32s given up: %.130s",
			 region->definition.name, region->reason);
		judge(v, ISO_DOMAIN_QUARANTINED, reason);
		break;
	case ISO_REGION_ABSENT:
		if (region->desired)
			judge_absent(e, r, v);
		break;
	case ISO_REGION_LOST:
		if (region->locked && !region->n_instances) {
			snprintf(reason, sizeof(reason),
				 "region %s waits for a reboot: firmware locked its decoders",
				 region->definition.name);
			judge(v, ISO_DOMAIN_WAITING, reason);
			break;
		}
		__attribute__((fallthrough));
	case ISO_REGION_CREATING:
	case ISO_REGION_CLEARING:
	case ISO_REGION_STATES:
		snprintf(reason, sizeof(reason), "region %s: %s", region->definition.name,
			 iso_region_state_name(state));
		judge(v, ISO_DOMAIN_RECOVERING, reason);
		break;
	}
}

static void name_pending(const struct iso_engine *e, struct incident *incident, char *to,
			 size_t room)
{
	uint32_t l, named = 0, most = incident->n_pending < 8 ? incident->n_pending : 8;
	size_t length;

	length = snprintf(to, room, "%u VMs not yet gone and unmapped:", incident->n_pending);
	for (l = incident->first_pending; l < e->n_leases && named < most && length < room; l++) {
		const struct lease *lease = &e->leases[l];

		if (!lease->used || !lease->contain_pending || lease->incident != incident->id)
			continue;
		if (!named++) /* the next look begins here: there may be thousands before */
			incident->first_pending = l;
		length += snprintf(to + length, room - length, " %s%s", lease->terms.name,
				   lease->state == ISO_LEASE_STUCK ? " (stuck)" : "");
	}
}

static bool keeps_its_memory(const struct lease *lease)
{
	return lease->used && lease->state == ISO_LEASE_STUCK && lease->told_stuck &&
	       !lease->revoked;
}

static uint32_t n_stuck(const struct iso_engine *e, const struct incident *incident)
{
	uint32_t l, n = 0;

	for (l = 0; e->n_stuck && l < e->n_leases; l++)
		n += keeps_its_memory(&e->leases[l]) && e->leases[l].contain_pending &&
		     e->leases[l].incident == incident->id;
	return n;
}

/* Somebody does not let go of memory of this region: nothing may be torn down under him. */
static void judge_stuck(const struct iso_engine *e, const struct region *region, struct verdict *v)
{
	char reason[ISO_TEXT_BYTES];
	uint32_t i;

	if (!e->n_stuck) /* as nearly always: no walk over all instances */
		return;
	for (i = region->first_instance; i != ISO_NONE; i = e->instances[i].next) {
		uint32_t l = e->instances[i].lease;

		if (l == ISO_NONE || !keeps_its_memory(&e->leases[l]))
			continue;
		snprintf(reason, sizeof(reason), "VM %.40s is stuck: %.130s",
			 e->leases[l].terms.name, e->leases[l].waits_for);
		judge(v, ISO_DOMAIN_QUARANTINED, reason);
	}
}

/* A victim that has nothing left and does not exit: until it has, its VM cannot come back. */
static const struct lease *undead(const struct iso_engine *e, const struct incident *incident)
{
	uint32_t l;

	for (l = 0; e->n_stuck && l < e->n_leases; l++)
		if (e->leases[l].used && e->leases[l].state == ISO_LEASE_STUCK &&
		    e->leases[l].restore_pending && e->leases[l].incident == incident->id)
			return &e->leases[l];
	return NULL;
}

static void judge_unrestored(const struct iso_engine *e, const struct incident *incident,
			     struct verdict *v)
{
	const struct lease *lease = undead(e, incident);
	char reason[ISO_TEXT_BYTES];

	if (!lease) {
		judge(v, ISO_DOMAIN_RECOVERING, "its VMs are coming back");
		return;
	}
	snprintf(reason, sizeof(reason), "VM %.40s comes back after the end of %.110s",
		 lease->terms.name, lease->waits_for);
	judge(v, ISO_DOMAIN_WAITING, reason);
}

static void judge_incident(struct iso_engine *e, struct incident *incident, struct verdict *v)
{
	char reason[ISO_TEXT_BYTES];

	if (incident->n_pending > n_stuck(e, incident)) {
		name_pending(e, incident, reason, sizeof(reason));
		judge(v, ISO_DOMAIN_CONTAINING, reason);
	}
	if (incident->n_unrestored)
		judge_unrestored(e, incident, v);
}

static void judge_held(const struct iso_engine *e, uint32_t p, struct verdict *v)
{
	char reason[ISO_TEXT_BYTES];

	if (!e->ports[p].flapping) {
		judge(v, ISO_DOMAIN_ISOLATED, "held by an operator until `recover`");
		return;
	}
	snprintf(reason, sizeof(reason),
		 "flapping: lost too often within %llu s; `daxmgrctl recover %.80s` tries again",
		 (unsigned long long)(e->policy.flap_window_ns / 1000000000), e->ports[p].path);
	judge(v, ISO_DOMAIN_QUARANTINED, reason);
}

static void judge_isolation(const struct iso_engine *e, uint32_t p, struct verdict *v)
{
	char reason[ISO_TEXT_BYTES];

	isolation_judge_text(e, p, reason, sizeof(reason));
	judge(v, isolation_judge(e, p), reason);
}

static void judge_fence(const struct fence *fence, struct verdict *v)
{
	char reason[ISO_TEXT_BYTES];

	if (fence->kind == ISO_FENCE_MEMDEV) {
		/* The tenants of its regions are well; they only take no new ones. */
		if (!v->reason[0])
			snprintf(v->reason, sizeof(v->reason),
				 "memdev %#llx takes no new tenants: retired by rule %.48s",
				 (unsigned long long)fence->serial, fence->rule);
		return;
	}
	snprintf(reason, sizeof(reason), "%s by rule %.48s; `daxmgrctl recover %.80s` ends that",
		 fence->kind == ISO_FENCE_QUARANTINE ? "quarantined" : "fenced", fence->rule,
		 fence->unit);
	judge(v, fence->kind == ISO_FENCE_QUARANTINE ? ISO_DOMAIN_QUARANTINED : ISO_DOMAIN_WAITING,
	      reason);
}

static bool is_domain(const struct iso_engine *e, uint32_t d)
{
	return d < e->n_ports && e->ports[d].kind == ISO_PORT_ROOT && e->ports[d].domain == d;
}

/* One pass over everything, each to the domain it is in: a pass per domain would be a square. */
static void judge_all(struct iso_engine *e)
{
	uint32_t i, d;

	for (i = 0; i < e->n_regions; i++) {
		d = e->regions[i].domain;
		if (!e->regions[i].used || !is_domain(e, d))
			continue;
		judge_region(e, i, &e->verdicts[d]);
		judge_stuck(e, &e->regions[i], &e->verdicts[d]);
	}
	for (i = 0; i < e->n_ports; i++) {
		if (!is_domain(e, e->ports[i].domain))
			continue;
		if (e->ports[i].held)
			judge_held(e, i, &e->verdicts[e->ports[i].domain]);
		if (e->ports[i].isolation.since_ns)
			judge_isolation(e, i, &e->verdicts[e->ports[i].domain]);
	}
	for (i = 0; e->n_fences && i < e->fences_room; i++) {
		d = e->fences[i].used ? fence_domain(e, &e->fences[i]) : ISO_NONE;
		if (is_domain(e, d))
			judge_fence(&e->fences[i], &e->verdicts[d]);
	}
	for (i = 0; i < e->n_incidents; i++) {
		struct incident *incident = &e->incidents[i];

		if (!incident->id || !incident->open || incident->domain >= e->n_ports)
			continue;
		d = e->ports[incident->domain].domain;
		if (!is_domain(e, d) || e->verdicts[d].has_incident)
			continue;
		e->verdicts[d].has_incident = true; /* the first is the domain's */
		judge_incident(e, incident, &e->verdicts[d]);
	}
}

void domain_update(struct iso_engine *e)
{
	uint32_t d;

	if (!e->observed)
		return;
	for (d = 0; d < e->n_ports; d++) {
		e->verdicts[d].state = ISO_DOMAIN_HEALTHY;
		e->verdicts[d].has_incident = false;
		e->verdicts[d].reason[0] = '\0';
	}
	judge_all(e);
	for (d = 0; d < e->n_ports; d++)
		if (is_domain(e, d))
			domain_enter(e, d, e->verdicts[d].state, e->verdicts[d].reason);
}
