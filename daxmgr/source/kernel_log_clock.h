/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a line of the kernel's log waited to be read. The log has a clock of
 * its own that stands still in suspend as CLOCK_MONOTONIC does, but drifts
 * against it, to minutes on a host that is up for months: what a line says is
 * known against lines that were read at once. Pure: times come in.
 */
#ifndef DAXMGR_SOURCE_KERNEL_LOG_CLOCK_H
#define DAXMGR_SOURCE_KERNEL_LOG_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct kernel_log_clock {
	int64_t apart_ns; /* CLOCK_MONOTONIC less the log's clock; of an earlier reader, or 0, until a live line came */
	uint64_t reckoned_ns; /* when, in CLOCK_MONOTONIC */
	bool live; /* a live line came */
};

/*
 * Says how long a line waited that the log dates `at_ns` and that is read at
 * `now_ns` (CLOCK_MONOTONIC). A live one, which was not there when the reader
 * was opened, corrects the clock; the first of these counts as read at once.
 */
uint64_t kernel_log_clock_take(struct kernel_log_clock *clock, uint64_t at_ns, uint64_t now_ns,
			       bool live);

#endif
