/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ListSources(), GetHealth(). */
#include "control_internal.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"

#define IF(condition, name, value) SD_JSON_BUILD_PAIR_CONDITION(!!(condition), name, value)
#define TEXT                       SD_JSON_BUILD_STRING
#define NUMBER                     SD_JSON_BUILD_UNSIGNED

static int build_source(const struct source_table *table, enum source_id id, uint64_t now_ns,
			sd_json_variant **ret)
{
	const struct source_state *state = &table->states[id];
	bool ok = state->condition == SOURCE_OK;
	char why[ISO_TEXT_BYTES], here[ISO_TEXT_BYTES];

	control_text(why, sizeof(why), state->why);
	control_text(here, sizeof(here), state->cannot_here);
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_STRING("name", source_name(id)),
		SD_JSON_BUILD_PAIR_STRING("state", source_condition_name(state->condition)),
		IF(why[0], "why", TEXT(why)),
		IF(state->last_event_ns, "lastEventNs", NUMBER(state->last_event_ns)),
		IF(state->last_read_ns, "lastReadNs", NUMBER(state->last_read_ns)),
		IF(state->last_read_ns && now_ns > state->last_read_ns, "sinceReadNs",
		   NUMBER(now_ns - state->last_read_ns)),
		SD_JSON_BUILD_PAIR_UNSIGNED("records", state->records),
		SD_JSON_BUILD_PAIR_UNSIGNED("ignored", state->ignored),
		SD_JSON_BUILD_PAIR_UNSIGNED("lost", state->lost),
		SD_JSON_BUILD_PAIR_UNSIGNED("gaps", state->gaps),
		IF(state->durable, "lagNs", NUMBER(state->lag_ns)),
		IF(state->durable, "lagMaxNs", NUMBER(state->lag_max_ns)),
		IF(state->room, "waitingPages", NUMBER(state->waiting)),
		IF(state->room, "roomPages", NUMBER(state->room)),
		SD_JSON_BUILD_PAIR_STRING("tells", source_tells(id)),
		SD_JSON_BUILD_PAIR_STRING("cannot", source_cannot(id)),
		IF(here[0], "cannotHere", TEXT(here)),
		IF(!ok, "without", TEXT(source_without(id))));
}

int control_list_sources(sd_varlink *link, sd_json_variant *parameters,
			 sd_varlink_method_flags_t flags, void *userdata)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *sources = NULL;
	struct control *control = userdata;
	const struct source_table *table;
	uint64_t now_ns = clock_boottime_ns();
	struct store_counters counters;
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	store_count(daemon_store(control->daemon), &counters);
	table = daemon_sources(control->daemon);
	for (unsigned int id = 0; id < SOURCES; id++) {
		sd_json_variant *item;

		r = build_source(table, id, now_ns, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	r = control_list_end(&list, &sources);
	if (r < 0)
		return r;
	return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("sources", sources),
				  SD_JSON_BUILD_PAIR_UNSIGNED("storeQueued", counters.queued));
}

struct health_list {
	struct control_list list;
	uint32_t worst;
	int error;
};

static void add_verdict(void *userdata, uint32_t scope, const char *unit,
			const struct health_verdict *verdict)
{
	struct health_list *health = userdata;
	char reasons[ISO_TEXT_BYTES];
	sd_json_variant *item;

	if (health->error < 0)
		return;
	if (verdict->state > health->worst)
		health->worst = verdict->state;
	control_text(reasons, sizeof(reasons), verdict->reasons);
	health->error = sd_json_buildo(
		&item, SD_JSON_BUILD_PAIR_STRING("scope", health_scope_name(scope)),
		IF(unit[0], "unit", TEXT(unit)),
		SD_JSON_BUILD_PAIR_STRING("state", health_state_name(verdict->state)),
		IF(reasons[0], "reasons", TEXT(reasons)));
	if (health->error >= 0)
		health->error = control_list_add(&health->list, item);
}

int control_get_health(sd_varlink *link, sd_json_variant *parameters,
		       sd_varlink_method_flags_t flags, void *userdata)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *verdicts = NULL;
	struct control *control = userdata;
	struct health_list health = {0};
	const char *hold;
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	daemon_each_health(control->daemon, add_verdict, &health);
	r = health.error;
	if (r >= 0)
		r = control_list_end(&health.list, &verdicts);
	else
		control_list_clear(&health.list);
	if (r < 0)
		return r;
	hold = iso_health_reason(daemon_engine(control->daemon));
	return sd_varlink_replybo(
		link, SD_JSON_BUILD_PAIR_STRING("state", health_state_name(health.worst)),
		IF(hold, "recoveryWaits", TEXT(hold ? hold : "")),
		SD_JSON_BUILD_PAIR_VARIANT("verdicts", verdicts));
}
