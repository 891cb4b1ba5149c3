/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine's decisions cost, and how that grows with the number of
 * leases: taking in an observation, answering what-if, one isolation with 256
 * victims, a million events. 256 memdevs below 64 root ports; the engine alone,
 * in one thread. Prints; judges the targets but never fails on them.
 */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host.h"
#include "state.h"

enum {
	ROUNDS_MAX = 1000,
	SIZES = 4,
	STRETCHES = 10, /* of the long run: growth shows between them */
};

static const uint32_t sizes[SIZES] = {16, 256, 4096, HOST_LEASES};

struct settings {
	uint32_t rounds;
	uint64_t events; /* at the full size */
};

struct samples {
	uint64_t ns[ROUNDS_MAX];
	uint32_t n;
};

/* Of one stretch of the long run, taken where nothing is under way. */
struct footprint {
	uint64_t resident_bytes, heap_bytes;
	uint32_t operations; /* in the engine's table */
	uint32_t most;       /* effects that waited at once */
};

struct figures {
	double observe_us, first_us;
	double what_if_us, what_if_worst_us;
	double isolate_us;
	uint32_t n_victims;
	double event_ns;
	uint64_t n_events;
};

struct what_if_room {
	uint32_t regions[HOST_MEMDEVS], leases[HOST_LEASES], blockers[HOST_LEASES];
};

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t clock_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void add_sample(struct samples *samples, uint64_t began_ns)
{
	uint64_t now_ns = clock_ns();

	if (samples->n < ROUNDS_MAX)
		samples->ns[samples->n++] = now_ns - began_ns;
}

static double median_us(struct samples *samples)
{
	uint32_t n = samples->n;

	qsort(samples->ns, n, sizeof(samples->ns[0]), by_value);
	return n ? (double)(samples->ns[(n - 1) / 2] + samples->ns[n / 2]) / 2000 : 0;
}

static void judge_engine(struct host *host)
{
	const char *broken = iso_check(host_engine(host));

	if (!broken)
		return;
	fprintf(stderr, "bench_engine: %s\n", broken);
	exit(2);
}

/* An observation of a world that is as believed: the routine case. */
static double measure_observation(struct host *host, uint32_t rounds)
{
	struct samples samples = {0};
	struct iso_event snapshot, completion;

	for (uint32_t i = 0; i < rounds; i++) {
		uint64_t began_ns;

		host_begin_observation(host, &snapshot, &completion);
		began_ns = clock_ns();
		host_step(host, &snapshot);
		host_step(host, &completion);
		add_sample(&samples, began_ns);
		host_answer(host);
	}
	return median_us(&samples);
}

/* The first one after a restart: all that the store knew is compared with it. */
static double measure_restart(struct host *host, uint32_t rounds)
{
	struct samples samples = {0};
	struct iso_event snapshot, completion;

	for (uint32_t i = 0; i < rounds; i++) {
		uint64_t began_ns;

		host_restart(host, &snapshot, &completion);
		began_ns = clock_ns();
		host_step(host, &snapshot);
		host_step(host, &completion);
		add_sample(&samples, began_ns);
		host_answer(host);
	}
	return median_us(&samples);
}

static void measure_what_if(struct host *host, uint32_t rounds, struct figures *figures)
{
	static struct what_if_room room;
	struct iso_what_if what = {
		.regions = room.regions,
		.regions_room = HOST_MEMDEVS,
		.leases = room.leases,
		.leases_room = HOST_LEASES,
		.blockers = room.blockers,
		.blockers_room = HOST_LEASES,
	};
	struct samples all = {0};

	for (uint32_t port = 0; port < HOST_ROOT_PORTS; port++) {
		struct samples samples = {0};
		double median;

		for (uint32_t i = 0; i < rounds; i++) {
			uint64_t began_ns = clock_ns();

			iso_what_if(host_engine(host), port, ISO_NONE, &what);
			add_sample(&samples, began_ns);
		}
		median = median_us(&samples);
		all.ns[all.n++] = (uint64_t)(median * 1000);
		if (median > figures->what_if_worst_us)
			figures->what_if_worst_us = median;
	}
	figures->what_if_us = median_us(&all);
}

/* Only the step that takes the fault; what follows is answered and forgotten. */
static void measure_isolation(struct host *host, uint32_t rounds, struct figures *figures)
{
	struct samples samples = {0};
	struct iso_event fault;

	for (uint32_t i = 0; i < rounds; i++) {
		uint64_t began_ns;

		host_lose(host, 0, &fault);
		began_ns = clock_ns();
		host_step(host, &fault);
		add_sample(&samples, began_ns);
		figures->n_victims = host_engine(host)->n_kills;
		host_recover(host, 0);
		judge_engine(host);
	}
	figures->isolate_us = median_us(&samples);
}

static uint64_t resident_bytes(void)
{
	unsigned long size, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void take_footprint(struct host *host, struct footprint *ret)
{
	const struct iso_engine *engine = host_engine(host);

	*ret = (struct footprint){
		.resident_bytes = resident_bytes(),
		.heap_bytes = mallinfo2().uordblks,
		.most = host_outstanding_most(host),
	};
	for (uint32_t i = 0; i < engine->n_operations; i++)
		ret->operations += engine->operations[i].id != 0;
}

/* Ports are lost and come back, one after the other, until so many events were taken. */
static void run_long(struct host *host, uint64_t events, struct figures *figures,
		     struct footprint prints[STRETCHES + 1])
{
	/* A mean, unlike the medians, would count who else runs meanwhile. */
	uint64_t began_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t first = host_events(host), taken = 0;
	uint32_t stretch = 0;
	struct iso_event fault;

	take_footprint(host, &prints[0]);
	for (uint32_t i = 0; taken < events; i++) {
		host_lose(host, i % HOST_BRIDGES, &fault);
		host_step(host, &fault);
		host_recover(host, i % HOST_BRIDGES);
		taken = host_events(host) - first;
		while (stretch < STRETCHES && taken >= (stretch + 1) * events / STRETCHES)
			take_footprint(host, &prints[++stretch]);
	}
	figures->n_events = taken;
	figures->event_ns =
		(double)(read_clock(CLOCK_PROCESS_CPUTIME_ID) - began_ns) / (double)taken;
	judge_engine(host);
}

static void print_figures(uint32_t leases, const struct figures *f)
{
	printf("  %6u %10.3f %10.3f %10.1f %10.1f %10.1f %8u %10.0f\n", leases,
	       f->observe_us / 1000, f->first_us / 1000, f->what_if_us, f->what_if_worst_us,
	       f->isolate_us, f->n_victims, f->event_ns);
	fflush(stdout);
}

static void print_target(const char *what, double is, double target, const char *unit)
{
	printf("  %-44s %9.1f %s of %6.0f  %5.2f of the target%s\n", what, is, unit, target,
	       is / target, is <= target ? "" : "  MISSED");
}

static void print_footprints(const struct footprint prints[STRETCHES + 1], uint64_t events)
{
	const struct footprint *first = &prints[1], *last = &prints[STRETCHES];
	bool grew = last->resident_bytes > first->resident_bytes ||
		    last->heap_bytes > first->heap_bytes || last->most > first->most ||
		    last->operations > first->operations;

	printf("  %llu events: after a tenth of them, and after all\n", (unsigned long long)events);
	printf("    resident %.1f MiB, %.1f MiB; heap in use %.1f MiB, %.1f MiB\n",
	       (double)first->resident_bytes / 1048576, (double)last->resident_bytes / 1048576,
	       (double)first->heap_bytes / 1048576, (double)last->heap_bytes / 1048576);
	printf("    operations left when quiet %u, %u; effects outstanding at most %u, %u: %s\n",
	       first->operations, last->operations, first->most, last->most,
	       grew ? "GREW" : "no growth");
}

__attribute__((noreturn)) static void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"Usage: bench_engine [--rounds N] [--events N]\n"
		"  --rounds N   of each measurement, 1 to 1000 (21)\n"
		"  --events N   of the long run at the full size (1000000)\n");
	exit(status);
}

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (!*text || *end || !n || n > most)
		usage(2);
	return n;
}

static void parse(int argc, char **argv, struct settings *settings)
{
	static const struct option options[] = {
		{"rounds", required_argument, NULL, 'r'},
		{"events", required_argument, NULL, 'e'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			settings->rounds = (uint32_t)number(optarg, ROUNDS_MAX);
			break;
		case 'e':
			settings->events = number(optarg, UINT64_C(1000000000000));
			break;
		case 'h':
			usage(0);
		default:
			usage(2);
		}
	}
	if (optind < argc)
		usage(2);
}

int main(int argc, char **argv)
{
	struct settings settings = {.rounds = 21, .events = 1000000};
	struct footprint prints[STRETCHES + 1];
	struct figures f;

	parse(argc, argv, &settings);
	printf("engine: %d memdevs below %d root ports, medians of %u rounds; the engine alone\n",
	       HOST_MEMDEVS, HOST_ROOT_PORTS, settings.rounds);
	printf("          observation and reconcile    what-if of a port    isolation\n");
	printf("  leases routine ms   start ms  median us   worst us    step us  victims   ns/event\n");
	for (uint32_t i = 0; i < SIZES; i++) {
		struct host *host = host_new(sizes[i]);

		f = (struct figures){0};
		f.observe_us = measure_observation(host, settings.rounds);
		measure_what_if(host, settings.rounds, &f);
		measure_isolation(host, settings.rounds, &f);
		run_long(host, sizes[i] == HOST_LEASES ? settings.events : settings.events / 10, &f,
			 prints);
		f.first_us = measure_restart(host, settings.rounds);
		print_figures(sizes[i], &f);
		host_free(host);
	}
	print_target("observation and reconcile, routine", f.observe_us / 1000, 50, "ms");
	print_target("observation and reconcile, after a restart", f.first_us / 1000, 50, "ms");
	print_target("what-if, the port with the longest answer", f.what_if_worst_us, 1000, "us");
	print_target("iso_step() of an isolation, 256 victims", f.isolate_us, 100, "us");
	print_footprints(prints, f.n_events);
	return 0;
}
