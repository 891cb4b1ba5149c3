/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../data/trace_files.h"
#include "../data/trace_page.h"
#include "clock.h"
#include "source/trace_pump.h"

enum {
	TICK_NS = 1000000, /* records become readable in this step, as many as are due */
	OPEN_SECONDS = 20,
	ADDRESS_STEP = 64,
	RING_BYTES_MIN = 1 << 16,
};

struct pattern {
	uint8_t bytes[1024];
	uint32_t n;
	size_t dpa, handle, stamp;
};

struct ring {
	int fd;
	int stats_fd;
	uint64_t n_unread; /* lost, and no page has told of it yet */
	uint64_t overrun;
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list arguments;

	fputs("bench_ingest: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(2);
}

void directories_above(const char *path)
{
	char part[PATH_MAX];

	snprintf(part, sizeof(part), "%s", path);
	for (char *at = part + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			die("%s", part);
		*at = '/';
	}
}

void file_put(const char *directory, const char *name, const char *text, size_t bytes)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	directories_above(path);
	file = fopen(path, "w");
	if (!file || fwrite(text, 1, bytes, file) != bytes || fclose(file))
		die("%s", path);
}

static void put_text(const char *directory, const char *name, const char *text)
{
	file_put(directory, name, text, strlen(text));
}

/* "SYSTEM-EVENT.format" becomes events/SYSTEM/EVENT/format. */
static void put_format(const char *tracing, const char *formats, const char *file)
{
	static char text[64 * 1024];
	char from[PATH_MAX], name[PATH_MAX];
	const char *dash = strchr(file, '-'), *dot = strstr(file, ".format");
	size_t n;

	if (!dash || !dot || dot < dash)
		return;
	snprintf(from, sizeof(from), "%s/%s", formats, file);
	n = trace_file_read(from, text, sizeof(text));
	snprintf(name, sizeof(name), "events/%.*s/%.*s/format", (int)(dash - file), file,
		 (int)(dot - dash - 1), dash + 1);
	file_put(tracing, name, text, n);
	strcpy(strrchr(name, '/') + 1, "enable");
	put_text(tracing, name, "0\n");
	/* By this one a system is known. */
	snprintf(name, sizeof(name), "events/%.*s/enable", (int)(dash - file), file);
	put_text(tracing, name, "0\n");
}

void ring_make(const char *directory, const char *formats, uint64_t bytes)
{
	char tracing[PATH_MAX], instance[PATH_MAX + 32], path[PATH_MAX + 64], kib[32];
	struct dirent *entry;
	DIR *files = opendir(formats);

	if (!files)
		die("%s", formats);
	snprintf(tracing, sizeof(tracing), "%s/tracing", directory);
	snprintf(instance, sizeof(instance), "%s/instances/daxmgr", tracing);
	while ((entry = readdir(files)))
		put_format(tracing, formats, entry->d_name);
	closedir(files);
	snprintf(kib, sizeof(kib), "%llu\n", (unsigned long long)bytes / 1024);
	put_text(tracing, "events/enable", "0\n");
	put_text(instance, "trace_clock", "local global [boot]\n");
	put_text(instance, "buffer_size_kb", kib);
	put_text(instance, "buffer_percent", "0\n");
	put_text(instance, "tracing_on", "1\n");
	put_text(instance, "options/overwrite", "1\n");
	put_text(instance, "per_cpu/cpu0/buffer_size_kb", kib);
	put_text(instance, "per_cpu/cpu0/stats", "overrun: 0\ncommit overrun: 0\n");
	snprintf(path, sizeof(path), "%s/events", instance);
	if (symlink("../../events", path) < 0)
		die("%s", path);
	snprintf(path, sizeof(path), "%s/per_cpu/cpu0/trace_pipe_raw", instance);
	if (mkfifo(path, 0600) < 0)
		die("%s", path);
}

int ring_open(const char *directory, uint64_t bytes)
{
	const uint64_t end_ns = clock_boottime_ns() + OPEN_SECONDS * UINT64_C(1000000000);
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/tracing/instances/daxmgr/per_cpu/cpu0/trace_pipe_raw",
		 directory);
	while ((fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
		if (errno != ENXIO || clock_boottime_ns() > end_ns)
			return -1;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	/* A large one is not for everybody. */
	while (fcntl(fd, F_SETPIPE_SZ, (int)bytes) < 0 && bytes > RING_BYTES_MIN)
		bytes /= 2;
	return fd;
}

static void on_record(void *userdata, const struct trace_record *record)
{
	struct pattern *pattern = userdata;

	if (record->raw_bytes > sizeof(pattern->bytes))
		return;
	pattern->n = record->raw_bytes;
	memcpy(pattern->bytes, record->raw, record->raw_bytes);
}

static void on_gap(void *userdata, enum trace_gap gap, uint64_t count)
{
	(void)userdata;
	(void)gap;
	(void)count;
}

static void page_load(const char *formats_directory, const char *name, struct pattern *ret)
{
	static struct trace_formats formats;
	static uint8_t page[TRACE_PAGE_BYTES + TRACE_PAGE_SLACK_BYTES];
	struct trace_pump pump;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s.page", formats_directory, name);
	(void)trace_file_read(path, page, TRACE_PAGE_BYTES);
	if (!formats.n)
		trace_files_formats(formats_directory, &formats);
	if (trace_pump_init(&pump, &formats, TRACE_PAGE_BYTES, on_record, on_gap, ret) < 0)
		die("the recorded page");
	trace_pump_page(&pump, 0, page, TRACE_PAGE_BYTES);
	trace_pump_done(&pump);
	if (!ret->n)
		die("%s has no record", path);
}

/* The recorded media event, made one of a corrected error: it asks for nothing but to be written down. */
static void pattern_load(const char *formats_directory, struct pattern *ret)
{
	const uint64_t serial = INGEST_SERIAL;
	static char text[64 * 1024];
	char path[PATH_MAX];
	size_t n;

	snprintf(path, sizeof(path), "%s/cxl-cxl_general_media.format", formats_directory);
	n = trace_file_read(path, text, sizeof(text) - 1);
	text[n] = '\0';
	ret->dpa = trace_page_offset(text, "dpa");
	ret->handle = trace_page_offset(text, "hdr_handle");
	ret->stamp = trace_page_offset(text, "hdr_timestamp");
	page_load(formats_directory, "general-media", ret);
	ret->bytes[trace_page_offset(text, "descriptor")] = 0;
	memcpy(ret->bytes + trace_page_offset(text, "serial"), &serial, sizeof(serial));
}

/* The recorded loss of a port, of the port that the media event's device is below on our host. */
static void loss_load(const char *formats_directory, struct pattern *ret)
{
	static const char recorded[] = "0000:64:00.0", ours[sizeof(recorded)] = INGEST_PORT;
	char *at;

	page_load(formats_directory, "surprise-down", ret);
	at = memmem(ret->bytes, ret->n, recorded, sizeof(recorded));
	if (!at)
		die("the recorded loss is not of %s", recorded);
	memcpy(at, ours, sizeof(ours));
}

/* A device numbers its records; two of the same fault differ in that and in their times. */
static void pattern_next(struct pattern *pattern, enum ring_records records, uint64_t number,
			 uint64_t at_ns)
{
	uint64_t dpa = records == RING_DISTINCT ? (number + 1) * ADDRESS_STEP : ADDRESS_STEP;
	uint16_t handle = (uint16_t)(number + 1);

	memcpy(pattern->bytes + pattern->dpa, &dpa, sizeof(dpa));
	memcpy(pattern->bytes + pattern->handle, &handle, sizeof(handle));
	memcpy(pattern->bytes + pattern->stamp, &at_ns, sizeof(at_ns));
}

/* The kernel's own count of what was overwritten, which the daemon compares with what pages told. */
static void tell_overrun(struct ring *ring, uint64_t n)
{
	char text[96];
	int length;

	if (!n)
		return;
	ring->overrun += n;
	length = snprintf(text, sizeof(text), "overrun: %llu\ncommit overrun: 0\n",
			  (unsigned long long)ring->overrun);
	if (pwrite(ring->stats_fd, text, (size_t)length, 0) != length)
		die("the ring's stats");
}

/* Return: false when the ring is full; what the page holds is lost then, and the next one says so. */
static bool hand_over(struct ring *ring, struct trace_page *page, bool wait)
{
	ssize_t n;

	trace_page_end(page, ring->n_unread);
	while ((n = write(ring->fd, page->bytes, TRACE_PAGE_BYTES)) < 0 && errno == EAGAIN && wait)
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	if (n < 0 && errno != EAGAIN)
		die("the ring");
	if (n < 0) {
		ring->n_unread += page->n_records;
		return false;
	}
	tell_overrun(ring, ring->n_unread);
	ring->n_unread = 0;
	return true;
}

/* As many pages as it takes for all that are due. */
static void produce_due(struct ring *ring, struct pattern *pattern, const struct ring_load *load,
			uint64_t due, struct ring_told *told)
{
	static struct trace_page page;

	while (told->produced < due) {
		uint64_t at_ns = clock_boottime_ns();

		trace_page_begin(&page, at_ns);
		while (told->produced < due) {
			pattern_next(pattern, load->records, told->produced, at_ns);
			if (!trace_page_add(&page, at_ns, pattern->bytes, pattern->n))
				break;
			told->produced++;
			at_ns++; /* no two are of the same time */
		}
		if (!hand_over(ring, &page, load->rate == 0))
			told->lost += page.n_records;
	}
}

/* A storm has a cause: the port is lost first. */
static void produce_loss(struct ring *ring, const struct pattern *loss, struct ring_told *told)
{
	static struct trace_page page;
	uint64_t at_ns = clock_boottime_ns();

	trace_page_begin(&page, at_ns);
	trace_page_add(&page, at_ns, loss->bytes, loss->n);
	hand_over(ring, &page, true);
	told->produced++;
}

static void produce(struct ring *ring, struct pattern *pattern, const struct ring_load *load,
		    struct ring_told *told)
{
	const uint64_t begin_ns = clock_boottime_ns();

	while (told->produced < load->n) {
		uint64_t due = load->n, at_ns = clock_boottime_ns() + TICK_NS;

		if (load->rate)
			due = (clock_boottime_ns() - begin_ns) * load->rate / 1000000000;
		if (due > load->n)
			due = load->n;
		produce_due(ring, pattern, load, due, told);
		if (load->rate)
			clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME,
					&(struct timespec){.tv_sec = (time_t)(at_ns / 1000000000),
							   .tv_nsec = (long)(at_ns % 1000000000)},
					NULL);
	}
	/* What nobody read is told by the next page: there has to be one. */
	if (ring->n_unread) {
		struct trace_page page;
		uint64_t at_ns = clock_boottime_ns();

		trace_page_begin(&page, at_ns);
		pattern_next(pattern, load->records, told->produced, at_ns);
		trace_page_add(&page, at_ns, pattern->bytes, pattern->n);
		told->produced++;
		hand_over(ring, &page, true);
	}
	told->last_ns = clock_boottime_ns();
	__atomic_store_n(&told->finished, true, __ATOMIC_RELEASE);
}

pid_t ring_produce(int fd, const char *directory, const char *formats, const struct ring_load *load,
		   struct ring_told *told)
{
	struct ring ring = {.fd = fd};
	char path[PATH_MAX];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/tracing/instances/daxmgr/per_cpu/cpu0/stats", directory);
	ring.stats_fd = open(path, O_WRONLY | O_CLOEXEC);
	if (ring.stats_fd < 0)
		die("%s", path);
	pid = fork();
	if (pid == 0) {
		static struct pattern pattern, loss;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pattern_load(formats, &pattern);
		loss_load(formats, &loss);
		if (load->records == RING_DUPLICATE)
			produce_loss(&ring, &loss, told);
		produce(&ring, &pattern, load, told);
		_exit(0);
	}
	if (pid < 0)
		die("fork");
	close(ring.stats_fd);
	return pid;
}
