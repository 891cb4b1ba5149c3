/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ReplayEvents(): stored raw records through today's decoder, with the formats
 * they were stored with, and what would be decided. Nothing is acted upon.
 */
#include "control_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "source/trace_fields.h"
#include "source/trace_formats.h"
#include "source/trace_story.h"
#include "varlink_interface.h"

/* Of one call: a format takes some 100 us to read, and a kill may be waiting. */
enum { LIMIT_MAX = 32, VICTIMS_MAX = 64 };

/* What today's code makes of one record. */
struct verdict {
	const char *outcome; /* static */
	const char *decision; /* static */
	char why[ISO_TEXT_BYTES];
	char text[ISO_TEXT_BYTES]; /* the record's, as it would be stored now */
	uint32_t victims[VICTIMS_MAX];
	uint32_t n_victims;
};

/* The format that was read last: most records in a row have the same. */
struct formats_cache {
	struct trace_formats formats;
	uint64_t number;
	int result;
	char fields[TRACE_FIELDS_BYTES]; /* of the last record */
};

static int read_format(struct formats_cache *cache, const struct store_event_row *row)
{
	if (cache->number == row->event.format)
		return cache->result;
	memset(&cache->formats, 0, sizeof(cache->formats));
	cache->number = row->event.format;
	cache->result = trace_formats_add(&cache->formats, row->format_system, row->format_text,
					  strlen(row->format_text));
	return cache->result;
}

static void decide_fault(const struct iso_engine *engine, const struct iso_fault *fault,
			 struct verdict *ret)
{
	struct iso_what_if what = {.leases = ret->victims, .leases_room = VICTIMS_MAX};
	uint32_t port, memdev = ISO_NONE;
	char address[16];

	iso_pci_address_format(fault->address, address);
	port = iso_port_find(engine, address);
	if (port == ISO_NONE)
		memdev = iso_memdev_find(engine, address);
	ret->decision = "contain";
	if (!iso_what_if(engine, port, memdev, &what)) {
		snprintf(ret->why, sizeof(ret->why), "%s at %s, which is nothing managed now",
			 iso_cause_name(fault->cause), address);
		return;
	}
	ret->n_victims = what.n_leases < VICTIMS_MAX ? what.n_leases : VICTIMS_MAX;
	snprintf(ret->why, sizeof(ret->why), "%s at %s: %u regions, %u VMs",
		 iso_cause_name(fault->cause), address, what.n_regions, what.n_leases);
}

/* Whose memory bad addresses are in now. */
static void decide_poison(const struct iso_engine *engine, const struct trace_story *story,
			  struct verdict *ret)
{
	uint64_t last = story->hpa + (story->bytes ? story->bytes - 1 : 0);
	struct iso_instance_view instance;

	for (uint32_t i = 0; i < iso_instance_count(engine); i++) {
		if (!iso_instance_get(engine, i, &instance) || !instance.named || instance.lost ||
		    instance.lease == ISO_NONE || !instance.bytes)
			continue;
		if (last < instance.start.v || story->hpa >= instance.start.v + instance.bytes)
			continue;
		ret->decision = "poison";
		if (ret->n_victims < VICTIMS_MAX)
			ret->victims[ret->n_victims++] = instance.lease;
		snprintf(ret->why, sizeof(ret->why), "0x%" PRIx64 " is in dax%u.%u now", story->hpa,
			 instance.region_kernel_id, instance.kernel_id);
	}
}

static void decide(const struct iso_engine *engine, struct formats_cache *cache,
		   const struct trace_record *record, struct verdict *ret)
{
	struct trace_story story;
	struct iso_fault fault;

	trace_describe(&cache->formats, record, &story);
	memcpy(ret->text, story.text, sizeof(ret->text));
	trace_fields_json(&cache->formats, record, cache->fields, sizeof(cache->fields));
	if (trace_fault(record, &fault))
		decide_fault(engine, &fault, ret);
	else if (story.is_poison && !story.cleared && story.has_hpa)
		decide_poison(engine, &story, ret);
}

static void decode(const struct iso_engine *engine, struct formats_cache *cache,
		   const struct store_event_row *row, struct verdict *ret)
{
	struct trace_record record = {0};
	enum trace_outcome outcome;

	cache->fields[0] = '\0';
	if (!row->event.raw_bytes || !row->format_text || !row->format_system) {
		ret->outcome = row->event.raw_bytes ? "no-format" : "no-raw";
		return;
	}
	if (read_format(cache, row) < 0) {
		ret->outcome = "unreadable-format";
		return;
	}
	outcome = trace_decode(&cache->formats, row->event.raw, row->event.raw_bytes, &record);
	ret->outcome = outcome == TRACE_DECODED   ? "decoded"
		       : outcome == TRACE_PARTIAL ? "partial"
						  : "unreadable";
	record.at_ns = row->event.at_ns;
	if (outcome == TRACE_DECODED || outcome == TRACE_PARTIAL)
		decide(engine, cache, &record, ret);
}

/* What is decoded otherwise than when it was stored. */
static int append_news(const struct formats_cache *cache, const struct verdict *verdict,
		       const struct store_event *stored, sd_json_variant **object)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *then = NULL, *now = NULL;
	char text[ISO_TEXT_BYTES];
	bool differs;

	if (stored->fields && sd_json_parse(stored->fields, 0, &then, NULL, NULL) < 0)
		then = NULL;
	if (!cache->fields[0] || sd_json_parse(cache->fields, 0, &now, NULL, NULL) < 0)
		return 0;
	differs = !then || !sd_json_variant_equal(then, now);
	control_text(text, sizeof(text), verdict->text);
	return sd_json_variant_merge_objectbo(
		object,
		SD_JSON_BUILD_PAIR_CONDITION(!!strcmp(verdict->text, stored->text), "text",
					     SD_JSON_BUILD_STRING(text)),
		SD_JSON_BUILD_PAIR_CONDITION(differs, "fields", SD_JSON_BUILD_VARIANT(now)));
}

static int build_victims(const struct iso_engine *engine, const struct verdict *verdict,
			 sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	struct iso_lease_view lease;

	for (uint32_t i = 0; i < verdict->n_victims; i++) {
		sd_json_variant *name;
		int r;

		if (!iso_lease_get(engine, verdict->victims[i], &lease))
			continue;
		r = sd_json_variant_new_string(&name, lease.terms->name);
		if (r >= 0)
			r = control_list_add(&list, name);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int build_replayed(const struct iso_engine *engine, struct formats_cache *cache,
			  const struct store_event_row *row, sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *event = NULL, *victims = NULL;
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *object = NULL;
	struct verdict verdict = {.decision = "none"};
	int r;

	decode(engine, cache, row, &verdict);
	r = control_json_event(row, &event);
	if (r >= 0)
		r = build_victims(engine, &verdict, &victims);
	if (r < 0)
		return r;
	r = sd_json_buildo(&object, SD_JSON_BUILD_PAIR_VARIANT("event", event),
			   SD_JSON_BUILD_PAIR_STRING("outcome", verdict.outcome),
			   SD_JSON_BUILD_PAIR_STRING("decision", verdict.decision),
			   SD_JSON_BUILD_PAIR_CONDITION(!!verdict.why[0], "why",
							SD_JSON_BUILD_STRING(verdict.why)),
			   SD_JSON_BUILD_PAIR_VARIANT("victims", victims));
	if (r >= 0)
		r = append_news(cache, &verdict, &row->event, &object);
	if (r < 0)
		return r;
	*ret = object;
	object = NULL;
	return 0;
}

static int reply_replayed(struct control_request *request, const struct store_result *rows)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *events = NULL;
	struct formats_cache *cache = calloc(1, sizeof(*cache));
	int r = cache ? 0 : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < rows->n_events; i++) {
		sd_json_variant *item;

		r = build_replayed(daemon_engine(request->control->daemon), cache, &rows->events[i],
				   &item);
		if (r >= 0)
			r = control_list_add(&list, item);
	}
	free(cache);
	if (r >= 0)
		r = control_list_end(&list, &events);
	if (r < 0)
		return r;
	return sd_varlink_replybo(request->link, SD_JSON_BUILD_PAIR_VARIANT("events", events),
				  SD_JSON_BUILD_PAIR_UNSIGNED("next", rows->scanned),
				  SD_JSON_BUILD_PAIR_BOOLEAN("more", rows->scanned < rows->newest));
}

static void on_rows(void *userdata, int result, const struct store_result *rows)
{
	control_answer_query(userdata, result, reply_replayed, rows);
}

int control_replay_events(sd_varlink *link, sd_json_variant *parameters,
			  sd_varlink_method_flags_t flags, void *userdata)
{
	struct control_event_parameters p;
	struct store_event_query query = {.formats = true};
	struct control *control = userdata;
	struct control_request *request;
	struct store *store = daemon_store(control->daemon);
	int r;

	(void)flags;
	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = control_read_event_parameters(link, parameters, &p, &query.filter);
	if (r != 0)
		return r < 0 ? r : 0;
	query.since = p.since;
	query.limit = p.limit < LIMIT_MAX ? p.limit : LIMIT_MAX;
	request = control_request_new(control, link, NULL, "events");
	if (!request)
		return -ENOBUFS;
	if (store && store_query_events(store, &query, on_rows, request) >= 0)
		return 0;
	control_request_free(request);
	return control_no_store(link);
}
