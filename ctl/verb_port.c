/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* port list, port show, port arm, port disarm */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "verb.h"

static const char *state_of(sd_json_variant *port)
{
	if (format_flag(port, "isolated"))
		return "isolated";
	if (!format_flag(port, "offered"))
		return format_text(port, "source");
	if (format_flag(port, "armed"))
		return format_flag(port, "wanted") ? "armed" : "armed, not wanted";
	return format_flag(port, "wanted") ? "to be armed" : "not armed";
}

static void show_ports(sd_json_variant *reply)
{
	static const char *const columns[] = {"PORT",    "ADDRESS", "STATE",
					      "TIMEOUT", "BY",      "DETAIL"};
	struct libscols_table *table = format_table(columns, 6);
	sd_json_variant *port;
	char text[600];

	FORMAT_EACH(port, format_list(reply, "ports"))
	{
		struct libscols_line *line = format_line(table, NULL);
		bool offered = format_flag(port, "offered");

		format_cell(line, 0, format_text(port, "path"));
		format_cell(line, 1, format_text(port, "address"));
		format_cell(line, 2, state_of(port));
		format_cell(line, 3, offered ? format_text(port, "range") : "");
		format_cell(line, 4, offered ? format_text(port, "source") : "");
		format_cell(line, 5,
			    *format_text(port, "reason")
				    ? format_text(port, "reason")
				    : format_words(offered ? format_list(port, "obstacles") : NULL,
						   " ", text, sizeof(text)));
	}
	format_print(table, "There are no root ports.");
}

int verb_port_list(struct context *context, int argc, char *argv[])
{
	return verb_ask_and_show(context, argc, argv, CLIENT_METHOD("ListPorts"), show_ports);
}

static void show_reasons(sd_json_variant *object)
{
	sd_json_variant *reason;

	FORMAT_EACH(reason, format_list(object, "reasons"))
	printf("  %s\n", sd_json_variant_string(reason));
}

static const char *ability(sd_json_variant *port, const char *offered, const char *enabled)
{
	return !format_flag(port, offered)  ? "not offered"
	       : format_flag(port, enabled) ? "enabled"
					    : "not enabled";
}

/* What it has besides, and what of that is on. */
static void show_signals(sd_json_variant *port)
{
	printf("ERR_COR:     %s\n", ability(port, "errCorOffered", "errCorEnabled"));
	printf("Interrupt:   %s", ability(port, "interruptOffered", "interruptEnabled"));
	if (format_flag(port, "interruptOffered"))
		printf(", message %" PRIu64, format_number(port, "interruptMessage"));
	putchar('\n');
}

static void show_one(sd_json_variant *port)
{
	char text[300];

	printf("%s  %s\n", format_text(port, "path"), format_text(port, "address"));
	printf("Isolation:   %s (%s)\n", state_of(port), format_text(port, "source"));
	if (!strcmp(format_text(port, "source"), "stand-in"))
		puts("             these registers are another function's, which configuration names for the port");
	if (format_flag(port, "offered")) {
		printf("Timeout:     %s, %s, offered: %s\n", format_text(port, "range"),
		       ability(port, "timeoutOffered", "timeoutEnabled"),
		       format_words(format_list(port, "ranges"), " ", text, sizeof(text)));
		printf("Link down:   %s\n", format_flag(port, "linkDownOffered")
						    ? "by the port itself when it isolates"
						    : "has to be forced");
		show_signals(port);
		printf("Registers:   capability 0x%08" PRIx64 " control 0x%08" PRIx64
		       " status 0x%08" PRIx64 "\n",
		       format_number(port, "capability"), format_number(port, "control"),
		       format_number(port, "status"));
	}
	printf("Wanted:      %s (%s), %s\n", format_flag(port, "wanted") ? "armed" : "not armed",
	       format_text(port, "wish"), format_text(port, "wantedRange"));
	if (format_flag(port, "isolated"))
		printf("Isolated:    its link %s\n",
		       format_flag(port, "linkWasDown") ? "was down" : "has not been down yet");
	if (*format_text(port, "usedBy"))
		printf("Used by:     region %s\n", format_text(port, "usedBy"));
	if (*format_text(port, "reason"))
		printf("Last:        %s\n", format_text(port, "reason"));
	if (sd_json_variant_elements(format_list(port, "reasons")))
		puts("Must not be armed, because");
	show_reasons(port);
}

int verb_port_show(struct context *context, int argc, char *argv[])
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *parameters, *port;
	int status;

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	parameters = verb_parameter("port", argv[optind]);
	if (!parameters)
		return verb_out_of_memory();
	status = verb_call(context, CLIENT_METHOD("ListPorts"), parameters, &reply);
	FORMAT_EACH(port, format_list(reply, "ports"))
	show_one(port);
	return status;
}

static int ask(struct context *context, const char *method, const char *port, const char *range)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *parameters;
	int status;

	if (sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("port", port),
			   SD_JSON_BUILD_PAIR_CONDITION(range != NULL, "range",
							SD_JSON_BUILD_STRING(range)),
			   SD_JSON_BUILD_PAIR_BOOLEAN("dryRun", context->dry_run)) < 0)
		return verb_out_of_memory();
	status = verb_ask(context, method, parameters, &reply);
	if (status != CLIENT_OK)
		return status;
	if (sd_json_format_enabled(context->json)) {
		verb_print_json(context, reply);
	} else {
		printf("%s: %s.\n", port, format_text(reply, "text"));
		show_reasons(reply);
	}
	return strcmp(format_text(reply, "outcome"), "unknown") ? CLIENT_OK : CLIENT_FAILURE;
}

int verb_port_arm(struct context *context, int argc, char *argv[])
{
	enum { RANGE = 256 };
	static const struct option own[] = {{"range", required_argument, NULL, RANGE}, {0}};
	const char *range = NULL;
	int option;

	while ((option = verb_option(context, argc, argv, own)) >= 0) {
		if (option != RANGE)
			return CLIENT_USAGE;
		range = optarg;
	}
	if (!verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	if (!context->dry_run &&
	    !verb_confirm(context, "Arm %s: isolation is enabled as soon as nothing uses it?",
			  argv[optind]))
		return CLIENT_USAGE;
	return ask(context, CLIENT_METHOD("ArmPort"), argv[optind], range);
}

int verb_port_disarm(struct context *context, int argc, char *argv[])
{
	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	if (!context->dry_run && !verb_confirm(context, "Disarm %s?", argv[optind]))
		return CLIENT_USAGE;
	return ask(context, CLIENT_METHOD("DisarmPort"), argv[optind], NULL);
}
