/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the engine says, with names instead of indices: for the store, the journal and subscribers. */
#ifndef DAXMGR_NOTE_H
#define DAXMGR_NOTE_H

#include "store.h"

/* Of an ISO_EFFECT_NOTE or ISO_EFFECT_KILL, before the next iso_step(). */
void note_from_effect(const struct iso_engine *engine, const struct iso_effect *effect,
		      struct store_note *ret);

/* Incident `index` of the engine. Return: false when it is free. */
bool note_incident(const struct iso_engine *engine, uint32_t index, struct store_incident *ret);

#endif
