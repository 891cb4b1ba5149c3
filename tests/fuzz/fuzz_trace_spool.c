/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as the file that an earlier daemon left: it is used or put aside,
 * its pages go through the decoder, and it works as one afterwards. Bytes are
 * put over a good one: each three say where (16 bits) and what.
 */
#include "source/trace_pump.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PAGE = 256, SLOTS = 4, FILE_MAX = 8192 };

static char path[64], aside[80];

static void on_record(void *userdata, const struct trace_record *record)
{
	(void)userdata;
	assert(record->page);
}

static void on_gap(void *userdata, enum trace_gap gap, uint64_t count)
{
	(void)userdata;
	(void)gap;
	(void)count;
}

static struct trace_spool *open_spool(enum trace_spool_found *ret_found)
{
	const struct trace_spool_setup setup = {
		.path = path, .boot_id = "boot", .page_bytes = PAGE, .bytes = SLOTS * 400};
	struct trace_spool *spool = NULL;
	char problem[ISO_TEXT_BYTES];
	int r = trace_spool_open(&setup, &spool, ret_found, problem);

	assert(r == 0);
	(void)r;
	return spool;
}

static void write_file(const uint8_t *bytes, size_t n)
{
	FILE *file = fopen(path, "w");

	assert(file);
	fwrite(bytes, 1, n, file);
	fclose(file);
}

static void make_good(uint8_t bytes[FILE_MAX], size_t *ret_n)
{
	enum trace_spool_found found;
	struct trace_spool *spool = open_spool(&found);
	FILE *file;

	for (int i = 0; i < 3; i++) {
		uint8_t *page = trace_spool_prepare(spool, 1);

		page[8] = 32;
		trace_spool_add(spool, PAGE);
	}
	trace_spool_close(spool);
	file = fopen(path, "r");
	assert(file);
	*ret_n = fread(bytes, 1, FILE_MAX, file);
	fclose(file);
}

static void use(const struct trace_formats *formats)
{
	enum trace_spool_found found;
	struct trace_spool *spool = open_spool(&found);
	struct trace_pump pump;
	int r = trace_pump_init(&pump, formats, PAGE, on_record, on_gap, NULL);

	assert(r == 0);
	(void)r;
	trace_pump_set_spool(&pump, spool);
	trace_pump_replay(&pump, NULL);
	trace_spool_durable(spool, UINT64_MAX, UINT32_MAX);
	assert(trace_spool_first(spool) == trace_spool_next(spool));
	assert(trace_spool_prepare(spool, 1));
	trace_spool_add(spool, PAGE);
	trace_pump_done(&pump);
	trace_spool_close(spool);
	unlink(path);
	unlink(aside);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trace_formats formats;
	static uint8_t good[FILE_MAX], bytes[FILE_MAX];
	static size_t n;

	if (!n) {
		snprintf(path, sizeof(path), "/dev/shm/fuzz-spool-%d", (int)getpid());
		snprintf(aside, sizeof(aside), "%s.aside", path);
		make_good(good, &n);
	}
	memcpy(bytes, good, n);
	for (size_t i = 0; i + 2 < size; i += 3)
		bytes[((size_t)data[i] | (size_t)data[i + 1] << 8) % n] = data[i + 2];
	write_file(bytes, size % 7 == 6 ? n / 2 : n);
	use(&formats);
	write_file(data, size);
	use(&formats);
	return 0;
}
