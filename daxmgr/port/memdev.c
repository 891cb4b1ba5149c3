/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memdev.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../cleanup.h"
#include "sysfs.h"

static bool memdev_is_below(struct port *port, const char *name, struct iso_pci_address address)
{
	char real[PATH_MAX], component[32];

	snprintf(component, sizeof(component), "/%04x:%02x:%02x.%x/", address.segment & 0xffff,
		 address.bus, address.device & 31, address.function & 7);
	return !sysfs_real(port->root, real, "/sys/bus/cxl/devices/%s", name) &&
	       strstr(real, component);
}

static bool memdev_is_bound(struct port *port, const char *name)
{
	return sysfs_exists(port->root, "/sys/bus/cxl/devices/%s/driver", name);
}

static int memdev_bind(struct port *port, const char *name)
{
	int error = sysfs_write(port->root, name, "/sys/bus/cxl/drivers/cxl_mem/bind");

	/* The kernel may have been at it just now. */
	if (!error || memdev_is_bound(port, name) ||
	    !sysfs_exists(port->root, "/sys/bus/cxl/devices/%s", name))
		return 0;
	return port_fail(port, error, "memdev %s: bind to cxl_mem: %s", name, strerror(-error));
}

int memdev_bind_below(struct port *port, struct iso_pci_address address)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/sys/bus/cxl/devices");
	struct dirent *entry;
	int error = 0;

	if (!dir)
		return errno == ENOENT ? 0 : port_fail(port, -errno, "/sys/bus/cxl/devices: %s",
						       strerror(errno));
	while ((entry = readdir(dir))) {
		unsigned int number;
		int used = 0, failed;

		if (sscanf(entry->d_name, "mem%u%n", &number, &used) != 1 || entry->d_name[used])
			continue;
		if (!memdev_is_below(port, entry->d_name, address) ||
		    memdev_is_bound(port, entry->d_name))
			continue;
		failed = memdev_bind(port, entry->d_name);
		if (failed && !error)
			error = failed;
	}
	return error;
}
