/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves what health gates: what was lost is not made again by itself while the
 * host, or a memdev that it lies on, is not well; containment never waits, and
 * an operator's word counts more.
 */
#include "world.h"

#include <criterion/criterion.h>
#include <string.h>

static struct world *w;
static uint32_t vm;

static void begin(void)
{
	w = world_new();
	world_simple_bridge(w, 2, 0x10);
	world_define_one(w, "a", 0x10);
	world_define_one(w, "b", 0x11);
	world_run(w, WORLD_SECOND);
	vm = world_start_vm(w, "web", "a", WORLD_PART);
}

static void end(void)
{
	cr_assert_str_empty(w->broken);
	world_free(w);
}

Test(engine_health, containment_does_not_wait_and_nothing_is_made_again, .init = begin, .fini = end)
{
	world_health(w, false);
	world_surprise_down(w, 0);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_not(w->processes[vm].running);
	cr_assert_gt(world_incident(w, 1).contained_ns, 0);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LOST,
		     "the object stays to be refilled");
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_WAITING);
	cr_assert(strstr(world_reason(w, 0), "until the host is well"), "%s", world_reason(w, 0));
	cr_assert(strstr(world_reason(w, 0), "oops"), "%s", world_reason(w, 0));
	cr_assert_str_eq(iso_health_reason(w->engine), "oops");
}

Test(engine_health, it_goes_on_by_itself_once_the_host_is_well, .init = begin, .fini = end)
{
	world_health(w, false);
	world_surprise_down(w, 0);
	world_run(w, 60 * WORLD_SECOND);
	world_health(w, true);
	cr_assert_null(iso_health_reason(w->engine));
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_neq(world_domain(w, 0), ISO_DOMAIN_WAITING);
}

Test(engine_health, recover_does_not_wait_but_the_next_loss_does, .init = begin, .fini = end)
{
	world_health(w, false);
	world_surprise_down(w, 0);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LOST);
	world_port_request(w, ISO_EVENT_RECOVER, 0);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LIVE, "%s", w->trace);
	world_surprise_down(w, 0);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LOST, "one word, one recovery");
}

Test(engine_health, a_region_that_is_absent_waits_and_says_so, .init = begin, .fini = end)
{
	world_unplug(w, 0);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_ABSENT);
	world_health(w, false);
	kernel_plug(w, 0);
	world_changed(w);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").wait, ISO_WAIT_HEALTH);
	cr_assert_str_eq(iso_region_wait_name(ISO_WAIT_HEALTH), "health");
	world_health(w, true);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LIVE, "%s", w->trace);
}

Test(engine_health, what_an_operator_defines_is_made, .init = begin, .fini = end)
{
	struct iso_event event = {.kind = ISO_EVENT_REGION_DEFINE};

	world_named(w, ISO_EVENT_REGION_DESTROY, "b");
	world_run(w, 20 * WORLD_SECOND);
	world_health(w, false);
	w->despite = true;
	event.define.request = w->request++;
	strcpy(event.define.definition.name, "c");
	event.define.definition.ways = 1;
	event.define.definition.serials[0] = 0x11;
	event.define.from_operator = true;
	world_step(w, &event);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "c").state, ISO_REGION_LIVE, "%s", w->trace);
}

Test(engine_health, leases_on_what_is_well_are_served, .init = begin, .fini = end)
{
	world_health(w, false);
	cr_assert(w->processes[world_start_vm(w, "db", "b", WORLD_PART)].running);
}

static void tell_of(uint64_t serial, bool ok)
{
	struct iso_event event = {.kind = ISO_EVENT_HEALTH,
				  .health = {.ok = ok, .of_memdev = true, .serial = serial}};

	if (!ok)
		strcpy(event.health.why, "says of itself: data-lost");
	world_step(w, &event);
}

Test(engine_health, what_lay_on_a_failing_memdev_waits_and_nothing_else, .init = begin, .fini = end)
{
	tell_of(0x10, false);
	world_surprise_down(w, 0);
	world_surprise_down(w, 1);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_not(w->processes[vm].running, "containment does not wait");
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_ABSENT);
	cr_assert_eq(world_region(w, "a").wait, ISO_WAIT_HEALTH);
	cr_assert_eq(world_region(w, "b").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_WAITING);
	cr_assert(strstr(world_reason(w, 0), "until its memdevs are well"), "%s",
		  world_reason(w, 0));
	cr_assert(strstr(world_reason(w, 0), "data-lost"), "%s", world_reason(w, 0));
	cr_assert_null(iso_health_reason(w->engine), "the host is well");
	cr_assert_str_eq(iso_health_of_memdev(w->engine, 0x10), "says of itself: data-lost");
	tell_of(0x10, true);
	cr_assert_null(iso_health_of_memdev(w->engine, 0x10));
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LIVE, "%s", w->trace);
}

Test(engine_health, recover_does_not_wait_for_a_memdev_either, .init = begin, .fini = end)
{
	tell_of(0x10, false);
	world_surprise_down(w, 0);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_ABSENT);
	world_port_request(w, ISO_EVENT_RECOVER, 0);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "a").state, ISO_REGION_LIVE, "%s", w->trace);
}

Test(engine_health, more_memdevs_than_there_is_room_for_do_no_harm, .init = begin, .fini = end)
{
	for (uint64_t serial = 0x1000; serial < 0x1200; serial++)
		tell_of(serial, false);
	tell_of(0x11ff, true);
	tell_of(0x1000, true);
	cr_assert_null(iso_health_of_memdev(w->engine, 0x1000));
	tell_of(0x10, false);
	cr_assert_str_eq(iso_health_of_memdev(w->engine, 0x10), "says of itself: data-lost",
			 "there is room again");
}
