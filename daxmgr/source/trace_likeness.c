/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What makes a record another one, and not the same thing said again. */
#include <string.h>

#include "trace_fields.h"

/* When, on which CPU, in whose name, under which number of the device's log. */
static const char *const passing[] = {
	"hdr_timestamp", "hdr_handle", "hdr_related_handle",
	"overflow_ts",   "first_ts",   "last_ts",
	"cpu",           "apicid",     "tsc",
	"walltime",      "ip",         "cs",
	"timestamp",     "pid",
};

/* FNV-1a, eight bytes at a time and mixed: records are long and come in storms. */
static uint64_t mix(uint64_t hash, const uint8_t *bytes, size_t n)
{
	uint64_t word;

	for (; n >= sizeof(word); bytes += sizeof(word), n -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
	}
	for (; n > 0; bytes++, n--)
		hash = (hash ^ *bytes) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 29;
}

bool trace_likeness_passes(const char *name)
{
	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
		if (!strcmp(passing[i], name))
			return true;
	return false;
}

uint64_t trace_likeness(const struct trace_formats *formats, const struct trace_record *record)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	struct trace_value value;

	hash = mix(hash, (const uint8_t *)record->system, strlen(record->system) + 1);
	hash = mix(hash, (const uint8_t *)record->name, strlen(record->name) + 1);
	for (uint32_t i = 0; i < record->format->n_layouts; i++) {
		const struct trace_layout *layout = &formats->layouts[record->format->layouts + i];
		size_t n;

		if (layout->passes)
			continue;
		/* An absent one is not an empty one. */
		if (!trace_value_at(formats, record, i, &value)) {
			hash = mix(hash, (const uint8_t *)&i, sizeof(i));
			continue;
		}
		n = value.layout->shape == TRACE_LAYOUT_TEXT
			    ? strnlen((const char *)value.at, value.bytes)
			    : value.bytes;
		hash = mix(hash, (const uint8_t *)&n, sizeof(n));
		hash = mix(hash, value.at, n);
	}
	return hash ? hash : 1;
}
