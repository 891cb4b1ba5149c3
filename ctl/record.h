/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records to explain or inject, from options and files. */
#ifndef CTL_RECORD_H
#define CTL_RECORD_H

#include <systemd/sd-json.h>

/* Reads a file of at most 1 MiB, "-" is standard input. Return: text the caller frees, or NULL after a message. */
char *record_read_file(const char *path, size_t *ret_bytes);
/* A JSON object out of a file. Return: NULL after a message. */
sd_json_variant *record_read_json(const char *path);

/* A canonical record as it is put together from options. */
struct record_options {
	sd_json_variant *members; /* {source, kind, …} */
	sd_json_variant *fields;
};

/* "k=v": v is a number where it reads as one. Return: 0 or negative errno. */
int record_add_field(struct record_options *options, const char *assignment);
int record_add_member(struct record_options *options, const char *name, const char *value);
/* The record; NULL when nothing was said of one. Return: 0 or negative errno. */
int record_build(struct record_options *options, sd_json_variant **ret);
void record_clear(struct record_options *options);

/* "a,b,c" as an array of texts. Return: 0 or negative errno. */
int record_names(const char *list, sd_json_variant **ret);

#endif
