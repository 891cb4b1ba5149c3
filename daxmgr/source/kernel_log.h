/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads the kernel's log from /dev/kmsg: never blocking, from a mark on, and
 * what was overwritten unread is counted from the sequence numbers. Reading
 * does not allocate.
 */
#ifndef DAXMGR_SOURCE_KERNEL_LOG_H
#define DAXMGR_SOURCE_KERNEL_LOG_H

#include "kernel_log_clock.h"
#include "kernel_log_decode.h"

#include <systemd/sd-event.h>

struct kernel_log;

/* A record of its reader; valid during the call. */
struct kernel_log_line {
	const struct kernel_log_record *record;
	const struct kernel_log_news *news;
	const char *raw; /* as read */
	size_t raw_bytes;
	uint64_t read_ns; /* CLOCK_BOOTTIME */
	uint64_t late_ns; /* how long before it was logged, as well as that is known (kernel_log_clock.h) */
	bool live; /* not one of those that were there when the reader was opened */
};

struct kernel_log_handlers {
	/* What means something here. */
	void (*on_line)(void *userdata, const struct kernel_log_line *line);
	/*
	 * So many records before the one with that number were overwritten unread, or
	 * (malformed) one could not be understood.
	 */
	void (*on_gap)(void *userdata, uint64_t lost, uint64_t before, bool malformed);
	/* Whether to go on: false, and it is asked again in a moment. NULL: always. */
	bool (*has_room)(void *userdata);
	/* It cannot be read any more; no call follows. */
	void (*on_end)(void *userdata, int error);
	void *userdata;
};

struct kernel_log_report {
	uint64_t read;
	uint64_t meant; /* of them */
	uint64_t malformed;
	uint64_t lost;
	uint64_t last_sequence; /* all up to it were read */
	uint64_t last_read_ns;
	int64_t apart_ns; /* as in kernel_log_clock.h */
};

/*
 * Attaches `path` to the loop. `after` is the number of the last record that
 * needs not be told again; NULL: everything the log still holds is told. What
 * is missing between the two is a gap. `apart_ns` is what an earlier reader of
 * this boot reported, 0 without one. `problem` says what failed. Return: 0, or
 * negative errno.
 */
int kernel_log_open(sd_event *loop, int64_t priority, const char *path, const uint64_t *after,
		    int64_t apart_ns, const struct kernel_log_handlers *handlers,
		    struct kernel_log **ret, char problem[ISO_TEXT_BYTES]);

/* Accepts NULL. Return: NULL. */
struct kernel_log *kernel_log_close(struct kernel_log *log);

void kernel_log_get_report(const struct kernel_log *log, struct kernel_log_report *ret);

#endif
