/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memdev.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../cleanup.h"
#include "observe.h"
#include "sysfs.h"

enum { MEMDEV_NAME_BYTES = 32, MEMDEV_WAIT_MS = 5000, MEMDEV_POLL_MS = 10 };

static bool memdev_is_below(const char *real, struct iso_pci_address address)
{
	char component[32];

	snprintf(component, sizeof(component), "/%04x:%02x:%02x.%x/", address.segment & 0xffff,
		 address.bus, address.device & 31, address.function & 7);
	return strstr(real, component) != NULL;
}

/* Name of the next memdev below the port, and its real path. Return: false at the end. */
static bool memdev_next(struct port *port, DIR *dir, struct iso_pci_address address,
			char name[MEMDEV_NAME_BYTES], char real[PATH_MAX])
{
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		unsigned int number;
		int used = 0;

		if (sscanf(entry->d_name, "mem%u%n", &number, &used) != 1 || entry->d_name[used] ||
		    used >= MEMDEV_NAME_BYTES)
			continue;
		strcpy(name, entry->d_name);
		if (!sysfs_real(port->root, real, "/sys/bus/cxl/devices/%s", name) &&
		    memdev_is_below(real, address))
			return true;
	}
	return false;
}

static bool memdev_is_bound(struct port *port, const char *name)
{
	return sysfs_exists(port->root, "/sys/bus/cxl/devices/%s/driver", name);
}

/* `real` ends in DDDD:BB:DD.F/memN. */
static int memdev_remove(struct port *port, const char *name, char *real)
{
	struct iso_pci_address function;
	const char *above, *end;
	int error;

	*strrchr(real, '/') = '\0';
	above = strrchr(real, '/');
	if (!above || !observe_pci_address(above + 1, &function, &end) || *end)
		return 0; /* not a PCI device */
	error = sysfs_write(port->root, "1", "/sys/bus/pci/devices/%s/remove", above + 1);
	if (!error || error == -ENOENT || error == -ENODEV)
		return 0;
	return port_fail(port, error, "memdev %s: remove %s: %s", name, above + 1,
			 strerror(-error));
}

int memdev_remove_unbound(struct port *port, struct iso_pci_address address, uint32_t *ret_removed)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/sys/bus/cxl/devices");
	char name[MEMDEV_NAME_BYTES], real[PATH_MAX];
	uint32_t removed = 0;

	while (memdev_next(port, dir, address, name, real)) {
		int error;

		if (memdev_is_bound(port, name))
			continue;
		error = memdev_remove(port, name, real);
		if (error)
			return error;
		port_say(port, "memdev %s had no driver and was enumerated anew", name);
		removed++;
	}
	*ret_removed = removed;
	return 0;
}

uint32_t memdev_count_bound(struct port *port, struct iso_pci_address address)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/sys/bus/cxl/devices");
	char name[MEMDEV_NAME_BYTES], real[PATH_MAX];
	uint32_t n = 0;

	while (memdev_next(port, dir, address, name, real))
		n += memdev_is_bound(port, name);
	return n;
}

int memdev_wait_bound(struct port *port, struct iso_pci_address address, uint32_t n)
{
	for (unsigned int waited = 0; memdev_count_bound(port, address) < n;
	     waited += MEMDEV_POLL_MS)
		if (waited >= MEMDEV_WAIT_MS || !port_pause(port, MEMDEV_POLL_MS))
			return port_fail(port, -ETIME,
					 "%u of %u memdevs below the port are bound after a rescan",
					 memdev_count_bound(port, address), n);
	return 0;
}
