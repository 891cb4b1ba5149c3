/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A daemon that ends while the disk fails: what was in memory only is told at the next start, once. */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faulty_disk.h"
#include "store_fixture.h"

#define SPOOL "11111111111111111111111111111111"

struct heard {
	uint64_t n, lost, unknown;
};

static void on_lost(void *userdata, const struct store_event *gap)
{
	struct heard *heard = userdata;

	cr_assert_str_eq(gap->kind, "gap");
	cr_assert_gt(gap->at_ns, 0);
	heard->n++;
	heard->lost += gap->lost;
	heard->unknown += !gap->has_lost;
}

static void path_of_lost(const struct store_fixture *f, char to[160])
{
	snprintf(to, 160, "%s/lost", f->directory);
}

static bool is_left(const struct store_fixture *f)
{
	char path[160];

	path_of_lost(f, path);
	return access(path, F_OK) == 0;
}

static struct heard begin(struct store_fixture *f)
{
	struct heard heard = {0};
	char path[160];

	path_of_lost(f, path);
	fixture_open(f, BOOT);
	store_set_spool(f->store, SPOOL);
	cr_assert_eq(store_load_lost(f->store, path, on_lost, &heard), 0);
	fixture_start(f);
	return heard;
}

static void save(struct store_fixture *f, const char *source, uint64_t n)
{
	struct store_event event = {.kind = "change", .text = "x"};

	snprintf(event.source, sizeof(event.source), "%s", source);
	for (uint64_t i = 0; i < n; i++) {
		event.at_ns = i + 1;
		event.likeness = i % 2 ? (unsigned char)source[0] : 0;
		cr_assert_eq(store_save_event(f->store, &event), 0);
	}
}

static void save_gap(struct store_fixture *f, const char *source, uint64_t lost)
{
	struct store_event gap = {.kind = "gap", .at_ns = 9, .lost = lost, .has_lost = lost != 0};

	snprintf(gap.source, sizeof(gap.source), "%s", source);
	cr_assert_eq(store_save_event(f->store, &gap), 0);
}

static void setup(struct store_fixture *f)
{
	fixture_setup(f);
	faulty_disk_install();
	(void)begin(f);
	save(f, "uevent", 1); /* there is a database that can be read */
	f->store = store_free(f->store);
	cr_assert(!is_left(f));
}

/* Records of sources with and without a log, and gaps; the disk takes none of them. */
static void lose(struct store_fixture *f)
{
	struct store_event event = {.source = "trace", .kind = "cxl_poison", .at_ns = 1};

	faulty_disk_break(DISK_FAILS);
	save(f, "uevent", 5);
	save_gap(f, "uevent", 100);
	save(f, "qmp", 3);
	save_gap(f, "qmp", 0);
	for (event.page = 1; event.page < 5; event.page++)
		store_save_event(f->store, &event);
	event.page = 0;
	snprintf(event.source, sizeof(event.source), "kernel-log");
	event.has_log_sequence = true;
	event.log_sequence = 4;
	store_save_event(f->store, &event);
	f->store = store_free(f->store);
	cr_assert(is_left(f));
	faulty_disk_heal();
}

static void expect_told(struct store_fixture *f)
{
	cr_assert_eq(fixture_number(f, "SELECT sum(lost) FROM events WHERE source = 'uevent'"),
		     105);
	cr_assert_eq(fixture_number(f, "SELECT sum(lost) FROM events WHERE source = 'qmp'"), 3);
	cr_assert_eq(fixture_number(
			     f, "SELECT count(*) FROM events WHERE kind = 'gap' AND lost IS NULL"),
		     1);
	/* These stand in logs of their own. */
	cr_assert_eq(
		fixture_number(
			f, "SELECT count(*) FROM events WHERE source IN ('trace', 'kernel-log')"),
		0);
	cr_assert_eq(fixture_number(f, "SELECT count(*) FROM events WHERE kind = 'gap'"), 3);
}

/* Proves: an exit while the disk fails is a gap of each source without a log, with the number, once. */
Test(store_lost, an_exit_on_a_failing_disk_is_told_once)
{
	struct store_fixture f;
	struct heard heard;

	setup(&f);
	(void)begin(&f);
	lose(&f);
	heard = begin(&f);
	cr_assert_eq(heard.n, 3);
	cr_assert_eq(heard.lost, 108);
	cr_assert_eq(heard.unknown, 1);
	f.store = store_free(f.store);
	cr_assert(!is_left(&f));
	expect_told(&f);
	heard = begin(&f);
	cr_assert_eq(heard.n, 0);
	f.store = store_free(f.store);
	expect_told(&f);
	fixture_teardown(&f);
}

/* Proves: a disk that still fails at the next start and exit keeps what is to be told, and adds to it. */
Test(store_lost, losses_add_up_until_a_disk_takes_them)
{
	struct store_fixture f;

	setup(&f);
	(void)begin(&f);
	lose(&f);
	for (int i = 0; i < 2; i++) {
		(void)begin(&f);
		faulty_disk_break(DISK_FAILS);
		save(&f, "uevent", 1);
		f.store = store_free(f.store);
		faulty_disk_heal();
	}
	cr_assert(is_left(&f));
	(void)begin(&f);
	f.store = store_free(f.store);
	/* The first of them may have been written beside what stood in the file. */
	cr_assert_eq(fixture_number(&f, "SELECT coalesce(sum(lost), 0) +"
					" (SELECT count(*) FROM events WHERE kind != 'gap')"
					" FROM events WHERE source = 'uevent'"),
		     1 + 105 + 2);
	cr_assert_eq(fixture_number(&f, "SELECT sum(lost) FROM events WHERE source = 'qmp'"), 3);
	fixture_teardown(&f);
}

/* Proves: killed after the gaps are durable and before the file goes, the next start tells nothing twice. */
Test(store_lost, a_file_that_outlives_its_rows_is_not_told_again)
{
	struct store_fixture f;
	struct heard heard;
	char command[400], path[160];

	setup(&f);
	(void)begin(&f);
	lose(&f);
	path_of_lost(&f, path);
	/* The same file: its name is what is taken away. */
	snprintf(command, sizeof(command), "ln %s %s.kept", path, path);
	cr_assert_eq(system(command), 0);
	(void)begin(&f);
	f.store = store_free(f.store);
	snprintf(command, sizeof(command), "mv %s.kept %s", path, path);
	cr_assert_eq(system(command), 0);
	heard = begin(&f);
	cr_assert_eq(heard.n, 0);
	cr_assert(!is_left(&f));
	f.store = store_free(f.store);
	expect_told(&f);
	fixture_teardown(&f);
}

/* Proves: what cannot be understood is one loss of unknown size, and is not looked at again. */
Test(store_lost, a_file_that_makes_no_sense_is_a_loss_of_unknown_size)
{
	static const char *const texts[] = {
		"",
		"rubbish",
		"daxmgr-lost 1 " BOOT "\n",
		"daxmgr-lost 1 " OTHER_BOOT "\n5 0 1 uevent\n",
		"daxmgr-lost 1 " BOOT "\n5 0 1 uevent\n5 0",
		"daxmgr-lost 1 " BOOT "\n5 0 uevent\n",
	};
	struct store_fixture f;
	struct heard heard;
	char path[160];

	setup(&f);
	path_of_lost(&f, path);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		FILE *file = fopen(path, "w");

		cr_assert(file);
		fputs(texts[i], file);
		fclose(file);
		heard = begin(&f);
		cr_assert_eq(heard.n, 1, "%s", texts[i]);
		cr_assert_eq(heard.unknown, 1, "%s", texts[i]);
		f.store = store_free(f.store);
		cr_assert(!is_left(&f), "%s", texts[i]);
		cr_assert_eq(fixture_number(&f,
					    "SELECT count(*) FROM events WHERE source = 'store' AND"
					    " kind = 'gap' AND lost IS NULL"),
			     (int64_t)i + 1);
	}
	fixture_teardown(&f);
}

/* Proves: a spool that ends with the process keeps nothing, so what is of it is told, too. */
Test(store_lost, pages_in_memory_are_lost_with_it)
{
	struct store_event event = {.source = "trace", .kind = "cxl_poison", .at_ns = 1, .page = 3};
	struct store_fixture f;
	struct heard heard;

	setup(&f);
	(void)begin(&f);
	store_set_spool(f.store, "");
	faulty_disk_break(DISK_FAILS);
	store_save_event(f.store, &event);
	f.store = store_free(f.store);
	faulty_disk_heal();
	heard = begin(&f);
	cr_assert_eq(heard.n, 1);
	cr_assert_eq(heard.lost, 1);
	fixture_teardown(&f);
}

/* Proves: a store that was never started leaves what it had for the next one. */
Test(store_lost, a_start_that_fails_forgets_nothing)
{
	struct heard heard = {0};
	struct store_fixture f;
	char path[160];

	setup(&f);
	(void)begin(&f);
	lose(&f);
	path_of_lost(&f, path);
	fixture_open(&f, BOOT);
	cr_assert_eq(store_load_lost(f.store, path, on_lost, &heard), 0);
	cr_assert_eq(heard.n, 3);
	f.store = store_free(f.store);
	cr_assert(is_left(&f));
	(void)begin(&f);
	f.store = store_free(f.store);
	expect_told(&f);
	fixture_teardown(&f);
}
