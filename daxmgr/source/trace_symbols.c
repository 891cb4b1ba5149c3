/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace_symbols.h"

#include <stdio.h>
#include <string.h>

enum { NUMBER_DIGITS_MAX = 20 };

struct cursor {
	const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n'))
		c->at++;
}

static bool take(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	skip_blanks(c);
	if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
		return false;
	c->at += n;
	return true;
}

static int digit_of(char c, unsigned int base)
{
	int value = -1;

	if (c >= '0' && c <= '9')
		value = c - '0';
	else if (c >= 'a' && c <= 'f')
		value = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		value = c - 'A' + 10;
	return value >= 0 && (unsigned int)value < base ? value : -1;
}

static bool take_digits(struct cursor *c, uint64_t *ret)
{
	unsigned int base = take(c, "0x") ? 16 : 10, n = 0;
	uint64_t value = 0;

	while (c->at < c->end && n <= NUMBER_DIGITS_MAX && digit_of(*c->at, base) >= 0) {
		value = value * base + (unsigned int)digit_of(*c->at, base);
		c->at++;
		n++;
	}
	while (c->at < c->end && n && (*c->at == 'U' || *c->at == 'L'))
		c->at++;
	*ret = value;
	return n > 0;
}

static void skip_parentheses(struct cursor *c)
{
	skip_blanks(c);
	while (c->at < c->end && (*c->at == '(' || *c->at == ')' || *c->at == ' '))
		c->at++;
}

/* `3`, `0x20`, `((((1UL))) << (2))`: what macros of the kernel leave. */
static bool take_number(struct cursor *c, uint64_t *ret)
{
	uint64_t value, shift;

	skip_parentheses(c);
	if (!take_digits(c, &value))
		return false;
	skip_parentheses(c);
	if (take(c, "<<")) {
		skip_parentheses(c);
		if (!take_digits(c, &shift) || shift > 63)
			return false;
		value <<= shift;
		skip_parentheses(c);
	}
	*ret = value;
	return true;
}

/* A string of C without its quotes; escapes stay as they are. */
static bool take_string(struct cursor *c, const char **ret, size_t *ret_bytes)
{
	const char *begin;

	if (!take(c, "\""))
		return false;
	begin = c->at;
	while (c->at < c->end && *c->at != '"')
		c->at++;
	if (c->at == c->end)
		return false;
	*ret = begin;
	*ret_bytes = (size_t)(c->at - begin);
	c->at++;
	return true;
}

/* Behind the next `}`, so that an entry that is not understood takes no other with it. */
static bool skip_entry(struct cursor *c)
{
	while (c->at < c->end && *c->at != '}')
		c->at++;
	return c->at++ < c->end;
}

static void add_symbol(struct trace_formats *formats, struct trace_format *format, uint32_t layout,
		       bool is_bits, uint64_t value, const char *name, size_t bytes)
{
	struct trace_symbol *symbol;

	if (format->symbols + format->n_symbols == TRACE_SYMBOLS_MAX)
		return;
	symbol = &formats->symbols[format->symbols + format->n_symbols++];
	*symbol = (struct trace_symbol){.value = value, .layout = layout, .is_bits = is_bits};
	if (bytes >= sizeof(symbol->name))
		bytes = sizeof(symbol->name) - 1;
	memcpy(symbol->name, name, bytes);
}

static bool find_layout(const struct trace_formats *formats, const struct trace_format *format,
			const char *name, size_t bytes, uint32_t *ret)
{
	for (uint32_t i = 0; i < format->n_layouts; i++) {
		const char *field = formats->layouts[format->layouts + i].name;

		if (strlen(field) == bytes && !memcmp(field, name, bytes)) {
			*ret = format->layouts + i;
			return true;
		}
	}
	return false;
}

static bool has_symbols(const struct trace_formats *formats, const struct trace_format *format,
			uint32_t layout)
{
	for (uint32_t i = 0; i < format->n_symbols; i++)
		if (formats->symbols[format->symbols + i].layout == layout)
			return true;
	return false;
}

/* `REC->field, {…}, {…})` of a list whose name was just read. */
static void parse_list(struct trace_formats *formats, struct trace_format *format, struct cursor *c,
		       bool is_bits)
{
	const char *name, *text;
	size_t bytes, text_bytes;
	uint32_t layout;
	uint64_t value;

	if (!take(c, "REC->"))
		return;
	name = c->at;
	while (c->at < c->end && *c->at != ',')
		c->at++;
	bytes = (size_t)(c->at - name);
	if (!find_layout(formats, format, name, bytes, &layout) ||
	    has_symbols(formats, format, layout))
		return;
	if (is_bits && (!take(c, ",") || !take_string(c, &text, &text_bytes)))
		return;
	while (take(c, ",") && take(c, "{")) {
		if (take_number(c, &value) && take(c, ",") && take_string(c, &text, &text_bytes))
			add_symbol(formats, format, layout, is_bits, value, text, text_bytes);
		if (!skip_entry(c))
			return;
	}
}

void trace_symbols_parse(struct trace_formats *formats, struct trace_format *format,
			 const char *text, size_t bytes)
{
	static const char symbolic[] = "__print_symbolic(", flags[] = "__print_flags(";
	struct cursor c = {text, text + bytes};

	while (c.at < c.end) {
		const char *at = memchr(c.at, '_', (size_t)(c.end - c.at));

		if (!at)
			return;
		c.at = at;
		if (take(&c, symbolic))
			parse_list(formats, format, &c, false);
		else if (take(&c, flags))
			parse_list(formats, format, &c, true);
		else
			c.at++;
	}
}

static bool is_of(const struct trace_formats *formats, const struct trace_symbol *symbol,
		  const char *field)
{
	return !strcmp(formats->layouts[symbol->layout].name, field);
}

const char *trace_symbol_of(const struct trace_formats *formats, const struct trace_format *format,
			    const char *field, uint64_t value)
{
	for (uint32_t i = 0; i < format->n_symbols; i++) {
		const struct trace_symbol *symbol = &formats->symbols[format->symbols + i];

		if (symbol->value == value && is_of(formats, symbol, field))
			return symbol->name;
	}
	return NULL;
}

size_t trace_symbols_of_bits(const struct trace_formats *formats, const struct trace_format *format,
			     const char *field, uint64_t value, char *text, size_t room)
{
	size_t length = 0;

	if (!room)
		return 0;
	text[0] = '\0';
	for (uint32_t i = 0; i < format->n_symbols; i++) {
		const struct trace_symbol *symbol = &formats->symbols[format->symbols + i];
		int n;

		if (!symbol->is_bits || !(symbol->value & value) || !is_of(formats, symbol, field))
			continue;
		n = snprintf(text + length, room - length, "%s%s", length ? ", " : "",
			     symbol->name);
		if (n < 0 || (size_t)n >= room - length) {
			text[length] = '\0';
			break;
		}
		length += (size_t)n;
	}
	return length;
}
