/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct stream {
	client_message_t message;
	void *userdata;
	struct client_failure *failure;
	enum client_status status;
	bool ended;
};

struct meaning {
	const char *error;
	enum client_status status;
};

static const struct meaning meanings[] = {
	{CLIENT_METHOD("NotReady"), CLIENT_UNREACHABLE},
	{CLIENT_METHOD("NoSuchName"), CLIENT_NOT_FOUND},
	{CLIENT_METHOD("NoSuchUnit"), CLIENT_NOT_FOUND},
	{CLIENT_METHOD("NoSuchIncident"), CLIENT_NOT_FOUND},
	{CLIENT_METHOD("BadName"), CLIENT_USAGE},
	{CLIENT_METHOD("BadSize"), CLIENT_USAGE},
	{CLIENT_METHOD("BadRegion"), CLIENT_USAGE},
	{CLIENT_METHOD("NameInUse"), CLIENT_REFUSED},
	{CLIENT_METHOD("NoCapacity"), CLIENT_REFUSED},
	{CLIENT_METHOD("Fenced"), CLIENT_REFUSED},
	{CLIENT_METHOD("NotGranted"), CLIENT_REFUSED},
	{CLIENT_METHOD("GrantVoid"), CLIENT_REFUSED},
	{CLIENT_METHOD("ProcessTaken"), CLIENT_REFUSED},
	{CLIENT_METHOD("Refused"), CLIENT_REFUSED},
	{CLIENT_METHOD("TableFull"), CLIENT_REFUSED},
	{CLIENT_METHOD("Busy"), CLIENT_REFUSED},
	{CLIENT_METHOD("StillRunning"), CLIENT_REFUSED},
	{CLIENT_METHOD("Withdrawn"), CLIENT_REFUSED},
	{CLIENT_METHOD("Pinning"), CLIENT_REFUSED},
	{CLIENT_METHOD("Locked"), CLIENT_REFUSED},
	{CLIENT_METHOD("NotAdoptable"), CLIENT_REFUSED},
	{CLIENT_METHOD("BadRecord"), CLIENT_USAGE},
	{CLIENT_METHOD("NotObserved"), CLIENT_FAILURE},
	{CLIENT_METHOD("OnHold"), CLIENT_REFUSED},
	{CLIENT_METHOD("StoreFailed"), CLIENT_FAILURE},
	{SD_VARLINK_ERROR_PERMISSION_DENIED, CLIENT_PERMISSION},
	{SD_VARLINK_ERROR_INVALID_PARAMETER, CLIENT_USAGE},
	{SD_VARLINK_ERROR_DISCONNECTED, CLIENT_UNREACHABLE},
	{SD_VARLINK_ERROR_TIMEOUT, CLIENT_TIMED_OUT},
};

enum client_status client_error_status(const char *error_id)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (!strcmp(meanings[i].error, error_id))
			return meanings[i].status;
	return CLIENT_FAILURE;
}

static const char *string_of(sd_json_variant *object, const char *key)
{
	sd_json_variant *value = sd_json_variant_by_key(object, key);

	return sd_json_variant_is_string(value) ? sd_json_variant_string(value) : NULL;
}

static enum client_status fail_link(struct client_failure *failure, int error)
{
	*failure = (struct client_failure){.status = CLIENT_UNREACHABLE};
	if (error == ETIME || error == ETIMEDOUT) {
		failure->status = CLIENT_TIMED_OUT;
		snprintf(failure->text, sizeof(failure->text), "daxmgrd did not answer in time");
	} else if (error == ECONNRESET || error == ENOTCONN || error == EPIPE) {
		snprintf(failure->text, sizeof(failure->text),
			 "the connection to daxmgrd was lost");
	} else {
		failure->status = CLIENT_FAILURE;
		snprintf(failure->text, sizeof(failure->text), "talking to daxmgrd failed: %s",
			 strerror(error));
	}
	return failure->status;
}

static enum client_status fail_error(struct client_failure *failure, const char *error_id,
				     sd_json_variant *parameters)
{
	const char *text = string_of(parameters, "text"),
		   *parameter = string_of(parameters, "parameter");
	const char *dot = strrchr(error_id, '.');
	int error;

	if (!strcmp(error_id, SD_VARLINK_ERROR_DISCONNECTED))
		return fail_link(failure, ECONNRESET);
	if (!strcmp(error_id, SD_VARLINK_ERROR_TIMEOUT))
		return fail_link(failure, ETIME);
	*failure = (struct client_failure){.status = client_error_status(error_id)};
	snprintf(failure->error, sizeof(failure->error), "%s", dot ? dot + 1 : error_id);
	failure->not_ready = !strcmp(failure->error, "NotReady");
	if (failure->status == CLIENT_PERMISSION) {
		snprintf(failure->text, sizeof(failure->text), "only root may ask daxmgrd");
	} else if (parameter) {
		snprintf(failure->text, sizeof(failure->text),
			 "daxmgrd does not accept the value of '%s'", parameter);
	} else if (text) {
		snprintf(failure->text, sizeof(failure->text), "%s", text);
	} else {
		error = sd_varlink_error_to_errno(error_id, parameters);
		snprintf(failure->text, sizeof(failure->text), "%s (%s)", failure->error,
			 strerror(error < 0 ? -error : EIO));
	}
	return failure->status;
}

void client_close(sd_varlink **link)
{
	*link = sd_varlink_flush_close_unref(*link);
}

enum client_status client_connect(const char *socket, sd_varlink **ret,
				  struct client_failure *failure)
{
	sd_varlink *link = NULL;
	int r;

	r = sd_varlink_connect_address(&link, socket);
	if (r >= 0)
		r = sd_varlink_set_allow_fd_passing_output(link, 1);
	if (r >= 0) {
		*ret = link;
		return CLIENT_OK;
	}
	sd_varlink_unref(link);
	*failure = (struct client_failure){.status = CLIENT_UNREACHABLE};
	if (r == -EACCES || r == -EPERM) {
		failure->status = CLIENT_PERMISSION;
		snprintf(failure->text, sizeof(failure->text), "%s: only root may ask daxmgrd",
			 socket);
	} else {
		snprintf(failure->text, sizeof(failure->text),
			 "cannot reach daxmgrd at %s: %s (is daxmgrd.service running?)", socket,
			 strerror(-r));
	}
	return failure->status;
}

enum client_status client_call(sd_varlink *link, const char *method, sd_json_variant *parameters,
			       sd_json_variant **ret_reply, struct client_failure *failure)
{
	sd_json_variant *reply = NULL;
	const char *error_id = NULL;
	int r;

	r = sd_varlink_call(link, method, parameters, &reply, &error_id);
	if (r < 0)
		return fail_link(failure, -r);
	if (error_id)
		return fail_error(failure, error_id, reply);
	*ret_reply = sd_json_variant_ref(reply);
	return CLIENT_OK;
}

static int on_message(sd_varlink *link, sd_json_variant *parameters, const char *error_id,
		      sd_varlink_reply_flags_t flags, void *userdata)
{
	struct stream *stream = userdata;
	bool last = !(flags & SD_VARLINK_REPLY_CONTINUES);

	(void)link;
	if (error_id) {
		stream->status = fail_error(stream->failure, error_id, parameters);
		stream->ended = true;
		return 0;
	}
	stream->ended = last;
	stream->message(stream->userdata, parameters, last);
	return 0;
}

enum client_status client_stream(sd_varlink *link, const char *method, sd_json_variant *parameters,
				 client_message_t message, void *userdata,
				 struct client_failure *failure)
{
	struct stream stream = {.message = message, .userdata = userdata, .failure = failure};
	int r;

	sd_varlink_set_userdata(link, &stream);
	r = sd_varlink_set_relative_timeout(link, UINT64_MAX);
	if (r >= 0)
		r = sd_varlink_bind_reply(link, on_message);
	if (r >= 0)
		r = sd_varlink_observe(link, method, parameters);
	while (r >= 0 && !stream.ended) {
		r = sd_varlink_process(link);
		if (r == 0)
			r = sd_varlink_wait(link, UINT64_MAX);
		if (r == -EINTR)
			r = 0;
	}
	sd_varlink_bind_reply(link, NULL);
	sd_varlink_set_userdata(link, NULL);
	if (r < 0 && !stream.ended)
		return fail_link(failure, -r);
	return stream.status;
}
