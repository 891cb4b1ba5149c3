/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which keys a rule has and what their values mean. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <isolate/view.h>

#include "cleanup.h"
#include "policy_file.h"
#include "units.h"

#define SECOND UINT64_C(1000000000)
#define DAY    (UINT64_C(86400) * SECOND)

void policy_rule_init(struct iso_rule *rule, const char *name)
{
	*rule = (struct iso_rule){
		.per = ISO_PER_UNIT,
		.threshold = 1,
		.window_ns = 60 * SECOND,
		.hold_off_ns = 60 * SECOND,
	};
	snprintf(rule->name, sizeof(rule->name), "%s", name);
}

static int bad(char reason[POLICY_REASON_BYTES], const char *text)
{
	snprintf(reason, POLICY_REASON_BYTES, "%s", text);
	return -EINVAL;
}

static int set_patterns(char to[ISO_RULE_PATTERN_BYTES], const char *value,
			char reason[POLICY_REASON_BYTES])
{
	if (strlen(value) >= ISO_RULE_PATTERN_BYTES)
		return bad(reason, "longer than 127 characters");
	for (const char *at = value; *at; at++)
		if (!isgraph((unsigned char)*at) && *at != ' ')
			return bad(reason, "patterns are of printable characters, with spaces "
					   "between them");
	strcpy(to, value);
	return 0;
}

static int set_name(uint32_t *to, const char *(*name)(uint32_t), uint32_t n, const char *value,
		    char reason[POLICY_REASON_BYTES])
{
	int length;

	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(value, name(i))) {
			*to = i;
			return 0;
		}
	length = snprintf(reason, POLICY_REASON_BYTES, "must be one of");
	for (uint32_t i = 0; i < n && length < POLICY_REASON_BYTES; i++)
		length += snprintf(reason + length, POLICY_REASON_BYTES - (size_t)length, " %s",
				   name(i));
	return -EINVAL;
}

static int set_time(uint64_t *to, const char *value, uint64_t least, uint64_t most,
		    char reason[POLICY_REASON_BYTES])
{
	uint64_t ns;

	if (units_parse_time(value, &ns) < 0)
		return bad(reason, "not a time such as 500ms, 5s or 2h");
	if (ns < least || ns > most)
		return bad(reason, least ? "must be more than nothing and at most 30 days"
					 : "must be at most 30 days");
	*to = ns;
	return 0;
}

static int set_threshold(uint32_t *to, const char *value, char reason[POLICY_REASON_BYTES])
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (!isdigit((unsigned char)value[0]) || *end || !n || n > ISO_RULE_THRESHOLD_MAX)
		return bad(reason, "must be a number from 1 to 4096");
	*to = (uint32_t)n;
	return 0;
}

/* ---- comparisons ---- */

/* Longer ones first: "<=" begins as "<" does. */
static const struct {
	const char *text;
	uint32_t op;
} operators[] = {
	{"!=", ISO_OPERATOR_NOT_EQUAL}, {"<=", ISO_OPERATOR_AT_MOST}, {">=", ISO_OPERATOR_AT_LEAST},
	{"=", ISO_OPERATOR_EQUAL},      {"<", ISO_OPERATOR_LESS},     {">", ISO_OPERATOR_MORE},
	{"&", ISO_OPERATOR_HAS_BITS},   {"~", ISO_OPERATOR_LIKE},
};

static int parse_value(struct iso_comparison *to, const char *value,
		       char reason[POLICY_REASON_BYTES])
{
	char *end;

	if (!*value || strlen(value) >= sizeof(to->text)) {
		snprintf(reason, POLICY_REASON_BYTES,
			 "'%.40s' is compared with nothing, or with more than %zu characters",
			 to->name, sizeof(to->text) - 1);
		return -EINVAL;
	}
	strcpy(to->text, value);
	errno = 0;
	to->number = strtoull(value, &end, 0);
	to->has_number = isdigit((unsigned char)value[0]) && !*end && !errno;
	if (to->has_number || to->op == ISO_OPERATOR_EQUAL || to->op == ISO_OPERATOR_NOT_EQUAL ||
	    to->op == ISO_OPERATOR_LIKE)
		return 0;
	snprintf(reason, POLICY_REASON_BYTES, "'%.40s' %s takes a number, not '%.40s'", to->name,
		 iso_operator_name(to->op), value);
	return -EINVAL;
}

static int parse_comparison(struct iso_comparison *to, const char *word,
			    char reason[POLICY_REASON_BYTES])
{
	size_t length = strcspn(word, "!<>=&~");

	*to = (struct iso_comparison){0};
	if (!length || length >= sizeof(to->name)) {
		snprintf(reason, POLICY_REASON_BYTES, "'%.60s' does not begin with a field's name",
			 word);
		return -EINVAL;
	}
	memcpy(to->name, word, length);
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		size_t n = strlen(operators[i].text);

		if (strncmp(word + length, operators[i].text, n))
			continue;
		to->op = operators[i].op;
		return parse_value(to, word + length + n, reason);
	}
	snprintf(reason, POLICY_REASON_BYTES, "'%.60s' has no comparison: = != < <= > >= & ~",
		 word);
	return -EINVAL;
}

int policy_parse_fields(struct iso_rule *rule, const char *text, char reason[POLICY_REASON_BYTES])
{
	_cleanup_free_ char *copy = strdup(text);
	char *rest, *word;
	uint32_t n = 0;

	if (!copy)
		return bad(reason, "out of memory");
	for (word = strtok_r(copy, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
		if (n == ISO_RULE_FIELDS_MAX)
			return bad(reason, "at most 8 comparisons");
		if (parse_comparison(&rule->fields[n], word, reason) < 0)
			return -EINVAL;
		n++;
	}
	rule->n_fields = n;
	return 0;
}

/* ---- actions ---- */

static struct iso_rule_stage *stage_at(struct iso_rule *rule, uint32_t at)
{
	if (rule->n_stages <= at)
		rule->n_stages = at + 1;
	return &rule->stages[at];
}

static int set_action(struct iso_rule *rule, uint32_t at, const char *value,
		      char reason[POLICY_REASON_BYTES])
{
	static const char start[] = "start-unit ";
	struct iso_rule_stage *stage = stage_at(rule, at);
	const char *unit = value + sizeof(start) - 1;

	stage->start_unit[0] = '\0';
	if (strncmp(value, start, sizeof(start) - 1)) {
		if (!strcmp(value, "start-unit"))
			return bad(reason, "names no unit: start-unit NAME.service");
		return set_name(&stage->action, iso_action_name, ISO_ACTIONS, value, reason);
	}
	if (!*unit || strlen(unit) >= sizeof(stage->start_unit) ||
	    strspn(unit, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") !=
		    strlen(unit) ||
	    !strchr(unit, '.'))
		return bad(reason, "not the name of a unit such as alarm.service");
	stage->action = ISO_ACTION_START_UNIT;
	strcpy(stage->start_unit, unit);
	return 0;
}

/* "Action", "Action2", …: which one. Return: ISO_RULE_STAGES_MAX for another key. */
static uint32_t numbered(const char *key, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(key, word, length))
		return ISO_RULE_STAGES_MAX;
	if (!key[length])
		return 0;
	if (key[length] < '2' || key[length] > '4' || key[length + 1])
		return ISO_RULE_STAGES_MAX;
	return (uint32_t)(key[length] - '1');
}

int policy_set_key(struct iso_rule *rule, const char *key, const char *value,
		   char reason[POLICY_REASON_BYTES])
{
	const struct {
		const char *key;
		char *to;
	} patterns[] = {{"Source", rule->source},
			{"Kind", rule->kind},
			{"Unit", rule->unit},
			{"Domain", rule->domain},
			{"VM", rule->vm}};
	uint32_t at;

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (!strcmp(key, patterns[i].key))
			return set_patterns(patterns[i].to, value, reason);
	if (!strcmp(key, "Severity"))
		return set_name(&rule->severity, iso_severity_name, ISO_SEVERITIES, value, reason);
	if (!strcmp(key, "Synthetic"))
		return set_name(&rule->synthetic, iso_synthetic_name, ISO_SYNTHETICS, value,
				reason);
	if (!strcmp(key, "Per"))
		return set_name(&rule->per, iso_per_name, ISO_PERS, value, reason);
	if (!strcmp(key, "Fields"))
		return policy_parse_fields(rule, value, reason);
	if (!strcmp(key, "Threshold"))
		return set_threshold(&rule->threshold, value, reason);
	if (!strcmp(key, "Window"))
		return set_time(&rule->window_ns, value, 1, 30 * DAY, reason);
	if (!strcmp(key, "HoldOff"))
		return set_time(&rule->hold_off_ns, value, 0, 30 * DAY, reason);
	at = numbered(key, "Action");
	if (at < ISO_RULE_STAGES_MAX)
		return set_action(rule, at, value, reason);
	at = numbered(key, "Deadline");
	if (at < ISO_RULE_STAGES_MAX)
		return set_time(&stage_at(rule, at)->deadline_ns, value, 1, 30 * DAY, reason);
	return -ENOENT;
}
