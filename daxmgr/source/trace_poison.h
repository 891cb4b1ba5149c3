/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which trace records name memory that is bad. Pure, and allocates nothing. */
#ifndef DAXMGR_SOURCE_TRACE_POISON_H
#define DAXMGR_SOURCE_TRACE_POISON_H

#include "trace_decode.h"

/*
 * Entries of a poison list, poison that was injected or cleared, uncorrectable
 * media events, pages the kernel took out of use, uncorrected machine checks
 * with the address of memory. Return: true and a complete `ret`, or false and it is untouched.
 */
bool trace_poison(const struct trace_record *record, struct iso_poison *ret);

/*
 * Whether a machine check names memory: uncorrected, and with an address that
 * is one of a page or less. AMD's may be one of the memory controller; there,
 * as with all others, memory_failure_event tells which page it was.
 * Source: mce_usable_address() in arch/x86/kernel/cpu/mce.
 */
bool trace_names_memory(const struct trace_machine_check *check);
/* The range that it names then, around its address: bytes, a power of two. */
uint64_t trace_machine_check_bytes(const struct trace_machine_check *check);

/* Whether the record says that the device's poison list does not hold all that is bad. */
bool trace_poison_overflow(const struct trace_record *record);

#endif
