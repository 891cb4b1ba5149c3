/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one way of all records of all sources: completed with what the engine knows, then kept. */
#ifndef DAXMGR_RECORDS_H
#define DAXMGR_RECORDS_H

#include "store.h"

struct daemon;

/*
 * Takes a record in, after the engine has seen the fault it may stand for:
 * fills in what its source left empty (VM, domain, incident, severity of a gap), and
 * stores it. Subscribers see it once it is durable. Loop only.
 */
void records_take(struct daemon *daemon, const struct store_event *record);

/* The same for one that the store has queued itself: it is complete, and names no memory. */
void records_tell(struct daemon *daemon, const struct store_event *record);

/* Hash of kind, unit and text, for sources whose text says all. Never 0. */
uint64_t records_likeness(const struct store_event *record);

/* Fills in what a source left empty: VM, domain, incident, severity of a gap. */
void records_complete(const struct iso_engine *engine, struct store_event *record);

#endif
