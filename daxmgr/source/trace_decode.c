/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace_decode.h"

#include <assert.h>
#include <isolate/view.h>
#include <string.h>

struct wanted {
	enum trace_kind kind;
	bool is_text;
	const char *field;
	uint32_t target;
};

#define NUMBER(kind, field, member) {kind, false, field, offsetof(struct trace_record, member)}
#define TEXT(kind, field, member)   {kind, true, field, offsetof(struct trace_record, member)}

static const struct wanted wanted_fields[] = {
	TEXT(TRACE_KIND_AER, "dev_name", aer.device),
	NUMBER(TRACE_KIND_AER, "status", aer.status),
	NUMBER(TRACE_KIND_AER, "severity", aer.severity),
	TEXT(TRACE_KIND_AER, "bus_type", aer.bus_type),

	TEXT(TRACE_KIND_HOTPLUG, "port_name", hotplug.port),
	TEXT(TRACE_KIND_HOTPLUG, "slot", hotplug.slot),
	NUMBER(TRACE_KIND_HOTPLUG, "event", hotplug.event),

	NUMBER(TRACE_KIND_MEMORY_FAILURE, "pfn", memory_failure.pfn),
	NUMBER(TRACE_KIND_MEMORY_FAILURE, "type", memory_failure.type),
	NUMBER(TRACE_KIND_MEMORY_FAILURE, "result", memory_failure.result),

	NUMBER(TRACE_KIND_MACHINE_CHECK, "status", machine_check.status),
	NUMBER(TRACE_KIND_MACHINE_CHECK, "addr", machine_check.addr),
	NUMBER(TRACE_KIND_MACHINE_CHECK, "misc", machine_check.misc),
	NUMBER(TRACE_KIND_MACHINE_CHECK, "mcgstatus", machine_check.mcgstatus),
	NUMBER(TRACE_KIND_MACHINE_CHECK, "cpu", machine_check.cpu),
	NUMBER(TRACE_KIND_MACHINE_CHECK, "bank", machine_check.bank),
	NUMBER(TRACE_KIND_MACHINE_CHECK, "cpuvendor", machine_check.vendor),

	TEXT(TRACE_KIND_CXL, "memdev", cxl.memdev),
	TEXT(TRACE_KIND_CXL, "host", cxl.host),
	TEXT(TRACE_KIND_CXL, "region", cxl.region),      /* cxl_poison */
	TEXT(TRACE_KIND_CXL, "region_name", cxl.region), /* media events */
	NUMBER(TRACE_KIND_CXL, "serial", cxl.serial),
	NUMBER(TRACE_KIND_CXL, "log", cxl.log),
	NUMBER(TRACE_KIND_CXL, "hdr_flags", cxl.flags),
	NUMBER(TRACE_KIND_CXL, "flags", cxl.flags), /* cxl_poison has no header */
	NUMBER(TRACE_KIND_CXL, "descriptor", cxl.descriptor),
	NUMBER(TRACE_KIND_CXL, "type", cxl.type),
	NUMBER(TRACE_KIND_CXL, "trace_type", cxl.type), /* cxl_poison */
	NUMBER(TRACE_KIND_CXL, "dpa", cxl.dpa),
	NUMBER(TRACE_KIND_CXL, "dpa_length", cxl.dpa_bytes),
	NUMBER(TRACE_KIND_CXL, "hpa", cxl.hpa),
	NUMBER(TRACE_KIND_CXL, "status", cxl.status),
	NUMBER(TRACE_KIND_CXL, "count", cxl.count),
};

bool trace_wanted(enum trace_kind kind, const char *field, bool *ret_is_text, uint32_t *ret_target)
{
	for (size_t i = 0; i < sizeof(wanted_fields) / sizeof(wanted_fields[0]); i++) {
		const struct wanted *wanted = &wanted_fields[i];

		if (wanted->kind != kind || strcmp(wanted->field, field))
			continue;
		*ret_is_text = wanted->is_text;
		*ret_target = wanted->target;
		return true;
	}
	return false;
}

static uint64_t sign_extend(uint64_t value, uint32_t bytes)
{
	uint64_t sign = UINT64_C(1) << (bytes * 8 - 1);

	return (value ^ sign) - sign;
}

static bool read_number(const uint8_t *record, size_t bytes, const struct trace_field *field,
			struct trace_number *ret)
{
	uint64_t value;

	if (field->offset > bytes || field->bytes > bytes - field->offset)
		return false;

	/* Records are in the byte order of this machine; copies, as fields may be unaligned. */
	switch (field->bytes) {
	case 1:
		value = record[field->offset];
		break;
	case 2: {
		uint16_t v;
		memcpy(&v, record + field->offset, sizeof(v));
		value = v;
		break;
	}
	case 4: {
		uint32_t v;
		memcpy(&v, record + field->offset, sizeof(v));
		value = v;
		break;
	}
	case 8:
		memcpy(&value, record + field->offset, sizeof(value));
		break;
	default:
		return false;
	}

	if (field->shape == TRACE_SHAPE_SIGNED)
		value = sign_extend(value, field->bytes);
	*ret = (struct trace_number){.value = value, .has = true};
	return true;
}

/* Where the characters lie and how many there may be at most. */
static bool locate_text(const uint8_t *record, size_t bytes, const struct trace_field *field,
			size_t *ret_offset, size_t *ret_bytes)
{
	struct trace_number location;
	size_t offset = field->offset;
	size_t length = field->bytes;

	if (field->shape != TRACE_SHAPE_CHARACTERS) {
		if (field->bytes != 4 || !read_number(record, bytes, field, &location))
			return false;
		length = location.value >> 16;
		offset = location.value & 0xffff;
		if (field->shape == TRACE_SHAPE_RELATIVE_LOCATION)
			offset += (size_t)field->offset + field->bytes;
	}

	if (offset > bytes || length > bytes - offset)
		return false;
	*ret_offset = offset;
	*ret_bytes = length;
	return true;
}

static bool read_text(const uint8_t *record, size_t bytes, const struct trace_field *field,
		      struct trace_text *ret)
{
	size_t offset, length;
	const uint8_t *end;

	if (!locate_text(record, bytes, field, &offset, &length))
		return false;
	end = memchr(record + offset, 0, length);
	if (!end)
		return false;
	*ret = (struct trace_text){
		.text = (const char *)record + offset,
		.bytes = (uint32_t)(end - (record + offset)),
	};
	return true;
}

static bool read_field(const uint8_t *record, size_t bytes, const struct trace_field *field,
		       struct trace_record *ret)
{
	void *target = (uint8_t *)ret + field->target;

	switch (field->shape) {
	case TRACE_SHAPE_UNSIGNED:
	case TRACE_SHAPE_SIGNED:
		return read_number(record, bytes, field, target);
	case TRACE_SHAPE_CHARACTERS:
	case TRACE_SHAPE_LOCATION:
	case TRACE_SHAPE_RELATIVE_LOCATION:
		return read_text(record, bytes, field, target);
	}
	return false;
}

static const struct trace_format *find_format(const struct trace_formats *formats, uint32_t type)
{
	for (uint32_t i = 0; i < formats->n; i++)
		if (formats->formats[i].type == type)
			return &formats->formats[i];
	return NULL;
}

enum trace_outcome trace_decode(const struct trace_formats *formats, const void *record,
				size_t bytes, struct trace_record *ret)
{
	const struct trace_format *format;
	bool partial = false;
	uint16_t type;

	assert(formats->n <= TRACE_EVENTS_MAX);

	/* common_type comes first in every record; trace_formats_add() refuses others. */
	if (bytes < sizeof(type) || bytes > UINT32_MAX)
		return TRACE_TOO_SHORT;
	memcpy(&type, record, sizeof(type));
	format = find_format(formats, type);
	if (!format)
		return TRACE_UNKNOWN_EVENT;

	memset(ret, 0, sizeof(*ret));
	ret->kind = format->kind;
	ret->format = format;
	ret->system = format->system;
	ret->name = format->name;
	ret->raw = record;
	ret->raw_bytes = (uint32_t)bytes;
	for (uint32_t i = 0; i < format->n_fields; i++)
		if (!read_field(record, bytes, &format->fields[i], ret))
			partial = true;
	return partial ? TRACE_PARTIAL : TRACE_DECODED;
}

static bool fault_of_aer(const struct trace_aer *aer, struct iso_fault *fault)
{
	if (!aer->device.text || !aer->severity.has || aer->severity.value != TRACE_AER_FATAL)
		return false;
	fault->cause = aer->status.has && (aer->status.value & TRACE_AER_SURPRISE_DOWN)
			       ? ISO_CAUSE_SURPRISE_DOWN
			       : ISO_CAUSE_FATAL_ERROR;
	return iso_pci_address_parse(aer->device.text, &fault->address);
}

static bool fault_of_hotplug(const struct trace_hotplug *hotplug, struct iso_fault *fault)
{
	if (!hotplug->port.text || !hotplug->event.has)
		return false;
	if (hotplug->event.value != TRACE_HOTPLUG_LINK_DOWN &&
	    hotplug->event.value != TRACE_HOTPLUG_CARD_NOT_PRESENT)
		return false;
	fault->cause = ISO_CAUSE_LINK_DOWN;
	return iso_pci_address_parse(hotplug->port.text, &fault->address);
}

bool trace_fault(const struct trace_record *record, struct iso_fault *ret)
{
	struct iso_fault fault = {
		.unit_kind = ISO_UNIT_PORT_ADDRESS,
		.record_ns = record->at_ns,
	};
	bool contain = false;

	switch (record->kind) {
	case TRACE_KIND_AER:
		contain = fault_of_aer(&record->aer, &fault);
		break;
	case TRACE_KIND_HOTPLUG:
		contain = fault_of_hotplug(&record->hotplug, &fault);
		break;
	case TRACE_KIND_MEMORY_FAILURE:
	case TRACE_KIND_MACHINE_CHECK:
	case TRACE_KIND_CXL:
	case TRACE_KIND_OTHER:
	case TRACE_KINDS:
		break;
	}
	if (contain)
		*ret = fault;
	return contain;
}
