/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What arm_ask() would say. */
#include "state.h"

bool iso_arm_try(const struct iso_engine *e, uint32_t port, uint32_t wish, uint32_t range,
		 enum iso_arm_outcome *ret, uint32_t *ret_obstacles)
{
	uint32_t code = range == ISO_NONE ? e->policy.arm_range : range;
	struct iso_arming arming;
	struct port wished;

	if (!iso_arming(e, port, code, &arming))
		return false;
	wished = e->ports[port];
	wished.isolation.wish = wish;
	wished.isolation.range = range;
	*ret_obstacles = wish == ISO_ARM_YES ? arming.obstacles : 0;
	*ret = *ret_obstacles                 ? ISO_ARM_REFUSED
	       : arm_is_as_wanted(e, &wished) ? ISO_ARM_ALREADY
	       : !arm_is_known(&wished)       ? ISO_ARM_UNKNOWN
	       : arming.quiesced              ? ISO_ARM_NOW
					      : ISO_ARM_WAITS;
	return true;
}
