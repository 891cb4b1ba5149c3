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

/* What isolate and recover do differently. */
struct deed {
	const char *method;
	const char *question; /* a format that takes the port */
	const char *done;
	/* Says what it would do; `context->json` is heeded. */
	int (*show)(struct context *context, const char *port);
	bool evict;
};

static int run(struct context *context, const char *port, const struct deed *deed)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *parameters = NULL;
	int status;

	/* With --json and --yes only the reply itself goes out. */
	if (!context->yes || context->dry_run) {
		status = deed->show(context, port);
		if (status != CLIENT_OK || context->dry_run)
			return status;
	}
	if (!verb_confirm(context, deed->question, port))
		return CLIENT_USAGE;
	if (sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("port", port),
			   SD_JSON_BUILD_PAIR_CONDITION(deed->evict, "evict",
							SD_JSON_BUILD_BOOLEAN(true))) < 0)
		return verb_out_of_memory();
	status = verb_call(context, deed->method, parameters, &reply);
	if (reply && !strcmp(format_text(reply, "outcome"), "already"))
		printf("%s: there was nothing to do.\n", port);
	else if (reply)
		printf("%s: %s.\n", port, deed->done);
	return status;
}

int verb_isolate(struct context *context, int argc, char *argv[])
{
	static const struct deed isolate = {
		.method = CLIENT_METHOD("Isolate"),
		.question = "Isolate %s and kill these VMs?",
		.done = "isolated; 'daxmgrctl recover' ends it",
		.show = show_what_if,
	};

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	return run(context, argv[optind], &isolate);
}

/* Eviction kills others than a loss does: those that the lost regions would have to wait for. */
static int show_eviction(struct context *context, const char *port)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	int status = what_if(context, port, &reply);

	if (status != CLIENT_OK)
		return status;
	if (sd_json_format_enabled(context->json))
		verb_print_json(context, reply);
	else
		verb_show_eviction(reply);
	fflush(stdout);
	return CLIENT_OK;
}

int verb_recover(struct context *context, int argc, char *argv[])
{
	enum { EVICT = 256 };
	static const struct option own[] = {{"evict", no_argument, NULL, EVICT}, {0}};
	struct deed recover = {
		.method = CLIENT_METHOD("Recover"),
		.question = "Recover %s?",
		.done = "recovery begins; 'daxmgrctl incidents' shows how it goes",
		.show = show_what_if,
	};
	int option;

	while ((option = verb_option(context, argc, argv, own)) >= 0) {
		if (option != EVICT)
			return CLIENT_USAGE;
		recover.evict = true;
		recover.show = show_eviction;
		recover.question = "Recover %s and kill these VMs?";
	}
	if (!verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	return run(context, argv[optind], &recover);
}
