/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of a lease while nothing fails, and what clients are told. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

static struct iso_acquire terms_of(const char *name, const char *region, uint64_t bytes)
{
	struct iso_acquire terms = {.uid = 1, .n_parts = 1, .wait = true};

	snprintf(terms.name, sizeof(terms.name), "%s", name);
	snprintf(terms.parts[0].region, sizeof(terms.parts[0].region), "%s", region);
	terms.parts[0].bytes = bytes;
	return terms;
}

/* Asks and gives the world a second. Return: the last reply. */
static int ask(struct world *w, struct iso_acquire terms)
{
	uint64_t request = world_acquire_terms(w, &terms);

	world_run(w, WORLD_SECOND);
	return world_reply(w, request);
}

/* Proves: acquire, attach and a clean exit give all capacity back and leave nothing. */
Test(engine_lease, clean_life)
{
	struct world *w = world_pair();
	uint64_t request = world_acquire(w, "web", "low", WORLD_PART);
	uint32_t vm;

	cr_assert_eq(world_reply(w, request), ISO_REPLY_WAITING);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	vm = world_attach(w, "web");
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ATTACHED);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT - WORLD_PART);
	world_exit(w, vm);
	world_run(w, WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	cr_assert_eq(w->n_kills, 0);
	cr_assert_eq(iso_incident_count(w->engine), 0);
	world_free(w);
}

/* Proves: the notes of a life, in words, in order. */
Test(engine_lease, notes_tell_the_story)
{
	static const char *const story[] = {
		"lease: web: waiting -> preparing\n",
		"lease: web: preparing -> acquired\n",
		"lease: web: acquired -> attached\n",
		"exit: web: process ",
		"lease: web: attached -> verifying\n",
		"lease: web: verifying -> retracting\n",
		"lease: web: ended\n",
	};
	struct world *w = world_pair();
	const char *at = w->trace;
	size_t i;

	world_exit(w, world_start_vm(w, "web", "low", WORLD_PART));
	world_run(w, WORLD_SECOND);
	for (i = 0; i < sizeof(story) / sizeof(story[0]); i++) {
		at = strstr(at, story[i]);
		cr_assert_not_null(at, "'%s' is missing\n%s", story[i], w->trace);
	}
	world_free(w);
}

/* Proves: names, sizes and regions that make no sense are refused, each with its reply. */
Test(engine_lease, bad_terms)
{
	struct world *w = world_pair();
	struct iso_acquire terms = terms_of("web", "low", WORLD_PART);

	cr_assert_eq(ask(w, terms_of("", "low", WORLD_PART)), ISO_REPLY_BAD_NAME);
	cr_assert_eq(ask(w, terms_of(".hidden", "low", WORLD_PART)), ISO_REPLY_BAD_NAME);
	cr_assert_eq(ask(w, terms_of("a/b", "low", WORLD_PART)), ISO_REPLY_BAD_NAME);
	cr_assert_eq(ask(w, terms_of("web", "low", 0)), ISO_REPLY_BAD_SIZE);
	cr_assert_eq(ask(w, terms_of("web", "low", 4096)), ISO_REPLY_BAD_SIZE);
	cr_assert_eq(ask(w, terms_of("web", "nowhere", WORLD_PART)), ISO_REPLY_NO_SUCH_NAME);
	cr_assert_eq(ask(w, terms_of("web", "../low", WORLD_PART)), ISO_REPLY_NO_SUCH_NAME);
	terms.n_parts = 0;
	cr_assert_eq(ask(w, terms), ISO_REPLY_BAD_SIZE);
	terms.n_parts = ISO_LEASE_PARTS_MAX + 1;
	cr_assert_eq(ask(w, terms), ISO_REPLY_BAD_SIZE);
	terms.n_parts = 1;
	terms.align = 3 << 20;
	cr_assert_eq(ask(w, terms), ISO_REPLY_BAD_SIZE);
	memset(terms.name, 'x', sizeof(terms.name)); /* no end */
	terms.align = 0;
	cr_assert_eq(ask(w, terms), ISO_REPLY_BAD_NAME);
	world_free(w);
}

/* Proves: who does not wait is refused at once, who waits gets it when it is free. */
Test(engine_lease, waiting_for_capacity)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "first", "low", WORLD_UNIT);
	struct iso_acquire impatient = terms_of("second", "low", WORLD_PART);
	uint64_t third;

	impatient.wait = false;
	cr_assert_eq(ask(w, impatient), ISO_REPLY_NO_CAPACITY);
	cr_assert_not(world_has_lease(w, "second"));
	third = world_acquire(w, "third", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, third), ISO_REPLY_WAITING);
	cr_assert_str_eq(world_lease(w, "third").waits_for, "free capacity in region low");
	world_exit(w, vm);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, third), ISO_REPLY_DONE);
	world_free(w);
}

/* Proves: an impatient client does not overtake those who wait. */
Test(engine_lease, nobody_overtakes)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "first", "low", WORLD_UNIT);
	uint64_t second = world_acquire(w, "second", "low", WORLD_UNIT);
	struct iso_acquire impatient = terms_of("third", "low", WORLD_UNIT);
	uint64_t third;

	world_exit(w, vm);
	while (world_has_lease(w, "first"))
		world_run(w, WORLD_MS);
	third = world_acquire_terms(w, (impatient.wait = false, &impatient));
	cr_assert_eq(world_reply(w, third), ISO_REPLY_NO_CAPACITY);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, second), ISO_REPLY_DONE);
	world_free(w);
}

/* Proves: two leases that are prepared at the same time do not fence each other. */
Test(engine_lease, preparing_side_by_side)
{
	struct world *w = world_pair();
	struct iso_acquire second = terms_of("second", "low", WORLD_PART);

	world_acquire(w, "first", "low", WORLD_PART);
	second.wait = false;
	cr_assert_eq(ask(w, second), ISO_REPLY_DONE);
	cr_assert_eq(world_lease(w, "first").state, ISO_LEASE_ACQUIRED);
	world_free(w);
}

/* Proves: a lease may have parts in several regions, one name each, all or nothing. */
Test(engine_lease, several_parts)
{
	struct world *w = world_pair();
	struct iso_acquire terms = terms_of("web", "low", WORLD_PART);
	struct iso_instance_view part;
	uint32_t vm;

	terms.n_parts = 3;
	terms.parts[1].bytes = WORLD_PART;
	strcpy(terms.parts[1].region, "high");
	terms.parts[2].bytes = WORLD_PART;
	world_fail(w, ISO_EFFECT_CARVE, 2, 1, -28);
	cr_assert_eq(ask(w, terms), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").n_instances, 3);
	for (uint32_t i = 0; i < 3; i++) {
		cr_assert(iso_instance_get(w->engine, world_lease(w, "web").instances[i], &part));
		cr_assert_eq(part.part, i);
		cr_assert_eq(part.state, ISO_INSTANCE_HELD);
	}
	vm = world_attach(w, "web");
	world_exit(w, vm);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(iso_free_bytes(w->engine), 2 * WORLD_UNIT);
	world_free(w);
}

/* Proves: a grant that nobody attaches to expires and gives everything back. */
Test(engine_lease, grant_expires)
{
	struct world *w = world_pair();
	struct iso_acquire terms = terms_of("web", "low", WORLD_PART);

	terms.expires_ns = 5 * WORLD_SECOND;
	cr_assert_eq(ask(w, terms), ISO_REPLY_DONE);
	world_run(w, 6 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	world_free(w);
}

/* Proves: a launcher that asks again for what it has gets the same answer, others do not. */
Test(engine_lease, asking_again)
{
	struct world *w = world_pair();
	struct iso_acquire terms = terms_of("web", "low", WORLD_PART), other = terms;

	cr_assert_eq(ask(w, terms), ISO_REPLY_DONE);
	cr_assert_eq(ask(w, terms), ISO_REPLY_DONE); /* no alignment given, both times */
	other.uid = 2;
	cr_assert_eq(ask(w, other), ISO_REPLY_NAME_IN_USE);
	other = terms;
	other.parts[0].bytes *= 2;
	cr_assert_eq(ask(w, other), ISO_REPLY_NAME_IN_USE);
	world_attach(w, "web");
	cr_assert_eq(ask(w, terms), ISO_REPLY_NAME_IN_USE);
	world_free(w);
}

/* Proves: one process is the VM of one lease, and never init or nobody. */
Test(engine_lease, attach_is_refused)
{
	struct world *w = world_pair();
	struct iso_event attach = {.kind = ISO_EVENT_ATTACH};
	int32_t pid;

	world_start_vm(w, "web", "low", WORLD_PART);
	pid = world_lease(w, "web").pid;
	cr_assert_eq(world_attach(w, "nobody"), ISO_NONE);
	cr_assert_eq(world_reply(w, w->request - 1), ISO_REPLY_NO_SUCH_NAME);
	cr_assert_eq(world_attach(w, "web"), ISO_NONE);
	cr_assert_eq(world_reply(w, w->request - 1), ISO_REPLY_NAME_IN_USE);
	cr_assert_eq(ask(w, terms_of("db", "low", WORLD_PART)), ISO_REPLY_DONE);
	strcpy(attach.attach.name, "db");
	for (int32_t bad = -1; bad <= 2; bad++) {
		attach.attach.request = w->request++;
		attach.attach.pid = bad == 2 ? pid : bad;
		world_step(w, &attach);
		cr_assert_eq(world_reply(w, attach.attach.request), ISO_REPLY_PROCESS_TAKEN);
	}
	world_acquire(w, "slow", "low", WORLD_UNIT);
	cr_assert_eq(world_attach(w, "slow"), ISO_NONE);
	cr_assert_eq(world_reply(w, w->request - 1), ISO_REPLY_NOT_GRANTED);
	world_free(w);
}

/* Proves: a number that an exited VM had may be another VM's while the first is torn down. */
Test(engine_lease, pid_comes_back)
{
	struct world *w = world_pair();
	struct iso_event attach = {.kind = ISO_EVENT_ATTACH};
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	cr_assert_eq(ask(w, terms_of("db", "low", WORLD_PART)), ISO_REPLY_DONE);
	attach.attach.request = w->request++;
	attach.attach.pid = world_lease(w, "web").pid;
	strcpy(attach.attach.name, "db");
	world_exit(w, vm);
	world_step(w, &attach);
	world_run(w, 0);
	cr_assert_eq(world_reply(w, attach.attach.request), ISO_REPLY_DONE);
	cr_assert(world_has_lease(w, "web"));
	world_free(w);
}

/* Proves: a client that goes while it waits or while its lease is prepared leaves nothing. */
Test(engine_lease, withdraw)
{
	struct world *w = world_pair();
	uint64_t ms;

	for (ms = 0; ms < 120; ms += 5) {
		world_acquire(w, "web", "low", WORLD_PART);
		world_run(w, ms * WORLD_MS);
		world_named(w, ISO_EVENT_WITHDRAW, "web");
		world_run(w, WORLD_SECOND);
		if (world_has_lease(w,
				    "web")) { /* granted before it went: lives until it expires */
			cr_assert_geq(ms, 40);
			cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
			world_named(w, ISO_EVENT_RELEASE, "web");
			world_run(w, WORLD_SECOND);
		}
		cr_assert_not(world_has_lease(w, "web"), "after %d ms\n%s", (int)ms, w->trace);
		cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	}
	world_free(w);
}

/* Proves: a release ends everything but a running VM, and tells whoever waits. */
Test(engine_lease, release)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_UNIT);
	uint64_t waiting, release;

	release = world_named(w, ISO_EVENT_RELEASE, "web");
	cr_assert_eq(world_reply(w, release), ISO_REPLY_NOT_ATTACHED_GONE);
	waiting = world_acquire(w, "db", "low", WORLD_PART);
	release = world_named(w, ISO_EVENT_RELEASE, "db");
	cr_assert_eq(world_reply(w, release), ISO_REPLY_DONE);
	cr_assert_eq(world_reply(w, waiting), ISO_REPLY_WITHDRAWN);
	cr_assert_not(world_has_lease(w, "db"));
	world_exit(w, vm);
	waiting = world_acquire(w, "web", "low", WORLD_UNIT); /* while the old one is torn down */
	world_named(w, ISO_EVENT_RELEASE, "web");
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, waiting), ISO_REPLY_WITHDRAWN, "%s", w->trace);
	cr_assert_not(world_has_lease(w, "web"));
	release = world_named(w, ISO_EVENT_RELEASE, "web");
	cr_assert_eq(world_reply(w, release), ISO_REPLY_NO_SUCH_NAME);
	world_free(w);
}

/* Proves: kept capacity stays for a while and is then free. */
Test(engine_lease, keep)
{
	struct world *w = world_pair();
	struct iso_acquire terms = terms_of("web", "low", WORLD_PART);

	terms.keep_ns = 5 * WORLD_SECOND;
	cr_assert_eq(ask(w, terms), ISO_REPLY_DONE);
	world_exit(w, world_attach(w, "web"));
	world_run(w, 4 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_KEPT);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT - WORLD_PART);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "web"));
	world_free(w);
}

/* Proves: after a clean exit the same name gets new instances, zeroed again. */
Test(engine_lease, same_name_again)
{
	struct world *w = world_pair();
	uint32_t round;

	for (round = 0; round < 3; round++) {
		world_exit(w, world_start_vm(w, "web", "low", WORLD_PART));
		cr_assert_eq(world_reply(w, world_acquire(w, "web", "low", WORLD_PART)),
			     ISO_REPLY_WAITING);
		world_run(w, WORLD_SECOND);
		cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
		world_named(w, ISO_EVENT_RELEASE, "web");
		world_run(w, WORLD_SECOND);
	}
	world_free(w); /* which fails when anybody ran on bytes of an earlier tenant */
}

/* Proves: each step of a preparation that fails once is made good, and nothing leaks. */
Test(engine_lease, failing_once)
{
	static const uint32_t kinds[] = {
		ISO_EFFECT_INTENT,    ISO_EFFECT_CARVE,  ISO_EFFECT_ZERO,    ISO_EFFECT_PROVE,
		ISO_EFFECT_HAND_OVER, ISO_EFFECT_VERIFY, ISO_EFFECT_RETRACT, ISO_EFFECT_REMOVE,
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct world *w = world_pair();

		world_fail(w, kinds[i], 1, 1, -5);
		world_acquire(w, "web", "low", WORLD_PART);
		world_run(w, 5 * WORLD_SECOND);
		cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED, "%s\n%s",
			     iso_effect_name(kinds[i]), w->trace);
		world_exit(w, world_attach(w, "web"));
		world_run(w, 10 * WORLD_SECOND);
		cr_assert_not(world_has_lease(w, "web"), "%s\n%s", iso_effect_name(kinds[i]),
			      w->trace);
		cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
		cr_assert(world_noted(w, "planned failure"));
		world_free(w);
	}
}

/* Proves: what fails each time is tried with growing pauses, not in circles. */
Test(engine_lease, failing_always)
{
	struct world *w = world_pair();
	struct iso_acquire impatient = terms_of("db", "low", WORLD_PART);
	uint64_t request = world_acquire(w, "web", "low", WORLD_PART);

	world_fail(w, ISO_EFFECT_ZERO, 1, 1000, -5);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_WAITING);
	cr_assert_lt(w->n_effects[ISO_EFFECT_ZERO], 20);
	cr_assert_gt(w->n_effects[ISO_EFFECT_ZERO], 5);
	impatient.wait = false;
	cr_assert_eq(ask(w, impatient), ISO_REPLY_NO_CAPACITY);
	world_free(w);
}
