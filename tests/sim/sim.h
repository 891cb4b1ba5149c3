/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the simulation share: a run, and what all runs together came to. */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include "launcher.h"

struct sim_totals {
	bool torn; /* asked for: histories in which a crash loses what was written last */
	uint64_t runs, steps, effects, faults, crashes, violations;
};

/* What is running now, for the line that replays it. */
void sim_replay_with(const char *option, const char *value);
/* Adds a run that has ended. */
void sim_count(struct sim_totals *totals, const struct world *w);

/* history.c: a random history. Return: whether nothing was broken; else it was printed. */
bool history_run(uint64_t seed, bool traced, struct sim_totals *totals);

/* sweep.c: each effect of each scenario going wrong in each way, once and for ever. */
bool sweep_all(uint32_t stride, struct sim_totals *totals);
/* One of them, as sweep_all() prints it: SCENARIO/NTH/SPOIL/once or ever. */
bool sweep_one(const char *name, struct sim_totals *totals);

/* scenario.c: what happens in a sweep. */
struct scenario {
	const char *name;
	uint32_t root_ports[8], n_root_ports;
	struct launchers tenants;
	struct world *w;
};
uint32_t scenario_count(void);
const char *scenario_name(uint32_t i);
/* Or only played clean. */
bool scenario_is_swept(uint32_t i);
/* Those of its host, when that is built. */
void scenario_find_root_ports(struct scenario *s);
void scenario_begin(struct scenario *s, uint32_t i);
void scenario_play(struct scenario *s, uint32_t i);

/* story.c, story_plays.c: named scenarios, told as text that has to be that of a file. */
struct story {
	const char *name, *title, *about;
	void (*play)(struct scenario *s);
};
struct story_options {
	const char *directory, *name; /* NULL: all */
	bool update; /* the files */
};
/* NULL: there are no more. */
const struct story *story_get(uint32_t i);
/* Writes down what `status` would show. */
void story_status(struct scenario *s, const char *when);
bool stories_run(const struct story_options *options, struct sim_totals *totals);

/* liveness.c: once faults stop */
bool liveness_named(const struct world *w, const uint32_t *ports, uint32_t n);
/* No lease or instance is on its way from one thing to another, and nothing is under way. */
bool liveness_settled(const struct world *w);
bool liveness_healthy(const struct world *w, const uint32_t *ports, uint32_t n);
/* For a person: domains, regions, leases, instances as the engine believes them. */
void liveness_tell(const struct world *w, const uint32_t *ports, uint32_t n);
/* A process that lives must not sit on memory that is gone. */
void liveness_check_victims(struct world *w);

/* replay.c: an engine built from the store and one observation believes what this one does. */
void replay_check(struct world *w);

#endif
