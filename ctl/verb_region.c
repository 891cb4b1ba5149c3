/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* region list, region create, region destroy */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "units.h"
#include "verb.h"

/* Why it is not there, or what is special about it. */
static void describe(sd_json_variant *region, char *text, size_t room)
{
	const char *reason = format_text(region, "reason"), *wait = format_text(region, "wait");
	uint64_t planned = format_number(region, "plannedBytes");
	char size[UNITS_SIZE_BYTES];
	int n;

	n = snprintf(text, room, "%s%s%s%s", *wait ? "waits for " : "", wait,
		     *wait && *reason ? ": " : "", reason);
	if (n >= 0 && (size_t)n < room && format_flag(region, "locked"))
		n += snprintf(text + n, room - (size_t)n, "%slocked by firmware", n ? "; " : "");
	if (n >= 0 && (size_t)n < room && planned && !format_number(region, "bytes"))
		snprintf(text + n, room - (size_t)n, "%swill have %s", n ? "; " : "",
			 units_format_size(planned, size));
}

static void show_regions(sd_json_variant *reply)
{
	static const char *const columns[] = {"NAME",    "STATE",  ">SIZE",  ">FREE", ">WAYS",
					      "MEMDEVS", "DEVICE", "DOMAIN", "DETAIL"};
	struct libscols_table *table = format_table(columns, 9);
	sd_json_variant *region;
	char text[400];

	FORMAT_EACH(region, format_list(reply, "regions"))
	{
		struct libscols_line *line = format_line(table, NULL);

		format_cell(line, 0, format_text(region, "name"));
		format_cell(line, 1, format_text(region, "state"));
		format_cell_size(line, 2, format_number(region, "bytes"));
		format_cell_size(line, 3, format_number(region, "freeBytes"));
		format_cell_number(line, 4, format_number(region, "ways"));
		format_cell(line, 5,
			    format_words(format_list(region, "memdevs"), " ", text, sizeof(text)));
		format_cell(line, 6, format_text(region, "device"));
		format_cell(line, 7, format_text(region, "domain"));
		describe(region, text, sizeof(text));
		format_cell(line, 8, text);
	}
	format_print(table, "There are no regions.");
}

int verb_region_list(struct context *context, int argc, char *argv[])
{
	return verb_ask_and_show(context, argc, argv, CLIENT_METHOD("ListRegions"), show_regions);
}

static int build_create(char *const arguments[], uint64_t granularity, uint64_t size,
			sd_json_variant **ret)
{
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_STRING("name", arguments[0]),
		SD_JSON_BUILD_PAIR_STRV("memdevs", (char **)arguments + 1),
		SD_JSON_BUILD_PAIR_CONDITION(granularity != 0, "granularity",
					     SD_JSON_BUILD_UNSIGNED(granularity)),
		SD_JSON_BUILD_PAIR_CONDITION(size != 0, "size", SD_JSON_BUILD_UNSIGNED(size)));
}

int verb_region_create(struct context *context, int argc, char *argv[])
{
	enum { GRANULARITY = 256, SIZE };
	static const struct option own[] = {{"granularity", required_argument, NULL, GRANULARITY},
					    {"size", required_argument, NULL, SIZE},
					    {0}};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *parameters, *region;
	uint64_t granularity = 0, size = 0;
	int option, status;

	while ((option = verb_option(context, argc, argv, own)) >= 0) {
		if (option == '?')
			return CLIENT_USAGE;
		if (units_parse_size(optarg, option == SIZE ? &size : &granularity) < 0)
			return verb_usage_error("'%s' is not a size such as 8K or 1G", optarg);
	}
	if (!verb_arguments(argc, argv, 2, 17))
		return CLIENT_USAGE;
	if (build_create(argv + optind, granularity, size, &parameters) < 0)
		return verb_out_of_memory();
	status = verb_call(context, CLIENT_METHOD("CreateRegion"), parameters, &reply);
	region = format_list(reply, "region");
	if (region)
		printf("Region %s is %s.\n", format_text(region, "name"),
		       format_text(region, "state"));
	return status;
}

/* What a person should know before the region goes. */
static int show_one(struct context *context, const char *name)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *region;
	char size[UNITS_SIZE_BYTES];
	int status;

	status = verb_ask(context, CLIENT_METHOD("ListRegions"), NULL, &reply);
	if (status != CLIENT_OK)
		return status;
	FORMAT_EACH(region, format_list(reply, "regions"))
	{
		if (strcmp(format_text(region, "name"), name))
			continue;
		fprintf(stderr, "Region %s, %s, %s, holds %" PRIu64 " instances.\n", name,
			units_format_size(format_number(region, "bytes"), size),
			format_text(region, "state"), format_number(region, "instances"));
		return CLIENT_OK;
	}
	fprintf(stderr, "daxmgrctl: there is no region '%s'\n", name);
	return CLIENT_NOT_FOUND;
}

int verb_region_destroy(struct context *context, int argc, char *argv[])
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *parameters;
	const char *name;
	int status;

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	name = argv[optind];
	if (!context->yes || context->dry_run) {
		status = show_one(context, name);
		if (status != CLIENT_OK || context->dry_run)
			return status;
	}
	if (!verb_confirm(context, "Destroy region %s?", name))
		return CLIENT_USAGE;
	parameters = verb_parameter("name", name);
	if (!parameters)
		return verb_out_of_memory();
	status = verb_call(context, CLIENT_METHOD("DestroyRegion"), parameters, &reply);
	if (reply)
		printf("Region %s %s.\n", name,
		       strcmp(format_text(reply, "outcome"), "already") ? "is being removed"
									: "was gone already");
	return status;
}
