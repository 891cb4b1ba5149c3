/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One record of /dev/kmsg into typed fields and into what it means here.
 * Pure: no I/O, no clock, no allocation.
 *
 * The texts are of the kernel's own making and change between versions: what
 * is looked for is the part that 6.12 and 7.3 have in common.
 */
#ifndef DAXMGR_SOURCE_KERNEL_LOG_DECODE_H
#define DAXMGR_SOURCE_KERNEL_LOG_DECODE_H

#include <isolate/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	KERNEL_LOG_TEXT_BYTES = 1024, /* of one line; the kernel's own limit is about as much */
	KERNEL_LOG_DEVICE_BYTES = 64,
};

enum kernel_log_kind {
	KERNEL_LOG_NOTHING,
	KERNEL_LOG_PANIC,
	KERNEL_LOG_OOPS,
	KERNEL_LOG_BUG, /* "BUG:" that the kernel survives: bad page state and the like */
	KERNEL_LOG_WARNING,
	KERNEL_LOG_SOFT_LOCKUP,
	KERNEL_LOG_HARD_LOCKUP,
	KERNEL_LOG_RCU_STALL,
	KERNEL_LOG_HUNG_TASK, /* process, pid */
	KERNEL_LOG_STACK, /* of one of the above: function of cxl, dax or pciehp in it */
	KERNEL_LOG_IOMMU_FAULT,
	KERNEL_LOG_MACHINE_CHECK,
	KERNEL_LOG_MEMORY_FAILURE, /* pfn */
	KERNEL_LOG_PROCESS_FAULT, /* process, pid: SIGSEGV, SIGBUS, or killed for poison */
	KERNEL_LOG_OUT_OF_MEMORY, /* process, pid */
	KERNEL_LOG_LINK_DOWN, /* device: the port that lost its link */
	KERNEL_LOG_CARD_GONE, /* device: the port whose slot is empty now */
	KERNEL_LOG_DPC, /* device */
	KERNEL_LOG_AER, /* device */
	KERNEL_LOG_CXL, /* a warning or worse of the cxl or dax drivers */
	KERNEL_LOG_KINDS,
};

enum kernel_log_outcome {
	KERNEL_LOG_DECODED,
	KERNEL_LOG_MALFORMED, /* no header, or no text */
};

/* Everything but the numbers is a copy with the kernel's \xNN taken back where it is printable. */
struct kernel_log_record {
	uint64_t sequence;
	uint64_t at_ns; /* of the record's own clock, CLOCK_MONOTONIC of the boot */
	uint32_t level; /* 0 emergency … 7 debug */
	uint32_t facility; /* 0: the kernel itself; others were written by processes */
	bool cut; /* the line did not fit */
	bool fragment; /* it goes on with a line that another one interrupted */
	char text[KERNEL_LOG_TEXT_BYTES];
	char device[KERNEL_LOG_DEVICE_BYTES]; /* DEVICE= of the record, e.g. "+pci:0000:0c:00.0"; may be empty */
};

struct kernel_log_news {
	enum kernel_log_kind kind;
	char device[KERNEL_LOG_DEVICE_BYTES]; /* PCI address or name; empty: none */
	char process[32]; /* its comm; empty: none */
	char function[64]; /* STACK: in it; empty: none */
	enum kernel_log_kind of; /* STACK: what printed it */
	int32_t pid; /* 0: none */
	uint64_t pfn;
	bool has_pfn;
	bool fatal; /* AER: "(Fatal)", machine check: a host that goes on says no */
};

/* What was printed last and may be followed by a stack: one per reader. */
struct kernel_log_context {
	uint32_t of; /* enum kernel_log_kind; NOTHING: none */
	uint32_t lines; /* since then */
	uint64_t at_ns;
};

/*
 * Reads one record as read(2) gave it, `bytes` long. `ret` is written only for
 * KERNEL_LOG_DECODED.
 */
enum kernel_log_outcome kernel_log_decode(const char *record, size_t bytes,
					  struct kernel_log_record *ret);

/*
 * Says what a record means here. Only what the kernel itself wrote means
 * anything: processes may write to the log, too, and choose names that the
 * kernel prints (of processes, files, control groups). What is of a device must
 * be a record of that device (DEVICE=), all else must begin as the kernel begins
 * it. `context` is the reader's and is changed. Return: kind, also in `ret`,
 * which is always filled.
 */
enum kernel_log_kind kernel_log_meaning(const struct kernel_log_record *record,
					struct kernel_log_context *context,
					struct kernel_log_news *ret);

/*
 * Whether the news mean "contain now": a port lost its link or its card, which
 * kernels before 7.0 say here only. Return: true and a complete `ret`, or false
 * and `ret` untouched.
 */
bool kernel_log_fault(const struct kernel_log_news *news, uint64_t at_ns, struct iso_fault *ret);

/* "oops", "link-down", ...; a constant string. */
const char *kernel_log_kind_name(enum kernel_log_kind kind);

#endif
