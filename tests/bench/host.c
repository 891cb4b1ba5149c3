/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_state.h"

static const uint64_t event_ns = 1000;

__attribute__((noreturn)) static void give_up(const char *what)
{
	fprintf(stderr, "bench: host: %s\n", what);
	exit(2);
}

struct iso_engine *host_engine(struct host *host)
{
	return host->engine;
}

uint64_t host_events(const struct host *host)
{
	return host->n_events;
}

uint32_t host_outstanding(const struct host *host)
{
	return host->tail - host->head;
}

uint32_t host_outstanding_most(const struct host *host)
{
	return host->most;
}

static void keep(struct host *host, const struct iso_effect *effect)
{
	if (host->tail - host->head == PENDING_MAX)
		give_up("too many effects at once");
	host->pending[host->tail++ % PENDING_MAX] = *effect;
}

void host_step(struct host *host, struct iso_event *event)
{
	struct iso_effects effects;

	host->now_ns += event_ns;
	host->n_events++;
	event->now_ns = host->now_ns;
	effects = iso_step(host->engine, event);
	for (uint32_t i = 0; i < effects.n_kills; i++)
		keep(host, &effects.kills[i]);
	for (uint32_t i = 0; i < effects.n_others; i++)
		if (effects.others[i].operation || effects.others[i].kind == ISO_EFFECT_REPLY)
			keep(host, &effects.others[i]);
	if (host_outstanding(host) > host->most)
		host->most = host_outstanding(host);
}

/* --- what the kernel would do ----------------------------------------------------------------- */

static void remove_instance(struct host *host, uint32_t region, uint32_t kernel_id)
{
	uint32_t *slot = &host->slots[region][kernel_id];
	struct iso_observed_instance *last = &host->instances[host->n_instances - 1];

	if (!*slot)
		return;
	host->instances[*slot - 1] = *last;
	host->slots[last->region_kernel_id][last->kernel_id] = *slot;
	*slot = 0;
	host->n_instances--;
	host->regions[region].available_bytes += HOST_LEASE_BYTES;
}

static void carve(struct host *host, const struct iso_effect *effect, struct iso_completion *ret)
{
	struct iso_instance_view view;
	struct iso_observed_instance *instance = &host->instances[host->n_instances];
	uint32_t name = 1;

	if (host->n_instances == HOST_LEASES ||
	    !iso_instance_get(host->engine, effect->instance, &view))
		give_up("cannot carve");
	while (name <= NAMES && host->slots[view.region][name])
		name++;
	if (name > NAMES)
		give_up("no name is free");
	host->slots[view.region][name] = ++host->n_instances;
	*instance = (struct iso_observed_instance){
		.region_kernel_id = view.region,
		.kernel_id = name,
		.bytes = view.bytes,
		.align = view.align,
		.start.v = host->regions[view.region].range.start.v + name * HOST_LEASE_BYTES,
		.major = 251,
		.minor = view.region * NAMES + name,
		.driver = ISO_DAX_DEVICE_DAX,
	};
	host->regions[view.region].available_bytes -= view.bytes;
	ret->kernel_id = instance->kernel_id;
	ret->region_kernel_id = instance->region_kernel_id;
	ret->range = (struct iso_hpa_range){instance->start, instance->bytes};
	ret->major = instance->major;
	ret->minor = instance->minor;
}

static void remove_of(struct host *host, const struct iso_effect *effect)
{
	struct iso_instance_view view;

	if (iso_instance_get(host->engine, effect->instance, &view) && view.named)
		remove_instance(host, view.region_kernel_id, view.kernel_id);
}

static void remove_all(struct host *host, uint32_t region)
{
	for (uint32_t name = 1; name <= NAMES; name++)
		remove_instance(host, region, name);
}

static void fill_snapshot(struct host *host, struct iso_event *ret)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < HOST_MEMDEVS; i++)
		if (host->has_region[i])
			host->seen_regions[n++] = host->regions[i];
	*ret = (struct iso_event){
		.kind = ISO_EVENT_SNAPSHOT,
		.snapshot = {.host_bridges = host->bridges,
			     .n_host_bridges = HOST_BRIDGES,
			     .ports = host->ports,
			     .n_ports = HOST_PORTS,
			     .memdevs = host->memdevs,
			     .n_memdevs = HOST_MEMDEVS,
			     .windows = host->windows,
			     .n_windows = HOST_BRIDGES,
			     .regions = host->seen_regions,
			     .n_regions = n,
			     .instances = host->instances,
			     .n_instances = host->n_instances},
	};
}

/* Each VM maps what it has and pins nothing. */
static void inspect(struct host *host)
{
	struct iso_event event = {.kind = ISO_EVENT_INSPECTION};
	struct iso_lease_view lease;
	struct iso_instance_view instance;
	uint32_t n = 0;

	for (uint32_t l = 0; l < iso_lease_count(host->engine); l++) {
		if (!iso_lease_get(host->engine, l, &lease) || lease.state != ISO_LEASE_ATTACHED ||
		    !iso_instance_get(host->engine, lease.instances[0], &instance))
			continue;
		host->mappers[n++] = (struct iso_observed_mapper){
			.pid = lease.pid,
			.process_start = 1,
			.region_kernel_id = instance.region_kernel_id,
			.kernel_id = instance.kernel_id,
		};
	}
	event.inspection.mappers = host->mappers;
	event.inspection.n_mappers = n;
	host_step(host, &event);
}

/* --- what clients would do -------------------------------------------------------------------- */

static void name_of(char *to, uint32_t number)
{
	snprintf(to, ISO_NAME_BYTES, "vm-%05u", number);
}

/* The first ones stand below the topmost port of the first bridge, the others everywhere else. */
static uint32_t region_of(uint32_t number)
{
	const uint32_t first = BRIDGE_MEMDEVS - PORT_MEMDEVS;
	uint32_t rest = (number - HOST_VICTIMS) % (HOST_MEMDEVS - PORT_MEMDEVS);

	if (number < HOST_VICTIMS)
		return first + number % PORT_MEMDEVS;
	return rest < first ? rest : rest + PORT_MEMDEVS;
}

static void fill_acquire(struct iso_acquire *to, uint32_t number)
{
	*to = (struct iso_acquire){
		.request = number + 1,
		.n_parts = 1,
		.parts = {{.bytes = HOST_LEASE_BYTES}},
		.restart = true,
		.wait = true,
	};
	name_of(to->name, number);
	snprintf(to->parts[0].region, sizeof(to->parts[0].region), "r%03u", region_of(number));
}

static void acquire(struct host *host, uint32_t number)
{
	struct iso_event event = {.kind = ISO_EVENT_ACQUIRE};

	fill_acquire(&event.acquire, number);
	host_step(host, &event);
}

static void attach(struct host *host, uint32_t number)
{
	struct iso_event event = {
		.kind = ISO_EVENT_ATTACH,
		.attach = {.request = HOST_LEASES + number + 1, .pid = host->next_pid++},
	};

	name_of(event.attach.name, number);
	host_step(host, &event);
}

static void take_reply(struct host *host, const struct iso_effect *effect)
{
	if (!effect->request || effect->reply == ISO_REPLY_WAITING)
		return;
	if (effect->reply != ISO_REPLY_DONE)
		give_up(iso_reply_text(effect->reply));
	if (effect->request > HOST_LEASES)
		host->n_attached++;
	else
		attach(host, effect->request - 1);
}

static void die(struct host *host, const struct iso_effect *kill)
{
	struct iso_event event = {
		.kind = ISO_EVENT_VM_EXITED,
		.exited = {.lease = kill->lease, .lease_epoch = kill->lease_epoch},
	};
	struct iso_lease_view lease;
	uint32_t number;

	if (!iso_lease_get(host->engine, kill->lease, &lease))
		give_up("a kill of nobody");
	number = strtoul(lease.terms->name + 3, NULL, 10);
	host->n_attached--;
	host_step(host, &event);
	acquire(host, number);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void complete(struct host *host, const struct iso_effect *effect)
{
	struct iso_event event =
				 {
					 .kind = ISO_EVENT_COMPLETION,
					 .completion.operation = effect->operation,
					 .completion.intent = effect->kind == ISO_EFFECT_INTENT,
				 },
			 snapshot;
	struct iso_completion *completion = &event.completion;

	switch ((enum iso_effect_kind)effect->kind) {
	case ISO_EFFECT_OBSERVE:
		fill_snapshot(host, &snapshot);
		host_step(host, &snapshot);
		break;
	case ISO_EFFECT_CREATE_REGION:
	case ISO_EFFECT_REFILL_REGION:
		host->has_region[effect->region] = true;
		host->regions[effect->region].targets[0].present = true;
		host->regions[effect->region].committed = true;
		completion->kernel_id = effect->region;
		completion->range = host->regions[effect->region].range;
		break;
	case ISO_EFFECT_CLEAR_REGION:
		remove_all(host, effect->region);
		host->has_region[effect->region] = false;
		break;
	case ISO_EFFECT_CARVE:
		carve(host, effect, completion);
		break;
	case ISO_EFFECT_ZERO:
	case ISO_EFFECT_PROVE:
		completion->bytes = HOST_LEASE_BYTES;
		break;
	case ISO_EFFECT_REMOVE:
		remove_of(host, effect);
		break;
	case ISO_EFFECT_INSPECT:
		if (effect->lease == ISO_NONE)
			inspect(host);
		break;
	default: /* nothing of it is looked at again */
		break;
	}
	host_step(host, &event);
}

static void answer_one(struct host *host)
{
	struct iso_effect effect = host->pending[host->head++ % PENDING_MAX];

	if (effect.kind == ISO_EFFECT_KILL)
		die(host, &effect);
	else if (effect.kind == ISO_EFFECT_REPLY)
		take_reply(host, &effect);
	else
		complete(host, &effect);
}

void host_answer(struct host *host)
{
	while (host_outstanding(host))
		answer_one(host);
}

/* Lets time go on to what the engine waits for. */
static void let_time_pass(struct host *host)
{
	struct iso_event event = {.kind = ISO_EVENT_TIMER};
	uint64_t at_ns = iso_next_deadline(host->engine);

	if (at_ns == UINT64_MAX)
		give_up("the engine waits for nothing");
	if (at_ns > host->now_ns)
		host->now_ns = at_ns;
	host_step(host, &event);
	host_answer(host);
}

void host_begin_observation(struct host *host, struct iso_event *ret_snapshot,
			    struct iso_event *ret_completion)
{
	/* After a gap: what is seen is compared with all that is believed. */
	struct iso_event changed = {.kind = ISO_EVENT_CHANGED, .changed.gap = true};
	struct iso_effect effect;

	host_answer(host);
	host->now_ns += 10 * host->policy.observe_ns; /* none of these comes too soon */
	for (uint32_t turns = 0; turns < TURNS_MAX; turns++) {
		host_step(host, &changed);
		while (host_outstanding(host)) {
			effect = host->pending[host->head % PENDING_MAX];
			if (effect.kind != ISO_EFFECT_OBSERVE) {
				answer_one(host);
				continue;
			}
			host->head++;
			host_answer(host);
			fill_snapshot(host, ret_snapshot);
			*ret_completion = (struct iso_event){
				.kind = ISO_EVENT_COMPLETION,
				.completion.operation = effect.operation,
			};
			return;
		}
		let_time_pass(host);
	}
	give_up("no observation was asked for");
}

/* --- loss and return -------------------------------------------------------------------------- */

void host_lose(struct host *host, uint32_t bridge, struct iso_event *ret_fault)
{
	uint32_t first = (bridge + 1) * BRIDGE_MEMDEVS - PORT_MEMDEVS;

	for (uint32_t i = first; i < first + PORT_MEMDEVS; i++) {
		remove_all(host, i);
		host->regions[i].targets[0].present = false;
		host->regions[i].committed = false;
	}
	*ret_fault = (struct iso_event){
		.kind = ISO_EVENT_FAULT,
		.fault = {.unit_kind = ISO_UNIT_PORT_ADDRESS,
			  .cause = ISO_CAUSE_SURPRISE_DOWN,
			  .address = host->ports[bridge * BRIDGE_ROOT_PORTS + BRIDGE_ROOT_PORTS - 1]
					     .address,
			  .record_ns = host->now_ns},
	};
}

static bool is_whole(const struct host *host)
{
	return host->n_attached == host->n_leases &&
	       iso_capacity_bytes(host->engine) == HOST_MEMDEVS * HOST_MEMDEV_BYTES;
}

static void until_whole(struct host *host)
{
	for (uint32_t turns = 0; turns < TURNS_MAX; turns++) {
		host_answer(host);
		if (is_whole(host))
			return;
		let_time_pass(host);
	}
	give_up("it does not become whole again");
}

void host_recover(struct host *host, uint32_t bridge)
{
	struct iso_event settled = {
		.kind = ISO_EVENT_SETTLED,
		.settled = host->ports[bridge * BRIDGE_ROOT_PORTS + BRIDGE_ROOT_PORTS - 1].address,
	};

	host_answer(host);
	host_step(host, &settled);
	until_whole(host);
}

/* --- making it -------------------------------------------------------------------------------- */

static void start_engine(struct host *host)
{
	struct iso_limits limits;
	size_t bytes;

	iso_limits_default(&limits);
	bytes = iso_engine_bytes(&limits);
	if (!host->memory)
		host->memory = aligned_alloc(64, bytes);
	if (!host->memory)
		give_up("out of memory");
	host->engine = iso_engine_init(host->memory, bytes, &limits, &host->policy);
	if (!host->engine)
		give_up("the engine does not take the daemon's limits");
	host->head = host->tail = 0;
	for (uint32_t i = 0; i < HOST_MEMDEVS; i++) {
		struct iso_event define = {
			.kind = ISO_EVENT_REGION_DEFINE,
			.define.definition = {.ways = 1, .serials = {host->memdevs[i].serial}},
		};

		snprintf(define.define.definition.name, ISO_NAME_BYTES, "r%03u", i);
		host_step(host, &define);
	}
}

struct host *host_new(uint32_t n_leases)
{
	struct host *host = calloc(1, sizeof(*host));

	if (host)
		host->pending = calloc(PENDING_MAX, sizeof(*host->pending));
	if (!host || !host->pending)
		give_up("out of memory");
	iso_policy_default(&host->policy);
	host->policy.flap_losses = 0; /* ports are lost more often here than any real one */
	host->now_ns = 1000000000;
	host->next_pid = FIRST_PID;
	host_topology(host);
	start_engine(host);
	until_whole(host);
	host->n_leases = n_leases;
	for (uint32_t i = 0; i < n_leases; i++) {
		acquire(host, i);
		host_answer(host);
	}
	until_whole(host);
	return host;
}

void host_free(struct host *host)
{
	if (!host)
		return;
	free(host->memory);
	free(host->pending);
	free(host);
}

/* --- a restart -------------------------------------------------------------------------------- */

static bool remember(const struct host *host, uint32_t l, struct iso_restore_lease *ret)
{
	struct iso_instance_view instance;
	struct iso_lease_view lease;

	if (!iso_lease_get(host->engine, l, &lease) ||
	    !iso_instance_get(host->engine, lease.instances[0], &instance))
		return false;
	*ret = (struct iso_restore_lease){
		.terms = *lease.terms,
		.sequence = lease.sequence,
		.state = lease.state,
		.has_process = true,
		.pid = lease.pid,
		.process_start = 1,
		.n_parts = 1,
		.parts = {{.region_kernel_id = instance.region_kernel_id,
			   .kernel_id = instance.kernel_id,
			   .bytes = instance.bytes}},
	};
	snprintf(ret->parts[0].region, ISO_NAME_BYTES, "r%03u", instance.region);
	return true;
}

void host_restart(struct host *host, struct iso_event *ret_snapshot,
		  struct iso_event *ret_completion)
{
	struct iso_restore_lease *leases = calloc(HOST_LEASES, sizeof(*leases));
	uint32_t n = 0;

	if (!leases)
		give_up("out of memory");
	for (uint32_t l = 0; l < iso_lease_count(host->engine) && n < HOST_LEASES; l++)
		n += remember(host, l, &leases[n]);
	start_engine(host);
	for (uint32_t i = 0; i < n; i++) {
		struct iso_event restore = {
			.kind = ISO_EVENT_RESTORE_LEASE,
			.restore_lease = &leases[i],
		};

		host_step(host, &restore);
	}
	free(leases);
	/* The first step has asked for it. */
	while (host_outstanding(host)) {
		struct iso_effect effect = host->pending[host->head++ % PENDING_MAX];

		if (effect.kind != ISO_EFFECT_OBSERVE)
			give_up("an effect before the first observation");
		*ret_completion = (struct iso_event){
			.kind = ISO_EVENT_COMPLETION,
			.completion.operation = effect.operation,
		};
	}
	fill_snapshot(host, ret_snapshot);
}
