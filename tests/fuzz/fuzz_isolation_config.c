/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as configuration space: walks end, nothing outside is read, what is found can be mapped. */
#include "isolation/config_space.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *config = malloc(size + (size == 0));
	struct component_place place;
	int express;

	if (!config)
		return 0;
	memcpy(config, data, size);
	if (config_space_component(config, size, &place) == 0) {
		assert(place.bar < 6);
		assert(place.offset % COMPONENT_BLOCK_BYTES == 0);
	}
	express = config_space_express(config, size);
	assert(express < 0 || (express >= 64 && (size_t)express < size && express < 256));
	free(config);
	return 0;
}
