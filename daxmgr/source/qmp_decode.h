/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One line of a QEMU monitor (QMP) into typed fields. The other end is a
 * virtual machine's process and may be hostile: lines are bounded, nesting is
 * bounded, and what is not understood is nothing. Pure: no I/O, no clock.
 */
#ifndef DAXMGR_SOURCE_QMP_DECODE_H
#define DAXMGR_SOURCE_QMP_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	QMP_LINE_BYTES_MAX = 4096, /* of one line; longer ones are left out and counted */
	QMP_DEPTH_MAX = 16,        /* of nested objects and arrays */
};

enum qmp_kind {
	QMP_NOTHING,        /* a reply, or an event that is of no interest */
	QMP_GREETING,       /* capabilities are to be negotiated */
	QMP_ERROR,          /* a command was refused */
	QMP_MEMORY_FAILURE, /* recipient, action, action_required, recursive */
	QMP_GUEST_PANICKED, /* action */
	QMP_STOPPED,        /* the machine stands still */
	QMP_RESUMED,
	QMP_SHUTDOWN,       /* reason */
	QMP_KINDS,
	QMP_MALFORMED = QMP_KINDS, /* not a line of QMP */
};

enum { QMP_WORD_BYTES = 32 };

/* Words are copies of letters, digits and '-' only; empty: absent or odd. */
struct qmp_event {
	enum qmp_kind kind;
	char recipient[QMP_WORD_BYTES]; /* "hypervisor", "guest" */
	char action[QMP_WORD_BYTES]; /* "ignore", "inject", "fatal", "reset"; "pause", "poweroff", "run" */
	char reason[QMP_WORD_BYTES]; /* "guest-shutdown", "host-signal", ... */
	bool action_required, has_action_required;
	bool recursive, has_recursive;
	uint64_t vm_us; /* what the VM says of its wall clock, microseconds since 1970 */
	bool has_vm_us;
};

/*
 * Reads one line without its end, `bytes` long. Return: kind, also in `ret`,
 * which is always filled; -ENOMEM is QMP_NOTHING.
 */
enum qmp_kind qmp_decode(const char *line, size_t bytes, struct qmp_event *ret);

/* "memory-failure", "guest-panicked", ...; a constant string. */
const char *qmp_kind_name(enum qmp_kind kind);

/* ---- what comes in pieces becomes lines ---- */

struct qmp_lines {
	char *partial; /* QMP_LINE_BYTES_MAX; allocated while a line waits for its end */
	size_t n;
	bool skipping; /* the rest of a line that was too long */
	uint64_t too_long;
};

/* A whole line, without its end; valid during the call. */
typedef void (*qmp_line_handler)(void *userdata, const char *line, size_t bytes);

/* Takes `bytes` bytes. Return: 0, or -ENOMEM: then the line they begin is skipped and counted. */
int qmp_lines_take(struct qmp_lines *lines, const char *data, size_t bytes,
		   qmp_line_handler on_line, void *userdata);

void qmp_lines_done(struct qmp_lines *lines);

#endif
