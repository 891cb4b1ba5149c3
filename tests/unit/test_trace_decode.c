/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves that records are read by this kernel's own layout, that nothing
 * outside a record is ever read, and which records mean "contain".
 */
#include "../data/trace_files.h"

#include <criterion/criterion.h>
#include <errno.h>

#define COMMON                                                                                     \
	"format:\n"                                                                                \
	"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"                     \
	"\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"                     \
	"\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"             \
	"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
#define PRINT          "\nprint fmt: \"%s\", __get_str(dev_name)\n"
#define HEAD(name, id) "name: " name "\nID: " id "\n" COMMON

/* An aer_event as no kernel has it: moved, wider, with strangers in between. */
static const char other_aer[] = HEAD(
	"aer_event", "77") "\tfield:u64 status;\toffset:8;\tsize:8;\tsigned:0;\n"
			   "\tfield:u32 vendor_novelty[4];\toffset:16;\tsize:16;\tsigned:0;\n"
			   "\tfield:int severity;\toffset:32;\tsize:4;\tsigned:1;\n"
			   "\tfield:char dev_name[16];\toffset:36;\tsize:16;\tsigned:0;\n" PRINT;

/* Without a severity; the name relative to the field's own end. */
static const char poor_aer[] = HEAD(
	"aer_event", "78") "\tfield:__rel_loc char[] dev_name;\toffset:8;\tsize:4;\tsigned:0;\n"
			   "\tfield:u32 status;\toffset:12;\tsize:4;\tsigned:0;\n" PRINT;

static const char hotplug[] =
	HEAD("pci_hp_event",
	     "79") "\tfield:__data_loc char[] port_name;\toffset:8;\tsize:4;\tsigned:0;\n"
		   "\tfield:__data_loc char[] slot;\toffset:12;\tsize:4;\tsigned:0;\n"
		   "\tfield:int event;\toffset:16;\tsize:4;\tsigned:1;\n"
		   "\nprint fmt: \"%s\", __get_str(port_name)\n";

static const char memory_failure[] = HEAD(
	"memory_failure_event", "80") "\tfield:unsigned long pfn;\toffset:8;\tsize:8;\tsigned:0;\n"
				      "\tfield:int type;\toffset:16;\tsize:4;\tsigned:1;\n"
				      "\tfield:int result;\toffset:20;\tsize:4;\tsigned:1;\n"
				      "\nprint fmt: \"%#lx\", REC->pfn\n";

static int add(struct trace_formats *formats, const char *system, const char *text)
{
	return trace_formats_add(formats, system, text, strlen(text));
}

static void put(uint8_t *record, size_t offset, uint64_t value, size_t bytes)
{
	memcpy(record + offset, &value, bytes);
}

/* A record in the layout of the recorded 7.2 aer_event. */
enum { AER_BYTES = 80 + 13 + 4 };

static void make_aer(const struct trace_formats *formats, uint8_t record[AER_BYTES])
{
	memset(record, 0, AER_BYTES);
	for (uint32_t i = 0; i < formats->n; i++)
		if (formats->formats[i].kind == TRACE_KIND_AER)
			put(record, 0, formats->formats[i].type, 2);
	put(record, 8, 80 | 13 << 16, 4);
	put(record, 12, 0x20, 4);
	put(record, 16, TRACE_AER_FATAL, 1);
	put(record, 76, 93 | 4 << 16, 4);
	memcpy(record + 80, "0000:64:00.0", 13);
	memcpy(record + 93, "CXL", 4);
}

static enum trace_outcome decode(const struct trace_formats *formats, const uint8_t *record,
				 size_t bytes, struct trace_record *ret)
{
	/* On the heap and no longer than the record: the sanitizer sees one byte too many. */
	static uint8_t *copy;

	free(copy);
	copy = malloc(bytes + (bytes == 0));
	memcpy(copy, record, bytes);
	return trace_decode(formats, copy, bytes, ret);
}

Test(trace_decode, record_of_7_2)
{
	struct trace_formats formats = {0};
	struct trace_record record;
	uint8_t raw[AER_BYTES];
	struct iso_fault fault;

	trace_files_formats("tests/data/trace/7.2", &formats);
	make_aer(&formats, raw);
	cr_assert_eq(trace_decode(&formats, raw, sizeof(raw), &record), TRACE_DECODED);
	cr_assert_eq(record.kind, TRACE_KIND_AER);
	cr_assert_str_eq(record.system, "ras");
	cr_assert_str_eq(record.name, "aer_event");
	cr_assert_eq(record.raw, raw);
	cr_assert_eq(record.raw_bytes, sizeof(raw));
	cr_assert_str_eq(record.aer.device.text, "0000:64:00.0");
	cr_assert_eq(record.aer.device.bytes, 12);
	cr_assert_str_eq(record.aer.bus_type.text, "CXL");
	cr_assert(record.aer.status.has && record.aer.status.value == 0x20);

	record.at_ns = 4711;
	cr_assert(trace_fault(&record, &fault));
	cr_assert_eq(fault.cause, ISO_CAUSE_SURPRISE_DOWN);
	cr_assert_eq(fault.unit_kind, ISO_UNIT_PORT_ADDRESS);
	cr_assert_eq(fault.address.bus, 0x64);
	cr_assert_eq(fault.record_ns, 4711);
}

Test(trace_decode, torn_at_every_length)
{
	struct trace_formats formats = {0};
	struct trace_record record;
	uint8_t raw[AER_BYTES];

	trace_files_formats("tests/data/trace/7.2", &formats);
	make_aer(&formats, raw);
	for (size_t n = 0; n < sizeof(raw); n++) {
		enum trace_outcome outcome = decode(&formats, raw, n, &record);

		if (n < 2) {
			cr_assert_eq(outcome, TRACE_TOO_SHORT, "%zu bytes", n);
			continue;
		}
		cr_assert_eq(outcome, TRACE_PARTIAL, "%zu bytes", n);
		cr_assert_eq(record.aer.status.has, n >= 16, "%zu bytes", n);
		cr_assert_eq(record.aer.severity.has, n >= 17, "%zu bytes", n);
		cr_assert_eq(record.aer.device.text != NULL, n >= 93, "%zu bytes", n);
		cr_assert_null(record.aer.bus_type.text, "%zu bytes", n);
	}
}

Test(trace_decode, every_event_of_both_kernels_torn_at_every_length)
{
	const char *const versions[] = {"tests/data/trace/6.12", "tests/data/trace/7.2"};
	struct trace_record record;
	uint8_t raw[256];

	for (size_t v = 0; v < 2; v++) {
		struct trace_formats formats = {0};

		trace_files_formats(versions[v], &formats);
		for (uint32_t i = 0; i < formats.n; i++) {
			cr_assert_gt(formats.formats[i].n_fields, 0, "%s", formats.formats[i].name);
			/* All ones: every location points far outside. */
			memset(raw, 0xff, sizeof(raw));
			put(raw, 0, formats.formats[i].type, 2);
			for (size_t n = 0; n <= sizeof(raw); n++)
				decode(&formats, raw, n, &record);
		}
	}
}

Test(trace_decode, texts_outside_or_without_an_end_are_missing)
{
	const struct {
		uint32_t offset, bytes;
	} wrong[] = {
		{80, 12}, {80, 0}, {97, 1}, {0xffff, 1}, {80, 0xffff}, {96, 2},
	};
	struct trace_formats formats = {0};
	struct trace_record record;
	struct iso_fault fault;
	uint8_t raw[AER_BYTES];

	trace_files_formats("tests/data/trace/7.2", &formats);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		make_aer(&formats, raw);
		put(raw, 8, wrong[i].offset | wrong[i].bytes << 16, 4);
		cr_assert_eq(decode(&formats, raw, sizeof(raw), &record), TRACE_PARTIAL, "%zu", i);
		cr_assert_null(record.aer.device.text, "%zu", i);
		cr_assert(record.aer.severity.has);
		cr_assert_not(trace_fault(&record, &fault));
	}
}

Test(trace_decode, fields_are_found_wherever_they_are)
{
	struct trace_formats formats = {0};
	struct trace_record record;
	struct iso_fault fault;
	uint8_t raw[52] = {77};

	cr_assert_eq(add(&formats, "ras", other_aer), 0);
	put(raw, 8, 0x8000000000000020, 8);
	put(raw, 32, 1, 4);
	memcpy(raw + 36, "0001:0c:1f.7", 13);
	cr_assert_eq(decode(&formats, raw, sizeof(raw), &record), TRACE_DECODED);
	cr_assert_eq(record.aer.status.value, 0x8000000000000020);
	cr_assert_null(record.aer.bus_type.text);
	cr_assert(trace_fault(&record, &fault));
	cr_assert_eq(fault.address.segment, 1);
	cr_assert_eq(fault.address.device, 0x1f);
	cr_assert_eq(fault.address.function, 7);

	put(raw, 32, (uint32_t)-2, 4);
	cr_assert_eq(decode(&formats, raw, sizeof(raw), &record), TRACE_DECODED);
	cr_assert_eq((int64_t)record.aer.severity.value, -2);
}

Test(trace_decode, missing_fields_are_said_to_be_missing)
{
	struct trace_formats formats = {0};
	struct trace_record record;
	struct iso_fault fault;
	uint8_t raw[32] = {78};

	cr_assert_eq(add(&formats, "ras", poor_aer), 0);
	put(raw, 8, 4 | 13 << 16, 4); /* 12 + 4 = 16 */
	memcpy(raw + 16, "0000:64:00.0", 13);
	cr_assert_eq(decode(&formats, raw, sizeof(raw), &record), TRACE_DECODED);
	cr_assert_str_eq(record.aer.device.text, "0000:64:00.0");
	cr_assert_not(record.aer.severity.has);
	cr_assert_not(trace_fault(&record, &fault), "severity is unknown");
}

Test(trace_decode, only_fatal_errors_contain)
{
	struct trace_formats formats = {0};
	struct trace_record record;
	struct iso_fault fault;
	uint8_t raw[AER_BYTES];

	trace_files_formats("tests/data/trace/7.2", &formats);
	for (unsigned int severity = 0; severity < 4; severity++) {
		make_aer(&formats, raw);
		put(raw, 16, severity, 1);
		cr_assert_eq(decode(&formats, raw, sizeof(raw), &record), TRACE_DECODED);
		cr_assert_eq(trace_fault(&record, &fault), severity == TRACE_AER_FATAL);
	}
	make_aer(&formats, raw);
	put(raw, 12, 0x40000, 4);
	cr_assert_eq(decode(&formats, raw, sizeof(raw), &record), TRACE_DECODED);
	cr_assert(trace_fault(&record, &fault));
	cr_assert_eq(fault.cause, ISO_CAUSE_FATAL_ERROR);

	memcpy(raw + 80, "pcieport-one", 13);
	cr_assert_eq(decode(&formats, raw, sizeof(raw), &record), TRACE_DECODED);
	cr_assert_not(trace_fault(&record, &fault), "not an address");
}

Test(trace_decode, a_lost_link_or_card_contains)
{
	const bool contains[] = {false, true, false, true, false};
	struct trace_formats formats = {0};
	struct trace_record record;
	struct iso_fault fault;

	cr_assert_eq(add(&formats, "pci", hotplug), 0);
	for (uint32_t event = 0; event < 5; event++) {
		uint8_t raw[40] = {79};

		put(raw, 8, 20 | 13 << 16, 4);
		put(raw, 12, 33 | 2 << 16, 4);
		put(raw, 16, event, 4);
		memcpy(raw + 20, "0000:0c:01.0", 13);
		memcpy(raw + 33, "3", 2);
		cr_assert_eq(decode(&formats, raw, sizeof(raw), &record), TRACE_DECODED);
		cr_assert_str_eq(record.hotplug.slot.text, "3");
		cr_assert_eq(trace_fault(&record, &fault), contains[event], "event %u", event);
		if (contains[event]) {
			cr_assert_eq(fault.cause, ISO_CAUSE_LINK_DOWN);
			cr_assert_eq(fault.address.device, 1);
		}
	}
}

Test(trace_decode, other_events_are_only_told)
{
	struct trace_formats formats = {0};
	struct trace_record record;
	struct iso_fault fault;
	uint8_t raw[24] = {80};

	cr_assert_eq(add(&formats, "ras", memory_failure), 0);
	put(raw, 8, 0xb90000, 8);
	put(raw, 20, 2, 4);
	cr_assert_eq(decode(&formats, raw, sizeof(raw), &record), TRACE_DECODED);
	cr_assert_eq(record.kind, TRACE_KIND_MEMORY_FAILURE);
	cr_assert_eq(record.memory_failure.pfn.value, 0xb90000);
	cr_assert_eq(record.memory_failure.result.value, 2);
	cr_assert_not(trace_fault(&record, &fault));

	raw[0] = 81;
	cr_assert_eq(decode(&formats, raw, sizeof(raw), &record), TRACE_UNKNOWN_EVENT);
}

/* The header's flags come first in cxl_memory_sparing, its own ones later. */
Test(trace_decode, flags_are_those_of_the_header)
{
	struct trace_formats formats = {0};
	struct trace_record record;
	uint8_t raw[256] = {0};
	uint32_t sparing = 0;

	trace_files_formats("tests/data/trace/7.2", &formats);
	while (strcmp(formats.formats[sparing].name, "cxl_memory_sparing"))
		cr_assert_lt(++sparing, formats.n);
	put(raw, 0, formats.formats[sparing].type, 2);
	put(raw, 48, 0x08, 4);
	memset(raw + 72, 0xff, 16);
	decode(&formats, raw, sizeof(raw), &record);
	cr_assert(record.cxl.flags.has);
	cr_assert_eq(record.cxl.flags.value, 0x08);
}

Test(trace_formats, refuses_what_is_not_one_of_ours)
{
	struct trace_formats formats = {0};
	char text[512];

	cr_assert_eq(add(&formats, "ras", other_aer), 0);
	cr_assert_eq(add(&formats, "ras", other_aer), -EEXIST);
	cr_assert_eq(add(&formats, "sched", poor_aer), -EOPNOTSUPP);
	cr_assert_eq(add(&formats, "ras", "this is no format\n"), -EINVAL);
	cr_assert_eq(add(&formats, "ras", ""), -EINVAL);
	cr_assert_eq(add(&formats, "cxl",
			 "name: cxl_poison\nID: 9\nformat:\n"
			 "\tfield:u64 dpa;\toffset:0;\tsize:8;\tsigned:0;\n"
			 "\nprint fmt: \"%d\", REC->dpa\n"),
		     -EINVAL, "no common_type");
	cr_assert_eq(formats.n, 1);

	for (uint32_t id = 100; formats.n < TRACE_EVENTS_MAX; id++) {
		snprintf(text, sizeof(text),
			 "name: cxl_%u\nID: %u\n" COMMON
			 "\tfield:u64 dpa;\toffset:8;\tsize:8;\tsigned:0;\n"
			 "\nprint fmt: \"%%d\", REC->dpa\n",
			 id, id);
		cr_assert_eq(add(&formats, "cxl", text), 0);
	}
	cr_assert_eq(add(&formats, "ras", poor_aer), -ENOSPC);
}
