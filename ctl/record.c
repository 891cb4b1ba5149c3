/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "verb.h"

enum { FILE_BYTES_MAX = 1 << 20 };

char *record_read_file(const char *path, size_t *ret_bytes)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *text = file ? malloc(FILE_BYTES_MAX + 1) : NULL;
	size_t bytes = text ? fread(text, 1, FILE_BYTES_MAX + 1, file) : 0;

	if (!file || !text || ferror(file) || bytes > FILE_BYTES_MAX) {
		fprintf(stderr, "daxmgrctl: %s: %s\n", path,
			bytes > FILE_BYTES_MAX ? "larger than 1 MiB" : strerror(errno));
		free(text);
		text = NULL;
	} else {
		text[bytes] = '\0';
		*ret_bytes = bytes;
	}
	if (file && file != stdin)
		fclose(file);
	return text;
}

sd_json_variant *record_read_json(const char *path)
{
	size_t bytes = 0;
	_cleanup_free_ char *text = record_read_file(path, &bytes);
	sd_json_variant *object = NULL;
	unsigned int line = 0, column = 0;

	if (!text)
		return NULL;
	if (sd_json_parse(text, 0, &object, &line, &column) < 0 ||
	    !sd_json_variant_is_object(object)) {
		fprintf(stderr, "daxmgrctl: %s:%u:%u: not a JSON object\n", path, line, column);
		object = sd_json_variant_unref(object);
	}
	return object;
}

static int set_value(sd_json_variant **object, const char *name, const char *value)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *variant = NULL;
	uint64_t number;
	char *end;
	int r;

	errno = 0;
	number = strtoull(value, &end, 0);
	if (isdigit((unsigned char)value[0]) && !*end && !errno)
		r = sd_json_variant_new_unsigned(&variant, number);
	else
		r = sd_json_variant_new_string(&variant, value);
	return r < 0 ? r : sd_json_variant_set_field(object, name, variant);
}

int record_add_field(struct record_options *options, const char *assignment)
{
	const char *equal = strchr(assignment, '=');
	_cleanup_free_ char *name = NULL;

	if (!equal || equal == assignment)
		return -EINVAL;
	name = strndup(assignment, (size_t)(equal - assignment));
	return name ? set_value(&options->fields, name, equal + 1) : -ENOMEM;
}

int record_add_member(struct record_options *options, const char *name, const char *value)
{
	return sd_json_variant_set_field_string(&options->members, name, value);
}

int record_build(struct record_options *options, sd_json_variant **ret)
{
	int r = 0;

	*ret = NULL;
	if (!options->members && !options->fields)
		return 0;
	if (options->fields)
		r = sd_json_variant_set_field(&options->members, "fields", options->fields);
	if (r >= 0)
		*ret = sd_json_variant_ref(options->members);
	return r;
}

void record_clear(struct record_options *options)
{
	options->members = sd_json_variant_unref(options->members);
	options->fields = sd_json_variant_unref(options->fields);
}

int record_names(const char *list, sd_json_variant **ret)
{
	_cleanup_free_ char *copy = strdup(list);
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *array = NULL;
	char *rest, *word;
	int r;

	if (!copy)
		return -ENOMEM;
	r = sd_json_variant_new_array(&array, NULL, 0);
	for (word = strtok_r(copy, ", ", &rest); r >= 0 && word;
	     word = strtok_r(NULL, ", ", &rest)) {
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *name = NULL;

		r = sd_json_variant_new_string(&name, word);
		if (r >= 0)
			r = sd_json_variant_append_array(&array, name);
	}
	if (r < 0)
		return r;
	*ret = array;
	array = NULL;
	return 0;
}
