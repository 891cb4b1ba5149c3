/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of [Isolation]. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <isolate/view.h>

#include "config_internal.h"
#include "isolation/registers.h"
#include "units.h"

#define MS     UINT64_C(1000000)
#define MINUTE (60000 * MS)

static enum config_result bad(char reason[CONFIG_REASON_BYTES], const char *text)
{
	snprintf(reason, CONFIG_REASON_BYTES, "%s", text);
	return CONFIG_BAD_VALUE;
}

static enum config_result set_mode(uint32_t *mode, const char *value,
				   char reason[CONFIG_REASON_BYTES])
{
	static const char *const names[] = {
		[CONFIG_ISOLATION_OFF] = "off",
		[CONFIG_ISOLATION_MONITOR] = "monitor",
		[CONFIG_ISOLATION_ARM] = "arm",
	};

	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(value, names[i])) {
			*mode = i;
			return CONFIG_TAKEN;
		}
	return bad(reason, "must be off, monitor or arm");
}

static enum config_result set_time(uint64_t *ns, const char *value, uint64_t least_ns,
				   const char *range, char reason[CONFIG_REASON_BYTES])
{
	uint64_t parsed;

	if (units_parse_time(value, &parsed) < 0)
		return bad(reason, "not a time such as 5ms or 1s");
	if (parsed < least_ns || parsed > MINUTE)
		return bad(reason, range);
	*ns = parsed;
	return CONFIG_TAKEN;
}

/* "0000:00:05.0:2:0x10000": function, BAR, offset. */
static enum config_result set_block(struct config_isolation *isolation, const char *port,
				    const char *value, char reason[CONFIG_REASON_BYTES])
{
	struct config_block block = {0}, *to = NULL;
	char address[16] = "";
	char *end = NULL;

	if (!*port || strlen(port) >= sizeof(block.port))
		return bad(reason, "Block. is followed by the path of a root port, as hb12/00.0");
	strcpy(block.port, port);
	if (strlen(value) > 16)
		memcpy(address, value, 12);
	if (!iso_pci_address_parse(address, &block.function) || value[12] != ':' ||
	    value[13] < '0' || value[13] > '5' || value[14] != ':' || value[15] < '0' ||
	    value[15] > '9')
		return bad(reason, "must be FUNCTION:BAR:OFFSET, as 0000:00:05.0:2:0x0");
	block.bar = (uint32_t)(value[13] - '0');
	errno = 0;
	block.offset = strtoull(value + 15, &end, 0);
	if (errno || *end || block.offset % 65536)
		return bad(reason, "the offset must be a multiple of 64K");
	for (uint32_t i = 0; i < isolation->n_blocks; i++)
		if (!strcmp(isolation->blocks[i].port, port))
			to = &isolation->blocks[i];
	if (!to && isolation->n_blocks == CONFIG_BLOCKS_MAX)
		return bad(reason, "too many blocks");
	if (!to)
		to = &isolation->blocks[isolation->n_blocks++];
	*to = block;
	return CONFIG_TAKEN;
}

enum config_result config_set_isolation(struct config_isolation *isolation, const char *key,
					const char *value, char reason[CONFIG_REASON_BYTES])
{
	static const char block[] = "Block.";

	if (!strcmp(key, "Mode"))
		return set_mode(&isolation->mode, value, reason);
	if (!strcmp(key, "PollInterval"))
		return set_time(&isolation->poll_ns, value, MS,
				"must be at least 1ms and at most a minute", reason);
	if (!strcmp(key, "CpuTimeout"))
		return set_time(&isolation->cpu_timeout_ns, value, 1,
				"must be more than nothing and at most a minute", reason);
	if (!strcmp(key, "Range"))
		return isolation_range_parse(value, UINT16_MAX, &isolation->range) < 0
			       ? bad(reason,
				     "not a timeout range such as 1ms-10ms, nor a time in one")
			       : CONFIG_TAKEN;
	if (!strcmp(key, "RecoverableMachineChecks")) {
		if (strcmp(value, "yes") && strcmp(value, "auto"))
			return bad(reason, "must be yes or auto");
		isolation->cpu_recovers = !strcmp(value, "yes");
		return CONFIG_TAKEN;
	}
	if (!strncmp(key, block, sizeof(block) - 1))
		return set_block(isolation, key + sizeof(block) - 1, value, reason);
	return CONFIG_UNKNOWN_KEY;
}
