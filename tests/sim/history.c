/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random histories: launchers come and go, ports fail, memdevs leave and come
 * back, operations fail, are late or never heard of again, the daemon is
 * killed. The world and iso_check() watch every step. And liveness: once
 * nothing fails any more, every domain becomes healthy or says what it waits
 * for, and every VM that wants to run does.
 */
#include <stdio.h>
#include <string.h>

#include "sim.h"

enum { RECONCILES = 8 };

struct history {
	struct world *w;
	struct launchers tenants;
	uint64_t seed, seed_of_run;
	uint32_t root_ports[8], n_root_ports;
	bool repaired;
	bool torn; /* the store's last writes may be lost with the daemon */
	uint32_t rounds_full; /* for how long the store's disk stays full */
	uint64_t reconciles[RECONCILES];
	uint32_t n_reconciles, life_asked; /* of the daemon they were asked of */
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
	w->late_ns = 2 * WORLD_SECOND;
	w->limits.bad_ranges = 3 + pick(h, 10);
	w->policy.reads_poison = pick(h, 3) > 0;
	w->policy.poison_list_ns = pick(h, 2) * 3 * WORLD_SECOND;
	w->uevent_ns = pick(h, 4) ? WORLD_MS : 150 * WORLD_MS;
	w->unbind_ns = pick(h, 4) ? 30 * WORLD_MS : 0;
	w->policy.arm_ports = pick(h, 2);
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
	for (i = 0; i < w->n_windows && pick(h, 4) == 0; i++)
		w->windows[i].arithmetic = ISO_ARITHMETIC_XOR;
	for (i = 0; i < h->n_root_ports; i++)
		if (pick(h, 3))
			world_offer_isolation(w, h->root_ports[i], pick(h, 3));
	world_define_as(w, &both);
	world_define_one(w, "a0", 0x10);
	world_define_one(w, "b0", 0x20);
	world_define(w, "wide", 2, (uint64_t[]){0x11, 0x21});
	world_define_one(w, "s0", 0x30);
	world_define_one(w, "s1", 0x31);
	world_define_one(w, "s2", 0x32);
	world_define_one(w, "c0", 0x40);
}

static void terms(void *userdata, const struct launcher *launcher, struct iso_acquire *ret)
{
	struct history *h = userdata;
	uint32_t p;

	ret->restart = pick(h, 4) > 0;
	ret->poison = pick(h, 6) ? ISO_POISON_DEFAULT : ISO_POISON_NOTIFY;
	ret->n_parts = launcher->region[0] ? 1 : 1 + pick(h, 3);
	for (p = 0; p < ret->n_parts; p++)
		ret->parts[p].bytes = WORLD_PART / (1 + pick(h, 2));
	if (!h->repaired) {
		ret->wait = pick(h, 5) > 0;
		ret->keep_ns = pick(h, 4) ? 0 : WORLD_SECOND / 2;
	}
}

static void spoil_operation(struct history *h)
{
	static const uint32_t kinds[] = {
		ISO_EFFECT_INTENT,          ISO_EFFECT_OBSERVE,         ISO_EFFECT_CREATE_REGION,
		ISO_EFFECT_CLEAR_REGION,    ISO_EFFECT_CARVE,           ISO_EFFECT_ZERO,
		ISO_EFFECT_PROVE,           ISO_EFFECT_HAND_OVER,       ISO_EFFECT_RETRACT,
		ISO_EFFECT_VERIFY,          ISO_EFFECT_REMOVE,          ISO_EFFECT_REFILL_REGION,
		ISO_EFFECT_INSPECT,         ISO_EFFECT_REVOKE,          ISO_EFFECT_ARM_PORT,
		ISO_EFFECT_CLEAR_ISOLATION, ISO_EFFECT_FORCE_LINK_DOWN,
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
	struct launcher *launcher = &h->tenants.launchers[pick(h, h->tenants.n)];

	if (!launcher_runs(&h->tenants, launcher))
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

	if (h->life_asked != h->w->life)
		h->n_reconciles = 0;
	h->life_asked = h->w->life;
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

	for (i = 0; h->life_asked == h->w->life && i < h->n_reconciles && i < RECONCILES; i++)
		if (world_reply(h->w, h->reconciles[i]) < 0)
			world_break(h->w, "a reconcile was never answered");
}

static void operate(struct history *h)
{
	struct iso_event gap = {.kind = ISO_EVENT_CHANGED, .changed.gap = true};

	switch (pick(h, 7)) {
	case 0:
		world_named(h->w, ISO_EVENT_REGION_DESTROY, "s2");
		break;
	case 1:
		world_define_one(h->w, "s2", 0x32);
		break;
	case 2:
	case 3:
		reconcile(h);
		break;
	case 4:
		world_step(h->w, &gap);
		break;
	default:
		world_named(h->w, ISO_EVENT_RELEASE,
			    h->tenants.launchers[pick(h, h->tenants.n)].name);
	}
}

/* What speaks of an earlier life of something changes nothing. */
static void tell_stale(struct history *h)
{
	struct iso_event event = {.kind = ISO_EVENT_VM_EXITED};
	struct iso_lease_view before, after;
	uint32_t l, life = h->w->life;

	for (l = 0; l < iso_lease_count(h->w->engine) && h->w->life == life; l++) {
		if (!iso_lease_get(h->w->engine, l, &before) || before.state != ISO_LEASE_ATTACHED)
			continue;
		event.exited.lease = l;
		event.exited.lease_epoch = before.epoch - 1;
		world_step(h->w, &event);
		if (h->w->life == life && iso_lease_get(h->w->engine, l, &after) &&
		    after.state != ISO_LEASE_ATTACHED && after.state != ISO_LEASE_KILLED)
			world_break(h->w, "the end of an earlier VM was taken for that of %s",
				    after.terms->name);
	}
}

/* The disk fills, for a moment or for as long as everything else may take, and somebody makes room. */
static void fill_disk(struct history *h)
{
	h->rounds_full = 1 + pick(h, pick(h, 4) ? 10 : 80);
	world_disk(h->w, WORLD_DISK_FULL);
}

static void let_disk_heal(struct history *h)
{
	if (h->rounds_full && !--h->rounds_full)
		world_disk(h->w, h->torn ? WORLD_DISK_TORN : WORLD_DISK_GOOD);
}

/* Anywhere, also in memory that nobody has, or twice in one place. */
static void poison(struct history *h)
{
	struct world *w = h->w;
	uint32_t memdev = pick(h, w->n_memdevs);
	uint64_t dpa = (uint64_t)pick(h, w->memdevs[memdev].bytes / 64) * 64;

	if (w->n_lines && pick(h, 4) == 0) {
		memdev = w->lines[pick(h, w->n_lines)].memdev;
		dpa = w->lines[pick(h, w->n_lines)].dpa % w->memdevs[memdev].bytes;
	}
	world_poison(w, memdev, dpa, pick(h, WORLD_TELLINGS));
}

static void clear_poison(struct history *h)
{
	if (h->w->n_lines)
		world_clear_poison(h->w, &h->w->lines[pick(h, h->w->n_lines)]);
	if (pick(h, 2))
		world_read_lists(h->w);
}

/* An operator changes his mind, or something about the host is such that no port is to be armed. */
static void ask_to_arm(struct history *h)
{
	struct iso_event event = {.kind = ISO_EVENT_ARM, .arm.range = ISO_NONE};
	uint32_t port = h->root_ports[pick(h, h->n_root_ports)];

	event.arm.request = h->w->request++;
	event.arm.wish = pick(h, ISO_ARM_WISHES);
	strcpy(event.arm.port, h->w->ports[port].path);
	h->w->isolation[port].never_ends = pick(h, 4) == 0;
	h->w->isolation[port].obstacles = pick(h, 2) ? ISO_OBSTACLE_PANIC_ON_OOPS : 0;
	world_step(h->w, &event);
}

/* A rule of policy fires, whatever for. */
static void fire(struct history *h)
{
	static const enum iso_action actions[] = {
		ISO_ACTION_NOTIFY,     ISO_ACTION_FENCE,  ISO_ACTION_KILL,   ISO_ACTION_KILL,
		ISO_ACTION_QUARANTINE, ISO_ACTION_RETIRE, ISO_ACTION_ISOLATE};
	enum iso_action action = actions[pick(h, sizeof(actions) / sizeof(actions[0]))];
	uint32_t memdev = pick(h, h->w->n_memdevs);

	switch (pick(h, 3)) {
	case 0:
		world_policy(h->w, action, h->tenants.launchers[pick(h, h->tenants.n)].name,
			     ISO_NONE, ISO_NONE);
		break;
	case 1:
		world_policy(h->w, action, NULL, memdev, ISO_NONE);
		break;
	default:
		world_policy(h->w, action, NULL, ISO_NONE, h->root_ports[pick(h, h->n_root_ports)]);
	}
}

/* The host's reports, policy, registers; or somebody changes his mind. */
static void disturb_otherwise(struct history *h, uint32_t what, uint32_t memdev)
{
	struct world *w = h->w;
	uint32_t tenant;

	switch (what) {
	case 19:
	case 20:
		world_isolate(w, h->root_ports[pick(h, h->n_root_ports)]);
		break;
	case 21:
		ask_to_arm(h);
		break;
	case 22:
		world_health(w, pick(h, 2));
		break;
	case 23:
		fire(h);
		break;
	case 24:
		world_recover_memdev(w, memdev);
		break;
	case 25:
	case 26:
		poison(h);
		break;
	case 27:
		clear_poison(h);
		break;
	default:
		w->n_faults--;
		tenant = pick(h, h->tenants.n);
		launcher_want(&h->tenants, &h->tenants.launchers[tenant],
			      !h->tenants.launchers[tenant].wants);
	}
}

static void disturb(struct history *h)
{
	struct world *w = h->w;
	uint32_t memdev = pick(h, w->n_memdevs), what;

	what = pick(h, 31);
	w->n_faults++;
	switch (what) {
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
		world_restart(w);
		break;
	case 11: /* dies right after the kills, before anything of them is stored */
		w->amnesia = true;
		world_surprise_down(w, h->root_ports[pick(h, h->n_root_ports)]);
		world_restart(w);
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
	case 16:
		tell_stale(h);
		break;
	case 17:
		if (h->torn && !h->rounds_full)
			world_disk(w, WORLD_DISK_TORN);
		break;
	case 18:
		if (pick(h, 2) && !h->rounds_full)
			fill_disk(h);
		break;
	default:
		disturb_otherwise(h, what, memdev);
	}
}

/* The list of a memdev that is still being reset is read by nobody. */
static void wait_for_memdevs(struct history *h)
{
	struct world *w = h->w;
	uint32_t i, m;

	for (i = 0; i < 50 && !w->broken[0]; i++) {
		for (m = 0; m < w->n_memdevs && kernel_memdev_works(w, m);)
			m++;
		if (m == w->n_memdevs)
			return;
		launchers_step(&h->tenants);
		world_run(w, WORLD_SECOND / 5);
	}
}

/* Everything is repaired by whoever has to; from here on nothing fails. */
static void repair(struct history *h)
{
	struct world *w = h->w;
	uint32_t i;

	w->n_plans = 0;
	h->rounds_full = 0;
	world_disk(w, WORLD_DISK_GOOD);
	w->no_uevents = false;
	h->repaired = true;
	w->recovery_fails = false;
	world_health(w, true);
	world_define_one(w, "s2", 0x32);
	for (i = 0; i < w->n_processes; i++) {
		w->processes[i].stubborn = false;
		w->processes[i].pins = 0;
		if (!w->processes[i].is_vm || w->processes[i].kills)
			world_exit(w, i);
	}
	for (i = 0; i < w->n_ports; i++)
		w->isolation[i].never_ends = false;
	for (i = 0; i < w->n_memdevs; i++)
		kernel_plug(w, i);
	world_changed(w);
	for (i = 0; i < 900 && !w->broken[0]; i++) { /* also past what was given up at last */
		launchers_step(&h->tenants);
		world_run(w, WORLD_SECOND / 5);
	}
	for (i = 0; i < h->n_root_ports; i++)
		world_port_request(w, ISO_EVENT_RECOVER, h->root_ports[i]);
	for (i = 0; i < w->n_memdevs; i++)
		world_recover_memdev(w, i);
	wait_for_memdevs(h);
	world_clear_all_poison(w);
}

static bool waits_for_tenants(const struct world *w, uint32_t port)
{
	uint32_t p = iso_port_find(w->engine, w->ports[port].path);

	return iso_domain_state(w->engine, p) == ISO_DOMAIN_WAITING &&
	       strstr(iso_domain_reason(w->engine, p), "waits for tenants above it");
}

static bool domains_well(struct history *h)
{
	return liveness_healthy(h->w, h->root_ports, h->n_root_ports);
}

static bool tenants_well(struct history *h)
{
	return launchers_well(&h->tenants);
}

static bool at_rest(struct history *h)
{
	return domains_well(h) && tenants_well(h) && liveness_settled(h->w);
}

static bool vacant(struct history *h)
{
	return domains_well(h) && liveness_settled(h->w);
}

/* Tenants in the way are the one thing that only people can change. */
static bool all_well(struct history *h)
{
	uint32_t i;

	for (i = 0; i < h->n_root_ports; i++)
		if (waits_for_tenants(h->w, h->root_ports[i]))
			return true;
	return domains_well(h) && tenants_well(h);
}

static void wait_until(struct history *h, bool (*well)(struct history *h), const char *what)
{
	uint32_t i;

	for (i = 0; i < 6000 && !h->w->broken[0] && !well(h); i++) {
		launchers_step(&h->tenants);
		world_run(h->w, WORLD_SECOND / 5);
		if (i % 300 == 299) /* where the daemon does not, somebody does once a minute */
			world_read_lists(h->w);
	}
	if (!h->w->broken[0] && !well(h))
		world_break(h->w, "%s", what);
}

static void play(struct history *h)
{
	uint32_t i, rounds = 20 + pick(h, 60);

	h->w->no_uevents = pick(h, 4) == 0;
	for (i = 0; i < rounds && !h->w->broken[0]; i++) {
		let_disk_heal(h);
		disturb(h);
		launchers_step(&h->tenants);
		world_run(h->w, pick(h, 300) * WORLD_MS);
	}
}

static void come_to_rest(struct history *h)
{
	repair(h);
	wait_until(h, all_well, "does not come to rest");
	liveness_check_victims(h->w);
	check_reconciles(h);
	launchers_want(&h->tenants, false);
	wait_until(h, vacant, "does not become healthy without tenants");
	/* What is known by its place in a region only can be cleared once that region is there. */
	world_clear_all_poison(h->w);
	world_run(h->w, 10 * WORLD_SECOND); /* the lists are read */
	wait_until(h, vacant, "does not stay healthy without tenants");
	replay_check(h->w);
	launchers_want(&h->tenants, true);
	wait_until(h, at_rest, "does not run what should run");
	world_check_rest(h->w);
	replay_check(h->w);
}

bool history_run(uint64_t seed, bool traced, struct sim_totals *totals)
{
	static const char *const regions[] = {"a0", "b0", "wide", "s0", "s1", "both", "c0", ""};
	struct history h = {.seed = seed,
			    .seed_of_run = seed,
			    .w = world_new(),
			    .torn = totals->torn || seed % 4 == 3};
	char name[16];
	bool well;
	uint32_t i;

	h.w->silent = !traced;
	h.tenants = (struct launchers){.w = h.w, .terms = terms, .userdata = &h};
	vary(&h);
	build(&h);
	for (i = 0; i < LAUNCHERS_MAX; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		launcher_add(&h.tenants, name, regions[i])->wants = pick(&h, 2);
	}
	play(&h);
	come_to_rest(&h);
	well = !h.w->broken[0];
	sim_count(totals, h.w);
	if (traced)
		fputs(h.w->trace, stdout);
	if (!well)
		liveness_tell(h.w, h.root_ports, h.n_root_ports);
	if (!well)
		fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, h.w->broken);
	world_close(h.w);
	return well;
}
