/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making, refilling and removing a CXL region.
 */
#ifndef DAXMGR_REGION_H
#define DAXMGR_REGION_H

#include "port.h"

/*
 * Makes the region in decoder0.<window_kernel_id>: left-over DPA of the legs is
 * freed, decoders are set, committed, the region bound under the kmem guard
 * and its daxX.0 emptied. Fills kernel_id and range of the completion. Return:
 * 0, or a negative errno with everything undone again and the failed step told.
 */
int region_create(struct port *port, const struct job_region *region);

/*
 * Puts the lost legs back into regionN, which the kernel has kept with its
 * address: each empty target gets a decoder of the memdev that belongs there,
 * then it is committed, bound under the kmem guard and its daxX.0 emptied. Of a
 * regionN that lacks less only that is done. Fills kernel_id and range. Return:
 * 0, or a negative errno with what was done undone and the failed step told;
 * -ESTALE when regionN is not the region that is meant.
 */
int region_refill(struct port *port, const struct job_region *region);

/*
 * Removes regionN with its instances, and frees the DPA of the legs' decoders
 * that carry no region. What is gone already is success; so is a regionN of
 * other memdevs than the definition's, which is left alone, and DPA below a
 * decoder in use, which nobody can free: both are said. Return: 0; -EBUSY when
 * one of its dax devices is System RAM or mapped by somebody, and nothing was
 * done; or a negative errno, told.
 */
int region_clear(struct port *port, const struct job_region *region);

#endif
