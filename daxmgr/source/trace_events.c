/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which events are wanted, and what of them this kernel has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace_internal.h"

/* NULL: all that the system has. */
static const char *const wanted_events[][2] = {
	{"ras", "aer_event"},  {"pci", "pci_hp_event"}, {"ras", "memory_failure_event"},
	{"mce", "mce_record"}, {"cxl", NULL},           {"ras", NULL},
	{"pci", NULL},
};

static struct trace_event_report *find_report(struct trace *trace, const char *full_name)
{
	for (uint32_t i = 0; i < trace->report.n_events; i++)
		if (!strcmp(trace->report.events[i].name, full_name))
			return &trace->report.events[i];
	return NULL;
}

static struct trace_format *find_format(struct trace *trace, const char *system, const char *name)
{
	for (uint32_t i = 0; i < trace->formats.n; i++)
		if (!strcmp(trace->formats.formats[i].system, system) &&
		    !strcmp(trace->formats.formats[i].name, name))
			return &trace->formats.formats[i];
	return NULL;
}

static void save_format(struct trace *trace, const char *system, const char *name, const char *text,
			size_t bytes)
{
	struct trace_format *format = find_format(trace, system, name);

	if (format && trace->on_format)
		format->stored = trace->on_format(trace->userdata, system, name, text, bytes);
}

static enum trace_event_state enable(struct trace *trace, const char *system, const char *name)
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
	if (r == 0)
		save_format(trace, system, name, text, (size_t)bytes);
	free(text);
	if (r < 0 || tracefs_event_enable(trace->instance, system, name) < 0)
		return TRACE_EVENT_REFUSED;
	return TRACE_EVENT_ENABLED;
}

/* Once enabled it stays so; one that is missing may come with its module. */
static void want_event(struct trace *trace, const char *system, const char *name)
{
	struct trace_report *report = &trace->report;
	struct trace_event_report *event;
	char full_name[sizeof(event->name)];

	snprintf(full_name, sizeof(full_name), "%s:%s", system, name);
	event = find_report(trace, full_name);
	if (event && event->state != TRACE_EVENT_MISSING)
		return;
	if (!event) {
		if (report->n_events == TRACE_EVENTS_MAX)
			return;
		event = &report->events[report->n_events++];
		snprintf(event->name, sizeof(event->name), "%s", full_name);
	}
	event->state = enable(trace, system, name);
}

/* A system without any event stands in the report as `system:*`, until it has one. */
static void note_system(struct trace *trace, const char *system, bool has_any)
{
	struct trace_report *report = &trace->report;
	char full_name[TRACE_NAME_BYTES];
	struct trace_event_report *event;

	snprintf(full_name, sizeof(full_name), "%s:*", system);
	event = find_report(trace, full_name);
	if (has_any && event)
		*event = report->events[--report->n_events];
	if (has_any || event || report->n_events == TRACE_EVENTS_MAX)
		return;
	event = &report->events[report->n_events++];
	snprintf(event->name, sizeof(event->name), "%s", full_name);
	event->state = TRACE_EVENT_MISSING;
}

static void want_system(struct trace *trace, const char *system)
{
	char **names = tracefs_system_events(NULL, system);

	note_system(trace, system, names && names[0]);
	for (char **name = names; name && *name; name++)
		want_event(trace, system, *name);
	tracefs_list_free(names);
}

static bool is_on(struct trace *trace, const char *full_name)
{
	char system[TRACE_NAME_BYTES], *state;
	const char *name = strchr(full_name, ':') + 1;
	bool on;

	snprintf(system, sizeof(system), "%.*s", (int)(name - 1 - full_name), full_name);
	state = tracefs_event_file_read(trace->instance, system, name, "enable", NULL);
	on = state && state[0] == '1';
	free(state);
	return on;
}

/*
 * Events of a module that went and came back are off and have other types;
 * others somebody may have switched off. All are then enabled and read anew.
 */
static bool forget_if_off(struct trace *trace)
{
	struct trace_report *report = &trace->report;
	bool off = false;

	for (uint32_t i = 0; i < report->n_events; i++)
		off |= report->events[i].state == TRACE_EVENT_ENABLED &&
		       !is_on(trace, report->events[i].name);
	if (!off)
		return false;
	for (uint32_t i = 0; i < report->n_events; i++)
		if (report->events[i].state == TRACE_EVENT_ENABLED)
			report->events[i].state = TRACE_EVENT_MISSING;
	memset(&trace->formats, 0, sizeof(trace->formats));
	return true;
}

bool trace_enable_events(struct trace *trace)
{
	bool were_off = forget_if_off(trace);

	for (size_t i = 0; i < sizeof(wanted_events) / sizeof(wanted_events[0]); i++) {
		if (wanted_events[i][1])
			want_event(trace, wanted_events[i][0], wanted_events[i][1]);
		else
			want_system(trace, wanted_events[i][0]);
	}
	return were_off;
}

void trace_save_formats(struct trace *trace)
{
	if (!trace)
		return;
	for (uint32_t i = 0; i < trace->formats.n; i++) {
		const struct trace_format *format = &trace->formats.formats[i];
		int bytes = 0;
		char *text = tracefs_event_file_read(trace->instance, format->system, format->name,
						     "format", &bytes);

		if (text)
			save_format(trace, format->system, format->name, text, (size_t)bytes);
		free(text);
	}
}
