/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A kernel uevent as it comes from netlink, into typed fields and into what it
 * means here. Pure: no I/O, no clock, no allocation.
 */
#ifndef DAXMGR_SOURCE_UEVENT_DECODE_H
#define DAXMGR_SOURCE_UEVENT_DECODE_H

#include <isolate/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum uevent_outcome {
	UEVENT_DECODED,
	UEVENT_NOT_KERNEL, /* udev's own messages have another header */
	UEVENT_MALFORMED,  /* no header, or text without an end */
};

/* Texts point into the message; NULL: not in it. */
struct uevent {
	const char *message; /* all of it, with what is not decoded */
	size_t bytes;
	const char *action;
	const char *devpath; /* below /sys */
	const char *subsystem;
	const char *devtype;
	const char *driver;
	const char *devname; /* below /dev */
	const char *error_event;
	const char *pci_slot_name;
	uint64_t seqnum;
	bool device_online;
	bool has_seqnum;
	bool has_device_online;
};

enum uevent_meaning {
	UEVENT_NOTHING,
	UEVENT_CHANGED,         /* worth an observation */
	UEVENT_MEMDEV_GONE,     /* name; address when the path has it */
	UEVENT_INSTANCE_GONE,   /* region_kernel_id and kernel_id of daxX.Y, Y not 0 */
	UEVENT_RECOVERY_BEGINS, /* address of the function the kernel resets */
	UEVENT_SETTLED,         /* address; recovered says how the kernel's recovery ended */
};

struct uevent_news {
	enum uevent_meaning meaning;
	const char *name; /* of the device, borrowed from the message; NULL: none */
	struct iso_pci_address address;
	uint32_t region_kernel_id;
	uint32_t kernel_id;
	bool recovered;
};

/*
 * Reads one message of `bytes` bytes. `ret` borrows from it and is written
 * only for UEVENT_DECODED.
 */
enum uevent_outcome uevent_decode(const char *message, size_t bytes, struct uevent *ret);

/* Says what an uevent means here. Return: meaning, also in `ret`, which is always filled. */
enum uevent_meaning uevent_meaning(const struct uevent *uevent, struct uevent_news *ret);

/*
 * Whether the news mean "contain now": a memdev or an instance left. An uevent
 * has no time of its own: `read_ns` is when it was read, CLOCK_BOOTTIME.
 * Return: true and a complete `ret`, or false and `ret` untouched.
 */
bool uevent_fault(const struct uevent_news *news, uint64_t read_ns, struct iso_fault *ret);

#endif
