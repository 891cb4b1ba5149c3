/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vm acquire */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "units.h"
#include "verb.h"
#include "wish.h"

struct acquiring {
	const struct context *context;
	struct wish wish;
	bool qemu;
};

enum { SIZE = 256, USER, UID, ALIGN, KEEP, EXPIRES, RESTART, WAIT, PINS, POISON, QEMU };

static const struct option own[] = {
	{"size", required_argument, NULL, SIZE},
	{"user", required_argument, NULL, USER},
	{"uid", required_argument, NULL, UID},
	{"align", required_argument, NULL, ALIGN},
	{"keep", required_argument, NULL, KEEP},
	{"expires", required_argument, NULL, EXPIRES},
	{"restart", optional_argument, NULL, RESTART},
	{"wait", no_argument, NULL, WAIT},
	{"pins", required_argument, NULL, PINS},
	{"poison", required_argument, NULL, POISON},
	{"qemu", no_argument, NULL, QEMU},
	{0},
};

static const char *set_restart(struct wish *wish, const char *text)
{
	if (text && strcmp(text, "yes") && strcmp(text, "no"))
		return "yes or no";
	wish->restart = !text || !strcmp(text, "yes");
	return NULL;
}

/* Return: NULL, or what is wrong. */
static const char *take(struct acquiring *acquiring, int option)
{
	struct wish *wish = &acquiring->wish;

	switch (option) {
	case SIZE:
		return wish_add_size(wish, optarg);
	case USER:
	case UID:
		return wish_set_user(wish, optarg);
	case ALIGN:
		return wish_set_align(wish, optarg);
	case KEEP:
		return wish_set_keep(wish, optarg);
	case EXPIRES:
		return wish_set_expires(wish, optarg);
	case RESTART:
		return set_restart(wish, optarg);
	case PINS:
		return wish_add_pins(wish, optarg);
	case POISON:
		return wish_set_poison(wish, optarg);
	case WAIT:
		wish->wait = true;
		break;
	case QEMU:
		acquiring->qemu = true;
		break;
	}
	return NULL;
}

static void show_granted(const struct acquiring *acquiring, sd_json_variant *message)
{
	sd_json_variant *parts = format_list(message, "parts"), *part;
	char size[UNITS_SIZE_BYTES], object[WISH_QEMU_BYTES];

	for (size_t i = 0; i < sd_json_variant_elements(parts); i++) {
		part = sd_json_variant_by_index(parts, i);
		if (!acquiring->qemu) {
			printf("%s: %s of region %s\n", format_text(part, "path"),
			       units_format_size(format_number(part, "bytes"), size),
			       format_text(part, "region"));
			continue;
		}
		wish_format_qemu(acquiring->wish.name, i, format_number(part, "bytes"),
				 format_number(part, "align"), object);
		printf("-object %s%s", object,
		       i + 1 < sd_json_variant_elements(parts) ? " " : "\n");
	}
}

static void on_message(void *userdata, sd_json_variant *message, bool last)
{
	const struct acquiring *acquiring = userdata;
	const char *waits_for = format_text(message, "waitsFor");

	if (sd_json_format_enabled(acquiring->context->json))
		verb_print_json(acquiring->context, message);
	else if (last)
		show_granted(acquiring, message);
	else
		fprintf(stderr, "%s: %s%s%s\n", format_text(message, "name"),
			format_text(message, "state"), *waits_for ? ", waits for " : "", waits_for);
}

static int run(struct acquiring *acquiring)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL, *reply = NULL;
	_cleanup_(client_close) sd_varlink *link = NULL;
	struct client_failure failure;
	enum client_status status;

	if (wish_build(&acquiring->wish, &parameters) < 0)
		return verb_out_of_memory();
	status = client_connect(acquiring->context->socket, &link, &failure);
	/* A script that reads the reply wants one object; people want to see what it waits for. */
	if (status == CLIENT_OK && sd_json_format_enabled(acquiring->context->json)) {
		sd_varlink_set_relative_timeout(link, UINT64_MAX);
		status = client_call(link, CLIENT_METHOD("Acquire"), parameters, &reply, &failure);
		if (status == CLIENT_OK)
			on_message(acquiring, reply, true);
	} else if (status == CLIENT_OK) {
		status = client_stream(link, CLIENT_METHOD("Acquire"), parameters, on_message,
				       acquiring, &failure);
	}
	return status == CLIENT_OK ? (int)CLIENT_OK : verb_fail(&failure);
}

int verb_vm_acquire(struct context *context, int argc, char *argv[])
{
	struct acquiring acquiring = {.context = context};
	const char *wrong;
	int option;

	wish_init(&acquiring.wish);
	acquiring.wish.wait = false;
	while ((option = verb_option(context, argc, argv, own)) >= 0) {
		if (option == '?')
			return CLIENT_USAGE;
		wrong = take(&acquiring, option);
		if (wrong)
			return verb_usage_error("%s: %s", optarg, wrong);
	}
	if (!verb_arguments(argc, argv, 1, 1))
		return CLIENT_USAGE;
	wrong = wish_set_name(&acquiring.wish, argv[optind]);
	if (wrong)
		return verb_usage_error("%s: %s", argv[optind], wrong);
	wrong = wish_check(&acquiring.wish);
	if (wrong)
		return verb_usage_error("%s", wrong);
	return run(&acquiring);
}
