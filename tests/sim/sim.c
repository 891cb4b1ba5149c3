/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sim --seeds N [--from S]    random histories S .. S + N - 1
 * sim --seed S                one of them, with its trace
 * sim --sweep [--stride N]    each effect of each scenario going wrong (or only every Nth)
 * sim --case NAME             one of those, with its trace
 * sim --stories [--update] [NAME] [--directory PATH]
 *                             what is told has to be what the files say; or writes them
 * --torn                      in histories a crash also loses what the store wrote last
 *
 * Ends with 1 at the first thing that was broken; the last line replays it.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

static char replay_line[160]; /* written by the handler: what is running when an assertion fails */

static void on_abort(int signal)
{
	ssize_t n = write(STDERR_FILENO, replay_line, strlen(replay_line));

	(void)n;
	(void)signal;
}

void sim_replay_with(const char *option, const char *value)
{
	snprintf(replay_line, sizeof(replay_line), "replay: ./dev sim %s '%s'\n", option, value);
}

void sim_count(struct sim_totals *totals, const struct world *w)
{
	uint32_t kind;

	totals->runs++;
	totals->steps += w->steps;
	totals->faults += w->n_faults;
	totals->crashes += w->n_crashes;
	totals->violations += w->broken[0] != '\0';
	for (kind = 0; kind < ISO_EFFECT_KINDS; kind++)
		totals->effects += w->n_effects[kind];
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_totals(const struct sim_totals *totals, double took)
{
	printf("schedules %llu, steps %llu, effects %llu, faults %llu, crashes %llu, violations %llu; "
	       "%.0f steps/s of one core, %.1f s\n",
	       (unsigned long long)totals->runs, (unsigned long long)totals->steps,
	       (unsigned long long)totals->effects, (unsigned long long)totals->faults,
	       (unsigned long long)totals->crashes, (unsigned long long)totals->violations,
	       took > 0 ? (double)totals->steps / took : 0, took);
}

static bool run_seeds(uint64_t first, uint64_t n, struct sim_totals *totals)
{
	char text[24];
	uint64_t seed;

	for (seed = first; seed < first + n; seed++) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)seed);
		sim_replay_with(totals->torn ? "--torn --seed" : "--seed", text);
		if (history_run(seed, false, totals))
			continue;
		fputs(replay_line, stderr);
		return false;
	}
	return true;
}

struct options {
	uint64_t n, first;
	const char *seed, *name;
	uint32_t stride;
	bool sweep, torn, tells;
	struct story_options stories;
};

static void usage(void)
{
	fputs("sim --seeds N [--from S] | --seed S | --sweep [--stride N] | --case NAME; [--torn]\n"
	      "sim --stories [--update] [--directory PATH] [NAME]\n",
	      stderr);
	exit(2);
}

static struct options parse(int argc, char **argv)
{
	static const struct option known[] = {
		{"seeds", required_argument, NULL, 'n'},
		{"from", required_argument, NULL, 'f'},
		{"seed", required_argument, NULL, 's'},
		{"sweep", no_argument, NULL, 'w'},
		{"case", required_argument, NULL, 'c'},
		{"stride", required_argument, NULL, 't'},
		{"torn", no_argument, NULL, 'd'},
		{"stories", no_argument, NULL, 'y'},
		{"update", no_argument, NULL, 'u'},
		{"directory", required_argument, NULL, 'p'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.first = 1, .stride = 1, .stories = {.directory = "tests/sim/stories"}};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'n')
			o.n = strtoull(optarg, NULL, 0);
		else if (c == 'f')
			o.first = strtoull(optarg, NULL, 0);
		else if (c == 's')
			o.seed = optarg;
		else if (c == 'w')
			o.sweep = true;
		else if (c == 'd')
			o.torn = true;
		else if (c == 'c')
			o.name = optarg;
		else if (c == 'y')
			o.tells = true;
		else if (c == 'u')
			o.stories.update = true;
		else if (c == 'p')
			o.stories.directory = optarg;
		else if (c == 't')
			o.stride = (uint32_t)strtoul(optarg, NULL, 0);
		else
			usage();
	}
	if (o.tells && optind < argc)
		o.stories.name = argv[optind++];
	if (optind != argc || !o.stride || (!o.n && !o.seed && !o.sweep && !o.name && !o.tells))
		usage();
	return o;
}

int main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	struct sim_totals totals = {.torn = o.torn};
	double began = seconds();
	bool well = true;

	signal(SIGABRT, on_abort);
	if (o.seed) {
		sim_replay_with(o.torn ? "--torn --seed" : "--seed", o.seed);
		well = history_run(strtoull(o.seed, NULL, 0), true, &totals);
	} else if (o.name) {
		sim_replay_with("--case", o.name);
		well = sweep_one(o.name, &totals);
	}
	if (o.tells)
		well = stories_run(&o.stories, &totals);
	if (well && o.sweep)
		well = sweep_all(o.stride, &totals);
	if (well && o.n)
		well = run_seeds(o.first, o.n, &totals);
	print_totals(&totals, seconds() - began);
	return well ? 0 : 1;
}
