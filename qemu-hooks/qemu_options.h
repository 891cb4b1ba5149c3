/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's ways to write options, as far as one has to read them: KEY=VALUE
 * lists with ',,' for a comma, JSON objects, and files of -readconfig. All of
 * them become pairs; keys of what is nested are joined by dots, as QEMU itself
 * writes them ("file.cache.direct").
 */
#ifndef QEMU_HOOKS_QEMU_OPTIONS_H
#define QEMU_HOOKS_QEMU_OPTIONS_H

#include <stdbool.h>

enum {
	QEMU_KEY_BYTES = 256, /* longer keys and values are cut; QEMU has none that matter here */
	QEMU_VALUE_BYTES = 4096,
};

typedef void (*qemu_pair_t)(void *userdata, const char *key, const char *value);

/*
 * One argument, "driver=x,a.b=c" or "{...}". The key of a first value without
 * one is `implied` (NULL: there is none); another key without a value is "on",
 * or "off" when it begins with "no". Return: false when it could not be read to
 * its end.
 */
bool qemu_options_each(const char *text, const char *implied, qemu_pair_t pair, void *userdata);

/* As above for JSON in text, with "PREFIX." before its keys when `prefix` is not empty. */
bool qemu_options_each_json(const char *text, const char *prefix, qemu_pair_t pair, void *userdata);

/* One section of a -readconfig file: `group` is "drive" of [drive "disk0"]. */
typedef void (*qemu_group_t)(void *userdata, const char *group, const char *key, const char *value);

/* All pairs of such a file. */
void qemu_config_each(const char *text, qemu_group_t pair, void *userdata);

#endif
