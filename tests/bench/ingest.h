/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the ingest benchmark: a directory that plays tracefs, a process
 * that fills its ring, the daemon as it is on top of it, and somebody else who
 * looks into the database for what is durable.
 */
#ifndef TESTS_BENCH_INGEST_H
#define TESTS_BENCH_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	INGEST_PATH_BYTES = 160,
	INGEST_SERIAL =
		0x10, /* of the memdev that records are about; in tests/port/demo-tree.txt it has a region */
};

#define INGEST_PORT "0000:0c:00.0" /* that it hangs below */

/* ---- ingest_ring.c: tracefs and its producer ---- */

enum ring_records {
	RING_DISTINCT, /* each names another address */
	RING_DUPLICATE, /* the loss of a port, then all the same but for their time */
};

struct ring_load {
	enum ring_records records;
	uint64_t rate; /* records per second; 0: as fast as they are taken */
	uint64_t n; /* how many */
};

/* Shared with the process that produces. */
struct ring_told {
	uint64_t produced;
	uint64_t lost; /* of these, never read: the ring was full */
	uint64_t last_ns; /* CLOCK_BOOTTIME when the last page became readable */
	bool finished;
};

void directories_above(const char *path);
/* A file below `directory`; directories above it are made. Ends the program on failure. */
void file_put(const char *directory, const char *name, const char *text, size_t bytes);
/* Lays out DIRECTORY/tracing with one CPU and the events of `formats`. Ends the program on failure. */
void ring_make(const char *directory, const char *formats, uint64_t bytes);
/* Waits until the daemon reads, then opens the ring for writing, at most `bytes` large. Return: a descriptor, or -1. */
int ring_open(const char *directory, uint64_t bytes);
/* Starts a process that makes pages of what general-media.page in `formats` holds. */
pid_t ring_produce(int fd, const char *directory, const char *formats, const struct ring_load *load,
		   struct ring_told *told);

/* ---- ingest_daemon.c ---- */

struct process_figures {
	uint64_t cpu_us;
	uint64_t resident_bytes;
	uint64_t anonymous_bytes; /* of these: heap and stacks */
	uint64_t locked_bytes;
};

/* Forks; the child is the daemon with all its state in `directory`. */
pid_t ingest_daemon_start(const char *directory, uint64_t ring_bytes, bool realtime);
/* Asks it to end, as the service manager does. */
void ingest_daemon_stop(pid_t pid);
void process_read(pid_t pid, struct process_figures *ret);
/* Of this process and those of its children that it has waited for. */
uint64_t own_cpu_us(void);
/* That all processes of this machine have used since its boot. */
uint64_t machine_cpu_us(void);

/* ---- ingest_watch.c: what is durable, as another process sees it ---- */

struct latencies {
	uint32_t *us;
	size_t n, room;
};

struct stored {
	uint64_t rows; /* of records of the trace */
	uint64_t records; /* that these rows stand for */
	uint64_t lost; /* that gaps tell of */
	uint64_t incidents;
	uint64_t apart; /* records of devices that belong to none of them */
};

struct watch;

/* Ends the program when the database does not come. */
struct watch *watch_open(const char *directory);
void watch_close(struct watch *watch);
/* Rows that are new since the last call; their age goes into `ret`. Return: how many. */
uint64_t watch_rows(struct watch *watch, struct latencies *ret);
void watch_account(struct watch *watch, struct stored *ret);

/* In microseconds; sorts. `share` of them are not above it. */
uint32_t latency_at(struct latencies *latencies, double share);

/* ---- ingest_limit.c: what the disk and SQLite can do ---- */

struct limits {
	double syncs_per_second; /* 4 KiB appended and made durable */
	double singles_per_second; /* one row in a transaction of its own */
	uint32_t single_p50_us, single_p99_us;
	double rows_per_second; /* 1,000 rows in a transaction */
	double row_cpu_us;
};

/* In `directory`, on the disk that the database is on; rows are those of the database there. */
void limits_measure(const char *directory, struct limits *ret);

#endif
