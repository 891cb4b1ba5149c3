/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records that name memory, as events of the engine. What the trace ring says
 * goes there before it is written down (sources.c); this is for all others, and
 * for what a poison list has told.
 */
#include "poison.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <systemd/sd-json.h>

#include "cleanup.h"
#include "clock.h"
#include "daemon.h"

enum { DESCRIPTOR_UNCORRECTABLE = 1 << 0, TRACE_TYPE_INJECT = 1, TRACE_TYPE_CLEAR = 2 };

/* A field of a decoded record: its number, or -1 when it is not there or is no number. */
static int64_t field_of(sd_json_variant *fields, const char *name)
{
	sd_json_variant *value = sd_json_variant_by_key(fields, name);

	if (value && sd_json_variant_is_integer(value))
		return sd_json_variant_integer(value);
	return -1;
}

static bool field_says(sd_json_variant *fields, const char *name, const char *word)
{
	sd_json_variant *value = sd_json_variant_by_key(fields, name);

	return value && sd_json_variant_is_string(value) &&
	       !strcasecmp(sd_json_variant_string(value), word);
}

static uint32_t evidence_of_list(sd_json_variant *fields)
{
	int64_t type = field_of(fields, "trace_type");

	if (type == TRACE_TYPE_CLEAR || field_says(fields, "trace_type", "clear"))
		return ISO_POISON_CLEAR;
	if (type == TRACE_TYPE_INJECT || field_says(fields, "trace_type", "inject"))
		return ISO_POISON_INJECT;
	return ISO_POISON_LIST;
}

/* 0: it says nothing of bad memory, as what was corrected. */
static uint32_t evidence_of(const struct store_event *record)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *fields = NULL;
	int64_t descriptor;

	if (record->fields)
		(void)sd_json_parse(record->fields, 0, &fields, NULL, NULL);
	if (!strcmp(record->kind, "cxl_poison"))
		return evidence_of_list(fields);
	/* The kernel's log tells of the same page, and of each process that is told of it. */
	if (!strcmp(record->kind, "memory_failure_event") ||
	    !strcmp(record->kind, "memory-failure") || !strcmp(record->kind, "process-fault"))
		return ISO_POISON_MEMORY_FAILURE;
	descriptor = field_of(fields, "descriptor");
	if (descriptor >=
	    0) /* it alone decides, as with records of the ring: a threshold may be an error, too */
		return descriptor & DESCRIPTOR_UNCORRECTABLE ? ISO_POISON_MEDIA : 0;
	if (record->severity < STORE_ERROR)
		return 0;
	return !strcmp(record->kind, "mce_record") ? ISO_POISON_MACHINE_CHECK : ISO_POISON_MEDIA;
}

bool poison_of_record(const struct store_event *record, struct iso_poison *ret)
{
	struct iso_poison poison = {
		.has_serial = record->has_serial,
		.serial = record->serial,
		.has_dpa = record->has_serial && record->has_dpa,
		.dpa = {record->dpa},
		.has_hpa = record->has_hpa,
		.hpa = {record->hpa},
		.bytes = record->bytes,
		.record_ns = record->at_ns,
		.synthetic = record->synthetic,
	};

	if (!poison.has_dpa && !poison.has_hpa)
		return false;
	poison.evidence = evidence_of(record);
	poison.cleared = poison.evidence == ISO_POISON_CLEAR;
	if (!poison.evidence)
		return false;
	*ret = poison;
	return true;
}

void poison_take(struct daemon *daemon, const struct store_event *record)
{
	struct iso_event event = {.kind = ISO_EVENT_POISON};

	/* The ring's own have been there already. */
	if (!strcmp(record->source, "trace") && !record->synthetic)
		return;
	if (poison_of_record(record, &event.poison))
		daemon_step(daemon, &event);
}

void daemon_read_poison_lists(struct daemon *daemon)
{
	struct iso_event event = {.kind = ISO_EVENT_READ_POISON};

	/* The engine's own reading, before memory is given away, is no source that can be switched off. */
	if (daemon->config->source_poison_list)
		daemon_step(daemon, &event);
}

static bool hears_of_lists(const struct daemon *daemon)
{
	struct trace_report report;

	if (!daemon->trace)
		return false;
	trace_get_report(daemon->trace, &report);
	for (uint32_t i = 0; i < report.n_events; i++)
		if (!strcmp(report.events[i].name, "cxl:cxl_poison"))
			return report.events[i].state == TRACE_EVENT_ENABLED;
	return false;
}

static void not_complete(struct iso_completion *completion, int result, const char *why)
{
	completion->result = result;
	snprintf(completion->message, sizeof(completion->message), "%s", why);
}

/* A list that is read across a gap does not show all that is good again. */
static void look_for_gaps(struct daemon *daemon)
{
	if (daemon->n_gaps == daemon->n_gaps_seen)
		return;
	daemon->n_gaps_seen = daemon->n_gaps;
	daemon->gap_seen_ns = clock_boottime_ns();
}

void poison_list_begin(struct daemon *daemon)
{
	look_for_gaps(daemon);
}

void poison_list_done(struct daemon *daemon, const struct job_reply *reply,
		      struct iso_completion *completion)
{
	uint64_t now_ns = clock_boottime_ns(), began_ns = now_ns - reply->elapsed_ns;

	if (reply->completion.result < 0)
		return;
	if (!hears_of_lists(daemon)) {
		not_complete(completion, -EOPNOTSUPP,
			     "the trace event cxl_poison, which tells of its entries, is missing");
		return;
	}
	/* All that was told is in the engine after this. */
	trace_check(daemon->trace);
	if (!trace_drain(daemon->trace)) {
		not_complete(completion, -EAGAIN,
			     "more is in the trace ring than can be taken in now");
		return;
	}
	look_for_gaps(daemon);
	if (daemon->gap_seen_ns >= began_ns)
		not_complete(completion, -EAGAIN, "records were lost while it was read");
	else if (daemon->poison_overflow_ns >= began_ns)
		not_complete(completion, -EOPNOTSUPP,
			     "the device has more bad memory than its list holds");
}

/* What is known of a bad range, as a row of the store. */
void save_poison(struct daemon *daemon, uint32_t bad)
{
	struct iso_restore_poison row = {.slot = bad};
	struct iso_bad_view view;

	if (!iso_bad_get(daemon->engine, bad, &view)) {
		store_forget_poison(daemon->store, bad);
		return;
	}
	row.state = view.state;
	row.has_dpa = view.has_dpa;
	row.serial = view.serial;
	row.dpa = view.dpa;
	row.offset = view.offset;
	row.bytes = view.bytes;
	row.evidence = view.evidence;
	row.first_ns = view.first_ns;
	row.last_ns = view.last_ns;
	row.cleared_ns = view.cleared_ns;
	row.hit_begun_ns = view.hit_begun_ns;
	snprintf(row.region, sizeof(row.region), "%s", view.region_name);
	snprintf(row.lease, sizeof(row.lease), "%s", view.lease);
	store_save_poison(daemon->store, &row);
}
