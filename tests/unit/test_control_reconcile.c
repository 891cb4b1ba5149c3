/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reconcile() as a client and a person see it: daxmgrctl's verb against a server with a simulated world. */
#include "control_client.h"

#include <fcntl.h>
#include <getopt.h>
#include <sys/pidfd.h>

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

static int run_words(struct fixture *f, const char *name, int argc, char *argv[], char *out,
		     size_t room)
{
	struct context context = {.socket = f->socket, .json = SD_JSON_FORMAT_OFF};
	FILE *file = tmpfile();
	int old = dup(1), old_err = dup(2), old_in = dup(0), null = open("/dev/null", O_RDONLY);
	int status;
	size_t n;

	for (const struct verb *verb = verbs; verb->name; verb++)
		if (!strcmp(verb->name, name))
			context.verb = verb;
	optind = 0;
	fflush(stdout);
	dup2(fileno(file), 1);
	dup2(fileno(file), 2);
	dup2(null, 0);
	status = context.verb->run(&context, argc, argv);
	fflush(stdout);
	dup2(old, 1);
	dup2(old_err, 2);
	dup2(old_in, 0);
	close(old);
	close(old_err);
	close(old_in);
	close(null);
	rewind(file);
	n = fread(out, 1, room - 1, file);
	out[n] = '\0';
	fclose(file);
	return status;
}

static int run_verb(struct fixture *f, const char *option, const char *other, char *out,
		    size_t room)
{
	char *argv[4] = {(char *)"reconcile", (char *)option, (char *)other};

	return run_words(f, "reconcile", 1 + !!option + !!other, argv, out, room);
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

/* On "low" an instance by hand that the process of the test maps, as the engine has seen. */
static struct world *hand_world(void)
{
	struct world *world = odd_world();
	struct world_process *process = &world->processes[world->n_processes++];

	*process = (struct world_process){
		.pid = getppid(), .name = "hand", .running = true, .n_maps = 1, .maps = {0}};
	kernel_plug(world, 1);
	world->no_uevents = false;
	world_changed(world);
	world_run(world, 2 * WORLD_SECOND);
	return world;
}

static enum client_status adopt(struct fixture *f, const char *name, const char *device, int pidfd,
				struct client_failure *failure)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL, *reply = NULL;
	_cleanup_(client_close) sd_varlink *link = join(f);
	int index = sd_varlink_push_dup_fd(link, pidfd);

	*failure = (struct client_failure){0};
	cr_assert_geq(sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("name", name),
				     SD_JSON_BUILD_PAIR_STRING("device", device),
				     SD_JSON_BUILD_PAIR_INTEGER("pidfd", index)),
		      0);
	return client_call(link, CLIENT_METHOD("Adopt"), parameters, &reply, failure);
}

/* Proves: whose process it may be, and what is refused, is said by name. */
Test(control_reconcile, adopt_refuses)
{
	_cleanup_close_ int self = pidfd_open(getpid(), 0), init = pidfd_open(1, 0);
	_cleanup_close_ int null = open("/dev/null", O_RDONLY);
	struct client_failure failure;
	struct fixture f;

	serve_world = hand_world;
	setup(&f);
	expect_error(&f, CLIENT_METHOD("Adopt"),
		     "{\"name\":\"hand\",\"device\":\"dax0.9\",\"pidfd\":0}", "Refused");
	adopt(&f, "../x", "dax0.9", self, &failure);
	cr_assert_str_eq(failure.error, "BadName");
	adopt(&f, "hand", "dax0.9x", self, &failure);
	cr_assert_str_eq(failure.error, "NoSuchUnit");
	adopt(&f, "hand", "dax0.9", init, &failure);
	cr_assert_str_eq(failure.error, "Refused");
	adopt(&f, "hand", "dax0.9", null, &failure);
	cr_assert_str_eq(failure.error, "Refused");
	adopt(&f, "hand", "dax0.8", self, &failure);
	cr_assert_str_eq(failure.error, "NotAdoptable");
	teardown(&f);
}

/* Proves: the verb names the process, asks, and makes a VM of it; a dry run does not. */
Test(control_reconcile, adopt_verb)
{
	char *dry[] = {(char *)"adopt", (char *)"hand", (char *)"dax0.9", (char *)"--dry-run",
		       NULL};
	char *json[] = {(char *)"adopt",     (char *)"hand",         (char *)"dax0.9",
			(char *)"--dry-run", (char *)"--json=short", NULL};
	char *yes[] = {(char *)"adopt", (char *)"hand", (char *)"dax0.9", (char *)"--yes", NULL};
	char *odd[] = {(char *)"adopt", (char *)"hand", (char *)"dax0.8", (char *)"--yes", NULL};
	char out[8192], pid[64];
	struct fixture f;

	serve_world = hand_world;
	setup(&f);
	snprintf(pid, sizeof(pid), "is mapped by process %d (", (int)getpid());
	cr_assert_eq(run_verb(&f, "--dry-run", NULL, out, sizeof(out)), CLIENT_OK);
	cr_assert(strstr(out, "'daxmgrctl vm adopt NAME dax0.9' makes that a VM"), "%s", out);
	cr_assert_eq(run_words(&f, "vm adopt", 4, dry, out, sizeof(out)), CLIENT_OK, "%s", out);
	cr_assert(strstr(out, pid), "%s", out);
	cr_assert_eq(run_words(&f, "vm adopt", 5, json, out, sizeof(out)), CLIENT_OK, "%s", out);
	cr_assert(out[0] == '{' && strstr(out, "\"device\":\"dax0.9\""), "%s", out);
	cr_assert_eq(run_words(&f, "vm adopt", 3, dry, out, sizeof(out)), CLIENT_USAGE);
	cr_assert_eq(run_words(&f, "vm adopt", 4, odd, out, sizeof(out)), CLIENT_NOT_FOUND);
	cr_assert_eq(run_words(&f, "vm adopt", 4, yes, out, sizeof(out)), CLIENT_OK, "%s", out);
	cr_assert(strstr(out, "hand: adopted, process "), "%s", out);
	cr_assert_eq(run_words(&f, "vm adopt", 4, yes, out, sizeof(out)), CLIENT_NOT_FOUND);
	cr_assert(strstr(out, "dax0.9 belongs to VM hand"), "%s", out);
	teardown(&f);
}
