/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vm list, vm show, vm release */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "pin_words.h"
#include "units.h"
#include "verb.h"
#include "wish.h"

static uint64_t sum_bytes(sd_json_variant *lease)
{
	sd_json_variant *part;
	uint64_t bytes = 0;

	FORMAT_EACH(part, format_list(lease, "parts"))
	bytes += format_number(part, "bytes");
	return bytes;
}

static void describe_wait(sd_json_variant *lease, char *text, size_t room)
{
	const char *waits_for = format_text(lease, "waitsFor");

	if (!*waits_for && format_has(lease, "stranger"))
		snprintf(text, room, "(process %" PRIu64 " maps its memory, too)",
			 format_number(lease, "stranger"));
	else
		snprintf(text, room, "%s%s", waits_for,
			 format_flag(lease, "revoked") ? " (its memory was taken from it)" : "");
}

static void show_leases(sd_json_variant *reply)
{
	static const char *const columns[] = {"NAME",    "STATE",   ">SIZE", ">PID",     ">UID",
					      "RESTART", "REGIONS", "PINS",  "WAITS FOR"};
	struct libscols_table *table = format_table(columns, 9);
	sd_json_variant *lease, *part;

	FORMAT_EACH(lease, format_list(reply, "leases"))
	{
		struct libscols_line *line = format_line(table, NULL);
		char regions[256] = "", pins[PIN_WORDS_BYTES], waits[320];

		format_cell(line, 0, format_text(lease, "name"));
		format_cell(line, 1, format_text(lease, "state"));
		format_cell_size(line, 2, sum_bytes(lease));
		if (format_has(lease, "pid"))
			format_cell_number(line, 3, format_number(lease, "pid"));
		format_cell_number(line, 4, format_number(lease, "uid"));
		format_cell(line, 5, format_flag(lease, "restart") ? "yes" : "no");
		FORMAT_EACH(part, format_list(lease, "parts"))
		{
			size_t length = strlen(regions);

			snprintf(regions + length, sizeof(regions) - length, "%s%s",
				 length ? " " : "", format_text(part, "region"));
		}
		format_cell(line, 6, regions);
		format_cell(line, 7,
			    format_words(format_list(lease, "pins"), ",", pins, sizeof(pins)));
		describe_wait(lease, waits, sizeof(waits));
		format_cell(line, 8, waits);
	}
	format_print(table, "There are no leases.");
}

int verb_vm_list(struct context *context, int argc, char *argv[])
{
	return verb_ask_and_show(context, argc, argv, CLIENT_METHOD("ListLeases"), show_leases);
}

static void show_parts(sd_json_variant *lease)
{
	sd_json_variant *part;
	char size[UNITS_SIZE_BYTES], align[UNITS_SIZE_BYTES];

	FORMAT_EACH(part, format_list(lease, "parts"))
	printf("  %s: %s, alignment %s, region %s, device %s, %s\n", format_text(part, "path"),
	       units_format_size(format_number(part, "bytes"), size),
	       units_format_exact(format_number(part, "align"), align),
	       format_has(part, "region") ? format_text(part, "region") : "(any)",
	       format_has(part, "device") ? format_text(part, "device") : "(none)",
	       format_has(part, "state") ? format_text(part, "state") : "not there");
}

static void show_pins(sd_json_variant *lease)
{
	sd_json_variant *pins = format_list(lease, "pins");
	const char *evidence = format_text(lease, "evidence");
	char text[PIN_WORDS_BYTES];

	if (sd_json_variant_elements(pins))
		printf("  pins      %s%s%s: when its port is lost, the host may panic\n",
		       format_words(pins, ", ", text, sizeof(text)), *evidence ? ": " : "",
		       evidence);
	if (format_has(lease, "stranger"))
		printf("  stranger  process %" PRIu64 " maps its memory and is not its VM\n",
		       format_number(lease, "stranger"));
	if (format_flag(lease, "revoked"))
		puts("  revoked   its memory was taken from it; it only has to exit");
}

static void show_lease(sd_json_variant *lease)
{
	sd_json_variant *mapper;
	char keep[UNITS_TIME_BYTES];

	printf("%s: %s\n", format_text(lease, "name"), format_text(lease, "state"));
	if (format_has(lease, "pid"))
		printf("  process   %" PRIu64 "\n", format_number(lease, "pid"));
	printf("  owner     uid %" PRIu64 ", gid %" PRIu64 "\n", format_number(lease, "uid"),
	       format_number(lease, "gid"));
	printf("  restart   %s\n", format_flag(lease, "restart") ? "yes" : "no");
	if (format_number(lease, "keepNs"))
		printf("  kept for  %s after a clean exit\n",
		       units_format_time(format_number(lease, "keepNs"), keep));
	if (format_has(lease, "incident"))
		printf("  killed by incident %" PRIu64 "\n", format_number(lease, "incident"));
	if (format_has(lease, "waitsFor"))
		printf("  waits for %s\n", format_text(lease, "waitsFor"));
	show_pins(lease);
	FORMAT_EACH(mapper, format_list(lease, "mappers"))
	printf("  still mapped by process %" PRIu64 "\n", sd_json_variant_unsigned(mapper));
	show_parts(lease);
}

static sd_json_variant *find_lease(sd_json_variant *reply, const char *name)
{
	sd_json_variant *lease;

	FORMAT_EACH(lease, format_list(reply, "leases"))
	if (!strcmp(format_text(lease, "name"), name))
		return lease;
	fprintf(stderr, "daxmgrctl: there is no lease '%s'\n", name);
	return NULL;
}

int verb_vm_show(struct context *context, int argc, char *argv[])
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *lease;
	int status;

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	status = verb_ask(context, CLIENT_METHOD("ListLeases"), NULL, &reply);
	if (status != CLIENT_OK)
		return status;
	lease = find_lease(reply, argv[optind]);
	if (!lease)
		return CLIENT_NOT_FOUND;
	if (sd_json_format_enabled(context->json))
		verb_print_json(context, lease);
	else
		show_lease(lease);
	return CLIENT_OK;
}

int verb_vm_release(struct context *context, int argc, char *argv[])
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *leases = NULL, *reply = NULL;
	sd_json_variant *parameters, *lease;
	const char *name;
	int status;

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	name = argv[optind];
	if (!context->yes || context->dry_run) {
		status = verb_ask(context, CLIENT_METHOD("ListLeases"), NULL, &leases);
		if (status != CLIENT_OK)
			return status;
		lease = find_lease(leases, name);
		if (!lease)
			return CLIENT_NOT_FOUND;
		show_lease(lease);
		fflush(stdout);
		if (context->dry_run)
			return CLIENT_OK;
	}
	if (!verb_confirm(context, "Release the lease of %s? What its memory holds is gone then.",
			  name))
		return CLIENT_USAGE;
	parameters = verb_parameter("name", name);
	if (!parameters)
		return verb_out_of_memory();
	status = verb_call(context, CLIENT_METHOD("Release"), parameters, &reply);
	if (reply)
		printf("%s: %s.\n", name,
		       strcmp(format_text(reply, "outcome"), "already")
			       ? "released"
			       : "is being released already");
	return status;
}
