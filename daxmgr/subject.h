/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whom a record is about, as the engine knows it. */
#ifndef DAXMGR_SUBJECT_H
#define DAXMGR_SUBJECT_H

#include "store.h"

struct subject {
	uint32_t lease;  /* whose VM or whose memory it names; ISO_NONE: nobody's */
	uint32_t domain; /* first root port of its domain; ISO_NONE: not known, or more than one */
	uint64_t incident; /* open; 0: none */
};

/* Pure. Return: whom the record is about, as far as that is known. */
struct subject subject_of(const struct iso_engine *engine, const struct store_event *record);

/* Whether the unit of a record is its VM: what it is called may be a device's name or serial, too. */
bool subject_unit_is_vm(const struct store_event *record);

#endif
