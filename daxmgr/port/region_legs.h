/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memdevs of a region definition and their endpoint decoders.
 */
#ifndef DAXMGR_REGION_LEGS_H
#define DAXMGR_REGION_LEGS_H

#include <cxl/libcxl.h>

#include "port.h"

struct region_leg {
	struct cxl_memdev *memdev;
	struct cxl_port *endpoint; /* its port, NULL when it is not bound */
	struct cxl_decoder *decoder; /* taken by region_legs_take() */
	const char *name; /* memN */
};

struct region_legs {
	uint32_t n;
	struct region_leg legs[ISO_WAYS_MAX];
};

/*
 * Finds the memdevs by serial. Return: 0; with `all`, -ENODEV when one is
 * missing, -ENXIO when one is not bound and -ENOTUNIQ when a serial is there
 * twice, told. Without `all` those are left out.
 */
int region_legs_find(struct port *port, struct cxl_ctx *ctx,
		     const struct iso_region_definition *definition, bool all,
		     struct region_legs *ret);

enum { REGION_LEGS_HELD = 1 };

/*
 * Frees the DPA of decoders that carry no region, last decoder first. Return:
 * 0; REGION_LEGS_HELD when one is below a decoder in use, which has to go
 * first (the message says which); or a negative errno, told.
 */
int region_legs_free(struct port *port, struct region_legs *legs, const char *name);

/* The most that a region of these legs can hold per leg, after region_legs_free(). */
uint64_t region_legs_room(struct port *port, const struct region_legs *legs);

/*
 * Takes `bytes` of volatile DPA on each leg. On failure what was taken is
 * still marked in `legs`, for region_legs_give_back().
 */
int region_legs_take(struct port *port, struct region_legs *legs, const char *name, uint64_t bytes);

void region_legs_give_back(struct region_legs *legs);

#endif
