/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* confirm */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "verb.h"

/* Every instance with its lease: what has none may be removed afterwards. */
static void show_observed(sd_json_variant *topology)
{
	sd_json_variant *lease, *instance;
	uint64_t n = 0;

	FORMAT_EACH(lease, format_list(topology, "leases"))
	if (format_has(lease, "pid")) {
		printf("VM %s runs as process %" PRIu64 " and keeps its memory.\n",
		       format_text(lease, "name"), format_number(lease, "pid"));
		n++;
	}
	if (!n)
		puts("No VM is known to run.");
	FORMAT_EACH(instance, format_list(topology, "instances"))
	if (!format_has(instance, "lease"))
		printf("%s belongs to no lease: it is removed as soon as no process maps it.\n",
		       format_text(instance, "device"));
}

static int ask(struct context *context, bool *ret_go_on)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *status = NULL, *topology = NULL;
	const char *hold;
	int r;

	*ret_go_on = false;
	if ((r = verb_ask(context, CLIENT_METHOD("GetStatus"), NULL, &status)) != CLIENT_OK ||
	    (r = verb_ask(context, CLIENT_METHOD("GetTopology"), NULL, &topology)) != CLIENT_OK)
		return r;
	hold = format_text(status, "hold");
	if (sd_json_format_enabled(context->json) && context->dry_run) {
		verb_print_json(context, topology);
	} else if (!context->yes || context->dry_run) {
		printf("%s%s\n", *hold ? "Nothing is handed out: " : "Nothing is held.", hold);
		if (*hold)
			show_observed(topology);
	}
	fflush(stdout);
	if (context->dry_run)
		return CLIENT_OK;
	if (*hold && !verb_confirm(context, "Is that all, and may memory be handed out again?"))
		return CLIENT_USAGE;
	*ret_go_on = true;
	return CLIENT_OK;
}

int verb_confirm_observed(struct context *context, int argc, char *argv[])
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	bool go_on;
	int status;

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 0, 0))
		return CLIENT_USAGE;
	status = ask(context, &go_on);
	if (!go_on)
		return status;
	status = verb_call(context, CLIENT_METHOD("Confirm"), NULL, &reply);
	if (reply && !strcmp(format_text(reply, "outcome"), "already"))
		puts("There was nothing to do.");
	else if (reply)
		puts("Confirmed: memory is handed out again.");
	return status;
}
