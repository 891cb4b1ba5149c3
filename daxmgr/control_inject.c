/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inject(). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "control_policy.h"
#include "varlink_interface.h"

struct inject_parameters {
	sd_json_variant *record, *vms;
	uint64_t id;
	const char *system, *format, *raw;
	bool live;
};

static int text_list(char *const *lines, uint32_t n, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	char text[ISO_TEXT_BYTES + 32];
	int r;

	for (uint32_t i = 0; i < n; i++) {
		sd_json_variant *item;

		r = sd_json_variant_new_string(&item, control_text(text, sizeof(text), lines[i]));
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

int control_victims(const struct inject_outcome *outcome, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < outcome->n_victims; i++) {
		sd_json_variant *item;

		r = sd_json_variant_new_string(&item, outcome->victims[i]);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int reply(sd_varlink *link, const struct inject_outcome *outcome, bool live)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *decisions = NULL, *victims = NULL;
	int r;

	if ((r = text_list(outcome->lines, outcome->n_lines, &decisions)) < 0 ||
	    (r = control_victims(outcome, &victims)) < 0)
		return r;
	return sd_varlink_replybo(link,
				  SD_JSON_BUILD_PAIR_STRING("outcome", live ? "done" : "dry-run"),
				  SD_JSON_BUILD_PAIR_VARIANT("decisions", decisions),
				  SD_JSON_BUILD_PAIR_VARIANT("victims", victims),
				  SD_JSON_BUILD_PAIR_UNSIGNED("omitted", outcome->n_omitted));
}

/* ---- the interlock ---- */

/* Is `name` one of the words? */
static bool has_word(const char *words, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = words; (at = strstr(at, name)); at += length)
		if ((at == words || at[-1] == ' ') && (!at[length] || at[length] == ' '))
			return true;
	return false;
}

/*
 * Live only where configuration allows it, and only when whoever asks has named
 * all who would die of it. Return: whether it may go on; else the call was answered.
 */
static bool unlocked(struct control *control, sd_varlink *link,
		     const struct inject_outcome *outcome, const char *named)
{
	char names[ISO_TEXT_BYTES] = "";
	size_t length = 0;

	if (!daemon_may_inject(control->daemon)) {
		control_error(
			link, VARLINK_ERROR("Refused"),
			"nothing is injected on this host: [Inject] Allow=no in daxmgrd.conf; "
			"a dry run is always possible");
		return false;
	}
	for (uint32_t i = 0; i < outcome->n_victims; i++)
		if (!has_word(named, outcome->victims[i]) && length < sizeof(names))
			length += (size_t)snprintf(names + length, sizeof(names) - length, " %s",
						   outcome->victims[i]);
	if (!names[0])
		return true;
	control_error(link, VARLINK_ERROR("Refused"), "it would kill VMs that were not named:%s",
		      names);
	return false;
}

static void remember(struct control *control, const struct inject *inject)
{
	struct store *store = daemon_store(control->daemon);
	struct store_action action = {.what = "Inject", .outcome = "done"};

	snprintf(action.object, sizeof(action.object), "%.40s %.40s", inject->event.kind,
		 inject->event.unit);
	if (store)
		store_save_action(store, &action);
}

/* Takes `inject`. */
static int run(struct control *control, sd_varlink *link, struct inject *inject, bool live,
	       const char *named)
{
	struct inject_outcome outcome;
	int r;

	r = daemon_try(control->daemon, inject, &outcome);
	if (r >= 0 && (!live || unlocked(control, link, &outcome, named))) {
		if (live) {
			daemon_inject(control->daemon, inject);
			remember(control, inject);
		}
		r = reply(link, &outcome, live);
	}
	inject_outcome_clear(&outcome);
	inject_clear(inject);
	return r;
}

static int bad_record(sd_varlink *link, int r, const char *reason)
{
	return control_error(link, VARLINK_ERROR("BadRecord"), "%s",
			     reason[0] ? reason : strerror(-r));
}

/* ---- where the record is from ---- */

static void inject_row(struct control_request *request, const struct store_event_row *row)
{
	char reason[INJECT_REASON_BYTES] = "";
	struct inject inject;
	int r;

	r = inject_parse_row(&row->event, &inject, reason);
	if (r < 0)
		bad_record(request->link, r, reason);
	else
		r = run(request->control, request->link, &inject, request->flag,
			request->words ? request->words : "");
	if (r < 0 && r != -EINVAL)
		sd_varlink_error_errno(request->link, r);
}

static int parse_raw(const struct inject_parameters *p, struct inject *ret,
		     char reason[INJECT_REASON_BYTES])
{
	_cleanup_free_ void *raw = NULL;
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *text = NULL;
	size_t bytes = 0;
	int r;

	if (!p->format || !p->system) {
		snprintf(reason, INJECT_REASON_BYTES,
			 "a raw record comes with its system and the text of its format file");
		return -EINVAL;
	}
	r = sd_json_variant_new_string(&text, p->raw);
	if (r >= 0)
		r = sd_json_variant_unbase64(text, &raw, &bytes);
	if (r < 0) {
		snprintf(reason, INJECT_REASON_BYTES, "raw is no base64");
		return -EINVAL;
	}
	return inject_parse_raw(p->system, p->format, raw, bytes, ret, reason);
}

/* The VMs that were named, with spaces between them. Return: NULL without memory. */
static char *join(sd_json_variant *vms)
{
	size_t n = vms ? sd_json_variant_elements(vms) : 0, room = 1;
	char *words;

	for (size_t i = 0; i < n; i++)
		room += strlen(sd_json_variant_string(sd_json_variant_by_index(vms, i)) ?: "") + 1;
	words = calloc(1, room);
	for (size_t i = 0; words && i < n; i++) {
		strcat(words, i ? " " : "");
		strcat(words, sd_json_variant_string(sd_json_variant_by_index(vms, i)) ?: "");
	}
	return words;
}

int control_inject(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		   void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"record", SD_JSON_VARIANT_OBJECT, sd_json_dispatch_variant_noref,
		 offsetof(struct inject_parameters, record), 0},
		{"id", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
		 offsetof(struct inject_parameters, id), 0},
		{"raw", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
		 offsetof(struct inject_parameters, raw), 0},
		{"system", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
		 offsetof(struct inject_parameters, system), 0},
		{"format", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
		 offsetof(struct inject_parameters, format), 0},
		{"live", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
		 offsetof(struct inject_parameters, live), 0},
		{"vms", SD_JSON_VARIANT_ARRAY, sd_json_dispatch_variant_noref,
		 offsetof(struct inject_parameters, vms), 0},
		{0},
	};
	char reason[INJECT_REASON_BYTES] = "";
	_cleanup_free_ char *named = NULL;
	struct inject_parameters p = {0};
	struct inject inject;
	int r;

	(void)flags;
	if ((r = control_admit_request(userdata, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &p);
	if (r != 0)
		return r;
	named = join(p.vms);
	if (!named)
		return -ENOMEM;
	if (!p.record && !p.raw) {
		char *words = named;

		named = NULL;
		return control_with_record(userdata, link, p.id, inject_row, p.live, words);
	}
	r = p.record ? inject_parse(p.record, &inject, reason) : parse_raw(&p, &inject, reason);
	return r < 0 ? bad_record(link, r, reason) : run(userdata, link, &inject, p.live, named);
}
