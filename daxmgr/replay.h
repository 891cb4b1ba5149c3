/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stored raw records through today's decoders. */
#ifndef DAXMGR_REPLAY_H
#define DAXMGR_REPLAY_H

#include "inject.h"

/* What today's code makes of one; released by replay_clear(). */
struct replayed {
	/* "decoded", "partial", "unreadable", "unreadable-format", "no-format", "no-raw"; static */
	const char *outcome;
	/* As it would be handed over today, or as it is stored where there is no raw record; borrows from the row. */
	struct inject record;
	char *fields; /* what .record borrows */
};

/*
 * Decodes a row by its source's decoder, and a trace record by the format it
 * was stored with. Pure but for memory. Return: whether `ret` has a record;
 * .outcome says what there is in any case.
 */
bool replay_decode(const struct store_event_row *row, struct replayed *ret);
void replay_clear(struct replayed *replayed);

#endif
