/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a drill. Steps run in the order in which their sections stand in the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libeconf.h>

#include "cleanup.h"
#include "drill.h"
#include "units.h"
#include "verb.h"

#define SECOND UINT64_C(1000000000)

struct reader {
	struct drill *drill;
	const char *path, *section;
	bool failed;
};

static bool fail(struct reader *reader, const char *key, const char *reason)
{
	fprintf(stderr, "daxmgrctl: %s: [%s] %s: %s\n", reader->path, reader->section, key, reason);
	reader->failed = true;
	return false;
}

static bool take_text(struct reader *reader, const char *key, char *to, size_t room,
		      const char *value)
{
	if (strlen(value) >= room)
		return fail(reader, key, "too long");
	strcpy(to, value);
	return true;
}

static bool take_time(struct reader *reader, const char *key, uint64_t *to, const char *value)
{
	return units_parse_time(value, to) == 0 && *to
		       ? true
		       : fail(reader, key, "not a time such as 500ms or 10s");
}

static bool take_count(struct reader *reader, const char *key, uint64_t *to, const char *value)
{
	return verb_number(value, DRILL_COUNT_MAX, to) && *to
		       ? true
		       : fail(reader, key, "not a number from 1 to 4096");
}

/* "vm NAME STATE", "domain PORT STATE". */
static bool take_object(struct reader *reader, struct drill_step *step, enum drill_wait wait,
			const char *words)
{
	step->wait = wait;
	if (sscanf(words, "%127s %31s", step->object, step->state) == 2)
		return true;
	return fail(reader, "Wait", "says neither whose nor which state");
}

static bool take_wait(struct reader *reader, struct drill_step *step, const char *value)
{
	static const char *const words[] = {
		[DRILL_WAIT_INCIDENT] = "incident",
		[DRILL_WAIT_CONTAINED] = "contained",
		[DRILL_WAIT_RECOVERED] = "recovered",
	};

	for (size_t i = DRILL_WAIT_INCIDENT; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(value, words[i])) {
			step->wait = (enum drill_wait)i;
			return true;
		}
	if (!strncmp(value, "vm ", 3))
		return take_object(reader, step, DRILL_WAIT_VM, value + 3);
	if (!strncmp(value, "domain ", 7))
		return take_object(reader, step, DRILL_WAIT_DOMAIN, value + 7);
	step->wait = DRILL_WAIT_TIME;
	if (units_parse_time(value, &step->wait_ns) == 0)
		return true;
	return fail(reader, "Wait",
		    "must be a time, incident, contained, recovered, vm NAME STATE or "
		    "domain PORT STATE");
}

static bool take_step_key(struct reader *reader, const char *key, const char *value)
{
	struct drill_step *step = &reader->drill->steps[reader->drill->n_steps - 1];

	if (!strcmp(key, "Wait"))
		return take_wait(reader, step, value);
	if (!strcmp(key, "Timeout"))
		return take_time(reader, key, &step->timeout_ns, value);
	if (!strcmp(key, "Count"))
		return take_count(reader, key, &step->count, value);
	if (strcmp(key, "Inject"))
		return fail(reader, key, "a step has no such key");
	if (sd_json_parse(value, 0, &step->inject, NULL, NULL) >= 0 &&
	    sd_json_variant_is_object(step->inject))
		return true;
	return fail(reader, key, "not a record as a JSON object on one line");
}

static bool take_domain(struct reader *reader, const char *value)
{
	uint32_t n = reader->drill->expect.n_domains;

	if (n == DRILL_DOMAINS_MAX)
		return fail(reader, "Domains", "at most 16");
	if (sscanf(value, "%127[^=]=%31s", reader->drill->expect.domains[n].port,
		   reader->drill->expect.domains[n].state) != 2)
		return fail(reader, "Domains", "PORT=STATE, with spaces between several");
	reader->drill->expect.n_domains++;
	return true;
}

static bool take_domains(struct reader *reader, const char *value)
{
	_cleanup_free_ char *copy = strdup(value);
	char *rest, *word;

	for (word = copy ? strtok_r(copy, " \t", &rest) : NULL; word;
	     word = strtok_r(NULL, " \t", &rest))
		if (!take_domain(reader, word))
			return false;
	return true;
}

static bool take_expectation(struct reader *reader, const char *key, const char *value)
{
	struct drill *drill = reader->drill;
	char *end;

	if (!strcmp(key, "Killed")) {
		drill->expect.has_killed = true;
		return take_text(reader, key, drill->expect.killed, sizeof(drill->expect.killed),
				 value);
	}
	if (!strcmp(key, "Fired")) {
		drill->expect.has_fired = true;
		return take_text(reader, key, drill->expect.fired, sizeof(drill->expect.fired),
				 value);
	}
	if (!strcmp(key, "Decisions")) {
		drill->expect.has_decisions = true;
		return take_text(reader, key, drill->expect.decisions,
				 sizeof(drill->expect.decisions), value);
	}
	if (!strcmp(key, "Incidents")) {
		drill->expect.has_incidents = true;
		drill->expect.incidents = strtoull(value, &end, 10);
		return *value && !*end ? true : fail(reader, key, "not a number");
	}
	if (!strcmp(key, "Domains"))
		return take_domains(reader, value);
	if (!strcmp(key, "ContainedWithin"))
		return take_time(reader, key, &drill->expect.contained_within_ns, value);
	if (!strcmp(key, "RecoveredWithin"))
		return take_time(reader, key, &drill->expect.recovered_within_ns, value);
	return fail(reader, key, "nothing like that can be expected");
}

static bool take_key(struct reader *reader, const char *key, const char *value)
{
	if (!strncmp(reader->section, "Step ", 5))
		return take_step_key(reader, key, value);
	if (!strcmp(reader->section, "Expect"))
		return take_expectation(reader, key, value);
	if (!strcmp(key, "Name"))
		return take_text(reader, key, reader->drill->name, sizeof(reader->drill->name),
				 value);
	return fail(reader, key, "a drill has no such key");
}

static bool begin_section(struct reader *reader)
{
	struct drill *drill = reader->drill;
	struct drill_step *step = &drill->steps[drill->n_steps];

	if (!strcmp(reader->section, "Drill") || !strcmp(reader->section, "Expect"))
		return true;
	if (strncmp(reader->section, "Step ", 5))
		return fail(reader, "", "sections are [Drill], [Step NAME] and [Expect]");
	if (drill->n_steps == DRILL_STEPS_MAX)
		return fail(reader, "", "a drill has at most 64 steps");
	step->timeout_ns = 60 * SECOND;
	step->count = 1;
	drill->n_steps++;
	return take_text(reader, "", step->name, sizeof(step->name), reader->section + 5);
}

static void read_section(struct reader *reader, econf_file *file)
{
	char **keys = NULL;
	size_t n = 0;

	if (!begin_section(reader) ||
	    econf_getKeys(file, reader->section, &n, &keys) != ECONF_SUCCESS)
		return;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *value = NULL;

		if (econf_getStringValue(file, reader->section, keys[i], &value) != ECONF_SUCCESS)
			value = NULL;
		take_key(reader, keys[i], value ? value : "");
	}
	econf_freeArray(keys);
}

bool drill_read(const char *path, struct drill *ret)
{
	struct reader reader = {.drill = ret, .path = path, .section = ""};
	char **sections = NULL;
	econf_file *file;
	econf_err error;
	size_t n = 0;

	*ret = (struct drill){0};
	error = econf_readFile(&file, path, "=", "#");
	if (error != ECONF_SUCCESS) {
		fprintf(stderr, "daxmgrctl: %s: %s\n", path, econf_errString(error));
		return false;
	}
	if (econf_getGroups(file, &n, &sections) != ECONF_SUCCESS)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		reader.section = sections[i];
		read_section(&reader, file);
	}
	reader.section = "Drill";
	if (!ret->n_steps)
		fail(&reader, "", "there is no [Step NAME]");
	if (n)
		econf_freeArray(sections);
	econf_freeFile(file);
	if (reader.failed)
		drill_clear(ret);
	return !reader.failed;
}

void drill_clear(struct drill *drill)
{
	for (uint32_t i = 0; i < drill->n_steps; i++)
		sd_json_variant_unref(drill->steps[i].inject);
	*drill = (struct drill){0};
}
