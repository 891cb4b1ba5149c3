/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What processes pin: one that asks to become a VM, or everybody who maps an
 * instance.
 */
#ifndef DAXMGR_INSPECT_H
#define DAXMGR_INSPECT_H

#include "port.h"

/*
 * Fills pins and evidence of the completion; none and empty when it is clean.
 * Return: 0; -ESRCH when there is no such process, told.
 */
int inspect_process(struct port *port, int32_t pid);

/*
 * Who maps any dax device of a CXL region, in one walk of /proc. Return: a
 * memfd of inspection_file_write(); -EOVERFLOW when there are more than fit;
 * or another negative errno, told.
 */
int inspect_everybody(struct port *port);

#endif
