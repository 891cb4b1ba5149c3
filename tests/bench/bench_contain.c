/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How fast VMs die: from a readable trace page to the last SIGKILL and to the
 * last exit, for 1 to 256 processes, beside the least that is possible and
 * beside a process per kill. Prints; judges the targets but never fails on them.
 * Nobody unbinds these VMs' memory: where the kernel does, the daemon's one call per
 * VM sends SIGSTOP instead, and SIGKILL comes after it (vms.h).
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../data/trace_files.h"
#include "rounds.h"

enum {
	ROUNDS_MIN = 15,
	ROUNDS_MAX = 1000,
	SIZES_MAX = 8,
};

struct settings {
	const char *data;
	bool realtime;
	const char *json; /* NULL: none; "-": standard output instead of the table */
	unsigned int rounds;
	unsigned int n_sizes;
	unsigned int sizes[SIZES_MAX];
};

static const char *const way_names[WAYS] = {"engine", "bare", "spawn"};
static const char *const way_texts[WAYS] = {
	"daxmgr: page, decoder, engine, pidfd",
	"bare loop: epoll, pidfd",
	"fork and exec of /bin/kill",
};

struct figure {
	double median_us;
	double p95_us;
};

struct result {
	unsigned int n;
	struct figure sent[WAYS];
	struct figure exited[WAYS];
	double woken_us, decoded_us, decided_us; /* medians of the engine's way */
};

static struct timing timings[WAYS][ROUNDS_MAX];

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static struct figure figure_of(const struct timing *of, unsigned int rounds, size_t member)
{
	uint64_t values[ROUNDS_MAX];

	for (unsigned int i = 0; i < rounds; i++)
		memcpy(&values[i], (const char *)&of[i] + member, sizeof(values[i]));
	qsort(values, rounds, sizeof(values[0]), by_value);
	return (struct figure){
		.median_us = (double)(values[(rounds - 1) / 2] + values[rounds / 2]) / 2000,
		.p95_us = (double)values[(rounds * 95 + 99) / 100 - 1] / 1000,
	};
}

static void summarise(unsigned int rounds, struct result *result)
{
	const struct timing *engine = timings[WAY_ENGINE];

	for (int way = 0; way < WAYS; way++) {
		result->sent[way] =
			figure_of(timings[way], rounds, offsetof(struct timing, sent_ns));
		result->exited[way] =
			figure_of(timings[way], rounds, offsetof(struct timing, exited_ns));
	}
	result->woken_us = figure_of(engine, rounds, offsetof(struct timing, woken_ns)).median_us;
	result->decoded_us =
		figure_of(engine, rounds, offsetof(struct timing, decoded_ns)).median_us;
	result->decided_us =
		figure_of(engine, rounds, offsetof(struct timing, decided_ns)).median_us;
}

/* The first round of each way warms caches and is thrown away. */
static void measure(const struct settings *settings, const struct recorded *recorded, int memory,
		    struct result *result)
{
	for (unsigned int round = 0; round <= settings->rounds; round++)
		for (int turn = 0; turn < WAYS; turn++) {
			/* In turn, and another one first each time: drift hits all alike. */
			enum way way = (round + (unsigned int)turn) % WAYS;
			struct timing timing;

			if (round_run(way, result->n, recorded, memory, &timing) < 0)
				exit(2);
			if (round > 0)
				timings[way][round - 1] = timing;
		}
	summarise(settings->rounds, result);
}

/* What was asked for at this number of VMs; NULL when nothing was. */
static const char *judge(const struct result *result, bool *ret_met)
{
	double engine = result->sent[WAY_ENGINE].median_us;
	double bare = result->sent[WAY_BARE].median_us;

	switch (result->n) {
	case 1:
	case 16:
		*ret_met = engine <= bare + 200;
		return "at most 200 us more than the bare loop";
	case 64:
		*ret_met = engine <= 1.5 * bare && 10 * engine <= result->sent[WAY_SPAWN].median_us;
		return "within 1.5 x of the bare loop, 10 x better than /bin/kill";
	case 256:
		*ret_met = engine <= 1.5 * bare;
		return "within 1.5 x of the bare loop";
	default:
		return NULL;
	}
}

static void print_table(const struct result *result)
{
	const char *target;
	bool met = false;

	printf("\n%u process%s%26s%24s\n", result->n, result->n == 1 ? "" : "es",
	       "last SIGKILL sent", "last exit seen");
	printf("%-38s%10s%10s%12s%10s%10s\n", "", "median", "p95", "median", "p95", "x bare");
	for (int way = 0; way < WAYS; way++)
		printf("%-38s%7.0f us%7.0f us%9.0f us%7.0f us%10.2f\n", way_texts[way],
		       result->sent[way].median_us, result->sent[way].p95_us,
		       result->exited[way].median_us, result->exited[way].p95_us,
		       result->sent[way].median_us / result->sent[WAY_BARE].median_us);
	printf("  daxmgr in steps: woken %.0f us, decoded %.0f us, decided %.0f us, sent %.0f us\n",
	       result->woken_us, result->decoded_us, result->decided_us,
	       result->sent[WAY_ENGINE].median_us);
	target = judge(result, &met);
	if (target)
		printf("  target: %s: %s\n", target, met ? "met" : "MISSED");
}

static void print_json_way(FILE *out, const struct result *result, int way)
{
	fprintf(out,
		"%s\n        \"%s\": {\"sent_median_us\": %.1f, \"sent_p95_us\": %.1f, "
		"\"exited_median_us\": %.1f, \"exited_p95_us\": %.1f}",
		way ? "," : "", way_names[way], result->sent[way].median_us,
		result->sent[way].p95_us, result->exited[way].median_us,
		result->exited[way].p95_us);
}

static void print_json_result(FILE *out, const struct result *result)
{
	double engine = result->sent[WAY_ENGINE].median_us;
	const char *target;
	bool met = false;

	fprintf(out, "    {\n      \"processes\": %u,\n      \"ways\": {", result->n);
	for (int way = 0; way < WAYS; way++)
		print_json_way(out, result, way);
	fprintf(out,
		"\n      },\n      \"engine_over_bare\": %.3f,\n      \"spawn_over_engine\": %.3f,\n",
		engine / result->sent[WAY_BARE].median_us,
		result->sent[WAY_SPAWN].median_us / engine);
	fprintf(out,
		"      \"steps\": {\"woken_us\": %.1f, \"decoded_us\": %.1f, \"decided_us\": %.1f}",
		result->woken_us, result->decoded_us, result->decided_us);
	target = judge(result, &met);
	if (target)
		fprintf(out, ",\n      \"target\": \"%s\",\n      \"met\": %s", target,
			met ? "true" : "false");
	fprintf(out, "\n    }");
}

static void print_json(const struct settings *settings, const struct result *results)
{
	FILE *out = strcmp(settings->json, "-") ? fopen(settings->json, "w") : stdout;

	if (!out) {
		fprintf(stderr, "bench_contain: %s: %s\n", settings->json, strerror(errno));
		exit(2);
	}
	fprintf(out,
		"{\n  \"benchmark\": \"contain\",\n  \"rounds\": %u,\n  \"cpus\": %ld,\n"
		"  \"realtime\": %s,\n  \"results\": [\n",
		settings->rounds, sysconf(_SC_NPROCESSORS_ONLN),
		settings->realtime ? "true" : "false");
	for (unsigned int i = 0; i < settings->n_sizes; i++) {
		print_json_result(out, &results[i]);
		fprintf(out, "%s\n", i + 1 < settings->n_sizes ? "," : "");
	}
	fprintf(out, "  ]\n}\n");
	if (out != stdout)
		fclose(out);
}

__attribute__((noreturn)) static void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"bench_contain [--rounds N] [--processes N[,N...]] [--timeshare] [--json FILE|-] [--data DIR]\n"
		"  --rounds     of each way and number, %d to %d (21)\n"
		"  --processes  1 to %d each (1,16,64,256)\n"
		"  --timeshare  the killing loops run under SCHED_OTHER; by default under SCHED_FIFO,\n"
		"               as daxmgrd.service has it; their victims never do\n"
		"  --data       formats and pages recorded from a kernel (tests/data/trace/7.2)\n",
		ROUNDS_MIN, ROUNDS_MAX, VICTIMS_MAX);
	exit(status);
}

static unsigned int number(const char *text, char **ret_end, unsigned long min, unsigned long max)
{
	unsigned long value = strtoul(text, ret_end, 10);

	if (*ret_end == text || value < min || value > max)
		usage(2);
	return (unsigned int)value;
}

static void parse_sizes(const char *text, struct settings *settings)
{
	char *end;

	settings->n_sizes = 0;
	do {
		if (settings->n_sizes == SIZES_MAX)
			usage(2);
		settings->sizes[settings->n_sizes++] = number(text, &end, 1, VICTIMS_MAX);
		text = end + 1;
	} while (*end == ',');
	if (*end)
		usage(2);
}

static void parse(int argc, char **argv, struct settings *settings)
{
	static const struct option options[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"processes", required_argument, NULL, 'n'},
		{"timeshare", no_argument, NULL, 'T'},
		{"json", required_argument, NULL, 'j'},
		{"data", required_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
		switch (c) {
		case 'r':
			settings->rounds = number(optarg, &end, ROUNDS_MIN, ROUNDS_MAX);
			break;
		case 'n':
			parse_sizes(optarg, settings);
			break;
		case 'T':
			settings->realtime = false;
			break;
		case 'j':
			settings->json = optarg;
			break;
		case 'd':
			settings->data = optarg;
			break;
		case 'h':
			usage(0);
		default:
			usage(2);
		}
	if (optind < argc)
		usage(2);
}

/* A pidfd for each, and what the loop needs. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void load(const char *directory, struct recorded *ret)
{
	char path[PATH_MAX];

	trace_files_formats(directory, &ret->formats);
	snprintf(path, sizeof(path), "%s/surprise-down.page", directory);
	if (trace_file_read(path, ret->page, sizeof(ret->page)) != sizeof(ret->page)) {
		fprintf(stderr, "bench_contain: %s: not a page\n", path);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct settings settings = {
		.data = "tests/data/trace/7.2",
		.rounds = 21,
		.n_sizes = 4,
		.sizes = {1, 16, 64, 256},
		.realtime = true,
	};
	struct result results[SIZES_MAX] = {0};
	static struct recorded recorded;
	bool table;
	int memory;

	parse(argc, argv, &settings);
	table = !settings.json || strcmp(settings.json, "-");
	raise_fd_limit();
	load(settings.data, &recorded);
	recorded.realtime = settings.realtime;
	memory = memfd_create("victims", MFD_CLOEXEC);
	if (memory < 0 || ftruncate(memory, (off_t)VICTIMS_MAX * VICTIM_BYTES) < 0) {
		perror("bench_contain: memfd");
		return 2;
	}

	if (table)
		printf("contain: %u rounds of each, alternating; %ld CPUs; %s; from the page being readable to\n",
		       settings.rounds, sysconf(_SC_NPROCESSORS_ONLN),
		       settings.realtime ? "SCHED_FIFO" : "SCHED_OTHER");
	for (unsigned int i = 0; i < settings.n_sizes; i++) {
		results[i].n = settings.sizes[i];
		measure(&settings, &recorded, memory, &results[i]);
		if (table) {
			print_table(&results[i]);
			fflush(stdout);
		}
	}
	if (settings.json)
		print_json(&settings, results);
	return 0;
}
