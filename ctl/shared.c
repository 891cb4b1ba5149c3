/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the verbs share: calling, failing, asking. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "pin_words.h"
#include "units.h"
#include "verb.h"

int verb_fail(const struct client_failure *failure)
{
	fprintf(stderr, "daxmgrctl: %s\n", failure->text);
	return failure->status;
}

int verb_usage_error(const char *format, ...)
{
	va_list arguments;

	fputs("daxmgrctl: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return CLIENT_USAGE;
}

int verb_out_of_memory(void)
{
	fputs("daxmgrctl: out of memory\n", stderr);
	return CLIENT_FAILURE;
}

void verb_print_json(const struct context *context, sd_json_variant *object)
{
	sd_json_variant_dump(object, context->json, stdout, NULL);
	fflush(stdout);
}

int verb_ask(const struct context *context, const char *method, sd_json_variant *parameters,
	     sd_json_variant **ret_reply)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *owned = parameters;
	_cleanup_(client_close) sd_varlink *link = NULL;
	struct client_failure failure;

	if (client_connect(context->socket, &link, &failure) != CLIENT_OK ||
	    client_call(link, method, owned, ret_reply, &failure) != CLIENT_OK)
		return verb_fail(&failure);
	return CLIENT_OK;
}

int verb_call(const struct context *context, const char *method, sd_json_variant *parameters,
	      sd_json_variant **ret_reply)
{
	int status = verb_ask(context, method, parameters, ret_reply);

	if (status != CLIENT_OK || !sd_json_format_enabled(context->json))
		return status;
	verb_print_json(context, *ret_reply);
	*ret_reply = sd_json_variant_unref(*ret_reply);
	return CLIENT_OK;
}

int verb_ask_and_show(struct context *context, int argc, char *argv[], const char *method,
		      void (*show)(sd_json_variant *reply))
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	int status;

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 0, 0))
		return CLIENT_USAGE;
	status = verb_call(context, method, NULL, &reply);
	if (reply)
		show(reply);
	return status;
}

bool verb_confirm(const struct context *context, const char *format, ...)
{
	char answer[8] = "";
	va_list arguments;

	if (context->yes)
		return true;
	if (!isatty(STDIN_FILENO)) {
		fputs("daxmgrctl: nobody is there to ask: add --yes (--dry-run shows what it would do)\n",
		      stderr);
		return false;
	}
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs(" [y/N] ", stderr);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return true;
	fputs("daxmgrctl: nothing was done\n", stderr);
	return false;
}

sd_json_variant *verb_parameter(const char *key, const char *text)
{
	sd_json_variant *parameters = NULL;

	if (sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING(key, text)) < 0)
		return NULL;
	return parameters;
}

static void show_vms(sd_json_variant *vms, const char *headline)
{
	sd_json_variant *vm;
	char size[UNITS_SIZE_BYTES], pins[PIN_WORDS_BYTES];

	if (!sd_json_variant_elements(vms))
		return;
	printf("%s\n", headline);
	FORMAT_EACH(vm, vms)
	{
		printf("  %-24s %8s  %s", format_text(vm, "name"),
		       units_format_size(format_number(vm, "bytes"), size),
		       format_text(vm, "state"));
		if (format_has(vm, "pid"))
			printf(", process %" PRIu64, format_number(vm, "pid"));
		if (sd_json_variant_elements(format_list(vm, "pins")))
			printf(", pins %s",
			       format_words(format_list(vm, "pins"), ",", pins, sizeof(pins)));
		puts(format_flag(vm, "restart") ? ", comes back" : ", does not come back");
	}
}

void verb_show_what_if(sd_json_variant *reply)
{
	sd_json_variant *regions = format_list(reply, "regions"), *region;
	char size[UNITS_SIZE_BYTES];

	printf("If %s %s is lost:\n", format_text(reply, "kind"), format_text(reply, "path"));
	if (format_has(reply, "hazard"))
		printf("  %s\n", format_text(reply, "hazard"));
	if (!sd_json_variant_elements(regions)) {
		puts("  no region stands on it: nothing happens");
		return;
	}
	FORMAT_EACH(region, regions)
	printf("  region %s, %s, %s\n", format_text(region, "name"),
	       units_format_size(format_number(region, "bytes"), size),
	       format_text(region, "state"));
	if (sd_json_variant_elements(format_list(reply, "vms")))
		show_vms(format_list(reply, "vms"), "These VMs are killed:");
	else
		puts("No VM is killed.");
	printf("Memory lost by them: %s\n", units_format_size(format_number(reply, "bytes"), size));
	show_vms(
		format_list(reply, "blockers"),
		"Recovery then waits until these have left, too (decoder order on their host bridge):");
}

void verb_show_eviction(sd_json_variant *reply)
{
	sd_json_variant *blockers = format_list(reply, "blockers");

	if (sd_json_variant_elements(blockers))
		show_vms(
			blockers,
			"These VMs stand above its regions on the same decoders and would be killed:");
	else
		printf("No VM stands above the regions of %s: nobody would be killed.\n",
		       format_text(reply, "path"));
}
