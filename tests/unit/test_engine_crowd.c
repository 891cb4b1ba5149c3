/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* As many VMs as the daemon's tables hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "state.h"

/* One region below one port, and so many VMs that run on it. */
struct crowd {
	struct iso_limits limits;
	struct iso_observed_port port;
	struct iso_observed_instance *seen;
	struct iso_engine *engine;
	unsigned char *memory;
	size_t bytes;
};

static void crowd_restore(struct crowd *crowd, uint32_t n)
{
	struct iso_restore_lease lease = {
		.state = ISO_LEASE_ATTACHED, .has_process = true, .n_parts = 1};
	struct iso_event event = {
		.kind = ISO_EVENT_RESTORE_LEASE, .now_ns = 1, .restore_lease = &lease};
	uint32_t i;

	crowd->seen = calloc(n, sizeof(*crowd->seen));
	for (i = 0; i < n; i++) {
		snprintf(lease.terms.name, sizeof(lease.terms.name), "vm%u", i);
		lease.pid = 1000 + (int32_t)i;
		lease.sequence = i + 1;
		lease.terms.restart = true;
		strcpy(lease.parts[0].region, "all");
		lease.parts[0].kernel_id = i + 1;
		lease.parts[0].bytes = 2 << 20;
		iso_step(crowd->engine, &event);
		crowd->seen[i] = (struct iso_observed_instance){
			.kernel_id = i + 1, .bytes = 2 << 20, .driver = ISO_DAX_DEVICE_DAX};
	}
}

static void crowd_observe(struct crowd *crowd, uint32_t n)
{
	struct iso_observed_host_bridge bridge = {"hb0"};
	struct iso_observed_memdev memdev = {.path = "hb0/00.0/00.0",
					     .name = "mem0",
					     .serial = 1,
					     .volatile_bytes = 1ull << 40,
					     .bound = true};
	struct iso_observed_region region = {.range = {{1ull << 40}, 1ull << 40},
					     .ways = 1,
					     .targets = {{.serial = 1, .present = true}},
					     .committed = true,
					     .bound = true,
					     .has_dax = true};
	struct iso_event event = {.kind = ISO_EVENT_SNAPSHOT, .now_ns = 1};

	event.snapshot = (struct iso_snapshot){
		&bridge, &crowd->port, &memdev, NULL, &region, crowd->seen, 1, 1, 1, 0, 1, n, 1};
	iso_step(crowd->engine, &event);
	cr_assert_null(iso_check(crowd->engine), "%s", iso_check(crowd->engine));
}

/* The engine's memory holds what was there before: nothing relies on zeroes. */
static void crowd_new(struct crowd *crowd)
{
	struct iso_event event = {.kind = ISO_EVENT_REGION_DEFINE, .now_ns = 1};
	struct iso_policy policy;

	*crowd = (struct crowd){.port = {"hb0/00.0", {0, 1, 0, 0, 1}, 0, 0, ISO_NONE, false}};
	iso_limits_default(&crowd->limits);
	iso_policy_default(&policy);
	crowd->bytes = iso_engine_bytes(&crowd->limits);
	crowd->memory = aligned_alloc(64, crowd->bytes);
	memset(crowd->memory, 0xa5, crowd->bytes);
	crowd->engine = iso_engine_init(crowd->memory, crowd->bytes, &crowd->limits, &policy);
	strcpy(event.define.definition.name, "all");
	event.define.definition.ways = 1;
	event.define.definition.serials[0] = 1;
	iso_step(crowd->engine, &event);
}

static struct iso_effects crowd_lose(struct crowd *crowd)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT, .now_ns = 1};

	event.fault = (struct iso_fault){.address = crowd->port.address};
	return iso_step(crowd->engine, &event);
}

static void crowd_free(struct crowd *crowd)
{
	free(crowd->seen);
	free(crowd->memory);
}

/* Blocks of 64 bytes that are not as they were before the engine was built in them. */
static size_t crowd_touched(const struct crowd *crowd)
{
	size_t i, n = 0;

	for (i = 0; i < crowd->bytes / 64; i++) {
		const unsigned char *block = crowd->memory + 64 * i;

		n += block[0] != 0xa5 || memcmp(block, block + 1, 63) != 0;
	}
	return n;
}

/* Proves: at the capacities of the daemon one fault kills every VM in one step, and all is told and stored. */
Test(engine_crowd, every_vm_at_once)
{
	struct crowd crowd;
	struct iso_effects effects;
	uint32_t i, notes = 0, saves = 0;

	crowd_new(&crowd);
	crowd_restore(&crowd, crowd.limits.leases);
	crowd_observe(&crowd, crowd.limits.leases);
	effects = crowd_lose(&crowd);
	cr_assert_eq(effects.n_kills, crowd.limits.leases);
	for (i = 0; i < effects.n_others; i++) {
		notes += effects.others[i].kind == ISO_EFFECT_NOTE &&
			 effects.others[i].note == ISO_NOTE_KILL &&
			 effects.others[i].text[0] == 'v';
		saves += effects.others[i].kind == ISO_EFFECT_SAVE_LEASE;
	}
	cr_assert_eq(saves, crowd.limits.leases);
	cr_assert_eq(notes, crowd.limits.leases);
	cr_assert_null(iso_check(crowd.engine), "%s", iso_check(crowd.engine));
	crowd_free(&crowd);
}

/*
 * Proves: tables for thousands take memory as they are used, and a step that
 * kills touches nothing that was not touched before.
 */
Test(engine_crowd, memory_is_taken_before_a_kill)
{
	const uint32_t n = 100;
	struct crowd crowd;
	size_t before;

	crowd_new(&crowd);
	crowd_restore(&crowd, n);
	crowd_observe(&crowd, n);
	before = crowd_touched(&crowd);
	cr_assert_lt(before, crowd.bytes / 64 / 6);
	cr_assert_eq(crowd_lose(&crowd).n_kills, n);
	cr_assert_eq(crowd_touched(&crowd), before);
	crowd_free(&crowd);
}
