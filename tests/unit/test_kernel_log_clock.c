/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proves: a clock that drifts makes no line late, and a line that waited is late all the same. */
#include "source/kernel_log_clock.h"

#include <criterion/criterion.h>

#define SECOND UINT64_C(1000000000)
#define DAY    (24 * 3600 * SECOND)

/* Fifty days at 90 parts per million, in both directions: more than six minutes. */
Test(kernel_log_clock, drift_is_followed)
{
	for (int fast = 0; fast <= 1; fast++) {
		struct kernel_log_clock clock = {0};
		uint64_t late = 0;

		for (uint64_t now = DAY; now < 50 * DAY; now += 600 * SECOND) {
			uint64_t drift = now / 1000000 * 90;

			late = kernel_log_clock_take(&clock, fast ? now + drift : now - drift, now,
						     true);
			cr_assert_eq(late, 0, "at %lu s", now / SECOND);
		}
		cr_assert_gt(clock.apart_ns * (fast ? -1 : 1), (int64_t)(360 * SECOND));
		/* A line that waited for three seconds; the estimate allows for drift since the last. */
		late = kernel_log_clock_take(
			&clock, 50 * DAY - (uint64_t)clock.apart_ns - 3 * SECOND, 50 * DAY, true);
		cr_assert_gt(late, 3 * SECOND - SECOND / 10);
		cr_assert_leq(late, 3 * SECOND);
	}
}

/* Lines that wait for a new reader are as far off as lines were for the last one, and teach nothing. */
Test(kernel_log_clock, lines_that_waited_for_the_reader)
{
	struct kernel_log_clock clock = {.apart_ns = 60 * (int64_t)SECOND};

	cr_assert_eq(kernel_log_clock_take(&clock, DAY, DAY + 70 * SECOND, false), 10 * SECOND);
	cr_assert_eq(kernel_log_clock_take(&clock, DAY + 9 * SECOND, DAY + 70 * SECOND, false),
		     1 * SECOND);
	/* Dated after it is read: the clock was set wrongly. */
	cr_assert_eq(kernel_log_clock_take(&clock, DAY + 20 * SECOND, DAY + 70 * SECOND, false), 0);
	cr_assert_eq(clock.apart_ns, 60 * (int64_t)SECOND);
	/* The first live one is believed, whatever was before. */
	cr_assert_eq(kernel_log_clock_take(&clock, DAY, DAY + 90 * SECOND, true), 0);
	cr_assert_eq(clock.apart_ns, 90 * (int64_t)SECOND);
	cr_assert_eq(kernel_log_clock_take(&clock, DAY, DAY + 92 * SECOND, true),
		     2 * SECOND - 2 * SECOND / 10000);
}

Test(kernel_log_clock, no_time_overflows)
{
	struct kernel_log_clock clock = {.apart_ns = INT64_MIN};

	cr_assert_eq(kernel_log_clock_take(&clock, 0, INT64_MAX, false), UINT64_MAX);
	clock.apart_ns = INT64_MAX;
	cr_assert_eq(kernel_log_clock_take(&clock, UINT64_MAX, 0, false), 0);
}
