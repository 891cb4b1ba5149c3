/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memdevs that the kernel's own recovery has left without their driver.
 *
 * The kernel detaches a memdev in a work item and attaches it again when its
 * slot was reset; on a busy machine the first is still pending then, the
 * probe fails with EBUSY ("memdev disabled, abort error handling") and nobody
 * ever tries again.
 */
#ifndef DAXMGR_MEMDEV_H
#define DAXMGR_MEMDEV_H

#include "port.h"

/*
 * Binds every memdev below the port that has no driver. Return: 0, also when
 * there was none; or the negative errno of the first that could not be bound, told.
 */
int memdev_bind_below(struct port *port, struct iso_pci_address address);

#endif
