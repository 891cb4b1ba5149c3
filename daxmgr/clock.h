/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The two clocks: CLOCK_BOOTTIME for what happens, wall clock for people. */
#ifndef DAXMGR_CLOCK_H
#define DAXMGR_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_read_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_boottime_ns(void)
{
	return clock_read_ns(CLOCK_BOOTTIME);
}

/* Wall clock of a moment of this boot, microseconds since 1970, as the wall clock stands now. */
static inline uint64_t clock_realtime_us_at(uint64_t boottime_ns)
{
	uint64_t real = clock_read_ns(CLOCK_REALTIME), boot = clock_boottime_ns();

	return (real - boot + boottime_ns) / 1000;
}

#endif
