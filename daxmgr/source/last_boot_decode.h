/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a kernel that died left behind (pstore, ERST): why, and whether CXL or
 * a machine check was part of it. Pure: no I/O, no clock, no allocation.
 */
#ifndef DAXMGR_SOURCE_LAST_BOOT_DECODE_H
#define DAXMGR_SOURCE_LAST_BOOT_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LAST_BOOT_TEXT_BYTES = 192,
	LAST_BOOT_FUNCTION_BYTES = 64,
};

struct last_boot_panic {
	char text[LAST_BOOT_TEXT_BYTES]; /* the line that says why, without its time; printable */
	char function[LAST_BOOT_FUNCTION_BYTES]; /* where, as "RIP:" says; may be empty */
	/*
	 * The same of the same death in whatever file: of the line that says why with
	 * its time, so that a file that is moved or joined with others is known again.
	 */
	uint64_t key;
	size_t at; /* where in the text that line stands */
	bool panic; /* else an oops that the kernel may have survived */
	bool machine_check;
	bool cxl; /* cxl, dax or the loss of a link */
};

/* Whether there is a panic or an oops in the text. Return: true and a complete `ret`, or false and `ret` untouched. */
bool last_boot_decode(const char *text, size_t bytes, struct last_boot_panic *ret);

#endif
