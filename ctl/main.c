/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daxmgrctl: finds the verb and runs it. */
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verb.h"

static void print_usage(FILE *to)
{
	fputs("Usage: daxmgrctl VERB [OPTIONS]\n\n", to);
	for (const struct verb *verb = verbs; verb->name; verb++) {
		char line[80];

		snprintf(line, sizeof(line), "%s %s", verb->name, verb->usage);
		fprintf(to, "  %-42s %s\n", line, verb->summary);
	}
	fputs("\n'daxmgrctl VERB --help' shows a verb's options. All take:\n"
	      "  --json[=pretty|short|off]  the API's reply as it is\n"
	      "  --socket PATH              where daxmgrd listens (" CLIENT_SOCKET ")\n"
	      "\nExit status: 0 ok, 1 failure, 2 usage, 3 not found, 4 permission, 5 daxmgrd not reachable,\n"
	      "6 refused, 7 timed out.\n",
	      to);
}

/* How many words of argv name the verb; 0: none. */
static int count_words(const struct verb *verb, int argc, char *argv[])
{
	const char *second = strchr(verb->name, ' ');
	size_t first_length = second ? (size_t)(second - verb->name) : strlen(verb->name);

	if (argc < 1 || strlen(argv[0]) != first_length ||
	    strncmp(argv[0], verb->name, first_length))
		return 0;
	if (!second)
		return 1;
	return argc >= 2 && !strcmp(argv[1], second + 1) ? 2 : 0;
}

static int unknown_verb(int argc, char *argv[])
{
	const char *group = argv[0];
	bool known = false;

	for (const struct verb *verb = verbs; verb->name; verb++) {
		const char *space = strchr(verb->name, ' ');

		if (!space || strlen(group) != (size_t)(space - verb->name) ||
		    strncmp(group, verb->name, strlen(group)))
			continue;
		if (!known && argc > 1)
			fprintf(stderr, "daxmgrctl: '%s %s' is no verb; there are:\n", group,
				argv[1]);
		else if (!known)
			fprintf(stderr, "daxmgrctl: what of '%s'? There are:\n", group);
		fprintf(stderr, "  daxmgrctl %s%s%s\n", verb->name, verb->usage[0] ? " " : "",
			verb->usage);
		known = true;
	}
	if (!known)
		fprintf(stderr, "daxmgrctl: '%s' is no verb. Try 'daxmgrctl --help'.\n", group);
	return CLIENT_USAGE;
}

int main(int argc, char *argv[])
{
	struct context context = {.socket = CLIENT_SOCKET, .json = SD_JSON_FORMAT_OFF};

	setlocale(LC_ALL, "");
	if (argc < 2) {
		print_usage(stderr);
		return CLIENT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_usage(stdout);
		return CLIENT_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("daxmgrctl " DAXMGR_VERSION);
		return CLIENT_OK;
	}
	for (const struct verb *verb = verbs; verb->name; verb++) {
		int words = count_words(verb, argc - 1, argv + 1);

		if (!words)
			continue;
		context.verb = verb;
		return verb->run(&context, argc - words, argv + words);
	}
	return unknown_verb(argc - 1, argv + 1);
}
