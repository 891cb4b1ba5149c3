/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who maps which instance, and what those processes pin: looked at when a
 * process asks to become a VM, and on a slow timer.
 */
#include "state.h"

void inspection_take_in(struct iso_engine *e, const struct iso_inspection *inspection)
{
	(void)e;
	(void)inspection;
}
