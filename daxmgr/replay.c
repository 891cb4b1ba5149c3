/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/kernel_log_decode.h"
#include "source/last_boot_decode.h"
#include "source/qmp_decode.h"
#include "source/trace_formats.h"
#include "uevent_record.h"

typedef bool (*decoder)(const struct store_event_row *row, struct replayed *ret);

/* ---- the trace ring ---- */

static bool is_format(const struct store_event_row *row)
{
	struct trace_formats *formats = calloc(1, sizeof(*formats));
	bool good = formats && trace_formats_add(formats, row->format_system, row->format_text,
						 strlen(row->format_text)) >= 0;

	free(formats);
	return good;
}

static bool decode_trace(const struct store_event_row *row, struct replayed *ret)
{
	const struct store_event *stored = &row->event;
	char reason[INJECT_REASON_BYTES];
	struct inject record;

	if (!row->format_text || !row->format_system) {
		ret->outcome = "no-format";
		return false;
	}
	if (inject_parse_raw(row->format_system, row->format_text, stored->raw, stored->raw_bytes,
			     &record, reason) < 0) {
		ret->outcome = is_format(row) ? "unreadable" : "unreadable-format";
		return false;
	}
	ret->record = record;
	if (record.partial)
		ret->outcome = "partial";
	return true;
}

/* ---- all others ---- */

static bool decode_uevent(const struct store_event_row *row, struct replayed *ret)
{
	struct uevent_news news;
	struct uevent uevent;

	if (uevent_decode(row->event.raw, row->event.raw_bytes, &uevent) != UEVENT_DECODED)
		return false;
	uevent_meaning(&uevent, &news);
	uevent_record(&uevent, &news, &ret->record.event, &ret->fields);
	ret->record.has_fault = uevent_fault(&news, 0, &ret->record.fault);
	return true;
}

/* Where it means something else than when it was stored the old words do not hold. */
static void set_kind(const char *kind, struct replayed *ret)
{
	struct store_event *event = &ret->record.event;

	if (!strcmp(event->kind, kind))
		return;
	snprintf(event->kind, sizeof(event->kind), "%s", kind);
	snprintf(event->text, sizeof(event->text), "%s", kind);
}

static bool decode_kernel_log(const struct store_event_row *row, struct replayed *ret)
{
	struct kernel_log_context context = {0};
	struct kernel_log_record line;
	struct kernel_log_news news;

	if (kernel_log_decode(row->event.raw, row->event.raw_bytes, &line) != KERNEL_LOG_DECODED)
		return false;
	/* Lines of a stack are known by what stands before them, which is a row of its own. */
	if (!strcmp(row->event.kind, kernel_log_kind_name(KERNEL_LOG_STACK)))
		context =
			(struct kernel_log_context){.of = KERNEL_LOG_WARNING, .at_ns = line.at_ns};
	kernel_log_meaning(&line, &context, &news);
	ret->record.has_fault = kernel_log_fault(&news, 0, &ret->record.fault);
	set_kind(kernel_log_kind_name(news.kind), ret);
	return true;
}

static bool decode_qmp(const struct store_event_row *row, struct replayed *ret)
{
	struct qmp_event event;

	if (qmp_decode(row->event.raw, row->event.raw_bytes, &event) == QMP_MALFORMED)
		return false;
	set_kind(qmp_kind_name(event.kind), ret);
	return true;
}

static bool decode_last_boot(const struct store_event_row *row, struct replayed *ret)
{
	struct last_boot_panic panic;

	if (!last_boot_decode(row->event.raw, row->event.raw_bytes, &panic))
		return false;
	set_kind(panic.panic ? "panic" : "oops", ret);
	return true;
}

static decoder decoder_of(const char *source)
{
	static const struct {
		const char *source;
		decoder decode;
	} decoders[] = {
		{"trace", decode_trace},
		{"uevent", decode_uevent},
		{"qmp", decode_qmp},
		{"kernel-log", decode_kernel_log},
		{"last-boot", decode_last_boot},
	};

	for (size_t i = 0; i < sizeof(decoders) / sizeof(decoders[0]); i++)
		if (!strcmp(source, decoders[i].source))
			return decoders[i].decode;
	return NULL;
}

/* A reading of registers, counters or lists: what it said stands in its fields. */
static bool take_reading(const struct store_event_row *row, struct replayed *ret)
{
	char reason[INJECT_REASON_BYTES];
	struct inject record;

	ret->outcome = "no-raw";
	if (inject_parse_row(&row->event, &record, reason) >= 0)
		ret->record = record;
	return true;
}

bool replay_decode(const struct store_event_row *row, struct replayed *ret)
{
	decoder decode = decoder_of(row->event.source);
	bool has;

	*ret = (struct replayed){.outcome = "decoded", .record.event = row->event};
	if (!row->event.raw_bytes) {
		has = take_reading(row, ret);
	} else if (!decode) {
		ret->outcome = "no-format";
		has = false;
	} else {
		has = decode(row, ret);
		if (!has && !strcmp(ret->outcome, "decoded"))
			ret->outcome = "unreadable";
	}
	/* Whose it is shows on the host as it is now; a monitor and a process are a VM's own. */
	ret->record.event.incident = 0;
	ret->record.event.domain[0] = '\0';
	ret->record.event.synthetic = row->event.synthetic;
	ret->record.count = row->count;
	return has;
}

void replay_clear(struct replayed *replayed)
{
	inject_clear(&replayed->record);
	free(replayed->fields);
	*replayed = (struct replayed){0};
}
