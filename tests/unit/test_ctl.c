/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * daxmgrctl's verbs against a server with a simulated world: what they print,
 * their exit status, that nothing destructive happens unasked; and what is
 * common with daxmgr-qemu.
 */
#include "ctl_run.h"

#include "cleanup.h"
#include "format.h"
#include "units.h"
#include "wish.h"

Test(ctl, shows_a_healthy_host)
{
	struct fixture f;
	struct run run;

	setup(&f);
	RUN(&f, &run, "status", "--exit-code");
	expect(&run, CLIENT_OK, "2 of 2 live");
	RUN(&f, &run, "topology");
	expect(&run, CLIENT_OK, "low");
	expect(&run, CLIENT_OK, "0x11");
	RUN(&f, &run, "region list");
	expect(&run, CLIENT_OK, "256M");
	RUN(&f, &run, "vm list");
	expect(&run, CLIENT_OK, "There are no leases.");
	RUN(&f, &run, "workers");
	expect(&run, CLIENT_OK, "down_write");
	RUN(&f, &run, "incidents");
	expect(&run, CLIENT_OK, "surprise-down");
	RUN(&f, &run, "incidents", "7");
	expect(&run, CLIENT_OK, "SIGKILL to a");
	expect(&run, CLIENT_OK, "+0.000000 s");
	RUN(&f, &run, "incidents", "8");
	expect(&run, CLIENT_NOT_FOUND, "no incident");
	RUN(&f, &run, "events", "--limit", "3");
	expect(&run, CLIENT_OK, "aer_event");
	RUN(&f, &run, "what-if", "0x10");
	expect(&run, CLIENT_OK, "No VM is killed");
	teardown(&f);
}

Test(ctl, json_is_the_reply_as_it_is)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	struct fixture f;
	struct run run;

	setup(&f);
	RUN(&f, &run, "region list", "--json=short");
	cr_assert_eq(run.status, CLIENT_OK);
	cr_assert_geq(sd_json_parse(run.out, 0, &reply, NULL, NULL), 0, "%s", run.out);
	cr_assert_eq(sd_json_variant_elements(sd_json_variant_by_key(reply, "regions")), 2);
	cr_assert(!strchr(run.out, '\n') || strchr(run.out, '\n')[1] == '\0');
	RUN(&f, &run, "region list", "--json");
	cr_assert(strstr(run.out, "\n\t"), "pretty by default: %s", run.out);
	RUN(&f, &run, "region list", "--json=off");
	expect(&run, CLIENT_OK, "NAME");
	RUN(&f, &run, "region list", "--json=blue");
	expect(&run, CLIENT_USAGE, "pretty, short or off");
	teardown(&f);
}

Test(ctl, a_lease_from_acquire_to_release)
{
	struct fixture f;
	struct run run;

	setup(&f);
	RUN(&f, &run, "vm acquire", "web", "--size", "64M@low", "--size", "32M", "--uid", "1",
	    "--qemu", "--wait");
	expect(&run, CLIENT_OK,
	       "-object memory-backend-file,id=mem0,mem-path=/dev/daxmgr/vm/web/mem0,size=67108864,align=2M,"
	       "share=on,prealloc=off -object memory-backend-file,id=mem1,");
	RUN(&f, &run, "vm list");
	expect(&run, CLIENT_OK, "acquired");
	RUN(&f, &run, "vm show", "web");
	expect(&run, CLIENT_OK, "/dev/daxmgr/vm/web/mem1");
	RUN(&f, &run, "vm show", "nobody");
	expect(&run, CLIENT_NOT_FOUND, "nobody");
	RUN(&f, &run, "vm acquire", "big", "--size", "1G");
	expect(&run, CLIENT_REFUSED, "big");
	RUN(&f, &run, "vm release", "web", "--dry-run");
	expect(&run, CLIENT_OK, "web");
	RUN(&f, &run, "vm release", "web");
	expect(&run, CLIENT_USAGE, "--yes");
	RUN(&f, &run, "vm list");
	expect(&run, CLIENT_OK, "web");
	RUN(&f, &run, "vm release", "web", "--yes");
	expect(&run, CLIENT_OK, "released");
	teardown(&f);
}

Test(ctl, nothing_is_destroyed_unasked)
{
	struct fixture f;
	struct run run;

	setup(&f);
	RUN(&f, &run, "region destroy", "low");
	expect(&run, CLIENT_USAGE, "--yes");
	RUN(&f, &run, "region destroy", "low", "--dry-run", "--yes");
	expect(&run, CLIENT_OK, "Region low");
	RUN(&f, &run, "region list");
	expect(&run, CLIENT_OK, "low");
	RUN(&f, &run, "region destroy", "nowhere", "--yes");
	expect(&run, CLIENT_NOT_FOUND, "nowhere");
	RUN(&f, &run, "isolate", "0000:00:00.0", "--yes");
	expect(&run, CLIENT_NOT_FOUND, "is no port");
	RUN(&f, &run, "isolate", "hb0/00.0", "--dry-run");
	cr_assert_neq(run.status, CLIENT_UNREACHABLE);
	RUN(&f, &run, "region create", "third", "0x99");
	expect(&run, CLIENT_OK, "third");
	teardown(&f);
}

/* Whom an eviction would kill is said before it is asked for. */
Test(ctl, eviction_and_the_doctor_name_who_stands_above)
{
	struct fixture f;
	struct run run;

	setup(&f);
	RUN(&f, &run, "recover", "hb0/00.0", "--evict", "--dry-run");
	expect(&run, CLIENT_OK, "nobody would be killed");
	RUN(&f, &run, "doctor");
	cr_assert(run.status == 0 || run.status == 1, "%d %s", run.status, run.err);
	cr_assert(!strstr(run.out, "hb0/"), "%s", run.out);
	RUN(&f, &run, "vm acquire", "web", "--size", "64M@high");
	expect(&run, CLIENT_OK, "web");
	RUN(&f, &run, "recover", "hb0/00.0", "--evict", "--dry-run");
	expect(&run, CLIENT_OK, "would be killed:\n  web");
	RUN(&f, &run, "recover", "hb0/00.0", "--evict");
	expect(&run, CLIENT_USAGE, "--yes");
	RUN(&f, &run, "isolate", "hb0/00.0", "--evict");
	expect(&run, CLIENT_USAGE, "evict");
	RUN(&f, &run, "doctor");
	expect(&run, 1,
	       "decoder-order hb0/00.0: if it is lost, its regions wait for VMs above them: web");
	RUN(&f, &run, "doctor", "--json=short");
	expect(&run, 1, "\"findings\":[");
	RUN(&f, &run, "recover", "hb0/00.0", "--evict", "--yes");
	expect(&run, CLIENT_OK, "hb0/00.0");
	teardown(&f);
}

static struct world *endangered_world(void)
{
	struct world *world = plain_world();

	world->policy.host_may_panic = true;
	world->policy.inspect_ns = WORLD_SECOND;
	world_restart(world);
	world_run(world, WORLD_SECOND);
	world->next_pins = ISO_PIN_DIRECT_IO;
	world_start_vm(world, "web", "low", WORLD_PART);
	world_run(world, 3 * WORLD_SECOND);
	return world;
}

Test(ctl, pins_are_shown)
{
	struct fixture f;
	struct run run;

	serve_world = endangered_world;
	setup(&f);
	RUN(&f, &run, "vm list");
	expect(&run, CLIENT_OK, "direct-io");
	RUN(&f, &run, "vm show", "web");
	expect(&run, CLIENT_OK,
	       "pins      direct-io: fd 12: O_DIRECT /x: when its port is lost, the host may panic");
	RUN(&f, &run, "status");
	expect(&run, CLIENT_OK,
	       "host may panic: yes ([Pins] HostMayPanic=yes); VMs that pin their memory: 1");
	RUN(&f, &run, "topology");
	expect(&run, CLIENT_OK, ", pins: direct-io");
	RUN(&f, &run, "what-if", "0x10");
	expect(&run, CLIENT_OK, "the host may panic: VM web pins its memory: fd 12: O_DIRECT /x");
	RUN(&f, &run, "doctor");
	expect(&run, 1, "pins web: pins its memory: direct-io (fd 12: O_DIRECT /x). Consequence:");
	expect(&run, 1, "consent host: ");
	teardown(&f);
}

Test(ctl, mistakes_are_usage_errors)
{
	struct fixture f = {.socket = "/nowhere/socket"};
	struct run run;

	RUN(&f, &run, "status");
	expect(&run, CLIENT_UNREACHABLE, "cannot reach daxmgrd at /nowhere/socket");
	RUN(&f, &run, "status", "more");
	expect(&run, CLIENT_USAGE, "unexpected argument 'more'");
	RUN(&f, &run, "what-if");
	expect(&run, CLIENT_USAGE, "an argument is missing");
	RUN(&f, &run, "vm acquire", "a");
	expect(&run, CLIENT_USAGE, "--size");
	RUN(&f, &run, "vm acquire", "a", "--size", "3M");
	expect(&run, CLIENT_USAGE, "multiple");
	RUN(&f, &run, "vm acquire", "a/b", "--size", "4M");
	expect(&run, CLIENT_USAGE, "a/b");
	RUN(&f, &run, "vm acquire", "a", "--size", "4M", "--user", "no-such-user-here");
	expect(&run, CLIENT_USAGE, "no such user");
	RUN(&f, &run, "vm acquire", "a", "--size", "4M", "--pins", "glue");
	expect(&run, CLIENT_USAGE, "glue: the kinds are direct-io");
	RUN(&f, &run, "events", "--limit", "many");
	expect(&run, CLIENT_USAGE, "not a number");
	RUN(&f, &run, "region create", "r", "0x10", "--size", "big");
	expect(&run, CLIENT_USAGE, "not a size");
	RUN(&f, &run, "status", "--yes");
	expect(&run, CLIENT_USAGE, "yes");
}

Test(ctl, wishes)
{
	char object[WISH_QEMU_BYTES];
	struct wish wish;

	wish_init(&wish);
	cr_assert_null(wish_add_size(&wish, "2G@left"));
	cr_assert_eq(wish.parts[0].bytes, UINT64_C(2) << 30);
	cr_assert_str_eq(wish.parts[0].region, "left");
	cr_assert(wish_add_size(&wish, "2G@"));
	cr_assert(wish_add_size(&wish, "@left"));
	cr_assert(wish_add_size(&wish, "0"));
	cr_assert(wish_add_size(&wish, "99999999999999999999999999999999999999M"));
	cr_assert_eq((int)WISH_PARTS_MAX, (int)ISO_LEASE_PARTS_MAX, "the daemon refuses more");
	for (int i = 1; i < WISH_PARTS_MAX; i++)
		cr_assert_null(wish_add_size(&wish, "4M"));
	cr_assert(wish_add_size(&wish, "4M"), "one too many");
	cr_assert(wish_set_align(&wish, "4K"));
	cr_assert_null(wish_set_align(&wish, "1G"));
	cr_assert_null(wish_set_name(&wish, "vm.a-1_b"));
	cr_assert(wish_set_name(&wish, "-a"));
	cr_assert(wish_set_name(&wish, "a,b"), "a comma would end the path in QEMU's option");
	cr_assert(wish_check(&wish), "4M is no multiple of 1G");
	cr_assert_null(wish_add_pins(&wish, "vfio"));
	cr_assert_null(wish_add_pins(&wish, "direct-io"));
	cr_assert_eq(wish.pins, ISO_PIN_VFIO | ISO_PIN_DIRECT_IO);
	cr_assert(wish_add_pins(&wish, "direct-io,vfio"), "one word each");
	cr_assert_null(wish_set_user(&wish, "0"));
	cr_assert_eq(wish.uid, 0);
	cr_assert_null(wish_set_user(&wish, "4000000"));
	cr_assert_eq(wish.gid, 4000000);
	cr_assert(wish_set_user(&wish, "4294967295"));
	wish_format_qemu("a", 3, UINT64_C(1) << 30, UINT64_C(1) << 30, object);
	cr_assert_str_eq(
		object,
		"memory-backend-file,id=mem3,mem-path=/dev/daxmgr/vm/a/mem3,size=1073741824,"
		"align=1G,share=on,prealloc=off");
}

Test(ctl, moments)
{
	char text[FORMAT_TIME_BYTES];

	cr_assert_str_eq(format_since(0, 5, text), "-");
	cr_assert_str_eq(format_since(1500000000, 500000000, text), "+1.000000 s");
	cr_assert_str_eq(format_since(1, 1000000001, text), "-1.000000 s");
}

static struct world *held_world(void)
{
	struct iso_event event = {.kind = ISO_EVENT_HOLD, .hold = "the database was damaged"};
	struct world *world = plain_world();

	world_step(world, &event);
	return world;
}

/* Proves: what lost leases mean is shown and ended, by nobody but a person who was asked. */
Test(ctl, confirm_ends_the_hold)
{
	struct fixture f;
	struct run run;

	serve_world = held_world;
	setup(&f);
	RUN(&f, &run, "status", "--exit-code");
	expect(&run, 10,
	       "NOTHING IS HANDED OUT until 'daxmgrctl confirm': the database was damaged");
	RUN(&f, &run, "vm acquire", "web", "--size", "64M");
	expect(&run, CLIENT_REFUSED, "nothing is handed out now");
	RUN(&f, &run, "confirm");
	expect(&run, CLIENT_USAGE, "No VM is known to run.");
	RUN(&f, &run, "confirm", "--dry-run", "--yes");
	expect(&run, CLIENT_OK, "Nothing is handed out: the database was damaged");
	RUN(&f, &run, "confirm", "now", "--yes");
	expect(&run, CLIENT_USAGE, "");
	RUN(&f, &run, "status");
	expect(&run, CLIENT_OK, "NOTHING IS HANDED OUT");
	RUN(&f, &run, "confirm", "--yes");
	expect(&run, CLIENT_OK, "Confirmed: memory is handed out again.");
	RUN(&f, &run, "confirm", "--yes");
	expect(&run, CLIENT_OK, "There was nothing to do.");
	RUN(&f, &run, "status", "--exit-code");
	expect(&run, CLIENT_OK, "healthy");
	RUN(&f, &run, "vm acquire", "web", "--size", "64M");
	expect(&run, CLIENT_OK, "");
	teardown(&f);
}

static struct world *locked_down_world(void)
{
	struct iso_event event = {.kind = ISO_EVENT_ISOLATION_SEEN};
	struct world *world = plain_world();

	event.isolation_seen.address = world->ports[1].address;
	event.isolation_seen.isolation.source = ISO_ISOLATION_LOCKED;
	world_step(world, &event);
	return world;
}

/* Proves: a port that cannot be read is not said to be disarmed, and scripts notice. */
Test(ctl, disarming_what_cannot_be_read_is_an_error)
{
	struct fixture f;
	struct run run;

	serve_world = locked_down_world;
	setup(&f);
	RUN(&f, &run, "port disarm", "hb0/00.0", "--yes");
	expect(&run, CLIENT_OK, "hb0/00.0: it is so already.");
	RUN(&f, &run, "port disarm", "hb0/01.0", "--dry-run");
	expect(&run, CLIENT_FAILURE, "hb0/01.0: it is not known whether it is armed.");
	RUN(&f, &run, "port disarm", "hb0/01.0", "--yes");
	expect(&run, CLIENT_FAILURE, "it is disarmed once that can be read.");
	RUN(&f, &run, "port disarm", "hb0/01.0", "--yes", "--json=short");
	expect(&run, CLIENT_FAILURE, "\"outcome\":\"unknown\"");
	teardown(&f);
}
