/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "poison.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../cleanup.h"
#include "sysfs.h"

#define MEMDEV "/sys/bus/cxl/devices/%s"

int poison_read_list(struct port *port, const struct job_memdev *memdev)
{
	_cleanup_close_ int turn = -1;
	uint64_t serial;
	int error;

	if (!memchr(memdev->name, '\0', sizeof(memdev->name)) || strchr(memdev->name, '/') ||
	    strncmp(memdev->name, "mem", 3))
		return port_fail(port, -EINVAL, "not the name of a memdev");
	error = sysfs_read_u64(port->root, &serial, MEMDEV "/serial", memdev->name);
	if (error)
		return port_fail(port, error, "%s: serial: %s", memdev->name, strerror(-error));
	if (serial != memdev->serial)
		return port_fail(port, -ESTALE, "%s has serial 0x%" PRIx64 " now, not 0x%" PRIx64,
				 memdev->name, serial, memdev->serial);
	/* The kernel hides it where the device does not offer the command. */
	if (!sysfs_exists(port->root, MEMDEV "/trigger_poison_list", memdev->name))
		return port_fail(port, -EOPNOTSUPP, "%s offers no poison list", memdev->name);
	turn = port_turn(port, false);
	error = sysfs_write(port->root, "1", MEMDEV "/trigger_poison_list", memdev->name);
	if (error)
		return port_fail(port, error, "%s: trigger_poison_list: %s", memdev->name,
				 strerror(-error));
	return 0;
}
