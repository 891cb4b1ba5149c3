/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A victim's memory is made ready before its restarted client asks for it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "world.h"

/* A VM on "low" lost its port; all of the recovery that needs no client is over. */
static struct world *recovered_without_client(void)
{
	struct world *w = world_pair();

	world_start_vm(w, "web", "low", WORLD_PART);
	world_surprise_down(w, 0);
	world_run(w, 5 * WORLD_SECOND);
	return w;
}

/* Proves: a victim's memory is ready when its restarted client asks, and is not made twice. */
Test(engine_ahead, ready_before_it_is_asked_for)
{
	struct world *w = recovered_without_client();
	uint32_t carved = w->n_effects[ISO_EFFECT_CARVE];
	uint64_t request;

	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	request = world_acquire(w, "web", "low", WORLD_PART);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "in the same step");
	world_attach(w, "web");
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CARVE], carved);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_HEALTHY);
	cr_assert_not(world_incident(w, 1).open);
	world_free(w);
}

/* Proves: a client that asks while its memory is being made ready gets that, whether it would wait or not. */
Test(engine_ahead, asked_for_while_it_is_made_ready)
{
	uint32_t wait;

	for (wait = 0; wait < 2; wait++) {
		struct world *w = world_pair();
		struct iso_acquire terms = {.name = "web", .uid = 1, .n_parts = 1, .wait = wait};
		uint64_t request;

		strcpy(terms.parts[0].region, "low");
		terms.parts[0].bytes = WORLD_PART;
		world_start_vm(w, "web", "low", WORLD_PART);
		world_surprise_down(w, 0);
		while (world_lease(w, "web").state != ISO_LEASE_PREPARING)
			world_run(w, WORLD_MS);
		terms.uid = world_lease(w, "web").terms->uid;
		request = world_acquire_terms(w, &terms);
		world_run(w, WORLD_SECOND);
		cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%s", w->trace);
		cr_assert_eq(w->n_effects[ISO_EFFECT_CARVE], 2);
		world_free(w);
	}
}

/* Proves: a client that wants something else than its predecessor gets it instead. */
Test(engine_ahead, asked_for_with_another_size)
{
	struct world *w = recovered_without_client();
	uint64_t request = world_acquire(w, "web", "high", 2 * WORLD_PART);

	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	cr_assert_eq(world_region(w, "high").free_bytes, WORLD_UNIT - 2 * WORLD_PART);
	request = world_acquire(w, "web", "low", WORLD_PART);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_NAME_IN_USE, "granted to a client by now");
	world_free(w);
}

/* Proves: what is made ready and lost again before anybody asked is made ready once more. */
Test(engine_ahead, lost_again_before_it_is_asked_for)
{
	struct world *w = recovered_without_client();

	world_surprise_down(w, 0);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED, "%s", w->trace);
	cr_assert_eq(world_reply(w, world_acquire(w, "web", "low", WORLD_PART)), ISO_REPLY_DONE);
	world_free(w);
}

/* Proves: a short life of grants begins when the client asks. */
Test(engine_ahead, grant_begins_when_it_is_asked_for)
{
	struct world *w = world_pair();
	struct iso_acquire terms = {
		.name = "web", .uid = 1, .n_parts = 1, .wait = true, .restart = true};

	terms.parts[0].bytes = WORLD_PART;
	terms.expires_ns = 10 * WORLD_SECOND;
	world_acquire_terms(w, &terms);
	world_run(w, WORLD_SECOND);
	world_attach(w, "web");
	world_surprise_down(w, 0);
	world_surprise_down(w, 1);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	world_acquire_terms(w, &terms);
	world_run(w, 8 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	world_run(w, 4 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"));
	world_free(w);
}

/* Proves: what cannot be made and nobody asks for is given up. */
Test(engine_ahead, cannot_be_made)
{
	struct world *w = world_pair();

	world_start_vm(w, "web", "low", WORLD_PART);
	world_fail(w, ISO_EFFECT_CARVE, 1, 1000, -EIO);
	world_surprise_down(w, 0);
	world_run(w, 100 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_not(world_incident(w, 1).open);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_HEALTHY);
	world_free(w);
}
