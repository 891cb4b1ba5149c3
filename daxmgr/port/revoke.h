/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking instances from whoever still maps them, where that cannot hurt the
 * host.
 */
#ifndef DAXMGR_REVOKE_H
#define DAXMGR_REVOKE_H

#include "port.h"

/*
 * Unbinds the instances that are still there and bound, which takes every
 * mapping away at once, and empties them; instance_remove() deletes them. Only
 * when everybody who maps or holds one is shown to be free of pins, and the
 * kernel counts none outstanding, looked at right before each unbinding: pages
 * that are pinned at that moment are the end of the host. What the kernel has
 * revoked by itself is success, but pins are looked for all the same.
 *
 * Fills n_mappers, mappers, evidence (state of the first) and pins. Return: 0;
 * -EBUSY when something may be pinned, the message says by whom; or another
 * negative errno, told.
 */
int revoke_run(struct port *port, const struct job_instance *instances, uint32_t n);

#endif
