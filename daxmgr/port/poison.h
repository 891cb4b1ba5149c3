/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Poison lists of memdevs. */
#ifndef DAXMGR_PORT_POISON_H
#define DAXMGR_PORT_POISON_H

#include "port.h"

/*
 * Has the kernel read the poison list of memN: it tells of each entry in a trace
 * record, all of which are in the ring on return. Return: 0; -EOPNOTSUPP when the
 * device has none; -ESTALE when memN has another serial now; or a negative errno.
 */
int poison_read_list(struct port *port, const struct job_memdev *memdev);

#endif
