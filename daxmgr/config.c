/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding and reading the files. libeconf knows where they are and in which
 * order; each is then read by itself, because after a merge nobody knows any
 * more from which line a value came.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <libeconf.h>
#include <libeconf_ext.h>

#include "cleanup.h"
#include "config_internal.h"

#define SECOND UINT64_C(1000000000)

void config_init(struct config *ret)
{
	*ret = (struct config){
		.socket_path = "/run/daxmgr/org.daxmgr.Manager",
		.state_directory = "/var/lib/daxmgr",
		.policy_directory = "/etc/daxmgr/policy.d",
		.trace_buffer_bytes = UINT64_C(1) << 20,
		.trace_spool_bytes = UINT64_C(1) << 20,
		.settle_ns = 5 * SECOND,
		.exit_ns = 10 * SECOND,
		.retry_ns = 1 * SECOND,
		.attempts = 8,
		.automatic = true,
		.refill = true,
		.flap_losses = 3,
		.flap_window_ns = 600 * SECOND,
		.inspect_ns = 10 * SECOND,
		.isolation = {.mode = CONFIG_ISOLATION_MONITOR,
			      .poll_ns = SECOND / 200,
			      .cpu_timeout_ns = SECOND / 4},
		.poison = ISO_POISON_KILL,
		.poison_list_ns = 600 * SECOND,
		.source_kernel_log = true,
		.source_qmp = true,
		.source_aer_counters = true,
		.source_device_health = true,
		.source_last_boot = true,
		.source_poison_list = true,
		.grant_ns = 60 * SECOND,
		.align = UINT64_C(2) << 20,
	};
}

void config_free(struct config *config)
{
	free(config->regions);
	config->regions = NULL;
	config->n_regions = 0;
}

void config_policy(const struct config *config, struct iso_policy *policy)
{
	policy->settle_ns = config->settle_ns;
	policy->exit_ns = config->exit_ns;
	policy->retry_ns = config->retry_ns;
	policy->grant_ns = config->grant_ns;
	policy->attempts = config->attempts;
	policy->waits_for_operator = !config->automatic;
	policy->refill = config->refill;
	policy->evict = config->evict;
	policy->flap_losses = config->flap_losses;
	policy->flap_window_ns = config->flap_window_ns;
	policy->host_may_panic = config->host_may_panic;
	policy->inspect_ns = config->inspect_ns;
	policy->arm_ports = config->isolation.mode == CONFIG_ISOLATION_ARM;
	policy->arm_range = config->isolation.range;
	policy->poison = config->poison;
	policy->poison_list_ns = config->poison_list_ns;
	policy->reads_poison = true;
}

struct reader {
	struct config *config;
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

static void take(struct reader *reader, const char *section, const char *key, const char *value,
		 uint64_t line)
{
	char reason[CONFIG_REASON_BYTES] = "", what[256];

	snprintf(what, sizeof(what), "%s=%s", key, value);
	switch (config_set(reader->config, section, key, value, reason)) {
	case CONFIG_TAKEN:
		break;
	case CONFIG_UNKNOWN_KEY:
		fprintf(reader->messages,
			"%s:%llu: warning: nothing is called %s= in [%s]; ignored\n", reader->path,
			(unsigned long long)line, key, section);
		break;
	case CONFIG_BAD_VALUE:
		complain(reader, line, what, reason);
		break;
	case CONFIG_NO_MEMORY:
		complain(reader, line, what, "out of memory");
		break;
	}
}

static void read_key(struct reader *reader, const char *section, const char *key)
{
	econf_ext_value *found = NULL;
	_cleanup_free_ char *value = NULL;

	if (econf_getStringValue(reader->file, section, key, &value) != ECONF_SUCCESS)
		value = NULL;
	if (econf_getExtValue(reader->file, section, key, &found) != ECONF_SUCCESS)
		found = NULL;
	/* A line without '=' continues the one above. */
	if (value && strchr(value, '\n'))
		complain(reader, found ? found->line_number : 0, key,
			 "the line below is not KEY=VALUE");
	else
		take(reader, section, key, value ? value : "", found ? found->line_number : 0);
	if (found)
		econf_freeExtValue(found);
}

static bool seen_before(char *const *keys, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (!strcmp(keys[i], keys[at]))
			return true;
	return false;
}

static void read_section(struct reader *reader, const char *section)
{
	char reason[CONFIG_REASON_BYTES] = "", what[256];
	char **keys = NULL;
	size_t n = 0;

	snprintf(what, sizeof(what), "[%s]", section);
	switch (config_section(reader->config, section, reason)) {
	case CONFIG_TAKEN:
		break;
	case CONFIG_UNKNOWN_KEY:
		fprintf(reader->messages, "%s: warning: there is no section %s; ignored\n",
			reader->path, what);
		return;
	case CONFIG_BAD_VALUE:
	case CONFIG_NO_MEMORY:
		complain(reader, 0, what, reason);
		return;
	}
	if (econf_getKeys(reader->file, section, &n, &keys) != ECONF_SUCCESS)
		return;
	for (size_t i = 0; i < n; i++) {
		if (!seen_before(keys, i)) {
			read_key(reader, section, keys[i]);
			continue;
		}
		snprintf(what, sizeof(what), "[%s] %s=", section, keys[i]);
		complain(reader, 0, what, "given more than once in this file");
	}
	econf_freeArray(keys);
}

/* Where libeconf stopped, which says which file it was when several were read. */
static unsigned int report_unreadable(struct reader *reader, econf_err error)
{
	_cleanup_free_ char *file = NULL;
	uint64_t line = 0;

	econf_errLocation(&file, &line);
	if (file && *file)
		reader->path = file;
	complain(reader, line, econf_errString(error), "");
	return reader->n_errors;
}

unsigned int config_read_file(struct config *config, const char *path, FILE *messages)
{
	struct reader reader = {.config = config, .messages = messages, .path = path};
	char **sections = NULL, **keys = NULL;
	size_t n = 0;
	econf_err error;

	error = econf_readFile(&reader.file, path, "=", "#;");
	if (error != ECONF_SUCCESS)
		return report_unreadable(&reader, error);
	if (econf_getKeys(reader.file, NULL, &n, &keys) == ECONF_SUCCESS && n > 0)
		complain(&reader, 0, keys[0], "stands before any [Section]");
	econf_freeArray(keys);
	if (econf_getGroups(reader.file, &n, &sections) != ECONF_SUCCESS)
		n = 0;
	for (size_t i = 0; i < n; i++)
		read_section(&reader, sections[i]);
	econf_freeArray(sections);
	econf_freeFile(reader.file);
	return reader.n_errors;
}

static unsigned int read_all(const char *root, struct config *config, FILE *messages)
{
	char vendor[PATH_MAX], local[PATH_MAX];
	unsigned int n_errors = 0;
	econf_file **files = NULL;
	econf_err error;
	size_t n = 0;

	snprintf(vendor, sizeof(vendor), "%s/usr/lib/daxmgr", root);
	snprintf(local, sizeof(local), "%s/etc/daxmgr", root);
	error = econf_readDirsHistory(&files, &n, vendor, local, "daxmgrd", ".conf", "=", "#;");
	if (error == ECONF_NOFILE)
		return 0;
	if (error != ECONF_SUCCESS) {
		struct reader reader = {.messages = messages, .path = local};

		return report_unreadable(&reader, error);
	}
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *path = econf_getPath(files[i]);

		if (path)
			n_errors += config_read_file(config, path, messages);
		econf_freeFile(files[i]);
	}
	free(files);
	return n_errors;
}

int config_load(const char *root, struct config *ret, char **ret_messages)
{
	_cleanup_free_ char *text = NULL;
	size_t bytes = 0;
	FILE *messages;
	unsigned int n_errors;

	config_init(ret);
	messages = open_memstream(&text, &bytes);
	if (!messages)
		return -errno;
	n_errors = read_all(root, ret, messages);
	n_errors += config_check(ret, messages);
	if (fclose(messages) != 0)
		return -ENOMEM;
	if (ret_messages) {
		*ret_messages = bytes ? text : NULL;
		if (bytes)
			text = NULL;
	}
	return n_errors ? -EINVAL : 0;
}
