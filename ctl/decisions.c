/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decisions.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

static bool add(struct decisions *decisions, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static bool add(struct decisions *decisions, const char *format, ...)
{
	va_list arguments;
	char *line = NULL;
	int r;

	va_start(arguments, format);
	r = vasprintf(&line, format, arguments);
	va_end(arguments);
	if (r < 0)
		return false;
	if (decisions->n == decisions->room) {
		size_t room = decisions->room ? 2 * decisions->room : 32;
		char **lines = reallocarray(decisions->lines, room, sizeof(*lines));

		if (!lines) {
			free(line);
			return false;
		}
		decisions->lines = lines;
		decisions->room = room;
	}
	decisions->lines[decisions->n++] = line;
	return true;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Kills of one moment: which of them is first means nothing. */
static void sort_kills(struct decisions *decisions, size_t from)
{
	qsort(decisions->lines + from, decisions->n - from, sizeof(*decisions->lines), by_text);
}

/* What was said of this domain last, `path` of `length` characters; NULL: nothing yet. */
static const char *last_of_domain(const struct decisions *decisions, const char *path,
				  size_t length)
{
	static const char word[] = "domain ";

	for (size_t i = decisions->n; i > 0; i--) {
		const char *line = decisions->lines[i - 1];

		if (!strncmp(line, word, sizeof(word) - 1) &&
		    !strncmp(line + sizeof(word) - 1, path, length) &&
		    line[sizeof(word) - 1 + length] == ':')
			return line;
	}
	return NULL;
}

/*
 * "domain PATH: OLD -> NEW: reason"; of one that only has another reason nothing.
 * How often recovery has to wait, and whether before or after the last VM has
 * gone, is the hardware's affair and no decision.
 */
static bool add_domain(struct decisions *decisions, const char *text)
{
	const char *arrow = strstr(text, " -> "), *path = text + strlen("domain "), *last;
	size_t length;
	char line[160];
	char state[32];

	if (!arrow || strncmp(text, "domain ", 7))
		return true;
	snprintf(state, sizeof(state), "%.*s", (int)strcspn(arrow + 4, ":"), arrow + 4);
	if (!strcmp(state, "waiting"))
		strcpy(state, "recovering");
	for (length = 0; path[length] && strncmp(path + length, ": ", 2); length++)
		;
	snprintf(line, sizeof(line), "domain %.*s: %s", (int)length, path, state);
	last = last_of_domain(decisions, path, length);
	if (last && !strcmp(last, line))
		return true;
	return add(decisions, "%s", line);
}

/* "rule NAME: ACTION UNIT: why (synthetic)" without the why. */
static bool add_policy(struct decisions *decisions, const char *text)
{
	const char *end = strstr(text, ": ");

	end = end ? strstr(end + 2, ": ") : NULL;
	return add(decisions, "%.*s", end ? (int)(end - text) : (int)strcspn(text, "("), text);
}

static bool add_note(struct decisions *decisions, sd_json_variant *incident, sd_json_variant *note)
{
	const char *kind = format_text(note, "kind"), *text = format_text(note, "text");

	if (!strcmp(kind, "fault"))
		return add(decisions, "fault %s: %s", format_text(incident, "unit"),
			   format_text(incident, "cause"));
	if (!strcmp(kind, "kill"))
		return add(decisions, "kill %s", format_text(note, "lease"));
	if (!strcmp(kind, "revoked"))
		return add(decisions, "revoked %s", format_text(note, "lease"));
	if (!strcmp(kind, "contained"))
		return add(decisions, "contained: %" PRIu64 " killed",
			   format_number(incident, "killed"));
	if (!strcmp(kind, "recovered"))
		return add(decisions, "recovered");
	if (!strcmp(kind, "policy"))
		return add_policy(decisions, text);
	if (!strcmp(kind, "domain") || !strcmp(kind, "waiting"))
		return add_domain(decisions, text);
	return true;
}

bool decisions_add(struct decisions *decisions, sd_json_variant *incident)
{
	size_t kills_from = 0, n_before;
	bool in_kills = false, is_kill;
	sd_json_variant *note;

	FORMAT_EACH(note, format_list(incident, "timeline"))
	{
		n_before = decisions->n;
		if (!add_note(decisions, incident, note))
			return false;
		if (decisions->n == n_before)
			continue;
		is_kill = !strcmp(format_text(note, "kind"), "kill");
		if (in_kills && !is_kill) { /* without what has just been added */
			decisions->n--;
			sort_kills(decisions, kills_from);
			decisions->n++;
		}
		if (is_kill && !in_kills)
			kills_from = n_before;
		in_kills = is_kill;
	}
	if (in_kills)
		sort_kills(decisions, kills_from);
	return true;
}

bool decisions_equal(const struct decisions *a, const struct decisions *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->lines[i], b->lines[i]))
			return false;
	return true;
}

void decisions_clear(struct decisions *decisions)
{
	for (size_t i = 0; i < decisions->n; i++)
		free(decisions->lines[i]);
	free(decisions->lines);
	*decisions = (struct decisions){0};
}
