/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace_pump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <traceevent/kbuffer.h>
#include <unistd.h>

enum {
	PAGE_BYTES_MIN = 64,
	PAGE_COMMIT_OFFSET = 8, /* events/header_page: u64 timestamp, then local_t commit */
	PAGE_DATA_OFFSET = 16,
	RECORD_BYTES_MIN = 4,
};

/* kernel/trace/ring_buffer.c: flags above the length in `commit` */
#define PAGE_COMMIT_MASK UINT64_C(0x07ffffff)
#define PAGE_LOST        (UINT64_C(1) << 31)
#define PAGE_LOST_STORED (UINT64_C(1) << 30)

int trace_pump_init(struct trace_pump *pump, const struct trace_formats *formats, size_t page_bytes,
		    trace_record_handler on_record, trace_gap_handler on_gap, void *userdata)
{
	struct trace_pump fresh = {
		.formats = formats,
		.on_record = on_record,
		.on_gap = on_gap,
		.userdata = userdata,
		.page_bytes = page_bytes,
	};

	if (page_bytes < PAGE_BYTES_MIN || page_bytes > INT32_MAX)
		return -EINVAL;
	fresh.kbuffer = kbuffer_alloc(KBUFFER_LSIZE_SAME_AS_HOST, KBUFFER_ENDIAN_SAME_AS_HOST);
	fresh.page = calloc(1, page_bytes + TRACE_PAGE_SLACK_BYTES);
	if (!fresh.kbuffer || !fresh.page) {
		trace_pump_done(&fresh);
		return -ENOMEM;
	}
	*pump = fresh;
	return 0;
}

void trace_pump_set_early(struct trace_pump *pump, trace_record_handler on_early)
{
	pump->on_early = on_early;
}

void trace_pump_done(struct trace_pump *pump)
{
	if (pump->kbuffer)
		kbuffer_free(pump->kbuffer);
	free(pump->page);
	memset(pump, 0, sizeof(*pump));
}

static void report_gap(struct trace_pump *pump, enum trace_gap gap, uint64_t count)
{
	pump->counts.gaps++;
	if (gap == TRACE_GAP_LOST)
		pump->counts.lost += count;
	else
		pump->counts.malformed += count;
	pump->on_gap(pump->userdata, gap, count);
}

typedef void (*record_visitor)(struct trace_pump *pump, uint32_t cpu, uint64_t at_ns,
			       const void *data, size_t bytes);

static void early_record(struct trace_pump *pump, uint32_t cpu, uint64_t at_ns, const void *data,
			 size_t bytes)
{
	struct trace_record record;
	enum trace_outcome outcome = trace_decode(pump->formats, data, bytes, &record);

	if (outcome != TRACE_DECODED && outcome != TRACE_PARTIAL)
		return;
	record.cpu = cpu;
	record.at_ns = at_ns;
	pump->on_early(pump->userdata, &record);
}

static void pump_record(struct trace_pump *pump, uint32_t cpu, uint64_t at_ns, const void *data,
			size_t bytes)
{
	struct trace_record record;
	enum trace_outcome outcome = trace_decode(pump->formats, data, bytes, &record);

	switch (outcome) {
	case TRACE_UNKNOWN_EVENT:
		pump->counts.unknown++;
		return;
	case TRACE_TOO_SHORT:
		report_gap(pump, TRACE_GAP_MALFORMED, 1);
		return;
	case TRACE_DECODED:
	case TRACE_PARTIAL:
		break;
	}

	record.cpu = cpu;
	record.at_ns = at_ns;
	pump->counts.records++;
	if (at_ns > pump->counts.last_ns)
		pump->counts.last_ns = at_ns;
	pump->on_record(pump->userdata, &record);
	/* The record came first: what could be read of it may still ask for a kill. */
	if (outcome == TRACE_PARTIAL)
		report_gap(pump, TRACE_GAP_MALFORMED, 1);
}

/*
 * The page's header: what it holds, and whether the ring lost records before it.
 * Read here and not through kbuffer because libtraceevent 1.8.4 trusts the length,
 * and forgets the loss when the page begins with a time extension.
 */
struct page_header {
	size_t data_bytes;
	bool lost;
	uint64_t n_lost; /* 0: the kernel had no room to say */
};

static bool read_header(const uint8_t *page, size_t bytes, struct page_header *ret)
{
	const size_t start = PAGE_DATA_OFFSET;
	struct page_header header = {0};
	uint64_t commit, n_lost;

	if (bytes < PAGE_BYTES_MIN)
		return false;
	memcpy(&commit, page + PAGE_COMMIT_OFFSET, sizeof(commit));
	header.data_bytes = commit & PAGE_COMMIT_MASK;
	if (header.data_bytes > bytes - start)
		return false;
	header.lost = commit & PAGE_LOST;
	if (header.lost && (commit & PAGE_LOST_STORED)) {
		if (bytes - start - header.data_bytes < sizeof(n_lost))
			return false;
		memcpy(&n_lost, page + start + header.data_bytes, sizeof(n_lost));
		header.n_lost = n_lost;
	}
	*ret = header;
	return true;
}

/* Return: false when the page is damaged; what stands before the damage was visited. */
static bool visit_records(struct trace_pump *pump, uint32_t cpu, void *page,
			  const struct page_header *header, record_visitor visit)
{
	const uint8_t *end = (const uint8_t *)page + PAGE_DATA_OFFSET + header->data_bytes;
	const uint8_t *data;
	unsigned long long at_ns;
	size_t n = 0;

	if (kbuffer_load_subbuffer(pump->kbuffer, page) < 0)
		return false;
	for (data = kbuffer_read_event(pump->kbuffer, &at_ns); data;
	     data = kbuffer_next_event(pump->kbuffer, &at_ns)) {
		int data_bytes = kbuffer_event_size(pump->kbuffer);

		/* More records than fit: lengths that send libtraceevent round in circles. */
		if (data_bytes < 0 || data > end || (size_t)(end - data) < (size_t)data_bytes ||
		    ++n > header->data_bytes / RECORD_BYTES_MIN)
			return false;
		visit(pump, cpu, at_ns, data, (size_t)data_bytes);
	}
	return true;
}

void trace_pump_page(struct trace_pump *pump, uint32_t cpu, void *page, size_t bytes)
{
	struct page_header header;

	pump->counts.pages++;
	if (!read_header(page, bytes, &header)) {
		report_gap(pump, TRACE_GAP_MALFORMED, 1);
		return;
	}
	if (pump->on_early)
		(void)visit_records(pump, cpu, page, &header, early_record);
	if (!visit_records(pump, cpu, page, &header, pump_record))
		report_gap(pump, TRACE_GAP_MALFORMED, 1);
	/* Records that are here may ask for a kill; looking for lost ones comes after. */
	if (header.lost)
		report_gap(pump, TRACE_GAP_LOST, header.n_lost);
}

int trace_pump_read(struct trace_pump *pump, uint32_t cpu, int fd, unsigned int pages_max)
{
	unsigned int pages = 0;

	while (pages < pages_max) {
		ssize_t n = read(fd, pump->page, pump->page_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		trace_pump_page(pump, cpu, pump->page, (size_t)n);
		pages++;
	}
	return (int)pages;
}
