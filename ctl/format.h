/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the API's JSON and showing it: cells, sizes, times, tables. */
#ifndef CTL_FORMAT_H
#define CTL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <libsmartcols.h>
#include <systemd/sd-json.h>

enum { FORMAT_TIME_BYTES = 64 };

/* Fields of an object; what is not there is "", 0 or false. */
const char *format_text(sd_json_variant *object, const char *key);
uint64_t format_number(sd_json_variant *object, const char *key);
bool format_flag(sd_json_variant *object, const char *key);
bool format_has(sd_json_variant *object, const char *key);
sd_json_variant *format_list(sd_json_variant *object, const char *key);

/* The strings of a list, `between` them; what has no room is left out, words whole. Return: `text`. */
const char *format_words(sd_json_variant *list, const char *between, char *text, size_t room);

/* For every element of a list: `item` is borrowed. */
#define FORMAT_EACH(item, list)                                                                    \
	for (size_t item##_at_ = 0; item##_at_ < sd_json_variant_elements(list) &&                 \
				    ((item) = sd_json_variant_by_index((list), item##_at_), true); \
	     item##_at_++)

/* "2026-11-21 10:15:03.123" local time. */
const char *format_realtime(uint64_t realtime_us, char text[FORMAT_TIME_BYTES]);

/* "+0.000123 s" since another moment, "-" when the first is not known. */
const char *format_since(uint64_t ns, uint64_t start_ns, char text[FORMAT_TIME_BYTES]);

/* A table with these columns; names that begin with '>' are right-aligned, '=' is the tree. NULL: no memory. */
struct libscols_table *format_table(const char *const *columns, size_t n);

/* A line, below `parent` when it is not NULL. Exits the program without memory. */
struct libscols_line *format_line(struct libscols_table *table, struct libscols_line *parent);
void format_cell(struct libscols_line *line, size_t column, const char *text);
void format_cell_size(struct libscols_line *line, size_t column, uint64_t bytes);
void format_cell_number(struct libscols_line *line, size_t column, uint64_t value);

/* Prints and frees it; says `nothing` when it has no line. */
void format_print(struct libscols_table *table, const char *nothing);

#endif
