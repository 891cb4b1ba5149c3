/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMs that pin their memory, over the API: the caller's word is checked, what
 * is known is shown everywhere, a process is looked at before it is attached;
 * and what the answers quote of processes is fit for JSON and terminals.
 */
#include <criterion/criterion.h>

#include <string.h>
#include <unistd.h>

#include "control_client.h"
#include "control_internal.h"

/* What a caller says of pins is checked before the engine sees it. */
Test(control_pins, acquire_takes_the_words_for_pins_only)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *leases = NULL, *status = NULL;
	struct steps steps;
	struct fixture f;

	setup(&f);
#define PINNING_WISH(words)                                                                        \
	"{\"name\":\"a\",\"uid\":1,\"gid\":1,\"parts\":[{\"size\":67108864}]," words "}"
	expect_error(&f, CLIENT_METHOD("Acquire"), PINNING_WISH("\"pins\":[\"glue\"]"),
		     "InvalidParameter");
	expect_error(&f, CLIENT_METHOD("Acquire"), PINNING_WISH("\"pins\":[1]"),
		     "InvalidParameter");
	expect_error(&f, CLIENT_METHOD("Acquire"), PINNING_WISH("\"pins\":\"vfio\""),
		     "InvalidParameter");
	expect_error(&f, CLIENT_METHOD("Acquire"),
		     PINNING_WISH("\"pins\":[\"vfio\"],\"evidence\":\"-device vfio-pci\""),
		     "Pinning");
	acquire(&f, PINNING_WISH("\"pins\":[],\"evidence\":\"none\""), &steps);
	leases = expect_reply(&f, CLIENT_METHOD("ListLeases"), "{}");
	cr_assert_eq(sd_json_variant_elements(
			     get(sd_json_variant_by_index(get(leases, "leases"), 0), "pins")),
		     0);
	status = expect_reply(&f, CLIENT_METHOD("GetStatus"), "{}");
	cr_assert_not(sd_json_variant_boolean(get(status, "hostMayPanic")));
	cr_assert_eq(sd_json_variant_unsigned(get(status, "leasesPinning")), 0);
	cr_assert_eq(sd_json_variant_unsigned(get(status, "strangers")), 0);
	teardown(&f);
}

/* A VM that was admitted with consent, and pins. */
static struct world *pinning_world(void)
{
	struct world *world = plain_world();

	world->policy.host_may_panic = true;
	world_restart(world);
	world_run(world, WORLD_SECOND);
	world->next_pins = ISO_PIN_DIRECT_IO | ISO_PIN_VFIO;
	cr_assert_neq(world_start_vm(world, "web", "low", WORLD_PART), ISO_NONE);
	return world;
}

Test(control_pins, a_vm_that_pins_is_shown_everywhere)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *leases = NULL, *status = NULL,
							  *what_if = NULL;
	sd_json_variant *lease, *vm;
	struct fixture f;

	serve_world = pinning_world;
	setup(&f);
	leases = expect_reply(&f, CLIENT_METHOD("ListLeases"), "{}");
	lease = sd_json_variant_by_index(get(leases, "leases"), 0);
	cr_assert_eq(sd_json_variant_elements(get(lease, "pins")), 2);
	cr_assert_str_eq(text(lease, "evidence"), "fd 12: O_DIRECT /x");
	status = expect_reply(&f, CLIENT_METHOD("GetStatus"), "{}");
	cr_assert_eq(sd_json_variant_unsigned(get(status, "leasesPinning")), 1);
	cr_assert(sd_json_variant_boolean(get(status, "hostMayPanic")));
	cr_assert_str_eq(text(status, "state"), "healthy", "with consent it is no fault");
	what_if = expect_reply(&f, CLIENT_METHOD("WhatIf"), "{\"unit\":\"0x10\"}");
	cr_assert_eq(sd_json_variant_unsigned(get(what_if, "pinning")), 1);
	cr_assert_str_eq(text(what_if, "hazard"),
			 "the host may panic: VM web pins its memory: fd 12: O_DIRECT /x");
	vm = sd_json_variant_by_index(get(what_if, "vms"), 0);
	cr_assert_eq(sd_json_variant_elements(get(vm, "pins")), 2);
	teardown(&f);
}

/* Found by the timer, without consent, and with a stranger: the host is degraded. */
static struct world *endangered_world(void)
{
	struct world *world = plain_world();
	uint32_t vm;

	world->policy.inspect_ns = WORLD_SECOND;
	world_restart(world);
	world_run(world, WORLD_SECOND);
	vm = world_start_vm(world, "web", "low", WORLD_PART);
	world->processes[vm].pins = ISO_PIN_DIRECT_IO;
	world_run(world, 3 * WORLD_SECOND);
	return world;
}

Test(control_pins, pins_without_consent_degrade)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *status = NULL;
	struct fixture f;

	serve_world = endangered_world;
	setup(&f);
	status = expect_reply(&f, CLIENT_METHOD("GetStatus"), "{}");
	cr_assert_eq(sd_json_variant_unsigned(get(status, "leasesPinning")), 1);
	cr_assert_not(sd_json_variant_boolean(get(status, "hostMayPanic")));
	cr_assert_str_eq(text(status, "state"), "degraded");
	teardown(&f);
}

/* To look at the process that attaches takes long. */
static struct world *slow_world(void)
{
	struct world *world = plain_world();

	world_plan(world, ISO_EFFECT_INSPECT)->late_ns = 10 * WORLD_SECOND;
	return world;
}

static bool is_attached(struct fixture *f)
{
	_cleanup_(sd_json_variant_unrefp)
		sd_json_variant *leases = expect_reply(f, CLIENT_METHOD("ListLeases"), "{}");

	return !strcmp(text(sd_json_variant_by_index(get(leases, "leases"), 0), "state"),
		       "attached");
}

/* Proves: who asks while the process is looked at is told to wait, and the answer outlives the asker's patience. */
Test(control_pins, attach_takes_its_time)
{
	sd_json_variant *parameters = NULL;
	struct client_failure failure = {0};
	struct steps steps;
	struct fixture f;
	sd_varlink *link;

	serve_world = slow_world;
	setup(&f);
	acquire(&f, WISH("a", 67108864), &steps);
	link = join(&f);
	cr_assert_geq(sd_json_parse("{\"name\":\"a\"}", 0, &parameters, NULL, NULL), 0);
	cr_assert_geq(sd_varlink_observe(link, CLIENT_METHOD("Attach"), parameters), 0);
	sd_varlink_flush(link);
	for (int i = 0; i < 100 && failure.status != CLIENT_REFUSED; i++) {
		cr_assert_not(is_attached(&f));
		attach(&f, "a", -1, &failure);
	}
	cr_assert_str_eq(failure.error, "NameInUse", "%s", failure.text);
	sd_varlink_close_unref(link);
	for (int i = 0; i < 300 && !is_attached(&f); i++)
		usleep(10000);
	cr_assert_eq(attach(&f, "a", -1, &failure), CLIENT_OK, "%s", failure.text);
	sd_json_variant_unref(parameters);
	teardown(&f);
}

/* Names of files and processes may hold anything; an answer that quotes them must still be one. */
Test(control_pins, text_from_elsewhere_is_made_fit_for_json_and_terminals)
{
	char text[16];

	cr_assert_str_eq(control_text(text, sizeof(text), "a\xff\xc3"), "a??");
	cr_assert_str_eq(control_text(text, sizeof(text), "\033[2J\n\x7f"), "?[2J??");
	cr_assert_str_eq(control_text(text, sizeof(text), "\xc3\xbc\xe2\x82\xac"),
			 "\xc3\xbc\xe2\x82\xac");
	cr_assert_str_eq(control_text(text, 3, "a\xc3\xbc"), "a?", "cut within a character");
	cr_assert_str_eq(control_text(text, sizeof(text), ""), "");
}
