/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qmp_decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-json.h>

#include "../cleanup.h"

/* sd-json nests as deep as the input does: what is too deep does not come to it. */
static bool is_flat(const char *line, size_t bytes)
{
	bool in_text = false, escaped = false;
	unsigned int depth = 0;

	for (size_t i = 0; i < bytes; i++) {
		char c = line[i];

		if (in_text) {
			if (escaped)
				escaped = false;
			else if (c == '\\')
				escaped = true;
			else if (c == '"')
				in_text = false;
			continue;
		}
		if (c == '"')
			in_text = true;
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth)
			depth--;
		if (depth > QMP_DEPTH_MAX)
			return false;
	}
	return true;
}

static void take_word(sd_json_variant *object, const char *key, char to[QMP_WORD_BYTES])
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
	sd_json_variant *value = sd_json_variant_by_key(object, key);
	const char *text;

	if (!sd_json_variant_is_string(value))
		return;
	text = sd_json_variant_string(value);
	if (strlen(text) >= QMP_WORD_BYTES || text[strspn(text, allowed)])
		return;
	memcpy(to, text, strlen(text) + 1);
}

static bool take_flag(sd_json_variant *object, const char *key, bool *ret)
{
	sd_json_variant *value = sd_json_variant_by_key(object, key);

	if (!sd_json_variant_is_boolean(value))
		return false;
	*ret = sd_json_variant_boolean(value);
	return true;
}

static bool take_time(sd_json_variant *stamp, uint64_t *ret_us)
{
	sd_json_variant *seconds = sd_json_variant_by_key(stamp, "seconds");
	sd_json_variant *micros = sd_json_variant_by_key(stamp, "microseconds");

	if (!sd_json_variant_is_unsigned(seconds) || !sd_json_variant_is_unsigned(micros) ||
	    sd_json_variant_unsigned(seconds) > INT64_MAX / 1000000 ||
	    sd_json_variant_unsigned(micros) >= 1000000)
		return false;
	*ret_us = sd_json_variant_unsigned(seconds) * 1000000 + sd_json_variant_unsigned(micros);
	return true;
}

static enum qmp_kind event_kind(const char *name)
{
	static const struct {
		const char *name;
		enum qmp_kind kind;
	} names[] = {
		{"MEMORY_FAILURE", QMP_MEMORY_FAILURE},
		{"GUEST_PANICKED", QMP_GUEST_PANICKED},
		{"STOP", QMP_STOPPED},
		{"RESUME", QMP_RESUMED},
		{"SHUTDOWN", QMP_SHUTDOWN},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i].name))
			return names[i].kind;
	return QMP_NOTHING;
}

static void read_event(sd_json_variant *message, const char *name, struct qmp_event *ret)
{
	sd_json_variant *data = sd_json_variant_by_key(message, "data");
	sd_json_variant *flags;

	ret->kind = event_kind(name);
	ret->has_vm_us = take_time(sd_json_variant_by_key(message, "timestamp"), &ret->vm_us);
	if (!sd_json_variant_is_object(data))
		return;
	take_word(data, "recipient", ret->recipient);
	take_word(data, "action", ret->action);
	take_word(data, "reason", ret->reason);
	flags = sd_json_variant_by_key(data, "flags");
	ret->has_action_required = take_flag(flags, "action-required", &ret->action_required);
	ret->has_recursive = take_flag(flags, "recursive", &ret->recursive);
}

enum qmp_kind qmp_decode(const char *line, size_t bytes, struct qmp_event *ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *message = NULL;
	_cleanup_free_ char *text = NULL;
	sd_json_variant *name;
	int r;

	*ret = (struct qmp_event){.kind = QMP_MALFORMED};
	if (bytes == 0 || bytes > QMP_LINE_BYTES_MAX || memchr(line, '\0', bytes) ||
	    !is_flat(line, bytes))
		return ret->kind;
	text = strndup(line, bytes);
	r = text ? sd_json_parse(text, 0, &message, NULL, NULL) : -ENOMEM;
	if (r == -ENOMEM)
		return ret->kind = QMP_NOTHING;
	if (r < 0 || !sd_json_variant_is_object(message))
		return ret->kind;
	ret->kind = QMP_NOTHING;
	name = sd_json_variant_by_key(message, "event");
	if (sd_json_variant_is_string(name))
		read_event(message, sd_json_variant_string(name), ret);
	else if (sd_json_variant_by_key(message, "QMP"))
		ret->kind = QMP_GREETING;
	else if (sd_json_variant_by_key(message, "error"))
		ret->kind = QMP_ERROR;
	else if (!sd_json_variant_by_key(message, "return"))
		ret->kind = QMP_MALFORMED;
	return ret->kind;
}

const char *qmp_kind_name(enum qmp_kind kind)
{
	static const char *const names[QMP_KINDS] = {
		[QMP_NOTHING] = "nothing",
		[QMP_GREETING] = "greeting",
		[QMP_ERROR] = "error",
		[QMP_MEMORY_FAILURE] = "memory-failure",
		[QMP_GUEST_PANICKED] = "guest-panicked",
		[QMP_STOPPED] = "stopped",
		[QMP_RESUMED] = "resumed",
		[QMP_SHUTDOWN] = "shutdown",
	};

	return kind < QMP_KINDS ? names[kind] : "malformed";
}

static void skip(struct qmp_lines *lines, bool ended)
{
	if (!lines->skipping)
		lines->too_long++;
	lines->skipping = !ended;
	lines->n = 0;
}

/* The part of a line that came now: with its end, or without. */
static int take_part(struct qmp_lines *lines, const char *part, size_t bytes, bool ended,
		     qmp_line_handler on_line, void *userdata)
{
	if (lines->skipping || lines->n + bytes > QMP_LINE_BYTES_MAX) {
		skip(lines, ended);
		return 0;
	}
	if (ended && lines->n == 0) {
		on_line(userdata, part, bytes);
		return 0;
	}
	if (!lines->partial)
		lines->partial = malloc(QMP_LINE_BYTES_MAX);
	if (!lines->partial) {
		skip(lines, ended);
		return -ENOMEM;
	}
	memcpy(lines->partial + lines->n, part, bytes);
	lines->n += bytes;
	if (ended) {
		on_line(userdata, lines->partial, lines->n);
		qmp_lines_done(lines);
	}
	return 0;
}

int qmp_lines_take(struct qmp_lines *lines, const char *data, size_t bytes,
		   qmp_line_handler on_line, void *userdata)
{
	const char *end = data + bytes;
	int r, result = 0;

	while (data < end) {
		const char *mark = memchr(data, '\n', (size_t)(end - data));
		const char *stop = mark ? mark : end;
		size_t n = (size_t)(stop - data);

		if (n || lines->n || lines->skipping) {
			/* QEMU ends its lines with CR LF; the CR may have come before. */
			if (mark && n && data[n - 1] == '\r')
				n--;
			r = take_part(lines, data, n, mark != NULL, on_line, userdata);
			result = r < 0 ? r : result;
		}
		data = mark ? mark + 1 : end;
	}
	return result;
}

void qmp_lines_done(struct qmp_lines *lines)
{
	free(lines->partial);
	lines->partial = NULL;
	lines->n = 0;
}
