/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules count what they speak of, each record at its own time, and fire once a storm. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include <isolate/rules.h>
#include <isolate/view.h>

#define SECOND INT64_C(1000000000)
#define NOW    (1000 * SECOND)

static struct iso_rules *rules;

static void set_up(void)
{
	rules = iso_rules_init(aligned_alloc(64, iso_rules_bytes()));
}

static void tear_down(void)
{
	free(rules);
}

TestSuite(rules, .init = set_up, .fini = tear_down);

static struct iso_rule make_rule(uint32_t threshold, int64_t window_s)
{
	struct iso_rule rule = {
		.name = "burst",
		.kind = "cxl_dram",
		.threshold = threshold,
		.window_ns = (uint64_t)(window_s * SECOND),
		.hold_off_ns = 60 * SECOND,
		.n_stages = 1,
	};

	rule.stages[0].action = ISO_ACTION_NOTIFY;
	cr_assert_null(iso_rule_check(&rule), "%s", iso_rule_check(&rule));
	return rule;
}

static struct iso_record make_record(int64_t at_ns)
{
	return (struct iso_record){
		.source = "trace",
		.kind = "cxl_dram",
		.unit = "hb0/00.0/00.0",
		.name = "mem0",
		.domain = "hb0/00.0",
		.severity = ISO_SEVERITY_ERROR,
		.at_ns = at_ns,
	};
}

static uint32_t take(const struct iso_record *record, int64_t now_ns, struct iso_firing *ret)
{
	return iso_rules_record(rules, record, now_ns, ret, 1);
}

/* How many of n records, one each `step`, made something fire. */
static uint32_t storm(int64_t from_ns, int64_t step_ns, uint32_t n)
{
	uint32_t i, fired = 0;
	struct iso_firing firing;

	for (i = 0; i < n; i++) {
		struct iso_record record = make_record(from_ns + i * step_ns);

		fired += take(&record, record.at_ns, &firing);
	}
	return fired;
}

/* Proves: exactly the threshold within the window fires, one fewer does not, and an old one does not count. */
Test(rules, threshold_and_window)
{
	struct iso_rule rule = make_rule(3, 10);

	iso_rules_load(rules, &rule, 1);
	cr_assert_eq(storm(NOW, SECOND, 2), 0);
	cr_assert_eq(storm(NOW + 10 * SECOND, SECOND, 1), 0, "the first is 10 s old: outside");
	cr_assert_eq(storm(NOW + 10 * SECOND + 1, SECOND, 1), 1);
}

/* Proves: a storm acts once, however long it is; the next one after it was quiet acts again. */
Test(rules, hold_off)
{
	struct iso_rule rule = make_rule(5, 10);

	iso_rules_load(rules, &rule, 1);
	cr_assert_eq(storm(NOW, SECOND / 100, 20000), 1, "200 s of it");
	cr_assert_eq(storm(NOW + 261 * SECOND, SECOND / 10, 100), 1);
}

/* Proves: units are counted apart, domains and the host together. */
Test(rules, counted_apart)
{
	struct iso_rule rule = make_rule(2, 10);
	struct iso_record record = make_record(NOW);
	struct iso_firing firing;

	iso_rules_load(rules, &rule, 1);
	cr_assert_eq(take(&record, NOW, &firing), 0);
	record.unit = "hb0/01.0/00.0";
	cr_assert_eq(take(&record, NOW, &firing), 0, "another unit");
	rule.per = ISO_PER_DOMAIN;
	iso_rules_load(rules, &rule, 1);
	cr_assert_eq(take(&record, NOW, &firing), 0, "the rule has changed: it counts anew");
	record.unit = "hb0/00.0/00.0";
	cr_assert_eq(take(&record, NOW, &firing), 1, "the same domain");
	cr_assert_str_eq(iso_rules_key(rules, firing.id), "hb0/00.0");
}

/* Proves: what was injected neither counts with what hardware tells nor holds it off, also over a start. */
Test(rules, injected_apart)
{
	struct iso_rule rule = make_rule(2, 10);
	struct iso_record record = make_record(NOW), injected = record;
	struct iso_fired fired = {.synthetic = true, .at_ns = NOW};
	struct iso_firing firing;

	injected.synthetic = true;
	iso_rules_load(rules, &rule, 1);
	cr_assert_eq(take(&record, NOW, &firing), 0);
	cr_assert_eq(take(&injected, NOW, &firing), 0, "one of each");
	cr_assert_eq(take(&injected, NOW, &firing), 1, "a drill");
	cr_assert(firing.target.synthetic);
	cr_assert_eq(take(&injected, NOW, &firing), 0, "held off");
	cr_assert_eq(take(&record, NOW, &firing), 1, "the hardware's second is not");
	cr_assert_not(firing.target.synthetic);
	iso_rules_init(rules);
	iso_rules_load(rules, &rule, 1);
	iso_rules_restore(rules, &injected, NOW);
	cr_assert_eq(take(&record, NOW, &firing), 0);
	cr_assert_eq(take(&injected, NOW, &firing), 1);
	iso_rules_init(rules);
	iso_rules_load(rules, &rule, 1);
	strcpy(fired.rule, rule.name);
	strcpy(fired.key, record.unit);
	fired.digest = iso_rule_digest(&rule);
	iso_rules_restore_fired(rules, &fired, NOW);
	cr_assert_eq(take(&injected, NOW, &firing), 0);
	cr_assert_eq(take(&injected, NOW, &firing), 0, "the drill's has fired");
	cr_assert_eq(take(&record, NOW, &firing), 0);
	cr_assert_eq(take(&record, NOW, &firing), 1, "the hardware's has not");
}

/* Proves: of several VMs each is counted, those only that the pattern fits. */
Test(rules, counted_per_vm)
{
	struct iso_rule rule = make_rule(1, 10);
	struct iso_record record = make_record(NOW);
	struct iso_firing firings[4];

	rule.per = ISO_PER_VM;
	strcpy(rule.vm, "web-* db?");
	iso_rules_load(rules, &rule, 1);
	record.vms[0] = "web-1";
	record.vms[1] = "mail";
	record.vms[2] = "db2";
	record.n_vms = 3;
	cr_assert_eq(iso_rules_record(rules, &record, NOW, firings, 4), 2);
	cr_assert_str_eq(firings[0].target.vm, "web-1");
	cr_assert_str_eq(firings[1].target.vm, "db2");
}

/* Proves: a rule about a VM does not count what harms others, nor what harms nobody. */
Test(rules, of_a_vm)
{
	struct iso_rule rule = make_rule(1, 10);
	struct iso_record record = make_record(NOW);
	struct iso_firing firing;

	strcpy(rule.vm, "web-*");
	iso_rules_load(rules, &rule, 1);
	cr_assert_eq(take(&record, NOW, &firing), 0);
	record.vms[record.n_vms++] = "mail";
	cr_assert_eq(take(&record, NOW, &firing), 0);
	record.vms[record.n_vms++] = "web-1";
	cr_assert_eq(take(&record, NOW, &firing), 1);
}

/* Proves: each condition is looked at, and the word says which one it was. */
Test(rules, matching)
{
	struct iso_rule rule = make_rule(1, 10);
	struct iso_field fields[] = {
		{.name = "descriptor", .text = "0x3", .number = 3, .has_number = true},
		{.name = "region", .text = "region0"},
	};
	struct iso_record record = make_record(NOW), other;
	struct iso_explanation why;

	record.fields = fields;
	record.n_fields = 2;
	strcpy(rule.source, "trace uevent");
	strcpy(rule.unit, "mem*");
	strcpy(rule.domain, "hb?/*");
	rule.severity = ISO_SEVERITY_ERROR;
	rule.synthetic = ISO_SYNTHETIC_NO;
	rule.n_fields = 2;
	rule.fields[0] =
		(struct iso_comparison){"descriptor", ISO_OPERATOR_HAS_BITS, "0x2", 2, true};
	rule.fields[1] = (struct iso_comparison){"region", ISO_OPERATOR_LIKE, "region*", 0, false};
	iso_rules_load(rules, &rule, 1);
#define EXPLAINS(expected)                                                                         \
	do {                                                                                       \
		iso_rules_explain(rules, 0, &other, NOW, &why);                                    \
		cr_assert_eq(why.word, expected, "%s", iso_rule_word_text(why.word));              \
		other = record;                                                                    \
	} while (0)
	other = record;
	EXPLAINS(ISO_RULE_FIRES);
	other.source = "qmp";
	EXPLAINS(ISO_RULE_SOURCE);
	other.kind = "cxl_poison";
	EXPLAINS(ISO_RULE_KIND);
	other.severity = ISO_SEVERITY_WARNING;
	EXPLAINS(ISO_RULE_SEVERITY);
	other.name = "region0";
	EXPLAINS(ISO_RULE_UNIT);
	other.domain = "pci0";
	EXPLAINS(ISO_RULE_DOMAIN);
	other.synthetic = true;
	EXPLAINS(ISO_RULE_SYNTHETIC);
	other.n_fields = 1;
	EXPLAINS(ISO_RULE_FIELD);
	cr_assert_eq(why.field, 1);
	fields[0].number = 1;
	EXPLAINS(ISO_RULE_FIELD);
	fields[0].number = 3;
	other.at_ns = NOW - 10 * SECOND;
	EXPLAINS(ISO_RULE_TOO_OLD);
	other.unit = other.name = "";
	strcpy(rule.unit, "");
	iso_rules_load(rules, &rule, 1);
	EXPLAINS(ISO_RULE_NO_KEY);
	cr_assert_eq(storm(NOW, 0, 1), 0, "explaining has counted nothing");
}

/* Proves: numbers compare as numbers, texts as texts. */
Test(rules, comparing)
{
	static const struct {
		uint32_t op;
		uint64_t value;
		bool holds;
	} cases[] = {
		{ISO_OPERATOR_EQUAL, 10, true},    {ISO_OPERATOR_EQUAL, 9, false},
		{ISO_OPERATOR_NOT_EQUAL, 9, true}, {ISO_OPERATOR_NOT_EQUAL, 10, false},
		{ISO_OPERATOR_LESS, 11, true},     {ISO_OPERATOR_LESS, 10, false},
		{ISO_OPERATOR_AT_MOST, 10, true},  {ISO_OPERATOR_AT_MOST, 9, false},
		{ISO_OPERATOR_MORE, 9, true},      {ISO_OPERATOR_MORE, 10, false},
		{ISO_OPERATOR_AT_LEAST, 10, true}, {ISO_OPERATOR_AT_LEAST, 11, false},
		{ISO_OPERATOR_HAS_BITS, 8, true},  {ISO_OPERATOR_HAS_BITS, 9, false},
	};
	struct iso_field field = {.name = "n", .text = "0xa", .number = 10, .has_number = true};
	struct iso_record record = make_record(NOW);
	struct iso_rule rule = make_rule(1, 10);
	struct iso_explanation why;
	size_t i;

	record.fields = &field;
	record.n_fields = rule.n_fields = 1;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rule.fields[0] = (struct iso_comparison){.name = "n",
							 .op = cases[i].op,
							 .number = cases[i].value,
							 .has_number = true};
		iso_rules_load(rules, &rule, 1);
		iso_rules_explain(rules, 0, &record, NOW, &why);
		cr_assert_eq(why.word == ISO_RULE_FIRES, cases[i].holds, "%s %llu",
			     iso_operator_name(cases[i].op), (unsigned long long)cases[i].value);
	}
	field = (struct iso_field){.name = "n", .text = "read"};
	rule.fields[0] = (struct iso_comparison){.name = "n", .op = ISO_OPERATOR_NOT_EQUAL};
	strcpy(rule.fields[0].text, "write");
	iso_rules_load(rules, &rule, 1);
	cr_assert_eq(take(&record, NOW, &(struct iso_firing){0}), 1);
}

static struct iso_rule escalating(void)
{
	struct iso_rule rule = make_rule(2, 10);

	rule.n_stages = 3;
	rule.stages[0].deadline_ns = rule.stages[1].deadline_ns = 30 * SECOND;
	rule.stages[1].action = ISO_ACTION_FENCE;
	rule.stages[2].action = ISO_ACTION_QUARANTINE;
	cr_assert_null(iso_rule_check(&rule));
	return rule;
}

/* Proves: an action that ended well and was followed by quiet is the last one. */
Test(rules, no_escalation)
{
	struct iso_rule rule = escalating();
	struct iso_record record = make_record(NOW);
	struct iso_firing firing, next;

	iso_rules_load(rules, &rule, 1);
	take(&record, NOW, &firing);
	cr_assert_eq(take(&record, NOW, &firing), 1);
	cr_assert_not(iso_rules_outcome(rules, firing.id, true, NOW, &next));
	cr_assert_eq(iso_rules_next_deadline(rules), NOW + 30 * SECOND);
	cr_assert_eq(iso_rules_timer(rules, NOW + 29 * SECOND, &next, 1), 0);
	cr_assert_eq(iso_rules_timer(rules, NOW + 30 * SECOND, &next, 1), 0);
	cr_assert_eq(iso_rules_next_deadline(rules), INT64_MAX);
}

/* Proves: the next action follows a failure at once, silence at the deadline, and what persists at the deadline. */
Test(rules, escalation)
{
	struct iso_rule rule = escalating();
	struct iso_record record = make_record(NOW);
	struct iso_firing firing, next;

	iso_rules_load(rules, &rule, 1);
	take(&record, NOW, &firing);
	take(&record, NOW, &firing);
	cr_assert_eq(firing.action, ISO_ACTION_NOTIFY);
	cr_assert(iso_rules_outcome(rules, firing.id, false, NOW + SECOND, &next));
	cr_assert_eq(next.action, ISO_ACTION_FENCE);
	cr_assert_not(iso_rules_outcome(rules, firing.id, false, NOW, &firing),
		      "of the action before");
	iso_rules_outcome(rules, next.id, true, NOW + SECOND, &firing);
	record.at_ns = NOW + 2 * SECOND;
	cr_assert_eq(take(&record, record.at_ns, &firing), 0);
	cr_assert_eq(take(&record, record.at_ns, &firing), 0, "its action is under way");
	cr_assert_eq(iso_rules_timer(rules, NOW + 31 * SECOND, &firing, 1), 1);
	cr_assert_eq(firing.action, ISO_ACTION_QUARANTINE);
	cr_assert_eq(firing.stage, 2);
	cr_assert_str_eq(firing.target.unit, "hb0/00.0/00.0");
	cr_assert_eq(iso_rules_next_deadline(rules), INT64_MAX, "nothing follows the last");
}

/* Proves: what comes late is counted when it happened: an old storm does not act, half of a new one does. */
Test(rules, backlog)
{
	struct iso_rule rule = make_rule(4, 10);
	struct iso_record record;
	struct iso_firing firing;
	uint32_t i;

	iso_rules_load(rules, &rule, 1);
	for (i = 0; i < 100; i++) {
		record = make_record(NOW - 100 * SECOND - i);
		cr_assert_eq(take(&record, NOW, &firing), 0);
	}
	for (i = 0; i < 3; i++) {
		record = make_record(NOW - (int64_t)(3 + 2 * i) * SECOND);
		cr_assert_eq(take(&record, NOW, &firing), 0);
	}
	record = make_record(NOW + SECOND);
	cr_assert_eq(take(&record, NOW + SECOND, &firing), 1);
	cr_assert_eq(firing.count, 4);
}

/* Proves: counts of a rule that did not change survive another set; those of the others do not. */
Test(rules, reload)
{
	struct iso_rule set[2] = {make_rule(3, 10), make_rule(3, 10)};
	struct iso_firing firing;
	struct iso_record record = make_record(NOW);

	strcpy(set[1].name, "other");
	iso_rules_load(rules, set, 2);
	storm(NOW, 0, 2);
	set[0].threshold = 2;
	set[0] = set[1];
	set[1] = make_rule(3, 11);
	iso_rules_load(rules, set, 2);
	cr_assert_eq(take(&record, NOW, &firing), 1);
	cr_assert_eq(firing.rule, 0, "\"other\" in its new place");
}

/* Proves: a start counts what the last daemon had counted, and a storm that fired then fires no more. */
Test(rules, restored)
{
	struct iso_rule rule = make_rule(3, 10);
	struct iso_record record = make_record(NOW - 5 * SECOND);
	struct iso_fired fired = {.rule = "burst", .key = "hb0/00.0/00.0"};
	struct iso_firing firing;

	fired.digest = iso_rule_digest(&rule);
	fired.at_ns = NOW - 5 * SECOND;
	iso_rules_load(rules, &rule, 1);
	iso_rules_restore(rules, &record, NOW);
	iso_rules_restore(rules, &record, NOW);
	iso_rules_restore(rules, &record, NOW);
	record.at_ns = NOW;
	cr_assert_eq(take(&record, NOW, &firing), 1);
	iso_rules_load(rules, NULL, 0);
	iso_rules_load(rules, &rule, 1);
	iso_rules_restore(rules, &record, NOW);
	iso_rules_restore(rules, &record, NOW);
	iso_rules_restore_fired(rules, &fired, NOW);
	cr_assert_eq(take(&record, NOW, &firing), 0, "held off");
	fired.digest++;
	iso_rules_load(rules, NULL, 0);
	iso_rules_load(rules, &rule, 1);
	iso_rules_restore(rules, &record, NOW);
	iso_rules_restore(rules, &record, NOW);
	iso_rules_restore_fired(rules, &fired, NOW);
	cr_assert_eq(take(&record, NOW, &firing), 1, "it was another rule that fired");
}

/* Proves: a row that stands for many counts as many. */
Test(rules, many_in_one)
{
	struct iso_rule rule = make_rule(1000, 10);
	struct iso_record record = make_record(NOW);
	struct iso_firing firing;

	iso_rules_load(rules, &rule, 1);
	record.count = 999;
	cr_assert_eq(take(&record, NOW, &firing), 0);
	record.count = 1;
	cr_assert_eq(take(&record, NOW, &firing), 1);
}

/* Proves: full tables are counted and told; what is over makes room again. */
Test(rules, bounds)
{
	struct iso_rule rule = make_rule(100, 10);
	struct iso_record record;
	struct iso_firing firing;
	char unit[32];
	uint32_t i;

	iso_rules_load(rules, &rule, 1);
	for (i = 0; i < ISO_RULE_COUNTS_MAX + 10; i++) {
		record = make_record(NOW);
		snprintf(unit, sizeof(unit), "mem%u", i);
		record.unit = unit;
		take(&record, NOW, &firing);
	}
	cr_assert_eq(iso_rules_missed(rules), 10);
	record = make_record(NOW + 11 * SECOND);
	record.unit = "late";
	take(&record, record.at_ns, &firing);
	cr_assert_eq(iso_rules_missed(rules), 10);
	record.count = 100;
	cr_assert_eq(take(&record, record.at_ns, &firing), 1);
	cr_assert_eq(iso_rules_record(rules, &record, NOW + 1000 * SECOND, NULL, 0), 0);
}

/* Proves: a set in another place is a set of its own. */
Test(rules, copied)
{
	struct iso_rule rule = make_rule(2, 10);
	struct iso_rules *copy = aligned_alloc(64, iso_rules_bytes()), *real = rules;
	struct iso_firing firing;
	struct iso_record record = make_record(NOW);

	iso_rules_load(rules, &rule, 1);
	storm(NOW, 0, 1);
	memcpy(copy, rules, iso_rules_bytes());
	rules = copy;
	cr_assert_eq(take(&record, NOW, &firing), 1);
	rules = real;
	cr_assert_eq(take(&record, NOW, &firing), 1, "the first one has not fired");
	free(copy);
}

/* Proves: what makes no sense is refused with a reason. */
Test(rules, checked)
{
	struct iso_rule rule = make_rule(1, 10);

#define REFUSES(words)                                                                             \
	do {                                                                                       \
		cr_assert_not_null(iso_rule_check(&rule));                                         \
		cr_assert(strstr(iso_rule_check(&rule), words), "%s", iso_rule_check(&rule));      \
		rule = make_rule(1, 10);                                                           \
	} while (0)
	strcpy(rule.name, "no name");
	REFUSES("the name");
	rule.threshold = 0;
	REFUSES("threshold");
	rule.threshold = ISO_RULE_THRESHOLD_MAX + 1;
	REFUSES("threshold");
	rule.window_ns = 0;
	REFUSES("window");
	rule.n_stages = 0;
	REFUSES("from 1 to 4 actions");
	rule.per = ISO_PER_HOST;
	rule.stages[0].action = ISO_ACTION_KILL;
	REFUSES("whole host");
	rule.per = ISO_PER_DOMAIN;
	rule.stages[0].action = ISO_ACTION_RETIRE;
	REFUSES("names no memdev");
	rule.stages[0].deadline_ns = 1;
	REFUSES("nothing follows");
	rule.n_stages = 2;
	REFUSES("needs a deadline");
	rule.stages[0].action = ISO_ACTION_START_UNIT;
	REFUSES("names a unit");
}

/* Proves: patterns are matched as a shell does, and end in bounded time. */
Test(rules, patterns)
{
	cr_assert(iso_rule_like("cxl_*", "cxl_dram"));
	cr_assert(iso_rule_like("a b c", "b"));
	cr_assert(iso_rule_like("*a*b*c", "xxaxxbxxc"));
	cr_assert(iso_rule_like("a?c", "abc"));
	cr_assert(iso_rule_like("*", ""));
	cr_assert_not(iso_rule_like("", "x"));
	cr_assert_not(iso_rule_like("cxl_*", "pcxl_dram"));
	cr_assert_not(iso_rule_like("a?c", "ac"));
	cr_assert_not(iso_rule_like("*a*a*a*a*a*a*b",
				    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}
