/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace_formats.h"

#include "../cleanup.h"
#include "trace_fields.h"
#include "trace_symbols.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <traceevent/event-parse.h>

struct event_kind {
	const char *system;
	const char *name; /* NULL: all of the system */
	enum trace_kind kind;
};

static const struct event_kind event_kinds[] = {
	{"ras", "aer_event", TRACE_KIND_AER},
	{"pci", "pci_hp_event", TRACE_KIND_HOTPLUG},
	{"ras", "memory_failure_event", TRACE_KIND_MEMORY_FAILURE},
	{"mce", "mce_record", TRACE_KIND_MACHINE_CHECK},
	{"cxl", NULL, TRACE_KIND_CXL},
	{"ras", NULL, TRACE_KIND_OTHER},
	{"pci", NULL, TRACE_KIND_OTHER},
};

bool trace_formats_wants(const char *system, const char *name, enum trace_kind *ret_kind)
{
	for (size_t i = 0; i < sizeof(event_kinds) / sizeof(event_kinds[0]); i++) {
		const struct event_kind *known = &event_kinds[i];

		if (strcmp(known->system, system))
			continue;
		if (known->name && strcmp(known->name, name))
			continue;
		*ret_kind = known->kind;
		return true;
	}
	return false;
}

/* How a text field is stored; false: not a shape that can be read as text. */
static bool text_shape(const struct tep_format_field *field, enum trace_shape *ret)
{
	if (field->flags & TEP_FIELD_IS_RELATIVE)
		*ret = TRACE_SHAPE_RELATIVE_LOCATION;
	else if (field->flags & TEP_FIELD_IS_DYNAMIC)
		*ret = TRACE_SHAPE_LOCATION;
	else if ((field->flags & TEP_FIELD_IS_ARRAY) && field->elementsize == 1)
		*ret = TRACE_SHAPE_CHARACTERS;
	else
		return false;
	return *ret == TRACE_SHAPE_CHARACTERS || field->size == 4;
}

static bool number_shape(const struct tep_format_field *field, enum trace_shape *ret)
{
	if (field->flags & (TEP_FIELD_IS_ARRAY | TEP_FIELD_IS_DYNAMIC | TEP_FIELD_IS_STRING))
		return false;
	if (field->size != 1 && field->size != 2 && field->size != 4 && field->size != 8)
		return false;
	*ret = field->flags & TEP_FIELD_IS_SIGNED ? TRACE_SHAPE_SIGNED : TRACE_SHAPE_UNSIGNED;
	return true;
}

static bool target_taken(const struct trace_format *format, uint32_t target)
{
	for (uint32_t i = 0; i < format->n_fields; i++)
		if (format->fields[i].target == target)
			return true;
	return false;
}

/* A field of a shape nobody expected is left out: better missing than misread. */
static int add_field(struct trace_format *format, const struct tep_format_field *field)
{
	enum trace_shape shape;
	uint32_t target;
	bool is_text;

	if (!trace_wanted(format->kind, field->name, &is_text, &target))
		return 0;
	if (field->offset < 0 || field->size <= 0)
		return -EINVAL;
	if (is_text ? !text_shape(field, &shape) : !number_shape(field, &shape))
		return 0;
	/* cxl_memory_sparing has the header's flags first and then some of its own. */
	if (target_taken(format, target))
		return 0;
	if (format->n_fields == TRACE_FIELDS_MAX)
		return -ENOSPC;
	format->fields[format->n_fields++] = (struct trace_field){
		.offset = (uint32_t)field->offset,
		.bytes = (uint32_t)field->size,
		.shape = shape,
		.target = target,
	};
	return 0;
}

/* What an element of the field is. */
static enum trace_layout_shape layout_shape(const struct tep_format_field *field,
					    uint32_t element_bytes)
{
	bool is_signed = field->flags & TEP_FIELD_IS_SIGNED;

	if (field->type && !strncmp(field->type, "uuid_t", 6))
		return TRACE_LAYOUT_UUID;
	if (!strcmp(field->name, "uuid") && field->size == 16)
		return TRACE_LAYOUT_UUID; /* cxl_poison has it as char[16] */
	/* libtraceevent takes u8[] for a string as well. */
	if ((field->flags & TEP_FIELD_IS_STRING) && field->type && strstr(field->type, "char"))
		return TRACE_LAYOUT_TEXT;
	if (element_bytes != 1 && element_bytes != 2 && element_bytes != 4 && element_bytes != 8)
		return TRACE_LAYOUT_BYTES;
	if (element_bytes == 1 && (field->flags & TEP_FIELD_IS_ARRAY))
		return TRACE_LAYOUT_BYTES;
	/* 6.12 prints it as signed; it is a number of 64 bits. */
	if (!strcmp(field->name, "serial"))
		return TRACE_LAYOUT_UNSIGNED;
	return is_signed ? TRACE_LAYOUT_SIGNED : TRACE_LAYOUT_UNSIGNED;
}

static void add_layout(struct trace_formats *formats, struct trace_format *format,
		       const struct tep_format_field *field)
{
	bool is_array = field->flags & TEP_FIELD_IS_ARRAY;
	struct trace_layout *layout;
	uint32_t element_bytes;

	if (field->offset < 0 || field->size <= 0 || strlen(field->name) >= sizeof(layout->name) ||
	    format->layouts + format->n_layouts == TRACE_LAYOUTS_MAX) {
		format->n_left_out++;
		return;
	}
	element_bytes = (uint32_t)(is_array ? field->elementsize : (unsigned int)field->size);
	layout = &formats->layouts[format->layouts + format->n_layouts++];
	*layout = (struct trace_layout){
		.offset = (uint32_t)field->offset,
		.bytes = (uint32_t)field->size,
		.shape = (uint8_t)layout_shape(field, element_bytes),
		.is_array = is_array,
		.is_dynamic = field->flags & TEP_FIELD_IS_DYNAMIC,
		.is_relative = field->flags & TEP_FIELD_IS_RELATIVE,
		.passes = trace_likeness_passes(field->name),
	};
	layout->element_bytes = element_bytes <= 8 ? (uint8_t)element_bytes : 1;
	strcpy(layout->name, field->name);
}

static bool starts_with_type(const struct tep_event *event)
{
	const struct tep_format_field *field;

	for (field = event->format.common_fields; field; field = field->next)
		if (!strcmp(field->name, "common_type"))
			return field->offset == 0 && field->size == 2;
	return false;
}

static int fill_format(struct trace_formats *formats, const struct tep_event *event,
		       const char *system, struct trace_format *ret)
{
	const struct tep_format_field *field;
	int r;

	if (!trace_formats_wants(system, event->name, &ret->kind))
		return -EOPNOTSUPP;
	if (event->id < 0 || event->id > UINT16_MAX || !starts_with_type(event))
		return -EINVAL;
	if (strlen(system) >= sizeof(ret->system) || strlen(event->name) >= sizeof(ret->name))
		return -EINVAL;

	ret->type = (uint32_t)event->id;
	strcpy(ret->system, system);
	strcpy(ret->name, event->name);
	for (field = event->format.fields; field; field = field->next) {
		r = add_field(ret, field);
		if (r < 0)
			return r;
		add_layout(formats, ret, field);
	}
	return 0;
}

/*
 * The text without its print format: libtraceevent 1.8.4 falls over some that name
 * fields that are not there, and cannot evaluate those of the cxl events anyway.
 * Return: a text that the caller frees, NULL without memory.
 */
static char *without_print(const char *text, size_t bytes, size_t *ret_bytes)
{
	static const char begin[] = "\nprint fmt:", none[] = "\nprint fmt: \"\"\n";
	const char *end = memmem(text, bytes, begin, sizeof(begin) - 1);
	size_t n = end ? (size_t)(end - text) : bytes;
	char *copy = malloc(n + sizeof(none));

	if (!copy)
		return NULL;
	memcpy(copy, text, n);
	memcpy(copy + n, none, sizeof(none));
	*ret_bytes = n + sizeof(none) - 1;
	return copy;
}

/*
 * libtraceevent 1.8.4 follows a null pointer where an array's bracket does not
 * close in its field. A kernel's text is printable throughout.
 */
static bool brackets_close(const char *text, size_t bytes)
{
	unsigned int open = 0;

	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < ' ' && c != '\t' && c != '\n') || c > '~')
			return false;
		if (c == '[')
			open++;
		if ((c == ']' && open-- == 0) || ((c == '\n' || c == ';') && open))
			return false;
	}
	return open == 0;
}

int trace_formats_add(struct trace_formats *formats, const char *system, const char *text,
		      size_t bytes)
{
	struct trace_format format = {
		.layouts = formats->n_layouts,
		.symbols = formats->n_symbols,
	};
	const struct tep_event *event;
	struct tep_handle *tep;
	size_t fields_bytes = 0;
	_cleanup_free_ char *fields = without_print(text, bytes, &fields_bytes);
	int r;

	if (!fields)
		return -ENOMEM;
	if (!brackets_close(fields, fields_bytes))
		return -EINVAL;
	tep = tep_alloc();
	if (!tep)
		return -ENOMEM;

	/* Its return value may tell of the print format; the fields are complete all the same. */
	tep_set_loglevel(TEP_LOG_NONE);
	(void)tep_parse_event(tep, fields, fields_bytes, system);
	event = tep_get_first_event(tep);
	r = event && event->name ? fill_format(formats, event, system, &format) : -EINVAL;
	tep_free(tep);
	if (r < 0)
		return r;

	for (uint32_t i = 0; i < formats->n; i++)
		if (formats->formats[i].type == format.type)
			return -EEXIST;
	if (formats->n == TRACE_EVENTS_MAX)
		return -ENOSPC;
	trace_symbols_parse(formats, &format, text, bytes);
	formats->n_layouts += format.n_layouts;
	formats->n_symbols += format.n_symbols;
	formats->formats[formats->n++] = format;
	return 0;
}
