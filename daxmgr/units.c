/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit times[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000 * 1000},
	{"", UINT64_C(1000000000)},
	{"s", UINT64_C(1000000000)},
	{"sec", UINT64_C(1000000000)},
	{"m", UINT64_C(60000000000)},
	{"min", UINT64_C(60000000000)},
	{"h", UINT64_C(3600000000000)},
	{"d", UINT64_C(86400000000000)},
};

/* strtoull() takes signs and leading blanks; a size has neither. */
static int parse_digits(const char **text, int base, uint64_t *ret)
{
	char *end;
	unsigned long long value;

	if (!isxdigit((unsigned char)**text))
		return -EINVAL;
	errno = 0;
	value = strtoull(*text, &end, base);
	if (errno)
		return -errno;
	if (end == *text)
		return -EINVAL;
	*text = end;
	*ret = value;
	return 0;
}

int units_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char prefixes[] = "KMGTPE";
	const char *prefix;
	uint64_t value, factor = 1;
	int r;

	r = parse_digits(&text, 10, &value);
	if (r < 0)
		return r;
	prefix = *text ? strchr(prefixes, toupper((unsigned char)*text)) : NULL;
	if (prefix) {
		factor = UINT64_C(1) << (10 * (prefix - prefixes + 1));
		text++;
		if (text[0] == 'i' && text[1] == 'B')
			text++;
	}
	if (*text == 'B')
		text++;
	if (*text)
		return -EINVAL;
	if (__builtin_mul_overflow(value, factor, &value))
		return -ERANGE;
	*ret_bytes = value;
	return 0;
}

static const struct unit *find_time_unit(const char *text, size_t length)
{
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (strlen(times[i].name) == length && !strncmp(times[i].name, text, length))
			return &times[i];
	return NULL;
}

int units_parse_time(const char *text, uint64_t *ret_ns)
{
	uint64_t sum = 0, value;
	int r;

	do {
		const struct unit *unit;
		size_t length;

		r = parse_digits(&text, 10, &value);
		if (r < 0)
			return r;
		text += strspn(text, " ");
		length = strspn(text, "abcdefghijklmnopqrstuvwxyz");
		unit = find_time_unit(text, length);
		if (!unit)
			return -EINVAL;
		if (__builtin_mul_overflow(value, unit->factor, &value) ||
		    __builtin_add_overflow(sum, value, &sum))
			return -ERANGE;
		text += length;
		text += strspn(text, " ");
	} while (*text);
	*ret_ns = sum;
	return 0;
}

int units_parse_serial(const char *text, uint64_t *ret_serial)
{
	int base = 10, r;
	uint64_t serial;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		text += 2;
		base = 16;
	}
	r = parse_digits(&text, base, &serial);
	if (r < 0)
		return r;
	if (*text)
		return -EINVAL;
	*ret_serial = serial;
	return 0;
}

const char *units_format_size(uint64_t bytes, char text[UNITS_SIZE_BYTES])
{
	static const char prefixes[] = "KMGTPE";
	int i = -1;
	uint64_t unit = 1;

	while (i < 5 && bytes / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	if (i < 0)
		snprintf(text, UNITS_SIZE_BYTES, "%" PRIu64, bytes);
	else if (bytes % unit == 0)
		snprintf(text, UNITS_SIZE_BYTES, "%" PRIu64 "%c", bytes / unit, prefixes[i]);
	else
		snprintf(text, UNITS_SIZE_BYTES, "%.1f%c", (double)bytes / (double)unit,
			 prefixes[i]);
	return text;
}

const char *units_format_exact(uint64_t bytes, char text[UNITS_SIZE_BYTES])
{
	static const char prefixes[] = "KMGTPE";

	for (int i = 5; i >= 0; i--) {
		uint64_t unit = UINT64_C(1) << (10 * (i + 1));

		if (!bytes || bytes % unit)
			continue;
		snprintf(text, UNITS_SIZE_BYTES, "%" PRIu64 "%c", bytes / unit, prefixes[i]);
		return text;
	}
	snprintf(text, UNITS_SIZE_BYTES, "%" PRIu64, bytes);
	return text;
}

const char *units_format_time(uint64_t ns, char text[UNITS_TIME_BYTES])
{
	if (ns < 1000)
		snprintf(text, UNITS_TIME_BYTES, "%" PRIu64 " ns", ns);
	else if (ns < 1000 * 1000)
		snprintf(text, UNITS_TIME_BYTES, "%.3g us", (double)ns / 1e3);
	else if (ns < UINT64_C(1000000000))
		snprintf(text, UNITS_TIME_BYTES, "%.3g ms", (double)ns / 1e6);
	else if (ns < UINT64_C(100000000000))
		snprintf(text, UNITS_TIME_BYTES, "%.3g s", (double)ns / 1e9);
	else if (ns < UINT64_C(86400000000000))
		snprintf(text, UNITS_TIME_BYTES, "%" PRIu64 "min %" PRIu64 "s",
			 ns / UINT64_C(60000000000), ns / UINT64_C(1000000000) % 60);
	else
		snprintf(text, UNITS_TIME_BYTES, "%" PRIu64 "d %" PRIu64 "h",
			 ns / UINT64_C(86400000000000), ns / UINT64_C(3600000000000) % 24);
	return text;
}
