/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace_poison.h"

#include <string.h>

enum { PAGE_SHIFT_X86 = 12, LINE_BYTES = 64 };

/* drivers/cxl/core/trace.h */
enum {
	CXL_POISON_LIST = 0,
	CXL_POISON_INJECT = 1,
	CXL_POISON_CLEAR = 2,
	CXL_POISON_FLAG_OVERFLOW = 1 << 1,
	CXL_DESCRIPTOR_UNCORRECTABLE = 1 << 0,
	CXL_DPA_FLAGS = 0x3f, /* below the address of a line */
};

/* arch/x86/include/asm/mce.h */
#define MCI_STATUS_VAL   (UINT64_C(1) << 63)
#define MCI_STATUS_UC    (UINT64_C(1) << 61)
#define MCI_STATUS_MISCV (UINT64_C(1) << 59)
#define MCI_STATUS_ADDRV (UINT64_C(1) << 58)

enum {
	MCI_MISC_LSB = 0x3f,
	MCI_MISC_MODE_SHIFT = 6,
	MCI_MISC_MODE_MASK = 7,
	MCI_MISC_MODE_PHYSICAL = 2,
	X86_VENDOR_AMD = 2,
	X86_VENDOR_HYGON = 9,
};

static void take_addresses(const struct trace_cxl *cxl, struct iso_poison *poison)
{
	poison->has_serial = cxl->serial.has;
	poison->serial = cxl->serial.value;
	poison->has_dpa = cxl->dpa.has && cxl->dpa.value != UINT64_MAX;
	poison->dpa.v = cxl->dpa.value & ~(uint64_t)CXL_DPA_FLAGS;
	poison->has_hpa = cxl->hpa.has && cxl->hpa.value != UINT64_MAX;
	poison->hpa.v = cxl->hpa.value;
}

static bool poison_of_list(const struct trace_cxl *cxl, struct iso_poison *poison)
{
	static const uint32_t evidence[] = {
		[CXL_POISON_LIST] = ISO_POISON_LIST,
		[CXL_POISON_INJECT] = ISO_POISON_INJECT,
		[CXL_POISON_CLEAR] = ISO_POISON_CLEAR,
	};

	if (!cxl->type.has || cxl->type.value > CXL_POISON_CLEAR)
		return false;
	poison->evidence = evidence[cxl->type.value];
	poison->cleared = cxl->type.value == CXL_POISON_CLEAR;
	poison->bytes = cxl->dpa_bytes.has ? cxl->dpa_bytes.value : 0;
	return true;
}

static bool poison_of_cxl(const struct trace_record *record, struct iso_poison *poison)
{
	const struct trace_cxl *cxl = &record->cxl;
	bool is_poison = false;

	take_addresses(cxl, poison);
	if (!strcmp(record->name, "cxl_poison")) {
		is_poison = poison_of_list(cxl, poison);
	} else if (!strcmp(record->name, "cxl_general_media") ||
		   !strcmp(record->name, "cxl_dram")) {
		poison->evidence = ISO_POISON_MEDIA;
		poison->bytes = LINE_BYTES;
		is_poison = cxl->descriptor.has &&
			    (cxl->descriptor.value & CXL_DESCRIPTOR_UNCORRECTABLE);
	}
	return is_poison && (poison->has_hpa || poison->has_serial);
}

static bool poison_of_page(const struct trace_memory_failure *failure, struct iso_poison *poison)
{
	if (!failure->pfn.has || failure->pfn.value >> (64 - PAGE_SHIFT_X86))
		return false;
	poison->evidence = ISO_POISON_MEMORY_FAILURE;
	poison->has_hpa = true;
	poison->hpa.v = failure->pfn.value << PAGE_SHIFT_X86;
	poison->bytes = UINT64_C(1) << PAGE_SHIFT_X86;
	return true;
}

bool trace_names_memory(const struct trace_machine_check *check)
{
	const uint64_t wanted = MCI_STATUS_VAL | MCI_STATUS_UC | MCI_STATUS_ADDRV |
				MCI_STATUS_MISCV;
	uint64_t misc = check->misc.value, vendor = check->vendor.value;

	if (!check->status.has || !check->addr.has || !check->misc.has ||
	    (check->status.value & wanted) != wanted)
		return false;
	if (check->vendor.has && (vendor == X86_VENDOR_AMD || vendor == X86_VENDOR_HYGON))
		return false;
	return (misc & MCI_MISC_LSB) <= PAGE_SHIFT_X86 &&
	       (misc >> MCI_MISC_MODE_SHIFT & MCI_MISC_MODE_MASK) == MCI_MISC_MODE_PHYSICAL;
}

uint64_t trace_machine_check_bytes(const struct trace_machine_check *check)
{
	uint64_t bytes = UINT64_C(1) << (check->misc.value & MCI_MISC_LSB);

	return bytes < LINE_BYTES ? LINE_BYTES : bytes;
}

static bool poison_of_check(const struct trace_machine_check *check, struct iso_poison *poison)
{
	if (!trace_names_memory(check))
		return false;
	poison->evidence = ISO_POISON_MACHINE_CHECK;
	poison->bytes = trace_machine_check_bytes(check);
	poison->has_hpa = true;
	poison->hpa.v = check->addr.value & ~(poison->bytes - 1);
	return true;
}

bool trace_poison(const struct trace_record *record, struct iso_poison *ret)
{
	struct iso_poison poison = {.record_ns = record->at_ns};
	bool is_poison = false;

	switch (record->kind) {
	case TRACE_KIND_CXL:
		is_poison = poison_of_cxl(record, &poison);
		break;
	case TRACE_KIND_MEMORY_FAILURE:
		is_poison = poison_of_page(&record->memory_failure, &poison);
		break;
	case TRACE_KIND_MACHINE_CHECK:
		is_poison = poison_of_check(&record->machine_check, &poison);
		break;
	case TRACE_KIND_AER:
	case TRACE_KIND_HOTPLUG:
	case TRACE_KIND_OTHER:
	case TRACE_KINDS:
		break;
	}
	if (is_poison)
		*ret = poison;
	return is_poison;
}

bool trace_poison_overflow(const struct trace_record *record)
{
	return record->kind == TRACE_KIND_CXL && !strcmp(record->name, "cxl_poison") &&
	       record->cxl.flags.has && (record->cxl.flags.value & CXL_POISON_FLAG_OVERFLOW);
}
