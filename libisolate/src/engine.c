/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "fence.h"

void iso_limits_default(struct iso_limits *ret)
{
	*ret = (struct iso_limits){
		.host_bridges = 64,
		.ports = 576,
		.memdevs = 256,
		.windows = 64,
		.regions = 1024,
		.instances = 16384,
		.leases = 16384,
		.operations = 4096,
		.incidents = 256,
		.bad_ranges = 2048,
	};
}

void iso_policy_default(struct iso_policy *ret)
{
	const uint64_t second = 1000000000ull;

	*ret = (struct iso_policy){
		.settle_ns = 3 * second,
		.exit_ns = 10 * second,
		.retry_ns = second / 5,
		.grant_ns = 300 * second,
		.operation_ns = 30 * second,
		.zero_ns_per_gib = 240 * second,
		.observe_ns = second,
		.attempts = 10,
		.inspect_ns = 10 * second,
		.flap_window_ns = 600 * second,
		.flap_losses = 3,
		.refill = true,
		.poison = ISO_POISON_KILL,
		.isolation_known_ns = 5 * second,
	};
}

/* Hands out aligned pieces of the caller's block; with no block it only counts. */
struct arena {
	char *at;
	size_t used;
};

static void *arena_take(struct arena *arena, size_t n, size_t size)
{
	void *piece = arena->at ? arena->at + arena->used : NULL;

	arena->used += (n * size + 63) / 64 * 64;
	return piece;
}

/* A power of two, at most half full: open addressing. */
static uint32_t index_size(uint32_t n)
{
	uint32_t size = 2;

	while (size < 2 * n)
		size *= 2;
	return size;
}

static void lay_out(struct iso_engine *e, const struct iso_limits *l, struct arena *arena)
{
	e->kills_room = l->leases;
	/* A step that kills every VM also notes and saves each, and touches every region. */
	e->texts_room = TEXTS_PER_LEASE * l->leases + FINDINGS_MAX + OTHER_TEXTS;
	e->others_room = OTHERS_PER_LEASE * l->leases + 2 * l->regions + 2 * l->ports +
			 l->operations + FINDINGS_MAX + LEDGER_SAVES_MAX + 1024;
	e->host_bridges = arena_take(arena, l->host_bridges, sizeof(*e->host_bridges));
	e->ports = arena_take(arena, l->ports, sizeof(*e->ports));
	e->memdevs = arena_take(arena, l->memdevs, sizeof(*e->memdevs));
	e->windows = arena_take(arena, l->windows, sizeof(*e->windows));
	e->incidents = arena_take(arena, l->incidents, sizeof(*e->incidents));
	e->early = arena_take(arena, EARLY_MAX, sizeof(*e->early));
	e->fences_room = l->ports + l->memdevs;
	e->fences = arena_take(arena, e->fences_room, sizeof(*e->fences));
	e->domains = arena_take(arena, l->ports, sizeof(*e->domains));
	e->verdicts = arena_take(arena, l->ports, sizeof(*e->verdicts));
	e->held_up = arena_take(arena, l->regions, sizeof(*e->held_up));
	e->memdev_down = arena_take(arena, l->memdevs, sizeof(*e->memdev_down));
	e->name_index_size = index_size(l->instances);
	e->name_index = arena_take(arena, e->name_index_size, sizeof(*e->name_index));
	e->pid_index_size = index_size(l->leases);
	e->pid_index = arena_take(arena, e->pid_index_size, sizeof(*e->pid_index));
	e->region_seen = arena_take(arena, l->regions, sizeof(*e->region_seen));
	e->foreign = arena_take(arena, l->regions, sizeof(*e->foreign));
	e->lease_buckets = arena_take(arena, LEASE_BUCKETS, sizeof(*e->lease_buckets));
	/* From here on nothing is touched before there is so much of it. */
	e->regions = arena_take(arena, l->regions, sizeof(*e->regions));
	e->operations = arena_take(arena, l->operations, sizeof(*e->operations));
	e->bad = arena_take(arena, l->bad_ranges, sizeof(*e->bad));
	e->reconcile.findings = arena_take(arena, FINDINGS_MAX, sizeof(*e->reconcile.findings));
	e->reconcile.gap_findings =
		arena_take(arena, FINDINGS_MAX, sizeof(*e->reconcile.gap_findings));
	e->instances = arena_take(arena, l->instances, sizeof(*e->instances));
	e->leases = arena_take(arena, l->leases, sizeof(*e->leases));
	e->kills = arena_take(arena, e->kills_room, sizeof(*e->kills));
	e->others = arena_take(arena, e->others_room, sizeof(*e->others));
	e->texts = arena_take(arena, e->texts_room, sizeof(*e->texts));
}

static bool limits_valid(const struct iso_limits *l)
{
	return l->host_bridges && l->host_bridges <= 64 && l->ports && l->ports <= 576 &&
	       l->memdevs && l->memdevs <= 1024 && l->windows && l->windows <= 65535 &&
	       l->regions && l->regions <= 65535 && l->instances && l->instances <= 1u << 20 &&
	       l->leases && l->leases <= 1u << 20 && l->operations && l->operations <= 65535 &&
	       l->incidents && l->incidents <= 65535 && l->bad_ranges && l->bad_ranges <= 65535;
}

size_t iso_engine_bytes(const struct iso_limits *limits)
{
	struct iso_engine scratch;
	struct arena arena = {0};

	arena_take(&arena, 1, sizeof(struct iso_engine));
	lay_out(&scratch, limits, &arena);
	return arena.used;
}

static void link_free_lists(struct iso_engine *e)
{
	uint32_t i;

	e->free_instances = e->free_lease = e->free_operations = ISO_NONE;
	for (i = 0; i < LEASE_BUCKETS; i++)
		e->lease_buckets[i] = ISO_NONE;
}

/* Where the tables of an engine in `memory` are; its limits are known. */
void engine_place(struct iso_engine *e, void *memory)
{
	struct arena arena = {.at = memory};

	arena_take(&arena, 1, sizeof(*e));
	lay_out(e, &e->limits, &arena);
}

struct iso_engine *iso_engine_init(void *memory, size_t bytes, const struct iso_limits *limits,
				   const struct iso_policy *policy)
{
	struct iso_engine *e = memory;

	if (!limits_valid(limits) || bytes < iso_engine_bytes(limits) || (uintptr_t)memory % 64)
		return NULL;
	*e = (struct iso_engine){.limits = *limits};
	engine_place(e, memory);
	memset(e + 1, 0, (size_t)((char *)e->regions - (char *)(e + 1)));
	effects_prepare(e);
	e->policy = *policy;
	link_free_lists(e);
	e->dirty_head = e->dirty_tail = ISO_NONE;
	e->queue_head = e->queue_tail = ISO_NONE;
	e->next_operation = e->next_incident = e->next_sequence = 1;
	e->wake_at_ns = UINT64_MAX;
	e->observe_at_ns = UINT64_MAX;
	e->inspect_at_ns = UINT64_MAX;
	e->observe_wanted = true;
	return e;
}

void engine_arm(struct iso_engine *e, uint64_t at_ns)
{
	if (at_ns < e->wake_at_ns)
		e->wake_at_ns = at_ns;
}

void engine_observe(struct iso_engine *e)
{
	e->observe_wanted = true;
}

uint64_t iso_next_deadline(const struct iso_engine *engine)
{
	return engine->wake_at_ns;
}

static void wake_leases(struct iso_engine *e)
{
	uint32_t l;

	for (l = 0; l < e->n_leases; l++) {
		struct lease *lease = &e->leases[l];
		uint64_t at_ns[2] = {lease->deadline_ns, lease->retry_at_ns};
		uint32_t i;

		for (i = 0; lease->used && i < 2; i++) {
			if (at_ns[i] && at_ns[i] <= e->now_ns)
				lease_dirty(e, l);
			else if (at_ns[i])
				engine_arm(e, at_ns[i]);
		}
	}
}

/* A device that has settled may be placed on again: nothing else tells of the moment. */
static void wake_memdevs(struct iso_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->n_memdevs; i++)
		if (e->memdevs[i].settling_until_ns > e->now_ns)
			engine_arm(e, e->memdevs[i].settling_until_ns);
}

static void wake_instances(struct iso_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->n_instances; i++) {
		struct instance *instance = &e->instances[i];

		if (!instance->used || instance->operation)
			continue;
		if (instance->retry_at_ns > e->now_ns)
			engine_arm(e, instance->retry_at_ns);
		else if (instance->lease != ISO_NONE && instance->state == ISO_INSTANCE_DOOMED)
			lease_dirty(e, instance->lease); /* it decides when */
		else
			instance_advance(e, i); /* also what found no room for its operation */
	}
}

/* Everything with a time attached is looked at again; what is not due re-arms. */
static void wake(struct iso_engine *e)
{
	if (e->now_ns < e->wake_at_ns)
		return;
	e->wake_at_ns = UINT64_MAX;
	wake_leases(e);
	wake_instances(e);
	wake_memdevs(e);
	operation_expire(e);
	if (e->observe_hold_ns > e->now_ns)
		engine_arm(e, e->observe_hold_ns);
	if (e->observe_at_ns <= e->now_ns)
		engine_observe(e);
	else if (e->observe_at_ns != UINT64_MAX)
		engine_arm(e, e->observe_at_ns);
	e->regions_dirty = true;
	e->placement_dirty = true;
	e->domains_dirty = true;
}

static void take_in_snapshot(struct iso_engine *e, const struct iso_event *event)
{
	const struct iso_snapshot *snapshot = &event->snapshot;
	uint32_t l;

	/* Of an observation that was given up, or whose world went on: too old to be believed. */
	if ((event->answers && event->answers != e->observe_operation) ||
	    snapshot->uevent_seqnum < e->observed_seqnum) {
		engine_observe(e);
		return;
	}
	if (!e->observed)
		region_drop_leaving(e);
	if (!reconcile_observed(e, snapshot))
		return;
	e->observed_seqnum = snapshot->uevent_seqnum;
	e->seen_ns = e->observe_began_ns;
	topology_take_in(e, snapshot);
	incident_locate(e);
	region_take_in(e, snapshot);
	isolation_take_in(e, snapshot);
	instance_take_in(e, snapshot);
	for (l = 0; !e->observed && l < e->n_leases; l++)
		lease_dirty(e, l);
	if (!e->observed)
		inspection_soon(e);
	if (!e->observed && e->held)
		inspection_now(e); /* who is whose is known by who maps what */
	e->observed = true;
	fault_observed(e);
	poison_observed(e);
	e->placement_dirty = true;
	e->domains_dirty = true;
}

static void take_in_inspection(struct iso_engine *e, const struct iso_event *event)
{
	if (!event->answers || event->answers == e->inspect_operation)
		inspection_take_in(e, &event->inspection);
}

/* What a daemon that starts knows from before. */
static void restore(struct iso_engine *e, const struct iso_event *event)
{
	if (event->kind == ISO_EVENT_RESTORE_REGION)
		region_restore(e, event->restore_region);
	else if (event->kind == ISO_EVENT_RESTORE_LEASE)
		lease_restore(e, event->restore_lease);
	else if (event->kind == ISO_EVENT_RESTORE_PORT)
		isolation_restore(e, event->restore_port);
	else if (event->kind == ISO_EVENT_RESTORE_INCIDENT)
		incident_restore(e, event->restore_incident);
	else if (event->kind == ISO_EVENT_RESTORE_POISON)
		ledger_restore(e, event->restore_poison);
	else if (event->kind == ISO_EVENT_RESTORE_FENCE)
		fence_restore(e, event->restore_fence);
	else
		hold_begin(e, event->hold);
}

/* What people and programs ask for. Return: false when it is none of that. */
static bool handle_request(struct iso_engine *e, const struct iso_event *event)
{
	switch (event->kind) {
	case ISO_EVENT_REGION_DEFINE:
		region_define(e, event->define.request, &event->define.definition,
			      event->define.from_operator);
		break;
	case ISO_EVENT_REGION_DESTROY:
		region_destroy(e, event->named.request, event->named.name);
		break;
	case ISO_EVENT_ACQUIRE:
		lease_acquire(e, &event->acquire);
		break;
	case ISO_EVENT_ATTACH:
		lease_attach(e, event->attach.request, event->attach.name, event->attach.pid);
		break;
	case ISO_EVENT_RELEASE:
		lease_release(e, event->named.request, event->named.name);
		break;
	case ISO_EVENT_WITHDRAW:
		lease_withdraw(e, event->named.name);
		break;
	case ISO_EVENT_ISOLATE:
		port_isolate(e, event);
		break;
	case ISO_EVENT_RECOVER:
		if (!fence_recover_memdev(e, event))
			port_recover(e, event);
		break;
	case ISO_EVENT_ADOPT:
		adopt_ask(e, &event->adopt);
		break;
	case ISO_EVENT_RECONCILE:
		reconcile_ask(e, event->reconcile.request, event->reconcile.dry_run);
		break;
	case ISO_EVENT_CONFIRM:
		hold_confirm(e, event->named.request);
		break;
	case ISO_EVENT_READ_POISON:
		poison_list_ask(e, event->read_poison.request, event->read_poison.memdev);
		break;
	case ISO_EVENT_ARM:
		arm_ask(e, event);
		break;
	default:
		return false;
	}
	return true;
}

static void handle(struct iso_engine *e, const struct iso_event *event)
{
	e->synthetic = (event->kind == ISO_EVENT_FAULT && event->fault.synthetic) ||
		       (event->kind == ISO_EVENT_POISON && event->poison.synthetic) ||
		       (event->kind == ISO_EVENT_POLICY && event->policy.synthetic);
	if (handle_request(e, event))
		return;
	switch (event->kind) {
	case ISO_EVENT_TIMER:
		break;
	case ISO_EVENT_FAULT:
		fault_handle(e, &event->fault);
		break;
	case ISO_EVENT_SETTLED:
		fault_settled(e, event->settled);
		break;
	case ISO_EVENT_CHANGED:
		if (event->changed.gap) {
			reconcile_gap(e);
			poison_list_gap(e);
		}
		engine_observe(e);
		break;
	case ISO_EVENT_COMPLETION:
		operation_complete(e, &event->completion);
		break;
	case ISO_EVENT_SNAPSHOT:
		take_in_snapshot(e, event);
		break;
	case ISO_EVENT_INSPECTION:
		take_in_inspection(e, event);
		break;
	case ISO_EVENT_VM_EXITED:
		lease_exited(e, event->exited.lease, event->exited.lease_epoch);
		break;
	case ISO_EVENT_RESTORE_REGION:
	case ISO_EVENT_RESTORE_LEASE:
	case ISO_EVENT_RESTORE_INCIDENT:
	case ISO_EVENT_RESTORE_POISON:
	case ISO_EVENT_RESTORE_PORT:
	case ISO_EVENT_RESTORE_FENCE:
	case ISO_EVENT_HOLD:
		restore(e, event);
		break;
	case ISO_EVENT_POISON:
		poison_handle(e, &event->poison);
		break;
	case ISO_EVENT_POISON_LIST_READ:
		poison_list_read(e, event->list_read.serial, event->list_read.record_ns,
				 event->list_read.complete);
		break;
	case ISO_EVENT_ISOLATION_SEEN:
		isolation_seen(e, event->isolation_seen.address, &event->isolation_seen.isolation);
		break;
	case ISO_EVENT_HEALTH:
		health_gate_take(e, &event->health);
		break;
	case ISO_EVENT_POLICY:
		policy_act(e, &event->policy);
		break;
	default:
		assert(!"no such event");
	}
}

static bool advance_leases(struct iso_engine *e)
{
	bool any = false;
	uint32_t l;

	while (e->dirty_head != ISO_NONE) {
		l = e->dirty_head;
		e->dirty_head = e->leases[l].next_dirty;
		if (e->dirty_head == ISO_NONE)
			e->dirty_tail = ISO_NONE;
		e->leases[l].dirty = false;
		lease_advance(e, l);
		any = true;
	}
	return any;
}

/* An isolated port lets go of what is below it once no region stands on it. */
static void advance_ports(struct iso_engine *e)
{
	uint32_t p, r;

	for (p = 0; p < e->n_ports; p++) {
		struct operation_object object = {ISO_NONE, ISO_NONE, ISO_NONE, p, ISO_NONE};
		bool standing = false;

		if (!e->ports[p].detach_wanted || e->ports[p].operation)
			continue;
		for (r = 0; r < e->n_regions; r++)
			standing |= e->regions[r].used &&
				    e->regions[r].state != ISO_REGION_ABSENT &&
				    e->regions[r].state != ISO_REGION_QUARANTINED &&
				    blast_region_on(e, &e->regions[r], p, ISO_NONE);
		if (standing)
			continue;
		e->ports[p].operation =
			operation_start(e, ISO_EFFECT_DETACH_PORT, object, e->ports[p].domain, 0);
		e->ports[p].detach_wanted = e->ports[p].operation == 0;
	}
}

/* Runs everything that can go on, until nothing more can. */
static void advance(struct iso_engine *e)
{
	uint32_t rounds, r;

	for (rounds = 0; rounds < 64; rounds++) {
		bool any = advance_leases(e);

		if (e->regions_dirty) {
			e->regions_dirty = false;
			for (r = 0; r < e->n_regions; r++)
				region_advance(e, r);
			evict_advance(e);
			isolation_advance(e);
			advance_ports(e);
			rescan_advance(e);
			any = true;
		}
		if (e->domains_dirty) {
			e->domains_dirty = false;
			domain_update(e);
			incident_update(e);
			any = true;
		}
		/* After the domains: they fence placement. */
		if (e->placement_dirty && e->observed) {
			e->placement_dirty = false;
			plan_waiting(e);
			any = true;
		}
		if (!any)
			return;
	}
	engine_arm(e, e->now_ns); /* more next time: the loop outside goes on */
}

static bool all_healthy(const struct iso_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->n_regions; i++) /* of one never seen whole the domain is not known */
		if (e->regions[i].used && e->regions[i].desired &&
		    e->regions[i].state != ISO_REGION_LIVE)
			return false;
	for (i = 0; i < e->n_ports; i++)
		if (e->ports[i].kind == ISO_PORT_ROOT && e->ports[i].domain == i &&
		    e->domains[i].state != ISO_DOMAIN_HEALTHY)
			return false;
	return true;
}

static bool any_settling(const struct iso_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->n_memdevs; i++)
		if (e->memdevs[i].settling_until_ns > e->now_ns)
			return true;
	return false;
}

/*
 * In the midst of a change, ours or the kernel's, each step of it makes
 * uevents, and what is seen then is half of it: so not with each of them.
 */
static bool too_soon(struct iso_engine *e)
{
	uint64_t at_ns = e->observe_began_ns + e->policy.observe_ns / 4;

	if (!e->observe_began_ns || at_ns <= e->now_ns || (!e->n_changing && !any_settling(e)))
		return false;
	engine_arm(e, at_ns);
	return true;
}

static void start_observation(struct iso_engine *e)
{
	struct operation_object nothing = {ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE};
	uint32_t r;

	if ((!e->observe_wanted && !reconcile_wants_observation(e)) || e->observe_operation ||
	    e->observe_hold_ns > e->now_ns || too_soon(e))
		return;
	e->observe_operation = operation_start(e, ISO_EFFECT_OBSERVE, nothing, ISO_NONE, 0);
	if (!e->observe_operation)
		return;
	for (r = 0; r < e->n_regions; r++)
		e->regions[r].look_stale = e->regions[r].n_operations > 0;
	if (reconcile_begin(e))
		return;
	e->observe_began_ns = e->now_ns;
	e->observe_wanted = false;
	e->observe_at_ns = UINT64_MAX;
	for (r = 0; r < e->n_regions; r++)
		e->regions[r].observation_stale = e->regions[r].n_operations > 0;
}

/* Lost uevents must not stop a recovery: look again by the clock while it lasts. */
static void schedule_observation(struct iso_engine *e)
{
	if (e->observe_operation || e->observe_at_ns != UINT64_MAX || all_healthy(e))
		return;
	e->observe_at_ns = e->now_ns + e->policy.observe_ns;
	engine_arm(e, e->observe_at_ns);
}

struct iso_effects iso_step(struct iso_engine *e, const struct iso_event *event)
{
	e->now_ns = event->now_ns;
	e->step++;
	e->n_kills = e->n_others = e->n_texts = 0;
	handle(e, event);
	wake(e);
	place_account(e);
	poison_closed(e);
	advance(e);
	start_observation(e);
	schedule_observation(e);
	poison_list_advance(e);
	inspection_advance(e);
	reconcile_advance(e);
	adopt_advance(e);
	place_account(e);
	ledger_flush(e);
	return (struct iso_effects){e->kills, e->n_kills, e->others, e->n_others};
}
