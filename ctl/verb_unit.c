/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* what-if, isolate, recover */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "verb.h"

static int what_if(struct context *context, const char *unit, sd_json_variant **ret_reply)
{
	sd_json_variant *parameters = verb_parameter("unit", unit);

	if (!parameters)
		return verb_out_of_memory();
	return verb_ask(context, CLIENT_METHOD("WhatIf"), parameters, ret_reply);
}

static int show_what_if(struct context *context, const char *unit)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	int status = what_if(context, unit, &reply);

	if (status != CLIENT_OK)
		return status;
	if (sd_json_format_enabled(context->json))
		verb_print_json(context, reply);
	else
		verb_show_what_if(reply);
	fflush(stdout);
	return CLIENT_OK;
}

int verb_what_if(struct context *context, int argc, char *argv[])
{
	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	return show_what_if(context, argv[optind]);
}

static int run(struct context *context, int argc, char *argv[], const char *method,
	       const char *question, const char *done)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *parameters;
	const char *port;
	int status;

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	port = argv[optind];
	/* With --json and --yes only the reply itself goes out. */
	if (!context->yes || context->dry_run) {
		status = show_what_if(context, port);
		if (status != CLIENT_OK || context->dry_run)
			return status;
	}
	if (!verb_confirm(context, question, port))
		return CLIENT_USAGE;
	parameters = verb_parameter("port", port);
	if (!parameters)
		return verb_out_of_memory();
	status = verb_call(context, method, parameters, &reply);
	if (reply && !strcmp(format_text(reply, "outcome"), "already"))
		printf("%s: there was nothing to do.\n", port);
	else if (reply)
		printf("%s: %s.\n", port, done);
	return status;
}

int verb_isolate(struct context *context, int argc, char *argv[])
{
	return run(context, argc, argv, CLIENT_METHOD("Isolate"), "Isolate %s and kill these VMs?",
		   "isolated; 'daxmgrctl recover' ends it");
}

int verb_recover(struct context *context, int argc, char *argv[])
{
	return run(context, argc, argv, CLIENT_METHOD("Recover"), "Recover %s?",
		   "recovery begins; 'daxmgrctl incidents' shows how it goes");
}
