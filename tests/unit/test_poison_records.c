/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which records name bad memory, and how windows spread addresses. */
#include <criterion/criterion.h>

#include <isolate/snapshot.h>

#include "poison.h"
#include "source/cedt_decode.h"
#include "source/trace_poison.h"

#define NUMBER(n) ((struct trace_number){.value = (n), .has = true})

static struct trace_record poison_record(uint64_t type)
{
	return (struct trace_record){
		.kind = TRACE_KIND_CXL,
		.name = "cxl_poison",
		.at_ns = 77,
		.cxl = {.serial = NUMBER(0x10),
			.type = NUMBER(type),
			.dpa = NUMBER(0x1000),
			.dpa_bytes = NUMBER(128),
			.hpa = NUMBER(0x150001000)},
	};
}

/* Proves: list, injection and clearing are told apart, and an address of all ones is none. */
Test(poison_records, cxl_poison)
{
	struct trace_record record = poison_record(0);
	struct iso_poison poison;

	cr_assert(trace_poison(&record, &poison));
	cr_assert_eq(poison.evidence, ISO_POISON_LIST);
	cr_assert(poison.has_serial && poison.has_dpa && poison.has_hpa);
	cr_assert_eq(poison.bytes, 128);
	cr_assert_eq(poison.record_ns, 77);
	cr_assert_not(poison.cleared);
	record = poison_record(2);
	record.cxl.hpa = NUMBER(UINT64_MAX);
	cr_assert(trace_poison(&record, &poison));
	cr_assert(poison.cleared && !poison.has_hpa);
	cr_assert_eq(poison.evidence, ISO_POISON_CLEAR);
	record = poison_record(3);
	cr_assert_not(trace_poison(&record, &poison));
	record = poison_record(0);
	cr_assert_not(trace_poison_overflow(&record));
	record.cxl.flags = NUMBER(2);
	cr_assert(trace_poison_overflow(&record));
}

/* Proves: what was corrected is not bad. */
Test(poison_records, media)
{
	struct trace_record record = poison_record(0);
	struct iso_poison poison;

	record.name = "cxl_general_media";
	cr_assert_not(trace_poison(&record, &poison), "no descriptor");
	record.cxl.descriptor = NUMBER(2);
	cr_assert_not(trace_poison(&record, &poison));
	record.cxl.descriptor = NUMBER(3);
	record.cxl.dpa = NUMBER(0x1003);
	cr_assert(trace_poison(&record, &poison));
	cr_assert_eq(poison.dpa.v, 0x1000);
	cr_assert_eq(poison.bytes, 64);
	record.name = "cxl_memory_module";
	cr_assert_not(trace_poison(&record, &poison));
}

/* Proves: pages stay pages; a machine check counts when it is uncorrected and its address is one of memory. */
Test(poison_records, page_and_machine_check)
{
	struct trace_record page = {.kind = TRACE_KIND_MEMORY_FAILURE, .name = "x"};
	struct trace_record check = {.kind = TRACE_KIND_MACHINE_CHECK, .name = "y"};
	struct iso_poison poison;

	cr_assert_not(trace_poison(&page, &poison));
	page.memory_failure.pfn = NUMBER(0x150001);
	cr_assert(trace_poison(&page, &poison));
	cr_assert_eq(poison.hpa.v, 0x150001000);
	cr_assert_eq(poison.bytes, 4096);
	page.memory_failure.pfn = NUMBER(UINT64_MAX);
	cr_assert_not(trace_poison(&page, &poison));
	check.machine_check.addr = NUMBER(0x150001044);
	check.machine_check.misc = NUMBER(2 << 6 | 12);
	check.machine_check.status = NUMBER(UINT64_C(0x23) << 58);
	cr_assert_not(trace_poison(&check, &poison), "it was corrected");
	check.machine_check.status = NUMBER(UINT64_C(0x2a) << 58);
	cr_assert_not(trace_poison(&check, &poison), "its address is not valid");
	check.machine_check.status = NUMBER(UINT64_C(0x29) << 58);
	cr_assert_not(trace_poison(&check, &poison), "what kind of address is not known");
	check.machine_check.status = NUMBER(UINT64_C(0x2b) << 58);
	cr_assert(trace_poison(&check, &poison));
	cr_assert_eq(poison.hpa.v, 0x150001000);
	cr_assert_eq(poison.bytes, 4096);
	check.machine_check.misc = NUMBER(2 << 6);
	cr_assert(trace_poison(&check, &poison));
	cr_assert_eq(poison.hpa.v, 0x150001040);
	cr_assert_eq(poison.bytes, 64);
	check.machine_check.misc = NUMBER(2 << 6 | 13);
	cr_assert_not(trace_poison(&check, &poison), "more than a page is no address of memory");
	check.machine_check.misc = NUMBER(1 << 6 | 12);
	cr_assert_not(trace_poison(&check, &poison), "a linear address");
	check.machine_check.misc = NUMBER(2 << 6 | 12);
	check.machine_check.vendor = NUMBER(2);
	cr_assert_not(trace_poison(&check, &poison), "AMD's may be one of the controller");
	check.machine_check.vendor = NUMBER(0);
	cr_assert(trace_poison(&check, &poison));
}

/* Proves: kept records mean the same as they did in the ring. */
Test(poison_records, kept)
{
	struct store_event record = {
		.source = "trace",
		.kind = "cxl_poison",
		.fields = "{\"trace_type\":2}",
		.serial = 0x10,
		.has_serial = true,
		.dpa = 64,
		.has_dpa = true,
		.bytes = 64,
		.at_ns = 5,
	};
	struct iso_poison poison;

	cr_assert(poison_of_record(&record, &poison));
	cr_assert(poison.cleared);
	record.fields = "{\"trace_type\":\"Inject\"}";
	cr_assert(poison_of_record(&record, &poison));
	cr_assert_eq(poison.evidence, ISO_POISON_INJECT);
	record.fields = "not json";
	cr_assert(poison_of_record(&record, &poison));
	cr_assert_eq(poison.evidence, ISO_POISON_LIST);
	strcpy(record.kind, "cxl_dram");
	cr_assert_not(poison_of_record(&record, &poison), "it was corrected");
	record.fields = "{\"descriptor\":1}";
	cr_assert(poison_of_record(&record, &poison));
	record.severity = STORE_ERROR;
	record.fields = "{\"descriptor\":2}";
	cr_assert_not(poison_of_record(&record, &poison), "a threshold may be an error, too");
	record.fields = NULL;
	cr_assert(poison_of_record(&record, &poison));
	cr_assert_eq(poison.evidence, ISO_POISON_MEDIA);
	record.has_dpa = false;
	cr_assert_not(poison_of_record(&record, &poison));
	strcpy(record.kind, "memory-failure");
	record.hpa = 0x150001000;
	record.has_hpa = true;
	cr_assert(poison_of_record(&record, &poison));
	cr_assert_eq(poison.evidence, ISO_POISON_MEMORY_FAILURE, "as the kernel's log has it");
}

static size_t make_cedt(uint8_t table[128], uint8_t arithmetic, uint64_t base)
{
	memset(table, 0, 128);
	memcpy(table, "CEDT", 4);
	table[4] = 36 + 32 + 40;
	table[36] = 0; /* CHBS */
	table[38] = 32;
	table[68] = 1; /* CFMWS */
	table[70] = 40;
	memcpy(table + 76, &base, 8);
	table[93] = arithmetic;
	return table[4];
}

/* Proves: the arithmetic of the window that is asked for, and "unknown" for everything else. */
Test(poison_records, cedt)
{
	const struct iso_hpa base = {UINT64_C(0x150000000)};
	uint8_t table[128];
	size_t bytes = make_cedt(table, 0, base.v);

	cr_assert_eq(cedt_arithmetic(table, bytes, base), ISO_ARITHMETIC_MODULO);
	cr_assert_eq(cedt_arithmetic(table, bytes, (struct iso_hpa){4096}), ISO_ARITHMETIC_UNKNOWN);
	make_cedt(table, 1, base.v);
	cr_assert_eq(cedt_arithmetic(table, bytes, base), ISO_ARITHMETIC_XOR);
	make_cedt(table, 7, base.v);
	cr_assert_eq(cedt_arithmetic(table, bytes, base), ISO_ARITHMETIC_UNKNOWN);
	make_cedt(table, 0, base.v);
	for (size_t n = 0; n < bytes; n++)
		cr_assert_eq(cedt_arithmetic(table, n, base), ISO_ARITHMETIC_UNKNOWN, "%zu", n);
	table[38] = 0;
	cr_assert_eq(cedt_arithmetic(table, bytes, base), ISO_ARITHMETIC_UNKNOWN,
		     "it goes on for ever");
	table[0] = 'X';
	cr_assert_eq(cedt_arithmetic(table, bytes, base), ISO_ARITHMETIC_UNKNOWN);
}
