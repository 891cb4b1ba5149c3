/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes raw pages of the kernel's ring buffer (kernel/trace/ring_buffer.c) from
 * records, with times that go on and losses, for tests and benchmarks that need
 * more of them than anybody recorded. Little-endian, as the recorded ones.
 */
#ifndef TESTS_DATA_TRACE_PAGE_H
#define TESTS_DATA_TRACE_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TRACE_PAGE_BYTES = 4096,
	TRACE_PAGE_HEADER_BYTES = 16, /* u64 time of the page, local_t commit */
	TRACE_PAGE_SMALL_BYTES = 28 * 4, /* longer records say their length in a word of its own */
	TRACE_PAGE_DELTA_BITS = 27,
	TRACE_PAGE_TYPE_EXTEND = 30,
};

struct trace_page {
	uint8_t bytes[TRACE_PAGE_BYTES];
	size_t used; /* of what follows the header */
	uint64_t last_ns;
	uint32_t n_records;
};

static inline void trace_page_begin(struct trace_page *page, uint64_t at_ns)
{
	memset(page, 0, sizeof(*page));
	memcpy(page->bytes, &at_ns, sizeof(at_ns));
	page->last_ns = at_ns;
}

static inline void trace_page_word(struct trace_page *page, uint32_t word)
{
	memcpy(page->bytes + TRACE_PAGE_HEADER_BYTES + page->used, &word, sizeof(word));
	page->used += sizeof(word);
}

/* `at_ns` not before that of the record before it. Return: false when there is no room for it. */
static inline bool trace_page_add(struct trace_page *page, uint64_t at_ns, const void *record,
				  size_t bytes)
{
	const uint32_t mask = (UINT32_C(1) << TRACE_PAGE_DELTA_BITS) - 1;
	uint64_t delta = at_ns - page->last_ns;
	size_t words = (bytes + 3) / 4;
	bool extend = delta > mask, large = words * 4 > TRACE_PAGE_SMALL_BYTES;
	size_t need = 4 + (extend ? 8 : 0) + (large ? 4 : 0) + words * 4;

	if (need > TRACE_PAGE_BYTES - TRACE_PAGE_HEADER_BYTES - page->used)
		return false;
	if (extend) {
		trace_page_word(page, TRACE_PAGE_TYPE_EXTEND | (uint32_t)(delta & mask) << 5);
		trace_page_word(page, (uint32_t)(delta >> TRACE_PAGE_DELTA_BITS));
		delta = 0;
	}
	trace_page_word(page, (large ? 0 : (uint32_t)words) | (uint32_t)delta << 5);
	if (large)
		trace_page_word(page, (uint32_t)words * 4 + 4);
	memcpy(page->bytes + TRACE_PAGE_HEADER_BYTES + page->used, record, bytes);
	page->used += words * 4;
	page->last_ns = at_ns;
	page->n_records++;
	return true;
}

/* Writes the length into the header, and that `n_lost` records before the page were overwritten. */
static inline void trace_page_end(struct trace_page *page, uint64_t n_lost)
{
	uint64_t commit = page->used;
	size_t end = TRACE_PAGE_HEADER_BYTES + page->used;

	if (n_lost) {
		commit |= UINT64_C(1) << 31;
		if (TRACE_PAGE_BYTES - end >= sizeof(n_lost)) {
			commit |= UINT64_C(1) << 30;
			memcpy(page->bytes + end, &n_lost, sizeof(n_lost));
		}
	}
	memcpy(page->bytes + 8, &commit, sizeof(commit));
}

/* Where a format file says that a field lies. Ends the program when it does not have it. */
static inline size_t trace_page_offset(const char *format, const char *field)
{
	char wanted[64];
	const char *at;

	snprintf(wanted, sizeof(wanted), " %s;\toffset:", field);
	at = strstr(format, wanted);
	if (!at) {
		fprintf(stderr, "a format has no field %s\n", field);
		exit(2);
	}
	return strtoul(at + strlen(wanted), NULL, 10);
}

#endif
