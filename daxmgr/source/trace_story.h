/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a trace record says, for a person and for who acts on it. Pure. */
#ifndef DAXMGR_SOURCE_TRACE_STORY_H
#define DAXMGR_SOURCE_TRACE_STORY_H

#include "trace_decode.h"

#include <isolate/types.h>

enum trace_severity {
	TRACE_SEVERITY_INFO,
	TRACE_SEVERITY_WARNING, /* corrected, or soon something worse */
	TRACE_SEVERITY_ERROR,
	TRACE_SEVERITY_FATAL,
};

struct trace_story {
	enum trace_severity severity;
	char unit[ISO_PATH_BYTES]; /* memdev or PCI address; may be empty */
	char text[ISO_TEXT_BYTES];
	uint64_t serial; /* of the memdev */
	bool has_serial;
	/* Memory that is bad now, or with `cleared` is no more. */
	bool is_poison, cleared;
	uint64_t hpa, dpa; /* of its first byte */
	bool has_hpa, has_dpa;
	uint64_t bytes;
	/* Records that a device says it has lost. */
	bool is_loss;
	uint64_t lost;
};

void trace_describe(const struct trace_formats *formats, const struct trace_record *record,
		    struct trace_story *ret);

#endif
