/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's counters of PCIe errors, one sysfs attribute each. Pure: no I/O, no clock, no allocation. */
#ifndef DAXMGR_SOURCE_AER_COUNTERS_DECODE_H
#define DAXMGR_SOURCE_AER_COUNTERS_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	AER_COUNTERS_MAX = 40, /* of one attribute: 32 bits and a sum */
	AER_COUNTER_NAME_BYTES = 32,
};

struct aer_counter {
	char name[AER_COUNTER_NAME_BYTES]; /* "RxErr", "SDES", ...; letters, digits, '_' */
	uint64_t value;
};

/*
 * Reads aer_dev_correctable, aer_dev_nonfatal or aer_dev_fatal: "NAME NUMBER"
 * in each line. The line of the sum (TOTAL_ERR_...) is left out, and so is what
 * is no such line. Return: how many counters, at most AER_COUNTERS_MAX.
 */
size_t aer_counters_decode(const char *text, size_t bytes,
			   struct aer_counter ret[AER_COUNTERS_MAX]);

/* Reads aer_rootport_total_err_cor, ..._nonfatal or ..._fatal: one number. */
bool aer_total_decode(const char *text, size_t bytes, uint64_t *ret);

/*
 * How much a counter grew. What is lower than before belongs to a new device,
 * or to one that was taken out and put in again: it began at nothing.
 */
uint64_t aer_counter_growth(uint64_t before, uint64_t now);

#endif
