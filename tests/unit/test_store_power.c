/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The power goes, at any write or sync: what was said to be durable is there at
 * the next start, what was not may be, whole or not at all, and nothing is
 * damaged. A disk that only says that it has synced may damage the database:
 * then that is seen.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lossy_disk.h"
#include "store_fixture.h"

enum {
	LEASES = 6,
	POINTS = 16, /* moments in which the power goes, all over a run */
	SEEDS = 4,   /* what survives of what was not synced */
};

/* Return: how many leases were said to be durable. */
static size_t save_leases(struct store_fixture *f)
{
	struct iso_restore_lease lease = fixture_lease();
	size_t n;

	for (n = 0; n < LEASES; n++) {
		snprintf(lease.terms.name, sizeof(lease.terms.name), "vm-%zu", n);
		cr_assert_eq(store_save_lease(f->store, &lease, n + 1), 0);
		fixture_wait(f, n + 1);
		if (f->results[n] < 0)
			break;
	}
	return n;
}

/* A daemon's life. Return: how many leases were said to be durable. */
static size_t live(struct store_fixture *f)
{
	size_t acknowledged;

	fixture_open(f, BOOT);
	fixture_start(f);
	acknowledged = save_leases(f);
	f->store = store_free(f->store);
	return acknowledged;
}

static void remove_index(struct store_fixture *f)
{
	char path[128];

	snprintf(path, sizeof(path), "%s-shm", f->path);
	unlink(path); /* it is only in memory */
}

/* Return: leases that are there at the next start. */
static size_t look(struct store_fixture *f, bool *ret_held, bool *ret_whole)
{
	struct store_loaded loaded;

	remove_index(f);
	fixture_open(f, BOOT);
	*ret_held = store_hold(f->store) != NULL;
	cr_assert_not(store_is_unread(f->store));
	fixture_load(f, &loaded);
	f->store = store_free(f->store);
	cr_assert_leq(loaded.n_leases, LEASES);
	*ret_whole = !loaded.n_leases ||
		     (loaded.lease.n_parts == 2 && loaded.lease.terms.n_parts == 2);
	return loaded.n_leases;
}

/* Writes and syncs of a whole life, from the first file on. */
static uint64_t count_calls(void)
{
	struct store_fixture f;
	uint64_t calls;

	fixture_setup(&f);
	lossy_disk_begin(0, false);
	cr_assert_eq(live(&f), LEASES);
	calls = lossy_disk_calls();
	lossy_disk_settle(0);
	fixture_teardown(&f);
	cr_assert_gt(calls, 2 * POINTS);
	return calls;
}

static void power_goes(uint64_t nth, uint32_t seed, bool lies)
{
	struct store_fixture f;
	size_t acknowledged, found;
	bool held, whole;

	fixture_setup(&f);
	lossy_disk_begin(nth, lies);
	acknowledged = live(&f);
	lossy_disk_settle(seed);
	found = look(&f, &held, &whole);
	if (!lies) {
		cr_assert(!held && whole, "call %d, seed %u", (int)nth, seed);
		cr_assert_geq(found, acknowledged, "call %d, seed %u", (int)nth, seed);
	}
	fixture_teardown(&f);
}

static void at_any_moment(bool lies)
{
	uint64_t calls;

	lossy_disk_install();
	calls = count_calls();
	for (int point = 0; point < POINTS; point++)
		for (uint32_t seed = 0; seed < SEEDS; seed++)
			power_goes(1 + (uint64_t)point * calls / POINTS, seed, lies);
}

Test(store_power, goes_at_any_moment)
{
	at_any_moment(false);
}

/* Proves: whatever such a disk leaves, the store opens it or puts it aside; the daemon starts. */
Test(store_power, goes_on_a_disk_that_lies)
{
	at_any_moment(true);
}

/* Proves: the test would see a loss. What a lying disk was told is gone, although it was acknowledged. */
Test(store_power, a_lie_is_seen)
{
	struct store_fixture f;
	bool held, whole;

	lossy_disk_install();
	fixture_setup(&f);
	lossy_disk_begin(0, false);
	fixture_open(&f, BOOT);
	f.store = store_free(f.store);
	lossy_disk_begin(0, true);
	cr_assert_eq(live(&f), LEASES);
	lossy_disk_settle(0);
	cr_assert_lt(look(&f, &held, &whole), LEASES);
	fixture_teardown(&f);
}
