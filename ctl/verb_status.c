/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status, workers */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "units.h"
#include "verb.h"

enum { EXIT_DEGRADED = 10, EXIT_ISOLATED = 11 };

static int exit_code(sd_json_variant *reply)
{
	const char *state = format_text(reply, "state");

	if (!strcmp(state, "healthy"))
		return CLIENT_OK;
	return strcmp(state, "isolated") ? EXIT_DEGRADED : EXIT_ISOLATED;
}

static void show_domains(sd_json_variant *reply)
{
	sd_json_variant *domain;

	FORMAT_EACH(domain, format_list(reply, "domains"))
	{
		const char *reason = format_text(domain, "reason");

		if (!strcmp(format_text(domain, "state"), "healthy"))
			continue;
		printf("  domain %s: %s%s%s\n", format_text(domain, "domain"),
		       format_text(domain, "state"), *reason ? ": " : "", reason);
	}
}

static void show_components(sd_json_variant *reply)
{
	sd_json_variant *component;

	FORMAT_EACH(component, format_list(reply, "components"))
	{
		const char *text = format_text(component, "text");

		if (!strcmp(format_text(component, "state"), "ok") && !*text)
			continue;
		printf("  %s: %s%s%s\n", format_text(component, "name"),
		       format_text(component, "state"), *text ? ": " : "", text);
	}
}

static void show_pins(sd_json_variant *reply)
{
	uint64_t pinning = format_number(reply, "leasesPinning"),
		 strangers = format_number(reply, "strangers");
	bool consent = format_flag(reply, "hostMayPanic");

	if (consent || pinning)
		printf("  host may panic: %s; VMs that pin their memory: %" PRIu64 "\n",
		       consent ? "yes ([Pins] HostMayPanic=yes)" : "no consent", pinning);
	if (strangers)
		printf("  leases that strangers map: %" PRIu64 "\n", strangers);
}

static void show_hold(sd_json_variant *reply)
{
	const char *hold = format_text(reply, "hold");

	if (*hold)
		printf("  NOTHING IS HANDED OUT until 'daxmgrctl confirm': %s\n", hold);
}

static void show_health(sd_json_variant *reply)
{
	const char *health = format_text(reply, "health"),
		   *waits = format_text(reply, "recoveryWaits");

	if (strcmp(health, "ok"))
		printf("  health: %s (daxmgrctl health)\n", health);
	if (*waits)
		printf("  NOTHING IS MADE AGAIN BY ITSELF until the host is well: %s\n", waits);
}

static void show_status(sd_json_variant *reply)
{
	char total[UNITS_SIZE_BYTES], spare[UNITS_SIZE_BYTES], bad_text[UNITS_SIZE_BYTES];
	uint64_t bad = format_number(reply, "badBytes");

	printf("daxmgrd %s: %s%s\n", format_text(reply, "version"), format_text(reply, "state"),
	       format_flag(reply, "ready") ? "" : ", still looking at the host for the first time");
	show_hold(reply);
	printf("  regions: %" PRIu64 " of %" PRIu64 " live, %s, %s free%s%s\n",
	       format_number(reply, "regionsLive"), format_number(reply, "regions"),
	       units_format_size(format_number(reply, "capacityBytes"), total),
	       units_format_size(format_number(reply, "freeBytes"), spare),
	       bad ? ", around bad memory: " : "", bad ? units_format_size(bad, bad_text) : "");
	printf("  VMs: %" PRIu64 " attached, %" PRIu64 " waiting, %" PRIu64 " stuck, %" PRIu64
	       " leases\n",
	       format_number(reply, "leasesAttached"), format_number(reply, "leasesWaiting"),
	       format_number(reply, "leasesStuck"), format_number(reply, "leases"));
	printf("  open incidents: %" PRIu64 "\n", format_number(reply, "incidentsOpen"));
	show_health(reply);
	show_pins(reply);
	show_domains(reply);
	show_components(reply);
}

int verb_status(struct context *context, int argc, char *argv[])
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
	status = verb_ask(context, CLIENT_METHOD("GetStatus"), NULL, &reply);
	if (status != CLIENT_OK)
		return status;
	if (sd_json_format_enabled(context->json))
		verb_print_json(context, reply);
	else
		show_status(reply);
	return use_exit_code ? exit_code(reply) : CLIENT_OK;
}

static uint64_t boottime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void show_workers(sd_json_variant *reply)
{
	static const char *const columns[] = {">PID",   ">LANE",   "STATE", "JOB",
					      ">SINCE", "PROCESS", "WCHAN"};
	struct libscols_table *table = format_table(columns, 7);
	sd_json_variant *worker;

	FORMAT_EACH(worker, format_list(reply, "workers"))
	{
		struct libscols_line *line = format_line(table, NULL);
		uint64_t now = boottime_ns(), since = format_number(worker, "sinceNs");
		char text[UNITS_TIME_BYTES];

		format_cell_number(line, 0, format_number(worker, "pid"));
		if (format_has(worker, "lane"))
			format_cell_number(line, 1, format_number(worker, "lane"));
		format_cell(line, 2, format_text(worker, "state"));
		format_cell(line, 3, format_text(worker, "job"));
		if (since)
			format_cell(line, 4,
				    units_format_time(now > since ? now - since : 0, text));
		format_cell(line, 5, format_text(worker, "process"));
		format_cell(line, 6, format_text(worker, "wchan"));
	}
	format_print(table, "There are no workers.");
}

int verb_workers(struct context *context, int argc, char *argv[])
{
	return verb_ask_and_show(context, argc, argv, CLIENT_METHOD("GetWorkers"), show_workers);
}
