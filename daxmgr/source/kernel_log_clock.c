/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel_log_clock.h"

enum { DRIFT = 10000 }; /* the clocks drift by less than 1 in so many */

uint64_t kernel_log_clock_take(struct kernel_log_clock *clock, uint64_t at_ns, uint64_t now_ns,
			       bool live)
{
	int64_t apart = (int64_t)(now_ns - at_ns);

	if (live && clock->live)
		clock->apart_ns += (int64_t)((now_ns - clock->reckoned_ns) / DRIFT);
	if (live && (!clock->live || apart < clock->apart_ns))
		clock->apart_ns = apart;
	if (live)
		clock->reckoned_ns = now_ns;
	clock->live |= live;
	return apart > clock->apart_ns ? (uint64_t)apart - (uint64_t)clock->apart_ns : 0;
}
