/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves that pages which tests and benchmarks make themselves are what the
 * kernel would have written: the pump finds every record, its time and losses.
 */
#include "../data/trace_files.h"
#include "../data/trace_page.h"
#include "source/trace_pump.h"

#include <criterion/criterion.h>

enum { RECORDS_MAX = 64 };

struct seen {
	uint64_t at_ns[RECORDS_MAX];
	uint64_t dpa[RECORDS_MAX];
	uint32_t bytes[RECORDS_MAX];
	unsigned int n;
	unsigned int gaps;
	uint64_t lost;
};

/* A record as the kernel wrote it, and where its address lies. */
struct pattern {
	uint8_t bytes[256];
	uint32_t n;
	size_t dpa;
};

static struct trace_formats formats;
static struct trace_pump pump;
static struct seen seen;
static struct trace_page page;
static uint8_t readable[TRACE_PAGE_BYTES + TRACE_PAGE_SLACK_BYTES];
static struct pattern *taken;

static void on_record(void *userdata, const struct trace_record *record)
{
	struct seen *to = userdata;

	if (taken) {
		taken->n = record->raw_bytes;
		memcpy(taken->bytes, record->raw, record->raw_bytes);
	}
	cr_assert_lt(to->n, RECORDS_MAX);
	cr_assert_eq(record->kind, TRACE_KIND_CXL);
	to->at_ns[to->n] = record->at_ns;
	to->dpa[to->n] = record->cxl.dpa.value;
	to->bytes[to->n++] = record->raw_bytes;
}

static void on_gap(void *userdata, enum trace_gap gap, uint64_t count)
{
	struct seen *to = userdata;

	cr_assert_eq(gap, TRACE_GAP_LOST);
	to->gaps++;
	to->lost += count;
}

static void feed(const void *bytes)
{
	memset(&seen, 0, sizeof(seen));
	memset(readable, 0, sizeof(readable));
	memcpy(readable, bytes, TRACE_PAGE_BYTES);
	trace_pump_page(&pump, 0, readable, TRACE_PAGE_BYTES);
}

static struct pattern pattern_of(const char *event, const char *name)
{
	struct pattern pattern = {0};
	static char text[64 * 1024];
	char path[128];
	size_t n;

	snprintf(path, sizeof(path), "tests/data/trace/7.2/cxl-%s.format", event);
	n = trace_file_read(path, text, sizeof(text) - 1);
	text[n] = '\0';
	pattern.dpa = trace_page_offset(text, "dpa");
	snprintf(path, sizeof(path), "tests/data/trace/7.2/%s.page", name);
	cr_assert_eq(trace_file_read(path, page.bytes, TRACE_PAGE_BYTES), TRACE_PAGE_BYTES);
	taken = &pattern;
	feed(page.bytes);
	taken = NULL;
	cr_assert_gt(pattern.n, 0);
	return pattern;
}

static bool add(struct pattern *pattern, uint64_t at_ns, uint64_t dpa)
{
	memcpy(pattern->bytes + pattern->dpa, &dpa, sizeof(dpa));
	return trace_page_add(&page, at_ns, pattern->bytes, pattern->n);
}

static void setup(void)
{
	memset(&formats, 0, sizeof(formats));
	trace_files_formats("tests/data/trace/7.2", &formats);
	cr_assert_eq(trace_pump_init(&pump, &formats, TRACE_PAGE_BYTES, on_record, on_gap, &seen),
		     0);
}

static void finish(void)
{
	trace_pump_done(&pump);
}

TestSuite(trace_page, .init = setup, .fini = finish);

Test(trace_page, records_come_out_as_they_went_in)
{
	struct pattern poison = pattern_of("cxl_poison", "poison");
	unsigned int n = 0;

	trace_page_begin(&page, 1000);
	while (add(&poison, 1000 + 7 * n, 64 * n))
		n++;
	trace_page_end(&page, 0);
	feed(page.bytes);
	cr_assert_gt(n, 30, "a page holds many");
	cr_assert_eq(page.n_records, n);
	cr_assert_eq(seen.n, n);
	cr_assert_eq(seen.gaps, 0);
	for (unsigned int i = 0; i < n; i++) {
		cr_assert_eq(seen.at_ns[i], 1000 + 7 * i);
		cr_assert_eq(seen.dpa[i], 64 * i);
		cr_assert_eq(seen.bytes[i], poison.n);
	}
}

/* The kernel's own page, made again from its record, is the same byte for byte. */
Test(trace_page, is_what_the_kernel_writes)
{
	struct pattern poison = pattern_of("cxl_poison", "poison");
	static uint8_t recorded[TRACE_PAGE_BYTES];
	uint64_t at_ns;

	memcpy(recorded, page.bytes, sizeof(recorded));
	at_ns = seen.at_ns[0];
	memcpy(&page.last_ns, recorded, sizeof(page.last_ns));
	trace_page_begin(&page, page.last_ns);
	cr_assert(add(&poison, at_ns, seen.dpa[0]));
	trace_page_end(&page, 0);
	cr_assert_arr_eq(page.bytes, recorded, TRACE_PAGE_HEADER_BYTES + page.used);
}

Test(trace_page, long_records_and_long_pauses)
{
	struct pattern poison = pattern_of("cxl_poison", "poison");
	const uint64_t day_ns = UINT64_C(86400) * 1000000000;
	uint8_t large[200] = {0};

	/* One that is longer than the short form can say, and a day later another. */
	memcpy(large, poison.bytes, poison.n);
	trace_page_begin(&page, 5);
	cr_assert(trace_page_add(&page, 5, large, sizeof(large)));
	cr_assert(add(&poison, day_ns, 64));
	trace_page_end(&page, 0);
	feed(page.bytes);
	cr_assert_eq(seen.n, 2);
	cr_assert_eq(seen.bytes[0], sizeof(large));
	cr_assert_eq(seen.at_ns[0], 5);
	cr_assert_eq(seen.at_ns[1], day_ns);
	cr_assert_eq(seen.gaps, 0);
}

Test(trace_page, losses_are_told)
{
	struct pattern poison = pattern_of("cxl_poison", "poison");

	trace_page_begin(&page, 1);
	cr_assert(add(&poison, 1, 0));
	trace_page_end(&page, 4711);
	feed(page.bytes);
	cr_assert_eq(seen.n, 1);
	cr_assert_eq(seen.gaps, 1);
	cr_assert_eq(seen.lost, 4711);
}
