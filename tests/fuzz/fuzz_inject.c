/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any text as a record to inject, and any bytes as a raw one: refused with a
 * reason, or a record whose texts end where they have to.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct inject *inject)
{
	const struct store_event *event = &inject->event;

	assert(event->synthetic);
	assert(memchr(event->source, 0, sizeof(event->source)) && event->source[0]);
	assert(memchr(event->kind, 0, sizeof(event->kind)) && event->kind[0]);
	assert(memchr(event->unit, 0, sizeof(event->unit)));
	assert(memchr(event->text, 0, sizeof(event->text)));
	assert(event->severity < STORE_SEVERITIES);
	assert(!inject->has_fault || event->severity == STORE_FATAL);
}

static void as_json(const uint8_t *data, size_t size)
{
	char reason[INJECT_REASON_BYTES] = "";
	sd_json_variant *record = NULL;
	struct inject inject;
	char *text = strndup((const char *)data, size);
	int r;

	assert(text);
	if (sd_json_parse(text, 0, &record, NULL, NULL) >= 0) {
		r = inject_parse(record, &inject, reason);
		assert(r == 0 || r == -ENOMEM || reason[0]);
		if (r == 0) {
			check(&inject);
			inject_clear(&inject);
		}
		sd_json_variant_unref(record);
	}
	free(text);
}

static void as_raw(const uint8_t *data, size_t size)
{
	static const char format[] =
		"name: aer_event\nID: 7\nformat:\n"
		"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
		"\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
		"\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
		"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
		"\tfield:__data_loc char[] dev_name;\toffset:8;\tsize:4;\tsigned:0;\n"
		"\tfield:u32 status;\toffset:12;\tsize:4;\tsigned:0;\n"
		"\tfield:u8 severity;\toffset:16;\tsize:1;\tsigned:0;\n\n"
		"print fmt: \"%s\", __get_str(dev_name)\n";
	char reason[INJECT_REASON_BYTES] = "";
	struct inject inject;
	int r = inject_parse_raw("ras", format, data, size, &inject, reason);

	assert(r == 0 || r == -ENOMEM || reason[0]);
	if (r == 0) {
		check(&inject);
		inject_clear(&inject);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_json(data, size);
	as_raw(data, size);
	return 0;
}
