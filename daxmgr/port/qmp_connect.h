/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The monitor socket of a VM: whose directories it lies in is the VM's business, so a worker goes there. */
#ifndef DAXMGR_QMP_CONNECT_H
#define DAXMGR_QMP_CONNECT_H

#include "port.h"

/*
 * Connects to `path`, below /run and without "..", if the process that listens
 * there runs as `uid`. Return: a non-blocking descriptor; -ENOENT when there is
 * no socket; -EPERM when it is another's; or a negative errno; told.
 */
int qmp_connect(struct port *port, const char *path, uint32_t uid);

#endif
