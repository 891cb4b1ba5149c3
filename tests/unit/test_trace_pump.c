/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves on pages recorded from real kernels that records, their times and
 * losses come out of a raw ring page, and that a damaged page is a gap.
 */
#include "../data/trace_files.h"
#include "source/trace_pump.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PAGE = 4096 };

struct seen {
	struct trace_record records[8];
	char texts[8][32]; /* device, port or memdev: records borrow */
	unsigned int n;
	unsigned int gaps;
	enum trace_gap gap;
	uint64_t lost;
};

static struct trace_formats formats;
static struct trace_pump pump;
static struct seen seen;
static uint8_t page[PAGE + TRACE_PAGE_SLACK_BYTES];

static void on_record(void *userdata, const struct trace_record *record)
{
	struct seen *to = userdata;
	const char *text = NULL;

	cr_assert_lt(to->n, 8);
	switch (record->kind) {
	case TRACE_KIND_AER:
		text = record->aer.device.text;
		break;
	case TRACE_KIND_HOTPLUG:
		text = record->hotplug.port.text;
		break;
	case TRACE_KIND_CXL:
		text = record->cxl.memdev.text;
		break;
	case TRACE_KIND_MEMORY_FAILURE:
	case TRACE_KIND_MACHINE_CHECK:
	case TRACE_KIND_OTHER:
	case TRACE_KINDS:
		break;
	}
	if (text)
		snprintf(to->texts[to->n], sizeof(to->texts[0]), "%s", text);
	to->records[to->n++] = *record;
}

static void on_gap(void *userdata, enum trace_gap gap, uint64_t count)
{
	struct seen *to = userdata;

	to->gaps++;
	to->gap = gap;
	to->lost += count;
}

static void load(const char *version, const char *name)
{
	char path[128];

	memset(&formats, 0, sizeof(formats));
	memset(&seen, 0, sizeof(seen));
	memset(page, 0, sizeof(page));
	snprintf(path, sizeof(path), "tests/data/trace/%s", version);
	trace_files_formats(path, &formats);
	snprintf(path, sizeof(path), "tests/data/trace/%s/%s.page", version, name);
	cr_assert_eq(trace_file_read(path, page, PAGE), PAGE);
	cr_assert_eq(trace_pump_init(&pump, &formats, PAGE, on_record, on_gap, &seen), 0);
}

static void feed(const char *version, const char *name)
{
	load(version, name);
	trace_pump_page(&pump, 3, page, PAGE);
}

static void finish(void)
{
	trace_pump_done(&pump);
}

TestSuite(trace_pump, .fini = finish);

Test(trace_pump, surprise_down_of_7_2)
{
	struct iso_fault fault;

	feed("7.2", "surprise-down");
	cr_assert_eq(seen.n, 1);
	cr_assert_eq(seen.gaps, 0);
	cr_assert_str_eq(seen.texts[0], "0000:64:00.0");
	cr_assert_eq(seen.records[0].cpu, 3);
	cr_assert_eq(seen.records[0].at_ns, 104025905663);
	cr_assert_eq(seen.records[0].aer.status.value, 0x20);
	cr_assert(seen.records[0].aer.bus_type.text);
	cr_assert(trace_fault(&seen.records[0], &fault));
	cr_assert_eq(fault.cause, ISO_CAUSE_SURPRISE_DOWN);
	cr_assert_eq(fault.record_ns, 104025905663);
	cr_assert_eq(pump.counts.records, 1);
	cr_assert_eq(pump.counts.last_ns, 104025905663);
}

Test(trace_pump, surprise_down_of_6_12)
{
	struct iso_fault fault;

	feed("6.12", "surprise-down");
	cr_assert_eq(seen.n, 1);
	cr_assert_eq(seen.gaps, 0);
	cr_assert_str_eq(seen.texts[0], "0000:64:00.0");
	cr_assert_null(seen.records[0].aer.bus_type.text, "6.12 does not have it");
	cr_assert(trace_fault(&seen.records[0], &fault));
	cr_assert_eq(fault.cause, ISO_CAUSE_SURPRISE_DOWN);
}

Test(trace_pump, time_goes_on_after_an_extension)
{
	struct iso_fault fault;

	feed("7.2", "malformed-tlp");
	cr_assert_eq(seen.n, 1);
	cr_assert_eq(seen.records[0].at_ns, 121125550007);
	cr_assert(trace_fault(&seen.records[0], &fault));
	cr_assert_eq(fault.cause, ISO_CAUSE_FATAL_ERROR);
	cr_assert_eq(fault.address.bus, 0x0c);
	cr_assert_eq(fault.address.device, 1);
}

Test(trace_pump, two_records_in_one_page)
{
	struct iso_fault fault;

	feed("7.2", "plug");
	cr_assert_eq(seen.n, 2);
	cr_assert_eq(seen.records[0].hotplug.event.value, TRACE_HOTPLUG_CARD_PRESENT);
	cr_assert_eq(seen.records[1].hotplug.event.value, TRACE_HOTPLUG_LINK_UP);
	cr_assert_str_eq(seen.texts[1], "0000:0c:00.0");
	cr_assert_lt(seen.records[0].at_ns, seen.records[1].at_ns);
	cr_assert_not(trace_fault(&seen.records[0], &fault));
	cr_assert_not(trace_fault(&seen.records[1], &fault));
}

Test(trace_pump, poison_of_both_kernels)
{
	const char *const versions[] = {"6.12", "7.2"};

	for (size_t i = 0; i < 2; i++) {
		const struct trace_cxl *poison = &seen.records[0].cxl;

		feed(versions[i], "poison");
		cr_assert_eq(seen.n, 1, "%s", versions[i]);
		cr_assert_str_eq(seen.records[0].name, "cxl_poison");
		cr_assert_eq(poison->serial.value, 0x12);
		cr_assert_eq(poison->dpa.value, 0x2000);
		cr_assert_eq(poison->dpa_bytes.value, 256);
		cr_assert_eq(poison->hpa.value, UINT64_MAX);
		cr_assert_eq(poison->type.value, 0);
		cr_assert_not(poison->log.has);
		trace_pump_done(&pump);
	}
}

Test(trace_pump, general_media_of_6_12)
{
	feed("6.12", "general-media");
	cr_assert_eq(seen.n, 1);
	cr_assert_str_eq(seen.texts[0], "mem0");
	cr_assert_eq(seen.records[0].cxl.serial.value, 0x12);
	cr_assert_eq(seen.records[0].cxl.log.value, 3);
	cr_assert_eq(seen.records[0].cxl.flags.value, 1);
	cr_assert_eq(seen.records[0].cxl.dpa.value, 0x1000);
	cr_assert_eq(seen.records[0].cxl.descriptor.value, 3);
}

/* Sets the flags of the ring buffer for lost records; `count` 0: not stored. */
static void mark_lost(uint64_t count)
{
	uint64_t commit;

	memcpy(&commit, page + 8, sizeof(commit));
	if (count) {
		memcpy(page + 16 + commit, &count, sizeof(count));
		commit |= UINT64_C(1) << 30;
	}
	commit |= UINT64_C(1) << 31;
	memcpy(page + 8, &commit, sizeof(commit));
}

Test(trace_pump, losses_are_told_with_their_number)
{
	/* The second begins with a time extension: libtraceevent says nothing is missing there. */
	const char *const names[] = {"surprise-down", "malformed-tlp"};

	for (size_t i = 0; i < 2; i++) {
		load("7.2", names[i]);
		mark_lost(288);
		trace_pump_page(&pump, 0, page, PAGE);
		cr_assert_eq(seen.n, 1);
		cr_assert_eq(seen.gaps, 1);
		cr_assert_eq(seen.gap, TRACE_GAP_LOST);
		cr_assert_eq(seen.lost, 288);
		trace_pump_done(&pump);

		load("7.2", names[i]);
		mark_lost(0);
		trace_pump_page(&pump, 0, page, PAGE);
		cr_assert_eq(seen.n, 1);
		cr_assert_eq(seen.gaps, 1);
		cr_assert_eq(seen.lost, 0);
		cr_assert_eq(pump.counts.gaps, 1);
		trace_pump_done(&pump);
	}
}

Test(trace_pump, a_damaged_header_is_a_gap)
{
	uint64_t commit = PAGE;

	load("7.2", "surprise-down");
	memcpy(page + 8, &commit, sizeof(commit));
	trace_pump_page(&pump, 0, page, PAGE);
	trace_pump_page(&pump, 0, page, 10);
	cr_assert_eq(seen.n, 0);
	cr_assert_eq(seen.gaps, 2);
	cr_assert_eq(seen.gap, TRACE_GAP_MALFORMED);
}

Test(trace_pump, any_byte_may_be_damaged)
{
	/* Header and record, each byte in turn: no read outside, no endless loop. */
	const uint8_t values[] = {0x00, 0x01, 0x1d, 0x1e, 0x1f, 0x7f, 0x80, 0xff};

	load("7.2", "plug");
	for (size_t offset = 0; offset < 16 + 80; offset++) {
		uint8_t was = page[offset];

		for (size_t i = 0; i < sizeof(values); i++) {
			page[offset] = values[i];
			seen.n = 0;
			trace_pump_page(&pump, 0, page, PAGE);
			cr_assert_leq(seen.n, 3);
		}
		page[offset] = was;
	}
}

Test(trace_pump, a_torn_record_is_told_and_is_a_gap)
{
	load("7.2", "surprise-down");
	page[16 + 4 + 10] = 0xff; /* where dev_name lies */
	trace_pump_page(&pump, 0, page, PAGE);
	cr_assert_eq(seen.n, 1);
	cr_assert_null(seen.records[0].aer.device.text);
	cr_assert_eq(seen.gaps, 1);
	cr_assert_eq(seen.gap, TRACE_GAP_MALFORMED);
}

struct order {
	uint64_t early_ns[8];
	unsigned int n_early, n_late;
};

static void on_early(void *userdata, const struct trace_record *record)
{
	struct order *order = userdata;

	cr_assert_lt(order->n_early, 8);
	cr_assert_eq(order->n_late, 0, "nothing is written down before all were looked at");
	order->early_ns[order->n_early++] = record->at_ns;
}

static void on_late(void *userdata, const struct trace_record *record)
{
	struct order *order = userdata;

	cr_assert_lt(order->n_late, order->n_early);
	cr_assert_eq(record->at_ns, order->early_ns[order->n_late++]);
	cr_assert_eq(record->cpu, 5);
}

Test(trace_pump, early_sees_the_whole_page_first)
{
	struct order order = {0};

	load("7.2", "plug");
	pump.on_record = on_late;
	pump.userdata = &order;
	trace_pump_set_early(&pump, on_early);
	trace_pump_page(&pump, 5, page, PAGE);
	cr_assert_geq(order.n_late, 2);
	cr_assert_eq(order.n_late, order.n_early);
	cr_assert_eq(pump.counts.records, order.n_late, "each is counted once");
}

Test(trace_pump, reads_until_there_is_no_more)
{
	int fds[2];

	load("7.2", "surprise-down");
	cr_assert_eq(pipe2(fds, O_NONBLOCK | O_DIRECT), 0);
	cr_assert_eq(trace_pump_read(&pump, 1, fds[0], 8), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(write(fds[1], page, PAGE), PAGE);
	cr_assert_eq(trace_pump_read(&pump, 1, fds[0], 2), 2);
	cr_assert_eq(trace_pump_read(&pump, 1, fds[0], 8), 1);
	cr_assert_eq(seen.n, 3);
	cr_assert_eq(pump.counts.pages, 3);
	close(fds[0]);
	close(fds[1]);
	cr_assert_eq(trace_pump_read(&pump, 1, fds[0], 8), -EBADF);
}

Test(trace_pump, refuses_a_page_that_cannot_be)
{
	struct trace_pump other = {0};

	load("7.2", "surprise-down");
	cr_assert_eq(trace_pump_init(&other, &formats, 8, on_record, on_gap, &seen), -EINVAL);
	trace_pump_done(&other);
}
