/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves the walk from a root port's configuration space to its isolation
 * registers, what their words mean, and that damaged blocks give errors.
 */
#include "isolation/component_block.h"
#include "isolation/config_space.h"
#include "isolation/registers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static uint8_t config[4096];
static uint32_t block[COMPONENT_BLOCK_BYTES / 4];

static void put(size_t at, uint32_t word)
{
	memcpy(config + at, &word, sizeof(word));
}

/* An AER capability, then the Register Locator with a device block and `entry`. */
static void root_port(uint32_t low, uint32_t high)
{
	memset(config, 0, sizeof(config));
	put(0x100, 0x1 | 2u << 16 | 0x140u << 20);
	put(0x140, 0x23 | 1u << 16);
	put(0x144, 0x1e98 | 0x1cu << 20);
	put(0x148, 8);
	put(0x14c, 0x00000302);
	put(0x154, low);
	put(0x158, high);
}

static int locate(size_t bytes, struct component_place *ret)
{
	uint8_t *copy = malloc(bytes);
	int r;

	memcpy(copy, config, bytes);
	r = config_space_component(copy, bytes, ret);
	free(copy);
	return r;
}

Test(isolation_decode, register_locator)
{
	struct component_place place;

	root_port(0x00020100, 1);
	cr_assert_eq(locate(4096, &place), 0);
	cr_assert_eq(place.bar, 0);
	cr_assert_eq(place.offset, 0x100020000);
	/* The structure ends here: one byte less is one that does not fit. */
	cr_assert_eq(locate(0x15c, &place), 0);
	cr_assert_eq(locate(0x15b, &place), -EBADMSG);
	cr_assert_eq(locate(64, &place), -ENODATA);
}

Test(isolation_decode, configuration_without_a_block)
{
	struct component_place place;

	root_port(0x00020300, 0); /* two device blocks */
	cr_assert_eq(locate(4096, &place), -ENOENT);
	root_port(0x00020107, 0); /* BAR 7 */
	cr_assert_eq(locate(4096, &place), -EBADMSG);
	root_port(0x00020100, 0);
	put(0x144, 0x1eff | 0x1cu << 20); /* another vendor's */
	cr_assert_eq(locate(4096, &place), -ENOENT);
	memset(config, 0xff, sizeof(config)); /* the port is gone */
	cr_assert_eq(locate(4096, &place), -ENOENT);
}

Test(isolation_decode, lists_that_do_not_end)
{
	struct component_place place;

	root_port(0x00020100, 0);
	put(0x140, 0x3 | 1u << 16 | 0x100u << 20);
	cr_assert_eq(locate(4096, &place), -EBADMSG);
	put(0x140, 0x3 | 1u << 16 | 0x10u << 20); /* into the first 256 bytes */
	cr_assert_eq(locate(4096, &place), -EBADMSG);
}

static int read32(void *userdata, uint32_t offset, uint32_t *ret)
{
	(void)userdata;
	cr_assert(offset % 4 == 0 && offset < COMPONENT_BLOCK_BYTES);
	*ret = block[offset / 4];
	return 0;
}

static int failing(void *userdata, uint32_t offset, uint32_t *ret)
{
	(void)userdata;
	(void)offset;
	(void)ret;
	return -EIO;
}

static uint32_t *elements(uint32_t n)
{
	memset(block, 0, sizeof(block));
	block[0x400] = 1 | 1u << 16 | n << 24;
	return &block[0x400];
}

Test(isolation_decode, component_block)
{
	uint32_t *array = elements(3), offset;

	array[1] = 2 | 0x080u << 20;
	array[2] = 9 | 0x100u << 20;
	array[3] = 5 | 0x0e0u << 20;
	cr_assert_eq(component_find_isolation(read32, NULL, &offset), 0);
	cr_assert_eq(offset, 0x1100);
	array[2] = 4 | 0x100u << 20; /* as root ports of today: not offered */
	cr_assert_eq(component_find_isolation(read32, NULL, &offset), -ENOENT);
	cr_assert_eq(component_find_isolation(failing, NULL, &offset), -EIO);
}

Test(isolation_decode, damaged_blocks)
{
	uint32_t *array = elements(1), offset;

	array[1] = 9 | 0x004u << 20; /* its own element */
	cr_assert_eq(component_find_isolation(read32, NULL, &offset), -EBADMSG);
	array[1] = 9 | 0x101u << 20; /* between two words */
	cr_assert_eq(component_find_isolation(read32, NULL, &offset), -EBADMSG);
	array[1] = UINT32_MAX; /* gone on the way */
	cr_assert_eq(component_find_isolation(read32, NULL, &offset), -ENODEV);
	array[0] = 7;
	cr_assert_eq(component_find_isolation(read32, NULL, &offset), -EBADMSG);
	array[0] = UINT32_MAX;
	cr_assert_eq(component_find_isolation(read32, NULL, &offset), -ENODEV);
}

Test(isolation_decode, capability)
{
	struct isolation_capability can;

	isolation_capability_decode(5u << 27 | 1u << 25 | 3u << 16 | 1u << 4 | 3, &can);
	cr_assert(can.programmable && can.timeout && can.isolation && can.link_down && can.err_cor);
	cr_assert(!can.interrupt && !can.ranges_reserved);
	cr_assert_eq(can.message, 5);
	cr_assert_eq(can.ranges, 1u << 0 | 1u << 1 | 1u << 2 | 1u << 5 | 1u << 6);
	isolation_capability_decode(1u << 16, &can);
	cr_assert(can.isolation && !can.programmable && !can.timeout);
	cr_assert_eq(can.ranges, 1);
	/* A combination that nobody has named is no range that may be set. */
	isolation_capability_decode(4, &can);
	cr_assert(can.ranges_reserved && !can.programmable);
}

static int parse(const char *text, uint32_t *code)
{
	return isolation_range_parse(text, UINT16_MAX, code);
}

Test(isolation_decode, ranges_as_people_write_them)
{
	uint32_t code = 99;

	for (size_t i = 0; isolation_range_at(i); i++) {
		const struct isolation_range *range = isolation_range_at(i);

		cr_assert_eq(parse(range->text, &code), 0, "%s", range->text);
		cr_assert_eq(code, range->code);
		cr_assert_eq(parse(range->name, &code), 0, "%s", range->name);
		cr_assert_eq(code, range->code);
	}
	cr_assert_eq(parse("50-100us", &code), 0);
	cr_assert_eq(code, 1);
	cr_assert_eq(parse("5ms", &code), 0);
	cr_assert_eq(code, 2);
	cr_assert_eq(isolation_range_parse("5ms", 1, &code), 0);
	cr_assert_eq(code, 0);
	cr_assert_eq(isolation_range_parse("5ms", 1u << 1, &code), -ERANGE);
	cr_assert_eq(parse("12ms", &code), -ERANGE);
	cr_assert_eq(parse("1-11ms", &code), -EINVAL);
	cr_assert_eq(parse("fast", &code), -EINVAL);
	cr_assert_eq(parse("", &code), -EINVAL);
	cr_assert_eq(parse("-", &code), -EINVAL);
}

Test(isolation_decode, control)
{
	uint32_t capability = 1u << 25 | 1u << 17 | 1u << 16 | 1u << 4 | 1;
	uint32_t others = 1u << 26 | 1u << 12 | 5u << 8;

	cr_assert_eq(isolation_control_armed(capability, others | 6, 2),
		     others | 1u << 25 | 1u << 17 | 1u << 16 | 1u << 4 | 2);
	/* A range it does not offer is not written. */
	cr_assert_eq(isolation_control_armed(capability, 1, 5) & ISOLATION_CONTROL_RANGE, 1);
	/* What it does not offer is not switched on. */
	cr_assert_eq(isolation_control_armed(1u << 16, 0, 0), 1u << 16);
	cr_assert_eq(isolation_control_disarmed(others | capability), others | 1);
}

Test(isolation_decode, ranges_of_an_attribute)
{
	static const struct {
		const char *text;
		uint32_t code;
	} good[] = {{"a", 0x1}, {"a2", 0x2}, {"d2", 0xe}, {"0x2", 0x2}, {"0xa", 0xa},
		    {"A", 0xa}, {"e", 0xe},  {"0", 0x0},  {"0x0", 0x0}, {"default", 0x0}};
	static const char *const bad[] = {"",    "3",  "0x3", "10",      "0x",
					  "a2 ", "-1", " 1",  "1ms-10ms"};
	uint32_t code;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_assert_eq(isolation_range_attribute(good[i].text, &code), 0, "%s", good[i].text);
		cr_assert_eq(code, good[i].code, "%s", good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(isolation_range_attribute(bad[i], &code), -EINVAL, "%s", bad[i]);
}
