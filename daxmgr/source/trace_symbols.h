/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The words that a kernel's own print format has for values and bits of fields:
 * its lists __print_symbolic() and __print_flags(). libtraceevent drops a whole
 * format for one function it does not know, as the cxl events have. Pure.
 */
#ifndef DAXMGR_SOURCE_TRACE_SYMBOLS_H
#define DAXMGR_SOURCE_TRACE_SYMBOLS_H

#include "trace_decode.h"

/*
 * Appends what `text`, the format file of `format`, has for its fields. Of two
 * lists for one field the first counts; what is not a plain number is left out.
 */
void trace_symbols_parse(struct trace_formats *formats, struct trace_format *format,
			 const char *text, size_t bytes);

/* Return: the word for a value, NULL: there is none. */
const char *trace_symbol_of(const struct trace_formats *formats, const struct trace_format *format,
			    const char *field, uint64_t value);

/* The words of the bits that are set, with `, ` between. Return: characters written, 0: none has one. */
size_t trace_symbols_of_bits(const struct trace_formats *formats, const struct trace_format *format,
			     const char *field, uint64_t value, char *text, size_t room);

#endif
