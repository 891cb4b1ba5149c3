/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a VM asks for, as it is written on a command line, and the QEMU
 * arguments that follow from it. Used by daxmgrctl and daxmgr-qemu.
 */
#ifndef CTL_WISH_H
#define CTL_WISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-json.h>

enum {
	WISH_PARTS_MAX = 4, /* ISO_LEASE_PARTS_MAX: what the daemon takes */
	WISH_NAME_BYTES = 65,
	WISH_QEMU_BYTES = 256, /* one -object argument */
};

struct wish_part {
	uint64_t bytes;
	char region[WISH_NAME_BYTES]; /* empty: any */
};

struct wish {
	const char *name;
	uid_t uid;
	gid_t gid;
	size_t n_parts;
	struct wish_part parts[WISH_PARTS_MAX];
	uint64_t align; /* 0: what the daemon is configured to */
	uint64_t keep_ns;
	uint64_t expires_ns; /* 0: what the daemon is configured to */
	bool restart;
	bool wait;
	uint32_t pins; /* enum iso_pin: what will make it pin its memory */
	const char *poison; /* kill, notify or ignore; NULL: what the daemon is configured to */
	const char *qmp; /* socket of a monitor for the manager; NULL: none */
	const char *evidence; /* why one thinks so; NULL: nothing to say */
};

/* Root's, restart, wait. */
void wish_init(struct wish *wish);

/*
 * Each takes one option's argument. Return: NULL, or what is wrong with it,
 * a static sentence that follows "--OPTION VALUE: ".
 */
const char *wish_set_name(struct wish *wish, const char *text);
const char *wish_add_size(struct wish *wish, const char *text); /* SIZE[@REGION] */
const char *wish_set_user(struct wish *wish,
			  const char *text); /* name or number; sets uid and gid */
const char *wish_set_align(struct wish *wish, const char *text);
const char *wish_set_qmp(struct wish *wish, const char *text); /* path below /run */
const char *wish_set_keep(struct wish *wish, const char *text);
const char *wish_set_expires(struct wish *wish, const char *text);

const char *wish_set_poison(struct wish *wish, const char *text);
const char *wish_add_pins(struct wish *wish, const char *text); /* a word of pin_words.h */

/* Checks what can only be seen when all options were read. Return: as above. */
const char *wish_check(const struct wish *wish);

/* Parameters of Acquire(); owned by the caller. Return: 0 or negative errno. */
int wish_build(const struct wish *wish, sd_json_variant **ret);

/* The argument of QEMU's -object for one part of a lease; align 0 is 2 MiB. */
void wish_format_qemu(const char *name, size_t part, uint64_t bytes, uint64_t align,
		      char text[WISH_QEMU_BYTES]);

#endif
