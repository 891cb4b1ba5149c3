/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking functions below a port out of the PCI tree and looking for them again.
 */
#ifndef DAXMGR_PCI_H
#define DAXMGR_PCI_H

#include "port.h"

/* Removes every function right below the port; none there is success. */
int pci_detach(struct port *port, struct iso_pci_address address);

/* Looks for functions below the port; completion->bytes stays 0. */
int pci_rescan(struct port *port, struct iso_pci_address address);

#endif
