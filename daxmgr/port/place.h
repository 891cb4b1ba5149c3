/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where in a region a new instance goes that has to keep clear of bad memory. */
#ifndef DAXMGR_PLACE_H
#define DAXMGR_PLACE_H

#include "port.h"

/*
 * Chooses ranges that are free and good: one where that is possible, else the
 * largest. Of dax devices that are not bound only the beginning is known; they
 * are taken to go on from there, and the kernel refuses what is taken after all.
 * Return: 0; -ENOSPC when there is not so much; -E2BIG when it would be in more
 * than ISO_PIECES_MAX pieces; or another negative errno, all told.
 */
int place_choose(struct port *port, const struct job_carve *carve,
		 struct iso_hpa_range ret[ISO_PIECES_MAX], uint32_t *ret_n);

#endif
