/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proves what is read from the kernel's counters of PCIe errors, and how growth is reckoned. */
#include "source/aer_counters_decode.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct aer_counter counters[AER_COUNTERS_MAX];

static size_t decode(const char *text)
{
	size_t bytes = strlen(text), n;
	char *copy = malloc(bytes + (bytes == 0));

	memcpy(copy, text, bytes);
	n = aer_counters_decode(copy, bytes, counters);
	free(copy);
	return n;
}

Test(aer_counters_decode, each_line_is_a_counter_and_the_sum_is_none)
{
	cr_assert_eq(
		decode("RxErr 3\nBadTLP 0\nNonFatalErr 18446744073709551615\nTOTAL_ERR_COR 3\n"),
		3);
	cr_assert_str_eq(counters[0].name, "RxErr");
	cr_assert_eq(counters[0].value, 3);
	cr_assert_eq(counters[1].value, 0);
	cr_assert_eq(counters[2].value, UINT64_MAX);
}

Test(aer_counters_decode, what_is_no_counter_is_left_out)
{
	cr_assert_eq(decode(""), 0);
	cr_assert_eq(decode("RxErr\nRxErr \n 3\nRxErr -1\nRx.Err 1\nRxErr 18446744073709551616\n"
			    "Abcdefghijklmnopqrstuvwxyzabcdefghijk 1\nRxErr 1 2\nOk 7"),
		     1);
	cr_assert_str_eq(counters[0].name, "Ok");
	cr_assert_eq(counters[0].value, 7);
}

Test(aer_counters_decode, more_than_there_is_room_for_is_not_read)
{
	char text[2000] = "";

	for (int i = 0; i < 100; i++)
		strcat(text, "RxErr 1\n");
	cr_assert_eq(decode(text), AER_COUNTERS_MAX);
}

Test(aer_counters_decode, a_total_is_one_number)
{
	uint64_t value = 1;

	cr_assert(aer_total_decode("12\n", 3, &value));
	cr_assert_eq(value, 12);
	cr_assert_not(aer_total_decode("", 0, &value));
	cr_assert_not(aer_total_decode("1x", 2, &value));
	cr_assert_eq(value, 12);
}

Test(aer_counters_decode, what_is_lower_than_before_began_anew)
{
	cr_assert_eq(aer_counter_growth(3, 5), 2);
	cr_assert_eq(aer_counter_growth(5, 5), 0);
	cr_assert_eq(aer_counter_growth(5, 2), 2);
}
