/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a kept record says of bad memory. */
#ifndef DAXMGR_POISON_H
#define DAXMGR_POISON_H

#include "store.h"

/*
 * Reads a record's range, and from its kind and fields what it says of it. Return:
 * true and a complete `ret`; false when it names no memory, or none that is bad or
 * was cleared.
 */
bool poison_of_record(const struct store_event *record, struct iso_poison *ret);

#endif
