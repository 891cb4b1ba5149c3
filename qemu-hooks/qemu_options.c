/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qemu_options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <systemd/sd-json.h>

#include "cleanup.h"

enum { DEPTH_MAX = 32 };

struct walk {
	qemu_pair_t pair;
	void *userdata;
	bool too_deep;
};

static void walk_json(struct walk *walk, sd_json_variant *variant, const char *key,
		      unsigned int depth);

static void join_key(char *to, const char *prefix, const char *key)
{
	snprintf(to, QEMU_KEY_BYTES, "%s%s%s", prefix, *prefix ? "." : "", key);
}

static void walk_children(struct walk *walk, sd_json_variant *variant, const char *key,
			  unsigned int depth)
{
	bool is_object = sd_json_variant_is_object(variant);
	size_t n = sd_json_variant_elements(variant);
	char child[QEMU_KEY_BYTES], index[24];

	for (size_t i = 0; i < n; i += is_object ? 2 : 1) {
		sd_json_variant *name = sd_json_variant_by_index(variant, i);

		snprintf(index, sizeof(index), "%zu", i);
		join_key(child, key, is_object ? sd_json_variant_string(name) : index);
		walk_json(walk, is_object ? sd_json_variant_by_index(variant, i + 1) : name, child,
			  depth + 1);
	}
}

static void walk_json(struct walk *walk, sd_json_variant *variant, const char *key,
		      unsigned int depth)
{
	if (depth > DEPTH_MAX)
		walk->too_deep = true;
	else if (sd_json_variant_is_object(variant) || sd_json_variant_is_array(variant))
		walk_children(walk, variant, key, depth);
	else if (sd_json_variant_is_boolean(variant))
		walk->pair(walk->userdata, key, sd_json_variant_boolean(variant) ? "on" : "off");
	else if (sd_json_variant_is_string(variant))
		walk->pair(walk->userdata, key, sd_json_variant_string(variant));
}

/* QEMU takes '...' as well as "..." for a string. */
static char *with_double_quotes(const char *text)
{
	char *copy = strdup(text);
	char open = '\0';

	for (char *c = copy; c && *c; c++) {
		if (*c == '\\' && open && c[1])
			c++;
		else if (open == '\0' && (*c == '"' || *c == '\''))
			open = *c, *c = '"';
		else if (open && *c == open)
			open = '\0', *c = '"';
		else if (open == '\'' && *c == '"')
			*c = '\'';
	}
	return copy;
}

bool qemu_options_each_json(const char *text, const char *prefix, qemu_pair_t pair, void *userdata)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *object = NULL;
	_cleanup_free_ char *plain = with_double_quotes(text);
	struct walk walk = {.pair = pair, .userdata = userdata};

	if (!plain || sd_json_parse(plain, 0, &object, NULL, NULL) < 0)
		return false;
	walk_json(&walk, object, prefix, 0);
	return !walk.too_deep;
}

/* The value at `text` without its escapes. Return: what follows its comma, or the end. */
static const char *read_value(const char *text, char value[QEMU_VALUE_BYTES])
{
	size_t length = 0;

	for (; *text; text++) {
		if (*text == ',' && *++text != ',')
			break;
		if (length < QEMU_VALUE_BYTES - 1)
			value[length++] = *text;
	}
	value[length] = '\0';
	return text;
}

static void pair_without_value(const char *key, qemu_pair_t pair, void *userdata)
{
	if (!strncmp(key, "no", 2))
		pair(userdata, key + 2, "off");
	pair(userdata, key, "on");
}

bool qemu_options_each(const char *text, const char *implied, qemu_pair_t pair, void *userdata)
{
	char key[QEMU_KEY_BYTES], value[QEMU_VALUE_BYTES];

	if (*text == '{')
		return qemu_options_each_json(text, "", pair, userdata);
	for (; *text; implied = NULL) {
		size_t length = strcspn(text, "=,");

		if (text[length] == '=') {
			snprintf(key, sizeof(key), "%.*s",
				 (int)(length < sizeof(key) ? length : sizeof(key)), text);
			text = read_value(text + length + 1, value);
			pair(userdata, key, value);
			continue;
		}
		text = read_value(text, value);
		if (implied)
			pair(userdata, implied, value);
		else
			pair_without_value(value, pair, userdata);
	}
	return true;
}

/* `line` is "  KEY = \"VALUE\"", changed in place. Return: false for anything else. */
static bool split_line(char *line, char **ret_key, char **ret_value)
{
	char *equals = strchr(line, '='), *end;

	if (!equals)
		return false;
	*equals = '\0';
	*ret_key = line + strspn(line, " \t");
	(*ret_key)[strcspn(*ret_key, " \t")] = '\0';
	*ret_value = equals + 1 + strspn(equals + 1, " \t");
	if (**ret_value == '"') {
		++*ret_value;
		end = strchr(*ret_value, '"');
	} else {
		end = *ret_value + strcspn(*ret_value, " \t\r");
	}
	if (end)
		*end = '\0';
	return **ret_key != '\0';
}

void qemu_config_each(const char *text, qemu_group_t pair, void *userdata)
{
	_cleanup_free_ char *copy = strdup(text);
	char group[64] = "", *rest, *line, *key, *value;

	if (!copy)
		return;
	for (line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		line += strspn(line, " \t");
		if (*line == '#')
			continue;
		if (*line == '[')
			snprintf(group, sizeof(group), "%.*s", (int)strcspn(line + 1, " \t\"]"),
				 line + 1);
		else if (split_line(line, &key, &value))
			pair(userdata, group, key, value);
	}
}
