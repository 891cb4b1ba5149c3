/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Adopt(). */
#include "control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "varlink_interface.h"

struct parameters {
	const char *name;
	const char *device;
	uint64_t pidfd;
};

static const sd_json_dispatch_field table[] = {
	{"name", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
	 offsetof(struct parameters, name), SD_JSON_MANDATORY},
	{"device", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
	 offsetof(struct parameters, device), SD_JSON_MANDATORY},
	{"pidfd", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
	 offsetof(struct parameters, pidfd), SD_JSON_MANDATORY},
	{0},
};

/* "dax0.2" and nothing else. */
static bool parse_device(const char *text, struct iso_adopt *ret)
{
	char again[32];

	if (sscanf(text, "dax%u.%u", &ret->region_kernel_id, &ret->kernel_id) != 2)
		return false;
	snprintf(again, sizeof(again), "dax%u.%u", ret->region_kernel_id, ret->kernel_id);
	return !strcmp(text, again);
}

static int answer(struct control_request *request, const struct iso_effect *reply)
{
	(void)reply;
	return sd_varlink_replybo(request->link, SD_JSON_BUILD_PAIR_STRING("name", request->object),
				  SD_JSON_BUILD_PAIR_INTEGER("pid", request->pid));
}

static int run(struct control *control, sd_varlink *link, const struct iso_adopt *adopt, int pidfd)
{
	_cleanup_close_ int owned = pidfd;
	struct control_request *request;
	int r;

	request = control_request_new(control, link, answer, adopt->name);
	if (!request)
		return -ENOBUFS;
	request->method = "Adopt";
	request->pid = adopt->pid;
	owned = -1;
	r = daemon_adopt_process(control->daemon, adopt, pidfd, control_on_reply, request);
	if (r >= 0)
		return 0;
	control_error(link, VARLINK_ERROR("Refused"), "%s: cannot watch process %d: %s",
		      adopt->name, (int)adopt->pid, strerror(-r));
	control_request_free(request);
	return 0;
}

int control_adopt(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		  void *userdata)
{
	struct control *control = userdata;
	_cleanup_close_ int pidfd = -1;
	struct parameters p = {0};
	struct iso_adopt adopt = {0};
	const char *wrong;
	int r;

	(void)flags;
	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &p);
	if (r != 0)
		return r;
	if (!iso_name_valid(p.name))
		return control_error(link, VARLINK_ERROR("BadName"), "'%.80s': %s", p.name,
				     iso_reply_text(ISO_REPLY_BAD_NAME));
	if (!parse_device(p.device, &adopt))
		return control_error(link, VARLINK_ERROR("NoSuchUnit"),
				     "'%.80s' is no instance such as dax0.2", p.device);
	pidfd = sd_varlink_take_fd(link, p.pidfd);
	if (pidfd < 0)
		return control_error(link, VARLINK_ERROR("Refused"),
				     "%s: no pidfd came with the call: %s", p.name,
				     strerror(-pidfd));
	wrong = control_check_adopted(pidfd, &adopt.pid);
	if (wrong)
		return control_error(link, VARLINK_ERROR("Refused"), "%s: %s", p.name, wrong);
	snprintf(adopt.name, sizeof(adopt.name), "%s", p.name);
	r = pidfd;
	pidfd = -1;
	return run(control, link, &adopt, r);
}
