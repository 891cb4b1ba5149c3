/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel's texts say about pins: link targets of /proc/PID/fd, lines
 * of /proc/PID/fdinfo and of /proc/vmstat. Pure; reading them is pins.c's.
 */
#ifndef DAXMGR_PINS_DECODE_H
#define DAXMGR_PINS_DECODE_H

#include <stdbool.h>
#include <stdint.h>

enum pins_target {
	PINS_TARGET_NONE,     /* a socket, a pipe …: pins nothing by itself */
	PINS_TARGET_PATH,     /* has a path: what it is has to be looked at */
	PINS_TARGET_IO_URING, /* its fdinfo says whether buffers are registered */
	PINS_TARGET_VFIO,     /* of a device passed through */
};

/* What a descriptor leads to, as far as its link target tells. */
enum pins_target pins_target(const char *target);

/*
 * What a character device of this path pins for who has it open: enum iso_pin,
 * or 0. The path is the one its opener saw, below whatever private /dev. Not
 * for vhost-net, see pins_is_vhost_net().
 */
uint32_t pins_of_device(const char *path);

/* vhost-net copies, unless it was told not to by a parameter of the module. */
bool pins_is_vhost_net(const char *path);

/* All zero before the first line. */
struct pins_fdinfo {
	bool has_flags;
	bool has_buffers; /* the kernel leaves it out when the ring is busy */
	bool in_files;    /* the lines that follow are registered files */
	uint32_t flags;   /* of open(2) */
	uint32_t buffers; /* registered with the ring */
	uint32_t files; /* registered with the ring that have a path: how they were opened is unknown */
};

/* Takes in one line of fdinfo. */
void pins_fdinfo_line(struct pins_fdinfo *info, const char *line);

/* All zero before the first line. */
struct pins_counters {
	bool has_acquired, has_released;
	uint64_t acquired, released; /* pins since boot, host-wide */
};

/* Takes in one line of /proc/vmstat. */
void pins_vmstat_line(struct pins_counters *counters, const char *line);

#endif
