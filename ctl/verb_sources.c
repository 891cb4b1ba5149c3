/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sources, health */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "units.h"
#include "verb.h"

enum { EXIT_DEGRADED = 10, EXIT_FAILING = 11 };

static uint64_t boottime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void cell_ago(struct libscols_line *line, size_t column, uint64_t at_ns)
{
	uint64_t now = boottime_ns();
	char text[UNITS_TIME_BYTES];

	if (at_ns)
		format_cell(line, column, units_format_time(now > at_ns ? now - at_ns : 0, text));
}

static void show_words(sd_json_variant *source)
{
	const char *why = format_text(source, "why"), *without = format_text(source, "without");

	printf("%s\n  tells: %s\n  cannot tell: %s\n", format_text(source, "name"),
	       format_text(source, "tells"), format_text(source, "cannot"));
	if (format_has(source, "cannotHere"))
		printf("  nor on this host: %s\n", format_text(source, "cannotHere"));
	if (*why)
		printf("  %s: %s\n", format_text(source, "state"), why);
	if (*without)
		printf("  without it: %s\n", without);
}

static void show_sources(sd_json_variant *reply)
{
	static const char *const columns[] = {"SOURCE",     "STATE",    ">LAST EVENT",
					      ">LAST READ", ">RECORDS", ">LOST",
					      ">GAPS",      ">LAG",     ">PAGES"};
	struct libscols_table *table = format_table(columns, 9);
	sd_json_variant *source;

	FORMAT_EACH(source, format_list(reply, "sources"))
	{
		struct libscols_line *line = format_line(table, NULL);
		char text[UNITS_TIME_BYTES];

		format_cell(line, 0, format_text(source, "name"));
		format_cell(line, 1, format_text(source, "state"));
		cell_ago(line, 2, format_number(source, "lastEventNs"));
		cell_ago(line, 3, format_number(source, "lastReadNs"));
		format_cell_number(line, 4, format_number(source, "records"));
		format_cell_number(line, 5, format_number(source, "lost"));
		format_cell_number(line, 6, format_number(source, "gaps"));
		if (format_has(source, "lagNs"))
			format_cell(line, 7,
				    units_format_time(format_number(source, "lagNs"), text));
		if (format_has(source, "roomPages")) {
			snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu64,
				 format_number(source, "waitingPages"),
				 format_number(source, "roomPages"));
			format_cell(line, 8, text);
		}
	}
	format_print(table, "There are no sources.");
	printf("Waiting for the database: %" PRIu64 "\n", format_number(reply, "storeQueued"));
	FORMAT_EACH(source, format_list(reply, "sources"))
	show_words(source);
}

int verb_sources(struct context *context, int argc, char *argv[])
{
	return verb_ask_and_show(context, argc, argv, CLIENT_METHOD("ListSources"), show_sources);
}

static void show_health(sd_json_variant *reply)
{
	static const char *const columns[] = {"SCOPE", "UNIT", "HEALTH", "WHY"};
	struct libscols_table *table = format_table(columns, 4);
	const char *waits = format_text(reply, "recoveryWaits");
	sd_json_variant *verdict;

	FORMAT_EACH(verdict, format_list(reply, "verdicts"))
	{
		struct libscols_line *line = format_line(table, NULL);

		format_cell(line, 0, format_text(verdict, "scope"));
		format_cell(line, 1, format_text(verdict, "unit"));
		format_cell(line, 2, format_text(verdict, "state"));
		format_cell(line, 3, format_text(verdict, "reasons"));
	}
	format_print(table, "Nothing has a verdict.");
	if (*waits)
		printf("Nothing that was lost is made again by itself: %s\n", waits);
}

static int health_exit_code(sd_json_variant *reply)
{
	const char *state = format_text(reply, "state");

	if (!strcmp(state, "ok"))
		return CLIENT_OK;
	return strcmp(state, "failing") ? EXIT_DEGRADED : EXIT_FAILING;
}

int verb_health(struct context *context, int argc, char *argv[])
{
	enum { EXIT_CODE = 256 };
	static const struct option own[] = {{"exit-code", no_argument, NULL, EXIT_CODE}, {0}};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	bool use_exit_code = false;
	int option, status;

	while ((option = verb_option(context, argc, argv, own)) >= 0) {
		if (option != EXIT_CODE)
			return CLIENT_USAGE;
		use_exit_code = true;
	}
	if (!verb_arguments(argc, argv, 0, 0))
		return CLIENT_USAGE;
	status = verb_ask(context, CLIENT_METHOD("GetHealth"), NULL, &reply);
	if (status != CLIENT_OK)
		return status;
	if (sd_json_format_enabled(context->json))
		verb_print_json(context, reply);
	else
		show_health(reply);
	return use_exit_code ? health_exit_code(reply) : CLIENT_OK;
}
