/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ListRules(), ReloadPolicy(), ExplainRecord(). */
#include "control_policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "units.h"
#include "varlink_interface.h"

static int64_t now_ns(void)
{
	return (int64_t)clock_boottime_ns();
}

/* "notify", "start-unit alarm.service". */
static void action_text(const struct iso_rule_stage *stage, char *text, size_t room)
{
	snprintf(text, room, "%s%s%s", iso_action_name(stage->action),
		 stage->start_unit[0] ? " " : "", stage->start_unit);
}

static int build_actions(const struct iso_rule *rule, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	char text[ISO_RULE_PATTERN_BYTES + 16];
	int r;

	for (uint32_t i = 0; i < rule->n_stages; i++) {
		sd_json_variant *item;

		action_text(&rule->stages[i], text, sizeof(text));
		r = sd_json_buildo(&item, SD_JSON_BUILD_PAIR_STRING("action", text),
				   SD_JSON_BUILD_PAIR_CONDITION(
					   rule->stages[i].deadline_ns != 0, "deadlineNs",
					   SD_JSON_BUILD_UNSIGNED(rule->stages[i].deadline_ns)));
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int build_rule(const struct iso_rules *rules, uint32_t i, sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *actions = NULL;
	const struct iso_rule *rule = iso_rules_get(rules, i);
	struct iso_rule_state state;
	int r;

	iso_rules_state(rules, i, now_ns(), &state);
	r = build_actions(rule, &actions);
	if (r < 0)
		return r;
	return sd_json_buildo(ret, SD_JSON_BUILD_PAIR_STRING("name", rule->name),
			      SD_JSON_BUILD_PAIR_STRING("per", iso_per_name(rule->per)),
			      SD_JSON_BUILD_PAIR_UNSIGNED("threshold", rule->threshold),
			      SD_JSON_BUILD_PAIR_UNSIGNED("windowNs", rule->window_ns),
			      SD_JSON_BUILD_PAIR_UNSIGNED("holdOffNs", rule->hold_off_ns),
			      SD_JSON_BUILD_PAIR_VARIANT("actions", actions),
			      SD_JSON_BUILD_PAIR_UNSIGNED("matched", state.n_matched),
			      SD_JSON_BUILD_PAIR_UNSIGNED("fired", state.n_fired),
			      SD_JSON_BUILD_PAIR_UNSIGNED("acting", state.n_acting),
			      SD_JSON_BUILD_PAIR_UNSIGNED("count", state.count),
			      SD_JSON_BUILD_PAIR_CONDITION(!!state.key[0], "countedFor",
							   SD_JSON_BUILD_STRING(state.key)));
}

int control_list_rules(sd_varlink *link, sd_json_variant *parameters,
		       sd_varlink_method_flags_t flags, void *userdata)
{
	struct control *control = userdata;
	const struct iso_rules *rules = daemon_rules(control->daemon);
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *array = NULL;
	_cleanup_(control_list_clear) struct control_list list = {0};
	char problem[ISO_TEXT_BYTES];
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	for (uint32_t i = 0; i < iso_rules_count(rules); i++) {
		sd_json_variant *item;

		r = build_rule(rules, i, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	r = control_list_end(&list, &array);
	if (r < 0)
		return r;
	control_text(problem, sizeof(problem), daemon_policy_problem(control->daemon));
	return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("rules", array),
				  SD_JSON_BUILD_PAIR_UNSIGNED("missed", iso_rules_missed(rules)),
				  SD_JSON_BUILD_PAIR_CONDITION(!!problem[0], "problem",
							       SD_JSON_BUILD_STRING(problem)));
}

/* ---- reload ---- */

static void on_reloaded(void *userdata, int result, uint32_t n, const char *messages)
{
	struct control_request *request = userdata;
	char text[2 * ISO_TEXT_BYTES];

	if (request->link && result < 0)
		control_error(request->link, VARLINK_ERROR("Refused"),
			      "%u rules stay as they were: %s", n,
			      messages && *messages ? control_text(text, sizeof(text), messages)
						    : strerror(-result));
	else if (request->link)
		sd_varlink_replybo(request->link, SD_JSON_BUILD_PAIR_UNSIGNED("rules", n));
	control_request_free(request);
}

int control_reload_policy(sd_varlink *link, sd_json_variant *parameters,
			  sd_varlink_method_flags_t flags, void *userdata)
{
	struct control *control = userdata;
	struct control_request *request;
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	request = control_request_new(control, link, NULL, "policy");
	if (!request)
		return -ENOBUFS;
	r = daemon_reload_policy(control->daemon, on_reloaded, request);
	if (r >= 0)
		return 0;
	control_request_free(request);
	return control_error(link, VARLINK_ERROR("Refused"), "%s",
			     r == -EBUSY ? "the rules are being read already" : strerror(-r));
}

/* ---- explain ---- */

static int build_explanation(const struct iso_rules *rules, uint32_t i,
			     const struct iso_record *record, sd_json_variant **ret)
{
	const struct iso_rule *rule = iso_rules_get(rules, i);
	char action[ISO_RULE_PATTERN_BYTES + 16], text[ISO_TEXT_BYTES], key[ISO_PATH_BYTES];
	struct iso_explanation why;
	bool fires;

	iso_rules_explain(rules, i, record, now_ns(), &why);
	fires = why.word == ISO_RULE_FIRES;
	action_text(&rule->stages[why.stage], action, sizeof(action));
	if (why.word == ISO_RULE_FIELD)
		snprintf(text, sizeof(text), "%s: %s %s %s", iso_rule_word_text(why.word),
			 rule->fields[why.field].name,
			 iso_operator_name(rule->fields[why.field].op),
			 rule->fields[why.field].text);
	else
		snprintf(text, sizeof(text), "%s", iso_rule_word_text(why.word));
	control_text(key, sizeof(key), why.key);
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_STRING("rule", rule->name),
		SD_JSON_BUILD_PAIR_BOOLEAN("matches", why.word >= ISO_RULE_COUNTED),
		SD_JSON_BUILD_PAIR_BOOLEAN("fires", fires), SD_JSON_BUILD_PAIR_STRING("why", text),
		SD_JSON_BUILD_PAIR_STRING("action", action),
		SD_JSON_BUILD_PAIR_UNSIGNED("threshold", rule->threshold),
		SD_JSON_BUILD_PAIR_UNSIGNED("windowNs", rule->window_ns),
		SD_JSON_BUILD_PAIR_CONDITION(!!key[0], "countedFor", SD_JSON_BUILD_STRING(key)),
		SD_JSON_BUILD_PAIR_CONDITION(!!key[0], "count", SD_JSON_BUILD_UNSIGNED(why.count)),
		SD_JSON_BUILD_PAIR_CONDITION(why.until_ns > 0, "untilNs",
					     SD_JSON_BUILD_INTEGER(why.until_ns)));
}

static int reply_explained(struct control *control, sd_varlink *link,
			   const struct store_event *event, int64_t at_ns)
{
	const struct iso_rules *rules = daemon_rules(control->daemon);
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *array = NULL;
	_cleanup_(control_list_clear) struct control_list list = {0};
	struct policy_view view;
	int r = 0;

	policy_view_make(daemon_engine(control->daemon), event, (struct iso_rules_wish){true, true},
			 &view);
	view.record.at_ns = at_ns;
	for (uint32_t i = 0; r >= 0 && i < iso_rules_count(rules); i++) {
		sd_json_variant *item;

		r = build_explanation(rules, i, &view.record, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
	}
	policy_view_clear(&view);
	if (r >= 0)
		r = control_list_end(&list, &array);
	if (r < 0)
		return r;
	return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("rules", array));
}

/* When it happened on this boot's clock. */
static int64_t row_time(const struct control *control, const struct store_event_row *row)
{
	int64_t boot_us = (int64_t)(clock_read_ns(CLOCK_REALTIME) / 1000) - now_ns() / 1000;

	if (!strcmp(row->boot_id, daemon_boot_id(control->daemon)))
		return (int64_t)row->event.at_ns;
	return ((int64_t)row->realtime_us - boot_us) * 1000;
}

static void on_row(void *userdata, int result, const struct store_result *rows)
{
	struct control_request *request = userdata;
	uint64_t id = strtoull(request->object, NULL, 10);

	if (request->link && result < 0)
		control_error(request->link, VARLINK_ERROR("StoreFailed"),
			      "the store could not be read: %s", strerror(-result));
	else if (request->link && (!rows->n_events || rows->events[0].id != id))
		control_error(request->link, VARLINK_ERROR("NoSuchName"),
			      "there is no record %s; 'daxmgrctl events' lists them",
			      request->object);
	else if (request->link && request->control)
		request->with_record(request, &rows->events[0]);
	control_request_free(request);
}

int control_with_record(struct control *control, sd_varlink *link, uint64_t id,
			control_with_record_t with_record, bool flag, char *words)
{
	struct store *store = daemon_store(control->daemon);
	const struct store_event_query query = {.since = id - 1, .limit = 1};
	struct control_request *request;
	char object[24];

	snprintf(object, sizeof(object), "%" PRIu64, id);
	request = control_request_new(control, link, NULL, object);
	if (!request) {
		free(words);
		return -ENOBUFS;
	}
	request->with_record = with_record;
	request->flag = flag;
	request->words = words;
	if (store && id && store_query_events(store, &query, on_row, request) >= 0)
		return 0;
	control_request_free(request);
	return control_error(link, VARLINK_ERROR("StoreFailed"),
			     "the store is not there or too busy; see 'daxmgrctl status'");
}

static void explain_row(struct control_request *request, const struct store_event_row *row)
{
	reply_explained(request->control, request->link, &row->event,
			row_time(request->control, row));
}

struct explain_parameters {
	uint64_t id;
	sd_json_variant *record;
};

int control_explain_record(sd_varlink *link, sd_json_variant *parameters,
			   sd_varlink_method_flags_t flags, void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"id", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
		 offsetof(struct explain_parameters, id), 0},
		{"record", SD_JSON_VARIANT_OBJECT, sd_json_dispatch_variant_noref,
		 offsetof(struct explain_parameters, record), 0},
		{0},
	};
	char reason[INJECT_REASON_BYTES] = "";
	struct explain_parameters p = {0};
	struct control *control = userdata;
	struct inject inject;
	int r;

	(void)flags;
	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &p);
	if (r != 0)
		return r;
	if (!p.record)
		return control_with_record(control, link, p.id, explain_row, false, NULL);
	r = inject_parse(p.record, &inject, reason);
	if (r < 0)
		return control_error(link, VARLINK_ERROR("BadRecord"), "%s",
				     reason[0] ? reason : strerror(-r));
	inject.event.synthetic = false; /* as if it had come */
	r = reply_explained(control, link, &inject.event, now_ns());
	inject_clear(&inject);
	return r;
}
