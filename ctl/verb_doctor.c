/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "doctor.h"
#include "verb.h"

enum { EXIT_FINDINGS = 1 };

static int read_setting(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	int value;

	return file && fscanf(file, "%d", &value) == 1 ? value : DOCTOR_UNKNOWN;
}

/* WhatIf() of every root port. Nothing can be asked before the daemon is ready. */
static int ask_what_if(struct context *context, sd_json_variant *topology, sd_json_variant **ret)
{
	sd_json_variant *port;
	int status;

	FORMAT_EACH(port, format_list(topology, "ports"))
	{
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
		sd_json_variant *parameters;

		if (strcmp(format_text(port, "kind"), "root-port"))
			continue;
		parameters = verb_parameter("unit", format_text(port, "path"));
		if (!parameters)
			return verb_out_of_memory();
		status = verb_ask(context, CLIENT_METHOD("WhatIf"), parameters, &reply);
		if (status != CLIENT_OK)
			return status;
		if (sd_json_variant_append_array(ret, reply) < 0)
			return verb_out_of_memory();
	}
	return CLIENT_OK;
}

static void show(sd_json_variant *findings)
{
	sd_json_variant *finding;

	FORMAT_EACH(finding, findings)
	printf("%s %s: %s. Consequence: %s. Remedy: %s.\n", format_text(finding, "topic"),
	       format_text(finding, "object"), format_text(finding, "text"),
	       format_text(finding, "consequence"), format_text(finding, "remedy"));
	if (!sd_json_variant_elements(findings))
		puts("Nothing was found.");
}

static int print(struct context *context, sd_json_variant *findings)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *object = NULL;

	if (!sd_json_format_enabled(context->json))
		show(findings);
	else if (sd_json_buildo(&object, SD_JSON_BUILD_PAIR_VARIANT("findings", findings)) < 0)
		return verb_out_of_memory();
	else
		verb_print_json(context, object);
	return sd_json_variant_elements(findings) ? EXIT_FINDINGS : CLIENT_OK;
}

int verb_doctor(struct context *context, int argc, char *argv[])
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *status = NULL, *topology = NULL,
							  *what_if = NULL, *findings = NULL;
	struct doctor_facts facts;
	int r;

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 0, 0))
		return CLIENT_USAGE;
	if ((r = verb_ask(context, CLIENT_METHOD("GetStatus"), NULL, &status)) != CLIENT_OK ||
	    (r = verb_ask(context, CLIENT_METHOD("GetTopology"), NULL, &topology)) != CLIENT_OK)
		return r;
	if (format_flag(status, "ready") &&
	    (r = ask_what_if(context, topology, &what_if)) != CLIENT_OK)
		return r;
	facts = (struct doctor_facts){
		.status = status,
		.topology = topology,
		.what_if = what_if,
		.panic_on_warn = read_setting("/proc/sys/kernel/panic_on_warn"),
		.panic_on_oops = read_setting("/proc/sys/kernel/panic_on_oops"),
		.vhost_zero_copy =
			read_setting("/sys/module/vhost_net/parameters/experimental_zcopytx"),
	};
	if (doctor_examine(&facts, &findings) < 0)
		return verb_out_of_memory();
	return print(context, findings);
}
