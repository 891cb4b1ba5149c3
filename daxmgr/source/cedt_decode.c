/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cedt_decode.h"

#include <string.h>

/* CXL Specification 3.1, 9.18.1: CEDT and its CFMWS structures. */
enum {
	CEDT_HEADER_BYTES = 36,
	CEDT_LENGTH_OFFSET = 4,
	CEDT_TYPE_CFMWS = 1,
	CFMWS_BYTES_MIN = 36,
	CFMWS_LENGTH_OFFSET = 2,
	CFMWS_BASE_OFFSET = 8,
	CFMWS_ARITHMETIC_OFFSET = 25,
	CFMWS_MODULO = 0,
	CFMWS_XOR = 1,
};

/* ACPI tables are little endian, and nothing in them is aligned. */
static uint64_t number(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

static uint32_t arithmetic_of(const uint8_t *window)
{
	switch (window[CFMWS_ARITHMETIC_OFFSET]) {
	case CFMWS_MODULO:
		return ISO_ARITHMETIC_MODULO;
	case CFMWS_XOR:
		return ISO_ARITHMETIC_XOR;
	default:
		return ISO_ARITHMETIC_UNKNOWN;
	}
}

uint32_t cedt_arithmetic(const void *table, size_t bytes, struct iso_hpa start)
{
	const uint8_t *at = table, *end;
	uint64_t length;

	if (bytes < CEDT_HEADER_BYTES || memcmp(at, "CEDT", 4))
		return ISO_ARITHMETIC_UNKNOWN;
	length = number(at + CEDT_LENGTH_OFFSET, 4);
	end = at + (length < bytes ? length : bytes);
	for (at += CEDT_HEADER_BYTES; at < end && end - at >= 4; at += length) {
		length = number(at + CFMWS_LENGTH_OFFSET, 2);
		if (length < 4 || length > (uint64_t)(end - at))
			return ISO_ARITHMETIC_UNKNOWN;
		if (at[0] == CEDT_TYPE_CFMWS && length >= CFMWS_BYTES_MIN &&
		    number(at + CFMWS_BASE_OFFSET, 8) == start.v)
			return arithmetic_of(at);
	}
	return ISO_ARITHMETIC_UNKNOWN;
}
