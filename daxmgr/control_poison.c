/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ListPoison() and ReadPoison(). */
#include "control_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "varlink_interface.h"

#define IF(condition, name, value) SD_JSON_BUILD_PAIR_CONDITION(!!(condition), name, value)
#define TEXT                       SD_JSON_BUILD_STRING
#define NUMBER                     SD_JSON_BUILD_UNSIGNED

/* Whom it is about now: names are empty where there is none. */
struct bad_names {
	char serial[24], memdev[16], path[ISO_PATH_BYTES], region[ISO_NAME_BYTES], device[32];
	char vm[ISO_NAME_BYTES];
};

static void find_names(const struct iso_engine *engine, const struct iso_bad_view *bad,
		       struct bad_names *ret)
{
	struct iso_instance_view instance;
	struct iso_memdev_view memdev;
	struct iso_region_view region;
	struct iso_lease_view lease;

	*ret = (struct bad_names){0};
	if (bad->has_dpa)
		snprintf(ret->serial, sizeof(ret->serial), "0x%" PRIx64, bad->serial);
	if (iso_memdev_get(engine, bad->memdev, &memdev)) {
		snprintf(ret->memdev, sizeof(ret->memdev), "%s", memdev.name);
		snprintf(ret->path, sizeof(ret->path), "%s", memdev.path);
	}
	if (iso_region_get(engine, bad->region, &region))
		snprintf(ret->region, sizeof(ret->region), "%s", region.definition->name);
	else
		snprintf(ret->region, sizeof(ret->region), "%s", bad->region_name);
	if (!iso_instance_get(engine, bad->instance, &instance))
		return;
	if (instance.named)
		snprintf(ret->device, sizeof(ret->device), "dax%u.%u", instance.region_kernel_id,
			 instance.kernel_id);
	if (iso_lease_get(engine, instance.lease, &lease))
		snprintf(ret->vm, sizeof(ret->vm), "%s", lease.terms->name);
}

static int build_evidence(uint32_t evidence, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	char text[ISO_TEXT_BYTES];
	int r = 0;

	for (uint32_t bit = 1; r >= 0 && bit <= ISO_POISON_SYNTHETIC; bit <<= 1) {
		sd_json_variant *item;

		if (!(evidence & bit))
			continue;
		iso_poison_evidence_format(bit, text);
		r = sd_json_variant_new_string(&item, text);
		if (r >= 0)
			r = control_list_add(&list, item);
	}
	return r < 0 ? r : control_list_end(&list, ret);
}

static int build_bad(const struct iso_engine *engine, const struct iso_bad_view *bad,
		     sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *evidence = NULL;
	bool placed = bad->region != ISO_NONE;
	struct bad_names names;
	int r;

	find_names(engine, bad, &names);
	r = build_evidence(bad->evidence, &evidence);
	if (r < 0)
		return r;
	return sd_json_buildo(
		ret, IF(names.serial[0], "serial", TEXT(names.serial)),
		IF(names.memdev[0], "memdev", TEXT(names.memdev)),
		IF(names.path[0], "path", TEXT(names.path)),
		IF(bad->has_dpa, "dpa", NUMBER(bad->dpa.v)), IF(placed, "hpa", NUMBER(bad->hpa.v)),
		SD_JSON_BUILD_PAIR_UNSIGNED("bytes", bad->bytes),
		SD_JSON_BUILD_PAIR_VARIANT("evidence", evidence),
		SD_JSON_BUILD_PAIR_STRING("state", iso_bad_state_name(bad->state)),
		IF(names.region[0], "region", TEXT(names.region)),
		IF(placed || bad->region_name[0], "offset", NUMBER(bad->offset.v)),
		IF(names.device[0], "device", TEXT(names.device)),
		IF(names.vm[0], "vm", TEXT(names.vm)), IF(bad->lease[0], "hit", TEXT(bad->lease)),
		IF(bad->first_ns, "firstNs", NUMBER(bad->first_ns)),
		IF(bad->last_ns, "lastNs", NUMBER(bad->last_ns)),
		IF(bad->cleared_ns, "clearedNs", NUMBER(bad->cleared_ns)));
}

int control_list_poison(sd_varlink *link, sd_json_variant *parameters,
			sd_varlink_method_flags_t flags, void *userdata)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *ranges = NULL;
	_cleanup_(control_list_clear) struct control_list list = {0};
	struct control *control = userdata;
	const struct iso_engine *engine = daemon_engine(control->daemon);
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	for (uint32_t i = 0; i < iso_bad_count(engine); i++) {
		struct iso_bad_view bad;
		sd_json_variant *item;

		if (!iso_bad_get(engine, i, &bad))
			continue;
		r = build_bad(engine, &bad, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	r = control_list_end(&list, &ranges);
	if (r < 0)
		return r;
	return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("ranges", ranges));
}

int control_read_poison(sd_varlink *link, sd_json_variant *parameters,
			sd_varlink_method_flags_t flags, void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"memdev", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, 0,
		 SD_JSON_NULLABLE},
		{0},
	};
	struct iso_event event = {.kind = ISO_EVENT_READ_POISON};
	struct control *control = userdata;
	struct control_request *request;
	const char *memdev = NULL;
	int r;

	(void)flags;
	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &memdev);
	if (r != 0)
		return r;
	if (memdev && (strlen(memdev) >= sizeof(event.read_poison.memdev) ||
		       iso_memdev_find(daemon_engine(control->daemon), memdev) == ISO_NONE))
		return control_error(link, VARLINK_ERROR("NoSuchUnit"),
				     "no memory device is called '%.80s'", memdev);
	snprintf(event.read_poison.memdev, sizeof(event.read_poison.memdev), "%s",
		 memdev ? memdev : "");
	request = control_request_new(control, link, control_answer_outcome,
				      memdev ? memdev : "host");
	if (!request)
		return -ENOBUFS;
	request->method = "ReadPoison";
	return control_run(request, &event);
}
