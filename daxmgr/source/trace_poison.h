/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which trace records name memory that is bad. Pure, and allocates nothing. */
#ifndef DAXMGR_SOURCE_TRACE_POISON_H
#define DAXMGR_SOURCE_TRACE_POISON_H

#include "trace_decode.h"

/*
 * Entries of a poison list, poison that was injected or cleared, uncorrectable
 * media events, pages the kernel took out of use, uncorrected machine checks
 * with an address. Return: true and a complete `ret`, or false and it is untouched.
 */
bool trace_poison(const struct trace_record *record, struct iso_poison *ret);

/* Whether the record says that the device's poison list does not hold all that is bad. */
bool trace_poison_overflow(const struct trace_record *record);

#endif
