/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libcxl_root.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct udev_queue;

/*
 * Before libcxl (81) lists anything it waits until udev has nothing to do, up
 * to 5 s each time (cxl_wait_probe() in its libcxl.c). While VMs die and are
 * started udev is always busy, and what concerns us is in sysfs and devtmpfs
 * before udev hears of it. libcxl has no setting for that, so it gets this
 * answer instead of libudev's: a symbol of the program goes before a library's.
 */
__attribute__((visibility("default"))) int udev_queue_get_queue_is_empty(struct udev_queue *queue);

int udev_queue_get_queue_is_empty(struct udev_queue *queue)
{
	(void)queue;
	return 1;
}

void libcxl_unrefp(struct cxl_ctx **ctx)
{
	if (*ctx)
		cxl_unref(*ctx);
}

int libcxl_open(struct port *port, struct cxl_ctx **ret)
{
	struct stat ours, hosts;
	char path[PATH_MAX];
	int error;

	if (port->root[0]) {
		snprintf(path, sizeof(path), "%s/sys", port->root);
		if (stat(path, &ours) < 0 || stat("/sys", &hosts) < 0)
			return port_fail(port, -errno, "%s: %s", path, strerror(errno));
		if (ours.st_dev != hosts.st_dev || ours.st_ino != hosts.st_ino)
			return port_fail(port, -EXDEV, "%s is not mounted on /sys", path);
	}
	error = cxl_new(ret);
	return error ? port_fail(port, error, "libcxl: %s", strerror(-error)) : 0;
}
