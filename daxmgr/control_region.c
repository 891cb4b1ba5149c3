/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CreateRegion(), DestroyRegion(). */
#include "control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "units.h"
#include "varlink_interface.h"

struct region_parameters {
	const char *name;
	sd_json_variant *memdevs; /* borrowed */
	uint32_t ways, granularity;
	uint64_t size;
};

static const sd_json_dispatch_field create_table[] = {
	{"name", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
	 offsetof(struct region_parameters, name), SD_JSON_MANDATORY},
	{"memdevs", SD_JSON_VARIANT_ARRAY, sd_json_dispatch_variant_noref,
	 offsetof(struct region_parameters, memdevs), SD_JSON_MANDATORY},
	{"ways", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint32,
	 offsetof(struct region_parameters, ways), 0},
	{"granularity", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint32,
	 offsetof(struct region_parameters, granularity), 0},
	{"size", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
	 offsetof(struct region_parameters, size), 0},
	{0},
};

static int answer_create(struct control_request *request, const struct iso_effect *reply)
{
	const struct iso_engine *engine = daemon_engine(request->control->daemon);
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *json = NULL;
	uint32_t index = iso_region_find(engine, request->object);
	struct iso_region_view region;
	int r;

	(void)reply;
	if (index == ISO_NONE || !iso_region_get(engine, index, &region))
		return sd_varlink_reply(request->link, NULL);
	r = control_json_region(engine, &region, &json);
	if (r < 0)
		return sd_varlink_error_errno(request->link, r);
	return sd_varlink_replybo(request->link, SD_JSON_BUILD_PAIR_VARIANT("region", json));
}

/* Return: NULL, or the text that is not a serial number. */
static const char *fill_serials(const struct region_parameters *p,
				struct iso_region_definition *ret)
{
	for (uint32_t i = 0; i < ret->ways; i++) {
		sd_json_variant *item = sd_json_variant_by_index(p->memdevs, i);
		const char *text = sd_json_variant_is_string(item) ? sd_json_variant_string(item)
								   : "";

		if (units_parse_serial(text, &ret->serials[i]) < 0)
			return text;
	}
	return NULL;
}

int control_create_region(sd_varlink *link, sd_json_variant *parameters,
			  sd_varlink_method_flags_t flags, void *userdata)
{
	struct iso_event event = {.kind = ISO_EVENT_REGION_DEFINE};
	struct iso_region_definition *definition = &event.define.definition;
	struct region_parameters p = {0};
	struct control *control = userdata;
	struct control_request *request;
	const char *wrong;
	size_t n;
	int r;

	(void)flags;
	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, create_table, &p);
	if (r != 0)
		return r;
	n = sd_json_variant_elements(p.memdevs);
	if (!iso_name_valid(p.name))
		return control_error(link, VARLINK_ERROR("BadName"), "'%.80s': %s", p.name,
				     iso_reply_text(ISO_REPLY_BAD_NAME));
	if (n == 0 || n > ISO_WAYS_MAX || (p.ways && p.ways != n))
		return control_error(
			link, VARLINK_ERROR("BadRegion"),
			"%s: it takes one memory device per way, at least 1 and at most %d", p.name,
			ISO_WAYS_MAX);
	snprintf(definition->name, sizeof(definition->name), "%s", p.name);
	definition->ways = (uint32_t)n;
	definition->granularity = p.granularity;
	definition->bytes = p.size;
	event.define.from_operator = true;
	wrong = fill_serials(&p, definition);
	if (wrong)
		return control_error(link, VARLINK_ERROR("BadRegion"),
				     "%s: '%.80s' is not a serial number such as 0x10", p.name,
				     wrong);
	request = control_request_new(control, link, answer_create, p.name);
	if (!request)
		return -ENOBUFS;
	request->method = "CreateRegion";
	return control_run(request, &event);
}

int control_destroy_region(sd_varlink *link, sd_json_variant *parameters,
			   sd_varlink_method_flags_t flags, void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"name", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, 0,
		 SD_JSON_MANDATORY},
		{0},
	};
	struct iso_event event = {.kind = ISO_EVENT_REGION_DESTROY};
	struct control *control = userdata;
	struct control_request *request;
	const char *name = NULL;
	int r;

	(void)flags;
	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &name);
	if (r != 0)
		return r;
	if (!iso_name_valid(name))
		return control_error(link, VARLINK_ERROR("NoSuchName"), "'%.80s': %s", name,
				     iso_reply_text(ISO_REPLY_NO_SUCH_NAME));
	request = control_request_new(control, link, control_answer_outcome, name);
	if (!request)
		return -ENOBUFS;
	request->method = "DestroyRegion";
	snprintf(event.named.name, sizeof(event.named.name), "%s", name);
	return control_run(request, &event);
}
