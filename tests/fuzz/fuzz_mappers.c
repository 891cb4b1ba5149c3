/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a line of /proc/PID/maps: the path stays inside the line. */
#include "port/mapping.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);
	struct mapping_line parsed;
	uint32_t region, id;

	if (!line)
		return 0;
	memcpy(line, data, size);
	line[size] = '\0';
	if (mapping_parse(line, &parsed)) {
		assert(parsed.path >= line && parsed.path <= line + size);
		assert(memchr(parsed.range, 0, sizeof(parsed.range)));
		mapping_is_node(parsed.path, &region, &id);
	}
	free(line);
	return 0;
}
