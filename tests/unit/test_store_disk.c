/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store on a disk that fails, in every way, at every call: what was said to
 * be durable is there at the next start, what was not may be, whole or not at
 * all, and the store heals when the disk does.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <sqlite3.h>

#include "clock.h"
#include "faulty_disk.h"
#include "store_fixture.h"

static void setup(struct store_fixture *f)
{
	fixture_setup(f);
	faulty_disk_install();
}

static void save(struct store_fixture *f, const char *name, uint64_t token)
{
	struct iso_restore_lease lease = fixture_lease();

	snprintf(lease.terms.name, sizeof(lease.terms.name), "%s", name);
	cr_assert_eq(store_save_lease(f->store, &lease, token), 0);
}

static void expect_problem(struct store_fixture *f, const char *text)
{
	char problem[ISO_TEXT_BYTES];

	store_problem(f->store, problem, sizeof(problem));
	cr_assert(strstr(problem, text), "'%s' and not '%s'", problem, text);
}

/* Until the store has nothing to complain about. */
static void wait_healthy(struct store_fixture *f)
{
	char problem[ISO_TEXT_BYTES];

	for (int i = 0; i < 400; i++) {
		store_problem(f->store, problem, sizeof(problem));
		if (!problem[0])
			return;
		cr_assert_geq(sd_event_run(f->event, 20000), 0);
	}
	cr_assert_fail("'%s' stays", problem);
}

/* What a start finds, on a disk that works. */
static size_t count_leases(struct store_fixture *f)
{
	struct store_loaded loaded;

	fixture_open(f, BOOT);
	cr_assert_null(store_hold(f->store), "%s", store_hold(f->store));
	fixture_load(f, &loaded);
	f->store = store_free(f->store);
	return loaded.n_leases;
}

static void refuse_and_heal(struct disk_fault fault, const char *words)
{
	struct store_note note = {.incident = 1, .kind = ISO_NOTE_FAULT, .text = "kept"};
	struct store_fixture f;
	size_t n;

	setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	save(&f, "before", 1);
	fixture_wait(&f, 1);
	faulty_disk_add(fault);
	save(&f, "refused", 2);
	fixture_wait(&f, 2);
	cr_assert_lt(f.results[1], 0);
	expect_problem(&f, "cannot be written");
	expect_problem(&f, words);
	store_save_note(f.store, &note); /* wants no answer: is kept until it can be written */
	save(&f, "refused", 3);
	fixture_wait(&f, 3);
	cr_assert_lt(f.results[2], 0);
	faulty_disk_heal();
	wait_healthy(&f);
	save(&f, "after", 4);
	fixture_wait(&f, 4);
	cr_assert_eq(f.results[3], 0);
	f.store = store_free(f.store);
	n = count_leases(&f);
	/* What was written and not synced may still be there: it was not promised. */
	cr_assert(n == 2 || (n == 3 && fault.call == DISK_SYNC), "%zu", n);
	fixture_teardown(&f);
}

Test(store_disk, full)
{
	refuse_and_heal((struct disk_fault){.call = DISK_WRITE, .kind = DISK_IS_FULL},
			"the disk is full");
}

Test(store_disk, read_only)
{
	refuse_and_heal((struct disk_fault){.call = DISK_WRITE, .kind = DISK_READ_ONLY},
			"the disk is read-only");
}

Test(store_disk, writes_fail)
{
	refuse_and_heal((struct disk_fault){.call = DISK_WRITE, .kind = DISK_FAILS},
			"the disk fails");
}

Test(store_disk, writes_tear)
{
	refuse_and_heal((struct disk_fault){.call = DISK_WRITE, .kind = DISK_TEARS},
			"the disk fails");
}

Test(store_disk, sync_fails)
{
	refuse_and_heal((struct disk_fault){.call = DISK_SYNC, .kind = DISK_FAILS},
			"the disk fails");
}

/* Proves: a disk that heals is noticed although nothing is asked of the store. */
Test(store_disk, heals_by_itself)
{
	struct store_fixture f;

	setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	faulty_disk_break(DISK_IS_FULL);
	save(&f, "refused", 1);
	fixture_wait(&f, 1);
	cr_assert_eq(f.results[0], -ENOSPC);
	faulty_disk_heal();
	wait_healthy(&f);
	fixture_teardown(&f);
}

/* Proves: whichever call fails, once or for a while, what was acknowledged is there and nothing is damaged. */
static void sweep(enum disk_call call, enum disk_fault_kind kind, uint64_t times)
{
	for (uint64_t nth = 1; nth <= 40; nth += 1 + nth / 8) {
		struct store_fixture f;
		size_t acknowledged = 0, found;
		char name[8];

		fixture_setup(&f);
		fixture_open(&f, BOOT);
		fixture_start(&f);
		faulty_disk_heal();
		faulty_disk_add((struct disk_fault){
			.call = call, .kind = kind, .nth = nth, .times = times});
		for (uint64_t i = 1; i <= 6; i++) {
			snprintf(name, sizeof(name), "vm-%d", (int)i);
			save(&f, name, i);
			fixture_wait(&f, i);
			acknowledged += f.results[i - 1] == 0;
		}
		f.store = store_free(f.store);
		faulty_disk_heal();
		found = count_leases(&f);
		cr_assert_geq(found, acknowledged, "call %d kind %d nth %d", (int)call, (int)kind,
			      (int)nth);
		cr_assert_leq(found, 6);
		fixture_teardown(&f);
	}
}

Test(store_disk, any_write_may_fail)
{
	faulty_disk_install();
	sweep(DISK_WRITE, DISK_FAILS, 1);
	sweep(DISK_WRITE, DISK_IS_FULL, 3);
	sweep(DISK_WRITE, DISK_TEARS, 1);
	sweep(DISK_WRITE, DISK_TEARS, 2);
}

Test(store_disk, any_sync_or_read_may_fail)
{
	faulty_disk_install();
	sweep(DISK_SYNC, DISK_FAILS, 1);
	sweep(DISK_READ, DISK_FAILS, 1);
	sweep(DISK_OPEN, DISK_FAILS, 2);
}

/* Proves: a write that takes long is said while it lasts, and is no failure. */
Test(store_disk, slow)
{
	struct store_fixture f;
	char problem[ISO_TEXT_BYTES] = "";

	setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	faulty_disk_add((struct disk_fault){.call = DISK_SYNC,
					    .kind = DISK_DELAYS,
					    .times = 1,
					    .delay_ns = UINT64_C(6500000000)});
	save(&f, "slow", 1);
	for (int i = 0; i < 400 && !problem[0]; i++) {
		cr_assert_geq(sd_event_run(f.event, 20000), 0);
		store_problem(f.store, problem, sizeof(problem));
	}
	cr_assert(strstr(problem, "the disk is slow"), "'%s'", problem);
	fixture_wait(&f, 1);
	cr_assert_eq(f.results[0], 0);
	wait_healthy(&f);
	fixture_teardown(&f);
}

/* ---- at start ---- */

static void prepare(struct store_fixture *f)
{
	setup(f);
	fixture_open(f, BOOT);
	fixture_start(f);
	save(f, "before", 1);
	fixture_wait(f, 1);
}

/* Proves: on a disk that takes nothing a start still knows every lease, hands nothing out, and heals. */
static void start_on(enum disk_fault_kind kind, bool crashed, const char *words)
{
	struct store_loaded loaded;
	struct store_fixture f;
	char command[256];

	prepare(&f);
	if (crashed) { /* with its log and the index as they were */
		snprintf(command, sizeof(command), "cd %s && mkdir left && cp state.db* left",
			 f.directory);
		cr_assert_eq(system(command), 0);
	}
	f.store = store_free(f.store);
	if (crashed) {
		snprintf(command, sizeof(command), "cd %s && mv left/* .", f.directory);
		cr_assert_eq(system(command), 0);
	}
	faulty_disk_break(kind);
	fixture_open(&f, BOOT);
	cr_assert_not(store_is_unread(f.store));
	cr_assert_null(store_hold(f.store));
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 1);
	fixture_start(&f);
	save(&f, "refused", 2);
	fixture_wait(&f, 2);
	cr_assert_lt(f.results[1], 0);
	expect_problem(&f, "cannot be written");
	expect_problem(&f, words);
	faulty_disk_heal();
	wait_healthy(&f);
	cr_assert_eq(f.n_readable, 0, "it knew all there was");
	save(&f, "after", 3);
	fixture_wait(&f, 3);
	cr_assert_eq(f.results[2], 0);
	f.store = store_free(f.store);
	cr_assert_eq(count_leases(&f), 2);
	fixture_teardown(&f);
}

Test(store_disk, start_on_a_full_disk)
{
	start_on(DISK_IS_FULL, false, "");
}

Test(store_disk, start_on_a_full_disk_after_a_crash)
{
	start_on(DISK_IS_FULL, true, "the disk is full");
}

Test(store_disk, start_on_a_read_only_disk)
{
	start_on(DISK_READ_ONLY, false, "");
}

Test(store_disk, start_on_a_read_only_disk_after_a_crash)
{
	start_on(DISK_READ_ONLY, true, "");
}

/* Proves: where nothing can be read nothing is believed and nothing written, until it can be read. */
Test(store_disk, start_on_a_broken_disk)
{
	struct store_loaded loaded;
	struct store_fixture f;

	prepare(&f);
	f.store = store_free(f.store);
	faulty_disk_break(DISK_FAILS);
	fixture_open(&f, BOOT);
	cr_assert(store_is_unread(f.store));
	cr_assert(strstr(store_hold(f.store), "cannot be read"));
	expect_problem(&f, "cannot be read: the disk fails");
	cr_assert_eq(store_close_old_incidents(f.store), 0, "none is known");
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 0);
	fixture_start(&f);
	save(&f, "refused", 2);
	fixture_wait(&f, 2);
	cr_assert_lt(f.results[1], 0);
	faulty_disk_heal();
	save(&f, "refused too", 3);
	fixture_wait(&f, 3);
	cr_assert_lt(f.results[2], 0, "it would mix with what was never read");
	for (int i = 0; i < 300 && !f.n_readable; i++)
		cr_assert_geq(sd_event_run(f.event, 20000), 0);
	cr_assert_geq(f.n_readable, 1);
	f.store = store_free(f.store);
	cr_assert_eq(count_leases(&f), 1);
	fixture_teardown(&f);
}

/* Proves: a first start without room is one like that. */
Test(store_disk, first_start_on_a_full_disk)
{
	struct store_fixture f;

	setup(&f);
	faulty_disk_break(DISK_IS_FULL);
	fixture_open(&f, BOOT);
	cr_assert(store_is_unread(f.store));
	cr_assert_not_null(store_hold(f.store));
	fixture_start(&f);
	faulty_disk_heal();
	for (int i = 0; i < 300 && !f.n_readable; i++)
		cr_assert_geq(sd_event_run(f.event, 20000), 0);
	cr_assert_geq(f.n_readable, 1);
	f.store = store_free(f.store);
	cr_assert_eq(count_leases(&f), 0);
	fixture_teardown(&f);
}

/* ---- a real file system ---- */

/* A small one below the fixture's directory, for this test's process only. */
static void mount_small(struct store_fixture *f)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", f->directory, "tmpfs", 0, "size=2m,mode=0700") < 0)
		cr_skip_test("may not mount");
}

static void fill(struct store_fixture *f)
{
	char command[160];

	snprintf(command, sizeof(command), "cat /dev/zero > %s/filler 2>/dev/null; true",
		 f->directory);
	cr_assert_eq(system(command), 0);
}

static void make_room(struct store_fixture *f)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/filler", f->directory);
	cr_assert_eq(unlink(path), 0);
}

static void remount(struct store_fixture *f, unsigned long flags)
{
	cr_assert_eq(mount(NULL, f->directory, NULL, MS_REMOUNT | flags, NULL), 0, "%s",
		     strerror(errno));
}

/* What room there is left in the log may take some. */
static void save_until_refused(struct store_fixture *f)
{
	f->n_done = 0;
	for (int i = 0; i < 60 && (!f->n_done || f->results[f->n_done - 1] == 0); i++) {
		save(f, "before", 1);
		fixture_wait(f, f->n_done + 1);
	}
	cr_assert_lt(f->results[f->n_done - 1], 0);
}

static void expect_known_and_refused(struct store_fixture *f, const char *words)
{
	struct store_loaded loaded;

	fixture_open(f, BOOT);
	cr_assert_null(store_hold(f->store), "%s", store_hold(f->store));
	fixture_load(f, &loaded);
	cr_assert_eq(loaded.n_leases, 1);
	cr_assert_eq(store_close_old_incidents(f->store), 0, "there are none to be closed");
	fixture_start(f);
	save_until_refused(f);
	expect_problem(f, words);
}

static void expect_healed(struct store_fixture *f)
{
	size_t n = f->n_done;

	wait_healthy(f);
	save(f, "after", 2);
	fixture_wait(f, n + 1);
	cr_assert_eq(f->results[n], 0);
	store_end_lease(f->store, "after", 3);
	fixture_wait(f, n + 2);
	f->store = store_free(f->store);
}

/* Proves: a log that has taken the last of the room is brought into the file, and all goes on by itself. */
Test(store_disk, the_log_is_what_fills_it)
{
	struct store_fixture f;

	fixture_setup(&f);
	mount_small(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	save(&f, "before", 1);
	fixture_wait(&f, 1);
	usleep(2500000); /* the log is in the file, which does not have to grow for the same lease again */
	fill(&f);
	save_until_refused(&f);
	cr_assert_eq(store_save_note(f.store, &(struct store_note){.text = "waits for room"}), 0);
	wait_healthy(&f);
	save(&f, "before", 2);
	fixture_wait(&f, f.n_done + 1);
	cr_assert_eq(f.results[f.n_done - 1], 0);
	cr_assert_eq(umount2(f.directory, MNT_DETACH), 0);
	fixture_teardown(&f);
}

/* Proves: what the faulty disk plays is what file systems do. */
Test(store_disk, a_real_one)
{
	struct store_fixture f;

	fixture_setup(&f);
	mount_small(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	save(&f, "before", 1);
	fixture_wait(&f, 1);
	f.store = store_free(f.store);
	fill(&f);
	expect_known_and_refused(&f, "the disk is full");
	make_room(&f);
	expect_healed(&f);
	remount(&f, MS_RDONLY);
	expect_known_and_refused(&f, "the disk is read-only");
	remount(&f, 0);
	expect_healed(&f);
	cr_assert_eq(umount2(f.directory, MNT_DETACH), 0);
	fixture_teardown(&f);
}
