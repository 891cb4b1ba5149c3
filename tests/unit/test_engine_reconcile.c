/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is seen against what is believed: each case is named, and told once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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

static void run(struct world *w, bool dry_run)
{
	uint64_t request = ask(w, dry_run);

	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%d\n%s", world_reply(w, request),
		     w->trace);
}

static void print(struct world *w)
{
	uint32_t i;

	for (i = 0; i < iso_finding_count(w->engine); i++) {
		const struct iso_finding *f = iso_finding_get(w->engine, i);

		fprintf(stderr, "%s (%s) %s: %s / %s / %s\n", iso_finding_name(f->kind),
			iso_remedy_name(f->remedy), f->object, f->seen, f->believed, f->action);
	}
}

static const struct iso_finding *find(struct world *w, enum iso_finding_kind kind)
{
	uint32_t i;

	for (i = 0; i < iso_finding_count(w->engine); i++)
		if (iso_finding_get(w->engine, i)->kind == (uint32_t)kind)
			return iso_finding_get(w->engine, i);
	print(w);
	cr_assert(false, "no finding %s", iso_finding_name(kind));
	return NULL;
}

static void expect(struct world *w, enum iso_finding_kind kind, enum iso_finding_remedy remedy,
		   const char *object)
{
	const struct iso_finding *finding = find(w, kind);

	cr_assert_str_eq(finding->object, object);
	cr_assert_eq(finding->remedy, remedy, "%s: %s", object, iso_remedy_name(finding->remedy));
	cr_assert_neq(finding->seen[0], '\0');
	cr_assert_neq(finding->action[0], '\0');
}

/* Proves: where all is as believed there is nothing to say, and asking changes nothing. */
Test(engine_reconcile, all_is_well)
{
	struct world *w = world_pair();
	uint32_t created;

	world_start_vm(w, "web", "low", WORLD_PART);
	created = w->n_effects[ISO_EFFECT_CREATE_REGION];
	run(w, true);
	print(w);
	cr_assert_eq(iso_finding_count(w->engine), 0);
	run(w, false);
	cr_assert_eq(iso_finding_count(w->engine), 0);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CREATE_REGION], created);
	cr_assert_gt(w->n_effects[ISO_EFFECT_INSPECT], 0, "who maps what is asked, too");
	cr_assert_eq(w->n_kills, 0);
	cr_assert_not(world_noted(w, "reconcile"), "%s", w->trace);
	world_free(w);
}

/* Proves: a dry run says what a run would do and does nothing of it; the run then does. */
Test(engine_reconcile, dry_run_changes_nothing)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->no_uevents = true;
	kernel_unplug(w, 0);
	run(w, true);
	expect(w, ISO_FINDING_MEMDEV_GONE, ISO_REMEDY_ITSELF, "memdev 0x10");
	expect(w, ISO_FINDING_REGION_BROKEN, ISO_REMEDY_ITSELF, "region low");
	cr_assert_eq(w->n_kills, 0);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	cr_assert_not(world_noted(w, "reconcile: "), "nothing is told to others\n%s", w->trace);
	run(w, false);
	find(w, ISO_FINDING_MEMDEV_GONE);
	cr_assert_eq(w->processes[vm].kills, 1);
	cr_assert(world_noted(w, "reconcile: memdev 0x10: it has gone"), "%s", w->trace);
	run(w, true);
	expect(w, ISO_FINDING_MEMDEV_GONE, ISO_REMEDY_PERSON, "memdev 0x10");
	find(w, ISO_FINDING_RECOVERY_UNFINISHED);
	world_free(w);
}

/* Proves: a device that is new, back, called otherwise or elsewhere is said to be that. */
Test(engine_reconcile, memdevs)
{
	struct world *w = world_pair();
	uint32_t one, port;

	w->no_uevents = true;
	strcpy(w->seen_memdevs[0].name, "mem77");
	run(w, true);
	expect(w, ISO_FINDING_MEMDEV_RENAMED, ISO_REMEDY_NONE, "memdev 0x10");
	run(w, false);
	run(w, true);
	cr_assert_eq(iso_finding_count(w->engine), 0, "the new name is the believed one now");

	port = world_port(w, ISO_PORT_ROOT, 0, ISO_NONE);
	one = world_memdev(w, port, 0x20);
	run(w, false);
	expect(w, ISO_FINDING_MEMDEV_NEW, ISO_REMEDY_NONE, "memdev 0x20");
	kernel_unplug(w, one);
	run(w, false);
	expect(w, ISO_FINDING_MEMDEV_GONE, ISO_REMEDY_ITSELF, "memdev 0x20");
	kernel_plug(w, one);
	run(w, false);
	cr_assert_str_eq(find(w, ISO_FINDING_MEMDEV_NEW)->believed, "it had gone");

	port = world_port(w, ISO_PORT_ROOT, 0, ISO_NONE);
	world_memdev(w, port, 0x20);
	run(w, false);
	expect(w, ISO_FINDING_MEMDEV_DUPLICATE, ISO_REMEDY_PERSON, "memdev 0x20");
	kernel_unplug(w, one);
	run(w, true);
	expect(w, ISO_FINDING_MEMDEV_MOVED, ISO_REMEDY_ITSELF, "memdev 0x20");
	world_free(w);
}

/* Proves: a region defined on a device that nobody ever saw waits for a person. */
Test(engine_reconcile, memdev_never_seen)
{
	struct world *w = world_pair();

	world_define_one(w, "third", 0x99);
	world_run(w, WORLD_SECOND);
	run(w, true);
	expect(w, ISO_FINDING_MEMDEV_GONE, ISO_REMEDY_PERSON, "memdev 0x99");
	world_free(w);
}

/* Proves: a region that has gone or got another number without a word is found. */
Test(engine_reconcile, regions)
{
	struct world *w = world_pair();
	uint32_t o = world_region(w, "high").kernel_id;

	w->no_uevents = true;
	w->objects[o + 3] = w->objects[o];
	w->objects[o].used = false;
	run(w, true);
	expect(w, ISO_FINDING_REGION_RENAMED, ISO_REMEDY_ITSELF, "region high");
	run(w, false);
	cr_assert_eq(world_region(w, "high").kernel_id, o + 3);
	w->objects[o + 3].used = false;
	run(w, true);
	expect(w, ISO_FINDING_REGION_GONE, ISO_REMEDY_ITSELF, "region high");
	world_free(w);
}

/* Proves: a region of another size or granularity than defined is used, and said to be other. */
Test(engine_reconcile, geometry)
{
	struct iso_region_definition definition = {.name = "one",
						   .ways = 1,
						   .granularity = 256,
						   .serials = {0x10},
						   .bytes = WORLD_UNIT};
	struct world *w = world_new();

	world_simple_bridge(w, 1, 0x10);
	world_define_as(w, &definition);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "one").state, ISO_REGION_LIVE, "%s", w->trace);
	w->no_uevents = true;
	run(w, true);
	print(w);
	cr_assert_eq(iso_finding_count(w->engine), 0);
	w->objects[0].granularity = 4096;
	run(w, true);
	expect(w, ISO_FINDING_REGION_GEOMETRY, ISO_REMEDY_PERSON, "region one");
	w->objects[0].granularity = 256;
	w->objects[0].range.bytes *= 2;
	run(w, false);
	expect(w, ISO_FINDING_REGION_GEOMETRY, ISO_REMEDY_PERSON, "region one");
	cr_assert_eq(world_region(w, "one").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: a second object on the memdevs of a managed region is found, whatever its shape. */
Test(engine_reconcile, twin)
{
	struct world *w = world_pair();
	uint32_t o = kernel_foreign_region(w, 0, 1);

	w->no_uevents = true;
	run(w, true);
	cr_assert_eq(iso_finding_count(w->engine), 0,
		     "somebody else's region is nobody's business");
	w->objects[o].ways = 1;
	w->objects[o].granularity = 256;
	w->objects[o].targets[0] = (struct iso_observed_target){.serial = 0x10, .present = true};
	w->objects[o].committed = true;
	run(w, true);
	expect(w, ISO_FINDING_REGION_TWIN, ISO_REMEDY_PERSON, "region2");
	w->objects[o].ways = 2;
	w->objects[o].targets[1] = (struct iso_observed_target){.serial = 0x11, .present = true};
	run(w, true);
	expect(w, ISO_FINDING_REGION_GEOMETRY, ISO_REMEDY_PERSON, "region2");
	w->objects[o].used = false;
	world_free(w);
}

static uint32_t make_by_hand(struct world *w, uint32_t object, uint64_t bytes)
{
	uint32_t x;

	for (x = 0; w->dax[x].used; x++)
		;
	w->dax[x] = (struct world_dax){.used = true,
				       .exists = true,
				       .bound = true,
				       .object = object,
				       .id = 9,
				       .minor = 9,
				       .bytes = bytes};
	return x;
}

/* Proves: what was made by hand on a managed region is named before it is removed. */
Test(engine_reconcile, instances)
{
	struct world *w = world_pair();
	uint32_t x = make_by_hand(w, world_region(w, "low").kernel_id, WORLD_PART);

	w->no_uevents = true;
	run(w, true);
	expect(w, ISO_FINDING_INSTANCE_ORPHAN, ISO_REMEDY_ITSELF, "dax0.9");
	cr_assert(w->dax[x].exists);
	run(w, false);
	world_run(w, WORLD_SECOND);
	cr_assert_not(w->dax[x].exists);
	x = make_by_hand(w, world_region(w, "low").kernel_id, 0);
	run(w, true);
	expect(w, ISO_FINDING_INSTANCE_EMPTY, ISO_REMEDY_ITSELF, "dax0.9");
	run(w, false);
	world_run(w, WORLD_SECOND);
	cr_assert_not(w->dax[x].exists, "the leftover is removed\n%s", w->trace);
	world_free(w);
}

/* Proves: one that somebody maps waits for a person, who is told by whom, and once. */
Test(engine_reconcile, mapped_orphan)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART), x, stranger;

	stranger = world_stranger(w, "web");
	x = make_by_hand(w, world_region(w, "low").kernel_id, WORLD_PART);
	w->processes[stranger].maps[0] = x;
	world_changed(w);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "belongs to no lease but process "), 1, "%s", w->trace);
	run(w, true);
	expect(w, ISO_FINDING_INSTANCE_ORPHAN, ISO_REMEDY_PERSON, "dax0.9");
	cr_assert(w->dax[x].exists);
	cr_assert(w->processes[vm].running);
	world_exit(w, stranger);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(w->dax[x].exists);
	world_free(w);
}

/* Proves: an instance that has gone, lost its driver or has a stranger is found with its VM. */
Test(engine_reconcile, of_a_lease)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
	uint32_t stranger = world_stranger(w, "web"), x = w->processes[vm].maps[0];

	w->no_uevents = true;
	run(w, true);
	expect(w, ISO_FINDING_STRANGER, ISO_REMEDY_PERSON, "VM web");
	world_exit(w, stranger);
	w->dax[x].bound = false;
	run(w, true);
	expect(w, ISO_FINDING_INSTANCE_UNBOUND, ISO_REMEDY_ITSELF, "dax0.1");
	w->dax[x].exists = false;
	run(w, true);
	expect(w, ISO_FINDING_INSTANCE_GONE, ISO_REMEDY_ITSELF, "dax0.1");
	cr_assert_eq(w->n_kills, 0);
	run(w, false);
	cr_assert_eq(w->processes[vm].kills, 1);
	world_free(w);
}

/* Proves: what a restart finds is told with the first look, each once, before it is corrected. */
Test(engine_reconcile, start)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	world_start_vm(w, "db", "high", WORLD_PART);
	w->processes[vm].running = false;
	make_by_hand(w, world_region(w, "high").kernel_id, WORLD_PART);
	world_restart(w);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "reconcile: VM web: its process is gone"), 1, "%s",
		     w->trace);
	cr_assert_eq(world_count_notes(w, "reconcile: dax1.9: "), 1, "%s", w->trace);
	cr_assert_eq(world_count_notes(w, "reconcile: "), 2, "%s", w->trace);
	world_free(w);
}

/* Proves: a recovery that a restart interrupted is said to go on. */
Test(engine_reconcile, half_finished_recovery)
{
	struct world *w = world_pair();

	world_start_vm(w, "web", "low", WORLD_PART);
	world_surprise_down(w, 0);
	world_run(w, 60 * WORLD_MS);
	world_restart(w);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert(world_noted(w, "reconcile: incident 1: "), "%s", w->trace);
	cr_assert(world_noted(w, "reconcile: region low: "), "%s", w->trace);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: what another boot left is said once and then forgotten. */
Test(engine_reconcile, host_rebooted)
{
	struct world *w = world_new();
	struct iso_restore_lease lease = {.rebooted = true, .terms.name = "web"};
	struct iso_restore_incident incident = {.rebooted = true, .id = 7};
	struct iso_event event = {.kind = ISO_EVENT_RESTORE_LEASE, .restore_lease = &lease};

	world_simple_bridge(w, 2, 0x10);
	world_step(w, &event);
	event = (struct iso_event){.kind = ISO_EVENT_RESTORE_INCIDENT,
				   .restore_incident = &incident};
	world_step(w, &event);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "reconcile: host: "), 1, "%s", w->trace);
	cr_assert_not(world_has_lease(w, "web"));
	run(w, true);
	cr_assert_eq(iso_finding_count(w->engine), 0);
	world_free(w);
}

/* Proves: after a gap what is found is told, what stands is not told again, without one nothing is. */
Test(engine_reconcile, gap)
{
	struct world *w = world_pair();
	struct iso_event event = {.kind = ISO_EVENT_CHANGED, .changed.gap = true};
	uint32_t o = kernel_foreign_region(w, 0, 1), i;

	w->no_uevents = true;
	w->objects[o].ways = 1;
	w->objects[o].targets[0] = (struct iso_observed_target){.serial = 0x10, .present = true};
	event.changed.gap = false;
	world_step(w, &event);
	world_run(w, WORLD_SECOND);
	cr_assert_not(world_noted(w, "reconcile: "), "%s", w->trace);
	event.changed.gap = true;
	for (i = 0; i < 3; i++) {
		world_step(w, &event);
		world_run(w, WORLD_SECOND);
	}
	cr_assert_eq(world_count_notes(w, "reconcile: region2: "), 1, "%s", w->trace);
	w->objects[o].used = false;
	world_step(w, &event);
	world_run(w, WORLD_SECOND);
	w->objects[o].used = true;
	world_step(w, &event);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_count_notes(w, "reconcile: region2: "), 2, "it had gone between\n%s",
		     w->trace);
	w->objects[o].used = false;
	world_free(w);
}

/* Proves: a look that fails is an answer, and the gap it should have closed is not forgotten. */
Test(engine_reconcile, not_observed)
{
	struct world *w = world_pair();
	struct iso_event event = {.kind = ISO_EVENT_CHANGED, .changed.gap = true};
	uint64_t request;

	w->no_uevents = true;
	world_run(w, WORLD_SECOND);
	world_fail(w, ISO_EFFECT_OBSERVE, 1, 1, -EIO);
	request = ask(w, true);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_NOT_OBSERVED);
	strcpy(w->seen_memdevs[0].name, "mem77");
	world_fail(w, ISO_EFFECT_OBSERVE, 1, 1, -EIO);
	world_step(w, &event);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert(world_noted(w, "reconcile: memdev 0x10: is called mem77"), "%s", w->trace);
	world_free(w);
}

/* Proves: several at once are answered one after another; too many are told so. */
Test(engine_reconcile, many_at_once)
{
	struct world *w = world_pair();
	uint64_t requests[18];
	uint32_t i;

	for (i = 0; i < 18; i++)
		requests[i] = ask(w, i % 2);
	cr_assert_eq(world_reply(w, requests[16]), ISO_REPLY_TABLE_FULL);
	cr_assert_eq(world_reply(w, requests[17]), ISO_REPLY_TABLE_FULL);
	world_run(w, 5 * WORLD_SECOND);
	for (i = 0; i < 16; i++)
		cr_assert_eq(world_reply(w, requests[i]), ISO_REPLY_DONE, "%u", i);
	world_free(w);
}

/* Proves: asked for before the first look it is answered by that; during a recovery it says so. */
Test(engine_reconcile, at_any_time)
{
	struct world *w = world_pair();
	uint64_t request, ms;

	world_start_vm(w, "web", "low", WORLD_PART);
	world_restart(w);
	request = ask(w, false);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE);
	for (ms = 0; ms < 500; ms += 20) {
		world_surprise_down(w, 0);
		world_run(w, ms * WORLD_MS);
		request = ask(w, ms % 40 == 0);
		world_run(w, 6 * WORLD_SECOND);
		cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%d ms", (int)ms);
		cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
	}
	world_free(w);
}

/* Proves: what finds no room is counted, and the pure function writes within its room. */
Test(engine_reconcile, room)
{
	struct world *w = world_pair();
	struct world_picture *picture;
	struct iso_finding findings[2];
	struct iso_event event = {0};

	strcpy(w->seen_memdevs[0].name, "mem77");
	strcpy(w->seen_memdevs[1].name, "mem78");
	make_by_hand(w, 0, WORLD_PART);
	picture = kernel_picture(w);
	kernel_picture_event(picture, &event);
	cr_assert_eq(iso_reconcile(w->engine, &event.snapshot, findings, 2), 3);
	cr_assert_eq(findings[1].kind, ISO_FINDING_MEMDEV_RENAMED);
	cr_assert_eq(iso_reconcile(w->engine, &event.snapshot, NULL, 0), 3);
	cr_assert_null(iso_finding_get(w->engine, 0), "the engine keeps those of requests only");
	free(picture);
	world_free(w);
}

/* Its device goes without a word, and another one by hand gets its name. */
static uint32_t exchange_device(struct world *w, uint32_t x, uint64_t bytes)
{
	uint32_t other = make_by_hand(w, w->dax[x].object, bytes);

	w->dax[other].id = w->dax[x].id;
	w->dax[other].minor = w->dax[x].minor + 40;
	w->dax[x].exists = false;
	w->seqnum++;
	return other;
}

/* Proves: a name that was given to another device while nobody looked is not taken for the lease's. */
Test(engine_reconcile, name_of_another_device)
{
	struct world *w = world_pair();
	uint64_t request = world_acquire(w, "web", "low", WORLD_PART);
	uint32_t x = 0, other;

	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE);
	while (!w->dax[x].exists)
		x++;
	w->no_uevents = true;
	other = exchange_device(w, x, 2 * WORLD_PART); /* dirty, and of another size */
	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(!world_has_lease(w, "web") || world_lease(w, "web").state != ISO_LEASE_ACQUIRED ||
			  !w->dax[other].exists,
		  "the grant is void\n%s", w->trace);
	cr_assert(world_noted(w, "reconcile: dax0.1: another device has this name"), "%s",
		  w->trace);
	cr_assert_not(w->dax[other].exists, "nobody maps it: removed\n%s", w->trace);
	world_free(w);
}

/* Proves: the same while the daemon runs, told apart by the minor number. */
Test(engine_reconcile, name_of_another_device_of_that_size)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->no_uevents = true;
	exchange_device(w, w->processes[vm].maps[0], WORLD_PART);
	run(w, true);
	expect(w, ISO_FINDING_INSTANCE_GONE, ISO_REMEDY_ITSELF, "dax0.1");
	run(w, false);
	cr_assert_eq(w->processes[vm].kills, 1, "%s", w->trace);
	world_free(w);
}

/* Proves: an object without targets, which eats the window, is found. */
Test(engine_reconcile, empty_object)
{
	struct world *w = world_pair();
	uint32_t o = kernel_foreign_region(w, 0, 1);

	w->objects[o].ways = 1;
	run(w, true);
	expect(w, ISO_FINDING_REGION_TWIN, ISO_REMEDY_PERSON, "region2");
	w->objects[o].used = false;
	world_free(w);
}

/* One history of losses and leases, with or without being looked at all the time. */
static void play(struct world *w, bool look)
{
	struct iso_finding findings[4];
	uint32_t i;

	world_start_vm(w, "web", "low", WORLD_PART);
	world_start_vm(w, "db", "high", WORLD_PART);
	world_surprise_down(w, 0);
	for (i = 0; i < 600; i++) {
		if (look) {
			struct world_picture *picture = kernel_picture(w);
			struct iso_event event = {0};

			kernel_picture_event(picture, &event);
			iso_reconcile(w->engine, &event.snapshot, findings, i % 5 ? 4 : 0);
			free(picture);
		}
		world_run(w, 5 * WORLD_MS);
		if (i == 300)
			world_unplug(w, 1);
	}
}

/* Proves: comparing changes nothing: the engine decides the same whether it is done or not. */
Test(engine_reconcile, looking_is_not_noticed)
{
	struct world *one = world_pair(), *other = world_pair();

	play(one, false);
	play(other, true);
	cr_assert_eq(one->steps, other->steps);
	cr_assert_str_eq(one->trace, other->trace);
	world_free(one);
	world_free(other);
}
