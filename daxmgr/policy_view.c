/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stored record as rules see it, and what fired as the engine sees it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-json.h>

#include <isolate/view.h>

#include "policy.h"
#include "subject.h"
#include "units.h"

/* ---- fields ---- */

static bool number_of(const char *text, uint64_t *ret)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 0);
	return !*end && !errno;
}

static bool take_value(sd_json_variant *value, char text[24], struct iso_field *ret)
{
	if (sd_json_variant_is_boolean(value)) {
		ret->number = sd_json_variant_boolean(value);
		ret->has_number = true;
		ret->text = ret->number ? "true" : "false";
	} else if (sd_json_variant_is_unsigned(value)) {
		ret->number = sd_json_variant_unsigned(value);
		ret->has_number = true;
		snprintf(text, 24, "%" PRIu64, ret->number);
		ret->text = text;
	} else if (sd_json_variant_is_integer(value)) {
		ret->number = (uint64_t)sd_json_variant_integer(value);
		ret->has_number = true;
		snprintf(text, 24, "%" PRId64, sd_json_variant_integer(value));
		ret->text = text;
	} else if (sd_json_variant_is_string(value)) {
		ret->text = sd_json_variant_string(value);
		ret->has_number = number_of(ret->text, &ret->number);
	} else {
		return false;
	}
	return true;
}

/* Fields within fields are not seen by rules: what decoders write is flat. */
static void take_fields(struct policy_view *view, const char *fields)
{
	size_t i, n;

	if (!fields || sd_json_parse(fields, 0, &view->json, NULL, NULL) < 0 ||
	    !sd_json_variant_is_object(view->json))
		return;
	n = sd_json_variant_elements(view->json);
	for (i = 0; i + 1 < n && view->record.n_fields < POLICY_FIELDS_MAX; i += 2) {
		struct iso_field *field = &view->fields[view->record.n_fields];

		*field = (struct iso_field){
			.name = sd_json_variant_string(sd_json_variant_by_index(view->json, i)),
		};
		if (field->name && take_value(sd_json_variant_by_index(view->json, i + 1),
					      view->numbers[view->record.n_fields], field))
			view->record.n_fields++;
	}
	view->record.fields = view->fields;
}

/* ---- places ---- */

static uint32_t memdev_of(const struct iso_engine *engine, const struct store_event *record)
{
	char serial[24];

	if (record->has_serial) {
		snprintf(serial, sizeof(serial), "0x%" PRIx64, record->serial);
		return iso_memdev_find(engine, serial);
	}
	return record->unit[0] && !subject_unit_is_vm(record)
		       ? iso_memdev_find(engine, record->unit)
		       : ISO_NONE;
}

static void take_vms(const struct iso_engine *engine, uint32_t port, uint32_t memdev,
		     struct iso_record *ret)
{
	uint32_t leases[ISO_RECORD_VMS_MAX], i;
	struct iso_what_if what = {.leases = leases, .leases_room = ISO_RECORD_VMS_MAX};
	struct iso_lease_view lease;

	if ((port == ISO_NONE && memdev == ISO_NONE) ||
	    !iso_what_if(engine, memdev == ISO_NONE ? port : ISO_NONE, memdev, &what))
		return;
	for (i = 0; i < what.n_leases && i < ISO_RECORD_VMS_MAX; i++)
		if (iso_lease_get(engine, leases[i], &lease))
			ret->vms[ret->n_vms++] = lease.terms->name;
}

static void take_places(const struct iso_engine *engine, const struct store_event *record, bool vms,
			struct policy_view *view)
{
	uint32_t memdev = memdev_of(engine, record);
	uint32_t port = memdev == ISO_NONE && record->unit[0] && !subject_unit_is_vm(record)
				? iso_port_find(engine, record->unit)
				: ISO_NONE;
	struct iso_memdev_view memdev_view;
	struct iso_port_view port_view;
	const char *path = record->unit;

	if (memdev != ISO_NONE && iso_memdev_get(engine, memdev, &memdev_view)) {
		path = memdev_view.path;
		port = memdev_view.port;
		view->record.serial = memdev_view.serial;
		view->record.has_serial = !memdev_view.duplicate_serial;
	} else if (port != ISO_NONE && iso_port_get(engine, port, &port_view)) {
		path = port_view.path;
	}
	snprintf(view->unit, sizeof(view->unit), "%s", path);
	snprintf(view->domain, sizeof(view->domain), "%s", record->domain);
	if (port != ISO_NONE && !record->domain[0] && iso_port_get(engine, port, &port_view) &&
	    iso_port_get(engine, port_view.domain, &port_view))
		snprintf(view->domain, sizeof(view->domain), "%s", port_view.path);
	if (record->lease[0])
		view->record.vms[view->record.n_vms++] = record->lease;
	else if (vms)
		take_vms(engine, port, memdev, &view->record);
}

void policy_view_make(const struct iso_engine *engine, const struct store_event *record,
		      struct iso_rules_wish wish, struct policy_view *ret)
{
	ret->json = NULL;
	ret->record = (struct iso_record){
		.source = record->source,
		.kind = record->kind,
		.unit = ret->unit,
		.name = record->unit,
		.domain = ret->domain,
		.severity = record->severity,
		.synthetic = record->synthetic,
		.serial = record->serial,
		.has_serial = record->has_serial,
		.at_ns = (int64_t)record->at_ns,
	};
	take_places(engine, record, wish.vms, ret);
	if (wish.fields)
		take_fields(ret, record->fields);
}

void policy_view_clear(struct policy_view *view)
{
	view->json = sd_json_variant_unref(view->json);
}

/* ---- what fired ---- */

void policy_event(const struct iso_rules *rules, const struct iso_firing *firing,
		  struct iso_event *ret)
{
	const struct iso_rule *rule = iso_rules_get(rules, firing->rule);
	const struct iso_target *target = &firing->target;
	struct iso_policy_action *action = &ret->policy;
	char window[UNITS_TIME_BYTES];

	*ret = (struct iso_event){.kind = ISO_EVENT_POLICY};
	action->action = firing->action;
	snprintf(action->rule, sizeof(action->rule), "%s", rule->name);
	snprintf(action->vm, sizeof(action->vm), "%s", target->vm);
	snprintf(action->unit, sizeof(action->unit), "%s", target->unit);
	snprintf(action->domain, sizeof(action->domain), "%s", target->domain);
	action->serial = target->serial;
	action->has_serial = target->has_serial;
	action->synthetic = target->synthetic;
	/* Of another boot: nobody is from before it, and nobody is to be spared for it. */
	action->record_ns = target->record_ns > 0 ? (uint64_t)target->record_ns : 0;
	units_format_time(rule->window_ns, window);
	if (firing->stage)
		snprintf(action->why, sizeof(action->why), "action %u, the one before did not help",
			 firing->stage + 1);
	else
		snprintf(action->why, sizeof(action->why), "%u record%s within %s", firing->count,
			 firing->count == 1 ? "" : "s", window);
}
