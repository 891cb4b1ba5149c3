/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what an operator wrote to what a source would have handed over. */
#include "inject.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "source/trace_fields.h"
#include "source/trace_formats.h"
#include "source/trace_poison.h"
#include "source/trace_story.h"
#include "source/uevent_decode.h"
#include "units.h"

static int refuse(char reason[INJECT_REASON_BYTES], const char *text)
{
	snprintf(reason, INJECT_REASON_BYTES, "%s", text);
	return -EINVAL;
}

/* ---- trace records ---- */

static bool number_of(sd_json_variant *value, uint64_t *ret)
{
	const char *text;
	char *end;

	if (sd_json_variant_is_unsigned(value)) {
		*ret = sd_json_variant_unsigned(value);
		return true;
	}
	if (sd_json_variant_is_integer(value)) {
		*ret = (uint64_t)sd_json_variant_integer(value);
		return true;
	}
	if (!sd_json_variant_is_string(value))
		return false;
	text = sd_json_variant_string(value);
	errno = 0;
	*ret = strtoull(text, &end, 0);
	return *text && !*end && !errno;
}

/* One field of the record as the decoder would have filled it in; what the decoder does not know is only kept. */
static int fill_field(struct trace_record *trace, const char *name, sd_json_variant *value,
		      char reason[INJECT_REASON_BYTES])
{
	struct trace_text text;
	struct trace_number number = {.has = true};
	uint32_t target;
	bool is_text;

	if (!trace_wanted(trace->kind, name, &is_text, &target))
		return 0;
	if (is_text && sd_json_variant_is_string(value)) {
		text.text = sd_json_variant_string(value);
		text.bytes = (uint32_t)strlen(text.text);
		memcpy((char *)trace + target, &text, sizeof(text));
		return 0;
	}
	if (!is_text && number_of(value, &number.value)) {
		memcpy((char *)trace + target, &number, sizeof(number));
		return 0;
	}
	snprintf(reason, INJECT_REASON_BYTES, "fields: %.60s must be a %s", name,
		 is_text ? "text" : "number");
	return -EINVAL;
}

static int fill_fields(struct trace_record *trace, sd_json_variant *fields,
		       char reason[INJECT_REASON_BYTES])
{
	size_t i, n = fields ? sd_json_variant_elements(fields) : 0;
	int r = 0;

	for (i = 0; r >= 0 && i + 1 < n; i += 2)
		r = fill_field(trace, sd_json_variant_string(sd_json_variant_by_index(fields, i)),
			       sd_json_variant_by_index(fields, i + 1), reason);
	return r;
}

static bool trace_kind_of(const char *kind, enum trace_kind *ret)
{
	static const struct {
		const char *name;
		enum trace_kind kind;
	} kinds[] = {
		{"aer_event", TRACE_KIND_AER},
		{"pci_hp_event", TRACE_KIND_HOTPLUG},
		{"memory_failure_event", TRACE_KIND_MEMORY_FAILURE},
		{"mce_record", TRACE_KIND_MACHINE_CHECK},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind, kinds[i].name)) {
			*ret = kinds[i].kind;
			return true;
		}
	*ret = TRACE_KIND_CXL;
	return !strncmp(kind, "cxl_", 4);
}

static void take_number(const struct trace_number *from, uint64_t *to, bool *has)
{
	if (!from->has)
		return;
	*to = from->value;
	*has = true;
}

static const char *take_cxl(const struct trace_cxl *cxl, struct store_event *event)
{
	take_number(&cxl->serial, &event->serial, &event->has_serial);
	take_number(&cxl->dpa, &event->dpa, &event->has_dpa);
	if (cxl->hpa.has && cxl->hpa.value != UINT64_MAX)
		take_number(&cxl->hpa, &event->hpa, &event->has_hpa);
	if (cxl->dpa_bytes.has)
		event->bytes = cxl->dpa_bytes.value;
	return cxl->memdev.text;
}

/* The memory that a record names, by the same rule as one of the ring; what the operator says of the place stands. */
static void take_memory(const struct trace_record *trace, struct store_event *event)
{
	struct iso_poison poison;

	if (!trace_poison(trace, &poison))
		return;
	if (poison.has_dpa && event->has_dpa && event->dpa == trace->cxl.dpa.value)
		event->dpa = poison.dpa.v; /* without the flags in its low bits */
	if (!event->has_hpa && poison.has_hpa) {
		event->hpa = poison.hpa.v;
		event->has_hpa = true;
	}
	if (!event->bytes)
		event->bytes = poison.bytes;
	if (!poison.cleared && event->severity < STORE_ERROR)
		event->severity = STORE_ERROR;
}

/* What a trace record is about, where the operator did not say otherwise. */
static void take_trace(const struct trace_record *trace, struct inject *inject)
{
	const char *unit = NULL;

	switch (trace->kind) {
	case TRACE_KIND_AER:
		unit = trace->aer.device.text;
		break;
	case TRACE_KIND_HOTPLUG:
		unit = trace->hotplug.port.text;
		break;
	case TRACE_KIND_CXL:
		unit = take_cxl(&trace->cxl, &inject->event);
		break;
	case TRACE_KIND_MEMORY_FAILURE:
	case TRACE_KIND_MACHINE_CHECK:
	case TRACE_KIND_OTHER:
	case TRACE_KINDS:
		break;
	}
	take_memory(trace, &inject->event);
	if (unit && !inject->event.unit[0])
		snprintf(inject->event.unit, sizeof(inject->event.unit), "%s", unit);
	inject->has_fault = trace_fault(trace, &inject->fault);
}

static int parse_trace(struct inject *inject, sd_json_variant *fields,
		       char reason[INJECT_REASON_BYTES])
{
	struct trace_record trace = {.name = inject->event.kind};
	int r;

	if (!trace_kind_of(inject->event.kind, &trace.kind)) {
		snprintf(reason, INJECT_REASON_BYTES,
			 "kind: %.40s is no event of the trace ring that is read",
			 inject->event.kind);
		return -EINVAL;
	}
	r = fill_fields(&trace, fields, reason);
	if (r >= 0)
		take_trace(&trace, inject);
	return r;
}

/* ---- uevents ---- */

static const char *text_of(sd_json_variant *fields, const char *name)
{
	sd_json_variant *value = fields ? sd_json_variant_by_key(fields, name) : NULL;

	return value && sd_json_variant_is_string(value) ? sd_json_variant_string(value) : NULL;
}

static void parse_uevent(struct inject *inject, sd_json_variant *fields)
{
	struct uevent uevent = {
		.action = inject->event.kind,
		.devpath = text_of(fields, "devpath"),
		.subsystem = text_of(fields, "subsystem"),
		.devtype = text_of(fields, "devtype"),
		.error_event = text_of(fields, "errorEvent"),
		.pci_slot_name = text_of(fields, "pciSlotName"),
	};
	struct uevent_news news;

	if (!uevent.subsystem || !uevent.devpath ||
	    uevent_meaning(&uevent, &news) == UEVENT_NOTHING)
		return;
	if (news.name && !inject->event.unit[0])
		snprintf(inject->event.unit, sizeof(inject->event.unit), "%s", news.name);
	inject->has_fault = uevent_fault(&news, 0, &inject->fault);
}

/* ---- isolation status ---- */

/* The same fault as of a status that was read; the engine's names are looked up by inject_event(). */
static int parse_isolation(struct inject *inject, char reason[INJECT_REASON_BYTES])
{
	if (strcmp(inject->event.kind, "isolated"))
		return 0;
	if (!inject->event.unit[0])
		return refuse(reason, "a record of an isolation names its root port as unit");
	inject->fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	inject->fault.cause = ISO_CAUSE_ISOLATED;
	inject->has_fault = true;
	return 0;
}

/* ---- canonical records ---- */

static int take_text(sd_json_variant *value, char *to, size_t room, const char *name,
		     char reason[INJECT_REASON_BYTES])
{
	const char *text = sd_json_variant_is_string(value) ? sd_json_variant_string(value) : NULL;

	if (!text || strlen(text) >= room) {
		snprintf(reason, INJECT_REASON_BYTES, "%s must be a text of at most %zu characters",
			 name, room - 1);
		return -EINVAL;
	}
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f) {
			snprintf(reason, INJECT_REASON_BYTES, "%s: characters that do not print",
				 name);
			return -EINVAL;
		}
	strcpy(to, text);
	return 0;
}

static int take_severity(sd_json_variant *value, uint32_t *ret, char reason[INJECT_REASON_BYTES])
{
	if (sd_json_variant_is_string(value))
		for (uint32_t i = 0; i < STORE_SEVERITIES; i++)
			if (!strcmp(sd_json_variant_string(value), store_severity_name(i))) {
				*ret = i;
				return 0;
			}
	return refuse(reason, "severity must be info, warning, error or fatal");
}

static int take_fields(struct inject *inject, sd_json_variant *value,
		       char reason[INJECT_REASON_BYTES])
{
	if (!sd_json_variant_is_object(value))
		return refuse(reason, "fields must be an object");
	if (sd_json_variant_format(value, 0, &inject->fields) < 0)
		return -ENOMEM;
	inject->event.fields = inject->fields;
	return 0;
}

static int take_place(sd_json_variant *value, const char *name, uint64_t *to, bool *has,
		      char reason[INJECT_REASON_BYTES])
{
	if (!number_of(value, to)) {
		snprintf(reason, INJECT_REASON_BYTES, "%s must be a number", name);
		return -EINVAL;
	}
	*has = true;
	return 0;
}

static int take_member(struct inject *inject, const char *name, sd_json_variant *value,
		       char reason[INJECT_REASON_BYTES])
{
	struct store_event *event = &inject->event;
	bool has;

	if (!strcmp(name, "source"))
		return take_text(value, event->source, sizeof(event->source), name, reason);
	if (!strcmp(name, "kind"))
		return take_text(value, event->kind, sizeof(event->kind), name, reason);
	if (!strcmp(name, "unit"))
		return take_text(value, event->unit, sizeof(event->unit), name, reason);
	if (!strcmp(name, "lease"))
		return take_text(value, event->lease, sizeof(event->lease), name, reason);
	if (!strcmp(name, "text"))
		return take_text(value, event->text, sizeof(event->text), name, reason);
	if (!strcmp(name, "severity"))
		return take_severity(value, &event->severity, reason);
	if (!strcmp(name, "fields"))
		return take_fields(inject, value, reason);
	if (!strcmp(name, "serial"))
		return take_place(value, name, &event->serial, &event->has_serial, reason);
	if (!strcmp(name, "hpa"))
		return take_place(value, name, &event->hpa, &event->has_hpa, reason);
	if (!strcmp(name, "dpa"))
		return take_place(value, name, &event->dpa, &event->has_dpa, reason);
	if (!strcmp(name, "bytes"))
		return take_place(value, name, &event->bytes, &has, reason);
	snprintf(reason, INJECT_REASON_BYTES, "a record has no member %.60s", name);
	return -EINVAL;
}

static int take_members(struct inject *inject, sd_json_variant *record,
			char reason[INJECT_REASON_BYTES])
{
	size_t i, n = sd_json_variant_elements(record);
	int r = 0;

	for (i = 0; r >= 0 && i + 1 < n; i += 2)
		r = take_member(inject, sd_json_variant_string(sd_json_variant_by_index(record, i)),
				sd_json_variant_by_index(record, i + 1), reason);
	if (r >= 0 && (!inject->event.source[0] || !inject->event.kind[0]))
		r = refuse(reason, "a record has a source and a kind");
	return r;
}

int inject_parse(sd_json_variant *record, struct inject *ret, char reason[INJECT_REASON_BYTES])
{
	sd_json_variant *fields;
	int r;

	*ret = (struct inject){.event.synthetic = true};
	if (!sd_json_variant_is_object(record))
		return refuse(reason, "a record is an object");
	ret->json = sd_json_variant_ref(record);
	r = take_members(ret, record, reason);
	fields = sd_json_variant_by_key(record, "fields");
	if (r >= 0 && !strcmp(ret->event.source, "trace"))
		r = parse_trace(ret, fields, reason);
	else if (r >= 0 && !strcmp(ret->event.source, "uevent"))
		parse_uevent(ret, fields);
	else if (r >= 0 && !strcmp(ret->event.source, "isolation"))
		r = parse_isolation(ret, reason);
	if (r >= 0 && ret->has_fault && ret->event.severity < STORE_FATAL)
		ret->event.severity = STORE_FATAL;
	if (r < 0)
		inject_clear(ret);
	return r;
}

int inject_parse_row(const struct store_event *event, struct inject *ret,
		     char reason[INJECT_REASON_BYTES])
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *record = NULL, *fields = NULL;
	int r;

	if (!event->fields || sd_json_parse(event->fields, 0, &fields, NULL, NULL) < 0) {
		snprintf(reason, INJECT_REASON_BYTES, "nothing was decoded of this record");
		return -EINVAL;
	}
	r = sd_json_buildo(
		&record, SD_JSON_BUILD_PAIR_STRING("source", event->source),
		SD_JSON_BUILD_PAIR_STRING("kind", event->kind),
		SD_JSON_BUILD_PAIR_STRING("unit", event->unit),
		SD_JSON_BUILD_PAIR_STRING("severity", store_severity_name(event->severity)),
		SD_JSON_BUILD_PAIR_STRING("text", event->text),
		SD_JSON_BUILD_PAIR_CONDITION(event->has_serial, "serial",
					     SD_JSON_BUILD_UNSIGNED(event->serial)),
		SD_JSON_BUILD_PAIR_CONDITION(event->has_hpa, "hpa",
					     SD_JSON_BUILD_UNSIGNED(event->hpa)),
		SD_JSON_BUILD_PAIR_CONDITION(event->has_dpa, "dpa",
					     SD_JSON_BUILD_UNSIGNED(event->dpa)),
		SD_JSON_BUILD_PAIR_CONDITION(event->bytes != 0, "bytes",
					     SD_JSON_BUILD_UNSIGNED(event->bytes)),
		SD_JSON_BUILD_PAIR_CONDITION(event->lease[0] != '\0', "lease",
					     SD_JSON_BUILD_STRING(event->lease)),
		SD_JSON_BUILD_PAIR_VARIANT("fields", fields));
	return r < 0 ? r : inject_parse(record, ret, reason);
}

/* ---- raw records ---- */

/* All that the ring's own record would say. Return: 0 or -ENOMEM. */
static int describe_raw(const struct trace_record *trace, struct inject *inject)
{
	struct store_event *event = &inject->event;
	struct trace_story story;

	inject->fields = malloc(TRACE_FIELDS_BYTES);
	if (!inject->fields)
		return -ENOMEM;
	trace_fields_json(inject->formats, trace, inject->fields, TRACE_FIELDS_BYTES);
	trace_describe(inject->formats, trace, &story);
	snprintf(event->kind, sizeof(event->kind), "%s", trace->name);
	memcpy(event->unit, story.unit, sizeof(event->unit));
	memcpy(event->text, story.text, sizeof(event->text));
	event->severity = (uint32_t)story.severity; /* the same order */
	event->fields = inject->fields;
	event->raw = inject->raw;
	event->raw_bytes = trace->raw_bytes;
	take_trace(trace, inject);
	if (inject->has_fault)
		event->severity = STORE_FATAL;
	return 0;
}

static int decode_raw(const char *system, const char *format, size_t bytes, struct inject *inject,
		      char reason[INJECT_REASON_BYTES])
{
	struct trace_record trace;
	enum trace_outcome outcome;

	if (trace_formats_add(inject->formats, system, format, strlen(format)) < 0)
		return refuse(reason, "that is not the format of an event that is read");
	outcome = trace_decode(inject->formats, inject->raw, bytes, &trace);
	if (outcome != TRACE_DECODED && outcome != TRACE_PARTIAL)
		return refuse(reason, "the raw record is not of that format");
	inject->partial = outcome == TRACE_PARTIAL;
	return describe_raw(&trace, inject);
}

int inject_parse_raw(const char *system, const char *format, const void *raw, size_t bytes,
		     struct inject *ret, char reason[INJECT_REASON_BYTES])
{
	int r = -ENOMEM;

	*ret = (struct inject){.event = {.synthetic = true, .source = "trace"}};
	if (bytes > INJECT_RAW_MAX)
		return refuse(reason, "a raw record has at most 64 KiB");
	ret->formats = calloc(1, sizeof(*ret->formats));
	ret->raw = malloc(bytes ? bytes : 1);
	if (ret->formats && ret->raw) {
		memcpy(ret->raw, raw, bytes);
		r = decode_raw(system, format, bytes, ret, reason);
	}
	if (r < 0)
		inject_clear(ret);
	return r;
}

void inject_clear(struct inject *inject)
{
	inject->json = sd_json_variant_unref(inject->json);
	free(inject->fields);
	free(inject->raw);
	free(inject->formats);
	*inject = (struct inject){0};
}
