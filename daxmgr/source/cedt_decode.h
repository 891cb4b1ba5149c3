/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The windows of the ACPI table CEDT: how each spreads its addresses, which
 * sysfs does not tell. Pure: never a byte outside the table.
 */
#ifndef DAXMGR_SOURCE_CEDT_DECODE_H
#define DAXMGR_SOURCE_CEDT_DECODE_H

#include <isolate/snapshot.h>

/*
 * Arithmetic of the window that begins at `start`, enum iso_arithmetic; also
 * ISO_ARITHMETIC_UNKNOWN when the table does not have it or is damaged.
 */
uint32_t cedt_arithmetic(const void *table, size_t bytes, struct iso_hpa start);

#endif
