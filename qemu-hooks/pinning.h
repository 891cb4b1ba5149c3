/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pin-safe profile: what a QEMU command line says that will pin the VM's
 * memory. Pages of an instance that are pinned when its port is lost panic the
 * host. Pure but for the files of -readconfig, which the caller reads.
 *
 * It is a first look, for an answer before anything is leased; the daemon looks
 * at the process itself, at attach and from then on.
 */
#ifndef QEMU_HOOKS_PINNING_H
#define QEMU_HOOKS_PINNING_H

#include <stddef.h>
#include <stdint.h>

enum {
	PINNING_FINDINGS_MAX = 8,
	PINNING_EVIDENCE_BYTES = 96, /* ISO_EVIDENCE_BYTES: what the daemon takes */
	PINNING_UNSEEN_BYTES = 128,
};

struct pinning_finding {
	uint32_t pin; /* one enum iso_pin */
	char evidence[PINNING_EVIDENCE_BYTES]; /* printable ASCII: "-drive file=a,cache=none" */
	const char *why; /* half a sentence; static */
	const char *remedy; /* static */
};

struct pinning {
	struct pinning_finding findings[PINNING_FINDINGS_MAX];
	size_t n;
	size_t n_more; /* that had no room */
	uint32_t pins; /* of all, also those without room */
	char unseen[PINNING_UNSEEN_BYTES]; /* what could not be looked at; empty: all was seen */
};

/* Whole text of a file, to be freed by the examiner. Return: NULL when it cannot be read. */
typedef char *(*pinning_read_t)(void *userdata, const char *path);

/* Examines a NULL terminated command. */
void pinning_examine(char *const command[], pinning_read_t read, void *userdata,
		     struct pinning *ret);

#endif
