/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An instance made by hand, and the process that maps it, become a lease. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

/* On "low" a device made by hand. Return: its index. */
static uint32_t make_by_hand(struct world *w)
{
	uint32_t x;

	for (x = 0; w->dax[x].used; x++)
		;
	w->dax[x] = (struct world_dax){.used = true,
				       .exists = true,
				       .bound = true,
				       .object = world_region(w, "low").kernel_id,
				       .id = 9,
				       .minor = 9,
				       .bytes = WORLD_PART};
	return x;
}

/* A process that maps it. Return: its index. */
static uint32_t map(struct world *w, uint32_t x)
{
	uint32_t p = world_stranger(w, "web");

	w->processes[p].maps[0] = x;
	return p;
}

/* A VM "web" on low, by the book; beside it one by hand, seen by the engine. Return: its process. */
static uint32_t start_by_hand(struct world *w, uint32_t *ret_x)
{
	uint32_t x, p;

	world_start_vm(w, "web", "low", WORLD_PART);
	x = make_by_hand(w);
	p = map(w, x);
	world_changed(w);
	world_run(w, WORLD_SECOND);
	if (ret_x)
		*ret_x = x;
	return p;
}

static uint64_t ask(struct world *w, const char *name, uint32_t id, int32_t pid)
{
	struct iso_event event = {.kind = ISO_EVENT_ADOPT};

	event.adopt.request = w->request++;
	event.adopt.region_kernel_id = world_region(w, "low").kernel_id;
	event.adopt.kernel_id = id;
	event.adopt.pid = pid;
	snprintf(event.adopt.name, sizeof(event.adopt.name), "%s", name);
	world_step(w, &event);
	return event.adopt.request;
}

/* What the daemon does with the pidfd when the answer comes. */
static void watch(struct world *w, uint32_t p, const char *name)
{
	struct world_process *process = &w->processes[p];

	process->is_vm = true;
	process->lease = iso_lease_find(w->engine, name);
	process->lease_epoch = world_lease(w, name).epoch;
	snprintf(process->name, sizeof(process->name), "%s", name);
}

static uint32_t adopt(struct world *w, uint32_t *ret_x)
{
	uint32_t p = start_by_hand(w, ret_x);
	uint64_t request = ask(w, "hand", 9, w->processes[p].pid);

	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%d\n%s", world_reply(w, request),
		     w->trace);
	watch(w, p, "hand");
	return p;
}

/* Proves: it becomes an attached lease of root's; when it ends its memory is taken back. */
Test(engine_adopt, life)
{
	struct world *w = world_pair();
	uint32_t x, p = adopt(w, &x);
	struct iso_lease_view lease = world_lease(w, "hand");

	cr_assert_eq(lease.state, ISO_LEASE_ATTACHED);
	cr_assert_eq(lease.pid, w->processes[p].pid);
	cr_assert_eq(lease.n_instances, 1);
	cr_assert_eq(lease.terms->uid, 0);
	cr_assert_not(lease.terms->restart);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert(w->dax[x].exists);
	world_exit(w, p);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "hand"), "%s", w->trace);
	cr_assert_not(w->dax[x].exists);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT - WORLD_PART);
	world_free(w);
}

/* Proves: it is a victim as any other, and does not come back. */
Test(engine_adopt, victim)
{
	struct world *w = world_pair();
	uint32_t p = adopt(w, NULL);

	world_surprise_down(w, 0);
	cr_assert_eq(w->processes[p].kills, 1, "in the step of the fault");
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_not(world_has_lease(w, "hand"), "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: a restart knows it as one of ours. */
Test(engine_adopt, restart)
{
	struct world *w = world_pair();
	uint32_t x, p = adopt(w, &x);

	world_restart(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_lease(w, "hand").state, ISO_LEASE_ATTACHED, "%s", w->trace);
	cr_assert(w->dax[x].exists);
	world_surprise_down(w, 0);
	cr_assert_eq(w->processes[p].kills, 1);
	world_run(w, 10 * WORLD_SECOND);
	world_free(w);
}

/* Proves: what is not there, not mapped by that process or mapped by others is refused, and stays as it was. */
Test(engine_adopt, refused)
{
	struct world *w = world_pair();
	uint32_t x, p = start_by_hand(w, &x), other;
	int32_t pid = w->processes[p].pid;
	uint64_t request;

	cr_assert_eq(world_reply(w, ask(w, "hand", 8, pid)), ISO_REPLY_NOT_ADOPTABLE);
	cr_assert_eq(world_reply(w, ask(w, "hand", 1, pid)), ISO_REPLY_NOT_ADOPTABLE, "of a lease");
	cr_assert_eq(world_reply(w, ask(w, "../hand", 9, pid)), ISO_REPLY_BAD_NAME);
	cr_assert_eq(world_reply(w, ask(w, "web", 9, pid)), ISO_REPLY_NAME_IN_USE);
	cr_assert_eq(world_reply(w, ask(w, "hand", 9, 1)), ISO_REPLY_PROCESS_TAKEN);
	cr_assert_eq(world_reply(w, ask(w, "hand", 9, world_lease(w, "web").pid)),
		     ISO_REPLY_PROCESS_TAKEN);
	request = ask(w, "hand", 9, 4242);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_NOT_ADOPTABLE);
	other = map(w, x);
	request = ask(w, "hand", 9, pid);
	cr_assert_eq(world_reply(w, ask(w, "third", 9, pid)), ISO_REPLY_TABLE_FULL);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_NOT_ADOPTABLE, "two map it");
	cr_assert_not(world_has_lease(w, "hand"));
	cr_assert(w->processes[p].running && w->processes[other].running);
	world_exit(w, other);
	world_exit(w, p);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_not(w->dax[x].exists, "an orphan as before");
	world_free(w);
}

/* Proves: one that pins needs the host's consent. */
Test(engine_adopt, pinning)
{
	struct world *w = world_pair();
	uint32_t p = start_by_hand(w, NULL);
	uint64_t request;

	w->processes[p].pins = ISO_PIN_DIRECT_IO;
	request = ask(w, "hand", 9, w->processes[p].pid);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_PINNING);
	cr_assert_not(world_has_lease(w, "hand"));
	world_free(w);
}

/* Proves: when it ends, or its region is lost, or the look fails meanwhile, nothing is adopted. */
Test(engine_adopt, overtaken)
{
	uint32_t how;

	for (how = 0; how < 3; how++) {
		struct world *w = world_pair();
		uint32_t x, p = start_by_hand(w, &x);
		uint64_t request;

		if (how == 2)
			world_fail(w, ISO_EFFECT_INSPECT, 1, 1, -EIO);
		request = ask(w, "hand", 9, w->processes[p].pid);
		world_run(w, WORLD_MS);
		if (how == 0)
			world_exit(w, p);
		else if (how == 1)
			world_surprise_down(w, 0);
		world_run(w, WORLD_SECOND);
		cr_assert_eq(world_reply(w, request),
			     how == 2 ? ISO_REPLY_NOT_OBSERVED : ISO_REPLY_NOT_ADOPTABLE,
			     "%u: %d\n%s", how, world_reply(w, request), w->trace);
		cr_assert_not(world_has_lease(w, "hand"));
		world_exit(w, p);
		world_run(w, 10 * WORLD_SECOND);
		cr_assert_not(w->dax[x].exists, "%s", w->trace);
		cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "%s", w->trace);
		world_free(w);
	}
}

/* Proves: at any moment of the question who maps the orphan it is adopted or refused, never removed. */
Test(engine_adopt, at_any_moment)
{
	uint64_t ms;

	for (ms = 0; ms < 1200; ms += 7) {
		struct world *w = world_pair();
		uint32_t x, p = start_by_hand(w, &x);
		uint64_t request;

		world_run(w, ms * WORLD_MS);
		request = ask(w, "hand", 9, w->processes[p].pid);
		world_run(w, WORLD_SECOND);
		cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%d ms: %d\n%s", (int)ms,
			     world_reply(w, request), w->trace);
		cr_assert(w->dax[x].exists && w->dax[x].bound);
		world_free(w);
	}
}
