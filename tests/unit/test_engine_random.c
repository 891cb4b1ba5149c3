/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random histories: launchers come and go, ports fail, memdevs leave and come
 * back, operations fail, are late or never heard of again, the daemon is
 * killed. The world and iso_check() watch every step. And liveness: once
 * nothing fails any more, every domain becomes healthy or says what it waits
 * for, and every VM that wants to run does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

enum { LAUNCHERS = 8, SEEDS = 300, RECONCILES = 8 };

enum launcher_state { IDLE, ASKING, RUNNING };

struct launcher {
	enum launcher_state state;
	char name[ISO_NAME_BYTES];
	const char *region;
	uint64_t request;
	uint32_t process;
	bool wants; /* to run when all is over */
};

struct history {
	struct world *w;
	struct launcher launchers[LAUNCHERS];
	uint64_t seed, seed_of_run;
	uint32_t root_ports[8], n_root_ports;
	bool repaired;
	uint64_t reconciles[RECONCILES];
	uint32_t n_reconciles;
};

static uint32_t pick(struct history *h, uint32_t n)
{
	h->seed = h->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(h->seed >> 33) % n;
}

/* Kernels and policies differ. */
static void vary(struct history *h)
{
	struct world *w = h->w;

	w->random = h->seed_of_run % 2 ? h->seed_of_run + 1 : 0;
	w->objects_vanish = pick(h, 3) == 0;
	w->policy.settle_ns = WORLD_SECOND / 2;
	w->policy.refill = pick(h, 4) > 0;
	w->policy.evict = w->evicts = pick(h, 4) == 0;
	w->policy.flap_losses = pick(h, 3) ? 0 : 2;
	w->policy.flap_window_ns = 5 * WORLD_SECOND;
	w->policy.inspect_ns = pick(h, 2) * WORLD_SECOND;
	world_start_engine(w);
}

/*
 * Two bridges with two ports each and a region over both; one over the two
 * ports of the first, whose memdevs carry others too; a switch; a single port.
 */
static void build(struct history *h)
{
	struct world *w = h->w;
	struct iso_region_definition both = {
		.name = "both", .ways = 2, .bytes = 2 * WORLD_UNIT, .serials = {0x10, 0x11}};
	uint32_t bridges[2], bridge, root, upstream, i;

	bridges[0] = world_simple_bridge(w, 2, 0x10);
	for (i = 0; i < 2; i++)
		w->memdevs[i].bytes = w->seen_memdevs[i].volatile_bytes = 2 * WORLD_UNIT;
	bridges[1] = world_simple_bridge(w, 2, 0x20);
	world_window(w, 16, 2, bridges);
	bridge = world_bridge(w);
	world_window(w, 16, 1, &bridge);
	root = world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE);
	world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE); /* else it decodes for one region only */
	upstream = world_port(w, ISO_PORT_SWITCH_UPSTREAM, bridge, root);
	for (i = 0; i < 3; i++)
		world_memdev(w, world_port(w, ISO_PORT_SWITCH_DOWNSTREAM, bridge, upstream),
			     0x30 + i);
	world_simple_bridge(w, 1, 0x40);
	for (i = 0; i < w->n_ports; i++)
		if (w->ports[i].kind == ISO_PORT_ROOT)
			h->root_ports[h->n_root_ports++] = i;
	world_define_as(w, &both);
	world_define_one(w, "a0", 0x10);
	world_define_one(w, "b0", 0x20);
	world_define(w, "wide", 2, (uint64_t[]){0x11, 0x21});
	world_define_one(w, "s0", 0x30);
	world_define_one(w, "s1", 0x31);
	world_define_one(w, "s2", 0x32);
	world_define_one(w, "c0", 0x40);
}

static void ask(struct history *h, struct launcher *launcher)
{
	struct iso_acquire terms = {.uid = 1, .restart = pick(h, 4) > 0, .wait = true};
	uint32_t p;

	if (h->w->request > WORLD_REPLIES - 100)
		return; /* it was a long life */
	strcpy(terms.name, launcher->name);
	terms.n_parts = launcher->region[0] ? 1 : 1 + pick(h, 3);
	for (p = 0; p < terms.n_parts; p++) {
		strcpy(terms.parts[p].region, launcher->region);
		terms.parts[p].bytes = WORLD_PART / (1 + pick(h, 2));
	}
	if (!h->repaired) {
		terms.wait = pick(h, 5) > 0;
		terms.keep_ns = pick(h, 4) ? 0 : WORLD_SECOND / 2;
	}
	launcher->request = world_acquire_terms(h->w, &terms);
	launcher->state = ASKING;
}

/* What daxmgr-qemu does: asks, attaches when granted, asks again after a kill. */
static void launch(struct history *h)
{
	uint32_t i;

	for (i = 0; i < LAUNCHERS; i++) {
		struct launcher *launcher = &h->launchers[i];
		int reply = launcher->state == ASKING ? world_reply(h->w, launcher->request) : -1;

		if (launcher->state == RUNNING && !h->w->processes[launcher->process].running)
			launcher->state = IDLE;
		if (launcher->state == IDLE && launcher->wants) {
			ask(h, launcher);
		} else if (launcher->state == ASKING && reply == ISO_REPLY_DONE) {
			launcher->process = world_attach(h->w, launcher->name);
			launcher->state = launcher->process == ISO_NONE ? IDLE : RUNNING;
		} else if (launcher->state == ASKING && reply != ISO_REPLY_WAITING) {
			launcher->state = IDLE;
		}
	}
}

static void stop_or_start(struct history *h, struct launcher *launcher)
{
	launcher->wants = !launcher->wants;
	if (launcher->wants)
		return;
	if (launcher->state == ASKING)
		world_named(h->w, ISO_EVENT_WITHDRAW, launcher->name);
	else if (launcher->state == RUNNING)
		world_exit(h->w, launcher->process);
	launcher->state = IDLE;
}

static void spoil_operation(struct history *h)
{
	static const uint32_t kinds[] = {
		ISO_EFFECT_INTENT,       ISO_EFFECT_OBSERVE,   ISO_EFFECT_CREATE_REGION,
		ISO_EFFECT_CLEAR_REGION, ISO_EFFECT_CARVE,     ISO_EFFECT_ZERO,
		ISO_EFFECT_PROVE,        ISO_EFFECT_HAND_OVER, ISO_EFFECT_RETRACT,
		ISO_EFFECT_VERIFY,       ISO_EFFECT_REMOVE,    ISO_EFFECT_REFILL_REGION,
		ISO_EFFECT_INSPECT,      ISO_EFFECT_REVOKE,
	};
	struct world_plan *plan;
	uint32_t i, free_plans = 0;

	for (i = 0; i < WORLD_PLANS; i++)
		free_plans += i >= h->w->n_plans || !h->w->plans[i].times;
	if (!free_plans)
		return;
	plan = world_plan(h->w, kinds[pick(h, sizeof(kinds) / sizeof(kinds[0]))]);
	switch (pick(h, 4)) {
	case 0:
		plan->lost = true;
		break;
	case 1:
		plan->late_ns = 50 * WORLD_SECOND; /* after the engine has given it up */
		break;
	default:
		plan->error = -5;
		plan->leftover = plan->kind == ISO_EFFECT_CREATE_REGION && pick(h, 2);
	}
}

/* A process that will not die, or one that maps what is not its own. */
static void misbehave(struct history *h)
{
	struct launcher *launcher = &h->launchers[pick(h, LAUNCHERS)];

	if (launcher->state != RUNNING || !h->w->processes[launcher->process].running)
		return;
	switch (pick(h, 4)) {
	case 0:
		h->w->processes[launcher->process].pins ^= ISO_PIN_DIRECT_IO;
		break;
	case 1:
		h->w->processes[launcher->process].pins = pick(h, 2) ? ISO_PIN_VFIO : 0;
		__attribute__((fallthrough));
	case 2:
		h->w->processes[launcher->process].stubborn = true;
		break;
	default:
		if (world_has_lease(h->w, launcher->name))
			h->w->processes[world_stranger(h->w, launcher->name)].pins =
				pick(h, 2) ? ISO_PIN_RDMA : 0;
	}
}

static void reconcile(struct history *h)
{
	struct iso_event event = {.kind = ISO_EVENT_RECONCILE};

	event.reconcile.dry_run = pick(h, 2);
	h->reconciles[h->n_reconciles % RECONCILES] = h->w->request;
	h->n_reconciles++;
	event.reconcile.request = h->w->request++;
	world_step(h->w, &event);
}

/* Each is answered in the end, unless the daemon it was asked of has gone. */
static void check_reconciles(struct history *h)
{
	uint32_t i;

	for (i = 0; i < h->n_reconciles && i < RECONCILES; i++)
		if (world_reply(h->w, h->reconciles[i]) < 0)
			world_break(h->w, "a reconcile was never answered");
}

static void operate(struct history *h)
{
	struct iso_event gap = {.kind = ISO_EVENT_CHANGED, .changed.gap = true};

	switch (pick(h, 7)) {
	case 4:
	case 5:
		reconcile(h);
		break;
	case 6:
		world_step(h->w, &gap);
		break;
	case 0:
		world_named(h->w, ISO_EVENT_REGION_DESTROY, "s2");
		break;
	case 1:
		world_define_one(h->w, "s2", 0x32);
		break;
	default:
		world_named(h->w, ISO_EVENT_RELEASE, h->launchers[pick(h, LAUNCHERS)].name);
	}
}

static void restart(struct history *h)
{
	uint32_t i;

	world_restart(h->w);
	h->n_reconciles = 0;
	for (i = 0; i < LAUNCHERS; i++) /* connections are gone, launchers ask again */
		if (h->launchers[i].state == ASKING)
			h->launchers[i].state = IDLE;
}

static void disturb(struct history *h)
{
	struct world *w = h->w;
	uint32_t memdev = pick(h, w->n_memdevs);

	switch (pick(h, 19)) {
	case 0:
		world_surprise_down(w, h->root_ports[pick(h, h->n_root_ports)]);
		break;
	case 1:
		world_surprise_down(w, w->seen_memdevs[memdev].port);
		break;
	case 2:
		world_unplug(w, memdev);
		break;
	case 3: /* nobody tells */
		kernel_unplug(w, memdev);
		break;
	case 4:
	case 5:
	case 6:
		kernel_plug(w, memdev);
		world_changed(w);
		break;
	case 7:
		world_port_request(w, ISO_EVENT_ISOLATE, w->seen_memdevs[memdev].port);
		break;
	case 8:
	case 9:
		world_port_request(w, ISO_EVENT_RECOVER, w->seen_memdevs[memdev].port);
		break;
	case 10:
		restart(h);
		break;
	case 11: /* dies right after the kills, before anything of them is stored */
		w->amnesia = true;
		world_surprise_down(w, h->root_ports[pick(h, h->n_root_ports)]);
		restart(h);
		break;
	case 12:
		spoil_operation(h);
		break;
	case 13:
		misbehave(h);
		break;
	case 14:
		operate(h);
		break;
	case 15:
		w->recovery_fails = !w->recovery_fails;
		break;
	default:
		stop_or_start(h, &h->launchers[pick(h, LAUNCHERS)]);
	}
}

/* Everything is repaired by whoever has to; from here on nothing fails. */
static void repair(struct history *h)
{
	struct world *w = h->w;
	uint32_t i;

	w->n_plans = 0;
	w->no_uevents = false;
	h->repaired = true;
	w->recovery_fails = false;
	world_define_one(w, "s2", 0x32);
	for (i = 0; i < w->n_processes; i++) {
		w->processes[i].stubborn = false;
		w->processes[i].pins = 0;
		if (!w->processes[i].is_vm || w->processes[i].kills)
			world_exit(w, i);
	}
	for (i = 0; i < w->n_memdevs; i++)
		kernel_plug(w, i);
	world_changed(w);
	for (i = 0; i < 900 && !w->broken[0]; i++) { /* also past what was given up at last */
		launch(h);
		world_run(w, WORLD_SECOND / 5);
	}
	for (i = 0; i < h->n_root_ports; i++)
		world_port_request(w, ISO_EVENT_RECOVER, h->root_ports[i]);
}

static bool waits_for_tenants(const struct world *w, uint32_t port)
{
	uint32_t p = iso_port_find(w->engine, w->ports[port].path);

	return iso_domain_state(w->engine, p) == ISO_DOMAIN_WAITING &&
	       strstr(iso_domain_reason(w->engine, p), "waits for tenants above it");
}

static bool domains_well(struct history *h)
{
	uint32_t i;

	for (i = 0; i < h->n_root_ports; i++)
		if (world_domain(h->w, h->root_ports[i]) != ISO_DOMAIN_HEALTHY)
			return false;
	return true;
}

static bool launchers_well(struct history *h)
{
	uint32_t i;

	for (i = 0; i < LAUNCHERS; i++)
		if (h->launchers[i].wants && h->launchers[i].state != RUNNING)
			return false;
	return true;
}

/* Tenants in the way are the one thing that only people can change. */
static bool all_well(struct history *h)
{
	uint32_t i;

	for (i = 0; i < h->n_root_ports; i++)
		if (waits_for_tenants(h->w, h->root_ports[i]))
			return true;
	return domains_well(h) && launchers_well(h);
}

static void wait_until(struct history *h, bool (*well)(struct history *h), const char *what)
{
	uint32_t i;

	for (i = 0; i < 6000 && !h->w->broken[0] && !well(h); i++) {
		launch(h);
		world_run(h->w, WORLD_SECOND / 5);
	}
	if (!h->w->broken[0] && !well(h))
		world_break(h->w, "seed %llu: %s", (unsigned long long)h->seed_of_run, what);
}

static void everybody(struct history *h, bool wants)
{
	uint32_t i;

	for (i = 0; i < LAUNCHERS; i++)
		if (h->launchers[i].wants != wants)
			stop_or_start(h, &h->launchers[i]);
}

static void tell(struct history *h)
{
	struct world *w = h->w;
	struct iso_instance_view instance;
	struct iso_region_view region;
	struct iso_lease_view lease;
	uint32_t i;

	for (i = 0; i < h->n_root_ports; i++)
		fprintf(stderr, "%s: %s %s\n", w->ports[h->root_ports[i]].path,
			iso_domain_state_name(world_domain(w, h->root_ports[i])),
			iso_domain_reason(
				w->engine,
				iso_port_find(w->engine, w->ports[h->root_ports[i]].path)));
	for (i = 0; i < iso_region_count(w->engine); i++)
		if (iso_region_get(w->engine, i, &region))
			fprintf(stderr, "%s: %s %s %s, %#llx+%#llx\n", region.definition->name,
				iso_region_state_name(region.state),
				iso_region_wait_name(region.wait), region.reason,
				(unsigned long long)region.range.start.v,
				(unsigned long long)region.range.bytes);
	for (i = 0; i < iso_lease_count(w->engine); i++)
		if (iso_lease_get(w->engine, i, &lease))
			fprintf(stderr, "%s: %s %s\n", lease.terms->name,
				iso_lease_state_name(lease.state), lease.waits_for);
	for (i = 0; i < iso_instance_count(w->engine); i++)
		if (iso_instance_get(w->engine, i, &instance))
			fprintf(stderr, "instance %u: %s region %u lease %d\n", i,
				iso_instance_state_name(instance.state), instance.region,
				(int)instance.lease);
}

/* A process that lives must not sit on memory that is gone. */
static void check_victims(struct history *h)
{
	struct world *w = h->w;
	uint32_t i, j;

	for (i = 0; i < w->n_processes; i++)
		for (j = 0; w->processes[i].running && j < w->processes[i].n_maps; j++)
			if (!w->dax[w->processes[i].maps[j]].exists)
				world_break(w, "%s lives on memory that is gone",
					    w->processes[i].name);
}

static void run_seed(uint64_t seed)
{
	static const char *const regions[] = {"a0", "b0", "wide", "s0", "s1", "both", "c0", ""};
	struct history h = {.seed = seed, .seed_of_run = seed, .w = world_new()};
	uint32_t i, rounds;

	vary(&h);
	build(&h);
	for (i = 0; i < LAUNCHERS; i++) {
		snprintf(h.launchers[i].name, ISO_NAME_BYTES, "vm%u", i);
		h.launchers[i].region = regions[i];
		h.launchers[i].wants = pick(&h, 2);
	}
	rounds = 20 + pick(&h, 60);
	h.w->no_uevents = pick(&h, 4) == 0;
	for (i = 0; i < rounds && !h.w->broken[0]; i++) {
		disturb(&h);
		launch(&h);
		world_run(h.w, pick(&h, 300) * WORLD_MS);
	}
	repair(&h);
	wait_until(&h, all_well, "does not come to rest");
	check_victims(&h);
	check_reconciles(&h);
	everybody(&h, false);
	wait_until(&h, domains_well, "does not become healthy without tenants");
	everybody(&h, true);
	wait_until(&h, launchers_well, "does not run what should run");
	if (h.w->broken[0]) {
		fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
		tell(&h);
	}
	world_free(h.w);
}

Test(engine_random, histories_come_to_rest)
{
	const char *one = getenv("WORLD_SEED"), *until = getenv("WORLD_SEEDS");
	uint64_t seed, last = until ? strtoull(until, NULL, 0) : SEEDS;

	if (one) {
		run_seed(strtoull(one, NULL, 0));
		return;
	}
	for (seed = 1; seed <= last; seed++)
		run_seed(seed);
}
