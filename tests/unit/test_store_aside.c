/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A damaged database is put aside and never deleted; that leases were lost with
 * it is remembered until an operator's word.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "faulty_disk.h"
#include "store_fixture.h"

static void make(struct store_fixture *f)
{
	struct iso_restore_lease lease = fixture_lease();

	fixture_setup(f);
	fixture_open(f, BOOT);
	fixture_start(f);
	cr_assert_eq(store_save_lease(f->store, &lease, 1), 0);
	fixture_wait(f, 1);
	f->store = store_free(f->store);
}

/* Overwrites bytes of the file. */
static void damage(struct store_fixture *f, off_t offset)
{
	char noise[512];
	int fd = open(f->path, O_WRONLY);

	memset(noise, 0xa5, sizeof(noise));
	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, noise, sizeof(noise), offset), (ssize_t)sizeof(noise));
	close(fd);
}

static void execute(struct store_fixture *f, const char *sql)
{
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(f->path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

static size_t count_aside(struct store_fixture *f)
{
	char pattern[128];
	glob_t found;
	size_t n;

	snprintf(pattern, sizeof(pattern), "%s.damaged-20*-*-*Z*", f->path);
	n = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
	globfree(&found);
	return n;
}

static bool is_marked(struct store_fixture *f)
{
	char path[128];

	snprintf(path, sizeof(path), "%s.hold", f->path);
	return access(path, F_OK) == 0;
}

static void expect_aside(struct store_fixture *f)
{
	struct store_loaded loaded;
	char problem[ISO_TEXT_BYTES];

	fixture_open(f, BOOT);
	cr_assert_not_null(store_hold(f->store));
	cr_assert(strstr(store_hold(f->store), "put aside as state.db.damaged-20"), "'%s'",
		  store_hold(f->store));
	cr_assert_not(store_is_unread(f->store));
	store_problem(f->store, problem, sizeof(problem));
	cr_assert_str_eq(problem, store_hold(f->store));
	fixture_load(f, &loaded);
	cr_assert_eq(loaded.n_leases, 0);
	cr_assert(is_marked(f));
	cr_assert_eq(count_aside(f), 1);
}

Test(store_aside, held_over_restarts_until_the_word)
{
	struct iso_restore_lease lease = fixture_lease();
	struct store_loaded loaded;
	char problem[ISO_TEXT_BYTES];
	struct store_fixture f;

	make(&f);
	damage(&f, 0);
	expect_aside(&f);
	fixture_start(&f);
	cr_assert_eq(store_save_lease(f.store, &lease, 2), 0); /* found again by looking */
	fixture_wait(&f, 2);
	cr_assert_eq(f.results[1], 0);
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	cr_assert(strstr(store_hold(f.store), "put aside"));
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 1);
	fixture_start(&f);
	cr_assert_eq(store_end_hold(f.store), 0);
	cr_assert_eq(store_save_lease(f.store, &lease, 3), 0);
	fixture_wait(&f, 3);
	store_problem(f.store, problem, sizeof(problem));
	cr_assert_str_eq(problem, "");
	f.store = store_free(f.store);
	cr_assert_not(is_marked(&f));

	fixture_open(&f, BOOT);
	cr_assert_null(store_hold(f.store));
	cr_assert_eq(count_aside(&f), 1, "what was put aside stays");
	fixture_teardown(&f);
}

/* Proves: whichever page is damaged, it is found, or all that a start needs is still there. */
Test(store_aside, any_page_may_be_damaged)
{
	for (off_t page = 0; page < 40; page++) {
		struct store_loaded loaded;
		struct store_fixture f;

		make(&f);
		damage(&f, page * 4096 + (page % 3) * 900);
		fixture_open(&f, BOOT);
		fixture_load(&f, &loaded);
		cr_assert(store_hold(f.store) || loaded.n_leases == 1, "page %d", (int)page);
		fixture_teardown(&f);
	}
}

Test(store_aside, a_file_that_was_cut)
{
	struct store_fixture f;

	make(&f);
	cr_assert_eq(truncate(f.path, 3 * 4096 + 100), 0);
	expect_aside(&f);
	fixture_teardown(&f);
}

/* Proves: rows that make no sense are damage, too, and not a daemon that does not start. */
Test(store_aside, nonsense)
{
	struct store_fixture f;

	make(&f);
	execute(&f, "UPDATE leases SET state = 'flying'");
	expect_aside(&f);
	fixture_teardown(&f);
}

/* Proves: a crash after the mark and before the renaming loses nothing and holds. */
Test(store_aside, a_mark_alone_holds)
{
	struct store_loaded loaded;
	struct store_fixture f;
	char path[128];

	make(&f);
	snprintf(path, sizeof(path), "%s.hold", f.path);
	close(open(path, O_WRONLY | O_CREAT, 0600)); /* there was no room for its text */
	fixture_open(&f, BOOT);
	cr_assert_str_eq(store_hold(f.store), "leases were lost with a damaged database");
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 1);
	fixture_teardown(&f);
}

/* Proves: none is ever deleted; with too many the database stays where it is, and nothing is known. */
Test(store_aside, so_many_and_no_more)
{
	struct store_fixture f;
	size_t n = 0;

	make(&f);
	for (; n < 12; n++) {
		damage(&f, 0);
		fixture_open(&f, BOOT);
		cr_assert_not_null(store_hold(f.store));
		if (store_is_unread(f.store))
			break;
		f.store = store_free(f.store);
		cr_assert_eq(count_aside(&f), n + 1);
	}
	cr_assert_eq(n, 8);
	cr_assert_eq(count_aside(&f), 8);
	fixture_teardown(&f);
}

static void wait_wants_all(struct store_fixture *f)
{
	for (int i = 0; i < 400 && !f->n_wants_all; i++)
		cr_assert_geq(sd_event_run(f->event, 20000), 0);
	cr_assert_geq(f->n_wants_all, 1);
}

/* As the daemon does it. */
static void save_anew(struct store_fixture *f, const char *name)
{
	struct iso_restore_lease lease = fixture_lease();

	snprintf(lease.terms.name, sizeof(lease.terms.name), "%s", name);
	cr_assert_eq(store_begin_anew(f->store), 0);
	cr_assert_eq(store_save_lease(f->store, &lease, 0), 0);
}

static void expect_only(struct store_fixture *f, const char *name, bool held)
{
	struct store_loaded loaded;

	fixture_open(f, BOOT);
	cr_assert_eq(store_hold(f->store) != NULL, held, "%s",
		     held ? "not held" : store_hold(f->store));
	fixture_load(f, &loaded);
	cr_assert_eq(loaded.n_leases, 1);
	cr_assert_str_eq(loaded.lease.terms.name, name);
}

/* Proves: one that is damaged in use is put aside, all is asked for, and only a crash before it came holds. */
static void damaged_in_use(bool crash)
{
	struct iso_restore_lease lease = fixture_lease();
	struct store_fixture f;

	fixture_setup(&f);
	faulty_disk_install();
	fixture_open(&f, BOOT);
	fixture_start(&f);
	cr_assert_eq(store_save_lease(f.store, &lease, 1), 0);
	fixture_wait(&f, 1);
	usleep(2500000); /* idle: the log is in the file, and damage is not written over again */
	for (int page = 1; page < 12; page++)
		damage(&f, page * 4096);
	/* What it has in memory is still good: only a connection that is given up shows it. */
	faulty_disk_add((struct disk_fault){.call = DISK_WRITE, .kind = DISK_FAILS, .times = 4});
	cr_assert_eq(store_save_lease(f.store, &lease, 2), 0);
	fixture_wait(&f, 2);
	wait_wants_all(&f);
	cr_assert_eq(count_aside(&f), 1);
	cr_assert(is_marked(&f));
	save_anew(&f, "all");
	if (!crash)
		cr_assert_eq(store_end_hold(f.store), 0);
	f.store = store_free(f.store);
	faulty_disk_heal();
	expect_only(&f, "all", crash);
	fixture_teardown(&f);
}

Test(store_aside, damaged_in_use)
{
	damaged_in_use(false);
}

Test(store_aside, damaged_in_use_and_a_crash)
{
	damaged_in_use(true);
}

/* Proves: leases that found no room while the disk was full are asked for again, and ended ones are forgotten. */
Test(store_aside, what_found_no_room_is_made_up)
{
	struct iso_restore_lease lease = fixture_lease();
	struct store_fixture f;
	int i, r = 0;

	fixture_setup(&f);
	faulty_disk_install();
	fixture_open(&f, BOOT);
	fixture_start(&f);
	cr_assert_eq(store_save_lease(f.store, &lease, 1), 0);
	fixture_wait(&f, 1);
	faulty_disk_break(DISK_IS_FULL);
	for (i = 0; i < 2 * STORE_QUEUE_MAX && r == 0; i++)
		r = store_save_lease(f.store, &lease, 0);
	cr_assert_eq(r, -ENOBUFS);
	cr_assert_eq(f.n_wants_all, 0);
	faulty_disk_heal();
	wait_wants_all(&f);
	save_anew(&f, "other");
	store_end_hold(f.store);
	f.store = store_free(f.store);
	cr_assert_not(is_marked(&f));
	expect_only(&f, "other", false);
	fixture_teardown(&f);
}
