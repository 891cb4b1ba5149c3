/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proves which records make a verdict, for whom, how bad and for how long. */
#include "health.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define T0     (1000 * SECOND)

static struct health health;
static struct health_verdict verdict;

static struct store_event record(const char *source, const char *kind, uint32_t severity)
{
	struct store_event event = {.severity = severity, .at_ns = T0};

	strcpy(event.source, source);
	strcpy(event.kind, kind);
	strcpy(event.text, "what it said");
	return event;
}

static uint32_t judge(enum health_scope scope, const char *unit, uint64_t at_ns)
{
	health_judge(&health, scope, unit, at_ns, &verdict);
	return verdict.state;
}

Test(health, nothing_said_is_ok)
{
	cr_assert_eq(judge(HEALTH_HOST, "", T0), HEALTH_OK);
	cr_assert_str_empty(verdict.reasons);
	cr_assert_eq(verdict.until_ns, UINT64_MAX);
}

Test(health, an_oops_fails_the_host_for_a_minute_and_degrades_it_for_an_hour)
{
	struct store_event oops = record("kernel-log", "oops", STORE_ERROR);

	cr_assert(health_take(&health, &oops));
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 59 * SECOND), HEALTH_FAILING);
	cr_assert_eq(verdict.until_ns, T0 + 60 * SECOND);
	cr_assert_str_eq(verdict.reasons, "kernel oops: what it said");
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 60 * SECOND), HEALTH_DEGRADED);
	cr_assert_eq(verdict.until_ns, T0 + 3600 * SECOND);
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 3600 * SECOND), HEALTH_OK);
}

Test(health, what_was_injected_says_nothing)
{
	struct store_event oops = record("kernel-log", "oops", STORE_ERROR);

	oops.synthetic = true;
	cr_assert_not(health_take(&health, &oops));
	cr_assert_eq(judge(HEALTH_HOST, "", T0), HEALTH_OK);
}

Test(health, another_one_begins_the_minute_anew_and_an_older_one_does_not)
{
	struct store_event oops = record("kernel-log", "oops", STORE_ERROR);

	health_take(&health, &oops);
	oops.at_ns = T0 + 30 * SECOND;
	health_take(&health, &oops);
	oops.at_ns = T0;
	health_take(&health, &oops);
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 80 * SECOND), HEALTH_FAILING);
	cr_assert(strstr(verdict.reasons, "(3 times)"), "%s", verdict.reasons);
}

Test(health, a_hung_task_alone_does_not_fail_the_host_but_one_in_cxl_does)
{
	struct store_event hung = record("kernel-log", "hung-task", STORE_ERROR);
	struct store_event stack = record("kernel-log", "stack", STORE_WARNING);

	health_take(&health, &hung);
	cr_assert_eq(judge(HEALTH_HOST, "", T0), HEALTH_DEGRADED);
	health_take(&health, &stack);
	cr_assert_eq(judge(HEALTH_HOST, "", T0), HEALTH_FAILING);
	cr_assert_eq(strncmp(verdict.reasons, "kernel fails or hangs", 21), 0,
		     "the worst first: %s", verdict.reasons);
}

/* khungtaskd speaks every two minutes, a stall of RCU is told of again after one. */
Test(health, what_hangs_is_failing_until_it_would_have_said_so_again)
{
	struct store_event stall = record("kernel-log", "rcu-stall", STORE_ERROR);
	struct store_event stack = record("kernel-log", "stack", STORE_WARNING);

	strcpy(stack.text, "warning in cxl_decoder_detach");
	health_take(&health, &stack);
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 59 * SECOND), HEALTH_FAILING);
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 60 * SECOND), HEALTH_DEGRADED);
	strcpy(stack.text, "hung-task in cxl_decoder_detach");
	health_take(&health, &stack);
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 299 * SECOND), HEALTH_FAILING);
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 300 * SECOND), HEALTH_DEGRADED);
	health = (struct health){0};
	health_take(&health, &stall);
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 299 * SECOND), HEALTH_FAILING);
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 300 * SECOND), HEALTH_DEGRADED);
}

Test(health, units_are_judged_apart)
{
	struct store_event aer = record("trace", "aer_event", STORE_FATAL);
	struct store_event media = record("trace", "cxl_general_media", STORE_ERROR);
	struct store_event guest = record("qmp", "guest-panicked", STORE_ERROR);

	cr_assert_not(health_take(&health, &aer), "nobody knows whose it is");
	strcpy(aer.domain, "hb0/00.0");
	cr_assert(health_take(&health, &aer));
	media.serial = 0x10;
	media.has_serial = true;
	health_take(&health, &media);
	strcpy(guest.lease, "web");
	health_take(&health, &guest);
	cr_assert_eq(judge(HEALTH_DOMAIN, "hb0/00.0", T0), HEALTH_FAILING);
	cr_assert_eq(judge(HEALTH_DOMAIN, "hb1/00.0", T0), HEALTH_OK);
	cr_assert_eq(judge(HEALTH_MEMDEV, "0x10", T0), HEALTH_DEGRADED);
	cr_assert_eq(judge(HEALTH_MEMDEV, "0x11", T0), HEALTH_OK);
	cr_assert_eq(judge(HEALTH_VM, "web", T0), HEALTH_FAILING);
	cr_assert_eq(judge(HEALTH_VM, "db", T0), HEALTH_OK);
	cr_assert_eq(judge(HEALTH_HOST, "", T0), HEALTH_OK);
}

Test(health, what_a_device_says_of_itself_stands_until_it_says_otherwise)
{
	struct store_event said = record("device-health", "health", STORE_ERROR);

	said.serial = 0x10;
	said.has_serial = true;
	health_take(&health, &said);
	cr_assert_eq(judge(HEALTH_MEMDEV, "0x10", T0 + 86400 * SECOND), HEALTH_FAILING);
	said.severity = STORE_WARNING;
	health_take(&health, &said);
	cr_assert_eq(judge(HEALTH_MEMDEV, "0x10", T0 + 86400 * SECOND), HEALTH_DEGRADED);
	said.severity = STORE_INFO;
	health_take(&health, &said);
	cr_assert_eq(judge(HEALTH_MEMDEV, "0x10", T0), HEALTH_OK);
}

Test(health, a_gap_of_whatever_source_degrades_the_host_for_a_minute)
{
	struct store_event gap = record("uevent", "gap", STORE_WARNING);

	health_take(&health, &gap);
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 59 * SECOND), HEALTH_DEGRADED);
	cr_assert_eq(judge(HEALTH_HOST, "", T0 + 60 * SECOND), HEALTH_OK);
}

Test(health, a_full_table_forgets_the_oldest)
{
	struct store_event guest = record("qmp", "guest-panicked", STORE_ERROR);

	for (unsigned int i = 0; i <= HEALTH_REASONS_MAX; i++) {
		snprintf(guest.lease, sizeof(guest.lease), "vm%u", i);
		guest.at_ns = T0 + i;
		health_take(&health, &guest);
	}
	cr_assert_eq(health.n, HEALTH_REASONS_MAX);
	cr_assert_eq(judge(HEALTH_VM, "vm0", T0), HEALTH_OK);
	cr_assert_eq(judge(HEALTH_VM, "vm1", T0), HEALTH_FAILING);
}

Test(health, reasons_stay_in_one_line_of_bounded_length)
{
	struct health_verdict many = {0};
	char reason[ISO_TEXT_BYTES];

	memset(reason, 'x', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	for (int i = 0; i < 10; i++)
		health_add(&many, i % 2 ? HEALTH_FAILING : HEALTH_DEGRADED, reason);
	cr_assert_eq(many.state, HEALTH_FAILING);
	cr_assert_lt(strlen(many.reasons), ISO_TEXT_BYTES);
}
