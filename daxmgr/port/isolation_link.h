/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The link below a root port: taken down where the port did not do so by itself, and given back. */
#ifndef DAXMGR_PORT_ISOLATION_LINK_H
#define DAXMGR_PORT_ISOLATION_LINK_H

#include "port.h"

enum { PORT_PCI_NAME_BYTES = 16 };

/* "DDDD:BB:DD.F". */
void port_pci_name(struct iso_pci_address address, char ret[PORT_PCI_NAME_BYTES]);

/* Return: 0 when the link is down, and was seen so; or a negative errno, told. */
int isolation_link_take_down(struct port *port, struct iso_pci_address address);

/* Link enabled, slot powered: what was not taken away stays as it is. Return: 0 or a negative errno, told. */
int isolation_link_give_back(struct port *port, struct iso_pci_address address);

#endif
