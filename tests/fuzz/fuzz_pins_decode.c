/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any text as link target, device path, fdinfo, vmstat and stat: it is taken apart inside its lines. */
#include "port/pins_decode.h"
#include "port/process.h"

#include <assert.h>
#include <isolate/types.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_in(const char *line, struct pins_fdinfo *info, struct pins_counters *counters)
{
	uint64_t start;
	char state;

	pins_fdinfo_line(info, line);
	pins_vmstat_line(counters, line);
	if (process_stat_parse(line, &state, &start))
		assert(strchr(line, state));
	assert(pins_target(line) <= PINS_TARGET_VFIO);
	assert(!(pins_of_device(line) & ~(uint32_t)(ISO_PIN_VFIO | ISO_PIN_VHOST | ISO_PIN_RDMA)));
	assert(!pins_is_vhost_net(line) || !(pins_of_device(line) & ISO_PIN_VHOST));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *line, *rest;
	struct pins_counters counters = {0};
	struct pins_fdinfo info = {0};

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	rest = text;
	while ((line = strsep(&rest, "\n")))
		take_in(line, &info, &counters);
	assert(info.has_buffers || !info.buffers);
	assert(info.has_flags || !info.flags);
	free(text);
	return 0;
}
