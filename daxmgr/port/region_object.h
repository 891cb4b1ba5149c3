/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * regionN as the kernel has it: what it is made of, and the last steps that
 * put it into service, which are the same however it came to be.
 */
#ifndef DAXMGR_REGION_OBJECT_H
#define DAXMGR_REGION_OBJECT_H

#include "port.h"
#include "region_legs.h"

/* Serial of the memdev behind targetN. Return: -ENOENT for an empty target. */
int region_target_serial(struct port *port, uint32_t id, uint32_t position, uint64_t *ret);

/*
 * Numbers of regions are used again: is regionN made of the memdevs that are
 * meant, as far as its targets are filled? Told when it is not.
 */
bool region_is_meant(struct port *port, const struct job_region *region);

/* Makes the decoder that the leg has taken targetN. Return: 0 or a negative errno, told. */
int region_target_set(struct port *port, const char *name, uint32_t id, uint32_t position,
		      const struct region_leg *leg);

/* Empties targetN, as far as the kernel lets it. */
void region_target_clear(struct port *port, uint32_t id, uint32_t position);

/* Return: 0 or a negative errno, told. */
int region_commit(struct port *port, const char *name, uint32_t id);

/*
 * Binds a committed region under the kmem guard, if it is not bound yet,
 * empties its daxX.0, and fills kernel_id and range of the completion. Return:
 * 0, or a negative errno, told; then `*ret_keep` says whether it is System
 * RAM: its decoders must not be reset below it.
 */
int region_serve(struct port *port, const char *name, uint32_t id, bool *ret_keep);

#endif
