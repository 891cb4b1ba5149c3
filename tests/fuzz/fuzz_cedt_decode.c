/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as the ACPI table CEDT: nothing outside of it is read, and it ends. */
#include "source/cedt_decode.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iso_hpa start = {0};

	if (size > sizeof(start.v)) { /* what is looked for comes first */
		memcpy(&start.v, data, sizeof(start.v));
		data += sizeof(start.v);
		size -= sizeof(start.v);
	}
	if (cedt_arithmetic(data, size, start) > ISO_ARITHMETIC_XOR)
		abort();
	return 0;
}
