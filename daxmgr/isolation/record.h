/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is stored of a root port's isolation status, and when. Pure. */
#ifndef DAXMGR_ISOLATION_RECORD_H
#define DAXMGR_ISOLATION_RECORD_H

#include "../store.h"

enum { ISOLATION_FIELDS_BYTES = 96 };

/* Of one port: what a record was made of last, by this daemon or one before it. */
struct isolation_told {
	uint32_t status;
	bool clearing; /* its timeout was cleared: that it ends is no news */
};

/* Takes in a status. Return: whether a record is due, because a bit that stays set has come or gone. */
bool isolation_is_news(struct isolation_told *told, uint32_t status);

/*
 * Whether the status says timeout, that was told, and nothing else: it is
 * cleared so that the next one is seen. With an isolation it is part of what is
 * cleared in order.
 */
bool isolation_timeout_alone(const struct isolation_told *told, uint32_t status);

/* The record; `fields` and `words` outlive it, `at_ns` is on CLOCK_BOOTTIME. */
void isolation_record(struct iso_pci_address port, const struct iso_isolation *words,
		      uint64_t at_ns, char fields[ISOLATION_FIELDS_BYTES], struct store_event *ret);

#endif
