/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A format file and a record, both of any bytes: the format's length is in the
 * first two bytes, then it, then the record. Nothing is read outside, and what
 * comes out is a JSON object, a line, and the same twice.
 */
#include "source/trace_fields.h"
#include "source/trace_formats.h"
#include "source/trace_story.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-json.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libtraceevent forgets what it had taken of a format that it refuses; a kernel has no such one. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libtraceevent.so\n";
}

static void check(const struct trace_formats *formats, const struct trace_record *record,
		  size_t room)
{
	static char text[TRACE_FIELDS_BYTES];
	sd_json_variant *object = NULL;
	struct trace_story story;
	size_t n = trace_fields_json(formats, record, text, room);

	assert(n < room && strlen(text) == n);
	/* Two fields of one name are nothing that a kernel has. */
	if (sd_json_parse(text, 0, &object, NULL, NULL) >= 0)
		assert(sd_json_variant_is_object(object));
	sd_json_variant_unref(object);
	trace_describe(formats, record, &story);
	assert(memchr(story.text, 0, sizeof(story.text)));
	assert(memchr(story.unit, 0, sizeof(story.unit)));
	assert(trace_likeness(formats, record) == trace_likeness(formats, record));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const systems[] = {"cxl", "ras", "mce", "pci"};
	static struct trace_formats formats;
	struct trace_record record;
	size_t format_bytes, bytes;
	char *format;
	uint8_t *raw;

	if (size < 3)
		return 0;
	format_bytes = (size_t)data[0] | (size_t)data[1] << 8;
	if (format_bytes > size - 3)
		format_bytes = size - 3;
	bytes = size - 3 - format_bytes;
	format = malloc(format_bytes + 1);
	raw = malloc(bytes + 1);
	if (format && raw) {
		memcpy(format, data + 3, format_bytes);
		memcpy(raw, data + 3 + format_bytes, bytes);
		raw = realloc(raw, bytes ? bytes : 1);
		memset(&formats, 0, sizeof(formats));
		if (trace_formats_add(&formats, systems[data[2] & 3], format, format_bytes) == 0 &&
		    trace_decode(&formats, raw, bytes, &record) <= TRACE_PARTIAL) {
			check(&formats, &record, TRACE_FIELDS_BYTES);
			check(&formats, &record, TRACE_FIELDS_ROOM_MIN + data[2]);
		}
	}
	free(format);
	free(raw);
	return 0;
}
