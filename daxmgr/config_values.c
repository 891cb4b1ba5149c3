/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which keys there are and what their values mean. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <isolate/view.h>

#include "cleanup.h"
#include "config_internal.h"
#include "units.h"

enum { REGIONS_MAX = 1024, ATTEMPTS_MAX = 1000 };

#define MIB  (UINT64_C(1) << 20)
#define HOUR UINT64_C(3600000000000)

static enum config_result bad(char reason[CONFIG_REASON_BYTES], const char *text)
{
	snprintf(reason, CONFIG_REASON_BYTES, "%s", text);
	return CONFIG_BAD_VALUE;
}

static enum config_result set_path(char *to, size_t room, const char *value,
				   char reason[CONFIG_REASON_BYTES])
{
	if (value[0] != '/')
		return bad(reason, "not an absolute path");
	if (strlen(value) >= room)
		return bad(reason, "the path is too long");
	strcpy(to, value);
	return CONFIG_TAKEN;
}

static enum config_result set_time(uint64_t *ns, const char *value,
				   char reason[CONFIG_REASON_BYTES])
{
	uint64_t parsed;

	if (units_parse_time(value, &parsed) < 0)
		return bad(reason, "not a time such as 500ms, 5s or 2min");
	if (parsed == 0 || parsed > 24 * HOUR)
		return bad(reason, "must be more than nothing and at most a day");
	*ns = parsed;
	return CONFIG_TAKEN;
}

static enum config_result set_trace_buffer(struct config *config, const char *value,
					   char reason[CONFIG_REASON_BYTES])
{
	uint64_t bytes;

	if (units_parse_size(value, &bytes) < 0)
		return bad(reason, "not a size such as 512K or 1M");
	if (bytes < 64 * 1024 || bytes > 256 * MIB)
		return bad(reason, "must be at least 64K and at most 256M, for each CPU");
	config->trace_buffer_bytes = bytes;
	return CONFIG_TAKEN;
}

static enum config_result set_trace_spool(struct config *config, const char *value,
					  char reason[CONFIG_REASON_BYTES])
{
	uint64_t bytes;

	if (units_parse_size(value, &bytes) < 0)
		return bad(reason, "not a size such as 512K or 2M");
	if (bytes < 64 * 1024 || bytes > 256 * MIB)
		return bad(reason, "must be at least 64K and at most 256M");
	config->trace_spool_bytes = bytes;
	return CONFIG_TAKEN;
}

static enum config_result set_align(struct config *config, const char *value,
				    char reason[CONFIG_REASON_BYTES])
{
	uint64_t align;

	if (units_parse_size(value, &align) < 0 || (align != 2 * MIB && align != 1024 * MIB))
		return bad(reason, "must be 2M or 1G");
	config->align = align;
	return CONFIG_TAKEN;
}

static enum config_result set_number(uint32_t *number, const char *value, uint32_t least,
				     uint32_t most, char reason[CONFIG_REASON_BYTES])
{
	uint64_t parsed;

	/* The same digits as a size without a unit, and nothing else. */
	if (strspn(value, "0123456789") != strlen(value) || units_parse_size(value, &parsed) < 0 ||
	    parsed < least || parsed > most) {
		snprintf(reason, CONFIG_REASON_BYTES, "must be a number from %u to %u", least,
			 most);
		return CONFIG_BAD_VALUE;
	}
	*number = (uint32_t)parsed;
	return CONFIG_TAKEN;
}

static enum config_result set_bool(bool *flag, const char *value, char reason[CONFIG_REASON_BYTES])
{
	static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false",
										    "off", "0"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (strcmp(value, yes[i]) && strcmp(value, no[i]))
			continue;
		*flag = !strcmp(value, yes[i]);
		return CONFIG_TAKEN;
	}
	return bad(reason, "must be yes or no");
}

static enum config_result set_decoder_order(struct config *config, const char *value,
					    char reason[CONFIG_REASON_BYTES])
{
	if (strcmp(value, "wait") && strcmp(value, "evict"))
		return bad(reason, "must be wait or evict");
	config->evict = !strcmp(value, "evict");
	return CONFIG_TAKEN;
}

static enum config_result set_manager(struct config *config, const char *key, const char *value,
				      char reason[CONFIG_REASON_BYTES])
{
	if (!strcmp(key, "SocketPath"))
		return set_path(config->socket_path, sizeof(config->socket_path), value, reason);
	if (!strcmp(key, "StateDirectory"))
		return set_path(config->state_directory, sizeof(config->state_directory), value,
				reason);
	if (!strcmp(key, "TraceBufferSize"))
		return set_trace_buffer(config, value, reason);
	if (!strcmp(key, "TraceSpoolSize"))
		return set_trace_spool(config, value, reason);
	return CONFIG_UNKNOWN_KEY;
}

static enum config_result set_recovery(struct config *config, const char *key, const char *value,
				       char reason[CONFIG_REASON_BYTES])
{
	if (!strcmp(key, "SettleSec"))
		return set_time(&config->settle_ns, value, reason);
	if (!strcmp(key, "ExitTimeoutSec"))
		return set_time(&config->exit_ns, value, reason);
	if (!strcmp(key, "RetrySec"))
		return set_time(&config->retry_ns, value, reason);
	if (!strcmp(key, "Attempts"))
		return set_number(&config->attempts, value, 1, ATTEMPTS_MAX, reason);
	if (!strcmp(key, "Automatic"))
		return set_bool(&config->automatic, value, reason);
	if (!strcmp(key, "Refill"))
		return set_bool(&config->refill, value, reason);
	if (!strcmp(key, "DecoderOrder"))
		return set_decoder_order(config, value, reason);
	if (!strcmp(key, "FlapLosses"))
		return set_number(&config->flap_losses, value, 0, ISO_PORT_LOSSES_MAX, reason);
	if (!strcmp(key, "FlapWindowSec"))
		return set_time(&config->flap_window_ns, value, reason);
	return CONFIG_UNKNOWN_KEY;
}

static enum config_result set_pins(struct config *config, const char *key, const char *value,
				   char reason[CONFIG_REASON_BYTES])
{
	if (!strcmp(key, "HostMayPanic"))
		return set_bool(&config->host_may_panic, value, reason);
	if (!strcmp(key, "InspectSec"))
		return set_time(&config->inspect_ns, value, reason);
	return CONFIG_UNKNOWN_KEY;
}

static enum config_result set_poison_action(struct config *config, const char *value,
					    char reason[CONFIG_REASON_BYTES])
{
	for (uint32_t action = ISO_POISON_KILL; action < ISO_POISON_ACTIONS; action++)
		if (!strcmp(value, iso_poison_action_name(action))) {
			config->poison = action;
			return CONFIG_TAKEN;
		}
	return bad(reason, "must be kill, notify or ignore");
}

static enum config_result set_poison(struct config *config, const char *key, const char *value,
				     char reason[CONFIG_REASON_BYTES])
{
	if (!strcmp(key, "Action"))
		return set_poison_action(config, value, reason);
	if (!strcmp(key, "ListInterval"))
		return set_time(&config->poison_list_ns, value, reason);
	return CONFIG_UNKNOWN_KEY;
}

static enum config_result set_sources(struct config *config, const char *key, const char *value,
				      char reason[CONFIG_REASON_BYTES])
{
	if (!strcmp(key, "KernelLog"))
		return set_bool(&config->source_kernel_log, value, reason);
	if (!strcmp(key, "Qmp"))
		return set_bool(&config->source_qmp, value, reason);
	if (!strcmp(key, "AerCounters"))
		return set_bool(&config->source_aer_counters, value, reason);
	if (!strcmp(key, "DeviceHealth"))
		return set_bool(&config->source_device_health, value, reason);
	if (!strcmp(key, "LastBoot"))
		return set_bool(&config->source_last_boot, value, reason);
	if (!strcmp(key, "PoisonList"))
		return set_bool(&config->source_poison_list, value, reason);
	return CONFIG_UNKNOWN_KEY;
}

static enum config_result set_lease(struct config *config, const char *key, const char *value,
				    char reason[CONFIG_REASON_BYTES])
{
	if (!strcmp(key, "GrantTimeoutSec"))
		return set_time(&config->grant_ns, value, reason);
	if (!strcmp(key, "Align"))
		return set_align(config, value, reason);
	return CONFIG_UNKNOWN_KEY;
}

static enum config_result set_policy(struct config *config, const char *key, const char *value,
				     char reason[CONFIG_REASON_BYTES])
{
	if (!strcmp(key, "Directory"))
		return set_path(config->policy_directory, sizeof(config->policy_directory), value,
				reason);
	return CONFIG_UNKNOWN_KEY;
}

static enum config_result set_inject(struct config *config, const char *key, const char *value,
				     char reason[CONFIG_REASON_BYTES])
{
	if (!strcmp(key, "Allow"))
		return set_bool(&config->inject, value, reason);
	return CONFIG_UNKNOWN_KEY;
}

/* Adds it when it is new. NULL: no memory or too many. */
static struct iso_region_definition *find_region(struct config *config, const char *name)
{
	struct iso_region_definition *regions;

	for (uint32_t i = 0; i < config->n_regions; i++)
		if (!strcmp(config->regions[i].name, name))
			return &config->regions[i];
	if (config->n_regions == REGIONS_MAX)
		return NULL;
	regions = reallocarray(config->regions, config->n_regions + 1, sizeof(*regions));
	if (!regions)
		return NULL;
	config->regions = regions;
	regions += config->n_regions++;
	*regions = (struct iso_region_definition){0};
	strcpy(regions->name, name);
	return regions;
}

static uint32_t count_serials(const struct iso_region_definition *region)
{
	uint32_t n = 0;

	/* 0 is no serial number: what has none cannot be told from others. */
	while (n < ISO_WAYS_MAX && region->serials[n])
		n++;
	return n;
}

static enum config_result set_memdevs(struct iso_region_definition *region, const char *value,
				      char reason[CONFIG_REASON_BYTES])
{
	_cleanup_free_ char *copy = strdup(value);
	uint64_t serials[ISO_WAYS_MAX];
	char *rest, *word;
	uint32_t n = 0, n_before = count_serials(region);

	if (!copy)
		return CONFIG_NO_MEMORY;
	for (word = strtok_r(copy, " \t,", &rest); word; word = strtok_r(NULL, " \t,", &rest)) {
		if (n == ISO_WAYS_MAX)
			return bad(reason, "a region has at most 16 memory devices");
		if (units_parse_serial(word, &serials[n]) < 0 || serials[n] == 0) {
			snprintf(reason, CONFIG_REASON_BYTES,
				 "'%.40s' is not a serial number such as 0x10", word);
			return CONFIG_BAD_VALUE;
		}
		for (uint32_t i = 0; i < n; i++)
			if (serials[i] == serials[n])
				return bad(reason, "the same memory device twice");
		n++;
	}
	if (!n)
		return bad(reason, "at least one serial number is needed");
	/* Without Ways= there is one way per device; config_check() refuses what does not fit. */
	if (region->ways == n_before)
		region->ways = n;
	memset(region->serials, 0, sizeof(region->serials));
	memcpy(region->serials, serials, n * sizeof(*serials));
	return CONFIG_TAKEN;
}

static enum config_result set_granularity(struct iso_region_definition *region, const char *value,
					  char reason[CONFIG_REASON_BYTES])
{
	uint64_t bytes;

	if (units_parse_size(value, &bytes) < 0 || bytes < 256 || bytes > 16384 ||
	    (bytes & (bytes - 1)))
		return bad(reason, "must be 256, 512, 1K, 2K, 4K, 8K or 16K");
	region->granularity = (uint32_t)bytes;
	return CONFIG_TAKEN;
}

static enum config_result set_size(struct iso_region_definition *region, const char *value,
				   char reason[CONFIG_REASON_BYTES])
{
	uint64_t bytes;

	if (units_parse_size(value, &bytes) < 0 || bytes == 0 || bytes % (256 * MIB))
		return bad(reason, "must be a multiple of 256M");
	region->bytes = bytes;
	return CONFIG_TAKEN;
}

static enum config_result set_region(struct config *config, const char *name, const char *key,
				     const char *value, char reason[CONFIG_REASON_BYTES])
{
	struct iso_region_definition *region = find_region(config, name);

	if (!region)
		return CONFIG_NO_MEMORY;
	if (!strcmp(key, "Memdevs"))
		return set_memdevs(region, value, reason);
	if (!strcmp(key, "Ways"))
		return set_number(&region->ways, value, 1, ISO_WAYS_MAX, reason);
	if (!strcmp(key, "Granularity"))
		return set_granularity(region, value, reason);
	if (!strcmp(key, "Size"))
		return set_size(region, value, reason);
	return CONFIG_UNKNOWN_KEY;
}

static const char *region_name(const char *section)
{
	static const char prefix[] = "Region ";

	if (strncmp(section, prefix, sizeof(prefix) - 1))
		return NULL;
	return section + sizeof(prefix) - 1;
}

enum config_result config_section(struct config *config, const char *section,
				  char reason[CONFIG_REASON_BYTES])
{
	const char *name = region_name(section);

	if (!strcmp(section, "Manager") || !strcmp(section, "Recovery") ||
	    !strcmp(section, "Pins") || !strcmp(section, "Poison") || !strcmp(section, "Lease") ||
	    !strcmp(section, "Policy") || !strcmp(section, "Inject") ||
	    !strcmp(section, "Sources") || !strcmp(section, "Isolation"))
		return CONFIG_TAKEN;
	if (!name)
		return CONFIG_UNKNOWN_KEY;
	if (!iso_name_valid(name))
		return bad(
			reason,
			"the name of a region is up to 64 letters, digits, '_', '.', '-', and begins "
			"with a letter or digit");
	return find_region(config, name) ? CONFIG_TAKEN : bad(reason, "too many regions");
}

enum config_result config_set(struct config *config, const char *section, const char *key,
			      const char *value, char reason[CONFIG_REASON_BYTES])
{
	if (!strcmp(section, "Manager"))
		return set_manager(config, key, value, reason);
	if (!strcmp(section, "Recovery"))
		return set_recovery(config, key, value, reason);
	if (!strcmp(section, "Pins"))
		return set_pins(config, key, value, reason);
	if (!strcmp(section, "Poison"))
		return set_poison(config, key, value, reason);
	if (!strcmp(section, "Lease"))
		return set_lease(config, key, value, reason);
	if (!strcmp(section, "Isolation"))
		return config_set_isolation(&config->isolation, key, value, reason);
	if (!strcmp(section, "Sources"))
		return set_sources(config, key, value, reason);
	if (!strcmp(section, "Policy"))
		return set_policy(config, key, value, reason);
	if (!strcmp(section, "Inject"))
		return set_inject(config, key, value, reason);
	return set_region(config, region_name(section), key, value, reason);
}

unsigned int config_check(const struct config *config, FILE *messages)
{
	static const uint32_t possible = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 8 |
					 1 << 12 | 1 << 16;
	unsigned int n_errors = 0;

	for (uint32_t i = 0; i < config->n_regions; i++) {
		const struct iso_region_definition *region = &config->regions[i];
		uint32_t n = count_serials(region);

		if (n == 0)
			fprintf(messages, "[Region %s]: Memdevs= is missing\n", region->name);
		else if (n != region->ways)
			fprintf(messages,
				"[Region %s]: Ways=%u, but Memdevs= names %u memory devices\n",
				region->name, region->ways, n);
		else if (!(possible & 1U << n))
			fprintf(messages,
				"[Region %s]: %u ways: possible are 1, 2, 3, 4, 6, 8, 12, 16\n",
				region->name, n);
		else if (region->bytes % n)
			fprintf(messages, "[Region %s]: Size= does not divide by %u ways\n",
				region->name, n);
		else
			continue;
		n_errors++;
	}
	return n_errors;
}
