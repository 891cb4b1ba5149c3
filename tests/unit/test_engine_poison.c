/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Poison that names memory: who dies of it, who does not, and what is leased afterwards. */
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

enum { UNIT = 2 << 20, LINE = 64 };

static struct iso_hpa_range first_piece(struct world *w, const char *lease)
{
	struct iso_instance_view instance;

	iso_instance_get(w->engine, world_lease(w, lease).instances[0], &instance);
	cr_assert_gt(instance.n_pieces, 0, "%s%s", w->trace, w->broken);
	return instance.pieces[0];
}

static bool covers(struct world *w, const char *lease, struct iso_hpa hpa)
{
	struct iso_lease_view view = world_lease(w, lease);
	struct iso_instance_view instance;
	uint32_t i, p;

	for (i = 0; i < view.n_instances; i++) {
		iso_instance_get(w->engine, view.instances[i], &instance);
		for (p = 0; p < instance.n_pieces; p++)
			if (hpa.v >= instance.pieces[p].start.v &&
			    hpa.v - instance.pieces[p].start.v < instance.pieces[p].bytes)
				return true;
	}
	return false;
}

/* A page or line is found bad by its address on the host. */
static void tell(struct world *w, struct iso_hpa hpa, uint64_t bytes, uint64_t record_ns)
{
	struct iso_event event = {.kind = ISO_EVENT_POISON};
	bool high = hpa.v >= world_region(w, "high").range.start.v;

	/* The world has to know why somebody is killed. */
	if (w->n_lines < WORLD_LINES)
		w->lines[w->n_lines++] = (struct world_line){
			.memdev = high,
			.dpa = hpa.v - world_region(w, high ? "high" : "low").range.start.v};
	event.poison.has_hpa = true;
	event.poison.hpa = hpa;
	event.poison.bytes = bytes;
	event.poison.record_ns = record_ns;
	event.poison.evidence = ISO_POISON_MEMORY_FAILURE;
	world_step(w, &event);
}

static struct iso_bad_view bad(struct world *w, uint32_t i)
{
	struct iso_bad_view view;

	cr_assert(iso_bad_get(w->engine, i, &view), "%s", w->trace);
	return view;
}

/* Whose memory a record names that is so old. */
static uint32_t whose(struct world *w, struct iso_hpa hpa, uint64_t record_ns)
{
	const struct iso_poison range = {.has_hpa = true, .hpa = hpa, .record_ns = record_ns};

	return iso_poison_lease(w->engine, &range);
}

/* Of a lease that comes back when it is killed. */
static uint64_t acquire(struct world *w, const char *name, const char *region, uint64_t bytes,
			uint32_t action)
{
	struct iso_acquire terms = {.n_parts = 1, .restart = true, .poison = action};

	strcpy(terms.name, name);
	strcpy(terms.parts[0].region, region);
	terms.parts[0].bytes = bytes;
	return world_acquire_terms(w, &terms);
}

/* Proves: poison in a leased page kills its VM and nobody else, once, and the VM comes back on other memory. */
Test(engine_poison, leased)
{
	struct world *w = world_pair();
	uint32_t victim = world_start_vm(w, "victim", "low", WORLD_PART);
	uint32_t beside = world_start_vm(w, "beside", "low", WORLD_PART);
	uint32_t other = world_start_vm(w, "other", "high", WORLD_PART);
	struct iso_hpa_range piece = first_piece(w, "victim");
	struct iso_hpa hpa = {piece.start.v + piece.bytes - LINE};
	struct world_line *line;
	uint32_t i;

	line = world_poison(w, 0, hpa.v - world_region(w, "low").range.start.v, WORLD_TELLS_ALL);
	cr_assert_eq(whose(w, hpa, w->now_ns), iso_lease_find(w->engine, "victim"),
		     "killed, and it says so");
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[victim].kills, 1);
	cr_assert_eq(w->processes[beside].kills + w->processes[other].kills, 0);
	cr_assert_eq(world_incident(w, 1).cause, ISO_CAUSE_POISON);
	cr_assert_str_eq(world_incident(w, 1).unit, "hb0/00.0/00.0");
	cr_assert_eq(world_incident(w, 1).n_killed, 1);
	cr_assert_str_eq(bad(w, 0).lease, "victim");
	cr_assert_eq(bad(w, 0).bytes, LINE);
	cr_assert_eq(bad(w, 0).evidence, ISO_POISON_MEDIA);
	cr_assert_eq(world_region(w, "low").bad_bytes, UNIT);
	for (i = 0; i < 3; i++) { /* the list is read again and again */
		world_poison(w, line->memdev, line->dpa, i ? WORLD_TELLS_ALL : WORLD_TELLS_PAGE);
		world_run(w, WORLD_SECOND);
	}
	cr_assert_eq(w->n_kills, 1, "%s", w->trace);
	cr_assert_eq(iso_incident_count(w->engine), 1);
	acquire(w, "victim", "low", WORLD_PART, 0);
	world_run(w, WORLD_SECOND);
	world_attach(w, "victim");
	cr_assert_not(covers(w, "victim", hpa), "it got bad memory");
	cr_assert_not(world_incident(w, 1).open, "%s", w->trace);
	world_free(w);
}

/* Proves: in free memory it kills nobody and is not leased; all the rest is, and the bytes add up. */
Test(engine_poison, free_memory)
{
	struct world *w = world_pair();
	uint64_t whole = world_region(w, "low").range.bytes, request;

	world_poison(w, 0, 100 * (uint64_t)UNIT + 4096, WORLD_TELLS_ALL);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->n_kills, 0);
	cr_assert_eq(iso_incident_count(w->engine), 0);
	cr_assert_eq(world_region(w, "low").free_bytes, whole - UNIT);
	request = acquire(w, "all", "low", whole, 0);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_NO_CAPACITY);
	world_start_vm(w, "most", "low", whole - UNIT);
	cr_assert_not(covers(w, "most", bad(w, 0).hpa));
	cr_assert_eq(world_region(w, "low").free_bytes, 0);
	cr_assert_eq(world_region(w, "low").bad_bytes, UNIT);
	world_free(w);
}

/* Proves: what happened to an earlier tenant harms nobody who came later, but is known. */
Test(engine_poison, older_than_the_tenant)
{
	struct world *w = world_pair();
	uint64_t before_ns = w->now_ns;
	struct iso_hpa hpa;

	world_run(w, WORLD_SECOND);
	world_start_vm(w, "web", "low", WORLD_PART);
	hpa = first_piece(w, "web").start;
	cr_assert_eq(whose(w, hpa, before_ns), ISO_NONE);
	cr_assert_eq(whose(w, hpa, w->now_ns), iso_lease_find(w->engine, "web"));
	cr_assert_eq(whose(w, (struct iso_hpa){hpa.v - 1}, w->now_ns), ISO_NONE);
	tell(w, hpa, 4096, before_ns);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->n_kills, 0);
	cr_assert_eq(bad(w, 0).bytes, 4096, "pages stay pages");
	world_restart(w); /* when it was carved is stored */
	world_run(w, WORLD_SECOND);
	tell(w, hpa, 4096, before_ns);
	cr_assert_eq(w->n_kills, 0);
	tell(w, hpa, 4096, w->now_ns);
	cr_assert_eq(w->n_kills, 1);
	world_free(w);
}

/* Proves: a lease that wants to be told only lives on and is told once; one that wants nothing is not. */
Test(engine_poison, other_actions)
{
	struct world *w = world_pair();
	struct iso_hpa hpa;
	uint32_t i;

	acquire(w, "told", "low", WORLD_PART, ISO_POISON_NOTIFY);
	acquire(w, "untold", "high", WORLD_PART, ISO_POISON_IGNORE);
	world_run(w, WORLD_SECOND);
	world_attach(w, "told");
	world_attach(w, "untold");
	for (i = 0; i < 2; i++) {
		hpa = first_piece(w, "told").start;
		tell(w, hpa, LINE, w->now_ns);
		tell(w, first_piece(w, "untold").start, LINE, w->now_ns);
		world_run(w, WORLD_SECOND);
		cr_assert_eq(w->n_kills, 0);
		cr_assert_eq(world_count_notes(w, "told: its memory dax0."), 1, "%s", w->trace);
		cr_assert_eq(world_count_notes(w, "untold: its memory"), 0);
		if (!i)
			world_restart(w);
		world_run(w, WORLD_SECOND);
	}
	cr_assert_str_eq(bad(w, 0).lease, "told");
	world_free(w);
}

/* Proves: the policy decides for leases that say nothing. */
Test(engine_poison, policy)
{
	struct world *w = world_pair();

	w->policy.poison = ISO_POISON_NOTIFY;
	world_restart(w);
	world_run(w, WORLD_SECOND);
	world_start_vm(w, "web", "low", WORLD_PART);
	tell(w, first_piece(w, "web").start, LINE, w->now_ns);
	cr_assert_eq(w->n_kills, 0);
	acquire(w, "db", "low", WORLD_PART, ISO_POISON_KILL);
	world_run(w, WORLD_SECOND);
	world_attach(w, "db");
	tell(w, first_piece(w, "db").start, LINE, w->now_ns);
	cr_assert_eq(w->n_kills, 1);
	world_free(w);
}

/* Proves: a grant that nobody has attached to is void, and what replaces it is elsewhere. */
Test(engine_poison, before_the_attach)
{
	struct world *w = world_pair();
	struct iso_hpa hpa;

	acquire(w, "web", "low", WORLD_PART, 0);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	hpa = first_piece(w, "web").start;
	tell(w, hpa, LINE, w->now_ns);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->n_kills, 0);
	acquire(w, "web", "low", WORLD_PART, 0);
	world_run(w, WORLD_SECOND);
	world_attach(w, "web");
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ATTACHED);
	cr_assert_not(covers(w, "web", hpa));
	world_free(w);
}

/* Proves: poison that shows while an instance is carved or zeroed never reaches a tenant. */
Test(engine_poison, while_it_is_made)
{
	uint64_t after_ms;

	for (after_ms = 0; after_ms < 120; after_ms += 3) {
		struct world *w = world_pair();

		acquire(w, "web", "low", WORLD_PART, 0);
		world_run(w, after_ms * WORLD_MS);
		world_poison(w, 0, 0, WORLD_TELLS_ALL);
		world_run(w, 5 * WORLD_SECOND);
		if (world_has_lease(w, "web") && world_lease(w, "web").state == ISO_LEASE_ACQUIRED)
			cr_assert_not(covers(w, "web", world_region(w, "low").range.start));
		cr_assert_eq(w->n_kills, 0);
		world_free(w);
	}
}

/* Proves: bad until it was cleared and a list that was read after that does not have it. */
Test(engine_poison, cleared_and_verified)
{
	struct world *w = world_pair();
	struct world_line *line = world_poison(w, 0, 0, WORLD_TELLS_ALL);
	uint64_t whole = world_region(w, "low").range.bytes;
	struct iso_event read = {.kind = ISO_EVENT_POISON_LIST_READ};

	world_run(w, WORLD_SECOND);
	read.list_read.serial = 0x10;
	read.list_read.record_ns = w->now_ns;
	read.list_read.complete = true;
	world_step(w, &read);
	cr_assert_eq(bad(w, 0).state, ISO_BAD_BAD, "no list makes good what nobody cleared");
	world_run(w, WORLD_SECOND);
	world_clear_poison(w, line);
	world_step(w, &read);
	cr_assert_eq(bad(w, 0).state, ISO_BAD_CLEARED, "that list is older than the clearing");
	cr_assert_eq(world_region(w, "low").free_bytes, whole - UNIT);
	read.list_read.record_ns = w->now_ns + 1;
	read.list_read.complete = false;
	world_step(w, &read);
	cr_assert_eq(bad(w, 0).state, ISO_BAD_CLEARED, "that list does not show all");
	read.list_read.serial = 0x11;
	read.list_read.complete = true;
	world_step(w, &read);
	cr_assert_eq(bad(w, 0).state, ISO_BAD_CLEARED, "that list is another memdev's");
	read.list_read.serial = 0x10;
	world_step(w, &read);
	cr_assert_eq(bad(w, 0).state, ISO_BAD_VERIFIED);
	cr_assert_eq(world_region(w, "low").free_bytes, whole);
	world_start_vm(w, "all", "low", whole);
	/* An old record that is heard again, as after a restart, changes nothing. */
	tell(w, first_piece(w, "all").start, LINE, line->bad_ns);
	cr_assert_eq(bad(w, 0).state, ISO_BAD_VERIFIED);
	cr_assert_eq(w->n_kills, 0);
	world_free(w);
}

/* Proves: a list counts for a memdev that this daemon has not seen yet, as its clearing does. */
Test(engine_poison, verified_before_it_is_seen)
{
	struct world *w = world_pair();
	struct world_line *line = world_poison(w, 0, 0, WORLD_TELLS_ALL);
	struct iso_event read = {.kind = ISO_EVENT_POISON_LIST_READ};

	world_run(w, WORLD_SECOND);
	world_unplug(w, 0);
	world_run(w, WORLD_SECOND);
	world_restart(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(bad(w, 0).memdev, ISO_NONE);
	world_clear_poison(w, line);
	read.list_read.serial = 0x10;
	read.list_read.record_ns = w->now_ns + 1;
	world_step(w, &read);
	cr_assert_eq(bad(w, 0).state, ISO_BAD_CLEARED, "that list does not show all");
	read.list_read.complete = true;
	world_step(w, &read);
	cr_assert_eq(bad(w, 0).state, ISO_BAD_VERIFIED);
	world_free(w);
}

/* Proves: the ledger outlives the daemon and the region, and what is made again is carved around. */
Test(engine_poison, outlives_daemon_and_region)
{
	struct world *w = world_pair();
	uint64_t whole = world_region(w, "low").range.bytes;

	world_poison(w, 0, 0, WORLD_TELLS_PAGE);
	world_run(w, WORLD_SECOND);
	cr_assert(bad(w, 0).has_dpa, "a page is known by its memdev, too");
	cr_assert_eq(bad(w, 0).serial, 0x10);
	world_restart(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").free_bytes, whole - UNIT, "%s", w->trace);
	world_unplug(w, 0);
	world_run(w, WORLD_SECOND);
	kernel_plug(w, 0);
	world_changed(w);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	cr_assert_eq(world_region(w, "low").free_bytes, whole - UNIT, "%s", w->trace);
	world_start_vm(w, "web", "low", WORLD_PART);
	cr_assert_not(covers(w, "web", world_region(w, "low").range.start));
	world_free(w);
}

/* Proves: what is told before the first look at the host is kept until then, and kills then. */
Test(engine_poison, before_the_first_look)
{
	struct world *w = world_pair();
	struct iso_hpa hpa;
	uint32_t i;

	world_start_vm(w, "web", "low", WORLD_PART);
	hpa = first_piece(w, "web").start;
	world_restart(w);
	for (i = 0; i < 5000; i++)
		tell(w, hpa, LINE, w->now_ns);
	cr_assert_eq(w->n_kills, 0);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->n_kills, 1);
	cr_assert_eq(iso_incident_count(w->engine), 1);
	cr_assert_not(world_noted(w, "found no room"), "the same range takes one place");
	world_restart(w);
	for (i = 0; i < 5000; i++)
		tell(w, (struct iso_hpa){hpa.v + (uint64_t)i * LINE}, LINE, w->now_ns);
	world_run(w, WORLD_SECOND);
	cr_assert(world_noted(w, "found no room"), "%s%s", w->trace, w->broken);
	world_free(w);
}

/* Proves: memory that is not ours is nobody's business. */
Test(engine_poison, elsewhere)
{
	struct world *w = world_pair();

	tell(w, (struct iso_hpa){4096}, 4096, w->now_ns);
	tell(w, (struct iso_hpa){UINT64_MAX}, 4096, w->now_ns);
	cr_assert_eq(iso_bad_count(w->engine), 0);
	cr_assert_eq(w->n_kills, 0);
	world_free(w);
}
