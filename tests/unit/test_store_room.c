/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much can wait for the disk. */
#include <criterion/criterion.h>

#include <sqlite3.h>

#include "store_fixture.h"

static int64_t rows(struct store_fixture *f, const char *kind)
{
	sqlite3_stmt *statement;
	int64_t value;
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(f->path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_prepare_v2(db, "SELECT count(*) FROM events WHERE kind = ?", -1,
					&statement, NULL),
		     SQLITE_OK);
	sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC);
	cr_assert_eq(sqlite3_step(statement), SQLITE_ROW);
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return value;
}

/* Proves: records that come one by one between other work do not run out of room before there is none. */
Test(store_records, single_records_between_other_work_all_find_room)
{
	const size_t many = 500;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, "boot");
	for (uint64_t i = 0; i < many; i++) { /* nothing is written yet */
		struct store_event event = {
			.source = "uevent",
			.kind = "change",
			.text = "x",
			.at_ns = (i + 1) * UINT64_C(1000000000),
		};
		struct iso_restore_lease lease = fixture_lease();

		cr_assert_eq(store_save_lease(f.store, &lease, 0), 0);
		store_save_event(f.store, &event);
	}
	fixture_start(&f);
	f.store = store_free(f.store);
	cr_assert_eq(rows(&f, "change"), (int64_t)many);
	cr_assert_eq(rows(&f, "gap"), 0);
	fixture_teardown(&f);
}
