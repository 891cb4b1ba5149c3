/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registers.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../units.h"

#define US UINT64_C(1000)
#define MS (1000 * US)
#define S  (1000 * MS)

static const struct isolation_range ranges[] = {
	{0x0, "default", "50us-10ms", 50 * US, 10 * MS},
	{0x1, "a", "50us-100us", 50 * US, 100 * US},
	{0x2, "a2", "1ms-10ms", 1 * MS, 10 * MS},
	{0x5, "b", "16ms-55ms", 16 * MS, 55 * MS},
	{0x6, "b2", "65ms-210ms", 65 * MS, 210 * MS},
	{0x9, "c", "260ms-900ms", 260 * MS, 900 * MS},
	{0xa, "c2", "1s-3.5s", 1 * S, 3500 * MS},
	{0xd, "d", "4s-13s", 4 * S, 13 * S},
	{0xe, "d2", "17s-64s", 17 * S, 64 * S},
};

enum {
	N_RANGES = sizeof(ranges) / sizeof(ranges[0]),
	CODES_A = 1u << 0x1 | 1u << 0x2,
	CODES_B = 1u << 0x5 | 1u << 0x6,
	CODES_C = 1u << 0x9 | 1u << 0xa,
	CODES_D = 1u << 0xd | 1u << 0xe,
};

/* Which combinations there are is a list of its own, not a bit for each range. */
static bool ranges_supported(uint32_t field, uint16_t *ret)
{
	switch (field) {
	case 0x0:
		*ret = 0;
		return true;
	case 0x1:
		*ret = CODES_A;
		return true;
	case 0x2:
		*ret = CODES_B;
		return true;
	case 0x3:
		*ret = CODES_A | CODES_B;
		return true;
	case 0x6:
		*ret = CODES_B | CODES_C;
		return true;
	case 0x7:
		*ret = CODES_A | CODES_B | CODES_C;
		return true;
	case 0xe:
		*ret = CODES_B | CODES_C | CODES_D;
		return true;
	case 0xf:
		*ret = (uint16_t)(CODES_A | CODES_B | CODES_C | CODES_D);
		return true;
	default:
		*ret = 0;
		return false;
	}
}

void isolation_capability_decode(uint32_t word, struct isolation_capability *ret)
{
	*ret = (struct isolation_capability){
		.timeout = word & ISOLATION_CONTROL_TIMEOUT,
		.isolation = word & ISOLATION_CONTROL_ISOLATION,
		.link_down = word & ISOLATION_CONTROL_LINK_DOWN,
		.err_cor = word & ISOLATION_CONTROL_ERR_COR,
		.interrupt = word & ISOLATION_CONTROL_INTERRUPT,
		.message = (uint8_t)(word >> 27),
	};
	ret->ranges_reserved = !ranges_supported(word & 0xf, &ret->ranges);
	ret->programmable = ret->ranges != 0;
	ret->ranges |= 1;
}

const struct isolation_range *isolation_range_of(uint32_t code)
{
	for (size_t i = 0; i < N_RANGES; i++)
		if (ranges[i].code == code)
			return &ranges[i];
	return NULL;
}

const struct isolation_range *isolation_range_at(size_t index)
{
	return index < N_RANGES ? &ranges[index] : NULL;
}

/* "1-10ms": the unit of the second holds for the first as well. */
static bool parse_span(const char *text, uint64_t *ret_least_ns, uint64_t *ret_most_ns)
{
	const char *dash = strchr(text, '-'), *unit;
	char first[32];
	size_t length;

	if (!dash || dash == text || units_parse_time(dash + 1, ret_most_ns) < 0)
		return false;
	length = (size_t)(dash - text);
	if (length >= sizeof(first) - 8)
		return false;
	memcpy(first, text, length);
	first[length] = '\0';
	unit = dash + 1 + strspn(dash + 1, "0123456789.");
	if (strspn(first, "0123456789.") == length && strlen(unit) < 8)
		strcpy(first + length, unit);
	return units_parse_time(first, ret_least_ns) == 0;
}

static int range_with(uint64_t ns, uint16_t among, uint32_t *ret_code)
{
	const struct isolation_range *best = NULL;

	for (size_t i = 0; i < N_RANGES; i++) {
		const struct isolation_range *r = &ranges[i];

		if (!(among >> r->code & 1) || ns < r->least_ns || ns > r->most_ns)
			continue;
		if (!best || r->most_ns - r->least_ns < best->most_ns - best->least_ns)
			best = r;
	}
	if (!best)
		return -ERANGE;
	*ret_code = best->code;
	return 0;
}

int isolation_range_parse(const char *text, uint16_t among, uint32_t *ret_code)
{
	uint64_t least_ns, most_ns;

	for (size_t i = 0; i < N_RANGES; i++)
		if (!strcmp(text, ranges[i].name) || !strcmp(text, ranges[i].text)) {
			*ret_code = ranges[i].code;
			return 0;
		}
	if (parse_span(text, &least_ns, &most_ns)) {
		for (size_t i = 0; i < N_RANGES; i++)
			if (ranges[i].least_ns == least_ns && ranges[i].most_ns == most_ns) {
				*ret_code = ranges[i].code;
				return 0;
			}
		return -EINVAL;
	}
	if (units_parse_time(text, &least_ns) < 0)
		return -EINVAL;
	return range_with(least_ns, among, ret_code);
}

int isolation_range_attribute(const char *text, uint32_t *ret_code)
{
	unsigned long code;
	char *end;

	for (size_t i = 0; i < N_RANGES; i++)
		if (!strcmp(text, ranges[i].name)) {
			*ret_code = ranges[i].code;
			return 0;
		}
	code = strtoul(text, &end, 16);
	if (!isxdigit((unsigned char)*text) || *end || code > 0xf ||
	    !isolation_range_of((uint32_t)code))
		return -EINVAL;
	*ret_code = (uint32_t)code;
	return 0;
}

uint32_t isolation_control_armed(uint32_t capability, uint32_t now, uint32_t code)
{
	uint32_t ours = ISOLATION_CONTROL_TIMEOUT | ISOLATION_CONTROL_ISOLATION |
			ISOLATION_CONTROL_LINK_DOWN | ISOLATION_CONTROL_ERR_COR;
	struct isolation_capability can;

	isolation_capability_decode(capability, &can);
	now = (now & ~ours) | (capability & ours);
	if (can.programmable && can.ranges >> (code & 0xf) & 1)
		now = (now & ~(uint32_t)ISOLATION_CONTROL_RANGE) | (code & 0xf);
	return now;
}

uint32_t isolation_control_disarmed(uint32_t now)
{
	return now & ~(uint32_t)(ISOLATION_CONTROL_TIMEOUT | ISOLATION_CONTROL_ISOLATION |
				 ISOLATION_CONTROL_LINK_DOWN | ISOLATION_CONTROL_ERR_COR);
}
