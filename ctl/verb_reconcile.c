/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reconcile */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "verb.h"

/* Those that need a person come last: that is what stays on the screen. */
static const struct {
	const char *remedy, *headline;
} groups[] = {
	{"nothing", "Nothing is to be done about this:"},
	{"itself", "The manager sets this right:"},
	{"person", "This needs you:"},
};

static uint32_t show_group(sd_json_variant *findings, const char *remedy, const char *headline)
{
	sd_json_variant *finding;
	uint32_t n = 0;

	FORMAT_EACH(finding, findings)
	{
		if (strcmp(format_text(finding, "remedy"), remedy))
			continue;
		if (!n++)
			puts(headline);
		printf("  %s: %s", format_text(finding, "object"), format_text(finding, "seen"));
		if (format_has(finding, "believed"))
			printf(" (%s)", format_text(finding, "believed"));
		printf("\n    %s\n", format_text(finding, "action"));
	}
	return n;
}

static void show(sd_json_variant *reply)
{
	sd_json_variant *findings = format_list(reply, "findings");
	uint64_t omitted = format_number(reply, "omitted");

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		show_group(findings, groups[i].remedy, groups[i].headline);
	if (omitted)
		printf("And %" PRIu64 " more.\n", omitted);
	if (!sd_json_variant_elements(findings))
		puts("All is as it was believed to be.");
}

static int ask(const struct context *context, bool dry_run, sd_json_variant **ret_reply)
{
	sd_json_variant *parameters = NULL;

	if (sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_CONDITION(dry_run, "dryRun",
								     SD_JSON_BUILD_BOOLEAN(true))) <
	    0)
		return verb_out_of_memory();
	return verb_call(context, CLIENT_METHOD("Reconcile"), parameters, ret_reply);
}

/*
 * It does nothing that the manager would not do by itself with its next look,
 * so it does not ask.
 */
int verb_reconcile(struct context *context, int argc, char *argv[])
{
	enum { DRY_RUN = 256 };
	static const struct option own[] = {{"dry-run", no_argument, NULL, DRY_RUN}, {0}};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	bool dry_run = false;
	int option, status;

	while ((option = verb_option(context, argc, argv, own)) >= 0) {
		if (option != DRY_RUN)
			return CLIENT_USAGE;
		dry_run = true;
	}
	if (!verb_arguments(argc, argv, 0, 0))
		return CLIENT_USAGE;
	status = ask(context, dry_run, &reply);
	if (reply)
		show(reply);
	return status;
}
