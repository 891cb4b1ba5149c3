/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes, times and serial numbers as people write them; used by the daemon and by the tools. */
#ifndef DAXMGR_UNITS_H
#define DAXMGR_UNITS_H

#include <stddef.h>
#include <stdint.h>

enum { UNITS_SIZE_BYTES = 32, UNITS_TIME_BYTES = 48 };

/*
 * "2M", "1G", "512KiB", "4096": binary multiples K M G T, optionally followed
 * by "iB" or "B". Return: 0, -EINVAL when it is not a size, -ERANGE when it
 * does not fit.
 */
int units_parse_size(const char *text, uint64_t *ret_bytes);

/*
 * "5s", "2min", "500ms", "1h 30min", "100us", "1d"; a number alone is seconds.
 * Return: 0 and nanoseconds, -EINVAL, -ERANGE.
 */
int units_parse_time(const char *text, uint64_t *ret_ns);

/* "0x10" or decimal. Return: 0, -EINVAL, -ERANGE. */
int units_parse_serial(const char *text, uint64_t *ret_serial);

/* "2G", "512M", "1.5G": exact where it is a whole number of a unit. */
const char *units_format_size(uint64_t bytes, char text[UNITS_SIZE_BYTES]);

/* "2M", "1G", or plain bytes: only what units_parse_size() reads back to the same number. */
const char *units_format_exact(uint64_t bytes, char text[UNITS_SIZE_BYTES]);

/* "1.5 s", "230 ms", "17 us". */
const char *units_format_time(uint64_t ns, char text[UNITS_TIME_BYTES]);

#endif
