/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as records of the kernel log, one after the other: texts end, and what names a fault is complete. */
#include "source/kernel_log_decode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t room)
{
	const char *end = memchr(text, '\0', room);

	assert(end);
	for (; text < end; text++)
		assert(*text >= ' ' && *text <= '~');
}

static void check_one(const char *bytes, size_t n, struct kernel_log_context *context)
{
	char *copy = malloc(n + (n == 0));
	struct kernel_log_record record;
	struct kernel_log_news news;
	struct iso_fault fault;

	if (!copy)
		return;
	memcpy(copy, bytes, n);
	if (kernel_log_decode(copy, n, &record) == KERNEL_LOG_DECODED) {
		check_text(record.text, sizeof(record.text));
		check_text(record.device, sizeof(record.device));
		kernel_log_meaning(&record, context, &news);
		assert(news.kind < KERNEL_LOG_KINDS);
		check_text(news.device, sizeof(news.device));
		check_text(news.process, sizeof(news.process));
		check_text(news.function, sizeof(news.function));
		assert((record.facility == 0 && !record.fragment) ||
		       news.kind == KERNEL_LOG_NOTHING);
		assert((news.kind != KERNEL_LOG_STACK) == (news.of == KERNEL_LOG_NOTHING));
		if (kernel_log_fault(&news, 1, &fault))
			assert(fault.unit_kind == ISO_UNIT_PORT_ADDRESS && fault.record_ns == 1);
	}
	free(copy);
}

/* Records are parted by an empty line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size, *next;
	struct kernel_log_context context = {0};

	do {
		next = memmem(at, (size_t)(end - at), "\n\n", 2);
		check_one(at, (size_t)((next ? next + 1 : end) - at), &context);
		at = next ? next + 2 : end;
	} while (at < end);
	return 0;
}
