/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a hostile VM writes into its monitor, in pieces of any size: lines stay bounded, words harmless. */
#include "source/qmp_decode.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_word(const char word[QMP_WORD_BYTES])
{
	const char *end = memchr(word, '\0', QMP_WORD_BYTES);

	assert(end);
	for (; word < end; word++)
		assert(isalnum((unsigned char)*word) || *word == '-');
}

static void on_line(void *userdata, const char *line, size_t bytes)
{
	char *copy = malloc(bytes + (bytes == 0));
	struct qmp_event event;

	(void)userdata;
	assert(bytes <= QMP_LINE_BYTES_MAX);
	if (!copy)
		return;
	memcpy(copy, line, bytes);
	assert(qmp_decode(copy, bytes, &event) <= QMP_MALFORMED);
	check_word(event.recipient);
	check_word(event.action);
	check_word(event.reason);
	free(copy);
}

/* The first byte says how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qmp_lines lines = {0};
	size_t piece, n;

	if (!size)
		return 0;
	piece = *data ? *data * (size_t)16 : 1;
	data++;
	size--;
	for (; size; data += n, size -= n) {
		char *copy;

		n = size < piece ? size : piece;
		copy = malloc(n);
		if (!copy)
			break;
		memcpy(copy, data, n);
		qmp_lines_take(&lines, copy, n, on_line, NULL);
		free(copy);
		assert(lines.n <= QMP_LINE_BYTES_MAX);
	}
	qmp_lines_done(&lines);
	return 0;
}
