/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "trace_internal.h"

enum { CPUS_MAX = 8192 };

/* Return: `error`, so that a caller can say and leave in one line. */
__attribute__((format(printf, 3, 4))) static int problem_set(char problem[ISO_TEXT_BYTES],
							     int error, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(problem, ISO_TEXT_BYTES, format, arguments);
	va_end(arguments);
	if (n >= 0 && n < ISO_TEXT_BYTES)
		snprintf(problem + n, ISO_TEXT_BYTES - (size_t)n, ": %s", strerror(-error));
	return error;
}

/* libtracefs returns -1 and leaves errno, sometimes 0. */
static int last_error(void)
{
	return errno > 0 ? -errno : -EIO;
}

static int enable_events(struct trace *trace, char problem[ISO_TEXT_BYTES])
{
	trace_enable_events(trace);
	for (uint32_t i = 0; i < trace->report.n_events; i++)
		if (trace->report.events[i].state == TRACE_EVENT_ENABLED)
			return 0;
	return problem_set(problem, -ENODEV, "trace: none of the events can be enabled");
}

int trace_use_boot_clock(struct trace *trace)
{
	return tracefs_instance_file_write(trace->instance, "trace_clock", "boot") < 0
		       ? last_error()
		       : 0;
}

/*
 * A new clock empties the rings. What waits in those that were found is read
 * with the one they have, and trace_check() changes it when they are empty.
 */
static int set_clock(struct trace *trace)
{
	char *clock = tracefs_get_clock(trace->instance);
	bool right = clock && !strcmp(clock, "boot");

	free(clock);
	trace->has_other_clock = !right && trace->report.adopted;
	return right || trace->has_other_clock ? 0 : trace_use_boot_clock(trace);
}

/* A ring that is larger is left so: making it smaller would cost what waits in it. */
static int set_size(struct trace *trace, size_t bytes)
{
	size_t kib = (bytes + 1023) / 1024;
	ssize_t now = tracefs_instance_get_buffer_size(trace->instance, 0);

	trace->report.ring_bytes = (uint64_t)(now > (ssize_t)kib ? (size_t)now : kib) * 1024;
	if (now >= 0 && ((size_t)now == kib || (trace->report.adopted && (size_t)now > kib)))
		return 0;
	return tracefs_instance_set_buffer_size(trace->instance, kib, -1) < 0 ? last_error() : 0;
}

static int prepare_instance(struct trace *trace, const struct trace_setup *setup,
			    char problem[ISO_TEXT_BYTES])
{
	int r;

	errno = 0;
	trace->instance = tracefs_instance_create(setup->instance);
	if (!trace->instance)
		return problem_set(problem, errno > 0 ? -errno : -ENODEV,
				   "trace: cannot create the tracefs instance %s", setup->instance);
	trace->report.adopted = !tracefs_instance_is_new(trace->instance);

	r = set_clock(trace);
	if (r < 0)
		return problem_set(problem, r, "trace: cannot set the clock to boot");
	r = set_size(trace, setup->buffer_bytes);
	if (r < 0)
		return problem_set(problem, r, "trace: cannot make the buffers %zu bytes per CPU",
				   setup->buffer_bytes);
	/* Otherwise poll() sleeps until a ring is half full. */
	if (tracefs_instance_set_buffer_percent(trace->instance, 0) < 0)
		return problem_set(problem, last_error(), "trace: cannot set buffer_percent to 0");
	if (tracefs_option_enable(trace->instance, TRACEFS_OPTION_OVERWRITE) < 0)
		return problem_set(problem, last_error(), "trace: cannot set overwrite");
	if (tracefs_trace_on(trace->instance) < 0)
		return problem_set(problem, last_error(), "trace: cannot turn recording on");
	return 0;
}

/* Sub-buffers may be larger than a page. */
static size_t page_bytes(struct trace *trace)
{
	ssize_t kib = tracefs_instance_get_subbuf_size(trace->instance);
	long page = sysconf(_SC_PAGESIZE);

	return kib > 0 ? (size_t)kib * 1024 : (size_t)page;
}

static int open_cpu(struct trace *trace, uint32_t number, sd_event *loop, int64_t priority)
{
	struct trace_cpu *cpu = &trace->cpus[trace->n_cpus];
	char file[64];
	int r;

	snprintf(file, sizeof(file), "per_cpu/cpu%u/trace_pipe_raw", number);
	errno = 0;
	*cpu = (struct trace_cpu){.trace = trace, .cpu = number};
	cpu->fd = tracefs_instance_file_open(trace->instance, file,
					     O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (cpu->fd < 0)
		return last_error();
	trace->n_cpus++;
	r = sd_event_add_io(loop, &cpu->source, cpu->fd, EPOLLIN, trace_on_readable, cpu);
	if (r < 0)
		return r;
	return sd_event_source_set_priority(cpu->source, priority);
}

/* Numbers of per_cpu/cpuN in no order: every CPU that can ever be there has one. */
static int list_cpus(struct trace *trace, uint32_t **ret, uint32_t *ret_n)
{
	char *path = tracefs_instance_get_file(trace->instance, "per_cpu");
	DIR *directory = path ? opendir(path) : NULL;
	uint32_t *numbers = calloc(CPUS_MAX, sizeof(*numbers));
	struct dirent *entry;
	uint32_t n = 0;
	int r = 0;

	if (!directory)
		r = last_error();
	else if (!numbers)
		r = -ENOMEM;
	while (r == 0 && n < CPUS_MAX && (entry = readdir(directory)))
		n += sscanf(entry->d_name, "cpu%u", &numbers[n]) == 1;
	if (directory)
		closedir(directory);
	tracefs_put_tracing_file(path);
	if (r == 0 && n == 0)
		r = -ENODEV;
	if (r < 0) {
		free(numbers);
		return r;
	}
	*ret = numbers;
	*ret_n = n;
	return 0;
}

static int open_cpus(struct trace *trace, sd_event *loop, int64_t priority,
		     char problem[ISO_TEXT_BYTES])
{
	uint32_t *numbers = NULL;
	uint32_t n = 0;
	int r;

	errno = 0;
	r = list_cpus(trace, &numbers, &n);
	if (r < 0)
		return problem_set(problem, r, "trace: cannot list the rings");
	trace->cpus = calloc(n, sizeof(*trace->cpus));
	if (!trace->cpus)
		r = problem_set(problem, -ENOMEM, "trace");
	for (uint32_t i = 0; r >= 0 && i < n; i++) {
		r = open_cpu(trace, numbers[i], loop, priority);
		if (r < 0)
			problem_set(problem, r, "trace: cannot read the ring of CPU %u",
				    numbers[i]);
	}
	free(numbers);
	return r < 0 ? r : 0;
}

/* Where what may take long to become durable is kept: a file if that can be, memory if not. */
static int open_spool(struct trace *trace, const struct trace_setup *setup,
		      char problem[ISO_TEXT_BYTES])
{
	struct trace_spool_setup spool = {
		.path = setup->spool,
		.boot_id = setup->boot_id ? setup->boot_id : "",
		.page_bytes = page_bytes(trace),
		.bytes = setup->spool_bytes,
	};
	enum trace_spool_found found = TRACE_SPOOL_NEW;
	int r = -ENOENT;

	if (setup->spool)
		r = trace_spool_open(&spool, &trace->spool, &found, trace->report.spool_problem);
	if (r < 0) {
		spool.path = NULL;
		trace->report.spool_in_memory = true;
		r = trace_spool_open(&spool, &trace->spool, &found, problem);
	}
	trace->report.spool_aside = found == TRACE_SPOOL_ASIDE;
	trace->report.spool_slots = r < 0 ? 0 : trace_spool_slots(trace->spool);
	return r;
}

static int open_pump(struct trace *trace, const struct trace_setup *setup,
		     char problem[ISO_TEXT_BYTES])
{
	int r = trace_pump_init(&trace->pump, &trace->formats, page_bytes(trace), setup->on_record,
				setup->on_gap, setup->userdata);

	if (r < 0)
		return problem_set(problem, r, "trace: cannot prepare the decoder");
	trace_pump_set_early(&trace->pump, setup->on_early);
	trace_pump_set_spool(&trace->pump, trace->spool);
	return 0;
}

static int open_stats(struct trace *trace)
{
	char *path = tracefs_instance_get_file(trace->instance, "per_cpu");

	trace->stats_fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	tracefs_put_tracing_file(path);
	return trace->stats_fd < 0 ? last_error() : 0;
}

/* What was left is brought when the loop runs: then it is known again whom it may be about. */
static int on_replay(sd_event_source *source, void *userdata)
{
	struct trace *trace = userdata;

	(void)source;
	trace->replay = sd_event_source_unref(trace->replay);
	trace_pump_replay(&trace->pump, &trace->mark);
	trace_flow_compare_ring(trace);
	for (uint32_t i = 0; i < trace->n_cpus; i++)
		sd_event_source_set_enabled(trace->cpus[i].source, SD_EVENT_ON);
	if (trace->pump.blocked)
		trace_durable(trace, 0, 0);
	return 0;
}

static int prepare_replay(struct trace *trace, const struct trace_setup *setup, sd_event *loop)
{
	char id[33];
	int r;

	snprintf(id, sizeof(id), "%032" PRIx64, trace_spool_id(trace->spool));
	if (!setup->load_mark || !setup->load_mark(setup->userdata, id, &trace->mark))
		trace->mark = (struct trace_spool_place){0};
	trace->mark.spool = trace_spool_id(trace->spool);
	for (uint32_t i = 0; i < trace->n_cpus; i++)
		sd_event_source_set_enabled(trace->cpus[i].source, SD_EVENT_OFF);
	r = sd_event_add_defer(loop, &trace->replay, on_replay, trace);
	return r < 0 ? r : sd_event_source_set_priority(trace->replay, setup->priority);
}

static int open_all(struct trace *trace, sd_event *loop, const struct trace_setup *setup,
		    char problem[ISO_TEXT_BYTES])
{
	int r;

	r = prepare_instance(trace, setup, problem);
	if (r == 0)
		r = enable_events(trace, problem);
	if (r < 0)
		return r;
	r = open_spool(trace, setup, problem);
	if (r < 0)
		return r;
	r = open_pump(trace, setup, problem);
	if (r == 0)
		r = open_cpus(trace, loop, setup->priority, problem);
	if (r < 0)
		return r;
	r = open_stats(trace);
	if (r == 0)
		r = trace_flow_open(trace, loop, setup->priority);
	if (r == 0)
		r = prepare_replay(trace, setup, loop);
	return r < 0 ? problem_set(problem, r, "trace: cannot watch the rings") : 0;
}

static struct trace *trace_new(const struct trace_setup *setup)
{
	struct trace *trace = calloc(1, sizeof(*trace));

	tracefs_set_loglevel(TEP_LOG_NONE);
	if (!trace)
		return NULL;
	trace->stats_fd = -1;
	trace->on_format = setup->on_format;
	trace->userdata = setup->userdata;
	return trace;
}

int trace_prepare(const struct trace_setup *setup, char problem[ISO_TEXT_BYTES])
{
	struct trace *trace = trace_new(setup);
	int r;

	if (!trace)
		return problem_set(problem, -ENOMEM, "trace");
	r = prepare_instance(trace, setup, problem);
	if (r == 0)
		r = enable_events(trace, problem);
	trace_close(trace);
	return r;
}

int trace_open(sd_event *loop, const struct trace_setup *setup, struct trace **ret,
	       char problem[ISO_TEXT_BYTES])
{
	struct trace *trace = trace_new(setup);
	int r;

	if (!trace)
		return problem_set(problem, -ENOMEM, "trace");
	r = open_all(trace, loop, setup, problem);
	if (r < 0) {
		trace_close(trace);
		return r;
	}
	*ret = trace;
	return 0;
}

struct trace *trace_close(struct trace *trace)
{
	if (!trace)
		return NULL;
	trace->replay = sd_event_source_disable_unref(trace->replay);
	trace_flow_close(trace);
	trace_pump_done(&trace->pump);
	trace_spool_close(trace->spool);
	if (trace->stats_fd >= 0)
		close(trace->stats_fd);
	if (trace->instance)
		tracefs_instance_free(trace->instance);
	free(trace);
	return NULL;
}

void trace_refuse(struct trace *trace)
{
	trace_pump_refuse(&trace->pump);
}

uint32_t trace_also(struct trace *trace)
{
	return trace_pump_also(&trace->pump);
}

uint64_t trace_place(const struct trace *trace, uint32_t *ret_index)
{
	return trace_pump_place(&trace->pump, ret_index);
}

const struct trace_formats *trace_formats_of(const struct trace *trace)
{
	return &trace->formats;
}

void trace_get_report(const struct trace *trace, struct trace_report *ret)
{
	*ret = trace->report;
	ret->n_cpus = trace->n_cpus;
	ret->counts = trace->pump.counts;
	ret->dropped = trace_spool_dropped(trace->spool);
	ret->told = trace_spool_lost(trace->spool);
	ret->spool_used =
		(uint32_t)(trace_spool_next(trace->spool) - trace_spool_first(trace->spool));
}

const char *trace_event_state_name(enum trace_event_state state)
{
	switch (state) {
	case TRACE_EVENT_ENABLED:
		return "enabled";
	case TRACE_EVENT_MISSING:
		return "missing";
	case TRACE_EVENT_REFUSED:
		return "refused";
	}
	return "unknown";
}
