/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace.h"

#include "trace_formats.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <tracefs.h>
#include <unistd.h>

enum {
	PAGES_PER_DISPATCH = 64, /* then other sources get their turn */
	PAGES_PER_DRAIN = 16384, /* a storm must not hold the caller for ever */
	CPUS_MAX = 8192,
};

struct trace_cpu {
	struct trace *trace;
	uint32_t cpu;
	int fd;
	bool asleep;
	sd_event_source *source;
};

struct trace {
	struct trace_formats formats;
	struct trace_pump pump;
	struct tracefs_instance *instance;
	struct trace_report report;
	uint64_t overrun_base; /* what was lost before this daemon looked, or is reported */
	uint64_t lost_base;    /* pump's count of lost records at that moment */
	uint32_t n_cpus;
	struct trace_cpu *cpus;
};

static const char *const single_events[][2] = {
	{"ras", "aer_event"},
	{"pci", "pci_hp_event"},
	{"ras", "memory_failure_event"},
	{"mce", "mce_record"},
};

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

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct trace_cpu *cpu = userdata;
	int r = 0;

	if (revents & EPOLLIN)
		r = trace_pump_read(&cpu->trace->pump, cpu->cpu, fd, PAGES_PER_DISPATCH);
	else
		r = -ENODEV;
	if (r >= 0)
		return 0;

	/* A CPU that is not there polls as an error for ever: leave it to trace_check(). */
	cpu->asleep = true;
	cpu->trace->report.n_cpus_asleep++;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

static void note_event(struct trace *trace, const char *system, const char *name,
		       enum trace_event_state state)
{
	struct trace_report *report = &trace->report;
	struct trace_event_report *event;

	if (report->n_events == TRACE_EVENTS_MAX)
		return;
	event = &report->events[report->n_events++];
	snprintf(event->name, sizeof(event->name), "%s:%s", system, name);
	event->state = state;
}

static enum trace_event_state enable_event(struct trace *trace, const char *system,
					   const char *name)
{
	char *text;
	int bytes = 0;
	int r;

	if (!tracefs_event_file_exists(trace->instance, system, name, "format"))
		return TRACE_EVENT_MISSING;
	text = tracefs_event_file_read(trace->instance, system, name, "format", &bytes);
	if (!text)
		return TRACE_EVENT_REFUSED;
	r = trace_formats_add(&trace->formats, system, text, (size_t)bytes);
	free(text);
	if (r < 0 || tracefs_event_enable(trace->instance, system, name) < 0)
		return TRACE_EVENT_REFUSED;
	return TRACE_EVENT_ENABLED;
}

static void enable_cxl_events(struct trace *trace)
{
	char **names = tracefs_system_events(NULL, "cxl");

	if (!names || !names[0])
		note_event(trace, "cxl", "*", TRACE_EVENT_MISSING);
	for (char **name = names; name && *name; name++)
		note_event(trace, "cxl", *name, enable_event(trace, "cxl", *name));
	tracefs_list_free(names);
}

static int enable_events(struct trace *trace, char problem[ISO_TEXT_BYTES])
{
	for (size_t i = 0; i < sizeof(single_events) / sizeof(single_events[0]); i++) {
		const char *system = single_events[i][0];
		const char *name = single_events[i][1];

		note_event(trace, system, name, enable_event(trace, system, name));
	}
	enable_cxl_events(trace);

	for (uint32_t i = 0; i < trace->report.n_events; i++)
		if (trace->report.events[i].state == TRACE_EVENT_ENABLED)
			return 0;
	return problem_set(problem, -ENODEV, "trace: none of the events can be enabled");
}

/* Every write that is not needed is left out: a new clock would empty an adopted ring. */
static int set_clock(struct trace *trace)
{
	char *clock = tracefs_get_clock(trace->instance);
	bool right = clock && !strcmp(clock, "boot");

	free(clock);
	if (right)
		return 0;
	return tracefs_instance_file_write(trace->instance, "trace_clock", "boot") < 0
		       ? last_error()
		       : 0;
}

static int set_size(struct trace *trace, size_t bytes)
{
	size_t kib = (bytes + 1023) / 1024;
	ssize_t now = tracefs_instance_get_buffer_size(trace->instance, 0);

	if (now >= 0 && (size_t)now == kib)
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
	r = sd_event_add_io(loop, &cpu->source, cpu->fd, EPOLLIN, on_readable, cpu);
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

static uint64_t read_overrun(struct trace *trace)
{
	uint64_t overrun = 0;

	for (uint32_t i = 0; i < trace->n_cpus; i++) {
		struct tracefs_buffer_stat *stat =
			tracefs_instance_get_stat(trace->instance, (int)trace->cpus[i].cpu);
		ssize_t count;

		if (!stat)
			continue;
		count = tracefs_buffer_stat_overrun(stat);
		if (count > 0)
			overrun += (uint64_t)count;
		tracefs_instance_put_stat(stat);
	}
	return overrun;
}

int trace_open(sd_event *loop, const struct trace_setup *setup, struct trace **ret,
	       char problem[ISO_TEXT_BYTES])
{
	struct trace *trace;
	int r;

	tracefs_set_loglevel(TEP_LOG_NONE);
	trace = calloc(1, sizeof(*trace));
	if (!trace)
		return problem_set(problem, -ENOMEM, "trace");

	r = prepare_instance(trace, setup, problem);
	if (r == 0)
		r = enable_events(trace, problem);
	if (r == 0) {
		r = trace_pump_init(&trace->pump, &trace->formats, page_bytes(trace),
				    setup->on_record, setup->on_gap, setup->userdata);
		if (r == 0)
			trace_pump_set_early(&trace->pump, setup->on_early);
		else
			problem_set(problem, r, "trace: cannot prepare the decoder");
	}
	if (r == 0)
		r = open_cpus(trace, loop, setup->priority, problem);
	if (r < 0) {
		trace_close(trace);
		return r;
	}

	/* What an earlier daemon lost is no news: every start observes anyway. */
	trace->report.overrun = read_overrun(trace);
	trace->overrun_base = trace->report.overrun;
	*ret = trace;
	return 0;
}

struct trace *trace_close(struct trace *trace)
{
	if (!trace)
		return NULL;
	for (uint32_t i = 0; i < trace->n_cpus; i++) {
		sd_event_source_disable_unref(trace->cpus[i].source);
		close(trace->cpus[i].fd);
	}
	free(trace->cpus);
	trace_pump_done(&trace->pump);
	if (trace->instance)
		tracefs_instance_free(trace->instance);
	free(trace);
	return NULL;
}

void trace_drain(struct trace *trace)
{
	for (uint32_t i = 0; i < trace->n_cpus; i++)
		(void)trace_pump_read(&trace->pump, trace->cpus[i].cpu, trace->cpus[i].fd,
				      PAGES_PER_DRAIN);
}

static void wake_cpus(struct trace *trace)
{
	for (uint32_t i = 0; i < trace->n_cpus; i++) {
		struct trace_cpu *cpu = &trace->cpus[i];

		if (!cpu->asleep)
			continue;
		cpu->asleep = false;
		trace->report.n_cpus_asleep--;
		sd_event_source_set_enabled(cpu->source, SD_EVENT_ON);
	}
}

void trace_check(struct trace *trace)
{
	struct trace_counts *counts = &trace->pump.counts;
	uint64_t overrun = read_overrun(trace);
	uint64_t lost, told;

	wake_cpus(trace);
	/* In this order: pages tell of all that had been overwritten when it was counted. */
	trace_drain(trace);

	trace->report.overrun = overrun;
	lost = overrun - trace->overrun_base;
	told = counts->lost - trace->lost_base;
	if (overrun < trace->overrun_base) {
		/* Somebody else emptied or remade the rings: how much is gone cannot be known. */
		counts->gaps++;
		trace->pump.on_gap(trace->pump.userdata, TRACE_GAP_LOST, 0);
	} else if (lost > told) {
		counts->gaps++;
		counts->lost += lost - told;
		trace->pump.on_gap(trace->pump.userdata, TRACE_GAP_LOST, lost - told);
	}
	trace->overrun_base = overrun;
	trace->lost_base = counts->lost;
}

void trace_get_report(const struct trace *trace, struct trace_report *ret)
{
	*ret = trace->report;
	ret->n_cpus = trace->n_cpus;
	ret->counts = trace->pump.counts;
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
