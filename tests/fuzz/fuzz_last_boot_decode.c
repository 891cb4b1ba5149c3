/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as the log of a kernel that died: what is found lies inside, texts end and are printable. */
#include "source/last_boot_decode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t room)
{
	assert(memchr(text, '\0', room));
	for (; *text; text++)
		assert(*text >= ' ' && *text <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + (size == 0));
	struct last_boot_panic panic;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (last_boot_decode(copy, size, &panic)) {
		assert(panic.at < size && panic.text[0]);
		check_text(panic.text, sizeof(panic.text));
		check_text(panic.function, sizeof(panic.function));
	}
	free(copy);
	return 0;
}
