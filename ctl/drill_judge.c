/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What came of a drill against what was expected. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "drill_run.h"
#include "units.h"

static int result(struct drill_run *run, const char *what, const char *expected, const char *found,
		  bool met)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *item = NULL;
	int r;

	run->failed |= !met;
	r = sd_json_buildo(&item, SD_JSON_BUILD_PAIR_STRING("what", what),
			   SD_JSON_BUILD_PAIR_STRING("expected", expected),
			   SD_JSON_BUILD_PAIR_STRING("found", found),
			   SD_JSON_BUILD_PAIR_BOOLEAN("met", met));
	return r < 0 ? r : sd_json_variant_append_array(&run->results, item);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Words in alphabetical order, each once, with a space between them. */
static void sort_words(char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	char *words[256], *rest, *word;
	size_t n = 0;

	text[0] = '\0';
	for (word = copy ? strtok_r(copy, " ,", &rest) : NULL; word && n < 256;
	     word = strtok_r(NULL, " ,", &rest))
		words[n++] = word;
	qsort(words, n, sizeof(*words), by_text);
	for (size_t i = 0; i < n; i++) {
		if (i && !strcmp(words[i], words[i - 1]))
			continue;
		strcat(strcat(text, text[0] ? " " : ""), words[i]);
	}
}

static int judge_killed(struct drill_run *run)
{
	char expected[DRILL_TEXT_BYTES], found[8192] = "";
	sd_json_variant *incident, *victim;
	size_t length = 0;

	FORMAT_EACH(incident, run->incidents)
	{
		FORMAT_EACH(victim, format_list(incident, "victims"))
		if (length < sizeof(found))
			length += (size_t)snprintf(found + length, sizeof(found) - length, "%s ",
						   format_text(victim, "name"));
	}
	strcpy(expected, run->drill->expect.killed);
	sort_words(expected);
	sort_words(found);
	return result(run, "killed", expected, found, !strcmp(expected, found));
}

static int judge_incidents(struct drill_run *run)
{
	size_t n = sd_json_variant_elements(run->incidents);
	char expected[24], found[24];

	snprintf(expected, sizeof(expected), "%" PRIu64, run->drill->expect.incidents);
	snprintf(found, sizeof(found), "%zu", n);
	return result(run, "incidents", expected, found, n == run->drill->expect.incidents);
}

static int judge_decisions(struct drill_run *run)
{
	size_t room = 1;
	_cleanup_free_ char *found = NULL;

	for (size_t i = 0; i < run->decisions.n; i++)
		room += strlen(run->decisions.lines[i]) + 3;
	found = calloc(1, room);
	if (!found)
		return -ENOMEM;
	for (size_t i = 0; i < run->decisions.n; i++)
		strcat(strcat(found, i ? " | " : ""), run->decisions.lines[i]);
	return result(run, "decisions", run->drill->expect.decisions, found,
		      !strcmp(run->drill->expect.decisions, found));
}

/* The slowest incident counts. */
static int judge_time(struct drill_run *run, const char *what, const char *key, uint64_t limit_ns)
{
	char expected[UNITS_TIME_BYTES], found[UNITS_TIME_BYTES];
	sd_json_variant *incident;
	uint64_t slowest_ns = 0;
	bool all = true;

	FORMAT_EACH(incident, run->incidents)
	{
		uint64_t at_ns = format_number(incident, key),
			 start_ns = format_number(incident, "recordNs");

		all &= at_ns != 0;
		if (at_ns > start_ns && at_ns - start_ns > slowest_ns)
			slowest_ns = at_ns - start_ns;
	}
	all &= sd_json_variant_elements(run->incidents) > 0;
	units_format_time(limit_ns, expected);
	units_format_time(slowest_ns, found);
	return result(run, what, expected, all ? found : "never", all && slowest_ns <= limit_ns);
}

static int judge_domains(struct drill_run *run)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	int r = 0;

	if (!run->drill->expect.n_domains)
		return 0;
	if (drill_ask(run, CLIENT_METHOD("GetTopology"), NULL, &reply) != CLIENT_OK)
		return -EIO;
	for (uint32_t i = 0; r >= 0 && i < run->drill->expect.n_domains; i++) {
		const char *path = run->drill->expect.domains[i].port, *state = "unknown";
		sd_json_variant *port;
		char what[160];

		FORMAT_EACH(port, format_list(reply, "ports"))
		{
			if (!strcmp(format_text(port, "path"), path))
				state = format_text(port, "state");
		}
		snprintf(what, sizeof(what), "domain %s", path);
		r = result(run, what, run->drill->expect.domains[i].state, state,
			   !strcmp(state, run->drill->expect.domains[i].state));
	}
	return r;
}

static uint64_t fired_before(const struct drill_run *run, const char *rule)
{
	sd_json_variant *other;

	FORMAT_EACH(other, format_list(run->rules, "rules"))
	{
		if (!strcmp(format_text(other, "name"), rule))
			return format_number(other, "fired");
	}
	return 0;
}

/* What a rule does without an incident is in no timeline; that it fired is counted. */
static int judge_fired(struct drill_run *run)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	char expected[DRILL_TEXT_BYTES], found[16384] = "";
	sd_json_variant *rule;

	if (drill_ask(run, CLIENT_METHOD("ListRules"), NULL, &reply) != CLIENT_OK)
		return -EIO;
	FORMAT_EACH(rule, format_list(reply, "rules"))
	{
		const char *name = format_text(rule, "name");

		if (format_number(rule, "fired") > fired_before(run, name) &&
		    strlen(found) + strlen(name) + 2 < sizeof(found))
			strcat(strcat(found, name), " ");
	}
	strcpy(expected, run->drill->expect.fired);
	sort_words(expected);
	sort_words(found);
	return result(run, "fired", expected, found, !strcmp(expected, found));
}

int drill_judge(struct drill_run *run)
{
	const struct drill *drill = run->drill;
	int r = 0;

	if (drill->expect.has_killed)
		r = judge_killed(run);
	if (r >= 0 && drill->expect.has_fired)
		r = judge_fired(run);
	if (r >= 0 && drill->expect.has_incidents)
		r = judge_incidents(run);
	if (r >= 0 && drill->expect.has_decisions)
		r = judge_decisions(run);
	if (r >= 0 && drill->expect.contained_within_ns)
		r = judge_time(run, "contained", "containedNs", drill->expect.contained_within_ns);
	if (r >= 0 && drill->expect.recovered_within_ns)
		r = judge_time(run, "recovered", "recoveredNs", drill->expect.recovered_within_ns);
	return r < 0 ? r : judge_domains(run);
}
