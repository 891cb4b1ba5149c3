/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policy rules as people write them: files NAME.conf of a directory, by name,
 * with a section [Rule NAME] each; keys in daxmgr-policy(5). Used by the
 * daemon and, without one, by `daxmgrctl policy check`.
 *
 * A file in the local directory replaces the vendor's of the same name; an
 * empty one takes it away.
 */
#ifndef DAXMGR_POLICY_FILE_H
#define DAXMGR_POLICY_FILE_H

#include <stdio.h>

#include <isolate/rules.h>

#define POLICY_VENDOR_DIRECTORY "/usr/lib/daxmgr/policy.d"

enum { POLICY_REASON_BYTES = 160 };

struct policy_set {
	struct iso_rule *rules; /* room for ISO_RULES_MAX */
	uint32_t n;
	unsigned int n_errors;
	char *messages; /* a line "FILE:LINE: KEY=VALUE: reason" each; NULL: none */
};

/*
 * Reads all rules of both directories, either of which may be missing; `vendor`
 * may be NULL. The set is whole or has errors: then it must not be loaded.
 * Return: 0, -EINVAL with errors, another negative errno. `ret` is filled in
 * any case and released by policy_set_free().
 */
int policy_set_read(const char *vendor, const char *local, struct policy_set *ret);
void policy_set_free(struct policy_set *set);

/* ---- in parts, for tests and the fuzzer ---- */

/* The rules of one file over what is there. Return: how many errors; messages go to `messages`. */
unsigned int policy_read_file(const char *path, struct policy_set *set, FILE *messages);
/* One assignment. Return: 0, -ENOENT for an unknown key, -EINVAL with a reason. */
int policy_set_key(struct iso_rule *rule, const char *key, const char *value,
		   char reason[POLICY_REASON_BYTES]);
/* "NAME=VALUE NAME>=3 …" as comparisons. Return: 0 or -EINVAL with a reason. */
int policy_parse_fields(struct iso_rule *rule, const char *text, char reason[POLICY_REASON_BYTES]);
/* A rule before anything was said of it. */
void policy_rule_init(struct iso_rule *rule, const char *name);

#endif
