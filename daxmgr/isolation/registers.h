/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registers of CXL timeout and isolation (CXL specification 8.2.4.24,
 * capability id 9): what their words mean. Pure: no access to anything.
 *
 * Only the half for CXL.mem is looked at. That for CXL.cache has no user here
 * and is left as firmware set it.
 */
#ifndef DAXMGR_ISOLATION_REGISTERS_H
#define DAXMGR_ISOLATION_REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offsets in the capability. */
enum {
	ISOLATION_CAPABILITY = 0x0,
	ISOLATION_CONTROL = 0x8,
	ISOLATION_STATUS = 0xc,
	ISOLATION_BYTES = 0x10,
};

/* Bits of the control word; those of the capability are at the same places. */
enum {
	ISOLATION_CONTROL_RANGE = 0xf,
	ISOLATION_CONTROL_TIMEOUT = 1u << 4,
	ISOLATION_CONTROL_ISOLATION = 1u << 16,
	ISOLATION_CONTROL_LINK_DOWN = 1u << 17,
	ISOLATION_CONTROL_ERR_COR = 1u << 25,
	ISOLATION_CONTROL_INTERRUPT = 1u << 26,
};

/* Bits of the status word. All but RP Busy stay set until one is written to them. */
enum {
	ISOLATION_STATUS_TIMEOUT = 1u << 0,
	ISOLATION_STATUS_ISOLATED = 1u << 8,
	ISOLATION_STATUS_BY_LINK = 1u << 9,
	ISOLATION_STATUS_RP_BUSY = 1u << 14,
	ISOLATION_STATUS_CLEARABLE = ISOLATION_STATUS_TIMEOUT | ISOLATION_STATUS_ISOLATED |
				     ISOLATION_STATUS_BY_LINK,
};

struct isolation_capability {
	bool programmable; /* the timeout has ranges; else it is fixed, 50 us to 10 ms */
	uint16_t ranges; /* bit N: range code N may be set; bit 0 always */
	bool ranges_reserved; /* a combination that no specification names: taken as none */
	bool timeout;
	bool isolation;
	bool link_down;
	bool err_cor;
	bool interrupt;
	uint8_t message; /* interrupt message number */
};

struct isolation_range {
	uint8_t code;
	const char *name; /* as a future kernel's sysfs calls it: a, a2, b ... */
	const char *text; /* "50us-10ms" */
	uint64_t least_ns, most_ns;
};

/* Reads the capability word. */
void isolation_capability_decode(uint32_t word, struct isolation_capability *ret);

/* Return: the range of a code, or NULL when no range has it. */
const struct isolation_range *isolation_range_of(uint32_t code);

/* The ranges in order. Return: NULL after the last. */
const struct isolation_range *isolation_range_at(size_t index);

/*
 * Which range is meant: its text ("1ms-10ms" or "1-10ms"), its name ("a2") or
 * one time ("5ms": the narrowest range with it among those of `ranges`, bits by
 * code). Return: 0; -EINVAL when it is none of these; -ERANGE when no range
 * among `ranges` has that time.
 */
int isolation_range_parse(const char *text, uint16_t ranges, uint32_t *ret_code);

/*
 * A range as a kernel's attribute says it: a name ("a2"), or the code in hex;
 * "a", "b", "c" and "d" are names. Return: 0, or -EINVAL when it is neither.
 */
int isolation_range_attribute(const char *text, uint32_t *ret_code);

/*
 * What a port is to be told to arm it: what it offers of isolation, link-down
 * and ERR_COR, and the timeout of `code`. Bits that are not ours stay as in
 * `now`. Return: the control word.
 */
uint32_t isolation_control_armed(uint32_t capability, uint32_t now, uint32_t code);

/* The same to disarm it: all of ours off, the range left as it is. */
uint32_t isolation_control_disarmed(uint32_t now);

#endif
