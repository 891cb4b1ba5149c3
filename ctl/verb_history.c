/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* incidents */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "decisions.h"
#include "units.h"
#include "verb.h"

bool verb_number(const char *text, uint64_t most, uint64_t *ret)
{
	return strspn(text, "0123456789") == strlen(text) && units_parse_size(text, ret) == 0 &&
	       *ret <= most;
}

static void show_incidents(sd_json_variant *incidents)
{
	static const char *const columns[] = {">ID",   "WHEN",    "CAUSE",      "UNIT",
					      "STATE", ">KILLED", ">CONTAINED", ">RECOVERED"};
	struct libscols_table *table = format_table(columns, 8);
	sd_json_variant *incident;
	char text[FORMAT_TIME_BYTES];

	FORMAT_EACH(incident, incidents)
	{
		struct libscols_line *line = format_line(table, NULL);
		uint64_t start = format_number(incident, "recordNs");

		format_cell_number(line, 0, format_number(incident, "id"));
		format_cell(line, 1, format_realtime(format_number(incident, "realtimeUs"), text));
		snprintf(text, sizeof(text), "%s%s", format_text(incident, "cause"),
			 format_flag(incident, "synthetic") ? " (synthetic)" : "");
		format_cell(line, 2, text);
		format_cell(line, 3, format_text(incident, "unit"));
		format_cell(line, 4, format_flag(incident, "open") ? "open" : "closed");
		format_cell_number(line, 5, format_number(incident, "killed"));
		format_cell(line, 6,
			    format_since(format_number(incident, "containedNs"), start, text));
		format_cell(line, 7,
			    format_since(format_number(incident, "recoveredNs"), start, text));
	}
	format_print(table, "There are no incidents.");
}

static void show_victims(sd_json_variant *incident)
{
	uint64_t start = format_number(incident, "recordNs");
	sd_json_variant *victim;
	char killed[FORMAT_TIME_BYTES], exited[FORMAT_TIME_BYTES];

	FORMAT_EACH(victim, format_list(incident, "victims"))
	printf("  victim %s (process %" PRIu64 "): killed %s, gone %s\n",
	       format_text(victim, "name"), format_number(victim, "pid"),
	       format_since(format_number(victim, "killedNs"), start, killed),
	       format_since(format_number(victim, "exitedNs"), start, exited));
}

static void show_incident(sd_json_variant *incident)
{
	uint64_t start = format_number(incident, "recordNs");
	char text[FORMAT_TIME_BYTES], before[UNITS_SIZE_BYTES], after[UNITS_SIZE_BYTES];
	sd_json_variant *note;

	printf("Incident %" PRIu64 ": %s at %s, %s, %s\n", format_number(incident, "id"),
	       format_text(incident, "cause"), format_text(incident, "unit"),
	       format_realtime(format_number(incident, "realtimeUs"), text),
	       format_flag(incident, "open") ? "open" : "closed");
	if (format_flag(incident, "synthetic"))
		puts("  synthetic: its first record was injected");
	printf("  detected  %s\n",
	       format_since(format_number(incident, "detectedNs"), start, text));
	printf("  contained %s\n",
	       format_since(format_number(incident, "containedNs"), start, text));
	printf("  recovered %s\n",
	       format_since(format_number(incident, "recoveredNs"), start, text));
	printf("  capacity  %s before",
	       units_format_size(format_number(incident, "capacityBeforeBytes"), before));
	if (format_has(incident, "capacityAfterBytes"))
		printf(", %s after",
		       units_format_size(format_number(incident, "capacityAfterBytes"), after));
	printf("\n  records   %" PRIu64 "\n", format_number(incident, "records"));
	show_victims(incident);
	puts("\nTimeline, from the kernel's timestamp of the first record:");
	FORMAT_EACH(note, format_list(incident, "timeline"))
	printf("  %15s  %-10s %s\n", format_since(format_number(note, "atNs"), start, text),
	       format_text(note, "kind"), format_text(note, "text"));
}

static int show_decisions(const struct context *context, sd_json_variant *incident)
{
	struct decisions decisions = {0};
	bool complete = decisions_add(&decisions, incident);
	int r = 0;

	if (complete && sd_json_format_enabled(context->json)) {
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *lines = NULL;

		r = sd_json_variant_new_array(&lines, NULL, 0);
		for (size_t i = 0; r >= 0 && i < decisions.n; i++) {
			_cleanup_(sd_json_variant_unrefp) sd_json_variant *line = NULL;

			r = sd_json_variant_new_string(&line, decisions.lines[i]);
			if (r >= 0)
				r = sd_json_variant_append_array(&lines, line);
		}
		if (r >= 0)
			verb_print_json(context, lines);
	} else if (complete) {
		for (size_t i = 0; i < decisions.n; i++)
			puts(decisions.lines[i]);
	}
	decisions_clear(&decisions);
	return complete && r >= 0 ? (int)CLIENT_OK : verb_out_of_memory();
}

/* Of one incident: what its timeline decided. */
static int ask_decisions(struct context *context, sd_json_variant *parameters)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	int status = verb_ask(context, CLIENT_METHOD("ListIncidents"), parameters, &reply);

	if (status != CLIENT_OK)
		return status;
	return show_decisions(context,
			      sd_json_variant_by_index(format_list(reply, "incidents"), 0));
}

int verb_incidents(struct context *context, int argc, char *argv[])
{
	enum { LIMIT = 256, LATENCY, DECISIONS };
	static const struct option own[] = {{"limit", required_argument, NULL, LIMIT},
					    {"latency", no_argument, NULL, LATENCY},
					    {"decisions", no_argument, NULL, DECISIONS},
					    {0}};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *parameters = NULL;
	uint64_t id = 0, limit = 100;
	bool latency = false, decisions = false, has_limit = false;
	int option, status;

	while ((option = verb_option(context, argc, argv, own)) >= 0) {
		latency |= option == LATENCY;
		decisions |= option == DECISIONS;
		has_limit |= option == LIMIT;
		if (option == LIMIT && !verb_number(optarg, UINT32_MAX, &limit))
			return verb_usage_error("'%s' is not a number", optarg);
		if (option == '?')
			return CLIENT_USAGE;
	}
	if (!verb_arguments(argc, argv, 0, 1))
		return CLIENT_USAGE;
	if (optind < argc && (!verb_number(argv[optind], INT64_MAX, &id) || !id))
		return verb_usage_error("'%s' is not the number of an incident", argv[optind]);
	if (latency && !has_limit) /* all that are kept */
		limit = 10000;
	if (decisions && !id)
		return verb_usage_error("--decisions is of one incident: say which");
	if (sd_json_buildo(&parameters,
			   SD_JSON_BUILD_PAIR_CONDITION(id != 0, "id", SD_JSON_BUILD_UNSIGNED(id)),
			   SD_JSON_BUILD_PAIR_UNSIGNED("limit", limit)) < 0)
		return verb_out_of_memory();
	if (decisions)
		return ask_decisions(context, parameters);
	status = verb_call(context, CLIENT_METHOD("ListIncidents"), parameters, &reply);
	if (reply && latency)
		return verb_show_latency(format_list(reply, "incidents"));
	if (reply && id)
		show_incident(sd_json_variant_by_index(format_list(reply, "incidents"), 0));
	else if (reply)
		show_incidents(format_list(reply, "incidents"));
	return status;
}
