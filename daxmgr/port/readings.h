/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list of readings while it grows, and the sources that are polled for them. */
#ifndef DAXMGR_READINGS_H
#define DAXMGR_READINGS_H

#include "../reading_file.h"
#include "port.h"

struct readings {
	struct reading *list;
	uint32_t n, room;
};

/* Adds one; `serial` NULL: none. Return: 0; -ENOMEM or -EOVERFLOW. */
int readings_add(struct readings *readings, const char *unit, const uint64_t *serial,
		 const char *name, uint64_t value);

/* Writes the list into a memfd and frees it. Return: the descriptor, or a negative errno, told. */
int readings_end(struct port *port, struct readings *readings, int error);

/* aer_counters.c: the kernel's counters of PCIe errors of CXL ports and memdevs. Return: as readings_end(). */
int aer_counters_read(struct port *port);

/*
 * device_health.c: what memdevs say of their own health. Return: as
 * readings_end(); -EOPNOTSUPP, told, when there are memdevs and none can say.
 */
int device_health_read(struct port *port);

/* last_boot.c: what kernels that died left behind. Return: as readings_end(), of saved panics. */
int last_boot_read(struct port *port);

#endif
