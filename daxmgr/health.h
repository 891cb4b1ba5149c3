/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One verdict for the host and for each domain, memory device and virtual
 * machine, from the records of the last while: a pure function of them and of
 * the time asked for. No allocation, no clock.
 *
 * Every record of a kind in the table of rules is a reason for as long as the
 * rule says: first "failing", then "degraded", then forgotten.
 */
#ifndef DAXMGR_HEALTH_H
#define DAXMGR_HEALTH_H

#include "store.h"

enum health_scope {
	HEALTH_HOST,
	HEALTH_DOMAIN, /* unit: path of its first root port */
	HEALTH_MEMDEV, /* unit: serial number, "0x10" */
	HEALTH_VM,     /* unit: name of the lease */
	HEALTH_SCOPES,
};

enum health_state { HEALTH_OK, HEALTH_DEGRADED, HEALTH_FAILING, HEALTH_STATES };

enum { HEALTH_REASONS_MAX = 512 }; /* kept; the oldest makes way */

/* What was seen last of one kind at one unit. */
struct health_reason {
	uint16_t rule;
	char unit[ISO_PATH_BYTES];
	char text[ISO_TEXT_BYTES]; /* of the last record */
	uint64_t last_ns;
	uint64_t count;
};

struct health {
	struct health_reason reasons[HEALTH_REASONS_MAX];
	uint32_t n;
};

struct health_verdict {
	uint32_t state; /* enum health_state */
	char reasons[ISO_TEXT_BYTES]; /* one line, the worst first; empty when OK */
	uint64_t until_ns; /* when it changes if nothing more comes; UINT64_MAX: never */
};

/* Takes a record in. Return: whether it means anything for health. */
bool health_take(struct health *health, const struct store_event *record);

/* The verdict at `now_ns` (CLOCK_BOOTTIME). `unit` is ignored for the host. */
void health_judge(const struct health *health, enum health_scope scope, const char *unit,
		  uint64_t now_ns, struct health_verdict *ret);

/* What a reason is about: enum health_scope. */
uint32_t health_reason_scope(const struct health_reason *reason);

/* Makes a verdict at least that bad, with a reason of its own. */
void health_add(struct health_verdict *verdict, enum health_state state, const char *reason);

/* "ok", "degraded", "failing"; "host", "domain", "memdev", "vm". Never NULL. */
const char *health_state_name(uint32_t state);
const char *health_scope_name(uint32_t scope);

#endif
