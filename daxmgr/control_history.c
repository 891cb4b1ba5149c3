/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ListIncidents(): what the store remembers. */
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

int control_json_note(const struct store_note *note, uint64_t seq, const char *boot_id,
		      uint64_t realtime_us, sd_json_variant **ret)
{
	char text[ISO_TEXT_BYTES];

	control_text(text, sizeof(text), note->text);
	return sd_json_buildo(ret, IF(seq, "seq", NUMBER(seq)),
			      SD_JSON_BUILD_PAIR_UNSIGNED("atNs", note->at_ns),
			      SD_JSON_BUILD_PAIR_UNSIGNED("realtimeUs", realtime_us),
			      IF(boot_id, "bootId", TEXT(boot_id)),
			      SD_JSON_BUILD_PAIR_STRING("kind", iso_note_name(note->kind)),
			      SD_JSON_BUILD_PAIR_STRING("text", text),
			      IF(note->incident, "incident", NUMBER(note->incident)),
			      IF(note->lease[0], "lease", TEXT(note->lease)),
			      IF(note->region[0], "region", TEXT(note->region)),
			      IF(note->port[0], "port", TEXT(note->port)),
			      IF(note->pid > 0, "pid", SD_JSON_BUILD_INTEGER(note->pid)));
}

static int build_victims(uint64_t incident, const struct store_result *rows, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (size_t i = 0; i < rows->n_victims; i++) {
		const struct store_victim_row *victim = &rows->victims[i];
		sd_json_variant *item;

		if (victim->incident != incident)
			continue;
		r = sd_json_buildo(&item, SD_JSON_BUILD_PAIR_STRING("name", victim->lease),
				   IF(victim->pid > 0, "pid", SD_JSON_BUILD_INTEGER(victim->pid)),
				   IF(victim->killed_ns, "killedNs", NUMBER(victim->killed_ns)),
				   IF(victim->exited_ns, "exitedNs", NUMBER(victim->exited_ns)));
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int build_timeline(const struct store_result *rows, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (size_t i = 0; i < rows->n_timeline; i++) {
		const struct store_note_row *row = &rows->timeline[i];
		sd_json_variant *item;

		r = control_json_note(&row->note, row->seq, row->boot_id, row->realtime_us, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

int control_json_incident(const struct store_incident_row *row, const struct store_result *rows,
			  bool with_timeline, sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *victims = NULL, *timeline = NULL;
	const struct store_incident *incident = &row->incident;
	int r;

	r = build_victims(incident->id, rows, &victims);
	if (r >= 0 && with_timeline)
		r = build_timeline(rows, &timeline);
	if (r < 0)
		return r;
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_UNSIGNED("id", incident->id),
		SD_JSON_BUILD_PAIR_STRING("cause", iso_cause_name(incident->cause)),
		SD_JSON_BUILD_PAIR_STRING("unit", incident->unit),
		IF(incident->domain[0], "domain", TEXT(incident->domain)),
		SD_JSON_BUILD_PAIR_BOOLEAN("open", incident->open),
		SD_JSON_BUILD_PAIR_STRING("bootId", row->boot_id),
		SD_JSON_BUILD_PAIR_UNSIGNED("recordNs", incident->record_ns),
		SD_JSON_BUILD_PAIR_UNSIGNED("realtimeUs", row->realtime_us),
		IF(incident->detected_ns, "detectedNs", NUMBER(incident->detected_ns)),
		IF(incident->contained_ns, "containedNs", NUMBER(incident->contained_ns)),
		IF(incident->recovered_ns, "recoveredNs", NUMBER(incident->recovered_ns)),
		SD_JSON_BUILD_PAIR_UNSIGNED("killed", incident->n_killed),
		SD_JSON_BUILD_PAIR_UNSIGNED("exited", incident->n_exited),
		SD_JSON_BUILD_PAIR_BOOLEAN("synthetic", incident->synthetic),
		SD_JSON_BUILD_PAIR_UNSIGNED("records", incident->n_records),
		SD_JSON_BUILD_PAIR_UNSIGNED("capacityBeforeBytes", incident->capacity_before_bytes),
		IF(!incident->open, "capacityAfterBytes", NUMBER(incident->capacity_after_bytes)),
		SD_JSON_BUILD_PAIR_VARIANT("victims", victims),
		IF(with_timeline, "timeline", SD_JSON_BUILD_VARIANT(timeline)));
}

static int reply_incidents(struct control_request *request, const struct store_result *rows)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *incidents = NULL;
	int r;

	for (size_t i = 0; i < rows->n_incidents; i++) {
		sd_json_variant *item;

		r = control_json_incident(&rows->incidents[i], rows, request->with_timeline, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	r = control_list_end(&list, &incidents);
	if (r < 0)
		return r;
	return sd_varlink_replybo(request->link,
				  SD_JSON_BUILD_PAIR_VARIANT("incidents", incidents));
}

void control_answer_query(struct control_request *request, int result,
			  int (*reply)(struct control_request *, const struct store_result *),
			  const struct store_result *rows)
{
	int r;

	if (request->link && result < 0) {
		control_error(request->link, VARLINK_ERROR("StoreFailed"),
			      "the store cannot be read: %s", strerror(-result));
	} else if (request->link) {
		r = reply(request, rows);
		if (r < 0)
			sd_varlink_error_errno(request->link, r);
	}
	control_request_free(request);
}

static void on_incidents(void *userdata, int result, const struct store_result *rows)
{
	struct control_request *request = userdata;

	if (request->link && result >= 0 && request->with_timeline && !rows->n_incidents) {
		control_error(request->link, VARLINK_ERROR("NoSuchIncident"),
			      "no incident has the number %s", request->object);
		control_request_free(request);
		return;
	}
	control_answer_query(request, result, reply_incidents, rows);
}

struct query_parameters {
	uint64_t id;
	uint32_t limit;
};

int control_no_store(sd_varlink *link)
{
	return control_error(link, VARLINK_ERROR("StoreFailed"),
			     "the store is not there or too busy; see 'daxmgrctl status'");
}

int control_list_incidents(sd_varlink *link, sd_json_variant *parameters,
			   sd_varlink_method_flags_t flags, void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"id", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
		 offsetof(struct query_parameters, id), 0},
		{"limit", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint32,
		 offsetof(struct query_parameters, limit), 0},
		{0},
	};
	struct query_parameters p = {.limit = LIMIT_DEFAULT};
	struct control *control = userdata;
	struct control_request *request;
	struct store *store = daemon_store(control->daemon);
	char object[24];
	int r;

	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &p);
	if (r != 0)
		return r;
	snprintf(object, sizeof(object), "%" PRIu64, p.id);
	request = control_request_new(control, link, NULL, object);
	if (!request)
		return -ENOBUFS;
	request->with_timeline = p.id != 0;
	if (store && store_query_incidents(store, p.id, p.limit < LIMIT_MAX ? p.limit : LIMIT_MAX,
					   on_incidents, request) >= 0)
		return 0;
	control_request_free(request);
	return control_no_store(link);
}
