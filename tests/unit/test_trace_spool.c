/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves that pages in the spool outlive whoever read them: killed at any
 * moment, nothing is lost and nothing comes twice; and that a file that is
 * torn, foreign or of another version is put aside and said to be.
 */
#include "source/trace_spool.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, SLOTS = 8 };

static char directory[] = "/tmp/spool-XXXXXX";
static char path[64], aside[80];
static char problem[ISO_TEXT_BYTES];
static enum trace_spool_found found;

static void prepare(void)
{
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	cr_assert(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/pages", directory);
	snprintf(aside, sizeof(aside), "%s.aside", path);
	problem[0] = '\0';
}

static void clean(void)
{
	unlink(path);
	unlink(aside);
	rmdir(directory);
}

TestSuite(trace_spool, .init = prepare, .fini = clean);

static struct trace_spool *open_for(const char *boot_id, size_t page_bytes, uint64_t slots)
{
	const struct trace_spool_setup setup = {
		.path = path,
		.boot_id = boot_id,
		.page_bytes = page_bytes,
		.bytes = slots * (page_bytes + 128),
	};
	struct trace_spool *spool = NULL;

	cr_assert_eq(trace_spool_open(&setup, &spool, &found, problem), 0, "%s", problem);
	return spool;
}

static struct trace_spool *open_spool(void)
{
	return open_for("boot", PAGE, SLOTS);
}

static bool add(struct trace_spool *spool, uint32_t cpu, uint8_t byte)
{
	uint8_t *page = trace_spool_prepare(spool, cpu);

	if (!page)
		return false;
	memset(page, byte, PAGE);
	trace_spool_add(spool, PAGE);
	return true;
}

Test(trace_spool, pages_stay_in_order_until_they_are_durable)
{
	struct trace_spool *spool = open_spool();
	struct trace_spool_entry entry;
	uint64_t id = trace_spool_id(spool);

	cr_assert_eq(found, TRACE_SPOOL_NEW);
	cr_assert_eq(trace_spool_slots(spool), SLOTS);
	for (int i = 1; i <= SLOTS; i++)
		cr_assert(add(spool, (uint32_t)i, (uint8_t)i));
	cr_assert_not(add(spool, 0, 1), "all slots are taken");

	trace_spool_durable(spool, 3, 7);
	cr_assert_eq(trace_spool_first(spool), 1, "nothing was handed over yet");
	trace_spool_handed(spool, 1, 5);
	trace_spool_handed(spool, 2, 9);
	trace_spool_handed(spool, 3, 8);
	trace_spool_handed(spool, 4, 0);
	trace_spool_durable(spool, 3, 7);
	cr_assert_eq(trace_spool_first(spool), 3, "the last record of the third is not durable");
	spool = trace_spool_close(spool);

	spool = open_spool();
	cr_assert_eq(found, TRACE_SPOOL_KEPT);
	cr_assert_eq(trace_spool_id(spool), id);
	cr_assert_eq(trace_spool_first(spool), 3);
	cr_assert_eq(trace_spool_next(spool), SLOTS + 1);
	cr_assert(trace_spool_get(spool, 3, &entry));
	cr_assert_eq(entry.cpu, 3);
	cr_assert_eq(entry.bytes, PAGE);
	cr_assert_eq(((uint8_t *)entry.data)[PAGE - 1], 3);
	cr_assert_not(trace_spool_get(spool, 2, &entry));
	trace_spool_durable(spool, 9, 9);
	cr_assert_eq(trace_spool_first(spool), 3, "this run handed nothing over");
	trace_spool_handed(spool, 3, 8);
	trace_spool_handed(spool, 4, 0);
	trace_spool_durable(spool, 3, 8);
	cr_assert_eq(trace_spool_first(spool), 5, "one without records waits for nobody");
	cr_assert(add(spool, 0, 77));
	trace_spool_close(spool);
}

Test(trace_spool, one_that_was_read_and_not_counted_is_there)
{
	struct trace_spool *spool = open_spool();
	struct trace_spool_entry entry;

	cr_assert(add(spool, 1, 1));
	memset(trace_spool_prepare(spool, 6), 42, PAGE);
	spool = trace_spool_close(spool); /* it died behind the read */
	spool = open_spool();
	cr_assert_eq(trace_spool_next(spool), 3);
	cr_assert(trace_spool_get(spool, 2, &entry));
	cr_assert_eq(entry.cpu, 6);
	cr_assert_eq(entry.bytes, PAGE);

	cr_assert(trace_spool_prepare(spool, 6));
	spool = trace_spool_close(spool); /* and now before it */
	spool = open_spool();
	cr_assert_eq(trace_spool_next(spool), 3, "what was not read is none");
	trace_spool_close(spool);
}

Test(trace_spool, a_slot_once_used_is_no_page_again)
{
	struct trace_spool *spool = open_spool();

	for (int round = 0; round < 3; round++)
		for (uint64_t i = 0; i < SLOTS; i++) {
			uint64_t page = trace_spool_next(spool);

			cr_assert(add(spool, 1, 1));
			trace_spool_handed(spool, page, 1);
			trace_spool_durable(spool, page, 1);
			spool = trace_spool_close(spool);
			spool = open_spool();
			cr_assert_eq(trace_spool_next(spool), page + 1);
			cr_assert_eq(trace_spool_first(spool), page + 1);
		}
	trace_spool_close(spool);
}

Test(trace_spool, a_loss_is_accounted_for_once)
{
	struct trace_spool *spool = open_spool();
	struct trace_spool_entry entry;

	trace_spool_set_ring(spool, 11, 5);
	cr_assert_eq(trace_spool_lost(spool), 5);
	cr_assert(add(spool, 1, 1));
	trace_spool_account(spool, 1, 3);
	trace_spool_account(spool, 1, 3);
	cr_assert(trace_spool_add_loss(spool, 100));
	trace_spool_account(spool, 2, 100);
	cr_assert_eq(trace_spool_lost(spool), 108);
	cr_assert(trace_spool_skim(spool, 0));
	trace_spool_skimmed(spool, 4);
	spool = trace_spool_close(spool);
	spool = open_spool();
	trace_spool_account(spool, 1, 3);
	trace_spool_account(spool, 2, 100);
	cr_assert_eq(trace_spool_lost(spool), 108);
	cr_assert_eq(trace_spool_ring(spool), 11);
	cr_assert_eq(trace_spool_dropped(spool), 4);
	cr_assert(trace_spool_get(spool, 2, &entry));
	cr_assert_eq(entry.bytes, 0);
	cr_assert_eq(entry.lost, 100);
	trace_spool_close(spool);
}

Test(trace_spool, another_size_counts_once_it_is_empty)
{
	struct trace_spool *spool = open_spool();
	uint64_t id = trace_spool_id(spool);

	trace_spool_set_ring(spool, 7, 70);
	cr_assert(add(spool, 1, 1));
	trace_spool_close(spool);
	spool = open_for("boot", PAGE, 2 * SLOTS);
	cr_assert_eq(found, TRACE_SPOOL_KEPT);
	cr_assert_eq(trace_spool_slots(spool), SLOTS);
	trace_spool_handed(spool, 1, 0);
	trace_spool_close(spool);
	spool = open_for("boot", PAGE, 2 * SLOTS);
	cr_assert_eq(found, TRACE_SPOOL_NEW);
	cr_assert_gt(trace_spool_slots(spool), SLOTS);
	cr_assert_neq(trace_spool_id(spool), id);
	cr_assert_eq(trace_spool_lost(spool), 70, "what was told stays told");
	cr_assert_eq(trace_spool_ring(spool), 7);
	trace_spool_close(spool);
}

static void write_at(off_t offset, uint8_t byte)
{
	int fd = open(path, O_RDWR);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

static void make_one(void)
{
	struct trace_spool *spool = open_spool();

	cr_assert(add(spool, 1, 1));
	trace_spool_close(spool);
	unlink(aside);
	problem[0] = '\0';
}

static void expect_aside(struct trace_spool *spool, const char *why)
{
	cr_assert_eq(found, TRACE_SPOOL_ASIDE);
	cr_assert(strstr(problem, why), "%s", problem);
	cr_assert_eq(access(aside, F_OK), 0);
	cr_assert_eq(trace_spool_next(spool), 1);
	trace_spool_close(spool);
	unlink(path);
}

Test(trace_spool, what_is_torn_or_foreign_is_put_aside)
{
	FILE *file;

	make_one();
	expect_aside(open_for("another", PAGE, SLOTS), "another boot");
	make_one();
	write_at(8, 99);
	expect_aside(open_spool(), "another version");
	make_one();
	write_at(0, 'x');
	expect_aside(open_spool(), "not one");
	make_one();
	write_at(20, 1); /* page_bytes */
	expect_aside(open_spool(), "damaged");
	make_one();
	cr_assert_eq(truncate(path, 9000), 0);
	expect_aside(open_spool(), "size");
	make_one();
	expect_aside(open_for("boot", 2 * PAGE, SLOTS), "smaller");
	file = fopen(path, "w");
	fputs("short", file);
	fclose(file);
	unlink(aside);
	expect_aside(open_spool(), "not one");
}

Test(trace_spool, a_damaged_slot_is_an_entry_that_tells_of_it)
{
	struct trace_spool *spool;
	struct trace_spool_entry entry;

	make_one();
	write_at(4096 + 4096 + 128 + 8 + 6, 0xff); /* length in the slot of page 1 */
	spool = open_spool();
	cr_assert_eq(found, TRACE_SPOOL_KEPT);
	cr_assert(trace_spool_get(spool, 1, &entry));
	cr_assert_eq(entry.bytes, 0);
	cr_assert_eq(entry.lost, 0);
	trace_spool_close(spool);
}

Test(trace_spool, memory_serves_as_well)
{
	const struct trace_spool_setup setup = {.boot_id = "", .page_bytes = PAGE, .bytes = 1};
	const struct trace_spool_setup small = {.boot_id = "", .page_bytes = 8, .bytes = 1};
	const struct trace_spool_setup nowhere = {
		.path = "/nowhere/pages", .boot_id = "", .page_bytes = PAGE, .bytes = 1};
	struct trace_spool *spool = NULL;

	cr_assert_eq(trace_spool_open(&small, &spool, &found, problem), -EINVAL);
	cr_assert_eq(trace_spool_open(&nowhere, &spool, &found, problem), -ENOENT);
	cr_assert(strstr(problem, "/nowhere/pages"));
	cr_assert_eq(trace_spool_open(&setup, &spool, &found, problem), 0);
	cr_assert_eq(trace_spool_slots(spool), TRACE_SPOOL_SLOTS_MIN);
	cr_assert(add(spool, 1, 1));
	trace_spool_close(spool);
}
