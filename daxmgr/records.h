/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one way of all records of all sources: completed with what the engine knows, then kept. */
#ifndef DAXMGR_RECORDS_H
#define DAXMGR_RECORDS_H

#include "store.h"

struct daemon;

/*
 * Takes a record in, after the engine has seen the fault it may stand for:
 * completes it, and stores it. Subscribers see it once it is durable. Loop only.
 */
void records_take(struct daemon *daemon, const struct store_event *record);

/* Fills in what a source left empty: domain, incident, severity of a gap, the lease whose memory it names. */
void records_complete(const struct iso_engine *engine, struct store_event *record);

#endif
