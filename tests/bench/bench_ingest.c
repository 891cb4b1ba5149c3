/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How fast records become durable: from a readable page of the trace ring to a
 * row that another process sees, at 1,000 and 10,000 a second and as fast as
 * they are taken; and what a storm of 100,000 equal ones a second costs. The
 * daemon is the real one; tracefs is a directory, its ring a pipe, and what does
 * not fit into it is lost and told as the kernel would. Beside it stands what
 * disk and SQLite can do. Prints; judges the targets but never fails on them.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "ingest.h"
#include "worker.h"

enum {
	PHASES = 4,
	LOOK_NS = 300000,
	CALM_NS = 100000000,
	SETTLE_SECONDS = 2, /* the daemon has looked at its host before the first record */
	QUIET_MS = 3000, /* nothing comes any more */
	SECONDS_MAX = 600,
	FLOOD_RECORDS = 50000,
	TARGET_P99_US = 10000,
	RING_BYTES = 8 << 20,
};

struct settings {
	const char *data;
	const char *directory;
	const char *json; /* NULL: none; "-": standard output instead of the table */
	unsigned int seconds;
	bool realtime;
};

struct phase {
	const char *name;
	char directory[INGEST_PATH_BYTES];
	struct ring_load load;
	struct ring_told told;
	struct stored stored;
	struct process_figures before, after;
	uint32_t p50_us, p99_us, max_us;
	uint64_t ring_bytes;
	double busy; /* CPUs that others took of this machine */
	uint64_t took_ns; /* from the first record to the last durable one */
};

static void remove_directory(const char *path)
{
	char command[INGEST_PATH_BYTES + 16];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	if (system(command))
		fprintf(stderr, "bench_ingest: %s is left\n", path);
}

/*
 * Looks until all that was produced is accounted for, or nothing has come for a
 * while. Counting reads every row there is, a tenth of a second of work in which
 * nobody looks: it waits until the producer has ended and no more rows come.
 * Return: when the last news came.
 */
static uint64_t follow(struct watch *watch, struct phase *phase, const struct ring_told *told,
		       struct latencies *latencies)
{
	bool distinct = phase->load.records == RING_DISTINCT;
	uint64_t now_ns = clock_boottime_ns(), news_ns = now_ns;
	struct stored last = {0};

	for (;;) {
		bool finished = __atomic_load_n(&told->finished, __ATOMIC_ACQUIRE);
		bool news = distinct && watch_rows(watch, latencies) > 0;

		now_ns = clock_boottime_ns();
		if (finished && !news && (!distinct || now_ns - news_ns > CALM_NS)) {
			watch_account(watch, &phase->stored);
			news = memcmp(&last, &phase->stored, sizeof(last)) != 0;
			last = phase->stored;
			/* Of rows it is known since when: they were seen coming. */
			if (phase->stored.records + phase->stored.lost >= told->produced)
				return distinct ? news_ns : now_ns;
		}
		if (news || !finished)
			news_ns = now_ns;
		else if (now_ns - news_ns > QUIET_MS * UINT64_C(1000000))
			return news_ns;
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
	}
}

/* Of the earlier phases nothing is left to be written. */
static void settle_disk(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		(void)syncfs(fd);
		close(fd);
	}
	nanosleep(&(struct timespec){.tv_sec = SETTLE_SECONDS}, NULL);
}

static void play(const struct settings *settings, struct phase *phase, struct limits *limits)
{
	char *directory = phase->directory, whole[PATH_MAX];
	struct latencies latencies = {0};
	struct ring_told *told;
	struct watch *watch;
	uint64_t begin_ns, machine_us, own_us;
	pid_t daemon, producer;
	int ring;

	/* Workers have another working directory. */
	if (!realpath(settings->directory, whole)) {
		fprintf(stderr, "bench_ingest: %s: %s\n", settings->directory, strerror(errno));
		exit(2);
	}
	snprintf(directory, sizeof(phase->directory), "%.*s/bench-ingest-XXXXXX",
		 INGEST_PATH_BYTES - 32, whole);
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!mkdtemp(directory) || told == MAP_FAILED) {
		fprintf(stderr, "bench_ingest: %s: %s\n", directory, strerror(errno));
		exit(2);
	}
	ring_make(directory, settings->data, RING_BYTES);
	daemon = ingest_daemon_start(directory, RING_BYTES, settings->realtime);
	ring = ring_open(directory, RING_BYTES);
	if (ring < 0) {
		fprintf(stderr,
			"bench_ingest: the daemon does not read its ring; see %s/daemon.log\n",
			directory);
		exit(2);
	}
	phase->ring_bytes = (uint64_t)fcntl(ring, F_GETPIPE_SZ);
	watch = watch_open(directory);
	settle_disk(directory);
	process_read(daemon, &phase->before);
	begin_ns = clock_boottime_ns();
	machine_us = machine_cpu_us();
	own_us = own_cpu_us();
	producer = ring_produce(ring, directory, settings->data, &phase->load, told);
	phase->took_ns = follow(watch, phase, told, &latencies) - begin_ns;
	process_read(daemon, &phase->after);
	waitpid(producer, NULL, 0);
	own_us = own_cpu_us() - own_us + phase->after.cpu_us - phase->before.cpu_us;
	machine_us = machine_cpu_us() - machine_us;
	phase->busy = machine_us > own_us ? (double)(machine_us - own_us) * 1000 /
						    (double)(clock_boottime_ns() - begin_ns)
					  : 0;
	phase->told = *told;
	phase->p50_us = latency_at(&latencies, 0.5);
	phase->p99_us = latency_at(&latencies, 0.99);
	phase->max_us = latency_at(&latencies, 1);
	free(latencies.us);
	watch_close(watch);
	ingest_daemon_stop(daemon);
	close(ring);
	if (limits)
		limits_measure(directory, limits);
	munmap(told, sizeof(*told));
}

static double cpu_us(const struct phase *phase)
{
	uint64_t n = phase->told.produced - phase->told.lost;

	return n ? (double)(phase->after.cpu_us - phase->before.cpu_us) / (double)n : 0;
}

static double rate_of(const struct phase *phase)
{
	return (double)phase->stored.records * 1e9 / (double)phase->took_ns;
}

static void print_limits(const struct limits *limits)
{
	printf("\n  this disk: %.0f fdatasync/s; one row in a transaction of its own: %.0f/s, p50 %.1f ms, p99 %.1f ms;\n"
	       "  bare INSERTs of the same rows, 1,000 in a transaction: %.0f/s, %.1f us of CPU each\n",
	       limits->syncs_per_second, limits->singles_per_second,
	       (double)limits->single_p50_us / 1000, (double)limits->single_p99_us / 1000,
	       limits->rows_per_second, limits->row_cpu_us);
}

static void print_phase(const struct phase *phase, const struct limits *limits)
{
	const struct stored *stored = &phase->stored;
	int64_t missing = (int64_t)(phase->told.produced - stored->records - stored->lost);

	printf("\n%s\n", phase->name);
	printf("  produced %llu = rows %llu + coalesced %llu + lost %llu%s (%lld missing); the ring of %llu KiB was full for %llu\n",
	       (unsigned long long)phase->told.produced, (unsigned long long)stored->rows,
	       (unsigned long long)(stored->records - stored->rows),
	       (unsigned long long)stored->lost, missing ? ": NO" : "", (long long)missing,
	       (unsigned long long)phase->ring_bytes >> 10, (unsigned long long)phase->told.lost);
	if (phase->load.records == RING_DISTINCT && phase->load.rate)
		printf("  readable to durable: p50 %.1f ms, p99 %.1f ms, max %.1f ms; %.1f and %.1f x a bare row's\n"
		       "  target: p99 at most %d ms: %s\n",
		       (double)phase->p50_us / 1000, (double)phase->p99_us / 1000,
		       (double)phase->max_us / 1000,
		       (double)phase->p50_us / (double)limits->single_p50_us,
		       (double)phase->p99_us / (double)limits->single_p99_us, TARGET_P99_US / 1000,
		       phase->p99_us <= TARGET_P99_US ? "met" : "MISSED");
	else
		printf("  %.0f records durable per second, %.2f x bare INSERTs; %llu incidents, %llu records belong to none\n",
		       rate_of(phase), rate_of(phase) / limits->rows_per_second,
		       (unsigned long long)stored->incidents, (unsigned long long)stored->apart);
	printf("  CPU %.1f us per record, %.1f x a bare INSERT; resident %.1f -> %.1f MiB, of it heap and stacks %.1f -> %.1f MiB\n"
	       "  others took %.1f CPUs of this machine\n",
	       cpu_us(phase), cpu_us(phase) / limits->row_cpu_us,
	       (double)phase->before.resident_bytes / (1 << 20),
	       (double)phase->after.resident_bytes / (1 << 20),
	       (double)phase->before.anonymous_bytes / (1 << 20),
	       (double)phase->after.anonymous_bytes / (1 << 20), phase->busy);
}

static void print_json_phase(FILE *out, const struct phase *phase, bool first)
{
	fprintf(out,
		"%s\n    {\"name\": \"%s\", \"rate\": %llu, \"produced\": %llu, \"rows\": %llu, "
		"\"records\": %llu, \"lost\": %llu, \"ring_full\": %llu, \"incidents\": %llu,\n"
		"     \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u, \"seconds\": %.3f, "
		"\"records_per_second\": %.0f, \"cpu_us\": %.2f,\n"
		"     \"resident_bytes\": [%llu, %llu], \"anonymous_bytes\": [%llu, %llu], "
		"\"others_cpus\": %.2f}",
		first ? "" : ",", phase->name, (unsigned long long)phase->load.rate,
		(unsigned long long)phase->told.produced, (unsigned long long)phase->stored.rows,
		(unsigned long long)phase->stored.records, (unsigned long long)phase->stored.lost,
		(unsigned long long)phase->told.lost, (unsigned long long)phase->stored.incidents,
		phase->p50_us, phase->p99_us, phase->max_us, (double)phase->took_ns / 1e9,
		rate_of(phase), cpu_us(phase), (unsigned long long)phase->before.resident_bytes,
		(unsigned long long)phase->after.resident_bytes,
		(unsigned long long)phase->before.anonymous_bytes,
		(unsigned long long)phase->after.anonymous_bytes, phase->busy);
}

static void print_json(const struct settings *settings, const struct limits *limits,
		       const struct phase *phases)
{
	FILE *out = strcmp(settings->json, "-") ? fopen(settings->json, "w") : stdout;

	if (!out) {
		fprintf(stderr, "bench_ingest: %s: %s\n", settings->json, strerror(errno));
		exit(2);
	}
	fprintf(out,
		"{\n  \"benchmark\": \"ingest\", \"cpus\": %ld, \"seconds\": %u, \"realtime\": %s,\n"
		"  \"limits\": {\"syncs_per_second\": %.0f, \"singles_per_second\": %.0f, "
		"\"single_p50_us\": %u, \"single_p99_us\": %u, \"rows_per_second\": %.0f, "
		"\"row_cpu_us\": %.2f},\n  \"phases\": [",
		sysconf(_SC_NPROCESSORS_ONLN), settings->seconds,
		settings->realtime ? "true" : "false", limits->syncs_per_second,
		limits->singles_per_second, limits->single_p50_us, limits->single_p99_us,
		limits->rows_per_second, limits->row_cpu_us);
	for (int i = 0; i < PHASES; i++)
		print_json_phase(out, &phases[i], i == 0);
	fprintf(out, "\n  ]\n}\n");
	if (out != stdout)
		fclose(out);
}

__attribute__((noreturn)) static void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"bench_ingest [--seconds N] [--directory DIR] [--timeshare] [--json FILE|-] [--data DIR]\n"
		"  --seconds    of each load with a rate, 1 to %d (10)\n"
		"  --directory  on the disk to measure (build)\n"
		"  --timeshare  the daemon runs under SCHED_OTHER; by default under SCHED_FIFO, as\n"
		"               daxmgrd.service has it\n"
		"  --data       formats and pages recorded from a kernel (tests/data/trace/6.12)\n",
		SECONDS_MAX);
	exit(status);
}

static unsigned int number(const char *text, unsigned long min, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value < min || value > max)
		usage(2);
	return (unsigned int)value;
}

static void parse(int argc, char **argv, struct settings *settings)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 's'},
		{"directory", required_argument, NULL, 'D'},
		{"timeshare", no_argument, NULL, 'T'},
		{"json", required_argument, NULL, 'j'},
		{"data", required_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
		switch (c) {
		case 's':
			settings->seconds = number(optarg, 1, SECONDS_MAX);
			break;
		case 'D':
			settings->directory = optarg;
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

/* Whether this is allowed here: in some control groups it is not. */
static bool may_be_realtime(void)
{
	const struct sched_param fifo = {.sched_priority = 1}, other = {0};

	if (sched_setscheduler(0, SCHED_FIFO, &fifo) < 0)
		return false;
	sched_setscheduler(0, SCHED_OTHER, &other);
	return true;
}

static const struct {
	const char *name;
	struct ring_load load; /* with a rate: for so many seconds */
} loads[PHASES] = {
	{"as fast as they are taken", {RING_DISTINCT, 0, FLOOD_RECORDS}},
	{"1,000 a second", {RING_DISTINCT, 1000, 0}},
	{"10,000 a second", {RING_DISTINCT, 10000, 0}},
	{"100,000 equal ones a second", {RING_DUPLICATE, 100000, 0}},
};

int main(int argc, char **argv)
{
	struct settings settings = {
		.data = "tests/data/trace/6.12",
		.directory = "build",
		.seconds = 10,
		.realtime = true,
	};
	static struct phase phases[PHASES];
	struct limits limits = {0};
	bool table;

	/* The daemon's workers are this program once more. */
	if (argc == 2 && !strcmp(argv[1], "--worker"))
		return worker_main(WORKER_SOCKET_FD);
	parse(argc, argv, &settings);
	table = !settings.json || strcmp(settings.json, "-");
	settings.realtime = settings.realtime && may_be_realtime();
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < PHASES; i++) {
		phases[i].name = loads[i].name;
		phases[i].load = loads[i].load;
		if (loads[i].load.rate)
			phases[i].load.n = loads[i].load.rate * settings.seconds;
	}
	if (table)
		printf("ingest: %u s of each rate; %ld CPUs; %s; from the page being readable to the row being durable\n",
		       settings.seconds, sysconf(_SC_NPROCESSORS_ONLN),
		       settings.realtime ? "SCHED_FIFO" : "SCHED_OTHER");
	for (int i = 0; i < PHASES; i++) {
		play(&settings, &phases[i], i == 0 ? &limits : NULL);
		if (table && i == 0)
			print_limits(&limits);
		if (table)
			print_phase(&phases[i], &limits);
		fflush(stdout);
	}
	if (settings.json)
		print_json(&settings, &limits, phases);
	/* Not before: a file system that gives freed blocks back is busy with that in the next phase. */
	for (int i = 0; i < PHASES; i++)
		remove_directory(phases[i].directory);
	return 0;
}
