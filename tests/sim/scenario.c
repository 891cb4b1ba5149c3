/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scenarios of the sweep. All are on one host: three regions below one
 * bridge share its decoders, the third of them is interleaved with a port of
 * another bridge and lies above the others.
 */
#include "sim.h"

static void build(struct scenario *s)
{
	struct world *w = s->w;
	uint32_t bridges[2], i;

	bridges[0] = world_simple_bridge(w, 3, 0x10);
	bridges[1] = world_simple_bridge(w, 2, 0x20);
	world_window(w, 16, 2, bridges);
	for (i = 0; i < w->n_ports; i++)
		if (w->ports[i].kind == ISO_PORT_ROOT)
			s->root_ports[s->n_root_ports++] = i;
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

static const struct {
	const char *name;
	void (*play)(struct scenario *s);
	bool evict;
} scenarios[] = {
	{"loss", play_loss, false},
	{"restart", play_restart, false},
	{"evict", play_evict, true},
};

uint32_t scenario_count(void)
{
	return sizeof(scenarios) / sizeof(scenarios[0]);
}

const char *scenario_name(uint32_t i)
{
	return scenarios[i].name;
}

/* Before the first effect is asked for. */
void scenario_begin(struct scenario *s, uint32_t i)
{
	s->name = scenarios[i].name;
	s->w = world_new();
	s->tenants.w = s->w;
	s->w->policy.settle_ns = WORLD_SECOND / 2;
	s->w->policy.evict = scenarios[i].evict;
	world_start_engine(s->w);
}

void scenario_play(struct scenario *s, uint32_t i)
{
	/* What fails for ever does so until all attempts and deadlines have passed. */
	const uint64_t ever_ns = s->w->spoil.for_ever ? 400 * WORLD_SECOND : 0;

	build(s);
	scenarios[i].play(s);
	launchers_run(&s->tenants, ever_ns);
}
