/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A drill that is under way, and what came of it. */
#ifndef CTL_DRILL_RUN_H
#define CTL_DRILL_RUN_H

#include "decisions.h"
#include "drill.h"
#include "verb.h"

/* How the host is at one moment. */
struct drill_look {
	sd_json_variant *topology, *poison; /* replies of GetTopology(), ListPoison() */
};

struct drill_run {
	const struct context *context;
	const struct drill *drill;
	const char *named; /* VMs that may die */
	bool live;
	uint64_t last_incident; /* before it began */
	struct drill_look before; /* it began */
	sd_json_variant *rules; /* before it began; NULL: nothing is expected of them */
	uint64_t step_ns[DRILL_STEPS_MAX];
	uint32_t n_steps; /* that were run */
	uint64_t total_ns;
	struct decisions decisions;
	sd_json_variant *incidents; /* that began since, with their timelines */
	sd_json_variant *results; /* [{what, expected, found, met}] */
	sd_json_variant *cleaned; /* ports and memory devices that were recovered */
	bool failed;
	bool cleaning; /* what fails is tried again, and not told each time */
	char why[512]; /* what failed last, or is not as before */
};

/* Runs the steps, compares, cleans up. Return: exit status; the verdict is run->failed. */
int drill_run(struct drill_run *run);
/* drill_judge.c: compares with what was expected. Return: 0 or negative errno. */
int drill_judge(struct drill_run *run);
/* drill_clean.c: what a drill finds; released by drill_look_clear(). Return: exit status. */
int drill_look(struct drill_run *run, struct drill_look *ret);
void drill_look_clear(struct drill_look *look);
/* Takes back what differs from run->before and is the drill's. Return: exit status, after a message. */
int drill_clean_up(struct drill_run *run);
/* Injects a record, or tries it. Return: exit status. */
int drill_inject(struct drill_run *run, sd_json_variant *record, sd_json_variant **ret);
/* drill_signal.c: from here on SIGINT, SIGTERM and SIGHUP only make drill_interrupted() true, each once. */
void drill_catch_signals(void);
bool drill_interrupted(void);
void drill_release_signals(void);
/* The reply of one call. Return: exit status. */
int drill_ask(struct drill_run *run, const char *method, sd_json_variant *parameters,
	      sd_json_variant **ret);
void drill_run_clear(struct drill_run *run);
uint64_t drill_now_ns(void);
void drill_pause_ns(uint64_t ns);

#endif
