/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options that all verbs take, around those of one. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verb.h"

enum { OPTION_HELP = 1000, OPTION_JSON, OPTION_SOCKET, OPTION_YES, OPTION_DRY_RUN };
enum { OPTIONS_MAX = 32 };

static const struct option common[] = {
	{"help", no_argument, NULL, OPTION_HELP},
	{"json", optional_argument, NULL, OPTION_JSON},
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"yes", no_argument, NULL, OPTION_YES},
	{"dry-run", no_argument, NULL, OPTION_DRY_RUN},
};

enum {
	COMMON_ALL = sizeof(common) / sizeof(common[0]),
	COMMON_WITHOUT_ASKING = COMMON_ALL - 2,
};

static void print_help(const struct verb *verb)
{
	printf("Usage: daxmgrctl %s %s%s[OPTIONS]\n\n%s\n\n%s", verb->name, verb->usage,
	       verb->usage[0] ? " " : "", verb->summary, verb->help ? verb->help : "");
	puts("  --json[=pretty|short|off]  the API's reply as it is\n"
	     "  --socket PATH              where daxmgrd listens\n"
	     "  --help");
}

static bool set_json(struct context *context, const char *how)
{
	if (!how || !strcmp(how, "pretty"))
		context->json = SD_JSON_FORMAT_PRETTY | SD_JSON_FORMAT_COLOR_AUTO |
				SD_JSON_FORMAT_NEWLINE;
	else if (!strcmp(how, "short"))
		context->json = SD_JSON_FORMAT_NEWLINE;
	else if (!strcmp(how, "off"))
		context->json = SD_JSON_FORMAT_OFF;
	else
		return false;
	return true;
}

/* Return: false after a message. */
static bool take_common(struct context *context, int option)
{
	switch (option) {
	case OPTION_HELP:
		print_help(context->verb);
		exit(CLIENT_OK);
	case OPTION_JSON:
		if (set_json(context, optarg))
			return true;
		verb_usage_error("--json=%s: pretty, short or off", optarg);
		return false;
	case OPTION_SOCKET:
		context->socket = optarg;
		return true;
	case OPTION_YES:
		context->yes = true;
		return true;
	case OPTION_DRY_RUN:
		context->dry_run = true;
		return true;
	}
	return false;
}

int verb_option(struct context *context, int argc, char *argv[], const struct option *own)
{
	struct option options[OPTIONS_MAX];
	size_t n = context->verb->asks ? COMMON_ALL : COMMON_WITHOUT_ASKING;
	int option;

	memcpy(options, common, n * sizeof(*options));
	while (own && own->name && n < OPTIONS_MAX - 1)
		options[n++] = *own++;
	options[n] = (struct option){0};
	/* getopt_long() has said what is wrong. */
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= OPTION_HELP)
		if (!take_common(context, option))
			return '?';
	return option;
}

bool verb_arguments(int argc, char *argv[], int least, int most)
{
	int n = argc - optind;

	if (n > most)
		verb_usage_error("unexpected argument '%s'", argv[optind + most]);
	else if (n < least)
		verb_usage_error("an argument is missing");
	return n >= least && n <= most;
}
