/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reconcile(). */
#include "control_internal.h"

#include <errno.h>
#include <string.h>

#include <isolate/reconcile.h>

#include "cleanup.h"
#include "varlink_interface.h"

static int build_finding(const struct iso_finding *finding, sd_json_variant **ret)
{
	char object[ISO_PATH_BYTES], seen[ISO_TEXT_BYTES], believed[ISO_TEXT_BYTES];
	char action[ISO_TEXT_BYTES];

	control_text(object, sizeof(object), finding->object);
	control_text(seen, sizeof(seen), finding->seen);
	control_text(believed, sizeof(believed), finding->believed);
	control_text(action, sizeof(action), finding->action);
	return sd_json_buildo(ret,
			      SD_JSON_BUILD_PAIR_STRING("kind", iso_finding_name(finding->kind)),
			      SD_JSON_BUILD_PAIR_STRING("object", object),
			      SD_JSON_BUILD_PAIR_STRING("seen", seen),
			      SD_JSON_BUILD_PAIR_CONDITION(!!believed[0], "believed",
							   SD_JSON_BUILD_STRING(believed)),
			      SD_JSON_BUILD_PAIR_STRING("remedy", iso_remedy_name(finding->remedy)),
			      SD_JSON_BUILD_PAIR_STRING("action", action));
}

/* The engine keeps them until the next request is taken up, which is after this. */
static int answer(struct control_request *request, const struct iso_effect *reply)
{
	const struct iso_engine *engine = daemon_engine(request->control->daemon);
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *findings = NULL;
	_cleanup_(control_list_clear) struct control_list list = {0};
	const struct iso_finding *finding;
	uint32_t i;
	int r;

	(void)reply;
	for (i = 0; (finding = iso_finding_get(engine, i)); i++) {
		sd_json_variant *item;

		r = build_finding(finding, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return sd_varlink_error_errno(request->link, r);
	}
	r = control_list_end(&list, &findings);
	if (r < 0)
		return sd_varlink_error_errno(request->link, r);
	return sd_varlink_replybo(
		request->link, SD_JSON_BUILD_PAIR_VARIANT("findings", findings),
		SD_JSON_BUILD_PAIR_UNSIGNED("omitted", iso_finding_count(engine) - i));
}

int control_reconcile(sd_varlink *link, sd_json_variant *parameters,
		      sd_varlink_method_flags_t flags, void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"dryRun", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool, 0, 0},
		{0},
	};
	struct iso_event event = {.kind = ISO_EVENT_RECONCILE};
	struct control *control = userdata;
	struct control_request *request;
	int r;

	(void)flags;
	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &event.reconcile.dry_run);
	if (r != 0)
		return r;
	request = control_request_new(control, link, answer, "host");
	if (!request)
		return -ENOBUFS;
	if (!event.reconcile.dry_run)
		request->method = "Reconcile";
	return control_run(request, &event);
}
