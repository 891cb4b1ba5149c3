/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules are read as a whole or not at all, and what is wrong is said with file, line and key. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy_file.h"

#define SECOND UINT64_C(1000000000)

static char root[64], vendor[80], local[80];
static struct policy_set set;

static void set_up(void)
{
	strcpy(root, "/tmp/test-policy-XXXXXX");
	cr_assert(mkdtemp(root));
	snprintf(vendor, sizeof(vendor), "%s/vendor", root);
	snprintf(local, sizeof(local), "%s/local", root);
	cr_assert_eq(mkdir(vendor, 0700), 0);
	cr_assert_eq(mkdir(local, 0700), 0);
}

static void tear_down(void)
{
	char command[96];

	policy_set_free(&set);
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	cr_assert_eq(system(command), 0);
}

TestSuite(policy_file, .init = set_up, .fini = tear_down);

static void put(const char *directory, const char *name, const char *text)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	cr_assert(file);
	fputs(text, file);
	fclose(file);
}

static int read_set(void)
{
	policy_set_free(&set);
	return policy_set_read(vendor, local, &set);
}

static void refuses(const char *text, const char *words)
{
	put(local, "a.conf", text);
	cr_assert_eq(read_set(), -EINVAL, "%s", text);
	cr_assert(strstr(set.messages, "/a.conf:"), "%s", set.messages);
	cr_assert(strstr(set.messages, words), "%s", set.messages);
}

/* Proves: every key means what the manual says. */
Test(policy_file, keys)
{
	const struct iso_rule *rule;

	put(local, "a.conf",
	    "[Rule a]\nSource=trace uevent\nKind=cxl_*\nUnit=mem?\nDomain=hb0/*\nVM=web-*\n"
	    "Severity=error\nFields=dpa>=0x1000 type!=read flags&3\nSynthetic=no\nPer=vm\n"
	    "Threshold=7\nWindow=2h\nHoldOff=0\nAction=notify\nDeadline=30s\n"
	    "Action2=start-unit alarm@x.service\nDeadline2=1min\nAction3=quarantine\n");
	cr_assert_eq(read_set(), 0, "%s", set.messages);
	cr_assert_eq(set.n, 1);
	rule = &set.rules[0];
	cr_assert_str_eq(rule->name, "a");
	cr_assert_str_eq(rule->source, "trace uevent");
	cr_assert_str_eq(rule->vm, "web-*");
	cr_assert_eq(rule->severity, ISO_SEVERITY_ERROR);
	cr_assert_eq(rule->synthetic, ISO_SYNTHETIC_NO);
	cr_assert_eq(rule->per, ISO_PER_VM);
	cr_assert_eq(rule->threshold, 7);
	cr_assert_eq(rule->window_ns, 7200 * SECOND);
	cr_assert_eq(rule->hold_off_ns, 0);
	cr_assert_eq(rule->n_fields, 3);
	cr_assert_str_eq(rule->fields[0].name, "dpa");
	cr_assert_eq(rule->fields[0].op, ISO_OPERATOR_AT_LEAST);
	cr_assert_eq(rule->fields[0].number, 0x1000);
	cr_assert_eq(rule->fields[1].op, ISO_OPERATOR_NOT_EQUAL);
	cr_assert_not(rule->fields[1].has_number);
	cr_assert_eq(rule->fields[2].op, ISO_OPERATOR_HAS_BITS);
	cr_assert_eq(rule->n_stages, 3);
	cr_assert_eq(rule->stages[0].deadline_ns, 30 * SECOND);
	cr_assert_eq(rule->stages[1].action, ISO_ACTION_START_UNIT);
	cr_assert_str_eq(rule->stages[1].start_unit, "alarm@x.service");
	cr_assert_eq(rule->stages[2].action, ISO_ACTION_QUARANTINE);
}

/* Proves: what is wrong is named with its file and line, and makes the whole set refused. */
Test(policy_file, refused)
{
	put(vendor, "0.conf", "[Rule good]\nAction=notify\n");
	refuses("[Rule a]\nAction=fly\n", ":2: Action=fly: must be one of notify fence kill");
	refuses("[Rule a]\nAction=notify\nColour=red\n", ":3: Colour=red: a rule has no such key");
	refuses("[Rule a]\nAction=notify\nWindow=soon\n", "Window=soon: not a time");
	refuses("[Rule a]\nAction=notify\nWindow=0\n", "must be more than nothing");
	refuses("[Rule a]\nAction=notify\nThreshold=none\n", "a number from 1 to 4096");
	refuses("[Rule a]\nAction=notify\nFields=dpa\n", "has no comparison");
	refuses("[Rule a]\nAction=notify\nFields==1\n", "does not begin with a field's name");
	refuses("[Rule a]\nAction=notify\nFields=dpa>x\n", "takes a number");
	refuses("[Rule a]\nAction=start-unit\n", "names no unit");
	refuses("[Rule a]\nAction=start-unit ../x.service\n", "not the name of a unit");
	refuses("[Rule a]\nAction=notify\nSeverity=loud\n", "must be one of info warning");
	refuses("[Rule a]\nKind=aer_event\n", "[Rule a]: a rule has from 1 to 4 actions");
	refuses("[Rule a]\nAction=notify\nAction2=fence\n", "needs a deadline");
	refuses("[Rule a]\nAction2=fence\nAction5=kill\n", "no such key");
	refuses("[Rule a]\nDeadline=5s\nAction2=kill\n", ":3: [Rule a]: Action= is missing");
	refuses("[Rule a]\nDeadline=5s\n", "Action= is missing");
	refuses("[Rule a]\nAction=notify\nDeadline=5s\nDeadline2=5s\nAction3=kill\n",
		"an action before another");
	refuses("[Rule a]\nAction=kill\nPer=host\n", "whole host");
	refuses("[Rule no name]\nAction=notify\n", "the name of a rule");
	refuses("[Other]\nAction=notify\n", "is called [Rule NAME]");
	refuses("Action=notify\n", "before any [Rule NAME]");
	refuses("[Rule good]\nAction=notify\n[Rule a]\nAction=notify\n",
		"another rule of that name");
}

/* Proves: files are read by name, a local one replaces the vendor's, an empty one takes it away. */
Test(policy_file, directories)
{
	put(vendor, "10.conf", "[Rule ten]\nAction=notify\n");
	put(vendor, "20.conf", "[Rule twenty]\nAction=notify\n");
	put(vendor, "30.conf", "[Rule thirty]\nAction=notify\n");
	put(vendor, "readme.txt", "no rule\n");
	put(local, "20.conf", "[Rule mine]\nAction=fence\n");
	put(local, "15.conf", "[Rule between]\nAction=notify\n");
	put(local, "30.conf", "# none\n");
	cr_assert_eq(read_set(), 0, "%s", set.messages);
	cr_assert_eq(set.n, 3);
	cr_assert_str_eq(set.rules[0].name, "ten");
	cr_assert_str_eq(set.rules[1].name, "between");
	cr_assert_str_eq(set.rules[2].name, "mine");
	policy_set_free(&set);
	cr_assert_eq(policy_set_read(NULL, "/nowhere/at/all", &set), 0, "no directory, no rules");
	cr_assert_eq(set.n, 0);
}

/* Proves: what is shipped can be loaded. */
Test(policy_file, shipped)
{
	policy_set_free(&set);
	cr_assert_eq(policy_set_read("daxmgr/policy.d", local, &set), 0, "%s", set.messages);
	cr_assert_geq(set.n, 4);
}
