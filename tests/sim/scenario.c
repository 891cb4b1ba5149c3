/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scenarios of the sweep. Most are on one host: three regions below one
 * bridge share its decoders, the third of them is interleaved with a port of
 * another bridge and lies above the others. Some are there for one thing that
 * histories come to too seldom; these are played once and not swept.
 */
#include <errno.h>
#include <string.h>

#include "sim.h"

void scenario_find_root_ports(struct scenario *s)
{
	uint32_t i;

	for (i = 0; i < s->w->n_ports; i++)
		if (s->w->ports[i].kind == ISO_PORT_ROOT)
			s->root_ports[s->n_root_ports++] = i;
}

static void build(struct scenario *s)
{
	struct world *w = s->w;
	uint32_t bridges[2];

	bridges[0] = world_simple_bridge(w, 3, 0x10);
	bridges[1] = world_simple_bridge(w, 2, 0x20);
	world_window(w, 16, 2, bridges);
	scenario_find_root_ports(s);
	world_define_one(w, "low", 0x10);
	world_define_one(w, "high", 0x11);
	world_define(w, "wide", 2, (uint64_t[]){0x12, 0x20});
	launcher_add(&s->tenants, "one", "low");
	launcher_add(&s->tenants, "two", "high");
	launcher_add(&s->tenants, "three", "wide");
	launcher_add(&s->tenants, "four", "");
	launchers_want(&s->tenants, true);
}

/* Tenants, the loss of a port of the highest region, its recovery; then one comes and one goes. */
static void play_loss(struct scenario *s)
{
	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	world_surprise_down(s->w, s->root_ports[3]);
	launchers_run(&s->tenants, 5 * WORLD_SECOND);
	launcher_want(&s->tenants, &s->tenants.launchers[0], false);
	launchers_run(&s->tenants, WORLD_SECOND);
	launcher_want(&s->tenants, &s->tenants.launchers[0], true);
	launchers_run(&s->tenants, WORLD_SECOND);
}

/* A device leaves and comes back, the daemon is restarted while all that is being dealt with. */
static void play_restart(struct scenario *s)
{
	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	world_unplug(s->w, 3);
	world_run(s->w, 30 * WORLD_MS);
	world_restart(s->w);
	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	kernel_plug(s->w, 3);
	world_changed(s->w);
	launchers_run(&s->tenants, 5 * WORLD_SECOND);
}

/* The lowest region is lost below tenants; policy lets those above make way. */
static void play_evict(struct scenario *s)
{
	s->w->evicts = true;
	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	world_surprise_down(s->w, s->root_ports[0]);
	launchers_run(&s->tenants, 8 * WORLD_SECOND);
}

static void half_of_the_region(void *userdata, const struct launcher *launcher,
			       struct iso_acquire *ret)
{
	(void)userdata;
	if (!strcmp(launcher->region, "wide"))
		ret->parts[0].bytes = WORLD_UNIT;
}

/* More want a region than it holds when it has been made again. */
static void play_crowd(struct scenario *s)
{
	static const char *const names[] = {"five", "six", "seven"};
	uint32_t i, n = s->tenants.n;

	s->tenants.terms = half_of_the_region;
	for (i = 0; i < 3; i++)
		launcher_add(&s->tenants, names[i], "wide")->wants = true;
	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	world_surprise_down(s->w, s->root_ports[3]);
	launchers_run(&s->tenants, 8 * WORLD_SECOND);
	for (i = n; i < s->tenants.n; i++)
		launcher_want(&s->tenants, &s->tenants.launchers[i], false);
	s->tenants.n = n;
	s->tenants.terms = NULL;
}

static void build_shared(struct scenario *s)
{
	world_simple_bridge(s->w, 3, 0x10);
	s->w->memdevs[2].bytes = s->w->seen_memdevs[2].volatile_bytes = 2 * WORLD_UNIT;
	scenario_find_root_ports(s);
	world_define_one(s->w, "low", 0x10);
	world_define_one(s->w, "high", 0x11);
	launcher_add(&s->tenants, "one", "low");
	launcher_add(&s->tenants, "two", "high")->wants = true;
}

/* The lowest region is taken away below a tenant: above it nothing can be made until that one has gone. */
static void play_hole(struct scenario *s)
{
	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	world_named(s->w, ISO_EVENT_REGION_DESTROY, "low");
	launchers_run(&s->tenants, WORLD_SECOND);
	world_define_one(s->w, "above", 0x12); /* too large for the place of the lowest */
	launchers_run(&s->tenants, 3 * WORLD_SECOND);
	if (s->w->n_refused)
		world_break(s->w, "a region was asked for against the order of decoders");
	world_define_one(s->w, "low", 0x10);
	launchers_run(&s->tenants, WORLD_SECOND);
}

/* What is asked of the host, without looking at it, from now on. */
static uint32_t deeds(const struct world *w)
{
	return w->n_effects[ISO_EFFECT_CREATE_REGION] + w->n_effects[ISO_EFFECT_REFILL_REGION] +
	       w->n_effects[ISO_EFFECT_CLEAR_REGION] + w->n_effects[ISO_EFFECT_CARVE] +
	       w->n_effects[ISO_EFFECT_HAND_OVER] + w->n_effects[ISO_EFFECT_REMOVE] +
	       w->n_effects[ISO_EFFECT_REVOKE];
}

/* The store's disk is full while a port is lost, a tenant leaves and another one comes. */
static void play_disk(struct scenario *s)
{
	struct world *w = s->w;
	uint32_t before;

	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	world_disk(w, WORLD_DISK_FULL);
	world_run(w, WORLD_SECOND / 5);
	before = deeds(w);
	world_surprise_down(w, s->root_ports[1]);
	launcher_want(&s->tenants, &s->tenants.launchers[0], false);
	launcher_add(&s->tenants, "three", "low")->wants = true;
	launchers_run(&s->tenants, 3 * WORLD_SECOND);
	if (deeds(w) != before)
		world_break(w, "something was done that the store did not take");
	if (!w->spoil.nth && !world_incident(w, 1).contained_ns)
		world_break(w, "a full disk kept a loss from being contained");
	world_disk(w, WORLD_DISK_GOOD);
	launchers_run(&s->tenants, 5 * WORLD_SECOND);
}

/* Bridges with a port each, and a region below the first. */
static void build_apart(struct scenario *s)
{
	s->w->objects_vanish = true;
	world_simple_bridge(s->w, 1, 0x10);
	world_simple_bridge(s->w, 1, 0x20);
	scenario_find_root_ports(s);
	world_define_one(s->w, "a", 0x10);
	launcher_add(&s->tenants, "one", "a");
	world_run(s->w, WORLD_SECOND);
}

/* A bridge with two ports, and a region below the first. */
static void build_pair(struct scenario *s)
{
	world_simple_bridge(s->w, 2, 0x10);
	scenario_find_root_ports(s);
	world_define_one(s->w, "a", 0x10);
	launcher_add(&s->tenants, "one", "a");
	world_run(s->w, WORLD_SECOND);
}

static void come_back(struct scenario *s)
{
	s->w->no_uevents = false;
	kernel_plug(s->w, 0);
	world_changed(s->w);
	launchers_run(&s->tenants, 5 * WORLD_SECOND);
}

/* A device's name comes in an answer that took long, and has been another's since. */
static void play_late_name(struct scenario *s)
{
	world_plan(s->w, ISO_EFFECT_CARVE)->late_ns = 50 * WORLD_SECOND;
	launcher_want(&s->tenants, &s->tenants.launchers[0], true);
	launchers_run(&s->tenants, WORLD_SECOND);
	world_unplug(s->w, 0);
	launchers_run(&s->tenants, WORLD_SECOND);
	world_define_one(s->w, "b", 0x20);
	launcher_add(&s->tenants, "two", "b")->wants = true;
	launchers_run(&s->tenants, 100 * WORLD_SECOND);
	come_back(s);
}

/* Somebody takes a tenant's device away by hand, and its own uevent is lost. */
static void play_device(struct scenario *s)
{
	s->w->no_uevents = true;
	launcher_want(&s->tenants, &s->tenants.launchers[0], true);
	launchers_run(&s->tenants, WORLD_SECOND);
	kernel_drop_dax(s->w, 0, false);
	s->w->no_uevents = false;
	world_changed(s->w);
	world_run(s->w, WORLD_SECOND);
	liveness_check_victims(s->w);
	launchers_run(&s->tenants, WORLD_SECOND);
}

/* Nobody can look at the host any more, and nothing is told of it. Return: what ends that. */
static struct world_plan *go_blind(struct world *w)
{
	struct world_plan *plan = world_plan(w, ISO_EFFECT_OBSERVE);

	plan->times = UINT32_MAX;
	plan->error = -EIO;
	w->no_uevents = true;
	return plan;
}

static void see_again(struct world *w, struct world_plan *blindness)
{
	blindness->times = 0;
	w->no_uevents = false;
	world_changed(w);
}

/* A tenant leaves, another one gets a device of the same name, and then the removal of the first one is told. */
static void play_old_removal(struct scenario *s)
{
	struct iso_event removal = {.kind = ISO_EVENT_FAULT};
	struct world *w = s->w;
	struct world_plan *blindness;

	launcher_want(&s->tenants, &s->tenants.launchers[0], true);
	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	blindness = go_blind(w);
	launcher_want(&s->tenants, &s->tenants.launchers[0], false);
	launchers_run(&s->tenants, WORLD_SECOND);
	removal.fault.unit_kind = ISO_UNIT_INSTANCE;
	removal.fault.cause = ISO_CAUSE_REGION_GONE;
	removal.fault.region_kernel_id = w->dax[0].object;
	removal.fault.kernel_id = w->dax[0].id;
	removal.fault.uevent_seqnum = w->seqnum;
	if (w->dax[0].exists)
		world_break(w, "the first tenant's device has not been removed");
	launcher_add(&s->tenants, "two", "a")->wants = true;
	launchers_run(&s->tenants, WORLD_SECOND);
	if (!w->dax[0].exists || world_running(w) != 1)
		world_break(w, "the second tenant does not run on a device of the same name");
	world_step(w, &removal);
	launchers_run(&s->tenants, WORLD_SECOND);
	see_again(w, blindness);
	launchers_run(&s->tenants, WORLD_SECOND);
}

/* A daemon that has just been started is told to destroy a region before it could look whether there is one. */
static void play_unseen(struct scenario *s)
{
	world_restart(s->w);
	world_named(s->w, ISO_EVENT_REGION_DESTROY, "a");
	world_run(s->w, 2 * WORLD_SECOND);
	if (s->w->objects[0].used)
		world_break(s->w, "a region was destroyed, and stands");
	world_define_one(s->w, "a", 0x10);
	launcher_want(&s->tenants, &s->tenants.launchers[0], true);
	launchers_run(&s->tenants, 2 * WORLD_SECOND);
}

/* A region goes without a word, another one takes its number and its place, and somebody asks for the first one. */
static void play_number(struct scenario *s)
{
	struct world_plan *blindness;
	struct world *w = s->w;
	uint32_t i, made = w->n_effects[ISO_EFFECT_CREATE_REGION];

	w->objects_vanish = true;
	world_define_one(w, "b", 0x11);
	for (i = 0; i < 1000 && w->n_effects[ISO_EFFECT_CREATE_REGION] == made; i++)
		world_run(w, WORLD_MS);
	blindness = go_blind(w);
	kernel_unplug(w, 0); /* before the kernel has made what it was asked for */
	world_run(w, WORLD_SECOND / 10);
	launcher_want(&s->tenants, &s->tenants.launchers[0], true);
	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	if (w->objects[0].targets[0].serial != 0x11)
		world_break(w, "the second region has not taken the number of the first");
	see_again(w, blindness);
	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	come_back(s);
}

static void build_isolating(struct scenario *s)
{
	uint32_t i;

	build(s);
	for (i = 0; i < s->n_root_ports; i++)
		world_offer_isolation(s->w, s->root_ports[i], i != 3);
}

/* Ports are armed before anything is made; two isolate: one takes its link down, the other has to be forced. */
static void play_isolation(struct scenario *s)
{
	struct world *w = s->w;
	bool spoiled = w->spoil.nth != 0;

	launchers_run(&s->tenants, 2 * WORLD_SECOND);
	if (!world_isolate(w, s->root_ports[1]) && !spoiled)
		world_break(w, "the second port was not armed before its region was made");
	launchers_run(&s->tenants, 5 * WORLD_SECOND);
	if (!world_isolate(w, s->root_ports[3]) && !spoiled)
		world_break(w, "the fourth port was not armed before its region was made");
	launchers_run(&s->tenants, 8 * WORLD_SECOND);
	if (spoiled)
		return;
	if (w->isolation[s->root_ports[1]].status || w->isolation[s->root_ports[3]].status)
		world_break(w, "an isolation was not cleared");
	if (w->n_effects[ISO_EFFECT_FORCE_LINK_DOWN] != 1)
		world_break(w, "one link had to be forced down");
	if (world_running(w) != s->tenants.n)
		world_break(w, "not all tenants are back");
}

static const struct {
	const char *name;
	void (*build)(struct scenario *s);
	void (*play)(struct scenario *s);
	bool evict, once;
} scenarios[] = {
	{"loss", build, play_loss, false, false},
	{"restart", build, play_restart, false, false},
	{"evict", build, play_evict, true, false},
	{"disk", build_shared, play_disk, false, false},
	{"isolation", build_isolating, play_isolation, false, false},
	{"crowd", build, play_crowd, false, true},
	{"hole", build_shared, play_hole, false, true},
	{"name", build_apart, play_late_name, false, true},
	{"device", build_apart, play_device, false, true},
	{"removal", build_apart, play_old_removal, false, true},
	{"unseen", build_apart, play_unseen, false, true},
	{"number", build_pair, play_number, false, true},
};

uint32_t scenario_count(void)
{
	return sizeof(scenarios) / sizeof(scenarios[0]);
}

const char *scenario_name(uint32_t i)
{
	return scenarios[i].name;
}

bool scenario_is_swept(uint32_t i)
{
	return !scenarios[i].once;
}

/* Before the first effect is asked for. */
void scenario_begin(struct scenario *s, uint32_t i)
{
	s->name = scenarios[i].name;
	s->w = world_new();
	s->tenants.w = s->w;
	s->w->policy.settle_ns = WORLD_SECOND / 2;
	s->w->unbind_ns = 30 * WORLD_MS;
	s->w->policy.evict = scenarios[i].evict;
	s->w->policy.arm_ports = scenarios[i].build == build_isolating;
	world_start_engine(s->w);
}

void scenario_play(struct scenario *s, uint32_t i)
{
	/* What fails for ever does so until all attempts and deadlines have passed. */
	const uint64_t ever_ns = s->w->spoil.for_ever ? 400 * WORLD_SECOND : 0;

	scenarios[i].build(s);
	scenarios[i].play(s);
	launchers_run(&s->tenants, ever_ns);
}
