/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A scenario runs clean, its effects are counted, and then it runs again and
 * again, each time with another one of them going wrong in another way.
 */
#include <stdio.h>
#include <string.h>

#include "sim.h"

enum {
	PATIENCE_SECONDS = 900, /* longer than any deadline, with all attempts */
	NAME_BYTES = 80,
};

struct sweep_case {
	uint32_t scenario;
	struct world_spoil spoil;
};

static void name_case(const struct sweep_case *c, char name[NAME_BYTES])
{
	snprintf(name, NAME_BYTES, "%s/%u/%s/%s", scenario_name(c->scenario), c->spoil.nth,
		 world_spoil_name(c->spoil.kind), c->spoil.for_ever ? "ever" : "once");
}

/* Nothing fails any more; who was killed and did not exit does. */
static void mend(struct world *w)
{
	uint32_t i;

	w->spoil.nth = 0;
	for (i = 0; i < w->n_processes; i++) {
		w->processes[i].stubborn = false;
		if (w->processes[i].kills)
			world_exit(w, i);
	}
}

/* A victim does not exit. Nothing else fails. */
static bool is_hit_by_silence(const struct world *w)
{
	return w->spoil.hits && w->spoil.effect_kind == ISO_EFFECT_KILL &&
	       w->spoil.kind == WORLD_SPOIL_NEVER;
}

static void wait_for(struct scenario *s, bool healthy, const char *what)
{
	uint32_t i;

	for (i = 0; i < PATIENCE_SECONDS * 5 && !s->w->broken[0]; i++) {
		launchers_step(&s->tenants);
		world_run(s->w, WORLD_SECOND / 5);
		if (healthy ? liveness_healthy(s->w, s->root_ports, s->n_root_ports) &&
				      launchers_well(&s->tenants) && world_quiet(s->w)
			    : liveness_named(s->w, s->root_ports, s->n_root_ports))
			return;
	}
	world_break(s->w, "%s", what);
}

/* What a person does who comes when all is over: recovers, and lets tenants above make way. */
static void attend(struct scenario *s)
{
	uint32_t i;

	for (i = 0; i < s->w->n_memdevs; i++)
		kernel_plug(s->w, i);
	world_changed(s->w);
	for (i = 0; i < s->n_root_ports; i++)
		world_port_request(s->w, ISO_EVENT_RECOVER, s->root_ports[i]);
	launchers_want(&s->tenants, false);
	wait_for(s, true, "does not become healthy without tenants");
	launchers_want(&s->tenants, true);
	wait_for(s, true, "does not run what should run");
}

static bool play(const struct sweep_case *c, bool traced, struct sim_totals *totals,
		 struct world *ret_clean)
{
	struct scenario s = {0};
	char name[NAME_BYTES];
	bool well;

	name_case(c, name);
	sim_replay_with("--case", name);
	scenario_begin(&s, c->scenario);
	s.w->silent = !traced;
	s.w->spoil = c->spoil;
	scenario_play(&s, c->scenario);
	if (ret_clean) {
		memcpy(ret_clean->asked, s.w->asked, sizeof(s.w->asked));
		ret_clean->n_asked = s.w->n_asked;
	}
	if (is_hit_by_silence(s.w)) /* whoever it waits for is named while it does */
		wait_for(&s, false, "does not say whose end it waits for");
	mend(s.w);
	wait_for(&s, false, "does not come to rest");
	liveness_check_victims(s.w);
	attend(&s);
	world_check_rest(s.w);
	replay_check(s.w);
	well = !s.w->broken[0];
	sim_count(totals, s.w);
	if (traced)
		fputs(s.w->trace, stdout);
	if (!well) {
		liveness_tell(s.w, s.root_ports, s.n_root_ports);
		fprintf(stderr, "%s: %s\n", name, s.w->broken);
		fprintf(stderr, "replay: ./dev sim --case '%s'\n", name);
	}
	world_close(s.w);
	return well;
}

static bool sweep_effect(struct sweep_case *c, uint32_t kind, struct sim_totals *totals)
{
	uint32_t spoil, ever;

	for (spoil = WORLD_SPOIL_NONE + 1; spoil < WORLD_SPOILS; spoil++) {
		if (!world_spoil_applies(kind, spoil))
			continue;
		for (ever = 0; ever < 2; ever++) {
			c->spoil.kind = spoil;
			c->spoil.for_ever = ever;
			if (!play(c, false, totals, NULL))
				return false;
		}
	}
	return true;
}

static bool sweep_scenario(uint32_t i, uint32_t stride, struct sim_totals *totals)
{
	static struct world clean; /* what was asked for; too big for the stack */
	struct sweep_case c = {.scenario = i};
	uint32_t nth;

	if (!play(&c, false, totals, &clean))
		return false;
	if (!scenario_is_swept(i)) {
		printf("scenario %s: played once\n", scenario_name(i));
		return true;
	}
	if (clean.n_asked > WORLD_ASKED) {
		fprintf(stderr, "%s asks for too much to be swept\n", scenario_name(i));
		return false;
	}
	for (nth = 1; nth <= clean.n_asked; nth += stride) {
		c.spoil.nth = nth;
		if (!sweep_effect(&c, clean.asked[nth - 1], totals))
			return false;
	}
	printf("scenario %s: %u effects\n", scenario_name(i), clean.n_asked);
	return true;
}

bool sweep_all(uint32_t stride, struct sim_totals *totals)
{
	uint32_t i;

	for (i = 0; i < scenario_count(); i++)
		if (!sweep_scenario(i, stride, totals))
			return false;
	return true;
}

bool sweep_one(const char *name, struct sim_totals *totals)
{
	char scenario[24], spoil[40], how[8];
	struct sweep_case c = {0};

	if (sscanf(name, "%23[^/]/%u/%39[^/]/%7s", scenario, &c.spoil.nth, spoil, how) != 4)
		return false;
	c.spoil.for_ever = !strcmp(how, "ever");
	while (c.scenario < scenario_count() && strcmp(scenario_name(c.scenario), scenario))
		c.scenario++;
	while (c.spoil.kind < WORLD_SPOILS && strcmp(world_spoil_name(c.spoil.kind), spoil))
		c.spoil.kind++;
	if (c.scenario == scenario_count() || c.spoil.kind == WORLD_SPOILS)
		return false;
	return play(&c, true, totals, NULL);
}
