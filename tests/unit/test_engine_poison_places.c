/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where bad memory lies: interleaved regions, addresses nobody can compute, full tables, poison lists. */
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"
#include "state.h"

enum { UNIT = 2 << 20, GRANULE = 256 };

/* Two bridges with a port each, and a region interleaved over both. */
static struct world *interleaved(uint32_t arithmetic)
{
	struct world *w = world_new();
	uint32_t bridges[2];

	bridges[0] = world_simple_bridge(w, 1, 0x10);
	bridges[1] = world_simple_bridge(w, 1, 0x20);
	world_window(w, 16, 2, bridges);
	w->windows[w->n_windows - 1].arithmetic = arithmetic;
	world_define(w, "wide", 2, (uint64_t[]){0x10, 0x20});
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "wide").state, ISO_REGION_LIVE, "%s", w->trace);
	return w;
}

static uint64_t acquire_now(struct world *w, const char *name, const char *region)
{
	struct iso_acquire terms = {.n_parts = 1, .restart = true};

	strcpy(terms.name, name);
	strcpy(terms.parts[0].region, region);
	terms.parts[0].bytes = WORLD_PART;
	return world_acquire_terms(w, &terms);
}

static struct iso_hpa_range first_piece(struct world *w, const char *lease)
{
	struct iso_instance_view instance;

	iso_instance_get(w->engine, world_lease(w, lease).instances[0], &instance);
	return instance.pieces[0];
}

static struct iso_bad_view bad(struct world *w, uint32_t i)
{
	struct iso_bad_view view;

	cr_assert(iso_bad_get(w->engine, i, &view), "%s", w->trace);
	return view;
}

/* Where a byte of an interleaved region is on its memdevs, by a sum that is not the engine's. */
static uint64_t dpa_of(uint64_t offset, uint32_t leg)
{
	uint64_t dpa = 0, at;

	for (at = 0; at / GRANULE * GRANULE < offset / GRANULE * GRANULE; at += GRANULE)
		dpa += at / GRANULE % 2 == leg ? GRANULE : 0;
	return dpa + offset % GRANULE;
}

/* Proves: where only the memdev's address is known it is computed, for windows that interleave by modulo. */
Test(engine_poison_places, by_device_address)
{
	struct world *w = interleaved(ISO_ARITHMETIC_MODULO);
	uint32_t victim = world_start_vm(w, "victim", "wide", WORLD_PART);
	uint32_t other = world_start_vm(w, "other", "wide", WORLD_PART);
	struct iso_hpa_range piece = first_piece(w, "victim");
	uint64_t offset = piece.start.v + piece.bytes - 2 * GRANULE + 64 -
			  world_region(w, "wide").range.start.v;

	world_poison(w, 0, dpa_of(offset, 0), WORLD_TELLS_DPA);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(bad(w, 0).offset.v, offset);
	cr_assert_eq(w->processes[victim].kills, 1, "%s", w->trace);
	cr_assert_eq(w->processes[other].kills, 0);
	/* The same byte of the other leg is in the granule after it. */
	world_poison(w, 1, dpa_of(offset, 0), WORLD_TELLS_DPA);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(bad(w, 1).offset.v, offset + GRANULE);
	world_free(w);
}

/* Proves: where nobody can compute it nobody is killed by guess, and nobody more is placed there. */
static void unknown_place(uint32_t arithmetic)
{
	struct world *w = interleaved(arithmetic);
	struct world_line *line;
	uint64_t request;

	world_start_vm(w, "web", "wide", WORLD_PART);
	line = world_poison(w, 0, 0, WORLD_TELLS_DPA);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->n_kills, 0);
	cr_assert(world_noted(w, "nobody is killed for it"), "%s", w->trace);
	cr_assert_eq(world_region(w, "wide").free_bytes, 0);
	cr_assert(*world_region(w, "wide").closed);
	request = acquire_now(w, "db", "wide");
	cr_assert_eq(world_reply(w, request), ISO_REPLY_FENCED);
	cr_assert(strstr(world_reason(w, 0), "takes no new tenants"), "%s", world_reason(w, 0));
	/* The kernel's own address tells: the VM dies, and the rest is leased. */
	world_poison(w, line->memdev, line->dpa, WORLD_TELLS_ALL);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->n_kills, 1);
	cr_assert_eq(*world_region(w, "wide").closed, '\0');
	world_start_vm(w, "db", "wide", WORLD_PART);
	world_free(w);
}

/* Proves: what only the place in a region tells outlives the loss of the region and its refill. */
Test(engine_poison_places, by_place_over_a_loss)
{
	struct world *w = interleaved(ISO_ARITHMETIC_XOR);

	world_poison(w, 0, 4096, WORLD_TELLS_PAGE);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(iso_bad_count(w->engine), 1);
	cr_assert_not(bad(w, 0).has_dpa);
	cr_assert_eq(world_region(w, "wide").bad_bytes, UNIT);
	world_surprise_down(w, 0);
	world_run(w, 60 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "wide").state, ISO_REGION_LIVE, "%s", w->trace);
	cr_assert_eq(iso_bad_count(w->engine), 1);
	cr_assert_eq(world_region(w, "wide").bad_bytes, UNIT, "%s", w->trace);
	world_free(w);
}

Test(engine_poison_places, xor_is_not_computed)
{
	unknown_place(ISO_ARITHMETIC_XOR);
}

Test(engine_poison_places, unknown_is_not_computed)
{
	unknown_place(ISO_ARITHMETIC_UNKNOWN);
}

/* Proves: a page is spread over all memdevs of its region, and with its line all of it is good again. */
Test(engine_poison_places, page_of_an_interleaved_region)
{
	struct world *w = interleaved(ISO_ARITHMETIC_MODULO);
	struct world_line *line = world_poison(w, 0, 4096, WORLD_TELLS_PAGE);
	struct iso_event read = {.kind = ISO_EVENT_POISON_LIST_READ};

	world_run(w, WORLD_SECOND);
	cr_assert_eq(iso_bad_count(w->engine), 2);
	cr_assert_eq(bad(w, 0).serial, 0x10);
	cr_assert_eq(bad(w, 1).serial, 0x20);
	cr_assert_eq(bad(w, 0).bytes + bad(w, 1).bytes, 4096);
	cr_assert_eq(bad(w, 0).dpa.v, 4096);
	cr_assert_eq(world_region(w, "wide").bad_bytes, UNIT);
	world_clear_poison(w, line);
	read.list_read.record_ns = w->now_ns;
	read.list_read.complete = true;
	read.list_read.serial = 0x10;
	world_step(w, &read);
	cr_assert_eq(world_region(w, "wide").bad_bytes, UNIT, "the other memdev has not said so");
	read.list_read.serial = 0x20;
	world_step(w, &read);
	cr_assert_eq(world_region(w, "wide").bad_bytes, 0, "%s", w->trace);
	world_free(w);
}

/* Proves: what finds no room in the ledger closes its memdev until the list was read with room. */
Test(engine_poison_places, full_ledger)
{
	struct world *w = world_pair();
	struct world_line *lines[16];
	uint32_t i;

	for (i = 0; i < 16; i++)
		lines[i] = world_poison(w, 0, i * 4096, WORLD_TELLS_ALL);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(iso_bad_count(w->engine), w->limits.bad_ranges);
	cr_assert(
		world_noted(w, " takes nobody more: it has more bad ranges than there is room for"),
		"%s", w->trace);
	cr_assert_eq(world_region(w, "low").free_bytes, 0);
	cr_assert_gt(world_region(w, "high").free_bytes, 0);
	for (i = 0; i < 16; i++)
		world_clear_poison(w, lines[i]);
	world_run(w, WORLD_MS);
	world_read_lists(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT, "%s", w->trace);
	world_free(w);
}

/* Proves: a list whose own records found no room does not open what they closed; one that finds room does. */
Test(engine_poison_places, full_ledger_stays_closed)
{
	struct world *w = world_pair();
	struct iso_event read = {.kind = ISO_EVENT_POISON_LIST_READ};
	uint32_t i;

	for (i = 0; i < 16; i++)
		world_poison(w, 0, i * 4096, WORLD_TELLS_ALL);
	world_run(w, WORLD_MS);
	read.list_read.serial = 0x10;
	read.list_read.complete = true;
	read.list_read.record_ns = w->engine->memdevs[0].closed_ns; /* began as the record came */
	world_step(w, &read);
	cr_assert_eq(world_region(w, "low").free_bytes, 0, "%s", w->trace);
	world_run(w, WORLD_SECOND);
	read.list_read.record_ns = w->now_ns;
	world_step(w, &read);
	cr_assert_eq(world_region(w, "low").free_bytes, 0, "%s", w->trace);
	world_clear_all_poison(w);
	world_run(w, WORLD_SECOND);
	world_read_lists(w);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT, "%s", w->trace);
	world_free(w);
}

/* Proves: of two devices with one serial neither's own address kills anybody; the kernel's sum does. */
Test(engine_poison_places, twins)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
	struct iso_hpa_range piece = first_piece(w, "web");
	struct iso_event event = {.kind = ISO_EVENT_POISON};

	world_memdev(w, world_port(w, ISO_PORT_ROOT, 0, ISO_NONE), 0x10);
	world_changed(w);
	world_run(w, WORLD_SECOND);
	event.poison = (struct iso_poison){
		.has_serial = true,
		.has_dpa = true,
		.serial = 0x10,
		.dpa = {piece.start.v - world_region(w, "low").range.start.v},
		.bytes = 64,
		.record_ns = w->now_ns,
		.evidence = ISO_POISON_MEDIA,
	};
	world_step(w, &event);
	world_run(w, WORLD_MS);
	cr_assert_eq(w->processes[vm].kills, 0, "%s", w->trace);
	cr_assert_eq(world_region(w, "low").free_bytes, 0, "but nobody more gets any of it");
	world_poison(w, 0, event.poison.dpa.v, WORLD_TELLS_ALL);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 1, "%s", w->trace);
	world_free(w);
}

/* Proves: more bad places than one carving can go around close the region. */
Test(engine_poison_places, too_many_to_go_around)
{
	struct world *w = world_pair();
	struct region *region = &w->engine->regions[iso_region_find(w->engine, "low")];
	struct iso_hpa_range avoid[ISO_AVOID_MAX];
	uint32_t i, r = region - w->engine->regions;

	/* As many as the ledger has room for, and then another two of the others' places. */
	for (i = 0; i < 12; i++)
		world_poison(w, 0, i * 2 * (uint64_t)UNIT, WORLD_TELLS_ALL);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(iso_region_avoid(w->engine, r, UNIT, avoid), 12);
	cr_assert_eq(iso_region_avoid(w->engine, r, 4 * UNIT, avoid), 1, "they touch now");
	cr_assert_eq(avoid[0].bytes, 24 * (uint64_t)UNIT);
	cr_assert_eq(region_free_bytes(region), WORLD_UNIT - 12 * (uint64_t)UNIT);
	world_free(w);
}

/* Proves: nothing is carved before the poison list of each memdev was read, and who does not wait is not refused for it. */
Test(engine_poison_places, lists_come_first)
{
	struct world *w = world_pair();
	uint64_t request;

	world_poison(w, 0, 0, WORLD_TELLS_NOBODY);
	w->policy.reads_poison = true;
	w->operation_ns = 500 * WORLD_MS;
	world_restart(w);
	world_run(w, 600 * WORLD_MS); /* looked at, lists not read yet */
	request = acquire_now(w, "web", "low");
	cr_assert_lt(world_reply(w, request), 0, "%d", world_reply(w, request));
	cr_assert(strstr(world_lease(w, "web").waits_for, "poison lists"), "%s",
		  world_lease(w, "web").waits_for);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_eq(bad(w, 0).evidence, ISO_POISON_LIST);
	cr_assert_neq(first_piece(w, "web").start.v, world_region(w, "low").range.start.v);
	world_free(w);
}

/* Proves: a list that cannot be read holds nothing up for ever, and that is told. */
Test(engine_poison_places, no_list)
{
	struct world *w = world_pair();
	struct iso_memdev_view memdev;

	w->policy.reads_poison = true;
	world_fail(w, ISO_EFFECT_READ_POISON, 1, 2, -95 /* EOPNOTSUPP */);
	world_restart(w);
	world_run(w, WORLD_SECOND);
	world_start_vm(w, "web", "low", WORLD_PART);
	cr_assert(world_noted(w, "its poison list is not read"), "%s", w->trace);
	cr_assert(iso_memdev_get(w->engine, 0, &memdev));
	cr_assert(*memdev.poison_problem);
	cr_assert_eq(memdev.poison_read_ns, 0);
	world_fail(w, ISO_EFFECT_READ_POISON, 1, 1000, -5);
	world_restart(w);
	world_run(w, 120 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "its poison list is not read"), 4, "%s", w->trace);
	world_start_vm(w, "db", "low", WORLD_PART);
	world_free(w);
}

/* Proves: lists are read by the clock, after a gap and when somebody asks; poison that nobody told of is found. */
Test(engine_poison_places, when_lists_are_read)
{
	struct iso_event gap = {.kind = ISO_EVENT_CHANGED, .changed.gap = true};
	struct iso_event ask = {.kind = ISO_EVENT_READ_POISON};
	struct world *w = world_pair();
	uint32_t victim, n;

	w->policy.reads_poison = true;
	world_restart(w);
	world_run(w, WORLD_SECOND);
	n = w->n_effects[ISO_EFFECT_READ_POISON];
	world_run(w, 3600 * WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_READ_POISON], n, "no interval was given");
	world_step(w, &gap);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_READ_POISON], n + 2);
	strcpy(ask.read_poison.memdev, "0x11");
	ask.read_poison.request = w->request++;
	world_step(w, &ask);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->n_effects[ISO_EFFECT_READ_POISON], n + 3);
	strcpy(ask.read_poison.memdev, "0x99");
	world_step(w, &ask);
	cr_assert_eq(world_reply(w, ask.read_poison.request), ISO_REPLY_NO_SUCH_NAME);
	victim = world_start_vm(w, "web", "low", WORLD_PART);
	w->policy.poison_list_ns = 60 * WORLD_SECOND;
	world_restart(w);
	world_run(w, 30 * WORLD_SECOND);
	world_poison(w, 0, first_piece(w, "web").start.v - world_region(w, "low").range.start.v,
		     WORLD_TELLS_NOBODY);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(w->processes[victim].kills, 0);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(w->processes[victim].kills, 1, "%s", w->trace);
	world_free(w);
}

/* Proves: hostile numbers change nothing but the ledger. */
Test(engine_poison_places, hostile_records)
{
	static const uint64_t numbers[] = {0,          1,          63,         64,
					   1ull << 40, 1ull << 55, 1ull << 63, UINT64_MAX};
	struct world *w = interleaved(ISO_ARITHMETIC_MODULO);
	struct iso_event event = {.kind = ISO_EVENT_POISON};
	uint32_t i, j, k;

	for (i = 0; i < 8; i++)
		for (j = 0; j < 8; j++)
			for (k = 0; k < 8; k++) {
				event.poison.has_serial = event.poison.has_dpa = k & 1;
				event.poison.has_hpa = k & 2;
				event.poison.cleared = k & 4;
				event.poison.serial = 0x10;
				event.poison.dpa.v = numbers[i];
				event.poison.hpa.v =
					world_region(w, "wide").range.start.v + numbers[i];
				event.poison.bytes = numbers[j];
				event.poison.record_ns = numbers[k];
				iso_step(w->engine, &event);
				cr_assert_null(iso_check(w->engine), "%s", iso_check(w->engine));
			}
	world_free(w);
}

struct corrupted {
	struct world *w;
	struct bad_range *bad;
	struct lease *lease;
	struct instance *instance;
};

static struct corrupted begin(void)
{
	struct corrupted c = {.w = world_pair()};

	world_start_vm(c.w, "web", "low", WORLD_PART);
	world_poison(c.w, 0, 200 * (uint64_t)UNIT / 2, WORLD_TELLS_ALL);
	world_run(c.w, WORLD_SECOND);
	c.bad = &c.w->engine->bad[0];
	c.lease = &c.w->engine->leases[iso_lease_find(c.w->engine, "web")];
	c.instance = &c.w->engine->instances[c.lease->instances[0]];
	cr_assert_null(iso_check(c.w->engine));
	return c;
}

static void trips(struct corrupted *c, const char *invariant)
{
	const char *broken = iso_check(c->w->engine);

	cr_assert_not_null(broken, "'%s' does not trip", invariant);
	cr_assert_str_eq(broken, invariant);
	world_free(c->w);
}

/* The invariants of the ledger trip when the state is corrupted as they say. */
Test(engine_poison_places, check_poisoned_vm)
{
	struct corrupted c = begin();

	c.bad->dpa.v = 0;
	trips(&c, "a VM whose memory is poisoned has been killed");
}

Test(engine_poison_places, check_kept_ready)
{
	struct corrupted c = begin();

	c.bad->dpa.v = 0;
	c.lease->state = ISO_LEASE_ACQUIRED;
	trips(&c, "no bad memory is kept ready or handed out");
}

Test(engine_poison_places, check_place)
{
	struct corrupted c = begin();

	c.bad->has_dpa = false;
	trips(&c, "a bad range says where it is");
}

Test(engine_poison_places, check_good_was_cleared)
{
	struct corrupted c = begin();

	c.bad->state = ISO_BAD_VERIFIED;
	c.w->engine->n_not_good--;
	trips(&c, "what is good again was cleared");
}

Test(engine_poison_places, check_counted)
{
	struct corrupted c = begin();

	c.w->engine->n_not_good++;
	trips(&c, "bad ranges are counted");
}
