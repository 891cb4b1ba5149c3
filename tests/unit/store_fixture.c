/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store_fixture.h"

#include <criterion/criterion.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_done(void *userdata, uint64_t token, int result)
{
	struct store_fixture *f = userdata;

	cr_assert_lt(f->n_done, 64);
	f->tokens[f->n_done] = token;
	f->results[f->n_done++] = result;
}

static void on_news(void *userdata, enum store_news news)
{
	struct store_fixture *f = userdata;

	f->n_readable += news == STORE_READABLE;
	f->n_wants_all += news == STORE_WANTS_ALL;
}

void fixture_open(struct store_fixture *f, const char *boot_id)
{
	char *message = NULL;
	int r = store_open(f->path, boot_id, &f->store, &message);

	cr_assert_eq(r, 0, "%s", message ? message : "store_open()");
	free(message);
}

void fixture_start(struct store_fixture *f)
{
	cr_assert_geq(store_start(f->store, f->event, 0, on_done, on_news, f), 0);
}

void fixture_setup(struct store_fixture *f)
{
	*f = (struct store_fixture){0};
	snprintf(f->directory, sizeof(f->directory), "%s/test-store-XXXXXX",
		 access("/run/tmp", W_OK) == 0 ? "/run/tmp" : "/tmp");
	cr_assert(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/state.db", f->directory);
	cr_assert_geq(sd_event_new(&f->event), 0);
}

void fixture_teardown(struct store_fixture *f)
{
	char command[128];

	store_free(f->store);
	sd_event_unref(f->event);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->directory);
	cr_assert_eq(system(command), 0);
}

void fixture_wait(struct store_fixture *f, size_t n)
{
	for (int i = 0; i < 500 && f->n_done < n; i++)
		cr_assert_geq(sd_event_run(f->event, 20000), 0);
	cr_assert_eq(f->n_done, n, "%zu of %zu answers came", f->n_done, n);
}

struct iso_restore_lease fixture_lease(void)
{
	struct iso_restore_lease lease = {
		.terms = {.name = "vm-a",
			  .uid = 107,
			  .gid = 108,
			  .n_parts = 2,
			  .align = 2 << 20,
			  .keep_ns = 5,
			  .expires_ns = 6,
			  .restart = true,
			  .wait = true,
			  .pins = ISO_PIN_DIRECT_IO | ISO_PIN_VFIO,
			  .evidence = "-drive file=a,cache=none",
			  .poison = ISO_POISON_NOTIFY},
		.sequence = 42,
		.state = ISO_LEASE_ATTACHED,
		.was_killed = true,
		.pid = 4711,
		.process_start = 815,
		.incident = 3,
		.n_parts = 2,
	};

	lease.terms.parts[0].bytes = 64 << 20;
	snprintf(lease.terms.parts[0].region, ISO_NAME_BYTES, "left");
	lease.terms.parts[1].bytes = 128 << 20;
	lease.parts[0] = (struct iso_restore_part){
		.region_kernel_id = 0, .kernel_id = 1, .bytes = 64 << 20, .begun_ns = 77};
	lease.parts[1] = (struct iso_restore_part){
		.region_kernel_id = 3, .kernel_id = 7, .bytes = 128 << 20};
	snprintf(lease.parts[0].region, ISO_NAME_BYTES, "left");
	snprintf(lease.parts[1].region, ISO_NAME_BYTES, "right");
	return lease;
}

struct iso_restore_region fixture_region(void)
{
	struct iso_restore_region region = {
		.definition = {.name = "left",
			       .ways = 2,
			       .granularity = 8192,
			       .bytes = UINT64_C(1) << 30},
		.kernel_id = 5,
		.last_hpa = {UINT64_C(0x1090000000)},
		.has_hpa = true,
		.from_operator = true,
	};

	region.definition.serials[0] = UINT64_MAX;
	region.definition.serials[1] = 0x10;
	return region;
}

static int on_lease(void *userdata, const struct iso_restore_lease *lease, bool same_boot)
{
	struct store_loaded *loaded = userdata;

	loaded->lease = *lease;
	loaded->n_leases++;
	loaded->same_boot = same_boot;
	return 0;
}

static int on_region(void *userdata, const struct iso_restore_region *region, bool same_boot)
{
	struct store_loaded *loaded = userdata;

	loaded->region = *region;
	loaded->n_regions++;
	loaded->same_boot = same_boot;
	return 0;
}

static int on_port(void *userdata, const struct iso_restore_port *port, bool same_boot)
{
	struct store_loaded *loaded = userdata;

	loaded->port = *port;
	loaded->n_ports++;
	loaded->same_boot = same_boot;
	return 0;
}

static int on_incident(void *userdata, const struct iso_restore_incident *incident, bool same_boot)
{
	struct store_loaded *loaded = userdata;

	(void)same_boot;
	loaded->incident = *incident;
	loaded->n_incidents++;
	return 0;
}

static int on_intent(void *userdata, const struct store_intent *intent, bool same_boot)
{
	struct store_loaded *loaded = userdata;

	(void)same_boot;
	loaded->intent = *intent;
	loaded->n_intents++;
	return 0;
}

void fixture_load(struct store_fixture *f, struct store_loaded *ret)
{
	*ret = (struct store_loaded){0};
	cr_assert_eq(store_load_leases(f->store, on_lease, ret), 0);
	cr_assert_eq(store_load_regions(f->store, on_region, ret), 0);
	cr_assert_eq(store_load_ports(f->store, on_port, ret), 0);
	cr_assert_eq(store_load_incidents(f->store, on_incident, ret), 0);
	cr_assert_eq(store_load_intents(f->store, on_intent, ret), 0);
}

int64_t fixture_number(struct store_fixture *f, const char *sql)
{
	sqlite3_stmt *statement;
	int64_t value;
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(f->path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK, "%s: %s", sql,
		     sqlite3_errmsg(db));
	cr_assert_eq(sqlite3_step(statement), SQLITE_ROW, "%s: no row", sql);
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return value;
}
