/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* drill */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "drill_run.h"
#include "units.h"

static const char *verdict(const struct drill_run *run)
{
	if (!run->live)
		return "dry-run";
	return run->failed ? "failed" : "passed";
}

static int build_steps(const struct drill_run *run, sd_json_variant **ret)
{
	int r = sd_json_variant_new_array(ret, NULL, 0);

	for (uint32_t i = 0; r >= 0 && i < run->n_steps; i++) {
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *step = NULL;

		r = sd_json_buildo(&step,
				   SD_JSON_BUILD_PAIR_STRING("name", run->drill->steps[i].name),
				   SD_JSON_BUILD_PAIR_UNSIGNED("tookNs", run->step_ns[i]));
		if (r >= 0)
			r = sd_json_variant_append_array(ret, step);
	}
	return r;
}

static int print_json(const struct context *context, const struct drill_run *run)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *steps = NULL, *lines = NULL,
							  *report = NULL, *none = NULL;

	if (build_steps(run, &steps) < 0 || sd_json_variant_new_array(&none, NULL, 0) < 0 ||
	    sd_json_variant_new_array_strv(&lines, NULL) < 0)
		return verb_out_of_memory();
	for (size_t i = 0; i < run->decisions.n; i++) {
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *line = NULL;

		if (sd_json_variant_new_string(&line, run->decisions.lines[i]) < 0 ||
		    sd_json_variant_append_array(&lines, line) < 0)
			return verb_out_of_memory();
	}
	if (sd_json_buildo(
		    &report, SD_JSON_BUILD_PAIR_STRING("drill", run->drill->name),
		    SD_JSON_BUILD_PAIR_STRING("verdict", verdict(run)),
		    SD_JSON_BUILD_PAIR_UNSIGNED("tookNs", run->total_ns),
		    SD_JSON_BUILD_PAIR_VARIANT("steps", steps),
		    SD_JSON_BUILD_PAIR_VARIANT("decisions", lines),
		    SD_JSON_BUILD_PAIR_VARIANT("expectations", run->results ? run->results : none),
		    SD_JSON_BUILD_PAIR_VARIANT("incidents", run->incidents ? run->incidents : none),
		    SD_JSON_BUILD_PAIR_VARIANT("recovered", run->cleaned ? run->cleaned : none)) <
	    0)
		return verb_out_of_memory();
	verb_print_json(context, report);
	return CLIENT_OK;
}

static void print_text(const struct drill_run *run)
{
	char took[UNITS_TIME_BYTES], names[512];
	sd_json_variant *expectation;

	for (uint32_t i = 0; run->live && i < run->n_steps; i++)
		printf("step %-24s %s\n", run->drill->steps[i].name,
		       units_format_time(run->step_ns[i], took));
	if (run->decisions.n)
		puts("decisions:");
	for (size_t i = 0; i < run->decisions.n; i++)
		printf("  %s\n", run->decisions.lines[i]);
	FORMAT_EACH(expectation, run->results)
	printf("%s %s: expected %s, found %s\n", format_flag(expectation, "met") ? "ok  " : "FAIL",
	       format_text(expectation, "what"), format_text(expectation, "expected"),
	       format_text(expectation, "found"));
	format_words(run->cleaned, ", ", names, sizeof(names));
	if (names[0])
		printf("recovered afterwards: %s\n", names);
	printf("%s: %s, %s\n", run->drill->name, verdict(run),
	       units_format_time(run->total_ns, took));
}

static int carry_out(struct context *context, struct drill *drill, bool live, const char *named)
{
	struct drill_run run = {.context = context, .drill = drill, .live = live, .named = named};
	int status = drill_run(&run);

	if (status == CLIENT_OK && sd_json_format_enabled(context->json))
		status = print_json(context, &run);
	else if (status == CLIENT_OK)
		print_text(&run);
	if (status == CLIENT_OK && run.failed)
		status = CLIENT_FAILURE;
	drill_run_clear(&run);
	return status;
}

int verb_drill(struct context *context, int argc, char *argv[])
{
	enum { LIVE = 256, I_KNOW };
	static const struct option own[] = {{"live", no_argument, NULL, LIVE},
					    {"i-know", required_argument, NULL, I_KNOW},
					    {0}};
	const char *named = "";
	struct drill drill;
	bool live = false;
	int option, status;

	while ((option = verb_option(context, argc, argv, own)) >= 0) {
		if (option == LIVE)
			live = true;
		else if (option == I_KNOW)
			named = optarg;
		else
			return CLIENT_USAGE;
	}
	if (!verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	if (!drill_read(argv[optind], &drill))
		return CLIENT_USAGE;
	if (!drill.name[0])
		snprintf(drill.name, sizeof(drill.name), "%s",
			 strrchr(argv[optind], '/') ? strrchr(argv[optind], '/') + 1
						    : argv[optind]);
	status = carry_out(context, &drill, live, named);
	drill_clear(&drill);
	return status;
}
