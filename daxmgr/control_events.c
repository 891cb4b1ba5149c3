/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ListEvents(), Acknowledge(): stored records of the sources. */
#include "control_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "varlink_interface.h"

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 10000 };

#define IF(condition, name, value) SD_JSON_BUILD_PAIR_CONDITION(!!(condition), name, value)
#define TEXT                       SD_JSON_BUILD_STRING
#define NUMBER                     SD_JSON_BUILD_UNSIGNED

/* All that was decoded; absent when what is stored is no object. */
static sd_json_variant *fields_of(const struct store_event *event)
{
	sd_json_variant *fields = NULL;

	if (!event->fields || sd_json_parse(event->fields, 0, &fields, NULL, NULL) < 0)
		return NULL;
	if (!sd_json_variant_is_object(fields))
		return sd_json_variant_unref(fields);
	return fields;
}

static int append_place(const struct store_event *event, sd_json_variant **object)
{
	char serial[24], hpa[24], dpa[24];

	snprintf(serial, sizeof(serial), "0x%" PRIx64, event->serial);
	snprintf(hpa, sizeof(hpa), "0x%" PRIx64, event->hpa);
	snprintf(dpa, sizeof(dpa), "0x%" PRIx64, event->dpa);
	return sd_json_variant_merge_objectbo(
		object, IF(event->has_serial, "serial", TEXT(serial)),
		IF(event->has_hpa, "hpa", TEXT(hpa)), IF(event->has_dpa, "dpa", TEXT(dpa)),
		IF(event->bytes, "bytes", NUMBER(event->bytes)),
		IF(event->has_lost, "lost", NUMBER(event->lost)),
		IF(event->synthetic, "synthetic", SD_JSON_BUILD_BOOLEAN(true)));
}

static int append_raw(const struct store_event_row *row, sd_json_variant **object)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *fields = fields_of(&row->event);
	const struct store_event *event = &row->event;
	char format[24];

	snprintf(format, sizeof(format), "0x%" PRIx64, event->format);
	return sd_json_variant_merge_objectbo(
		object, IF(fields, "fields", SD_JSON_BUILD_VARIANT(fields)),
		IF(event->format, "format", TEXT(format)),
		IF(event->raw_bytes, "raw", SD_JSON_BUILD_BASE64(event->raw, event->raw_bytes)),
		IF(row->last_raw_bytes, "lastRaw",
		   SD_JSON_BUILD_BASE64(row->last_raw, row->last_raw_bytes)));
}

int control_json_event(const struct store_event_row *row, sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *object = NULL;
	const struct store_event *event = &row->event;
	char text[ISO_TEXT_BYTES], unit[ISO_PATH_BYTES], kind[STORE_KIND_BYTES];
	int r;

	control_text(text, sizeof(text), event->text);
	control_text(unit, sizeof(unit), event->unit);
	control_text(kind, sizeof(kind), event->kind);
	r = sd_json_buildo(
		&object, SD_JSON_BUILD_PAIR_UNSIGNED("id", row->id),
		SD_JSON_BUILD_PAIR_STRING("source", event->source),
		SD_JSON_BUILD_PAIR_STRING("kind", kind),
		SD_JSON_BUILD_PAIR_STRING("severity", store_severity_name(event->severity)),
		IF(event->has_cpu, "cpu", NUMBER(event->cpu)),
		SD_JSON_BUILD_PAIR_UNSIGNED("atNs", event->at_ns),
		SD_JSON_BUILD_PAIR_UNSIGNED("realtimeUs", row->realtime_us),
		SD_JSON_BUILD_PAIR_STRING("bootId", row->boot_id), IF(unit[0], "unit", TEXT(unit)),
		IF(event->domain[0], "domain", TEXT(event->domain)),
		IF(event->lease[0], "lease", TEXT(event->lease)),
		IF(event->incident, "incident", NUMBER(event->incident)),
		SD_JSON_BUILD_PAIR_STRING("text", text),
		SD_JSON_BUILD_PAIR_UNSIGNED("count", row->count),
		IF(row->count > 1, "lastAtNs", NUMBER(row->last_at_ns)));
	if (r >= 0)
		r = append_place(event, &object);
	if (r >= 0)
		r = append_raw(row, &object);
	if (r < 0)
		return r;
	*ret = object;
	object = NULL;
	return 0;
}

static int reply_events(struct control_request *request, const struct store_result *rows)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *events = NULL;
	int r;

	for (size_t i = 0; i < rows->n_events; i++) {
		sd_json_variant *item;

		r = control_json_event(&rows->events[i], &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	r = control_list_end(&list, &events);
	if (r < 0)
		return r;
	return sd_varlink_replybo(request->link, SD_JSON_BUILD_PAIR_VARIANT("events", events),
				  SD_JSON_BUILD_PAIR_UNSIGNED("next", rows->scanned));
}

static void on_events(void *userdata, int result, const struct store_result *rows)
{
	control_answer_query(userdata, result, reply_events, rows);
}

/* Return: false when the text is longer than anything that is stored. */
static bool take_text(char *to, size_t room, const char *text)
{
	return (size_t)snprintf(to, room, "%s", text ? text : "") < room;
}

/* Return: name of what is wrong, or NULL. */
static const char *read_filter(const struct control_event_parameters *p,
			       struct store_event_filter *filter)
{
	*filter = (struct store_event_filter){.incident = p->incident};
	if (!take_text(filter->source, sizeof(filter->source), p->source))
		return "source";
	if (!take_text(filter->kind, sizeof(filter->kind), p->kind))
		return "kind";
	if (!take_text(filter->unit, sizeof(filter->unit), p->unit))
		return "unit";
	if (!take_text(filter->domain, sizeof(filter->domain), p->domain))
		return "domain";
	if (!take_text(filter->lease, sizeof(filter->lease), p->lease))
		return "lease";
	if (p->incident > INT64_MAX)
		return "incident";
	if (p->since > INT64_MAX)
		return "since";
	if (p->subscriber && !iso_name_valid(p->subscriber))
		return "subscriber";
	while (p->severity && strcmp(store_severity_name(filter->severity), p->severity))
		if (++filter->severity == STORE_SEVERITIES)
			return "severity";
	return NULL;
}

int control_read_event_parameters(sd_varlink *link, sd_json_variant *parameters,
				  struct control_event_parameters *ret,
				  struct store_event_filter *ret_filter)
{
#define PARAMETER(name, dispatch)                                                                  \
	{#name, _SD_JSON_VARIANT_TYPE_INVALID, dispatch,                                           \
	 offsetof(struct control_event_parameters, name), 0}
	static const sd_json_dispatch_field table[] = {
		PARAMETER(source, sd_json_dispatch_const_string),
		PARAMETER(kind, sd_json_dispatch_const_string),
		PARAMETER(unit, sd_json_dispatch_const_string),
		PARAMETER(severity, sd_json_dispatch_const_string),
		PARAMETER(domain, sd_json_dispatch_const_string),
		PARAMETER(lease, sd_json_dispatch_const_string),
		PARAMETER(subscriber, sd_json_dispatch_const_string),
		PARAMETER(incident, sd_json_dispatch_uint64),
		PARAMETER(since, sd_json_dispatch_uint64),
		PARAMETER(limit, sd_json_dispatch_uint32),
		PARAMETER(notes, sd_json_dispatch_tristate),
		{0},
	};
#undef PARAMETER
	const char *wrong;
	int r;

	*ret = (struct control_event_parameters){.limit = LIMIT_DEFAULT, .notes = -1};
	r = sd_varlink_dispatch(link, parameters, table, ret);
	if (r != 0)
		return r;
	ret->has_since = sd_json_variant_by_key(parameters, "since") != NULL;
	wrong = read_filter(ret, ret_filter);
	if (!wrong)
		return 0;
	r = sd_varlink_error_invalid_parameter_name(link, wrong);
	return r < 0 ? r : 1;
}

int control_list_events(sd_varlink *link, sd_json_variant *parameters,
			sd_varlink_method_flags_t flags, void *userdata)
{
	struct control_event_parameters p;
	struct store_event_query query = {0};
	struct control *control = userdata;
	struct control_request *request;
	struct store *store = daemon_store(control->daemon);
	int r;

	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	r = control_read_event_parameters(link, parameters, &p, &query.filter);
	if (r != 0)
		return r < 0 ? r : 0;
	query.since = p.since;
	query.newest = !p.has_since;
	query.limit = p.limit < LIMIT_MAX ? p.limit : LIMIT_MAX;
	request = control_request_new(control, link, NULL, "events");
	if (!request)
		return -ENOBUFS;
	if (store && store_query_events(store, &query, on_events, request) >= 0)
		return 0;
	control_request_free(request);
	return control_no_store(link);
}

static int reply_nothing(struct control_request *request, const struct store_result *rows)
{
	(void)rows;
	return sd_varlink_reply(request->link, NULL);
}

static void on_acknowledged(void *userdata, int result, const struct store_result *rows)
{
	struct control_request *request = userdata;

	if (request->link && result == -ERANGE) {
		sd_varlink_error_invalid_parameter_name(request->link, "id");
		control_request_free(request);
		return;
	}
	control_answer_query(request, result, reply_nothing, rows);
}

struct acknowledge_parameters {
	const char *subscriber;
	uint64_t id;
};

int control_acknowledge(sd_varlink *link, sd_json_variant *parameters,
			sd_varlink_method_flags_t flags, void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"subscriber", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
		 offsetof(struct acknowledge_parameters, subscriber), SD_JSON_MANDATORY},
		{"id", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
		 offsetof(struct acknowledge_parameters, id), SD_JSON_MANDATORY},
		{0},
	};
	struct acknowledge_parameters p = {0};
	struct control *control = userdata;
	struct control_request *request;
	struct store *store = daemon_store(control->daemon);
	int r;

	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &p);
	if (r != 0)
		return r;
	if (!iso_name_valid(p.subscriber))
		return sd_varlink_error_invalid_parameter_name(link, "subscriber");
	if (p.id > INT64_MAX)
		return sd_varlink_error_invalid_parameter_name(link, "id");
	request = control_request_new(control, link, NULL, p.subscriber);
	if (!request)
		return -ENOBUFS;
	if (store && store_acknowledge(store, p.subscriber, p.id, on_acknowledged, request) >= 0)
		return 0;
	control_request_free(request);
	return control_no_store(link);
}
