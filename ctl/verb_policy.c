/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy check, policy list, policy reload, policy explain */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config.h"
#include "policy_file.h"
#include "record.h"
#include "units.h"
#include "verb.h"

/* ---- check: what the daemon would say, without one ---- */

static int print_check_json(const struct context *context, const struct policy_set *set)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;

	if (sd_json_buildo(
		    &reply, SD_JSON_BUILD_PAIR_UNSIGNED("rules", set->n),
		    SD_JSON_BUILD_PAIR_UNSIGNED("errors", set->n_errors),
		    SD_JSON_BUILD_PAIR_STRING("messages", set->messages ? set->messages : "")) < 0)
		return verb_out_of_memory();
	verb_print_json(context, reply);
	return CLIENT_OK;
}

/* The rules of this host, where its configuration says that they are. Return: as policy_set_read(). */
static int read_own(struct policy_set *ret)
{
	_cleanup_free_ char *messages = NULL;
	struct config config;
	int r;

	*ret = (struct policy_set){0};
	r = config_load("", &config, &messages);
	if (r >= 0) {
		fputs(messages ? messages : "", stderr); /* a key that is misspelt is none */
		r = policy_set_read(POLICY_VENDOR_DIRECTORY, config.policy_directory, ret);
	} else {
		ret->n_errors = 1;
		ret->messages = messages;
		messages = NULL;
	}
	config_free(&config);
	return r;
}

int verb_policy_check(struct context *context, int argc, char *argv[])
{
	struct policy_set set;
	int r, status = CLIENT_OK;

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 0, 1))
		return CLIENT_USAGE;
	r = optind < argc ? policy_set_read(NULL, argv[optind], &set) : read_own(&set);
	if (sd_json_format_enabled(context->json))
		status = print_check_json(context, &set);
	else if (r == 0)
		printf("%u rule%s, and nothing is wrong with %s.\n", set.n, set.n == 1 ? "" : "s",
		       set.n == 1 ? "it" : "them");
	else if (set.messages && *set.messages)
		fprintf(stderr, "%sThe set is refused as a whole.\n", set.messages);
	else
		fprintf(stderr, "daxmgrctl: %s\n", strerror(-r));
	policy_set_free(&set);
	return r < 0 ? (int)CLIENT_FAILURE : status;
}

/* ---- list ---- */

static void join_actions(sd_json_variant *rule, char *text, size_t room)
{
	sd_json_variant *action;
	size_t length = 0;

	text[0] = '\0';
	FORMAT_EACH(action, format_list(rule, "actions"))
	if (length < room)
		length += (size_t)snprintf(text + length, room - length, "%s%s",
					   length ? ", then " : "", format_text(action, "action"));
}

static void show_list(sd_json_variant *reply)
{
	static const char *const columns[] = {"RULE", ">COUNT", "OF",     "WITHIN",
					      "PER",  "ACTION", ">FIRED", "FOR"};
	struct libscols_table *table = format_table(columns, 8);
	sd_json_variant *rule;

	FORMAT_EACH(rule, format_list(reply, "rules"))
	{
		struct libscols_line *line = format_line(table, NULL);
		char within[UNITS_TIME_BYTES], actions[256];

		join_actions(rule, actions, sizeof(actions));
		format_cell(line, 0, format_text(rule, "name"));
		format_cell_number(line, 1, format_number(rule, "count"));
		format_cell_number(line, 2, format_number(rule, "threshold"));
		format_cell(line, 3, units_format_time(format_number(rule, "windowNs"), within));
		format_cell(line, 4, format_text(rule, "per"));
		format_cell(line, 5, actions);
		format_cell_number(line, 6, format_number(rule, "fired"));
		format_cell(line, 7, format_text(rule, "countedFor"));
	}
	format_print(table, "There are no rules.");
	if (format_number(reply, "missed"))
		printf("%" PRIu64 " records could not be counted: the tables were full.\n",
		       format_number(reply, "missed"));
	if (format_has(reply, "problem"))
		printf("These are not the rules of the files: %s\n", format_text(reply, "problem"));
}

int verb_policy_list(struct context *context, int argc, char *argv[])
{
	return verb_ask_and_show(context, argc, argv, CLIENT_METHOD("ListRules"), show_list);
}

/* ---- reload ---- */

static void show_reloaded(sd_json_variant *reply)
{
	printf("%" PRIu64 " rules are in force.\n", format_number(reply, "rules"));
}

int verb_policy_reload(struct context *context, int argc, char *argv[])
{
	return verb_ask_and_show(context, argc, argv, CLIENT_METHOD("ReloadPolicy"), show_reloaded);
}

/* ---- explain ---- */

static void show_explanations(sd_json_variant *reply)
{
	sd_json_variant *rule;

	FORMAT_EACH(rule, format_list(reply, "rules"))
	{
		char within[UNITS_TIME_BYTES];

		printf("%s: %s\n", format_text(rule, "rule"), format_text(rule, "why"));
		if (format_has(rule, "countedFor"))
			printf("  for %s: %" PRIu64 " of %" PRIu64 " within %s\n",
			       format_text(rule, "countedFor"), format_number(rule, "count"),
			       format_number(rule, "threshold"),
			       units_format_time(format_number(rule, "windowNs"), within));
		if (format_flag(rule, "fires"))
			printf("  would do: %s\n", format_text(rule, "action"));
	}
	if (!sd_json_variant_elements(format_list(reply, "rules")))
		puts("There are no rules.");
}

static int ask(struct context *context, const char *id, sd_json_variant *record)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *parameters = NULL;
	char *end = NULL;
	uint64_t number = id ? strtoull(id, &end, 10) : 0;
	int status;

	if (id && (*end || !number))
		return verb_usage_error("'%s' is not the number of a record", id);
	if (sd_json_buildo(
		    &parameters,
		    SD_JSON_BUILD_PAIR_CONDITION(number != 0, "id", SD_JSON_BUILD_UNSIGNED(number)),
		    SD_JSON_BUILD_PAIR_CONDITION(!!record, "record",
						 SD_JSON_BUILD_VARIANT(record))) < 0)
		return verb_out_of_memory();
	status = verb_call(context, CLIENT_METHOD("ExplainRecord"), parameters, &reply);
	if (reply)
		show_explanations(reply);
	return status;
}

int verb_policy_explain(struct context *context, int argc, char *argv[])
{
	enum { RECORD = 256 };
	static const struct option own[] = {{"record", required_argument, NULL, RECORD}, {0}};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *record = NULL;
	const char *file = NULL;
	int option;

	while ((option = verb_option(context, argc, argv, own)) >= 0) {
		if (option != RECORD)
			return CLIENT_USAGE;
		file = optarg;
	}
	if (!verb_arguments(argc, argv, file ? 0 : 1, file ? 0 : 1))
		return CLIENT_USAGE;
	if (file && !(record = record_read_json(file)))
		return CLIENT_USAGE;
	return ask(context, file ? NULL : argv[optind], record);
}
