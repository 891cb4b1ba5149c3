/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves: the next daemon learns what was told of a port's status and of whom,
 * and what makes a verdict; what was injected is not what was read.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "health.h"
#include "store_fixture.h"

static void save(struct store_fixture *f, const char *source, const char *fields, bool synthetic)
{
	struct store_event event = {.kind = "isolated",
				    .unit = "0000:0c:01.0",
				    .at_ns = 5,
				    .fields = fields,
				    .synthetic = synthetic};

	snprintf(event.source, sizeof(event.source), "%s", source);
	cr_assert_eq(store_save_event(f->store, &event), 0);
}

static int count_told(void *userdata, const struct store_told *told)
{
	size_t *n = userdata;

	cr_assert_str_eq(told->source, "isolation");
	cr_assert_str_eq(told->unit, "0000:0c:01.0");
	cr_assert_str_eq(told->fields, "{\"status\":257}");
	cr_assert(told->same_boot);
	++*n;
	return 0;
}

Test(store_told, what_a_source_that_compares_has_told)
{
	struct store_fixture f;
	size_t n = 0;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	save(&f, "trace", "{\"status\":1}", false);
	save(&f, "isolation", "{\"status\":257}", false);
	save(&f, "isolation", "{}", true);
	f.store = store_free(f.store); /* writes out what is queued */
	fixture_open(&f, BOOT);
	cr_assert_eq(store_load_told(f.store, count_told, &n), 0);
	cr_assert_eq(n, 1);
	fixture_teardown(&f);
}

static int find_serial(void *userdata, const struct store_told *told)
{
	uint64_t *serial = userdata;

	cr_assert(told->has_serial);
	*serial = told->serial;
	return 0;
}

Test(store_told, of_which_device)
{
	struct store_event event = {.source = "device-health",
				    .kind = "health",
				    .unit = "mem0",
				    .text = "normal",
				    .at_ns = 5,
				    .serial = UINT64_C(0xfedcba9876543210),
				    .has_serial = true};
	struct store_fixture f;
	uint64_t serial = 0;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	cr_assert_eq(store_save_event(f.store, &event), 0);
	f.store = store_free(f.store);
	fixture_open(&f, BOOT);
	cr_assert_eq(store_load_told(f.store, find_serial, &serial), 0);
	cr_assert_eq(serial, event.serial);
	fixture_teardown(&f);
}

static int judge_recent(void *userdata, const struct store_event *event)
{
	health_take(userdata, event);
	return 0;
}

/* A restart of the daemon changes no verdict. */
Test(store_told, what_makes_a_verdict)
{
	static struct health health;
	struct store_event events[] = {
		{.source = "kernel-log", .kind = "oops", .severity = STORE_ERROR, .at_ns = 900},
		{.source = "kernel-log", .kind = "hard-lockup", .severity = STORE_ERROR, .at_ns = 9},
		{.source = "device-health",
		 .kind = "health",
		 .text = "data-loss-imminent",
		 .severity = STORE_ERROR,
		 .serial = 0x10,
		 .has_serial = true,
		 .at_ns = 1},
		{.source = "trace",
		 .kind = "aer_event",
		 .domain = "hb0/00.0",
		 .severity = STORE_ERROR,
		 .at_ns = 901},
		{.source = "trace", .kind = "mce_record", .at_ns = 902},
		{.source = "uevent", .kind = "add", .at_ns = 903},
		{.source = "kernel-log",
		 .kind = "soft-lockup",
		 .severity = STORE_ERROR,
		 .at_ns = 903,
		 .synthetic = true},
	};
	struct health_verdict verdict;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		cr_assert_eq(store_save_event(f.store, &events[i]), 0);
	f.store = store_free(f.store);
	fixture_open(&f, BOOT);
	cr_assert_eq(store_load_recent(f.store, 100, judge_recent, &health), 0);
	cr_assert_eq(health.n, 4);
	health_judge(&health, HEALTH_HOST, "", 1000, &verdict);
	cr_assert_eq(verdict.state, HEALTH_FAILING);
	cr_assert_eq(verdict.until_ns, 900 + UINT64_C(60000000000));
	health_judge(&health, HEALTH_MEMDEV, "0x10", 1000, &verdict);
	cr_assert_eq(verdict.state, HEALTH_FAILING);
	cr_assert(strstr(verdict.reasons, "data-loss-imminent"));
	health_judge(&health, HEALTH_DOMAIN, "hb0/00.0", 1000, &verdict);
	cr_assert_eq(verdict.state, HEALTH_FAILING);
	f.store = store_free(f.store);
	/* Another boot is another kernel. */
	health = (struct health){0};
	fixture_open(&f, OTHER_BOOT);
	cr_assert_eq(store_load_recent(f.store, 0, judge_recent, &health), 0);
	cr_assert_eq(health.n, 0);
	fixture_teardown(&f);
}
