/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a fault to the kills: who dies, who does not, and when. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

/* Two bridges with two ports each; a region on each port, the last two joined in one. */
static struct world *wide_host(void)
{
	struct world *w = world_new();
	uint32_t bridges[2];

	bridges[0] = world_simple_bridge(w, 2, 0x10);
	bridges[1] = world_simple_bridge(w, 2, 0x20);
	world_window(w, 8, 2, bridges);
	world_define_one(w, "a", 0x10);
	world_define_one(w, "b", 0x20);
	world_define(w, "wide", 2, (uint64_t[]){0x11, 0x21});
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "wide").state, ISO_REGION_LIVE, "%s", w->trace);
	return w;
}

static void port_fault(struct world *w, uint32_t port, struct iso_event *ret)
{
	*ret = (struct iso_event){.kind = ISO_EVENT_FAULT};
	ret->fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	ret->fault.cause = ISO_CAUSE_SURPRISE_DOWN;
	ret->fault.address = w->ports[port].address;
	ret->fault.record_ns = w->now_ns - 7;
}

/* Proves: a surprise down kills exactly the VMs on its region, all in the step that tells of it. */
Test(engine_fault, exactly_its_vms_in_the_same_step)
{
	struct world *w = world_pair();
	uint32_t first = world_start_vm(w, "first", "low", WORLD_PART);
	uint32_t second = world_start_vm(w, "second", "low", WORLD_PART);
	uint32_t other = world_start_vm(w, "other", "high", WORLD_PART);
	uint64_t step;

	kernel_surprise_down(w, 0);
	step = w->steps;
	world_fault_port(w, 0, ISO_CAUSE_SURPRISE_DOWN);
	cr_assert_eq(w->steps, step + 1);
	cr_assert_eq(w->effects.n_kills, 2);
	cr_assert_eq(w->processes[first].kills, 1);
	cr_assert_eq(w->processes[second].kills, 1);
	cr_assert_eq(world_lease(w, "first").state, ISO_LEASE_KILLED);
	cr_assert(world_lease(w, "second").was_killed);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->processes[other].kills, 0);
	cr_assert(w->processes[other].running);
	cr_assert_eq(world_lease(w, "other").state, ISO_LEASE_ATTACHED);
	world_free(w);
}

/* Proves: the kills come with the incident and its first record's time, before any note of them. */
Test(engine_fault, incident)
{
	struct world *w = world_pair();
	struct iso_incident_view incident;
	struct iso_event event;

	world_start_vm(w, "web", "low", WORLD_PART);
	kernel_surprise_down(w, 0);
	port_fault(w, 0, &event);
	world_step(w, &event);
	cr_assert_eq(w->effects.kills[0].kind, ISO_EFFECT_KILL);
	cr_assert_eq(w->effects.kills[0].incident, 1);
	incident = world_incident(w, 1);
	cr_assert_eq(incident.record_ns, event.fault.record_ns);
	cr_assert_eq(incident.detected_ns, w->now_ns);
	cr_assert_eq(incident.cause, ISO_CAUSE_SURPRISE_DOWN);
	cr_assert_str_eq(incident.unit, "hb0/00.0");
	cr_assert_eq(incident.n_killed, 1);
	cr_assert_eq(incident.capacity_before_bytes, 2 * WORLD_UNIT);
	cr_assert_eq(incident.contained_ns, 0);
	cr_assert_eq(world_domain(w, 0), ISO_DOMAIN_CONTAINING);
	cr_assert_str_eq(world_reason(w, 0), "1 VMs not yet gone and unmapped: web");
	cr_assert_eq(world_domain(w, 1), ISO_DOMAIN_HEALTHY);
	world_run(w, 200 * WORLD_MS);
	cr_assert_gt(world_incident(w, 1).contained_ns, incident.detected_ns);
	cr_assert_eq(world_incident(w, 1).n_exited, 1);
	cr_assert(world_noted(w, "contained: hb0/00.0: contained, 1 killed, no mapping left"));
	world_free(w);
}

/* Proves: the executor knows at whose loss the kernel unbinds the memory by itself. */
Test(engine_fault, the_kernel_unbinds)
{
	static const struct {
		enum iso_cause cause;
		uint32_t unbinding;
	} cases[] = {
		{ISO_CAUSE_SURPRISE_DOWN, 1},
		{ISO_CAUSE_FATAL_ERROR, 1},
		{ISO_CAUSE_LINK_DOWN, 1},
		{ISO_CAUSE_DEVICE_GONE, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world *w = world_pair();

		world_start_vm(w, "web", "low", WORLD_PART);
		kernel_surprise_down(w, 0);
		world_fault_port(w, 0, cases[i].cause);
		cr_assert_eq(w->effects.n_kills, 1);
		cr_assert_eq(w->effects.kills[0].unbinding, cases[i].unbinding, "%s",
			     iso_cause_name(cases[i].cause));
		world_free(w);
	}
}

/* Proves: whoever goes first, those who are still to go are named, and nobody else. */
Test(engine_fault, names_who_is_still_to_go)
{
	static const char *const names[] = {"a", "b", "c"};
	struct world *w = world_pair();
	uint32_t vms[3], i;

	for (i = 0; i < 3; i++) {
		vms[i] = world_start_vm(w, names[i], "low", WORLD_PART);
		w->processes[vms[i]].stubborn = true;
	}
	world_surprise_down(w, 0);
	cr_assert_str_eq(world_reason(w, 0), "3 VMs not yet gone and unmapped: a b c");
	world_exit(w, vms[0]);
	world_run(w, WORLD_SECOND);
	cr_assert_str_eq(world_reason(w, 0), "2 VMs not yet gone and unmapped: b c");
	world_exit(w, vms[2]);
	world_run(w, WORLD_SECOND);
	cr_assert_str_eq(world_reason(w, 0), "1 VMs not yet gone and unmapped: b");
	/* Back again, and lost again: one that was passed over before is named once more. */
	world_exit(w, vms[1]);
	cr_assert(world_settle(w, 60 * WORLD_SECOND));
	for (i = 0; i < 2; i++)
		w->processes[world_start_vm(w, names[i], "low", WORLD_PART)].stubborn = true;
	world_surprise_down(w, 0);
	cr_assert_str_eq(world_reason(w, 0), "3 VMs not yet gone and unmapped: a b c");
	world_free(w);
}

/* Proves: one cause is one incident, however many records tell of it, and kills once. */
Test(engine_fault, many_records_one_incident)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->processes[vm].stubborn = true;
	world_surprise_down(w, 0);
	world_fault_port(w, 0, ISO_CAUSE_LINK_DOWN);
	world_unplug(w, 0);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(iso_incident_count(w->engine), 1);
	cr_assert_geq(world_incident(w, 1).n_records, 3);
	cr_assert_eq(w->processes[vm].kills, 1);
	cr_assert_eq(world_incident(w, 1).n_killed, 1);
	world_free(w);
}

/* Proves: a fault on one leg of an interleaved region takes the region and nobody beside it. */
Test(engine_fault, one_leg_of_two)
{
	struct world *w = wide_host();
	uint32_t a = world_start_vm(w, "a", "a", WORLD_PART);
	uint32_t b = world_start_vm(w, "b", "b", WORLD_PART);
	uint32_t wide = world_start_vm(w, "wide", "wide", WORLD_PART);
	uint32_t leg;

	cr_assert_eq(iso_domain_state(w->engine, 1), iso_domain_state(w->engine, 3));
	for (leg = 1; leg <= 3; leg += 2) {
		world_surprise_down(w, leg);
		cr_assert_eq(w->effects.n_kills, leg == 1 ? 1 : 0);
		world_run(w, 10 * WORLD_SECOND);
	}
	cr_assert_eq(w->processes[wide].kills, 1);
	cr_assert(w->processes[a].running && w->processes[b].running);
	cr_assert_eq(w->n_kills, 1);
	world_free(w);
}

/* Proves: a VM with parts in two regions dies once when either or both are lost. */
Test(engine_fault, parts_in_two_regions)
{
	struct world *w = world_pair();
	struct iso_acquire terms = {.name = "web", .uid = 1, .n_parts = 2, .wait = true};
	uint32_t vm;

	strcpy(terms.parts[0].region, "low");
	strcpy(terms.parts[1].region, "high");
	terms.parts[0].bytes = terms.parts[1].bytes = WORLD_PART;
	world_acquire_terms(w, &terms);
	world_run(w, WORLD_SECOND);
	vm = world_attach(w, "web");
	kernel_surprise_down(w, 0);
	kernel_surprise_down(w, 1);
	world_fault_port(w, 1, ISO_CAUSE_SURPRISE_DOWN);
	world_fault_port(w, 0, ISO_CAUSE_SURPRISE_DOWN);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 1);
	cr_assert_not(world_has_lease(w, "web"), "%s", w->trace);
	cr_assert_eq(iso_free_bytes(w->engine), 2 * WORLD_UNIT);
	world_free(w);
}

/* Two memdevs, each below a port of a switch, with regions "low" and "high". */
static struct world *begin_with_switch(uint32_t *ret_root, uint32_t down[2])
{
	struct world *w = world_new();
	uint32_t bridge = world_bridge(w), upstream;

	world_window(w, 8, 1, &bridge);
	*ret_root = world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE);
	world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE); /* else it decodes for one region only */
	upstream = world_port(w, ISO_PORT_SWITCH_UPSTREAM, bridge, *ret_root);
	for (uint32_t i = 0; i < 2; i++) {
		down[i] = world_port(w, ISO_PORT_SWITCH_DOWNSTREAM, bridge, upstream);
		world_memdev(w, down[i], 0x30 + i);
		world_define_one(w, i ? "high" : "low", 0x30 + i);
	}
	world_run(w, WORLD_SECOND);
	return w;
}

/* Proves: a root port above a switch takes both memdevs, a downstream port its own only. */
Test(engine_fault, below_a_switch)
{
	uint32_t root, down[2], vms[2];
	struct world *w = begin_with_switch(&root, down);

	vms[0] = world_start_vm(w, "on-low", "low", WORLD_PART);
	vms[1] = world_start_vm(w, "on-high", "high", WORLD_PART);
	world_surprise_down(w, down[1]);
	cr_assert_eq(w->effects.n_kills, 1);
	cr_assert_eq(w->processes[vms[1]].kills, 1);
	world_run(w, 10 * WORLD_SECOND);
	vms[1] = world_start_vm(w, "on-high", "high", WORLD_PART);
	world_surprise_down(w, root);
	cr_assert_eq(w->effects.n_kills, 2);
	cr_assert_eq(w->processes[vms[0]].kills, 1);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_domain(w, root), ISO_DOMAIN_RECOVERING);
	cr_assert_str_eq(world_reason(w, root), "its VMs are coming back");
	world_free(w);
}

/* Proves: a record told late is believed where somebody stands who was there before it. */
Test(engine_fault, late_record_beside_older_memory)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT};
	uint32_t root, down[2], vm;
	struct world *w = begin_with_switch(&root, down);
	uint64_t before_ns;

	vm = world_start_vm(w, "on-low", "low", WORLD_PART);
	before_ns = w->now_ns;
	world_surprise_down(w, down[1]);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "made anew\n%s", w->trace);

	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_SURPRISE_DOWN;
	event.fault.address = w->ports[root].address;
	event.fault.record_ns = before_ns;
	kernel_surprise_down(w, root);
	kernel_condemn(w, root);
	world_step(w, &event);
	cr_assert_eq(w->processes[vm].kills, 1, "%s", w->trace);
	world_free(w);
}

/* Proves: the loss of a memdev is found by its uevent, and by looking alone. */
Test(engine_fault, memdev_unplugged)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	world_unplug(w, 0);
	cr_assert_eq(w->processes[vm].kills, 1, "in the step of the uevent");
	world_run(w, WORLD_SECOND);
	kernel_plug(w, 0);
	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	vm = world_start_vm(w, "web", "low", WORLD_PART);
	kernel_unplug(w, 0);
	world_changed(w);
	world_run(w, 20 * WORLD_MS);
	cr_assert_eq(w->processes[vm].kills, 1, "by the snapshot\n%s", w->trace);
	cr_assert_eq(world_incident(w, 2).cause, ISO_CAUSE_DEVICE_GONE);
	world_free(w);
}

/* Proves: a uevent older than what was observed since speaks of an earlier device. */
Test(engine_fault, stale_uevent)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
	struct iso_event event = {.kind = ISO_EVENT_FAULT};

	event.fault.unit_kind = ISO_UNIT_MEMDEV_SERIAL;
	event.fault.cause = ISO_CAUSE_DEVICE_GONE;
	event.fault.serial = 0x10;
	event.fault.uevent_seqnum = 1;
	world_step(w, &event);
	event.fault.unit_kind = ISO_UNIT_INSTANCE;
	event.fault.cause = ISO_CAUSE_REGION_GONE;
	event.fault.region_kernel_id = w->dax[w->processes[vm].maps[0]].object;
	event.fault.kernel_id = w->dax[w->processes[vm].maps[0]].id;
	world_step(w, &event);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->n_kills, 0);
	cr_assert_eq(iso_incident_count(w->engine), 0);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: a record of before a region was made harms nobody on it, and one of since then does. */
Test(engine_fault, stale_record)
{
	struct world *w = world_pair();
	struct iso_event event = {.kind = ISO_EVENT_FAULT};
	uint64_t before_ns;
	uint32_t vm;

	before_ns = w->now_ns;
	world_surprise_down(w, 0);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE, "made anew\n%s", w->trace);
	vm = world_start_vm(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);

	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_SURPRISE_DOWN;
	event.fault.address = w->ports[0].address;
	event.fault.record_ns = before_ns;
	world_step(w, &event);
	event.fault.unit_kind = ISO_UNIT_MEMDEV_SERIAL;
	event.fault.cause = ISO_CAUSE_DEVICE_GONE;
	event.fault.serial = 0x10;
	world_step(w, &event);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 0, "told late\n%s", w->trace);

	world_surprise_down(w, 0);
	cr_assert_eq(w->processes[vm].kills, 1);
	world_free(w);
}

/* Proves: the uevent of an instance kills its VM alone; so does one without a number. */
Test(engine_fault, one_instance_lost)
{
	for (uint32_t numbered = 0; numbered < 2; numbered++) {
		struct world *w = world_pair();
		uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
		uint32_t other = world_start_vm(w, "db", "low", WORLD_PART);
		struct iso_event event = {.kind = ISO_EVENT_FAULT};
		uint32_t x = w->processes[vm].maps[0];

		w->dax[x].exists = false;
		w->seqnum++;
		event.fault.unit_kind = ISO_UNIT_INSTANCE;
		event.fault.cause = ISO_CAUSE_REGION_GONE;
		event.fault.region_kernel_id = w->dax[x].object;
		event.fault.kernel_id = w->dax[x].id;
		event.fault.uevent_seqnum = numbered ? w->seqnum : 0;
		world_step(w, &event);
		cr_assert_eq(w->effects.n_kills, 1);
		cr_assert_eq(w->processes[vm].kills, 1);
		world_run(w, 5 * WORLD_SECOND);
		cr_assert(w->processes[other].running);
		cr_assert_eq(world_region(w, "low").state, ISO_REGION_LIVE);
		world_free(w);
	}
}

/* Proves: an instance that lost its driver is lost; what is left of it is removed later. */
Test(engine_fault, instance_unbound)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->dax[w->processes[vm].maps[0]].bound = false;
	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 1);
	cr_assert(world_noted(w, "belongs to no lease: it will be removed"), "%s", w->trace);
	cr_assert_eq(world_lease(w, "web").state, ISO_LEASE_ACQUIRED, "and comes back");
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT - WORLD_PART);
	world_free(w);
}

/* Proves: a fault between acquire and attach voids the grant, and the launcher hears it. */
Test(engine_fault, grant_void)
{
	struct world *w = world_pair();

	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_surprise_down(w, 0);
	cr_assert_eq(w->effects.n_kills, 0);
	cr_assert_eq(world_attach(w, "web"), ISO_NONE);
	cr_assert_eq(world_reply(w, w->request - 1), ISO_REPLY_GRANT_VOID);
	world_acquire(w, "web", "low", WORLD_PART);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_neq(world_attach(w, "web"), ISO_NONE, "%s", w->trace);
	world_run(w, WORLD_SECOND);
	cr_assert_not(world_incident(w, 1).open);
	world_free(w);
}

/* Proves: a fault at any moment of a preparation ends well: waits again, is granted in the end. */
Test(engine_fault, while_preparing)
{
	uint64_t ms;

	for (ms = 0; ms < 90; ms += 3) {
		struct world *w = world_pair();
		struct iso_acquire impatient = {.name = "db", .uid = 1, .n_parts = 1};
		uint64_t request = world_acquire(w, "web", "low", WORLD_PART), second;

		strcpy(impatient.parts[0].region, "low");
		impatient.parts[0].bytes = WORLD_PART;
		second = world_acquire_terms(w, &impatient);
		world_run(w, ms * WORLD_MS);
		world_surprise_down(w, 0);
		world_run(w, 10 * WORLD_SECOND);
		cr_assert_eq(world_reply(w, request), ISO_REPLY_DONE, "%d ms\n%s", (int)ms,
			     w->trace);
		cr_assert_neq(world_reply(w, second), -1, "who does not wait hears an answer");
		world_free(w);
	}
}

/* Proves: nobody is on it: a fault kills nobody, capacity comes back, the incident closes. */
Test(engine_fault, nobody_there)
{
	struct world *w = world_pair();

	world_surprise_down(w, 1);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(w->n_kills, 0);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	cr_assert_not(world_incident(w, 1).open);
	cr_assert_eq(world_incident(w, 1).capacity_after_bytes, 2 * WORLD_UNIT);
	cr_assert(world_noted(w, "recovered: hb0/01.0: recovered"));
	world_free(w);
}

/* Proves: a fault at an address nobody knows changes nothing but makes us look. */
Test(engine_fault, unknown_unit)
{
	struct world *w = world_pair();
	uint32_t looked = w->n_effects[ISO_EFFECT_OBSERVE];
	struct iso_event event;

	port_fault(w, 0, &event);
	event.fault.address.bus = 0xfe;
	world_step(w, &event);
	event.fault.unit_kind = ISO_UNIT_MEMDEV_SERIAL;
	event.fault.serial = 0xdead;
	world_step(w, &event);
	event.fault.unit_kind = ISO_UNIT_INSTANCE;
	event.fault.region_kernel_id = event.fault.kernel_id = 77;
	world_step(w, &event);
	event.fault.unit_kind = 99;
	world_step(w, &event);
	world_run(w, WORLD_SECOND);
	cr_assert_gt(w->n_effects[ISO_EFFECT_OBSERVE], looked);
	cr_assert_eq(iso_incident_count(w->engine), 0);
	world_free(w);
}

/* Proves: while the kernel may still reset the device nothing is made; a word of it shortens the wait. */
Test(engine_fault, settling)
{
	struct world *w = world_pair();

	world_fault_port(w, 1, ISO_CAUSE_SURPRISE_DOWN); /* and the memdev stays as it is */
	world_run(w, 2 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LOST, "without a word it is 3 s");
	world_run(w, 3 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	world_surprise_down(w, 1); /* tells after 100 ms */
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	world_free(w);
}

/* Proves: an error at the memdev's own function takes that memdev. */
Test(engine_fault, at_the_memdev)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
	struct iso_event event;

	port_fault(w, 0, &event);
	event.fault.address = w->seen_memdevs[0].address;
	event.fault.cause = ISO_CAUSE_FATAL_ERROR;
	kernel_surprise_down(w, 0);
	world_step(w, &event);
	cr_assert_eq(w->processes[vm].kills, 1);
	cr_assert_str_eq(world_incident(w, 1).unit, "hb0/00.0/00.0");
	world_free(w);
}

/* Proves: a device removed behind our back whose name another tenant gets costs the first its VM, not the second. */
Test(engine_fault, name_given_away)
{
	struct world *w = world_pair();
	uint32_t first = world_start_vm(w, "first", "low", WORLD_PART), second;
	uint32_t id = w->dax[w->processes[first].maps[0]].id;

	w->no_uevents = true;
	w->dax[w->processes[first].maps[0]].exists = false;
	second = world_start_vm(w, "second", "low", WORLD_PART);
	cr_assert_eq(w->dax[w->processes[second].maps[0]].id, id);
	cr_assert_eq(w->processes[first].kills, 1);
	world_run(w, 10 * WORLD_SECOND);
	cr_assert_eq(w->processes[second].kills, 0);
	cr_assert(w->dax[w->processes[second].maps[0]].exists);
	world_free(w);
}

/* Proves: memory of a managed region that became System RAM is told, and its VM is not left on it. */
Test(engine_fault, system_ram)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
	struct world_picture *picture;
	struct iso_event event = {0};
	struct iso_observed_instance *seen;
	uint32_t i;

	picture = kernel_picture(w);
	kernel_picture_event(picture, &event);
	seen = (struct iso_observed_instance *)event.snapshot.instances;
	for (i = 0; i < event.snapshot.n_instances; i++)
		if (seen[i].bytes)
			seen[i].driver = ISO_DAX_KMEM;
	w->dax[w->processes[vm].maps[0]].bound = false;
	world_step(w, &event);
	cr_assert(world_noted(w,
			      "guard: dax0.1 of region low was given to the kernel as System RAM"));
	cr_assert_eq(w->processes[vm].kills, 1);
	free(picture);
	world_free(w);
}

/* Proves: incidents that are over make room; the numbers go on. */
Test(engine_fault, many_incidents)
{
	struct world *w = world_pair();
	uint32_t i;

	for (i = 0; i < 20; i++) {
		world_surprise_down(w, 1);
		world_run(w, 2 * WORLD_SECOND);
	}
	cr_assert_eq(iso_incident_count(w->engine), 16);
	cr_assert_not(world_incident(w, 20).open);
	cr_assert_eq(world_incident(w, 5).id, 5);
	world_free(w);
}

/* Proves: an orphan that goes by itself is forgotten. */
Test(engine_fault, orphan_goes_by_itself)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);

	w->stored.n_leases = 0;
	w->processes[vm].is_vm = false; /* nobody's VM: it keeps the orphan */
	world_restart(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT - WORLD_PART);
	w->dax[w->processes[vm].maps[0]].exists = false;
	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert_eq(world_region(w, "low").free_bytes, WORLD_UNIT);
	world_free(w);
}
