/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a rule of policy asks for is done, to whom it is meant and to nobody else, until it is taken back. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

/* Proves: a fenced domain takes no new lease and keeps those it has; recover ends that. */
Test(engine_policy, fence)
{
	struct world *w = world_pair();
	uint64_t request;

	world_start_vm(w, "before", "low", WORLD_PART);
	cr_assert_eq(world_reply(w, world_policy(w, ISO_ACTION_FENCE, NULL, 0, ISO_NONE)),
		     ISO_REPLY_DONE);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_WAITING);
	cr_assert(strstr(world_reason(w, 0), "fenced by rule rule"), "%s", world_reason(w, 0));
	request = world_acquire(w, "after", "low", WORLD_PART);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_WAITING);
	cr_assert(strstr(world_lease(w, "after").waits_for, "daxmgrctl recover"), "%s",
		  world_lease(w, "after").waits_for);
	cr_assert_eq(world_lease(w, "before").state, ISO_LEASE_ATTACHED);
	cr_assert_eq(w->n_kills, 0);
	world_port_request(w, ISO_EVENT_RECOVER, 0);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_HEALTHY);
	world_free(w);
}

/* Proves: fences and retired memdevs outlive the daemon. */
Test(engine_policy, outlives_restart)
{
	struct world *w = world_pair();
	uint64_t requests[2];

	world_policy(w, ISO_ACTION_FENCE, NULL, 0, ISO_NONE);
	world_policy(w, ISO_ACTION_RETIRE, NULL, 1, ISO_NONE);
	world_restart(w);
	world_run(w, WORLD_SECOND);
	requests[0] = world_acquire(w, "low", "low", WORLD_PART);
	requests[1] = world_acquire(w, "high", "high", WORLD_PART);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, requests[0]), ISO_REPLY_WAITING);
	cr_assert_eq(world_reply(w, requests[1]), ISO_REPLY_WAITING);
	world_port_request(w, ISO_EVENT_RECOVER, 0);
	world_recover_memdev(w, 1);
	world_restart(w); /* that it was taken back, too */
	world_run(w, WORLD_SECOND);
	requests[0] = world_acquire(w, "low2", "low", WORLD_PART);
	requests[1] = world_acquire(w, "high2", "high", WORLD_PART);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, requests[0]), ISO_REPLY_DONE, "%s", w->trace);
	cr_assert_eq(world_reply(w, requests[1]), ISO_REPLY_DONE, "%s", w->trace);
	world_free(w);
}

/* Proves: a retired memdev takes nobody more, its neighbour does; recovering its port is not enough. */
Test(engine_policy, retire)
{
	struct world *w = world_pair();
	uint64_t low, high;

	cr_assert_eq(world_reply(w, world_policy(w, ISO_ACTION_RETIRE, NULL, 1, ISO_NONE)),
		     ISO_REPLY_DONE);
	low = world_acquire(w, "low", "low", WORLD_PART);
	high = world_acquire(w, "high", "high", WORLD_PART);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, low), ISO_REPLY_DONE);
	cr_assert_eq(world_reply(w, high), ISO_REPLY_WAITING);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_HEALTHY, "its tenants would be well");
	cr_assert(strstr(world_reason(w, 1), "retired by rule rule"), "%s", world_reason(w, 1));
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, high), ISO_REPLY_WAITING);
	cr_assert_eq(world_reply(w, world_recover_memdev(w, 1)), ISO_REPLY_DONE);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_reply(w, high), ISO_REPLY_DONE);
	cr_assert_eq(world_reply(w, world_recover_memdev(w, 1)), ISO_REPLY_ALREADY);
	cr_assert_eq(world_reply(w, world_policy(w, ISO_ACTION_RETIRE, NULL, ISO_NONE, 1)),
		     ISO_REPLY_NO_SUCH_NAME, "a port is no memdev");
	world_free(w);
}

static uint64_t recover(struct world *w, const char *text)
{
	struct iso_event event = {.kind = ISO_EVENT_RECOVER, .port.request = ++w->request};

	strcpy(event.port.port, text);
	world_step(w, &event);
	return w->request;
}

/* Proves: a retired memdev that was pulled before a restart is found by its serial number. */
Test(engine_policy, retired_and_away)
{
	struct world *w = world_pair();

	world_policy(w, ISO_ACTION_RETIRE, NULL, 1, ISO_NONE);
	world_unplug(w, 1);
	world_run(w, 10 * WORLD_SECOND);
	world_restart(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(iso_memdev_find(w->engine, "0x11"), ISO_NONE);
	cr_assert_neq(iso_fence_of_memdev(w->engine, "0x11"), ISO_NONE);
	cr_assert_eq(iso_fence_of_memdev(w->engine, "0x10"), ISO_NONE);
	cr_assert_eq(iso_fence_of_memdev(w->engine, "nonsense"), ISO_NONE);
	cr_assert_eq(world_reply(w, recover(w, "0x11")), ISO_REPLY_DONE);
	cr_assert_eq(iso_fence_of_memdev(w->engine, "0x11"), ISO_NONE);
	cr_assert_eq(world_reply(w, recover(w, "0x10")), ISO_REPLY_ALREADY);
	world_restart(w); /* that it was taken back, too */
	cr_assert_eq(iso_fence_of_memdev(w->engine, "0x11"), ISO_NONE);
	world_free(w);
}

/* Proves: the VMs of a unit are killed, its neighbour's are not, and they come back at once: nothing was lost. */
Test(engine_policy, kill_of_a_unit)
{
	struct world *w = world_pair();
	uint32_t low = world_start_vm(w, "low", "low", WORLD_PART);
	uint32_t high = world_start_vm(w, "high", "high", WORLD_PART);

	world_policy(w, ISO_ACTION_KILL, NULL, ISO_NONE, 1);
	cr_assert_eq(w->n_kills, 1);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert(w->processes[low].running);
	cr_assert_not(w->processes[high].running);
	cr_assert_eq(world_incident(w, 1).cause, ISO_CAUSE_POLICY);
	cr_assert_eq(world_incident(w, 1).n_killed, 1);
	cr_assert(world_noted(w, "rule rule: kill"), "%s", w->trace);
	cr_assert_eq(world_lease(w, "high").state, ISO_LEASE_ACQUIRED, "%s", w->trace);
	cr_assert_eq(w->n_effects[ISO_EFFECT_CLEAR_REGION], 0, "the region stays");
	world_free(w);
}

/* Proves: a VM that is named is killed, not its neighbour on the same region; nobody: that is said. */
Test(engine_policy, kill_of_a_vm)
{
	struct world *w = world_pair();
	uint32_t one = world_start_vm(w, "one", "low", WORLD_PART);
	uint32_t two = world_start_vm(w, "two", "low", WORLD_PART);

	cr_assert_eq(world_reply(w, world_policy(w, ISO_ACTION_KILL, "two", ISO_NONE, ISO_NONE)),
		     ISO_REPLY_DONE);
	world_run(w, WORLD_SECOND);
	cr_assert(w->processes[one].running);
	cr_assert_not(w->processes[two].running);
	cr_assert_eq(world_reply(w, world_policy(w, ISO_ACTION_KILL, "nobody", ISO_NONE, ISO_NONE)),
		     ISO_REPLY_NO_SUCH_NAME);
	world_free(w);
}

/* Proves: where an instance is named its VM is killed, not who has another one of the same region. */
Test(engine_policy, kill_of_an_instance)
{
	struct world *w = world_pair();
	struct iso_event event = {.kind = ISO_EVENT_POLICY};
	uint32_t one = world_start_vm(w, "one", "low", WORLD_PART);
	uint32_t two = world_start_vm(w, "two", "low", WORLD_PART);
	uint32_t x = w->processes[two].maps[0];

	event.policy.request = w->request++;
	event.policy.action = ISO_ACTION_KILL;
	snprintf(event.policy.unit, sizeof(event.policy.unit), "dax%u.%u", w->dax[x].object,
		 w->dax[x].id);
	w->processes[two].condemned = true; /* and nobody else: that would break the world */
	world_step(w, &event);
	cr_assert_eq(world_reply(w, event.policy.request), ISO_REPLY_DONE);
	world_run(w, WORLD_SECOND);
	cr_assert(w->processes[one].running);
	cr_assert_not(w->processes[two].running, "%s", w->trace);
	world_free(w);
}

/* Proves: a VM that attached after the record that counted is spared. */
Test(engine_policy, spares_who_came_later)
{
	struct world *w = world_pair();
	struct iso_event event = {.kind = ISO_EVENT_POLICY};

	world_run(w, WORLD_SECOND);
	event.policy.record_ns = w->now_ns;
	world_run(w, WORLD_SECOND);
	world_start_vm(w, "later", "low", WORLD_PART);
	event.policy.request = w->request++;
	event.policy.action = ISO_ACTION_KILL;
	strcpy(event.policy.unit, w->ports[0].path);
	world_step(w, &event);
	cr_assert_eq(world_reply(w, event.policy.request), ISO_REPLY_ALREADY);
	cr_assert_eq(w->n_kills, 0);
	world_free(w);
}

/* Proves: isolate goes the operator's way, under its own cause, and the port stays away until recover. */
Test(engine_policy, isolate)
{
	struct world *w = world_pair();

	world_start_vm(w, "vm", "high", WORLD_PART);
	world_policy(w, ISO_ACTION_ISOLATE, NULL, ISO_NONE, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->n_kills, 1);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_ISOLATED);
	cr_assert_eq(world_incident(w, 1).cause, ISO_CAUSE_POLICY);
	cr_assert_eq(world_reply(w, world_policy(w, ISO_ACTION_ISOLATE, NULL, ISO_NONE, 1)),
		     ISO_REPLY_ALREADY);
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: what is lost in a quarantined domain is not made again until an operator says so. */
Test(engine_policy, quarantine)
{
	struct world *w = world_pair();

	world_policy(w, ISO_ACTION_QUARANTINE, NULL, 1, ISO_NONE);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_QUARANTINED);
	world_surprise_down(w, 1);
	world_run(w, 20 * WORLD_SECOND);
	cr_assert_neq(world_region(w, "high").state, ISO_REGION_LIVE);
	cr_assert(strstr(world_reason(w, 1), "quarantined by rule rule"), "%s", world_reason(w, 1));
	world_port_request(w, ISO_EVENT_RECOVER, 1);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_HEALTHY);
	world_free(w);
}

/* Proves: what comes of an event on a copy leaves the engine as it was. */
Test(engine_policy, copy)
{
	struct world *w = world_pair();
	struct iso_event event = {.kind = ISO_EVENT_POLICY, .now_ns = w->now_ns};
	size_t bytes = iso_engine_bytes(&w->limits);
	void *memory = aligned_alloc(64, bytes);
	struct iso_engine *copy;
	struct iso_effects effects;

	world_start_vm(w, "vm", "high", WORLD_PART);
	event.now_ns = w->now_ns;
	event.policy.action = ISO_ACTION_KILL;
	strcpy(event.policy.unit, w->ports[1].path);
	cr_assert_null(iso_engine_copy(memory, bytes - 1, w->engine));
	copy = iso_engine_copy(memory, bytes, w->engine);
	cr_assert_not_null(copy);
	effects = iso_step(copy, &event);
	cr_assert_eq(effects.n_kills, 1);
	cr_assert_null(iso_check(copy));
	cr_assert_null(iso_check(w->engine));
	cr_assert_eq(world_lease(w, "vm").state, ISO_LEASE_ATTACHED);
	free(memory);
	world_free(w);
}
