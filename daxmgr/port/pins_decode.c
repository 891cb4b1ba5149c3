/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pins_decode.h"

#include <ctype.h>
#include <errno.h>
#include <isolate/types.h>
#include <stdlib.h>
#include <string.h>

static bool pins_starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

enum pins_target pins_target(const char *target)
{
	static const char anonymous[] = "anon_inode:";

	if (target[0] == '/')
		return PINS_TARGET_PATH;
	if (!pins_starts(target, anonymous))
		return PINS_TARGET_NONE;
	if (!strcmp(target + strlen(anonymous), "[io_uring]"))
		return PINS_TARGET_IO_URING;
	return strstr(target, "vfio") ? PINS_TARGET_VFIO : PINS_TARGET_NONE;
}

static const char *pins_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool pins_is_vhost_net(const char *path)
{
	return !strcmp(pins_base(path), "vhost-net");
}

uint32_t pins_of_device(const char *path)
{
	const char *base = pins_base(path);

	if (strstr(path, "/vfio/") || !strcmp(base, "iommu"))
		return ISO_PIN_VFIO;
	if (strstr(path, "/infiniband/"))
		return ISO_PIN_RDMA;
	if (pins_starts(base, "vhost-") && !pins_is_vhost_net(path))
		return ISO_PIN_VHOST;
	return 0;
}

/* The number behind "key:" and blanks, when the line is that. */
static bool pins_value(const char *line, const char *key, int base, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (!pins_starts(line, key))
		return false;
	line += strlen(key);
	line += strspn(line, " \t");
	if (!isdigit((unsigned char)*line))
		return false;
	errno = 0;
	value = strtoull(line, &end, base);
	if (errno || (*end && *end != '\n'))
		return false;
	*ret = value;
	return true;
}

static uint32_t pins_clamp(uint64_t value)
{
	return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

/* "    0: /path" */
static bool pins_is_registered_path(const char *line)
{
	size_t at = strspn(line, " \t");
	size_t digits = strspn(line + at, "0123456789");

	if (!digits || line[at + digits] != ':')
		return false;
	at += digits + 1;
	return line[at + strspn(line + at, " \t")] == '/';
}

void pins_fdinfo_line(struct pins_fdinfo *info, const char *line)
{
	uint64_t value;

	if (!info->has_flags && pins_value(line, "flags:", 8, &value)) {
		info->has_flags = true;
		info->flags = pins_clamp(value);
	} else if (pins_value(line, "UserFiles:", 10, &value)) {
		info->in_files = true;
	} else if (pins_value(line, "UserBufs:", 10, &value)) {
		info->in_files = false;
		info->has_buffers = true;
		info->buffers = pins_clamp(value);
	} else if (info->in_files && pins_is_registered_path(line)) {
		if (info->files < UINT32_MAX)
			info->files++;
	} else if (line[0] != ' ' && line[0] != '\t') {
		info->in_files = false;
	}
}

void pins_vmstat_line(struct pins_counters *counters, const char *line)
{
	if (pins_value(line, "nr_foll_pin_acquired ", 10, &counters->acquired))
		counters->has_acquired = true;
	else if (pins_value(line, "nr_foll_pin_released ", 10, &counters->released))
		counters->has_released = true;
}
