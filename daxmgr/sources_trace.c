/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The trace part of sources.c: from records of the kernel's rings to events of
 * the engine, and then to rows of the store, as fast as that takes them.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "records.h"
#include "source/trace_fields.h"
#include "source/trace_poison.h"
#include "source/trace_story.h"
#include "sources_internal.h"

#define PAGES_PATH "/run/daxmgr/pages"
#define INSTANCE   "daxmgr" /* below tracefs' instances/ */

static uint32_t severity_of(enum trace_severity severity)
{
	switch (severity) {
	case TRACE_SEVERITY_INFO:
		return STORE_INFO;
	case TRACE_SEVERITY_WARNING:
		return STORE_WARNING;
	case TRACE_SEVERITY_ERROR:
		return STORE_ERROR;
	case TRACE_SEVERITY_FATAL:
		return STORE_FATAL;
	}
	return STORE_ERROR;
}

static void fill_range(const struct trace_story *story, struct store_event *ret)
{
	ret->serial = story->serial;
	ret->has_serial = story->has_serial;
	if (!story->is_poison)
		return;
	ret->hpa = story->hpa;
	ret->has_hpa = story->has_hpa;
	ret->dpa = story->dpa;
	ret->has_dpa = story->has_dpa;
	ret->bytes = story->bytes;
}

static void fill_record(const struct trace_formats *formats, const struct trace_record *record,
			const struct trace_story *story, struct store_event *ret)
{
	/* The loop's own: records come one by one, and each is copied. */
	static char fields[TRACE_FIELDS_BYTES];
	struct iso_fault fault;

	*ret = (struct store_event){
		.source = "trace",
		.severity = severity_of(story->severity),
		.at_ns = record->at_ns,
		.cpu = record->cpu,
		.has_cpu = true,
		.raw = record->raw,
		.raw_bytes = record->raw_bytes,
		.fields = fields,
		.format = record->format->stored,
		.likeness = trace_likeness(formats, record),
		.page = record->page,
		.index = record->index,
	};
	if (trace_fault(record, &fault))
		ret->severity = STORE_FATAL;
	trace_fields_json(formats, record, fields, sizeof(fields));
	snprintf(ret->kind, sizeof(ret->kind), "%s", record->name);
	memcpy(ret->unit, story->unit, sizeof(ret->unit));
	memcpy(ret->text, story->text, sizeof(ret->text));
	fill_range(story, ret);
}

/* Before any record of the same page is written down: a kill waits for no allocation. */
static void on_early(void *userdata, const struct trace_record *record)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT};
	struct daemon *daemon = userdata;

	if (trace_fault(record, &event.fault)) {
		daemon_step(daemon, &event);
		return;
	}
	if (trace_poison_overflow(record))
		daemon->poison_overflow_ns = record->at_ns;
	event.kind = ISO_EVENT_POISON;
	if (trace_poison(record, &event.poison))
		daemon_step(daemon, &event);
}

/* The device lost records of its own: what it would have told of is looked for. */
static void keep_device_loss(struct daemon *daemon, const struct trace_record *record,
			     const struct trace_story *story)
{
	struct store_event gap = {
		.source = "trace",
		.kind = "gap",
		.severity = STORE_WARNING,
		.at_ns = record->at_ns,
		.page = record->page,
		.serial = story->serial,
		.has_serial = story->has_serial,
		.lost = story->lost,
		.has_lost = story->lost != 0,
	};

	gap.index = record->page ? trace_also(daemon->trace) : 0;
	memcpy(gap.unit, story->unit, sizeof(gap.unit));
	snprintf(gap.text, sizeof(gap.text), "records lost in the device's own log: %llu",
		 (unsigned long long)story->lost);
	daemon->n_gaps++;
	records_take(daemon, &gap);
	log_line(LOG_WARNING, "trace: %s: %s; observing instead", story->unit, gap.text);
	sources_observe_gap(daemon);
	daemon_read_poison_lists(daemon);
}

static void on_record(void *userdata, const struct trace_record *record)
{
	struct daemon *daemon = userdata;
	const struct trace_formats *formats = trace_formats_of(daemon->trace);
	struct trace_story story;
	struct store_event stored;

	if (!sources_can_take(daemon)) {
		trace_refuse(daemon->trace);
		return;
	}
	trace_describe(formats, record, &story);
	fill_record(formats, record, &story, &stored);
	records_take(daemon, &stored);
	if (story.is_loss)
		keep_device_loss(daemon, record, &story);
}

static void on_gap(void *userdata, enum trace_gap gap, uint64_t count)
{
	struct daemon *daemon = userdata;
	struct store_event record = {
		.source = "trace",
		.kind = "gap",
		.severity = STORE_WARNING,
		.at_ns = clock_boottime_ns(),
		.lost = count,
		.has_lost = count != 0,
	};

	/* Not yet open: a gap that trace_open() itself has to tell of. */
	record.page = daemon->trace ? trace_place(daemon->trace, &record.index) : 0;
	if (record.page && !sources_can_take(daemon)) {
		trace_refuse(daemon->trace);
		return;
	}
	sources_observe_gap(daemon);
	if (record.page && gap == TRACE_GAP_LOST && count == 0) {
		trace_look_soon(daemon->trace);
		return;
	}
	snprintf(record.text, sizeof(record.text), "%s: %llu%s",
		 gap == TRACE_GAP_LOST ? "records lost in the ring" : "records not readable",
		 (unsigned long long)count, count ? "" : " (number unknown)");
	daemon->n_gaps++;
	records_take(daemon, &record);
	log_line(LOG_WARNING, "trace: %s; observing instead", record.text);
	daemon_read_poison_lists(daemon);
}

static uint64_t on_format(void *userdata, const char *system, const char *name, const char *text,
			  size_t bytes)
{
	struct daemon *daemon = userdata;

	return store_save_format(daemon->store, system, name, text, bytes);
}

static bool load_mark(void *userdata, const char *id, struct trace_spool_place *ret)
{
	struct daemon *daemon = userdata;
	struct store_mark mark;
	int r = store_load_mark(daemon->store, STORE_LOG_PAGES, id, &mark);

	store_set_spool(daemon->store, id);
	if (r < 0)
		return false;
	ret->page = mark.page;
	ret->index = mark.index;
	return true;
}

void sources_trace_mark(struct daemon *daemon, const struct store_mark *mark)
{
	trace_durable(daemon->trace, mark->page, mark->index);
}

/* What was in a file that is of no use is not known: it counts as lost, and is looked for. */
static void tell_spool(struct daemon *daemon)
{
	struct trace_report report;

	trace_get_report(daemon->trace, &report);
	if (report.spool_in_memory)
		store_set_spool(daemon->store, "");
	if (!report.spool_problem[0])
		return;
	log_line(LOG_WARNING, "trace: %s%s", report.spool_problem,
		 report.spool_in_memory ? "; a daemon that is killed loses what is not durable yet"
					: "");
	if (report.spool_aside)
		sources_keep_gap(daemon, "trace",
				 "pages that an earlier daemon had read cannot be used");
}

int sources_trace_prepare(const struct config *config)
{
	const struct trace_setup setup = {.instance = INSTANCE,
					  .buffer_bytes = config->trace_buffer_bytes};
	char problem[ISO_TEXT_BYTES] = "";
	int r = trace_prepare(&setup, problem);

	if (r < 0)
		fprintf(stderr, "daxmgrd: %s\n", problem);
	return r;
}

void sources_trace_open(struct daemon *daemon)
{
	const struct trace_setup setup = {
		.instance = INSTANCE,
		.buffer_bytes = daemon->config->trace_buffer_bytes,
		.spool = PAGES_PATH,
		.spool_bytes = daemon->config->trace_spool_bytes,
		.boot_id = daemon->boot_id,
		.priority = PRIORITY_TRACE,
		.on_early = on_early,
		.on_record = on_record,
		.on_gap = on_gap,
		.on_format = on_format,
		.load_mark = load_mark,
		.userdata = daemon,
	};

	if (trace_open(daemon->event, &setup, &daemon->trace, daemon->trace_problem) < 0)
		log_line(LOG_WARNING, "trace: %s; faults are seen by uevents and observation only",
			 daemon->trace_problem);
	else
		tell_spool(daemon);
}
