/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a record is one a rule speaks of, and for whom it is counted. */
#include "rules_state.h"

/* One pattern of `length` bytes; on a mismatch the last '*' takes one more character. */
static bool like_one(const char *pattern, size_t length, const char *text)
{
	size_t p = 0, t = 0, star = length, from = 0;

	while (text[t]) {
		if (p < length && pattern[p] == '*') {
			star = p++;
			from = t;
		} else if (p < length && (pattern[p] == '?' || pattern[p] == text[t])) {
			p++;
			t++;
		} else if (star < length) {
			p = star + 1;
			t = ++from;
		} else {
			return false;
		}
	}
	while (p < length && pattern[p] == '*')
		p++;
	return p == length;
}

bool iso_rule_like(const char *patterns, const char *text)
{
	while (*patterns) {
		size_t length = 0;

		while (patterns[length] && patterns[length] != ' ')
			length++;
		if (length && like_one(patterns, length, text))
			return true;
		patterns += length;
		while (*patterns == ' ')
			patterns++;
	}
	return false;
}

static bool fits(const char *patterns, const char *text)
{
	return !patterns[0] || iso_rule_like(patterns, text);
}

static bool numbers_hold(uint32_t op, uint64_t a, uint64_t b)
{
	switch ((enum iso_operator)op) {
	case ISO_OPERATOR_EQUAL:
		return a == b;
	case ISO_OPERATOR_NOT_EQUAL:
		return a != b;
	case ISO_OPERATOR_LESS:
		return a < b;
	case ISO_OPERATOR_AT_MOST:
		return a <= b;
	case ISO_OPERATOR_MORE:
		return a > b;
	case ISO_OPERATOR_AT_LEAST:
		return a >= b;
	case ISO_OPERATOR_HAS_BITS:
		return (a & b) == b;
	case ISO_OPERATOR_LIKE:
	case ISO_OPERATORS:
		break;
	}
	return false;
}

static bool comparison_holds(const struct iso_comparison *comparison, const struct iso_field *field)
{
	if (comparison->op == ISO_OPERATOR_LIKE)
		return iso_rule_like(comparison->text, field->text);
	if (comparison->has_number && field->has_number)
		return numbers_hold(comparison->op, field->number, comparison->number);
	if (comparison->op == ISO_OPERATOR_EQUAL)
		return !strcmp(field->text, comparison->text);
	if (comparison->op == ISO_OPERATOR_NOT_EQUAL)
		return strcmp(field->text, comparison->text) != 0;
	return false;
}

/* Return: the first comparison that does not hold, or n_fields. */
static uint32_t first_unmet(const struct iso_rule *rule, const struct iso_record *record)
{
	uint32_t c, f;

	for (c = 0; c < rule->n_fields; c++) {
		for (f = 0; f < record->n_fields; f++)
			if (!strcmp(record->fields[f].name, rule->fields[c].name))
				break;
		if (f == record->n_fields ||
		    !comparison_holds(&rule->fields[c], &record->fields[f]))
			break;
	}
	return c;
}

static bool fits_a_vm(const struct iso_rule *rule, const struct iso_record *record)
{
	uint32_t i;

	for (i = 0; i < record->n_vms; i++)
		if (fits(rule->vm, record->vms[i]))
			return true;
	return !rule->vm[0];
}

enum iso_rule_word rules_match(const struct iso_rule *rule, const struct iso_record *record,
			       uint32_t *ret_field)
{
	if (!fits(rule->source, record->source))
		return ISO_RULE_SOURCE;
	if (!fits(rule->kind, record->kind))
		return ISO_RULE_KIND;
	if (record->severity < rule->severity)
		return ISO_RULE_SEVERITY;
	if (!fits(rule->unit, record->unit) && !fits(rule->unit, record->name))
		return ISO_RULE_UNIT;
	if (!fits(rule->domain, record->domain))
		return ISO_RULE_DOMAIN;
	if (!fits_a_vm(rule, record))
		return ISO_RULE_VM;
	*ret_field = first_unmet(rule, record);
	if (*ret_field < rule->n_fields)
		return ISO_RULE_FIELD;
	if (rule->synthetic != ISO_SYNTHETIC_ANY &&
	    record->synthetic != (rule->synthetic == ISO_SYNTHETIC_ONLY))
		return ISO_RULE_SYNTHETIC;
	return rules_key(rule, record, 0) ? ISO_RULE_FIRES : ISO_RULE_NO_KEY;
}

const char *rules_key(const struct iso_rule *rule, const struct iso_record *record, uint32_t nth)
{
	const char *key = NULL;
	uint32_t i;

	switch ((enum iso_per)rule->per) {
	case ISO_PER_UNIT:
		key = record->unit[0] ? record->unit : record->name;
		break;
	case ISO_PER_DOMAIN:
		key = record->domain;
		break;
	case ISO_PER_HOST:
		key = "host";
		break;
	case ISO_PER_VM:
		for (i = 0; i < record->n_vms; i++)
			if (fits(rule->vm, record->vms[i]) && !nth--)
				return record->vms[i];
		return NULL;
	case ISO_PERS:
		break;
	}
	return key && key[0] && !nth ? key : NULL;
}

bool iso_rules_want(const struct iso_rules *rules, const char *source, const char *kind,
		    uint32_t severity, struct iso_rules_wish *ret)
{
	bool any = false;
	uint32_t i;

	*ret = (struct iso_rules_wish){0};
	for (i = 0; i < rules->n; i++) {
		const struct iso_rule *rule = &rules->set[i];

		if (severity < rule->severity || !fits(rule->source, source) ||
		    !fits(rule->kind, kind))
			continue;
		any = true;
		ret->fields |= rule->n_fields > 0;
		ret->vms |= rule->vm[0] || rule->per == ISO_PER_VM;
	}
	return any;
}

/* ---- rules by themselves ---- */

static bool acts_on_unit(uint32_t action)
{
	return action == ISO_ACTION_FENCE || action == ISO_ACTION_KILL ||
	       action == ISO_ACTION_ISOLATE || action == ISO_ACTION_QUARANTINE ||
	       action == ISO_ACTION_RETIRE;
}

static const char *check_stages(const struct iso_rule *rule)
{
	uint32_t i;

	for (i = 0; i < rule->n_stages; i++) {
		const struct iso_rule_stage *stage = &rule->stages[i];

		if (stage->action >= ISO_ACTIONS)
			return "an action that is none";
		if ((stage->action == ISO_ACTION_START_UNIT) != (stage->start_unit[0] != '\0'))
			return "start-unit names a unit, no other action does";
		if (rule->per == ISO_PER_HOST && acts_on_unit(stage->action))
			return "what is counted for the whole host can only notify or start a unit";
		if (rule->per == ISO_PER_DOMAIN && stage->action == ISO_ACTION_RETIRE)
			return "what is counted for a domain names no memdev to retire";
		if (i + 1 < rule->n_stages && !stage->deadline_ns)
			return "an action that another one follows needs a deadline";
		if (i + 1 == rule->n_stages && stage->deadline_ns)
			return "a deadline of the last action: nothing follows it";
	}
	return NULL;
}

const char *iso_rule_check(const struct iso_rule *rule)
{
	if (!iso_name_valid(rule->name))
		return "the name of a rule is up to 64 letters, digits, '_', '.', '-', and begins "
		       "with a letter or digit";
	if (!rule->threshold || rule->threshold > ISO_RULE_THRESHOLD_MAX)
		return "the threshold must be from 1 to 4096";
	if (!rule->window_ns || rule->window_ns > INT64_MAX / 4)
		return "the window must be more than nothing";
	if (rule->severity >= ISO_SEVERITIES || rule->synthetic >= ISO_SYNTHETICS ||
	    rule->per >= ISO_PERS || rule->n_fields > ISO_RULE_FIELDS_MAX ||
	    rule->hold_off_ns > INT64_MAX / 4)
		return "a value that is none";
	if (!rule->n_stages || rule->n_stages > ISO_RULE_STAGES_MAX)
		return "a rule has from 1 to 4 actions";
	return check_stages(rule);
}

static uint64_t mix(uint64_t digest, const void *bytes, size_t n)
{
	const unsigned char *at = bytes;

	while (n--)
		digest = (digest ^ *at++) * UINT64_C(0x100000001b3);
	return digest;
}

static uint64_t mix_text(uint64_t digest, const char *text)
{
	return mix(digest, text, strlen(text) + 1);
}

static uint64_t mix_number(uint64_t digest, uint64_t number)
{
	return mix(digest, &number, sizeof(number));
}

uint64_t iso_rule_digest(const struct iso_rule *rule)
{
	const char *const texts[] = {rule->source, rule->kind, rule->unit, rule->domain, rule->vm};
	const uint64_t numbers[] = {rule->severity,  rule->synthetic, rule->per,
				    rule->threshold, rule->window_ns, rule->hold_off_ns,
				    rule->n_fields,  rule->n_stages};
	uint64_t digest = UINT64_C(0xcbf29ce484222325);
	uint32_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		digest = mix_text(digest, texts[i]);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		digest = mix_number(digest, numbers[i]);
	for (i = 0; i < rule->n_fields && i < ISO_RULE_FIELDS_MAX; i++) {
		digest = mix_text(digest, rule->fields[i].name);
		digest = mix_text(digest, rule->fields[i].text);
		digest = mix_number(digest, rule->fields[i].op);
	}
	for (i = 0; i < rule->n_stages && i < ISO_RULE_STAGES_MAX; i++) {
		digest = mix_number(digest, rule->stages[i].action);
		digest = mix_number(digest, rule->stages[i].deadline_ns);
		digest = mix_text(digest, rule->stages[i].start_unit);
	}
	return digest;
}

#define NAME_TABLE(function, last, ...)                                                            \
	const char *function(uint32_t value)                                                       \
	{                                                                                          \
		static const char *const names[] = {__VA_ARGS__};                                  \
		_Static_assert(sizeof(names) / sizeof(names[0]) == (last),                         \
			       "a name for each value");                                           \
		return value < (last) ? names[value] : "unknown";                                  \
	}

NAME_TABLE(iso_severity_name, ISO_SEVERITIES, "info", "warning", "error", "fatal")
NAME_TABLE(iso_operator_name, ISO_OPERATORS, "=", "!=", "<", "<=", ">", ">=", "&", "~")
NAME_TABLE(iso_synthetic_name, ISO_SYNTHETICS, "any", "no", "only")
NAME_TABLE(iso_per_name, ISO_PERS, "unit", "domain", "vm", "host")
NAME_TABLE(iso_rule_word_text, ISO_RULE_WORDS, "another source", "another kind",
	   "less severe than the rule asks for", "another unit", "another domain", "another VM",
	   "a field that is otherwise or missing",
	   "synthetic, or not, other than the rule asks for", "names nobody to count it for",
	   "older than the window", "counted, below the threshold",
	   "counted, of a storm that has fired", "counted, an action of the rule is under way",
	   "fires")
