/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ReplayEvents(): stored raw records through today's decoders, and what would
 * be decided about them on the host as it is now: by the same trial as of a
 * record that is injected, on copies of engine and rules. Nothing is acted upon.
 */
#include "control_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "replay.h"
#include "varlink_interface.h"

/* Of one call: a trial copies the engine, and a kill may be waiting. */
enum { LIMIT_MAX = 32, TRIALS_MAX = 1 };

/* What would come of one record. */
struct verdict {
	struct replayed replayed;
	struct inject_outcome outcome;
	const char *decision; /* static */
	char why[ISO_TEXT_BYTES];
};

static void verdict_clear(struct verdict *verdict)
{
	replay_clear(&verdict->replayed);
	inject_outcome_clear(&verdict->outcome);
}

/* ---- deciding ---- */

static void join_lines(const struct inject_outcome *outcome, char ret[ISO_TEXT_BYTES])
{
	size_t length = 0;

	ret[0] = '\0';
	for (uint32_t i = 0; i < outcome->n_lines && length < ISO_TEXT_BYTES; i++)
		length += (size_t)snprintf(ret + length, ISO_TEXT_BYTES - length, "%s%s",
					   i ? "; " : "", outcome->lines[i]);
}

static int decide(struct daemon *daemon, struct verdict *verdict)
{
	const struct inject *record = &verdict->replayed.record;
	int r = daemon_try(daemon, record, &verdict->outcome);

	if (r < 0 || (!verdict->outcome.n_lines && !verdict->outcome.n_victims))
		return r;
	verdict->decision = record->has_fault            ? "contain"
			    : verdict->outcome.is_poison ? "poison"
							 : "rule";
	join_lines(&verdict->outcome, verdict->why);
	return 0;
}

/* ---- telling ---- */

/* What is decoded otherwise than when it was stored. */
static int append_news(const struct verdict *verdict, const struct store_event *stored,
		       sd_json_variant **object)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *then = NULL, *now = NULL;
	const struct store_event *event = &verdict->replayed.record.event;
	char text[ISO_TEXT_BYTES];
	bool differs;

	if (stored->fields && sd_json_parse(stored->fields, 0, &then, NULL, NULL) < 0)
		then = NULL;
	if (!event->fields || sd_json_parse(event->fields, 0, &now, NULL, NULL) < 0)
		now = NULL;
	differs = now && (!then || !sd_json_variant_equal(then, now));
	control_text(text, sizeof(text), event->text);
	return sd_json_variant_merge_objectbo(
		object,
		SD_JSON_BUILD_PAIR_CONDITION(!!strcmp(event->text, stored->text), "text",
					     SD_JSON_BUILD_STRING(text)),
		SD_JSON_BUILD_PAIR_CONDITION(differs, "fields", SD_JSON_BUILD_VARIANT(now)));
}

static int build_verdict(const struct verdict *verdict, const struct store_event_row *row,
			 bool decoded, sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *event = NULL, *victims = NULL;
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *object = NULL;
	char why[ISO_TEXT_BYTES];
	int r = control_json_event(row, &event);

	if (r >= 0)
		r = control_victims(&verdict->outcome, &victims);
	if (r < 0)
		return r;
	control_text(why, sizeof(why), verdict->why);
	r = sd_json_buildo(&object, SD_JSON_BUILD_PAIR_VARIANT("event", event),
			   SD_JSON_BUILD_PAIR_STRING("outcome", verdict->replayed.outcome),
			   SD_JSON_BUILD_PAIR_STRING("decision", verdict->decision),
			   SD_JSON_BUILD_PAIR_CONDITION(!!why[0], "why", SD_JSON_BUILD_STRING(why)),
			   SD_JSON_BUILD_PAIR_VARIANT("victims", victims));
	if (r >= 0 && decoded)
		r = append_news(verdict, &row->event, &object);
	if (r < 0)
		return r;
	*ret = object;
	object = NULL;
	return 0;
}

static int replay(struct daemon *daemon, const struct store_event_row *row, uint32_t *trials,
		  sd_json_variant **ret)
{
	struct verdict verdict = {.decision = "none"};
	bool decoded = replay_decode(row, &verdict.replayed);
	int r = 0;

	if (decoded && daemon_may_decide(daemon, &verdict.replayed.record)) {
		(*trials)++;
		r = decide(daemon, &verdict);
	}
	if (r >= 0)
		r = build_verdict(&verdict, row, decoded, ret);
	verdict_clear(&verdict);
	return r;
}

static int reply_replayed(struct control_request *request, const struct store_result *rows)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *events = NULL;
	uint64_t next = rows->scanned;
	uint32_t trials = 0;
	size_t i;
	int r = 0;

	for (i = 0; r >= 0 && i < rows->n_events && trials < TRIALS_MAX; i++) {
		sd_json_variant *item;

		r = replay(request->control->daemon, &rows->events[i], &trials, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
	}
	if (i && i < rows->n_events)
		next = rows->events[i - 1].id;
	if (r >= 0)
		r = control_list_end(&list, &events);
	if (r < 0)
		return r;
	return sd_varlink_replybo(request->link, SD_JSON_BUILD_PAIR_VARIANT("events", events),
				  SD_JSON_BUILD_PAIR_UNSIGNED("next", next),
				  SD_JSON_BUILD_PAIR_BOOLEAN("more", next < rows->newest));
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
