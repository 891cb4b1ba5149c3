/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads the kernel's uevents from netlink: straight from the kernel, so that
 * nothing waits for udevd. Uevents are not durable: what came while nobody
 * read is gone, hence the observation at start. Reading does not allocate.
 */
#ifndef DAXMGR_SOURCE_UEVENT_H
#define DAXMGR_SOURCE_UEVENT_H

#include "uevent_decode.h"

#include <systemd/sd-event.h>

struct uevent_reader;

/* Valid during the call only. `read_ns` is CLOCK_BOOTTIME. */
typedef void (*uevent_handler)(void *userdata, const struct uevent *uevent, uint64_t read_ns);

/* What there was and is not known: observe. */
enum uevent_gap {
	UEVENT_DROPPED, /* the kernel had no room for them */
	UEVENT_UNREADABLE,
};

/* `lost`: how many; 0: the kernel does not tell. */
typedef void (*uevent_gap_handler)(void *userdata, enum uevent_gap gap, uint64_t lost);

struct uevent_report {
	uint64_t received;
	uint64_t malformed;
	uint64_t foreign; /* not sent by the kernel */
	uint64_t gaps;
	uint64_t last_seqnum;
	uint64_t last_ns;      /* when the newest was read, 0: none */
	size_t receive_bytes;  /* what the kernel gave as receive buffer */
};

/*
 * Opens the socket and attaches it to the loop. `problem` says in one line
 * what failed. Return: 0, or negative errno.
 */
int uevent_open(sd_event *loop, int64_t priority, uevent_handler on_uevent,
		uevent_gap_handler on_gap, void *userdata, struct uevent_reader **ret,
		char problem[ISO_TEXT_BYTES]);

/* Accepts NULL. */
struct uevent_reader *uevent_close(struct uevent_reader *reader);

void uevent_get_report(const struct uevent_reader *reader, struct uevent_report *ret);

#endif
