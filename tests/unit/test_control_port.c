/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Root ports over the API: what they offer and have enabled, and what a dry run says. */
#include "control_client.h"

#include "isolation/registers.h"

enum { MESSAGE = 9 };

/* The first port isolates, and interrupts as well; the second has nothing. */
static struct world *offering_world(void)
{
	struct world *world = world_new();

	world_simple_bridge(world, 2, 0x10);
	world_offer_isolation(world, 0, true);
	world->isolation[0].capability |= ISOLATION_CONTROL_TIMEOUT | ISOLATION_CONTROL_ERR_COR |
					  ISOLATION_CONTROL_INTERRUPT | (uint32_t)MESSAGE << 27;
	world->isolation[0].control = ISOLATION_CONTROL_TIMEOUT;
	world_define_one(world, "low", 0x10);
	world_settle(world, 60 * WORLD_SECOND);
	return world;
}

static sd_json_variant *port_of(sd_json_variant *reply, unsigned int index)
{
	return sd_json_variant_by_index(get(reply, "ports"), index);
}

static bool flag(sd_json_variant *port, const char *key)
{
	return sd_json_variant_boolean(get(port, key));
}

/* Proves: each ability is shown, and apart from it whether it is on. */
Test(control_port, abilities)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *port;
	struct fixture f;

	serve_world = offering_world;
	setup(&f);
	reply = expect_reply(&f, CLIENT_METHOD("ListPorts"), "{}");
	port = port_of(reply, 0);
	cr_assert(flag(port, "timeoutOffered") && flag(port, "timeoutEnabled"));
	cr_assert(flag(port, "linkDownOffered") && !flag(port, "linkDownEnabled"));
	cr_assert(flag(port, "errCorOffered") && !flag(port, "errCorEnabled"));
	cr_assert(flag(port, "interruptOffered") && !flag(port, "interruptEnabled"));
	cr_assert_eq(sd_json_variant_unsigned(get(port, "interruptMessage")), MESSAGE);
	port = port_of(reply, 1);
	cr_assert_not(flag(port, "interruptOffered"));
	cr_assert_null(sd_json_variant_by_key(port, "interruptMessage"));
	teardown(&f);
}

static void would(struct fixture *f, const char *method, const char *port, const char *outcome,
		  const char *words)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	char parameters[64];

	snprintf(parameters, sizeof(parameters), "{\"port\":\"%s\",\"dryRun\":true}", port);
	reply = expect_reply(f, method, parameters);
	cr_assert_str_eq(text(reply, "outcome"), outcome, "%s %s", method, port);
	cr_assert_str_eq(text(reply, "text"), words, "%s %s", method, port);
}

/* Proves: a dry run says what the deed would. */
Test(control_port, dry_runs)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	struct fixture f;

	serve_world = offering_world;
	setup(&f);
	would(&f, CLIENT_METHOD("ArmPort"), "hb0/00.0", "waits",
	      "it would wait until it is quiesced");
	would(&f, CLIENT_METHOD("DisarmPort"), "hb0/00.0", "done", "it is so already");
	would(&f, CLIENT_METHOD("DisarmPort"), "hb0/01.0", "done", "it is so already");
	reply = expect_reply(&f, CLIENT_METHOD("ArmPort"),
			     "{\"port\":\"hb0/01.0\",\"dryRun\":true}");
	cr_assert_str_eq(text(reply, "outcome"), "refused");
	cr_assert_str_eq(
		sd_json_variant_string(sd_json_variant_by_index(get(reply, "obstacles"), 0)),
		"not-offered");
	teardown(&f);
}

/* The second port's registers are behind a lock. */
static struct world *locked_world(void)
{
	struct iso_event event = {.kind = ISO_EVENT_ISOLATION_SEEN};
	struct world *world = offering_world();

	event.isolation_seen.address = world->ports[1].address;
	event.isolation_seen.isolation.source = ISO_ISOLATION_LOCKED;
	world_step(world, &event);
	return world;
}

/* Proves: where it cannot be read whether a port is armed, neither yes nor no is said. */
Test(control_port, unknown)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL, *deed = NULL;
	struct fixture f;

	serve_world = locked_world;
	setup(&f);
	reply = expect_reply(&f, CLIENT_METHOD("ListPorts"), "{}");
	cr_assert_not_null(sd_json_variant_by_key(port_of(reply, 0), "armed"));
	cr_assert_null(sd_json_variant_by_key(port_of(reply, 1), "armed"));
	would(&f, CLIENT_METHOD("DisarmPort"), "hb0/01.0", "unknown",
	      "it is not known whether it is armed");
	deed = expect_reply(&f, CLIENT_METHOD("DisarmPort"), "{\"port\":\"hb0/01.0\"}");
	cr_assert_str_eq(text(deed, "outcome"), "unknown");
	cr_assert_str_eq(
		text(deed, "text"),
		"it is not known whether it is armed; it is disarmed once that can be read");
	teardown(&f);
}
