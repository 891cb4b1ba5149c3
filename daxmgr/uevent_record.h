/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAXMGR_UEVENT_RECORD_H
#define DAXMGR_UEVENT_RECORD_H

#include "source/uevent_decode.h"
#include "store.h"

/*
 * What is stored of a uevent, but for when it was read. `ret` borrows from
 * `uevent` and from `ret_fields`, which is the caller's to free and may be NULL.
 */
void uevent_record(const struct uevent *uevent, const struct uevent_news *news,
		   struct store_event *ret, char **ret_fields);

#endif
