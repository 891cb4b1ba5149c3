/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dax devices of tenants: a new one for each, removed when it leaves.
 */
#ifndef DAXMGR_INSTANCE_H
#define DAXMGR_INSTANCE_H

#include "port.h"

/*
 * Makes a device of `bytes` in dax_region<region_kernel_id>, bound to
 * device_dax and with its id out of the driver's list again. Fills ids, device
 * number and first range of the completion. Return: 0, or a negative errno
 * with the device removed again and the failed step told.
 */
int instance_carve(struct port *port, const struct job_carve *carve);

/*
 * Removes the device. What is gone already is success; so is a device of that
 * name with another number than the one that was carved (when the caller knows
 * it): that is somebody else's, and is left alone.
 */
int instance_remove(struct port *port, const struct job_instance *instance);

#endif
