/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding and reading the files; libeconf reads each by itself, so that a message can name the line. */
#include "policy_file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <libeconf.h>
#include <libeconf_ext.h>

#include "cleanup.h"

enum { FILES_MAX = 512 };

struct reader {
	struct policy_set *set;
	FILE *messages;
	econf_file *file;
	const char *path;
	unsigned int n_errors;
};

static void complain(struct reader *reader, uint64_t line, const char *what, const char *reason)
{
	fprintf(reader->messages, "%s:%llu: %s%s%s\n", reader->path, (unsigned long long)line, what,
		*reason ? ": " : "", reason);
	reader->n_errors++;
}

static void take(struct reader *reader, struct iso_rule *rule, const char *key, const char *value,
		 uint64_t line)
{
	char reason[POLICY_REASON_BYTES] = "", what[256];
	int r;

	snprintf(what, sizeof(what), "%s=%s", key, value);
	/* A line without '=' continues the one above. */
	if (strchr(value, '\n')) {
		complain(reader, line, key, "the line below is not KEY=VALUE");
		return;
	}
	r = policy_set_key(rule, key, value, reason);
	if (r == -ENOENT)
		complain(reader, line, what, "a rule has no such key");
	else if (r < 0)
		complain(reader, line, what, reason);
}

static uint64_t read_key(struct reader *reader, struct iso_rule *rule, const char *section,
			 const char *key)
{
	econf_ext_value *found = NULL;
	_cleanup_free_ char *value = NULL;
	uint64_t line = 0;

	if (econf_getStringValue(reader->file, section, key, &value) != ECONF_SUCCESS)
		value = NULL;
	if (econf_getExtValue(reader->file, section, key, &found) == ECONF_SUCCESS && found) {
		line = found->line_number;
		econf_freeExtValue(found);
	}
	take(reader, rule, key, value ? value : "", line);
	return line;
}

static bool seen_before(char *const *keys, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (!strcmp(keys[i], keys[at]))
			return true;
	return false;
}

/* What is missing or does not go together; of the last key, which is near enough. */
static void check(struct reader *reader, const struct iso_rule *rule, uint64_t line)
{
	const char *reason = iso_rule_check(rule);
	char what[2 * ISO_NAME_BYTES];

	snprintf(what, sizeof(what), "[Rule %s]", rule->name);
	if (reason)
		complain(reader, line, what, reason);
}

static bool has_key(char *const *keys, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(keys[i], key))
			return true;
	return false;
}

/* One that is left out is not `notify`: a deadline or a later action would come with nothing before it. */
static void check_actions(struct reader *reader, const struct iso_rule *rule, char *const *keys,
			  size_t n, uint64_t line)
{
	char key[32] = "Action", what[2 * ISO_NAME_BYTES];

	for (uint32_t at = 0; at < rule->n_stages; at++) {
		if (at)
			snprintf(key, sizeof(key), "Action%u", at + 1);
		if (has_key(keys, n, key))
			continue;
		snprintf(what, sizeof(what), "[Rule %s]", rule->name);
		complain(reader, line, what,
			 at ? "an action before another, or of a deadline, is missing"
			    : "Action= is missing");
		return;
	}
}

static void read_rule(struct reader *reader, struct iso_rule *rule, const char *section)
{
	unsigned int n_before = reader->n_errors;
	uint64_t line = 0;
	char **keys = NULL;
	size_t n = 0;

	if (econf_getKeys(reader->file, section, &n, &keys) != ECONF_SUCCESS)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		if (seen_before(keys, i))
			complain(reader, 0, keys[i], "given more than once in this rule");
		else
			line = read_key(reader, rule, section, keys[i]);
	}
	if (reader->n_errors == n_before)
		check_actions(reader, rule, keys, n, line);
	if (reader->n_errors == n_before)
		check(reader, rule, line);
	if (n)
		econf_freeArray(keys);
}

static void read_section(struct reader *reader, const char *section)
{
	static const char prefix[] = "Rule ";
	struct policy_set *set = reader->set;
	const char *name = section + sizeof(prefix) - 1;
	char what[256];

	snprintf(what, sizeof(what), "[%s]", section);
	if (strncmp(section, prefix, sizeof(prefix) - 1)) {
		complain(reader, 0, what, "a section of a rule is called [Rule NAME]");
		return;
	}
	if (strlen(name) >= ISO_NAME_BYTES) {
		complain(reader, 0, what, "the name is longer than 64 characters");
		return;
	}
	for (uint32_t i = 0; i < set->n; i++)
		if (!strcmp(set->rules[i].name, name)) {
			complain(reader, 0, what, "there is another rule of that name");
			return;
		}
	if (set->n == ISO_RULES_MAX) {
		complain(reader, 0, what, "there are 128 rules already");
		return;
	}
	policy_rule_init(&set->rules[set->n], name);
	read_rule(reader, &set->rules[set->n++], section);
}

static unsigned int report_unreadable(struct reader *reader, econf_err error)
{
	_cleanup_free_ char *file = NULL;
	uint64_t line = 0;

	econf_errLocation(&file, &line);
	complain(reader, line, econf_errString(error), "");
	return reader->n_errors;
}

unsigned int policy_read_file(const char *path, struct policy_set *set, FILE *messages)
{
	struct reader reader = {.set = set, .messages = messages, .path = path};
	char **sections = NULL, **keys = NULL;
	size_t n = 0;
	econf_err error;

	error = econf_readFile(&reader.file, path, "=", "#;");
	if (error != ECONF_SUCCESS)
		return report_unreadable(&reader, error);
	if (econf_getKeys(reader.file, NULL, &n, &keys) == ECONF_SUCCESS && n > 0)
		complain(&reader, 0, keys[0], "stands before any [Rule NAME]");
	econf_freeArray(keys);
	if (econf_getGroups(reader.file, &n, &sections) != ECONF_SUCCESS)
		n = 0;
	for (size_t i = 0; i < n; i++)
		read_section(&reader, sections[i]);
	econf_freeArray(sections);
	econf_freeFile(reader.file);
	return reader.n_errors;
}

/* ---- directories ---- */

struct listing {
	struct {
		char name[NAME_MAX + 1];
		bool local;
	} files[FILES_MAX];
	size_t n;
	bool full;
};

static bool is_rule_file(const char *name)
{
	size_t length = strlen(name);

	return name[0] != '.' && length > 5 && !strcmp(name + length - 5, ".conf");
}

static void list_add(struct listing *list, const char *name, bool local)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->files[i].name, name)) {
			list->files[i].local |= local;
			return;
		}
	if (list->n == FILES_MAX) {
		list->full = true;
		return;
	}
	snprintf(list->files[list->n].name, sizeof(list->files[0].name), "%s", name);
	list->files[list->n++].local = local;
}

/* Return: 0, also when there is no such directory, or negative errno. */
static int list_directory(struct listing *list, const char *path, bool local)
{
	DIR *directory = path ? opendir(path) : NULL;
	struct dirent *entry;
	int r;

	if (!directory)
		return path && errno != ENOENT ? -errno : 0;
	errno = 0;
	while ((entry = readdir(directory)))
		if (is_rule_file(entry->d_name))
			list_add(list, entry->d_name, local);
	r = -errno;
	closedir(directory);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b); /* the name comes first in an entry */
}

/* A message for each directory that is there and cannot be listed. */
static unsigned int list_all(struct listing *list, const char *vendor, const char *local,
			     FILE *messages)
{
	const char *const paths[] = {vendor, local};
	unsigned int n_errors = 0;

	for (size_t i = 0; i < 2; i++) {
		int r = list_directory(list, paths[i], i == 1);

		if (r < 0) {
			fprintf(messages, "%s: %s\n", paths[i], strerror(-r));
			n_errors++;
		}
	}
	if (list->full) {
		fprintf(messages, "%s: more than %d files\n", local, FILES_MAX);
		n_errors++;
	}
	qsort(list->files, list->n, sizeof(list->files[0]), by_name);
	return n_errors;
}

static unsigned int read_all(const char *vendor, const char *local, struct policy_set *set,
			     FILE *messages)
{
	_cleanup_free_ struct listing *list = calloc(1, sizeof(*list));
	unsigned int n_errors;

	if (!list)
		return 1;
	n_errors = list_all(list, vendor, local, messages);
	for (size_t i = 0; i < list->n; i++) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s/%s", list->files[i].local ? local : vendor,
			     list->files[i].name) < 0)
			return n_errors + 1;
		n_errors += policy_read_file(path, set, messages);
	}
	return n_errors;
}

int policy_set_read(const char *vendor, const char *local, struct policy_set *ret)
{
	size_t bytes = 0;
	FILE *messages;

	*ret = (struct policy_set){.rules = calloc(ISO_RULES_MAX, sizeof(*ret->rules))};
	if (!ret->rules)
		return -ENOMEM;
	messages = open_memstream(&ret->messages, &bytes);
	if (!messages)
		return -errno;
	ret->n_errors = read_all(vendor, local, ret, messages);
	if (fclose(messages) != 0)
		return -ENOMEM;
	return ret->n_errors ? -EINVAL : 0;
}

void policy_set_free(struct policy_set *set)
{
	free(set->rules);
	free(set->messages);
	*set = (struct policy_set){0};
}
