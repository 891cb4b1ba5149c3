/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reconcile() as a client and a person see it: daxmgrctl's verb against a server with a simulated world. */
#include "control_client.h"

#include <fcntl.h>
#include <getopt.h>

#include "verb.h"

/* On "low" an instance that somebody made by hand, and a device that has gone without a word. */
static struct world *odd_world(void)
{
	struct world *world = plain_world();

	world->no_uevents = true;
	world->dax[0] = (struct world_dax){.used = true,
					   .exists = true,
					   .bound = true,
					   .object = world_region(world, "low").kernel_id,
					   .id = 9,
					   .minor = 9,
					   .bytes = WORLD_PART};
	kernel_unplug(world, 1);
	return world;
}

static sd_json_variant *finding(sd_json_variant *reply, const char *kind)
{
	sd_json_variant *item, *found = NULL;

	FORMAT_EACH(item, get(reply, "findings"))
	if (!strcmp(text(item, "kind"), kind))
		found = item;
	cr_assert(found, "no finding %s", kind);
	return found;
}

/* Proves: a healthy host has no findings; who asks oddly is told so. */
Test(control_reconcile, healthy)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	struct client_failure failure;
	struct fixture f;

	setup(&f);
	reply = expect_reply(&f, CLIENT_METHOD("Reconcile"), "{}");
	cr_assert_eq(sd_json_variant_elements(get(reply, "findings")), 0);
	cr_assert_eq(format_number(reply, "omitted"), 0);
	cr_assert_null(ask(&f, CLIENT_METHOD("Reconcile"), "{\"dryRun\":3}", &failure));
	cr_assert_eq(failure.status, CLIENT_USAGE);
	teardown(&f);
}

/* Proves: a dry run finds, explains and changes nothing: the next one finds the same. */
Test(control_reconcile, dry_run)
{
	struct fixture f;

	serve_world = odd_world;
	setup(&f);
	for (int i = 0; i < 2; i++) {
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply =
			expect_reply(&f, CLIENT_METHOD("Reconcile"), "{\"dryRun\":true}");
		sd_json_variant *one = finding(reply, "instance-orphan");

		cr_assert_str_eq(text(one, "object"), "dax0.9");
		cr_assert_str_eq(text(one, "remedy"), "itself");
		cr_assert_not(format_has(one, "believed"));
		one = finding(reply, "memdev-gone");
		cr_assert_str_eq(text(one, "object"), "memdev 0x11");
		cr_assert(strstr(text(one, "believed"), " at hb0/"), "%s", text(one, "believed"));
		cr_assert(strstr(text(one, "action"), "region high"), "%s", text(one, "action"));
	}
	teardown(&f);
}

static int run_verb(struct fixture *f, const char *option, const char *other, char *out,
		    size_t room)
{
	char *argv[4] = {(char *)"reconcile", (char *)option, (char *)other};
	struct context context = {.socket = f->socket, .json = SD_JSON_FORMAT_OFF};
	FILE *file = tmpfile();
	int old = dup(1), old_err = dup(2), status, argc = 1 + !!option + !!other;
	size_t n;

	for (const struct verb *verb = verbs; verb->name; verb++)
		if (!strcmp(verb->name, "reconcile"))
			context.verb = verb;
	optind = 0;
	fflush(stdout);
	dup2(fileno(file), 1);
	dup2(fileno(file), 2);
	status = context.verb->run(&context, argc, argv);
	fflush(stdout);
	dup2(old, 1);
	dup2(old_err, 2);
	close(old);
	close(old_err);
	rewind(file);
	n = fread(out, 1, room - 1, file);
	out[n] = '\0';
	fclose(file);
	return status;
}

/* Proves: a person reads what is done by itself and what is left to do, and when there is nothing. */
Test(control_reconcile, verb)
{
	struct fixture f;
	char out[8192];

	serve_world = odd_world;
	setup(&f);
	cr_assert_eq(run_verb(&f, "--dry-run", NULL, out, sizeof(out)), CLIENT_OK, "%s", out);
	cr_assert(strstr(out, "The manager sets this right:\n"), "%s", out);
	cr_assert(strstr(out, "  dax0.9: 64 MiB that belong to no lease"), "%s", out);
	cr_assert_eq(run_verb(&f, "--dry-run", "--json=short", out, sizeof(out)), CLIENT_OK);
	cr_assert(strstr(out, "\"kind\":\"instance-orphan\""), "%s", out);
	cr_assert_eq(run_verb(&f, NULL, NULL, out, sizeof(out)), CLIENT_OK);
	cr_assert(strstr(out, "dax0.9: "), "%s", out);
	usleep(300000);
	cr_assert_eq(run_verb(&f, NULL, NULL, out, sizeof(out)), CLIENT_OK);
	cr_assert_not(strstr(out, "dax0.9: "), "it was removed\n%s", out);
	cr_assert(strstr(out, "This needs you:\n  memdev 0x11: "), "%s", out);
	cr_assert_eq(run_verb(&f, "now", NULL, out, sizeof(out)), CLIENT_USAGE);
	cr_assert_eq(run_verb(&f, "--yes", NULL, out, sizeof(out)), CLIENT_USAGE);
	teardown(&f);
	serve_world = plain_world;
	setup(&f);
	cr_assert_eq(run_verb(&f, NULL, NULL, out, sizeof(out)), CLIENT_OK);
	cr_assert_str_eq(out, "All is as it was believed to be.\n");
	teardown(&f);
}
