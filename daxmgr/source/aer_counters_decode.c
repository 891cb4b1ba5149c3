/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "aer_counters_decode.h"

#include <string.h>

/* Digits to the end and nothing else. */
static bool parse_number(const char *at, const char *end, uint64_t *ret)
{
	uint64_t value = 0;

	if (at == end)
		return false;
	for (; at < end; at++) {
		uint64_t digit = (uint64_t)(unsigned char)*at - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret = value;
	return true;
}

static bool is_name(const char *at, const char *end)
{
	if (at == end || end - at >= AER_COUNTER_NAME_BYTES)
		return false;
	for (; at < end; at++)
		if (!(*at == '_' || (*at >= '0' && *at <= '9') || (*at >= 'A' && *at <= 'Z') ||
		      (*at >= 'a' && *at <= 'z')))
			return false;
	return true;
}

static bool read_line(const char *line, const char *end, struct aer_counter *ret)
{
	static const char sum[] = "TOTAL_";
	const char *space = memchr(line, ' ', (size_t)(end - line));

	if (!space || !is_name(line, space) || !parse_number(space + 1, end, &ret->value))
		return false;
	memset(ret->name, 0, sizeof(ret->name));
	memcpy(ret->name, line, (size_t)(space - line));
	return strncmp(ret->name, sum, sizeof(sum) - 1) != 0;
}

size_t aer_counters_decode(const char *text, size_t bytes, struct aer_counter ret[AER_COUNTERS_MAX])
{
	const char *end = text + bytes;
	size_t n = 0;

	while (text < end && n < AER_COUNTERS_MAX) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		if (!stop)
			stop = end;
		n += read_line(text, stop, &ret[n]);
		text = stop + 1;
	}
	return n;
}

bool aer_total_decode(const char *text, size_t bytes, uint64_t *ret)
{
	if (bytes && text[bytes - 1] == '\n')
		bytes--;
	return parse_number(text, text + bytes, ret);
}

uint64_t aer_counter_growth(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}
