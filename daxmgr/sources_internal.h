/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by sources*.c only. */
#ifndef DAXMGR_SOURCES_INTERNAL_H
#define DAXMGR_SOURCES_INTERNAL_H

#include "daemon.h"

/* Something was not seen: what is found otherwise than believed is told. */
void sources_observe_gap(struct daemon *daemon);
/* A gap of a source whose size is not known, as a record and in the journal. */
void sources_keep_gap(struct daemon *daemon, const char *source, const char *text);

/* sources_trace.c */
void sources_trace_open(struct daemon *daemon);
void sources_trace_mark(struct daemon *daemon, const struct store_mark *mark);

#endif
