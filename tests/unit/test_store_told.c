/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proves: the next daemon learns what was told of a port's status; what was injected is not what was read. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "store_fixture.h"

static void save(struct store_fixture *f, const char *source, const char *fields, bool synthetic)
{
	struct store_event event = {.kind = "isolated",
				    .unit = "0000:0c:01.0",
				    .at_ns = 5,
				    .fields = fields,
				    .synthetic = synthetic};

	snprintf(event.source, sizeof(event.source), "%s", source);
	cr_assert_eq(store_save_event(f->store, &event), 0);
}

static int count_told(void *userdata, const struct store_told *told)
{
	size_t *n = userdata;

	cr_assert_str_eq(told->source, "isolation");
	cr_assert_str_eq(told->unit, "0000:0c:01.0");
	cr_assert_str_eq(told->fields, "{\"status\":257}");
	cr_assert(told->same_boot);
	++*n;
	return 0;
}

Test(store_told, what_a_source_that_compares_has_told)
{
	struct store_fixture f;
	size_t n = 0;

	fixture_setup(&f);
	fixture_open(&f, BOOT);
	fixture_start(&f);
	save(&f, "trace", "{\"status\":1}", false);
	save(&f, "isolation", "{\"status\":257}", false);
	save(&f, "isolation", "{}", true);
	f.store = store_free(f.store); /* writes out what is queued */
	fixture_open(&f, BOOT);
	cr_assert_eq(store_load_told(f.store, count_told, &n), 0);
	cr_assert_eq(n, 1);
	fixture_teardown(&f);
}
