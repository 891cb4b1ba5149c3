/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What who asks to reconcile is told: all of it, or that it is not all, until he asks again. */
#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>

#include <isolate/reconcile.h>

#include "world.h"

static uint64_t ask(struct world *w, bool dry_run)
{
	struct iso_event event = {.kind = ISO_EVENT_RECONCILE};

	event.reconcile.request = w->request++;
	event.reconcile.dry_run = dry_run;
	world_step(w, &event);
	return event.reconcile.request;
}

/* Proves: what was found stays as it was when something else is found after a gap, and that is told. */
Test(engine_reconcile_ask, findings_stay_until_asked_again)
{
	struct iso_event gap = {.kind = ISO_EVENT_CHANGED, .changed.gap = true};
	struct world *w = world_pair();

	w->no_uevents = true;
	strcpy(w->seen_memdevs[0].name, "mem77");
	ask(w, true);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(iso_finding_count(w->engine), 1);
	strcpy(w->seen_memdevs[0].name, "mem0");
	kernel_unplug(w, 1);
	world_step(w, &gap);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert(world_noted(w, "reconcile: memdev 0x11: it has gone"), "%s", w->trace);
	cr_assert_eq(iso_finding_count(w->engine), 1);
	cr_assert_eq(iso_finding_get(w->engine, 0)->kind, ISO_FINDING_MEMDEV_RENAMED, "%s",
		     iso_finding_get(w->engine, 0)->object);
	world_free(w);
}

/* Proves: that the host was booted is told as well to who asks before the first look. */
Test(engine_reconcile_ask, before_the_first_look)
{
	struct iso_restore_lease lease = {.rebooted = true, .terms.name = "web"};
	struct iso_event event = {.kind = ISO_EVENT_RESTORE_LEASE, .restore_lease = &lease};
	struct world *w = world_new();
	uint64_t request;

	world_simple_bridge(w, 1, 0x10);
	request = ask(w, false); /* the first look is the one for it */
	world_step(w, &event);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE);
	cr_assert_eq(iso_finding_count(w->engine), 1);
	cr_assert_eq(iso_finding_get(w->engine, 0)->kind, ISO_FINDING_HOST_REBOOTED);
	cr_assert_eq(world_count_notes(w, "reconcile: host: "), 1, "%s", w->trace);
	ask(w, false);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(iso_finding_count(w->engine), 0, "it is said once");
	world_free(w);
}

/* Proves: without knowing who maps what the answer is not that all is well; what was seen is told. */
Test(engine_reconcile_ask, nobody_could_be_asked_who_maps_what)
{
	struct world *w = world_pair();
	uint64_t request;

	w->no_uevents = true;
	world_start_vm(w, "web", "low", WORLD_PART);
	world_run(w, 20 * WORLD_SECOND);
	strcpy(w->seen_memdevs[1].name, "mem77");
	world_fail(w, ISO_EFFECT_INSPECT, 1, 1, -EIO);
	request = ask(w, false);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_NOT_OBSERVED);
	cr_assert(world_noted(w, "reconcile: memdev 0x11: is called mem77"), "%s", w->trace);
	request = ask(w, false);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE);
	world_free(w);
}
