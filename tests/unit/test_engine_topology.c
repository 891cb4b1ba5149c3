/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Topology, domains, definitions, and what the view functions show of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include <isolate/reconcile.h>

#include "world.h"

static uint32_t domain_of(const struct world *w, uint32_t port)
{
	struct iso_port_view view;

	cr_assert(iso_port_get(w->engine, iso_port_find(w->engine, w->ports[port].path), &view));
	return view.domain;
}

/* Proves: root ports are domains of their own until a region joins them, and part when it goes. */
Test(engine_topology, domains)
{
	struct world *w = world_new();
	uint32_t bridges[2];

	bridges[0] = world_simple_bridge(w, 2, 0x10);
	bridges[1] = world_simple_bridge(w, 2, 0x20);
	world_window(w, 8, 2, bridges);
	world_define_one(w, "a", 0x10);
	world_run(w, WORLD_SECOND);
	cr_assert_neq(domain_of(w, 1), domain_of(w, 3));
	world_define(w, "wide", 2, (uint64_t[]){0x11, 0x21});
	cr_assert_eq(domain_of(w, 1), domain_of(w, 3));
	cr_assert_neq(domain_of(w, 0), domain_of(w, 1));
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "wide").domain, domain_of(w, 3));
	cr_assert_eq(world_region(w, "wide").window_kernel_id, 2);
	world_named(w, ISO_EVENT_REGION_DESTROY, "wide");
	world_run(w, WORLD_SECOND);
	cr_assert_eq(iso_region_find(w->engine, "wide"), ISO_NONE);
	cr_assert_neq(domain_of(w, 1), domain_of(w, 3));
	world_free(w);
}

/* Proves: what hangs below a switch belongs to the domain of its root port; parents are shown. */
Test(engine_topology, below_a_switch)
{
	struct world *w = world_new();
	uint32_t bridge = world_bridge(w), root, upstream, down;
	struct iso_memdev_view memdev;
	struct iso_port_view port;

	root = world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE);
	upstream = world_port(w, ISO_PORT_SWITCH_UPSTREAM, bridge, root);
	down = world_port(w, ISO_PORT_SWITCH_DOWNSTREAM, bridge, upstream);
	world_memdev(w, down, 0x42);
	world_changed(w);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(domain_of(w, down), domain_of(w, root));
	cr_assert(iso_port_get(w->engine, iso_port_find(w->engine, "hb0/00.0/00.0/00.0"), &port));
	cr_assert_eq(port.kind, ISO_PORT_SWITCH_DOWNSTREAM);
	cr_assert_eq(port.parent, iso_port_find(w->engine, "hb0/00.0/00.0"));
	cr_assert(port.present);
	cr_assert(iso_memdev_get(w->engine, iso_memdev_find(w->engine, "66"), &memdev));
	cr_assert_eq(memdev.serial, 0x42);
	cr_assert_eq(memdev.port, iso_port_find(w->engine, "hb0/00.0/00.0/00.0"));
	cr_assert_eq(memdev.volatile_bytes, WORLD_UNIT);
	cr_assert(memdev.present && memdev.bound && !memdev.settling);
	world_free(w);
}

/* Proves: units are found by every name people use, and by nothing else. */
Test(engine_topology, finding)
{
	struct world *w = world_pair();
	char address[16];

	iso_pci_address_format(w->ports[1].address, address);
	cr_assert_eq(iso_port_find(w->engine, "hb0/01.0"), 1);
	cr_assert_eq(iso_port_find(w->engine, address), 1);
	cr_assert_eq(iso_port_find(w->engine, ""), ISO_NONE);
	cr_assert_eq(iso_port_find(w->engine, "hb0"), ISO_NONE);
	iso_pci_address_format(w->seen_memdevs[1].address, address);
	cr_assert_eq(iso_memdev_find(w->engine, "0x11"), 1);
	cr_assert_eq(iso_memdev_find(w->engine, "17"), 1);
	cr_assert_eq(iso_memdev_find(w->engine, "mem1"), 1);
	cr_assert_eq(iso_memdev_find(w->engine, "hb0/01.0/00.0"), 1);
	cr_assert_eq(iso_memdev_find(w->engine, address), 1);
	cr_assert_eq(iso_memdev_find(w->engine, ""), ISO_NONE);
	cr_assert_eq(iso_memdev_find(w->engine, "0x"), ISO_NONE);
	cr_assert_eq(iso_memdev_find(w->engine, "0x99"), ISO_NONE);
	cr_assert_eq(iso_region_find(w->engine, "lo"), ISO_NONE);
	cr_assert_eq(iso_lease_find(w->engine, ""), ISO_NONE);
	world_free(w);
}

/* Proves: getters say no to what is not there. */
Test(engine_topology, indices_out_of_range)
{
	struct world *w = world_pair();
	struct iso_host_bridge_view bridge;
	struct iso_port_view port;
	struct iso_memdev_view memdev;
	struct iso_region_view region;
	struct iso_instance_view instance;
	struct iso_lease_view lease;
	struct iso_incident_view incident;
	uint32_t i;

	for (i = 2; i != 1; i = i == 2 ? 1000000 : i == 1000000 ? ISO_NONE : 1) {
		cr_assert_not(iso_host_bridge_get(w->engine, i, &bridge));
		cr_assert_not(iso_port_get(w->engine, i, &port));
		cr_assert_not(iso_memdev_get(w->engine, i, &memdev));
		cr_assert_not(iso_region_get(w->engine, i, &region));
		cr_assert_not(iso_instance_get(w->engine, i, &instance));
		cr_assert_not(iso_lease_get(w->engine, i, &lease));
		cr_assert_not(iso_incident_get(w->engine, i, &incident));
		cr_assert_eq(iso_domain_state(w->engine, i), ISO_DOMAIN_UNKNOWN);
		cr_assert_str_empty(iso_domain_reason(w->engine, i));
	}
	cr_assert(iso_host_bridge_get(w->engine, 0, &bridge));
	cr_assert_str_eq(bridge.path, "hb0");
	cr_assert_eq(iso_host_bridge_count(w->engine), 1);
	cr_assert_eq(iso_port_count(w->engine), 2);
	cr_assert_eq(iso_memdev_count(w->engine), 2);
	cr_assert_eq(iso_region_count(w->engine), 2);
	cr_assert_eq(iso_capacity_bytes(w->engine), 2 * WORLD_UNIT);
	world_free(w);
}

/* Proves: definitions that make no sense are refused. */
Test(engine_topology, bad_definitions)
{
	struct world *w = world_pair();
	static const uint32_t granularities[] = {1, 128, 300, 32768};
	struct iso_event event = {.kind = ISO_EVENT_REGION_DEFINE};
	uint64_t serials[ISO_WAYS_MAX + 1];
	uint32_t i;

	for (i = 0; i <= ISO_WAYS_MAX; i++)
		serials[i] = 0x100 + i;
	cr_assert_eq(world_reply(w, world_define(w, "", 1, serials)), ISO_REPLY_BAD_REGION);
	cr_assert_eq(world_reply(w, world_define(w, "a b", 1, serials)), ISO_REPLY_BAD_REGION);
	cr_assert_eq(world_reply(w, world_define(w, "x", 0, serials)), ISO_REPLY_BAD_REGION);
	cr_assert_eq(world_reply(w, world_define(w, "x", 5, serials)), ISO_REPLY_BAD_REGION);
	cr_assert_eq(world_reply(w, world_define(w, "x", 32, serials)), ISO_REPLY_BAD_REGION);
	cr_assert_eq(world_reply(w, world_define(w, "x", 1, (uint64_t[]){0})),
		     ISO_REPLY_BAD_REGION);
	cr_assert_eq(world_reply(w, world_define(w, "x", 2, (uint64_t[]){7, 7})),
		     ISO_REPLY_BAD_REGION);
	for (i = 0; i < sizeof(granularities) / sizeof(granularities[0]); i++) {
		event.define.request = w->request++;
		strcpy(event.define.definition.name, "x");
		event.define.definition.ways = 1;
		event.define.definition.serials[0] = 0x100;
		event.define.definition.granularity = granularities[i];
		world_step(w, &event);
		cr_assert_eq(world_reply(w, event.define.request), ISO_REPLY_BAD_REGION);
	}
	cr_assert_eq(world_reply(w, world_define_one(w, "low", 0x10)), ISO_REPLY_ALREADY);
	cr_assert_eq(world_reply(w, world_define_one(w, "low", 0x77)), ISO_REPLY_NAME_IN_USE);
	world_free(w);
}

/* Proves: a region with leases is not destroyed; without it goes, and can be defined again. */
Test(engine_topology, define_and_destroy)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "high", WORLD_PART);

	cr_assert_eq(world_reply(w, world_named(w, ISO_EVENT_REGION_DESTROY, "high")),
		     ISO_REPLY_BUSY);
	cr_assert_eq(world_reply(w, world_named(w, ISO_EVENT_REGION_DESTROY, "nowhere")),
		     ISO_REPLY_NO_SUCH_NAME);
	world_exit(w, vm);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_reply(w, world_named(w, ISO_EVENT_REGION_DESTROY, "high")),
		     ISO_REPLY_DONE);
	world_define_one(w, "high", 0x11); /* changed their mind while it is cleared */
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	world_named(w, ISO_EVENT_REGION_DESTROY, "high");
	world_run(w, WORLD_SECOND);
	cr_assert_eq(iso_region_find(w->engine, "high"), ISO_NONE);
	cr_assert_eq(world_reply(w, world_define_one(w, "again", 0x11)), ISO_REPLY_DONE);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "again").state, ISO_REGION_LIVE);
	world_free(w);
}

/* Proves: a region waits for a memdev that was never seen, for one that shares a serial, for a window. */
Test(engine_topology, what_a_region_waits_for)
{
	struct world *w = world_new();
	uint32_t bridge = world_bridge(w);

	world_memdev(w, world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE), 0x10);
	world_memdev(w, world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE), 0x11);
	world_memdev(w, world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE), 0x11);
	world_define_one(w, "windowless", 0x10);
	world_define_one(w, "twins", 0x11);
	world_define_one(w, "absent", 0x12);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "windowless").wait, ISO_WAIT_WINDOW);
	cr_assert_str_eq(world_reason(w, 0), "no window reaches the memdevs of region windowless");
	cr_assert_eq(world_region(w, "twins").wait, ISO_WAIT_MEMDEV);
	cr_assert(strstr(world_reason(w, 1), "shares its serial with another device"));
	cr_assert_eq(world_region(w, "absent").wait, ISO_WAIT_MEMDEV);
	cr_assert_eq(world_region(w, "absent").domain, ISO_NONE);
	world_free(w);
}

/* Proves: a second device with a serial in use does not move tenants out of the blast radius of the first. */
Test(engine_topology, serial_shows_up_twice)
{
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART), twin;

	twin = world_memdev(w, world_port(w, ISO_PORT_ROOT, 0, ISO_NONE), 0x10);
	world_changed(w);
	world_run(w, WORLD_SECOND);
	cr_assert(w->processes[vm].running);
	world_fault_port(w, 2, ISO_CAUSE_SURPRISE_DOWN);
	cr_assert_eq(w->processes[vm].kills, 0);
	w->memdevs[twin].plugged = false;
	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(w->processes[vm].running);
	world_fault_port(w, 0, ISO_CAUSE_SURPRISE_DOWN);
	w->objects[w->dax[w->processes[vm].maps[0]].object].condemned = true;
	cr_assert_eq(w->processes[vm].kills, 1);
	w->broken[0] = '\0'; /* the world's kernel has lost nothing: the record alone said so */
	world_free(w);
}

/* Proves: a memdev found elsewhere under the same serial is the same one; its region comes back there. */
Test(engine_topology, memdev_moves)
{
	struct world *w = world_pair();
	struct iso_memdev_view view;

	world_port(w, ISO_PORT_ROOT, 0, ISO_NONE);
	world_unplug(w, 1);
	world_run(w, WORLD_SECOND);
	w->seen_memdevs[1].port = 2;
	strcpy(w->seen_memdevs[1].path, "hb0/02.0/00.0");
	kernel_plug(w, 1);
	world_changed(w);
	world_run(w, 5 * WORLD_SECOND);
	cr_assert(iso_memdev_get(w->engine, iso_memdev_find(w->engine, "0x11"), &view));
	cr_assert_str_eq(view.path, "hb0/02.0/00.0");
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE);
	cr_assert_eq(world_region(w, "high").domain, domain_of(w, 2));
	world_free(w);
}

/* Proves: a host that lies (parents in a circle, indices out of range, too much of all) harms nobody. */
Test(engine_topology, nonsense_observed)
{
	struct iso_limits limits = {1, 3, 2, 1, 2, 2, 2, 16, 1, 12};
	struct iso_policy policy;
	struct world *w;
	uint32_t i;

	iso_policy_default(&policy);
	w = world_new_with(&limits, &policy);
	for (i = 0; i < 6; i++) {
		world_simple_bridge(w, 1, 0x10 + i);
		w->ports[i].parent = (i + 1) % 6;
	}
	w->ports[2].host_bridge = 4000;
	w->seen_memdevs[3].port = 5000;
	w->windows[0].ways = 99;
	w->windows[0].host_bridges[1] = 77;
	w->windows[0].range = (struct iso_hpa_range){{UINT64_MAX - 4096}, UINT64_MAX};
	world_define_one(w, "a", 0x10);
	world_define_one(w, "b", 0x11);
	world_run(w, 2 * WORLD_SECOND);
	cr_assert(world_noted(w, "no room in the table"));
	for (i = 0; i < 6; i++)
		world_fault_port(w, i, ISO_CAUSE_LINK_DOWN);
	world_run(w, 2 * WORLD_SECOND);
	world_free(w);
}

/* Proves: names are letters, digits, dots, dashes and underscores, 64 at most. */
Test(engine_topology, names)
{
	char name[ISO_NAME_BYTES + 1];

	memset(name, 'a', sizeof(name));
	name[64] = '\0';
	cr_assert(iso_name_valid(name));
	name[64] = 'a';
	name[65] = '\0';
	cr_assert_not(iso_name_valid(name));
	cr_assert(iso_name_valid("A-1_b.c"));
	cr_assert_not(iso_name_valid(""));
	cr_assert_not(iso_name_valid("-a"));
	cr_assert_not(iso_name_valid("a/b"));
	cr_assert_not(iso_name_valid("a\nb"));
	cr_assert_not(iso_name_valid("\xc3\xa4"));
}

/* Proves: PCI addresses are read strictly and written as the kernel does. */
Test(engine_topology, pci_addresses)
{
	static const char *const bad[] = {"",
					  "0000:0c:00",
					  "0000:0c:00.8",
					  "0000:0c:20.0",
					  "0c:00.0",
					  "0000:0c:00.0 ",
					  "0000:0c:00.0.1",
					  "00000000000:0c:00.0",
					  "000g:0c:00.0"};
	struct iso_pci_address address = {0};
	char text[16];
	size_t i;

	cr_assert(iso_pci_address_parse("0001:0C:1f.7", &address));
	iso_pci_address_format(address, text);
	cr_assert_str_eq(text, "0001:0c:1f.7");
	cr_assert(iso_pci_address_parse("10000:e1:00.0", &address)); /* as VMD makes them */
	iso_pci_address_format(address, text);
	cr_assert_str_eq(text, "10000:e1:00.0");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_not(iso_pci_address_parse(bad[i], &address), "%s", bad[i]);
	address.known = 0;
	iso_pci_address_format(address, text);
	cr_assert_str_empty(text);
	cr_assert_not(iso_pci_address_equal(address, address));
}

/* Proves: every value has a name of its own, and no other value has one. */
Test(engine_topology, value_names)
{
	static const struct {
		const char *(*name)(uint32_t value);
		uint32_t n;
	} tables[] = {
		{iso_domain_state_name, ISO_DOMAIN_STATES},
		{iso_region_state_name, ISO_REGION_STATES},
		{iso_region_wait_name, ISO_WAIT_HEALTH + 1},
		{iso_instance_state_name, ISO_INSTANCE_STATES},
		{iso_lease_state_name, ISO_LEASE_STATES},
		{iso_reply_text, ISO_REPLY_REFUSED + 1},
		{iso_cause_name, ISO_CAUSE_POISON + 1},
		{iso_note_name, ISO_NOTE_POISON + 1},
		{iso_effect_name, ISO_EFFECT_KINDS},
		{iso_port_kind_name, ISO_PORT_SWITCH_DOWNSTREAM + 1},
		{iso_finding_name, ISO_FINDING_KINDS},
		{iso_remedy_name, ISO_REMEDIES},
	};
	uint32_t t, i, j;

	for (t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		cr_assert_str_eq(tables[t].name(tables[t].n), "unknown");
		for (i = 0; i < tables[t].n; i++)
			for (j = 0; j < i; j++)
				cr_assert_str_neq(tables[t].name(i), tables[t].name(j));
	}
}
