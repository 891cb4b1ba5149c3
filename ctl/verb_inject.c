/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inject */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "record.h"
#include "verb.h"

enum {
	SOURCE = 256,
	KIND,
	UNIT,
	SEVERITY,
	FIELD,
	RECORD,
	ID,
	RAW,
	SYSTEM,
	FORMAT,
	LIVE,
	I_KNOW,
	DRY_RUN,
};

static const struct option own[] = {
	{"source", required_argument, NULL, SOURCE},
	{"kind", required_argument, NULL, KIND},
	{"unit", required_argument, NULL, UNIT},
	{"severity", required_argument, NULL, SEVERITY},
	{"field", required_argument, NULL, FIELD},
	{"record", required_argument, NULL, RECORD},
	{"id", required_argument, NULL, ID},
	{"raw", required_argument, NULL, RAW},
	{"system", required_argument, NULL, SYSTEM},
	{"format", required_argument, NULL, FORMAT},
	{"live", no_argument, NULL, LIVE},
	{"i-know", required_argument, NULL, I_KNOW},
	{"dry-run", no_argument, NULL, DRY_RUN},
	{0},
};

struct wish {
	struct record_options options;
	const char *record, *id, *raw, *system, *format, *named;
	bool live, dry_run;
};

/* Return: exit status, CLIENT_OK to go on. */
static int take_option(struct wish *wish, int option)
{
	static const char *const members[] = {"source", "kind", "unit", "severity"};
	int r = 0;

	switch (option) {
	case SOURCE:
	case KIND:
	case UNIT:
	case SEVERITY:
		r = record_add_member(&wish->options, members[option - SOURCE], optarg);
		break;
	case FIELD:
		r = record_add_field(&wish->options, optarg);
		break;
	case RECORD:
		wish->record = optarg;
		break;
	case ID:
		wish->id = optarg;
		break;
	case RAW:
		wish->raw = optarg;
		break;
	case SYSTEM:
		wish->system = optarg;
		break;
	case FORMAT:
		wish->format = optarg;
		break;
	case LIVE:
		wish->live = true;
		break;
	case I_KNOW:
		wish->named = optarg;
		break;
	case DRY_RUN:
		wish->dry_run = true;
		break;
	default:
		return CLIENT_USAGE;
	}
	if (r == -EINVAL)
		return verb_usage_error("'%s' is not NAME=VALUE", optarg);
	return r < 0 ? verb_out_of_memory() : (int)CLIENT_OK;
}

/* One way to say which record it is. */
static int check(const struct wish *wish)
{
	int ways = (wish->options.members || wish->options.fields) + !!wish->record + !!wish->id +
		   !!wish->raw;

	if (ways != 1)
		return verb_usage_error("say which record: --source and --kind, --record, --id, or "
					"--raw with --system and --format");
	if (wish->raw && (!wish->system || !wish->format))
		return verb_usage_error("--raw needs --system and --format");
	if (wish->live && wish->dry_run)
		return verb_usage_error("either --live or --dry-run");
	if (wish->named && !wish->live)
		return verb_usage_error("--i-know goes with --live");
	return CLIENT_OK;
}

static int add_raw(const struct wish *wish, sd_json_variant **parameters)
{
	size_t bytes = 0, format_bytes = 0;
	_cleanup_free_ char *raw = record_read_file(wish->raw, &bytes);
	_cleanup_free_ char *format = raw ? record_read_file(wish->format, &format_bytes) : NULL;
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *data = NULL;
	int r;

	if (!format)
		return CLIENT_USAGE;
	r = sd_json_variant_new_base64(&data, raw, bytes);
	if (r >= 0)
		r = sd_json_variant_set_field(parameters, "raw", data);
	if (r >= 0)
		r = sd_json_variant_set_field_string(parameters, "system", wish->system);
	if (r >= 0)
		r = sd_json_variant_set_field_string(parameters, "format", format);
	return r < 0 ? verb_out_of_memory() : (int)CLIENT_OK;
}

static int add_record(struct wish *wish, sd_json_variant **parameters)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *record = NULL;
	int r = 0;

	if (wish->raw)
		return add_raw(wish, parameters);
	if (wish->id) {
		char *end;
		uint64_t id = strtoull(wish->id, &end, 10);

		if (*end || !id)
			return verb_usage_error("'%s' is not the number of a record", wish->id);
		r = sd_json_variant_set_field_unsigned(parameters, "id", id);
		return r < 0 ? verb_out_of_memory() : (int)CLIENT_OK;
	}
	if (wish->record && !(record = record_read_json(wish->record)))
		return CLIENT_USAGE;
	if (!record)
		r = record_build(&wish->options, &record);
	if (r >= 0)
		r = sd_json_variant_set_field(parameters, "record", record);
	return r < 0 ? verb_out_of_memory() : (int)CLIENT_OK;
}

static void show(sd_json_variant *reply)
{
	bool live = !strcmp(format_text(reply, "outcome"), "done");
	sd_json_variant *decisions = format_list(reply, "decisions"), *line;
	char names[512];

	printf("%s\n",
	       live ? "Injected. What was decided:" : "Nothing was done. What would be decided:");
	FORMAT_EACH(line, decisions)
	printf("  %s\n", sd_json_variant_string(line));
	if (!sd_json_variant_elements(decisions))
		puts("  nothing");
	format_words(format_list(reply, "victims"), ", ", names, sizeof(names));
	if (names[0])
		printf("VMs that %s: %s\n", live ? "are killed" : "would be killed", names);
	else
		puts("No VM is killed.");
}

static int run(struct context *context, struct wish *wish)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL, *reply = NULL,
							  *names = NULL;
	int status, r;

	status = add_record(wish, &parameters);
	if (status != CLIENT_OK)
		return status;
	r = record_names(wish->named ? wish->named : "", &names);
	if (r >= 0 && wish->live)
		r = sd_json_variant_set_field_boolean(&parameters, "live", true);
	if (r >= 0 && wish->live)
		r = sd_json_variant_set_field(&parameters, "vms", names);
	if (r < 0)
		return verb_out_of_memory();
	status = verb_call(context, CLIENT_METHOD("Inject"), sd_json_variant_ref(parameters),
			   &reply);
	if (reply)
		show(reply);
	return status;
}

int verb_inject(struct context *context, int argc, char *argv[])
{
	struct wish wish = {0};
	int option, status = CLIENT_OK;

	while (status == CLIENT_OK && (option = verb_option(context, argc, argv, own)) >= 0)
		status = take_option(&wish, option);
	if (status == CLIENT_OK && !verb_arguments(argc, argv, 0, 0))
		status = CLIENT_USAGE;
	if (status == CLIENT_OK)
		status = check(&wish);
	if (status == CLIENT_OK)
		status = run(context, &wish);
	record_clear(&wish.options);
	return status;
}
