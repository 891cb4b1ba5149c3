/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store gives back what it was given, over a restart; what it cannot use
 * is refused or put aside in words.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "store_fixture.h"

Test(store, lease_comes_back_as_it_was)
{
	struct iso_restore_lease lease = fixture_lease();
	struct store_loaded loaded;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	cr_assert_eq(store_save_lease(f.store, &lease, 11), 0);
	fixture_wait(&f, 1);
	cr_assert_eq(f.tokens[0], 11);
	cr_assert_eq(f.results[0], 0);
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 1);
	cr_assert(loaded.same_boot);
	cr_assert_eq(memcmp(&loaded.lease, &lease, sizeof(lease)), 0);
	fixture_teardown(&f);
}

/* Proves: of a port all comes back, every loss in order, and whether it is of this boot. */
Test(store, port_comes_back_as_it_was)
{
	struct iso_restore_port port = {
		.path = "hb1/00.0",
		.wish = ISO_ARM_NO,
		.range = 5,
		.held = true,
		.flapping = true,
		.link_taken = true,
		.n_losses = ISO_PORT_LOSSES_MAX,
	};
	struct store_loaded loaded;
	struct store_fixture f;

	for (uint32_t i = 0; i < port.n_losses; i++)
		port.losses_ns[i] = INT64_MAX - port.n_losses + i;
	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	cr_assert_eq(store_save_port(f.store, &port, 11), 0);
	fixture_wait(&f, 1);
	f.store = store_free(f.store);
	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
	cr_assert(loaded.same_boot);
	cr_assert_eq(memcmp(&loaded.port, &port, sizeof(port)), 0);
	f.store = store_free(f.store);
	fixture_open(&f, OTHER_BOOT);
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_ports, 1);
	cr_assert_not(loaded.same_boot);

	fixture_start(&f);
	port.n_losses = 0;
	memset(port.losses_ns, 0, sizeof(port.losses_ns));
	cr_assert_eq(store_save_port(f.store, &port, 12), 0);
	fixture_wait(&f, 2);
	f.store = store_free(f.store);
	fixture_open(&f, OTHER_BOOT);
	fixture_load(&f, &loaded);
	cr_assert_eq(memcmp(&loaded.port, &port, sizeof(port)), 0, "what was forgotten stays so");
	fixture_teardown(&f);
}

Test(store, another_boot_knows_no_process_and_no_instance)
{
	struct iso_restore_lease lease = fixture_lease();
	struct iso_restore_region region = fixture_region();
	struct store_loaded loaded;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	cr_assert_eq(store_save_lease(f.store, &lease, 0), 0);
	cr_assert_eq(store_save_region(f.store, &region, 1), 0);
	fixture_wait(&f, 1);
	f.store = store_free(f.store);

	fixture_open(&f, OTHER_BOOT);
	fixture_load(&f, &loaded);
	cr_assert_not(loaded.same_boot);
	cr_assert_eq(loaded.lease.pid, 0);
	cr_assert_eq(loaded.lease.n_parts, 0);
	cr_assert_eq(loaded.lease.terms.n_parts, 2);
	cr_assert_eq(loaded.region.kernel_id, ISO_NONE);
	cr_assert_eq(loaded.region.definition.serials[0], UINT64_MAX);
	cr_assert_eq(loaded.region.definition.serials[1], 0x10);
	cr_assert_eq(loaded.region.last_hpa.v, UINT64_C(0x1090000000));
	cr_assert(loaded.region.from_operator);
	fixture_teardown(&f);
}

/* Proves: an incident that was open when the host went down is told of once and is open no more. */
Test(store, another_boot_ends_incidents)
{
	struct store_incident incident = {
		.id = 7, .cause = ISO_CAUSE_LINK_DOWN, .unit = "hb0/00.0", .open = true};
	struct store_loaded loaded;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	store_save_incident(f.store, &incident);
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	cr_assert_eq(store_close_old_incidents(f.store), 0);
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_incidents, 1, "the same boot goes on with it");
	f.store = store_free(f.store);

	fixture_open(&f, OTHER_BOOT);
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_incidents, 1);
	cr_assert_eq(store_close_old_incidents(f.store), 0);
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_incidents, 0);
	fixture_teardown(&f);
}

Test(store, fewer_parts_leave_none_behind_and_an_end_removes_all)
{
	struct iso_restore_lease lease = fixture_lease();
	struct store_loaded loaded;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	store_save_lease(f.store, &lease, 0);
	lease.n_parts = 0;
	lease.terms.n_parts = 1;
	lease.state = ISO_LEASE_WAITING;
	store_save_lease(f.store, &lease, 1);
	fixture_wait(&f, 1);
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.lease.n_parts, 0);
	cr_assert_eq(loaded.lease.terms.n_parts, 1);
	cr_assert_eq(loaded.lease.state, ISO_LEASE_WAITING);
	fixture_start(&f);
	store_end_lease(f.store, "vm-a", 2);
	fixture_wait(&f, 2);
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 0);
	fixture_teardown(&f);
}

Test(store, interrupted_creation_is_seen_until_a_later_intent_settles_it)
{
	struct iso_restore_region region = fixture_region();
	struct store_intent intent = {.operation = 9,
				      .kind = ISO_EFFECT_CREATE_REGION,
				      .object = "region left",
				      .epoch = 2};
	struct store_loaded loaded;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	store_save_region(f.store, &region, 0);
	store_intent(f.store, &intent, 1);
	fixture_wait(&f, 1);
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
	cr_assert(loaded.region.creation_interrupted);
	cr_assert_eq(loaded.n_intents, 1);
	cr_assert_eq(loaded.intent.operation, 9);
	cr_assert_eq(loaded.intent.epoch, 2);
	/* The next run uses the same operation number: it is another operation. */
	fixture_start(&f);
	store_intent(f.store, &intent, 2);
	store_intent_done(f.store, 9, 0);
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
	cr_assert_not(loaded.region.creation_interrupted);
	cr_assert_eq(loaded.n_intents, 0);
	fixture_teardown(&f);
}

Test(store, failed_creation_is_remembered_until_the_region_was_cleared)
{
	struct iso_restore_region region = fixture_region();
	struct store_intent create = {
		.operation = 9, .kind = ISO_EFFECT_CREATE_REGION, .object = "region left"};
	struct store_intent clear = {
		.operation = 10, .kind = ISO_EFFECT_CLEAR_REGION, .object = "region left"};
	struct store_loaded loaded;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	store_save_region(f.store, &region, 0);
	store_intent(f.store, &create, 1);
	store_intent_done(f.store, 9, -5);
	store_intent(f.store, &clear, 2);
	fixture_wait(&f, 2);
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
	cr_assert(loaded.region.creation_interrupted, "it is not cleared yet");
	fixture_start(&f);
	store_intent(f.store, &clear, 3);
	store_intent_done(f.store, 10, 0);
	fixture_wait(&f, 3);
	f.store = store_free(f.store);

	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
	cr_assert_not(loaded.region.creation_interrupted);
	fixture_teardown(&f);
}

Test(store, a_damaged_file_is_put_aside)
{
	char problem[ISO_TEXT_BYTES];
	struct store_loaded loaded;
	struct store_fixture f;
	FILE *file;

	fixture_setup(&f);
	file = fopen(f.path, "w");
	for (int i = 0; i < 5000; i++)
		fputs("this is not a database ", file);
	fclose(file);
	fixture_open(&f, BOOT);
	store_problem(f.store, problem, sizeof(problem));
	cr_assert(strstr(problem, "put aside"), "'%s'", problem);
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 0);
	fixture_teardown(&f);
}

static void refuse(const char *sql, int expected)
{
	char *message = NULL;
	struct store_fixture f;
	sqlite3 *db;

	fixture_setup(&f);
	cr_assert_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	cr_assert_eq(store_open(f.path, BOOT, &f.store, &message), expected);
	cr_assert(message && strstr(message, f.path));
	free(message);
	fixture_teardown(&f);
}

static void execute(const char *path, const char *sql)
{
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

Test(store, a_database_of_the_first_version_is_taken_over)
{
	struct iso_restore_lease lease = fixture_lease();
	struct store_incident incident = {
		.id = 7, .unit = "hb1/00.0", .held_port = "hb1/00.0", .open = true};
	struct store_loaded loaded;
	struct store_fixture f;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	cr_assert_eq(store_save_lease(f.store, &lease, 0), 0);
	cr_assert_eq(store_save_incident(f.store, &incident), 0);
	f.store = store_free(f.store);
	execute(f.path, "ALTER TABLE incidents DROP COLUMN hold_cause;"
			"ALTER TABLE leases DROP COLUMN pins;"
			"ALTER TABLE leases DROP COLUMN evidence;"
			"ALTER TABLE incidents DROP COLUMN synthetic;"
			"ALTER TABLE leases DROP COLUMN poison;"
			"ALTER TABLE lease_instances DROP COLUMN begun_ns;"
			"ALTER TABLE events DROP COLUMN severity;"
			"ALTER TABLE events DROP COLUMN incident;"
			"ALTER TABLE events DROP COLUMN domain;"
			"ALTER TABLE events DROP COLUMN lease;"
			"ALTER TABLE events DROP COLUMN count;"
			"ALTER TABLE events DROP COLUMN last_at_ns;"
			"ALTER TABLE events DROP COLUMN serial;"
			"ALTER TABLE events DROP COLUMN hpa;"
			"ALTER TABLE events DROP COLUMN dpa;"
			"ALTER TABLE events DROP COLUMN bytes;"
			"ALTER TABLE events DROP COLUMN lost;"
			"ALTER TABLE events DROP COLUMN synthetic;"
			"ALTER TABLE events DROP COLUMN likeness;"
			"ALTER TABLE events DROP COLUMN format;"
			"ALTER TABLE events DROP COLUMN fields;"
			"ALTER TABLE events DROP COLUMN last_raw;"
			"ALTER TABLE events DROP COLUMN grown;"
			"DROP TABLE fences; DROP TABLE firings; DROP TABLE ports;"
			"DROP TABLE formats; DROP TABLE marks; DROP TABLE subscribers;"
			"DROP TABLE bad_ranges;"
			"PRAGMA user_version=1");

	fixture_open(&f, BOOT);
	fixture_load(&f, &loaded);
	cr_assert_eq(loaded.n_leases, 1);
	cr_assert_eq(loaded.lease.pid, 4711);
	cr_assert_eq(loaded.lease.terms.pins, 0);
	cr_assert_str_eq(loaded.lease.terms.evidence, "");
	cr_assert_eq(loaded.n_incidents, 1);
	cr_assert_str_eq(loaded.incident.held_port, "hb1/00.0");
	cr_assert_not(loaded.incident.held_flapping, "there were only operators then");
	fixture_teardown(&f);
}

Test(store, newer_and_foreign_databases_are_left_alone)
{
	refuse("PRAGMA application_id=1684109421; PRAGMA user_version=1000; CREATE TABLE x(y);",
	       -EPROTONOSUPPORT);
	refuse("PRAGMA application_id=5; CREATE TABLE x(y);", -EMEDIUMTYPE);
	refuse("CREATE TABLE x(y);", -EMEDIUMTYPE);
}

Test(store, only_root_reads_the_file)
{
	struct store_fixture f;
	struct stat st;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	cr_assert_eq(stat(f.path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	fixture_teardown(&f);
}
