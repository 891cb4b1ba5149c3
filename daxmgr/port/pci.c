/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pci.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../cleanup.h"
#include "observe.h"
#include "sysfs.h"

enum { PCI_NAME_BYTES = 16 };

static void pci_name(struct iso_pci_address a, char ret[PCI_NAME_BYTES])
{
	snprintf(ret, PCI_NAME_BYTES, "%04x:%02x:%02x.%x", a.segment & 0xffff, a.bus, a.device & 31,
		 a.function & 7);
}

static int pci_remove(struct port *port, const char *name)
{
	int error = sysfs_write(port->root, "1", "/sys/bus/pci/devices/%s/remove", name);

	if (!error || error == -ENOENT || error == -ENODEV)
		return 0;
	return port_fail(port, error, "detach: remove: %s (%s)", strerror(-error), name);
}

int pci_detach(struct port *port, struct iso_pci_address address)
{
	_cleanup_closedir_ DIR *dir = NULL;
	char name[PCI_NAME_BYTES];
	struct dirent *entry;

	pci_name(address, name);
	dir = sysfs_open(port->root, "/sys/bus/pci/devices/%s", name);
	if (!dir)
		return port_fail(port, -errno, "detach: port %s: %s", name, strerror(errno));
	while ((entry = readdir(dir))) {
		struct iso_pci_address below;
		const char *end;
		int error;

		/* "DDDD:BB:DD.F:pcie010" and the like are services of the port itself. */
		if (!observe_pci_address(entry->d_name, &below, &end) || *end)
			continue;
		error = pci_remove(port, entry->d_name);
		if (error)
			return error;
	}
	return 0;
}

int pci_rescan(struct port *port, struct iso_pci_address address)
{
	char name[PCI_NAME_BYTES];
	int error;

	pci_name(address, name);
	error = sysfs_write(port->root, "1", "/sys/bus/pci/devices/%s/rescan", name);
	if (error == -ENOENT)
		error = sysfs_write(port->root, "1", "/sys/bus/pci/rescan");
	return error ? port_fail(port, error, "rescan: %s (%s)", strerror(-error), name) : 0;
}
