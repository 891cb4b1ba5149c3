/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All own fields of a trace record, known or not, as this kernel's format file
 * lays them out. Pure: no I/O, no clock, no allocation, never a byte outside
 * the record. A field that lies outside the record is absent.
 */
#ifndef DAXMGR_SOURCE_TRACE_FIELDS_H
#define DAXMGR_SOURCE_TRACE_FIELDS_H

#include "trace_decode.h"

enum {
	TRACE_FIELDS_BYTES = 16384, /* room for every event known today, and then some */
	TRACE_FIELDS_ROOM_MIN = 64,
};

/* Where the value of a field lies in a record; of a text also the NUL, if there is one. */
struct trace_value {
	const struct trace_layout *layout;
	const uint8_t *at;
	size_t bytes;
};

/* The `i`th own field of the record. Return: false when it lies outside, or there is none. */
bool trace_value_at(const struct trace_formats *formats, const struct trace_record *record,
		    uint32_t i, struct trace_value *ret);
/* By its name. */
bool trace_value_of(const struct trace_formats *formats, const struct trace_record *record,
		    const char *field, struct trace_value *ret);
/* One number, sign-extended; false for an array, text or bytes, or when it is not there. */
bool trace_number_of(const struct trace_formats *formats, const struct trace_record *record,
		     const char *field, uint64_t *ret);
/* Copies a text, cut to the room; false when it is none or not there. */
bool trace_text_of(const struct trace_formats *formats, const struct trace_record *record,
		   const char *field, char *text, size_t room);

/*
 * One JSON object: numbers as numbers, texts, arrays of numbers, bytes as a
 * string of hexadecimal digits, uuids as people write them. Fields for which
 * `room` (at least TRACE_FIELDS_ROOM_MIN) is not enough are counted as
 * "fields_left_out" in it. Return: characters without the NUL.
 */
size_t trace_fields_json(const struct trace_formats *formats, const struct trace_record *record,
			 char *text, size_t room);

/*
 * The same for two records that differ in nothing but when, where and by whom
 * they were made: times, handles, CPU and the like. Never 0.
 */
uint64_t trace_likeness(const struct trace_formats *formats, const struct trace_record *record);
/* Whether a field of that name is one of those that do not count. */
bool trace_likeness_passes(const char *name);

#endif
