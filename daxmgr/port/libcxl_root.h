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

#include "port.h"

/* Return: 0 or a negative errno, told. */
int libcxl_open(struct port *port, struct cxl_ctx **ret);

/* Accepts a pointer to NULL. */
void libcxl_unrefp(struct cxl_ctx **ctx);

#endif
