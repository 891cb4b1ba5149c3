/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fresh libcxl context. One per job: libcxl remembers what it has read.
 *
 * libcxl knows only /sys. With another root it is used only when ROOT/sys is
 * what /sys shows (tests bind it there in a mount namespace of their own), so
 * that a test tree never leads to the devices of the host.
 */
#ifndef DAXMGR_LIBCXL_ROOT_H
#define DAXMGR_LIBCXL_ROOT_H

#include <cxl/libcxl.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "port.h"

static inline void libcxl_unrefp(struct cxl_ctx **ctx)
{
	if (*ctx)
		cxl_unref(*ctx);
}

static inline int libcxl_open(struct port *port, struct cxl_ctx **ret)
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

#endif
