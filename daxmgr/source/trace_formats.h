/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table trace_decode() works with, made from the kernel's `format` files
 * through libtraceevent. Done once, at start; it allocates.
 */
#ifndef DAXMGR_SOURCE_TRACE_FORMATS_H
#define DAXMGR_SOURCE_TRACE_FORMATS_H

#include "trace_decode.h"

/*
 * Adds one event. `text` is its format file, `bytes` long without a NUL.
 * Return: 0; -EOPNOTSUPP when nobody wants this event; -EINVAL when the text
 * is not a format or its records do not start with common_type; -EEXIST when
 * its type is in the table already; -ENOSPC when the table is full; -ENOMEM.
 */
int trace_formats_add(struct trace_formats *formats, const char *system, const char *text,
		      size_t bytes);

/* Return: whether an event of that system and name is one to decode. */
bool trace_formats_wants(const char *system, const char *name, enum trace_kind *ret_kind);

#endif
