/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any text as lines of /proc/iomem: what is taken for a range is one. */
#include "port/iomem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_range(struct iso_hpa_range range)
{
	return range.bytes && range.start.v + range.bytes >= range.start.v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *rest, *line;
	struct iomem_range range;
	struct iso_hpa_range ram;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (iomem_parse(line, &range) && !is_range(range.range))
			abort();
		if (iomem_parse_ram(line, &ram) && !is_range(ram))
			abort();
	}
	free(text);
	return 0;
}
