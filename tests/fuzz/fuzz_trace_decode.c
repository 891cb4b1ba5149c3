/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a trace record, by the layout of 7.2 or of 6.12 (first byte):
 * nothing is read outside, what points inside ends inside.
 */
#include "source/trace_formats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELD(text, offset, size, sign)                                                            \
	"\tfield:" text ";\toffset:" #offset ";\tsize:" #size ";\tsigned:" #sign ";\n"
#define HEAD(name, id)                                                                             \
	"name: " name "\nID: " #id "\nformat:\n" FIELD("unsigned short common_type", 0, 2, 0)      \
		FIELD("unsigned char common_flags", 2, 1, 0)                                       \
			FIELD("unsigned char common_preempt_count", 3, 1, 0)                       \
				FIELD("int common_pid", 4, 4, 1) "\n"
#define END "\nprint fmt: \"%d\", REC->common_pid\n"

struct event {
	const char *system;
	const char *text;
};

static const struct event events[2][6] = {
	{
		{"ras", HEAD("aer_event", 1) FIELD("__data_loc char[] dev_name", 8, 4, 0)
				FIELD("u32 status", 12, 4, 0) FIELD("u8 severity", 16, 1, 0)
					FIELD("u32 tlp_header[14]", 20, 56, 0)
						FIELD("__data_loc char[] bus_type", 76, 4, 0) END},
		{"pci", HEAD("pci_hp_event", 2) FIELD("__data_loc char[] port_name", 8, 4, 0)
				FIELD("__data_loc char[] slot", 12, 4, 0)
					FIELD("int event", 16, 4, 1) END},
		{"ras", HEAD("memory_failure_event", 3) FIELD("unsigned long pfn", 8, 8, 0)
				FIELD("int type", 16, 4, 1) FIELD("int result", 20, 4, 1) END},
		{"mce", HEAD("mce_record", 4) FIELD("u64 mcgstatus", 16, 8, 0)
				FIELD("u64 status", 24, 8, 0) FIELD("u64 addr", 32, 8, 0)
					FIELD("u32 cpu", 96, 4, 0) FIELD("u8 bank", 113, 1, 0) END},
		{"cxl",
		 HEAD("cxl_poison", 5) FIELD("__data_loc char[] memdev", 8, 4, 0) FIELD(
			 "__data_loc char[] host", 12, 4, 0) FIELD("u64 serial", 16, 8, 0)
			 FIELD("u8 trace_type", 24, 1, 0) FIELD("__data_loc char[] region", 28, 4,
								0) FIELD("u64 hpa", 40, 8, 0)
				 FIELD("u64 dpa", 56, 8, 0) FIELD("u32 dpa_length", 64, 4, 0)
					 FIELD("u8 flags", 85, 1, 0) END},
		{"cxl", HEAD("cxl_overflow", 6) FIELD("__rel_loc char[] memdev", 8, 4, 0)
				FIELD("char host[8]", 12, 8, 0) FIELD("u16 count", 20, 2, 0) END},
	},
	{
		{"ras", HEAD("aer_event", 1) FIELD("__data_loc char[] dev_name", 8, 4, 0)
				FIELD("u32 status", 12, 4, 0) FIELD("u8 severity", 16, 1, 0)
					FIELD("u32 tlp_header[4]", 20, 16, 0) END},
		{"cxl", HEAD("cxl_poison", 5) FIELD("__data_loc char[] memdev", 8, 4, 0)
				FIELD("__data_loc char[] region", 28, 4, 0)
					FIELD("u64 dpa", 48, 8, 0) END},
	},
};

static struct trace_formats formats[2];

static void prepare(void)
{
	for (int v = 0; v < 2; v++)
		for (int i = 0; i < 6 && events[v][i].text; i++) {
			int r = trace_formats_add(&formats[v], events[v][i].system,
						  events[v][i].text, strlen(events[v][i].text));
			assert(r == 0);
			(void)r;
		}
}

static void check_text(struct trace_text text, const uint8_t *record, size_t size)
{
	const uint8_t *at = (const uint8_t *)text.text;

	if (!at)
		return;
	assert(at >= record && at < record + size);
	assert((size_t)(record + size - at) > text.bytes && strlen(text.text) == text.bytes);
}

static void check(const struct trace_record *record, const uint8_t *raw, size_t size)
{
	struct iso_fault fault;

	switch (record->kind) {
	case TRACE_KIND_AER:
		check_text(record->aer.device, raw, size);
		check_text(record->aer.bus_type, raw, size);
		break;
	case TRACE_KIND_HOTPLUG:
		check_text(record->hotplug.port, raw, size);
		check_text(record->hotplug.slot, raw, size);
		break;
	case TRACE_KIND_CXL:
		check_text(record->cxl.memdev, raw, size);
		check_text(record->cxl.host, raw, size);
		check_text(record->cxl.region, raw, size);
		break;
	case TRACE_KIND_MEMORY_FAILURE:
	case TRACE_KIND_MACHINE_CHECK:
	case TRACE_KIND_OTHER:
	case TRACE_KINDS:
		break;
	}
	if (trace_fault(record, &fault))
		assert(fault.address.known &&
		       (record->kind == TRACE_KIND_AER || record->kind == TRACE_KIND_HOTPLUG));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_record record;
	uint8_t *raw;

	if (formats[0].n == 0)
		prepare();
	if (size == 0)
		return 0;
	raw = malloc(size);
	if (!raw)
		return 0;
	memcpy(raw, data + 1, size - 1);
	switch (trace_decode(&formats[data[0] & 1], raw, size - 1, &record)) {
	case TRACE_DECODED:
	case TRACE_PARTIAL:
		check(&record, raw, size - 1);
		break;
	case TRACE_UNKNOWN_EVENT:
	case TRACE_TOO_SHORT:
		break;
	}
	free(raw);
	return 0;
}
