/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vm adopt */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "units.h"
#include "verb.h"

/* Return: the instance, with a message when there is none to adopt. */
static sd_json_variant *find_instance(sd_json_variant *topology, const char *device)
{
	sd_json_variant *instance;

	FORMAT_EACH(instance, format_list(topology, "instances"))
	{
		if (strcmp(format_text(instance, "device"), device))
			continue;
		if (format_has(instance, "lease"))
			fprintf(stderr, "daxmgrctl: %s belongs to VM %s\n", device,
				format_text(instance, "lease"));
		else if (!format_has(instance, "mapper"))
			fprintf(stderr, "daxmgrctl: nobody maps %s: it is removed\n", device);
		else
			return instance;
		return NULL;
	}
	fprintf(stderr, "daxmgrctl: no managed region has an instance '%s'\n", device);
	return NULL;
}

static void read_command(pid_t pid, char *text, size_t room)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	file = fopen(path, "re");
	if (!file || !fgets(text, (int)room, file))
		snprintf(text, room, "?");
	for (; *text; text++)
		*text = *text == '\n' ? '\0' : *text < ' ' || *text > '~' ? '?' : *text;
}

static void show(sd_json_variant *instance, pid_t pid)
{
	char size[UNITS_SIZE_BYTES], command[64];

	read_command(pid, command, sizeof(command));
	printf("%s, %s of region %s, is mapped by process %d (%s).\n"
	       "As a VM that process is killed when the memory is lost, and its memory is taken back when it ends.\n",
	       format_text(instance, "device"),
	       units_format_size(format_number(instance, "bytes"), size),
	       format_text(instance, "region"), (int)pid, command);
	fflush(stdout);
}

/* The pidfd was opened before the daemon looks who maps it: so it cannot be another process's. */
static int call(const struct context *context, const char *name, const char *device, int pidfd,
		sd_json_variant **ret_reply)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
	_cleanup_(client_close) sd_varlink *link = NULL;
	struct client_failure failure;
	int index;

	if (client_connect(context->socket, &link, &failure) != CLIENT_OK)
		return verb_fail(&failure);
	index = sd_varlink_push_dup_fd(link, pidfd);
	if (index < 0 || sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("name", name),
					SD_JSON_BUILD_PAIR_STRING("device", device),
					SD_JSON_BUILD_PAIR_INTEGER("pidfd", index)) < 0)
		return verb_out_of_memory();
	if (client_call(link, CLIENT_METHOD("Adopt"), parameters, ret_reply, &failure) != CLIENT_OK)
		return verb_fail(&failure);
	return CLIENT_OK;
}

static int adopt(struct context *context, const char *name, const char *device,
		 sd_json_variant *instance)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	pid_t pid = (pid_t)format_number(instance, "mapper");
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	int status;

	if (pidfd < 0) {
		fprintf(stderr, "daxmgrctl: process %d: %s\n", (int)pid, strerror(errno));
		return CLIENT_NOT_FOUND;
	}
	if (context->dry_run && sd_json_format_enabled(context->json))
		verb_print_json(context, instance);
	else if (context->dry_run || !context->yes)
		show(instance, pid);
	if (context->dry_run)
		return CLIENT_OK;
	if (!verb_confirm(context, "Adopt it as VM %s?", name))
		return CLIENT_USAGE;
	status = call(context, name, device, pidfd, &reply);
	if (status != CLIENT_OK)
		return status;
	if (sd_json_format_enabled(context->json))
		verb_print_json(context, reply);
	else
		printf("%s: adopted, process %d.\n", name, (int)pid);
	return CLIENT_OK;
}

int verb_vm_adopt(struct context *context, int argc, char *argv[])
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *topology = NULL;
	sd_json_variant *instance;
	int status;

	if (verb_option(context, argc, argv, NULL) != -1 || !verb_arguments(argc, argv, 2, 2))
		return CLIENT_USAGE;
	status = verb_ask(context, CLIENT_METHOD("GetTopology"), NULL, &topology);
	if (status != CLIENT_OK)
		return status;
	instance = find_instance(topology, argv[optind + 1]);
	if (!instance)
		return CLIENT_NOT_FOUND;
	return adopt(context, argv[optind], argv[optind + 1], instance);
}
