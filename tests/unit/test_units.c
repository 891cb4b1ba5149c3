/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes, times and serial numbers: what is written comes back, what is no number is refused. */
#include <criterion/criterion.h>

#include <errno.h>

#include "units.h"

static void size(const char *text, uint64_t expected)
{
	uint64_t bytes = 0;

	cr_assert_eq(units_parse_size(text, &bytes), 0, "%s", text);
	cr_assert_eq(bytes, expected, "%s", text);
}

Test(units, sizes)
{
	static const char *const bad[] = {"",     "M",   "-1",  "+1",    "1.5G", "1 G", "1X",
					  "0x10", "1KK", "1iB", "1GiBx", " 1",   "1G ", "١"};
	uint64_t bytes = 7;

	size("0", 0);
	size("4096", 4096);
	size("4096B", 4096);
	size("2M", 2 << 20);
	size("2m", 2 << 20);
	size("1G", 1 << 30);
	size("512KiB", 512 << 10);
	size("16383P", UINT64_C(16383) << 50);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(units_parse_size(bad[i], &bytes), -EINVAL, "%s", bad[i]);
	cr_assert_eq(units_parse_size("16E", &bytes), -ERANGE);
	cr_assert_eq(units_parse_size("99999999999999999999", &bytes), -ERANGE);
	cr_assert_eq(bytes, 7, "written only on success");
}

static void time_is(const char *text, uint64_t expected)
{
	uint64_t ns = 0;

	cr_assert_eq(units_parse_time(text, &ns), 0, "%s", text);
	cr_assert_eq(ns, expected, "%s", text);
}

Test(units, times)
{
	static const char *const bad[] = {"", "s", "5x", "-5s", "5.5s", "s5", "5 s x", "0x5s"};
	uint64_t ns;

	time_is("5", UINT64_C(5000000000));
	time_is("5s", UINT64_C(5000000000));
	time_is("500ms", 500000000);
	time_is("2min", UINT64_C(120000000000));
	time_is("1h 30min", UINT64_C(5400000000000));
	time_is("1h30min", UINT64_C(5400000000000));
	time_is("100us", 100000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(units_parse_time(bad[i], &ns), -EINVAL, "%s", bad[i]);
	cr_assert_eq(units_parse_time("999999d 999999d 999999d", &ns), -ERANGE);
}

Test(units, serials)
{
	uint64_t serial;

	cr_assert_eq(units_parse_serial("0x10", &serial), 0);
	cr_assert_eq(serial, 16);
	cr_assert_eq(units_parse_serial("10", &serial), 0);
	cr_assert_eq(serial, 10);
	cr_assert_eq(units_parse_serial("0xffffffffffffffff", &serial), 0);
	cr_assert_eq(serial, UINT64_MAX);
	cr_assert_eq(units_parse_serial("0x1ffffffffffffffff", &serial), -ERANGE);
	cr_assert_eq(units_parse_serial("0x", &serial), -EINVAL);
	cr_assert_eq(units_parse_serial("10x", &serial), -EINVAL);
	cr_assert_eq(units_parse_serial("ff", &serial), -EINVAL);
}

Test(units, written)
{
	char text[UNITS_SIZE_BYTES], moment[UNITS_TIME_BYTES];

	cr_assert_str_eq(units_format_size(0, text), "0");
	cr_assert_str_eq(units_format_size(1023, text), "1023");
	cr_assert_str_eq(units_format_size(2 << 20, text), "2M");
	cr_assert_str_eq(units_format_size(UINT64_C(3) << 29, text), "1.5G");
	cr_assert_str_eq(units_format_exact(2 << 20, text), "2M");
	cr_assert_str_eq(units_format_exact((2 << 20) + 1, text), "2097153");
	cr_assert_str_eq(units_format_exact(0, text), "0");
	cr_assert_str_eq(units_format_time(17, moment), "17 ns");
	cr_assert_str_eq(units_format_time(1500000, moment), "1.5 ms");
	cr_assert_str_eq(units_format_time(UINT64_C(2500000000), moment), "2.5 s");
	cr_assert_str_eq(units_format_time(UINT64_C(125000000000), moment), "2min 5s");
}
