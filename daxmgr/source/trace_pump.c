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

/*
 * The places of a page: two for each record, one for it and one for the gap that
 * it may be as well, and the last ones for the page's own. What was handed over
 * before the store refused the next, or before a restart, is passed over.
 */
static bool passes_over(struct trace_pump *pump, uint32_t place)
{
	if (pump->refused || place <= pump->handed_index)
		return true;
	pump->place = place;
	return false;
}

static void was_offered(struct trace_pump *pump, bool is_row)
{
	if (pump->refused)
		return;
	pump->handed_index = pump->place;
	if (is_row)
		pump->last_index = pump->place;
}

static void report_gap(struct trace_pump *pump, uint32_t place, enum trace_gap gap, uint64_t count)
{
	if (passes_over(pump, place))
		return;
	pump->on_gap(pump->userdata, gap, count);
	was_offered(pump, gap != TRACE_GAP_LOST || count);
	if (pump->refused)
		return;
	pump->counts.gaps++;
	if (gap == TRACE_GAP_LOST)
		pump->counts.lost += count;
	else
		pump->counts.malformed += count;
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

static void count_record(struct trace_pump *pump, uint32_t cpu, uint64_t at_ns, const void *data,
			 size_t bytes)
{
	struct trace_record record;

	(void)cpu;
	(void)at_ns;
	if (trace_decode(pump->formats, data, bytes, &record) != TRACE_UNKNOWN_EVENT)
		pump->n_visited++;
}

static void offer_record(struct trace_pump *pump, uint32_t place, struct trace_record *record)
{
	if (passes_over(pump, place))
		return;
	record->page = pump->page_number;
	record->index = place;
	record->replayed = pump->page_number && pump->page_number < pump->replay_end;
	pump->on_record(pump->userdata, record);
	was_offered(pump, true);
	if (pump->refused)
		return;
	pump->counts.records++;
	pump->counts.replayed += record->replayed;
	if (record->at_ns > pump->counts.last_ns)
		pump->counts.last_ns = record->at_ns;
}

static void pump_record(struct trace_pump *pump, uint32_t cpu, uint64_t at_ns, const void *data,
			size_t bytes)
{
	uint32_t place = 2 * pump->n_visited + 1;
	enum trace_outcome outcome;
	struct trace_record record;

	pump->n_visited++;
	if (pump->refused || place + 1 <= pump->handed_index)
		return;
	outcome = trace_decode(pump->formats, data, bytes, &record);
	switch (outcome) {
	case TRACE_UNKNOWN_EVENT:
		pump->counts.unknown++;
		return;
	case TRACE_TOO_SHORT:
		report_gap(pump, place + 1, TRACE_GAP_MALFORMED, 1);
		return;
	case TRACE_DECODED:
	case TRACE_PARTIAL:
		break;
	}

	record.cpu = cpu;
	record.at_ns = at_ns;
	offer_record(pump, place, &record);
	/* The record came first: what could be read of it may still ask for a kill. */
	if (outcome == TRACE_PARTIAL)
		report_gap(pump, place + 1, TRACE_GAP_MALFORMED, 1);
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

/* What is asked for at once of a page, before any of it is written down. */
static void look_early(struct trace_pump *pump, uint32_t cpu, void *page, size_t bytes)
{
	struct page_header header;

	if (pump->on_early && read_header(page, bytes, &header))
		(void)visit_records(pump, cpu, page, &header, early_record);
}

/* Offers what of the page was not handed over yet. */
static void offer_page(struct trace_pump *pump, uint32_t cpu, void *page, size_t bytes)
{
	struct page_header header;
	bool whole;

	pump->n_visited = 0;
	if (!read_header(page, bytes, &header)) {
		report_gap(pump, 1, TRACE_GAP_MALFORMED, 1);
		return;
	}
	whole = visit_records(pump, cpu, page, &header, pump_record);
	if (!whole)
		report_gap(pump, 2 * pump->n_visited + 1, TRACE_GAP_MALFORMED, 1);
	/* Records that are here may ask for a kill; looking for lost ones comes after. */
	if (header.lost)
		report_gap(pump, 2 * pump->n_visited + 2, TRACE_GAP_LOST, header.n_lost);
}

void trace_pump_page(struct trace_pump *pump, uint32_t cpu, void *page, size_t bytes)
{
	pump->counts.pages++;
	pump->page_number = 0;
	pump->handed_index = 0;
	pump->refused = false;
	look_early(pump, cpu, page, bytes);
	offer_page(pump, cpu, page, bytes);
}

void trace_pump_refuse(struct trace_pump *pump)
{
	pump->refused = pump->page_number != 0;
}

uint32_t trace_pump_also(struct trace_pump *pump)
{
	return ++pump->place;
}

void trace_pump_unreadable(struct trace_pump *pump)
{
	pump->counts.gaps++;
	pump->counts.malformed++;
	pump->on_gap(pump->userdata, TRACE_GAP_MALFORMED, 1);
}

uint64_t trace_pump_place(const struct trace_pump *pump, uint32_t *ret_index)
{
	*ret_index = pump->place;
	return pump->page_number;
}

/* ---- with a spool ---- */

static void account_page(struct trace_pump *pump, const struct trace_spool_entry *entry)
{
	struct page_header header;
	uint64_t lost = entry->lost;

	if (entry->bytes && read_header(entry->data, entry->bytes, &header))
		lost = header.n_lost;
	trace_spool_account(pump->spool, entry->page, lost);
}

void trace_pump_set_spool(struct trace_pump *pump, struct trace_spool *spool)
{
	pump->spool = spool;
	pump->hand_page = trace_spool_first(spool);
	pump->handed_index = 0;
	pump->last_index = 0;
	pump->replay_end = trace_spool_next(spool);
}

/* Whole or not: what can be seen of it may ask for a kill, and is counted. */
static void skim_page(struct trace_pump *pump, uint32_t cpu, void *page, size_t bytes)
{
	struct page_header header;
	bool whole = false;

	look_early(pump, cpu, page, bytes);
	pump->n_visited = 0;
	if (read_header(page, bytes, &header))
		whole = visit_records(pump, cpu, page, &header, count_record);
	trace_spool_skimmed(pump->spool, pump->n_visited);
	if (!whole)
		trace_pump_unreadable(pump);
}

void trace_pump_replay(struct trace_pump *pump, const struct trace_spool_place *mark)
{
	struct trace_spool *spool = pump->spool;
	bool known = mark && mark->page && mark->spool == trace_spool_id(spool);
	struct trace_spool_entry entry;

	if (trace_spool_uncounted(spool, &entry))
		skim_page(pump, entry.cpu, entry.data, entry.bytes);
	while (pump->hand_page < pump->replay_end && known && pump->hand_page < mark->page)
		trace_spool_handed(spool, pump->hand_page++, 0);
	if (known && pump->hand_page == mark->page) {
		pump->handed_index = mark->index;
		pump->last_index = 0;
	}
	for (uint64_t page = pump->hand_page; page < pump->replay_end; page++) {
		if (!trace_spool_get(spool, page, &entry))
			continue;
		account_page(pump, &entry);
		/* Whether what they ask for was done is not known; doing it twice does no harm. */
		if (entry.bytes)
			look_early(pump, entry.cpu, entry.data, entry.bytes);
	}
	trace_pump_hand_over(pump);
}

/* Return: false when the handlers take no more for now. */
static bool hand_page(struct trace_pump *pump)
{
	struct trace_spool_entry entry;

	pump->page_number = pump->hand_page;
	pump->refused = false;
	if (trace_spool_get(pump->spool, pump->hand_page, &entry)) {
		if (entry.bytes)
			offer_page(pump, entry.cpu, entry.data, entry.bytes);
		else if (entry.lost)
			report_gap(pump, 1, TRACE_GAP_LOST, entry.lost);
		else
			report_gap(pump, 1, TRACE_GAP_MALFORMED, 1);
	}
	pump->page_number = 0;
	if (pump->refused)
		return false;
	trace_spool_handed(pump->spool, pump->hand_page, pump->last_index);
	pump->hand_page++;
	pump->handed_index = 0;
	pump->last_index = 0;
	return true;
}

bool trace_pump_hand_over(struct trace_pump *pump)
{
	if (pump->handing)
		return true;
	pump->handing = true;
	pump->blocked = false;
	while (!pump->blocked && pump->hand_page < trace_spool_next(pump->spool))
		pump->blocked = !hand_page(pump);
	pump->handing = false;
	return !pump->blocked;
}

static void take_page(struct trace_pump *pump, uint32_t cpu, void *page, size_t bytes)
{
	struct trace_spool_entry entry;

	pump->counts.pages++;
	if (!pump->spool) {
		pump->counts.pages--;
		trace_pump_page(pump, cpu, page, bytes);
		return;
	}
	look_early(pump, cpu, page, bytes);
	trace_spool_add(pump->spool, bytes);
	if (trace_spool_get(pump->spool, trace_spool_next(pump->spool) - 1, &entry))
		account_page(pump, &entry);
	trace_pump_hand_over(pump);
}

static ssize_t read_page(int fd, void *page, size_t bytes)
{
	ssize_t n;

	do {
		n = read(fd, page, bytes);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	return n;
}

int trace_pump_read(struct trace_pump *pump, uint32_t cpu, int fd, unsigned int pages_max)
{
	unsigned int pages = 0;

	pump->full = false;
	while (pages < pages_max) {
		void *page = pump->spool ? trace_spool_prepare(pump->spool, cpu) : pump->page;
		ssize_t n;

		if (!page) {
			pump->full = true;
			break;
		}
		n = read_page(fd, page, pump->page_bytes);
		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		take_page(pump, cpu, page, (size_t)n);
		pages++;
	}
	return (int)pages;
}

int trace_pump_skim(struct trace_pump *pump, uint32_t cpu, int fd, unsigned int pages_max)
{
	unsigned int pages = 0;

	while (pages < pages_max) {
		void *page = trace_spool_skim(pump->spool, cpu);
		ssize_t n;

		if (!page)
			page = pump->page;
		n = read_page(fd, page, pump->page_bytes);
		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		pump->counts.pages++;
		skim_page(pump, cpu, page, (size_t)n);
		pages++;
	}
	return (int)pages;
}
