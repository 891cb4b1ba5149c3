/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bad ranges come back as they were; of another boot only what outlives it. */
#include <criterion/criterion.h>

#include <string.h>

#include "store_fixture.h"

enum { ROWS = 4 };

struct loaded {
	struct iso_restore_poison rows[ROWS];
	size_t n;
};

static int on_row(void *userdata, const struct iso_restore_poison *row)
{
	struct loaded *loaded = userdata;

	cr_assert_lt(loaded->n, ROWS);
	loaded->rows[loaded->n++] = *row;
	return 0;
}

static struct loaded load(struct store_fixture *f, const char *boot)
{
	struct loaded loaded = {0};

	fixture_open(f, boot);
	cr_assert_eq(store_load_poison(f->store, on_row, &loaded), 0);
	f->store = store_free(f->store);
	return loaded;
}

static void save(struct store_fixture *f)
{
	struct iso_restore_poison by_memdev = {
		.slot = 7,
		.state = ISO_BAD_CLEARED,
		.has_dpa = true,
		.serial = UINT64_MAX,
		.dpa = {UINT64_C(1) << 40},
		.bytes = 64,
		.evidence = ISO_POISON_LIST | ISO_POISON_CLEAR,
		.first_ns = 1,
		.last_ns = 2,
		.cleared_ns = 3,
		.lease = "web",
		.hit_begun_ns = 4,
	};
	struct iso_restore_poison by_place = {
		.slot = 9,
		.state = ISO_BAD_BAD,
		.region = "left",
		.offset = {8192},
		.bytes = 4096,
		.evidence = ISO_POISON_MEMORY_FAILURE,
		.first_ns = 5,
		.last_ns = 5,
	};
	struct iso_restore_region region = fixture_region();

	fixture_open(f, BOOT);
	fixture_start(f);
	cr_assert_eq(store_save_poison(f->store, &by_place), 0);
	by_memdev.state = ISO_BAD_BAD;
	cr_assert_eq(store_save_poison(f->store, &by_memdev), 0);
	by_memdev.state = ISO_BAD_CLEARED;
	cr_assert_eq(store_save_poison(f->store, &by_memdev), 0);
	cr_assert_eq(store_save_region(f->store, &region, 1), 0);
	fixture_wait(f, 1);
	f->store = store_free(f->store);
}

/* Proves: every field comes back, the last state wins, and a place that was given free is free. */
Test(store_poison, comes_back)
{
	struct store_fixture f;
	struct loaded loaded;

	fixture_setup(&f);
	save(&f);
	loaded = load(&f, BOOT);
	cr_assert_eq(loaded.n, 2);
	cr_assert_eq(loaded.rows[0].slot, 7);
	cr_assert_eq(loaded.rows[0].state, ISO_BAD_CLEARED);
	cr_assert(loaded.rows[0].has_dpa);
	cr_assert_eq(loaded.rows[0].serial, UINT64_MAX);
	cr_assert_eq(loaded.rows[0].dpa.v, UINT64_C(1) << 40);
	cr_assert_eq(loaded.rows[0].evidence, ISO_POISON_LIST | ISO_POISON_CLEAR);
	cr_assert_eq(loaded.rows[0].cleared_ns, 3);
	cr_assert_str_eq(loaded.rows[0].lease, "web");
	cr_assert_eq(loaded.rows[0].hit_begun_ns, 4);
	cr_assert_not(loaded.rows[1].has_dpa);
	cr_assert_str_eq(loaded.rows[1].region, "left");
	cr_assert_eq(loaded.rows[1].offset.v, 8192);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	cr_assert_eq(store_forget_poison(f.store, 9), 0);
	f.store = store_free(f.store);
	cr_assert_eq(load(&f, BOOT).n, 1);
	fixture_teardown(&f);
}

/* Proves: another boot has another clock, and other places in regions. */
Test(store_poison, of_another_boot)
{
	struct store_fixture f;
	struct loaded loaded;

	fixture_setup(&f);
	save(&f);
	loaded = load(&f, OTHER_BOOT);
	cr_assert_eq(loaded.n, 2,
		     "what is known by its place only is the only thing that is known");
	cr_assert_eq(loaded.rows[1].slot, 9);
	cr_assert_str_eq(loaded.rows[1].region, "left");
	cr_assert_eq(loaded.rows[1].offset.v, 8192);
	cr_assert_eq(loaded.rows[1].first_ns, 0);
	cr_assert_eq(loaded.rows[0].slot, 7);
	cr_assert_eq(loaded.rows[0].state, ISO_BAD_CLEARED);
	cr_assert_eq(loaded.rows[0].last_ns, 0);
	cr_assert_eq(loaded.rows[0].cleared_ns, 0);
	cr_assert_eq(loaded.rows[0].hit_begun_ns, 0);
	fixture_teardown(&f);
}
