/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A drill that is under way, and what came of it. */
#ifndef CTL_DRILL_RUN_H
#define CTL_DRILL_RUN_H

#include "decisions.h"
#include "drill.h"
#include "verb.h"

struct drill_run {
	const struct context *context;
	const struct drill *drill;
	const char *named; /* VMs that may die */
	bool live;
	uint64_t last_incident; /* before it began */
	uint64_t step_ns[DRILL_STEPS_MAX];
	uint32_t n_steps; /* that were run */
	uint64_t total_ns;
	struct decisions decisions;
	sd_json_variant *incidents; /* that began since, with their timelines */
	sd_json_variant *results; /* [{what, expected, found, met}] */
	sd_json_variant *cleaned; /* ports and memory devices that were recovered */
	bool failed;
};

/* Runs the steps, compares, cleans up. Return: exit status; the verdict is run->failed. */
int drill_run(struct drill_run *run);
/* drill_judge.c: compares with what was expected. Return: 0 or negative errno. */
int drill_judge(struct drill_run *run);
/* {incidents: …} of one call. Return: exit status. */
int drill_ask(const struct drill_run *run, const char *method, sd_json_variant *parameters,
	      sd_json_variant **ret);
void drill_run_clear(struct drill_run *run);

#endif
