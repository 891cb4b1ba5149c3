/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each rule that is shipped fires for what it is there for, at its threshold, and not for what is next to it. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "inject.h"
#include "policy.h"
#include "policy_file.h"
#include "world.h"

#define MINUTE (60 * (int64_t)WORLD_SECOND)

static struct policy_set set;
static struct iso_rules *rules;
static struct world *world;
static int64_t now_ns;

static void set_up(void)
{
	cr_assert_eq(policy_set_read("daxmgr/policy.d", "/nowhere", &set), 0, "%s", set.messages);
	rules = iso_rules_init(aligned_alloc(64, iso_rules_bytes()));
	iso_rules_load(rules, set.rules, set.n);
	world = world_pair();
	now_ns = 100 * MINUTE;
}

static void tear_down(void)
{
	policy_set_free(&set);
	free(rules);
	world_free(world);
}

TestSuite(policy_shipped, .init = set_up, .fini = tear_down);

/* A record as the operator's canonical form says it, with the severity that the decoder gives. Return: how many rules fired. */
static uint32_t tell(const char *json, uint32_t severity, struct iso_firing *ret)
{
	sd_json_variant *record = NULL;
	char reason[INJECT_REASON_BYTES] = "";
	struct policy_view view;
	struct inject inject;
	uint32_t n;

	cr_assert_geq(sd_json_parse(json, 0, &record, NULL, NULL), 0, "%s", json);
	cr_assert_eq(inject_parse(record, &inject, reason), 0, "%s", reason);
	inject.event.at_ns = (uint64_t)now_ns;
	inject.event.severity = severity;
	inject.event.synthetic = false;
	policy_view_make(world->engine, &inject.event, (struct iso_rules_wish){true, true}, &view);
	n = iso_rules_record(rules, &view.record, now_ns, ret, 1);
	policy_view_clear(&view);
	inject_clear(&inject);
	sd_json_variant_unref(record);
	return n;
}

/* Fires at exactly this many, once, with that action about that unit. */
static void fires(const char *rule, const char *json, uint32_t severity, uint32_t threshold,
		  enum iso_action action, const char *unit)
{
	struct iso_firing firing = {0};

	for (uint32_t i = 1; i < threshold; i++)
		cr_assert_eq(tell(json, severity, &firing), 0, "%s: %u", rule, i);
	cr_assert_eq(tell(json, severity, &firing), 1, "%s", rule);
	cr_assert_str_eq(iso_rules_get(rules, firing.rule)->name, rule);
	cr_assert_eq(firing.action, action);
	cr_assert_str_eq(firing.target.unit, unit);
	for (uint32_t i = 0; i < 2 * threshold; i++)
		cr_assert_eq(tell(json, severity, &firing), 0, "%s: held off", rule);
}

static void never_fires(const char *json, uint32_t severity)
{
	struct iso_firing firing;

	for (uint32_t i = 0; i < 300; i++)
		cr_assert_eq(tell(json, severity, &firing), 0, "%s", json);
}

/* Proves: 50 corrected errors of one memdev within an hour are told; information is none. */
Test(policy_shipped, corrected_errors)
{
	static const char dram[] =
		"{\"source\":\"trace\",\"kind\":\"cxl_dram\",\"unit\":\"mem0\",\"serial\":16}";

	never_fires(dram, ISO_SEVERITY_INFO);
	fires("corrected-errors", dram, ISO_SEVERITY_WARNING, 50, ISO_ACTION_NOTIFY,
	      "hb0/00.0/00.0");
}

/* Proves: 100 corrected errors of a link are told; what the link lost is for others. */
Test(policy_shipped, link_errors)
{
	never_fires("{\"source\":\"trace\",\"kind\":\"aer_event\",\"unit\":\"hb0/00.0\","
		    "\"fields\":{\"severity\":0}}",
		    ISO_SEVERITY_ERROR);
	fires("link-errors",
	      "{\"source\":\"trace\",\"kind\":\"aer_event\",\"unit\":\"hb0/00.0\","
	      "\"fields\":{\"severity\":2}}",
	      ISO_SEVERITY_WARNING, 100, ISO_ACTION_NOTIFY, "hb0/00.0");
}

/* Proves: 5 uncorrected errors fence, as many more retire; entries of a poison list do neither. */
Test(policy_shipped, uncorrected_burst)
{
	static const char media[] = "{\"source\":\"trace\",\"kind\":\"cxl_general_media\","
				    "\"unit\":\"mem1\",\"serial\":17}";
	struct iso_firing firing, next;

	never_fires(
		"{\"source\":\"trace\",\"kind\":\"cxl_poison\",\"unit\":\"mem1\",\"serial\":17}",
		ISO_SEVERITY_ERROR);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(tell(media, ISO_SEVERITY_ERROR, &firing), 0);
	cr_assert_eq(tell(media, ISO_SEVERITY_ERROR, &firing), 1);
	cr_assert_eq(firing.action, ISO_ACTION_FENCE);
	cr_assert_str_eq(firing.target.unit, "hb0/01.0/00.0");
	cr_assert_not(iso_rules_outcome(rules, firing.id, true, now_ns, &next));
	now_ns += MINUTE;
	for (int i = 0; i < 5; i++)
		cr_assert_eq(tell(media, ISO_SEVERITY_ERROR, &firing), 0, "it is fenced");
	now_ns += 9 * MINUTE;
	cr_assert_eq(iso_rules_timer(rules, now_ns, &next, 1), 1);
	cr_assert_eq(next.action, ISO_ACTION_RETIRE);
	cr_assert_str_eq(next.target.unit, "hb0/01.0/00.0");
}

/* Proves: a burst that ends with the fence retires nothing. */
Test(policy_shipped, burst_that_ends)
{
	static const char media[] =
		"{\"source\":\"trace\",\"kind\":\"cxl_aer_uncorrectable_error\","
		"\"unit\":\"mem1\",\"serial\":17}";
	struct iso_firing firing, next;

	for (int i = 0; i < 5; i++)
		tell(media, ISO_SEVERITY_ERROR, &firing);
	cr_assert_eq(firing.action, ISO_ACTION_FENCE);
	iso_rules_outcome(rules, firing.id, true, now_ns, &next);
	cr_assert_eq(iso_rules_timer(rules, now_ns + 10 * MINUTE, &next, 1), 0);
}

/* Proves: 10 gaps, of whatever source, are told once for the host. */
Test(policy_shipped, lost_records)
{
	struct iso_firing firing;
	uint32_t fired = 0;

	for (int i = 0; i < 10; i++) {
		cr_assert_eq(fired, 0, "%d", i);
		fired = tell(i % 2 ? "{\"source\":\"uevent\",\"kind\":\"gap\"}"
				   : "{\"source\":\"qmp\",\"kind\":\"gap\",\"unit\":\"vm\"}",
			     ISO_SEVERITY_WARNING, &firing);
	}
	cr_assert_eq(fired, 1);
	cr_assert_str_eq(iso_rules_get(rules, firing.rule)->name, "lost-records");
	cr_assert_eq(firing.action, ISO_ACTION_NOTIFY);
}
