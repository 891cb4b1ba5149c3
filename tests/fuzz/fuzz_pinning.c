/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a QEMU command line, one argument per line, and as the file its
 * -readconfig names: what is found stays within its bounds and can be printed.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pinning.h"

enum { WORDS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *read_input(void *userdata, const char *path)
{
	(void)path;
	return strdup(userdata);
}

static void check_text(const char *text, size_t room)
{
	assert(memchr(text, 0, room));
	for (; *text; text++)
		assert(*text >= ' ' && *text <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *input = malloc(size + 1), *copy, *rest, *word, *command[WORDS_MAX + 1];
	struct pinning result;
	size_t n = 0;

	assert(input);
	memcpy(input, data, size);
	input[size] = '\0';
	copy = strdup(input);
	assert(copy);
	for (word = strtok_r(copy, "\n", &rest); word && n < WORDS_MAX;
	     word = strtok_r(NULL, "\n", &rest))
		command[n++] = word;
	command[n] = NULL;
	pinning_examine(command, read_input, input, &result);
	assert(result.n <= PINNING_FINDINGS_MAX);
	assert((result.n > 0) == (result.pins != 0));
	for (size_t i = 0; i < result.n; i++)
		check_text(result.findings[i].evidence, PINNING_EVIDENCE_BYTES);
	check_text(result.unseen, PINNING_UNSEEN_BYTES);
	free(copy);
	free(input);
	return 0;
}
