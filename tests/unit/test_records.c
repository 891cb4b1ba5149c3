/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the engine knows of a record that its source does not say. */
#include <string.h>

#include <criterion/criterion.h>

#include "records.h"
#include "world.h"

static struct iso_hpa memory_of(struct world *w, const char *lease)
{
	struct iso_instance_view instance;

	iso_instance_get(w->engine, world_lease(w, lease).instances[0], &instance);
	cr_assert_gt(instance.n_pieces, 0);
	return instance.pieces[0].start;
}

/* Proves: a record that names memory is one of the VM that has it, and a word of the source stays. */
Test(records, lease_whose_memory_it_names)
{
	struct world *w = world_pair();
	struct store_event by_page = {.has_hpa = true}, by_line = {.has_serial = true},
			   elsewhere = {.has_serial = true, .serial = 0x11};
	struct iso_hpa hpa;

	world_start_vm(w, "beside", "low", WORLD_PART);
	world_start_vm(w, "web", "low", WORLD_PART);
	hpa = memory_of(w, "web");
	by_page.at_ns = by_line.at_ns = w->now_ns;
	by_page.hpa = hpa.v;
	records_complete(w->engine, &by_page);
	cr_assert_str_eq(by_page.lease, "web");
	by_line.serial = 0x10;
	by_line.has_dpa = true;
	by_line.dpa = hpa.v - world_region(w, "low").range.start.v;
	records_complete(w->engine, &by_line);
	cr_assert_str_eq(by_line.lease, "web");
	cr_assert_str_eq(by_line.domain, "hb0/00.0");
	records_complete(w->engine, &elsewhere);
	cr_assert_str_eq(elsewhere.lease, "", "a memdev alone is nobody's");
	strcpy(by_page.lease, "other");
	records_complete(w->engine, &by_page);
	cr_assert_str_eq(by_page.lease, "other");
	by_page.lease[0] = '\0';
	by_page.at_ns = 0;
	records_complete(w->engine, &by_page);
	cr_assert_str_eq(by_page.lease, "", "it was not its memory then");
	world_free(w);
}
