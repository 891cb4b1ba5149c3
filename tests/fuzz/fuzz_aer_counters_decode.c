/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a counter attribute: names end and hold nothing odd. */
#include "source/aer_counters_decode.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct aer_counter counters[AER_COUNTERS_MAX];
	char *copy = malloc(size + (size == 0));
	uint64_t total = 5;
	size_t n;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	n = aer_counters_decode(copy, size, counters);
	assert(n <= AER_COUNTERS_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *name = counters[i].name;

		assert(*name && memchr(name, '\0', AER_COUNTER_NAME_BYTES));
		for (; *name; name++)
			assert(isalnum((unsigned char)*name) || *name == '_');
	}
	if (!aer_total_decode(copy, size, &total))
		assert(total == 5);
	free(copy);
	return 0;
}
