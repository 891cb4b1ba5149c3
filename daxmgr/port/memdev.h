/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memdevs that the kernel's own recovery has left without their driver.
 *
 * The kernel detaches a memdev in a work item and attaches it again when its
 * slot was reset; on a busy machine the first is still pending then, the
 * probe fails with EBUSY ("memdev disabled, abort error handling") and nobody
 * ever tries again. Binding by hand is not enough: the aborted recovery may
 * have left the function half restored, and then committing a decoder times
 * out. Removing the function and finding it anew is.
 */
#ifndef DAXMGR_MEMDEV_H
#define DAXMGR_MEMDEV_H

#include "port.h"

/* Removes the PCI function of every memdev below the port that has no driver. */
int memdev_remove_unbound(struct port *port, struct iso_pci_address address, uint32_t *ret_removed);

/*
 * Waits, 5 s at most, until `n` memdevs below the port are bound. Return:
 * -ETIME when they are not, told.
 */
int memdev_wait_bound(struct port *port, struct iso_pci_address address, uint32_t n);

/* How many memdevs below the port are bound. */
uint32_t memdev_count_bound(struct port *port, struct iso_pci_address address);

#endif
