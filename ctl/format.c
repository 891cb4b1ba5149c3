/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "units.h"

const char *format_text(sd_json_variant *object, const char *key)
{
	sd_json_variant *value = sd_json_variant_by_key(object, key);

	return sd_json_variant_is_string(value) ? sd_json_variant_string(value) : "";
}

uint64_t format_number(sd_json_variant *object, const char *key)
{
	sd_json_variant *value = sd_json_variant_by_key(object, key);

	return sd_json_variant_is_unsigned(value) ? sd_json_variant_unsigned(value) : 0;
}

bool format_flag(sd_json_variant *object, const char *key)
{
	sd_json_variant *value = sd_json_variant_by_key(object, key);

	return sd_json_variant_is_boolean(value) && sd_json_variant_boolean(value);
}

bool format_has(sd_json_variant *object, const char *key)
{
	sd_json_variant *value = sd_json_variant_by_key(object, key);

	return value && !sd_json_variant_is_null(value);
}

sd_json_variant *format_list(sd_json_variant *object, const char *key)
{
	return sd_json_variant_by_key(object, key);
}

const char *format_words(sd_json_variant *list, const char *between, char *text, size_t room)
{
	sd_json_variant *item;
	size_t length = 0;

	text[0] = '\0';
	FORMAT_EACH(item, list)
	{
		int n = snprintf(text + length, room - length, "%s%s", length ? between : "",
				 sd_json_variant_is_string(item) ? sd_json_variant_string(item)
								 : "?");

		if (n < 0 || (size_t)n >= room - length) {
			text[length] = '\0';
			break;
		}
		length += (size_t)n;
	}
	return text;
}

const char *format_realtime(uint64_t realtime_us, char text[FORMAT_TIME_BYTES])
{
	time_t seconds = (time_t)(realtime_us / 1000000);
	char whole[32];
	struct tm broken;

	if (!localtime_r(&seconds, &broken) ||
	    !strftime(whole, sizeof(whole), "%Y-%m-%d %H:%M:%S", &broken))
		snprintf(whole, sizeof(whole), "@%lld", (long long)seconds);
	snprintf(text, FORMAT_TIME_BYTES, "%s.%03u", whole,
		 (unsigned int)(realtime_us / 1000 % 1000));
	return text;
}

const char *format_since(uint64_t ns, uint64_t start_ns, char text[FORMAT_TIME_BYTES])
{
	if (!ns)
		snprintf(text, FORMAT_TIME_BYTES, "-");
	else if (ns >= start_ns)
		snprintf(text, FORMAT_TIME_BYTES, "+%.6f s", (double)(ns - start_ns) / 1e9);
	else
		snprintf(text, FORMAT_TIME_BYTES, "-%.6f s", (double)(start_ns - ns) / 1e9);
	return text;
}

static void out_of_memory(void)
{
	fputs("daxmgrctl: out of memory\n", stderr);
	exit(EXIT_FAILURE);
}

struct libscols_table *format_table(const char *const *columns, size_t n)
{
	struct libscols_table *table;

	scols_init_debug(0);
	table = scols_new_table();
	if (!table)
		out_of_memory();
	for (size_t i = 0; i < n; i++) {
		const char *name = columns[i];
		int flags = 0;

		if (*name == '>')
			flags = SCOLS_FL_RIGHT, name++;
		else if (*name == '=')
			flags = SCOLS_FL_TREE, name++;
		if (!scols_table_new_column(table, name, 0, flags))
			out_of_memory();
	}
	/* Whoever reads a pipe wants whole cells. */
	if (!isatty(STDOUT_FILENO))
		scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	return table;
}

struct libscols_line *format_line(struct libscols_table *table, struct libscols_line *parent)
{
	struct libscols_line *line = scols_table_new_line(table, parent);

	if (!line)
		out_of_memory();
	return line;
}

void format_cell(struct libscols_line *line, size_t column, const char *text)
{
	if (scols_line_set_data(line, column, text) < 0)
		out_of_memory();
}

void format_cell_size(struct libscols_line *line, size_t column, uint64_t bytes)
{
	char text[UNITS_SIZE_BYTES];

	format_cell(line, column, units_format_size(bytes, text));
}

void format_cell_number(struct libscols_line *line, size_t column, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	format_cell(line, column, text);
}

void format_print(struct libscols_table *table, const char *nothing)
{
	if (scols_table_is_empty(table))
		puts(nothing);
	else
		scols_print_table(table);
	scols_unref_table(table);
}
