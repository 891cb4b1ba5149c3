/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace_fields.h"

#include <assert.h>
#include <string.h>

/* What always has to fit at the end: the closing of the object and the count of what did not. */
#define ENDING_BYTES (sizeof(",\"fields_left_out\":4294967295}"))

enum { LOCATION_BYTES = 4, NUMBER_ROOM = 24 };

/* ---- where values lie ---- */

static bool is_number(const struct trace_layout *layout)
{
	return layout->shape == TRACE_LAYOUT_UNSIGNED || layout->shape == TRACE_LAYOUT_SIGNED;
}

static bool locate(const struct trace_record *record, const struct trace_layout *layout,
		   struct trace_value *ret)
{
	size_t offset = layout->offset, bytes = layout->bytes;
	uint32_t location;

	if (offset > record->raw_bytes || bytes > record->raw_bytes - offset)
		return false;
	if (layout->is_dynamic) {
		if (bytes != LOCATION_BYTES)
			return false;
		memcpy(&location, (const uint8_t *)record->raw + offset, sizeof(location));
		offset = (location & 0xffff) + (layout->is_relative ? offset + bytes : 0);
		bytes = location >> 16;
		if (offset > record->raw_bytes || bytes > record->raw_bytes - offset)
			return false;
	}
	*ret = (struct trace_value){
		.layout = layout,
		.at = (const uint8_t *)record->raw + offset,
		.bytes = bytes,
	};
	return true;
}

bool trace_value_at(const struct trace_formats *formats, const struct trace_record *record,
		    uint32_t i, struct trace_value *ret)
{
	const struct trace_format *format = record->format;

	return i < format->n_layouts && locate(record, &formats->layouts[format->layouts + i], ret);
}

bool trace_value_of(const struct trace_formats *formats, const struct trace_record *record,
		    const char *field, struct trace_value *ret)
{
	const struct trace_format *format = record->format;

	for (uint32_t i = 0; i < format->n_layouts; i++)
		if (!strcmp(formats->layouts[format->layouts + i].name, field))
			return trace_value_at(formats, record, i, ret);
	return false;
}

/* Copies, as fields may be unaligned; in the byte order of this machine. */
static uint64_t read_number(const uint8_t *at, uint32_t bytes, bool is_signed)
{
	uint64_t value = 0, sign = UINT64_C(1) << (bytes * 8 - 1);
	uint16_t v2;
	uint32_t v4;

	switch (bytes) {
	case 1:
		value = *at;
		break;
	case 2:
		memcpy(&v2, at, sizeof(v2));
		value = v2;
		break;
	case 4:
		memcpy(&v4, at, sizeof(v4));
		value = v4;
		break;
	default:
		memcpy(&value, at, sizeof(value));
		break;
	}
	return is_signed ? (value ^ sign) - sign : value;
}

bool trace_number_of(const struct trace_formats *formats, const struct trace_record *record,
		     const char *field, uint64_t *ret)
{
	struct trace_value value;

	if (!trace_value_of(formats, record, field, &value) || !is_number(value.layout) ||
	    value.layout->is_array || value.layout->is_dynamic)
		return false;
	*ret = read_number(value.at, value.layout->element_bytes,
			   value.layout->shape == TRACE_LAYOUT_SIGNED);
	return true;
}

bool trace_text_of(const struct trace_formats *formats, const struct trace_record *record,
		   const char *field, char *text, size_t room)
{
	struct trace_value value;
	size_t n;

	if (!room || !trace_value_of(formats, record, field, &value) ||
	    value.layout->shape != TRACE_LAYOUT_TEXT)
		return false;
	n = strnlen((const char *)value.at, value.bytes);
	if (n >= room)
		n = room - 1;
	memcpy(text, value.at, n);
	text[n] = '\0';
	return true;
}

/* ---- as JSON ---- */

struct writer {
	char *at, *end; /* nothing is written from `end` on */
	bool full;
};

static void put_bytes(struct writer *w, const char *text, size_t n)
{
	if (w->full || (size_t)(w->end - w->at) < n) {
		w->full = true;
		return;
	}
	memcpy(w->at, text, n);
	w->at += n;
}

static void put_text(struct writer *w, const char *text)
{
	put_bytes(w, text, strlen(text));
}

static void put_number(struct writer *w, uint64_t value, bool is_signed)
{
	char digits[NUMBER_ROOM];
	size_t at = sizeof(digits);
	bool minus = is_signed && (int64_t)value < 0;

	if (minus)
		value = -value;
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	if (minus)
		digits[--at] = '-';
	put_bytes(w, digits + at, sizeof(digits) - at);
}

static void put_hex(struct writer *w, const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n && !w->full; i++) {
		const char pair[] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};

		put_bytes(w, pair, sizeof(pair));
	}
}

static void put_uuid(struct writer *w, const uint8_t *bytes)
{
	static const uint8_t groups[] = {4, 2, 2, 2, 6};

	for (size_t i = 0; i < sizeof(groups); i++) {
		if (i)
			put_text(w, "-");
		put_hex(w, bytes, groups[i]);
		bytes += groups[i];
	}
}

/* Bytes that are not ASCII become the characters of those numbers: always valid, nothing is lost. */
static void put_string(struct writer *w, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n && bytes[i] && !w->full; i++) {
		const char escaped[] = {'\\', (char)bytes[i]};

		if (bytes[i] == '"' || bytes[i] == '\\') {
			put_bytes(w, escaped, sizeof(escaped));
		} else if (bytes[i] < 0x20 || bytes[i] >= 0x7f) {
			put_text(w, "\\u00");
			put_hex(w, &bytes[i], 1);
		} else {
			put_bytes(w, (const char *)&bytes[i], 1);
		}
	}
}

static void put_numbers(struct writer *w, const struct trace_value *value)
{
	bool is_signed = value->layout->shape == TRACE_LAYOUT_SIGNED;
	uint32_t bytes = value->layout->element_bytes;
	bool is_list = value->layout->is_array || value->layout->is_dynamic;
	size_t n = is_list ? value->bytes / bytes : 1;

	if (is_list)
		put_text(w, "[");
	for (size_t i = 0; i < n && !w->full; i++) {
		if (i)
			put_text(w, ",");
		put_number(w, read_number(value->at + i * bytes, bytes, is_signed), is_signed);
	}
	if (is_list)
		put_text(w, "]");
}

static void put_value(struct writer *w, const struct trace_value *value)
{
	const struct trace_layout *layout = value->layout;

	if (is_number(layout)) {
		put_numbers(w, value);
		return;
	}
	put_text(w, "\"");
	if (layout->shape == TRACE_LAYOUT_TEXT)
		put_string(w, value->at, value->bytes);
	else if (layout->shape == TRACE_LAYOUT_UUID && value->bytes == 16)
		put_uuid(w, value->at);
	else
		put_hex(w, value->at, value->bytes);
	put_text(w, "\"");
}

/* Return: false when there was no room; then nothing is left of it. */
static bool put_field(struct writer *w, const struct trace_value *value, bool first)
{
	char *before = w->at;

	put_text(w, first ? "\"" : ",\"");
	put_string(w, (const uint8_t *)value->layout->name, sizeof(value->layout->name));
	put_text(w, "\":");
	put_value(w, value);
	if (!w->full)
		return true;
	w->full = false;
	w->at = before;
	return false;
}

size_t trace_fields_json(const struct trace_formats *formats, const struct trace_record *record,
			 char *text, size_t room)
{
	struct writer w = {.at = text};
	struct trace_value value;
	uint32_t left_out = record->format->n_left_out;
	bool first = true;

	assert(room >= TRACE_FIELDS_ROOM_MIN);
	w.end = text + room - ENDING_BYTES - 1;
	put_text(&w, "{");
	for (uint32_t i = 0; i < record->format->n_layouts; i++) {
		if (!trace_value_at(formats, record, i, &value))
			continue;
		if (put_field(&w, &value, first))
			first = false;
		else
			left_out++;
	}
	w.end = text + room - 1;
	if (left_out) {
		put_text(&w, first ? "\"fields_left_out\":" : ",\"fields_left_out\":");
		put_number(&w, left_out, false);
	}
	put_text(&w, "}");
	*w.at = '\0';
	return (size_t)(w.at - text);
}
