/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "varlink_interface.h"

static int on_connect(sd_varlink_server *server, sd_varlink *link, void *userdata)
{
	(void)server;
	(void)userdata;
	return sd_varlink_set_allow_fd_passing_input(link, 1);
}

static void on_disconnect(sd_varlink_server *server, sd_varlink *link, void *userdata)
{
	struct control *control = userdata;
	struct control_request *request, *next;

	(void)server;
	/* Stopping the daemon withdraws nothing: the clients come back to the next one. */
	if (control->stopping)
		return;
	control_subscribers_drop(control, link);
	for (request = control->requests; request; request = next) {
		next = request->next;
		if (request->link != link)
			continue;
		request->link = sd_varlink_unref(request->link);
		if (!request->is_acquire)
			continue;
		/* The WITHDRAWN that follows frees this request, and the list may change under us. */
		daemon_withdraw(control->daemon, request->object);
		next = control->requests;
	}
}

static int bind_methods(sd_varlink_server *server)
{
	return sd_varlink_server_bind_method_many(
		server, VARLINK_METHOD("GetStatus"), control_get_status,
		VARLINK_METHOD("GetTopology"), control_get_topology, VARLINK_METHOD("ListRegions"),
		control_list_regions, VARLINK_METHOD("CreateRegion"), control_create_region,
		VARLINK_METHOD("DestroyRegion"), control_destroy_region, VARLINK_METHOD("Acquire"),
		control_acquire, VARLINK_METHOD("Attach"), control_attach,
		VARLINK_METHOD("Release"), control_release, VARLINK_METHOD("ListLeases"),
		control_list_leases, VARLINK_METHOD("WhatIf"), control_what_if,
		VARLINK_METHOD("Isolate"), control_isolate, VARLINK_METHOD("Recover"),
		control_recover, VARLINK_METHOD("Confirm"), control_confirm,
		VARLINK_METHOD("ListIncidents"), control_list_incidents,
		VARLINK_METHOD("ListEvents"), control_list_events, VARLINK_METHOD("Monitor"),
		control_monitor, VARLINK_METHOD("Acknowledge"), control_acknowledge,
		VARLINK_METHOD("ReplayEvents"), control_replay_events, VARLINK_METHOD("GetWorkers"),
		control_get_workers, VARLINK_METHOD("ListPoison"), control_list_poison,
		VARLINK_METHOD("ReadPoison"), control_read_poison, VARLINK_METHOD("ListSources"),
		control_list_sources, VARLINK_METHOD("GetHealth"), control_get_health,
		VARLINK_METHOD("Reconcile"), control_reconcile, VARLINK_METHOD("Adopt"),
		control_adopt, VARLINK_METHOD("ListRules"), control_list_rules,
		VARLINK_METHOD("ReloadPolicy"), control_reload_policy,
		VARLINK_METHOD("ExplainRecord"), control_explain_record, VARLINK_METHOD("Inject"),
		control_inject, VARLINK_METHOD("ListPorts"), control_list_ports,
		VARLINK_METHOD("ArmPort"), control_arm_port, VARLINK_METHOD("DisarmPort"),
		control_disarm_port);
}

static int start_server(struct control *control, sd_event *event, const char *socket_path,
			int64_t priority)
{
	int r;

	r = sd_varlink_server_new(&control->server, SD_VARLINK_SERVER_ACCOUNT_UID |
							    SD_VARLINK_SERVER_INHERIT_USERDATA);
	if (r < 0)
		return r;
	sd_varlink_server_set_userdata(control->server, control);
	/* Every waiting VM holds one connection, and they are all root's. */
	sd_varlink_server_set_connections_max(control->server, CONTROL_REQUESTS_MAX);
	sd_varlink_server_set_connections_per_uid_max(control->server, CONTROL_REQUESTS_MAX);
	if ((r = sd_varlink_server_set_info(control->server, "daxmgr", "daxmgrd", DAXMGR_VERSION,
					    NULL)) < 0 ||
	    (r = sd_varlink_server_add_interface(control->server,
						 &vl_interface_org_daxmgr_Manager)) < 0 ||
	    (r = bind_methods(control->server)) < 0 ||
	    (r = sd_varlink_server_bind_connect(control->server, on_connect)) < 0 ||
	    (r = sd_varlink_server_bind_disconnect(control->server, on_disconnect)) < 0 ||
	    (r = sd_varlink_server_attach_event(control->server, event, priority)) < 0)
		return r;
	return sd_varlink_server_listen_address(control->server, socket_path, 0600);
}

int control_new(struct daemon *daemon, sd_event *event, const char *socket_path, int64_t priority,
		struct control **ret)
{
	struct control *control;
	int r;

	control = calloc(1, sizeof(*control));
	if (!control)
		return -ENOMEM;
	control->daemon = daemon;
	control->event = sd_event_ref(event);
	r = start_server(control, event, socket_path, priority);
	if (r < 0) {
		control_free(control);
		return r;
	}
	*ret = control;
	return 0;
}

void control_set_align(struct control *control, uint64_t align)
{
	control->align = align;
}

void control_set_host_may_panic(struct control *control, bool consent)
{
	control->host_may_panic = consent;
}

struct control *control_free(struct control *control)
{
	if (!control)
		return NULL;
	control->stopping = true;
	control->server = sd_varlink_server_unref(control->server);
	control_subscribers_free(control);
	while (control->requests) {
		struct control_request *request = control->requests;

		/* Whoever still owes the answer owns the request from here on. */
		control->requests = request->next;
		request->link = sd_varlink_unref(request->link);
		request->control = NULL;
		request->next = request->previous = NULL;
	}
	sd_event_source_unref(control->progress_timer);
	sd_event_source_unref(control->gap_check);
	sd_event_unref(control->event);
	free(control);
	return NULL;
}

int control_admit(sd_varlink *link)
{
	uid_t uid;
	int r;

	r = sd_varlink_get_peer_uid(link, &uid);
	if (r >= 0 && uid == 0)
		return 0;
	/* Returns the errno that stands for the error when all is well. */
	sd_varlink_error(link, SD_VARLINK_ERROR_PERMISSION_DENIED, NULL);
	return 1;
}

int control_admit_request(struct control *control, sd_varlink *link)
{
	int r = control_admit(link);

	if (r != 0)
		return r;
	if (daemon_is_ready(control->daemon))
		return 0;
	control_error(link, VARLINK_ERROR("NotReady"),
		      "daxmgrd has not finished its first look at the host; try again");
	return 1;
}

/* Return: bytes of the character at `text`, 0 when it is none, or one that moves a terminal's cursor. */
static size_t character_bytes(const unsigned char *text)
{
	size_t n = text[0] < 0x20 || text[0] == 0x7f   ? 0
		   : text[0] < 0x80                    ? 1
		   : text[0] >= 0xc2 && text[0] < 0xe0 ? 2
		   : text[0] >= 0xe0 && text[0] < 0xf0 ? 3
		   : text[0] >= 0xf0 && text[0] < 0xf5 ? 4
						       : 0;
	size_t i;

	for (i = 1; i < n; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* What is quoted may be cut within a character, and JSON takes whole ones only. */
static void mend_characters(char *text)
{
	size_t n;

	while (*text) {
		n = character_bytes((const unsigned char *)text);
		if (!n)
			*text = '?';
		text += n ? n : 1;
	}
}

const char *control_text(char *to, size_t room, const char *from)
{
	snprintf(to, room, "%s", from);
	mend_characters(to);
	return to;
}

/* The error was the answer: the method itself went well. */
int control_error(sd_varlink *link, const char *error_id, const char *format, ...)
{
	char text[2 * ISO_TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	mend_characters(text);
	sd_varlink_errorbo(link, error_id, SD_JSON_BUILD_PAIR_STRING("text", text));
	return 0;
}

static const char *error_of(uint32_t reply)
{
	switch ((enum iso_reply)reply) {
	case ISO_REPLY_NO_SUCH_NAME:
		return VARLINK_ERROR("NoSuchName");
	case ISO_REPLY_BAD_NAME:
		return VARLINK_ERROR("BadName");
	case ISO_REPLY_BAD_SIZE:
		return VARLINK_ERROR("BadSize");
	case ISO_REPLY_NAME_IN_USE:
		return VARLINK_ERROR("NameInUse");
	case ISO_REPLY_NO_CAPACITY:
		return VARLINK_ERROR("NoCapacity");
	case ISO_REPLY_FENCED:
		return VARLINK_ERROR("Fenced");
	case ISO_REPLY_NOT_GRANTED:
		return VARLINK_ERROR("NotGranted");
	case ISO_REPLY_GRANT_VOID:
		return VARLINK_ERROR("GrantVoid");
	case ISO_REPLY_PROCESS_TAKEN:
		return VARLINK_ERROR("ProcessTaken");
	case ISO_REPLY_TABLE_FULL:
		return VARLINK_ERROR("TableFull");
	case ISO_REPLY_BUSY:
		return VARLINK_ERROR("Busy");
	case ISO_REPLY_NOT_ATTACHED_GONE:
		return VARLINK_ERROR("StillRunning");
	case ISO_REPLY_WITHDRAWN:
		return VARLINK_ERROR("Withdrawn");
	case ISO_REPLY_BAD_REGION:
		return VARLINK_ERROR("BadRegion");
	case ISO_REPLY_NOT_READY:
		return VARLINK_ERROR("NotReady");
	case ISO_REPLY_PINNING:
		return VARLINK_ERROR("Pinning");
	case ISO_REPLY_NOT_OBSERVED:
		return VARLINK_ERROR("NotObserved");
	case ISO_REPLY_LOCKED:
		return VARLINK_ERROR("Locked");
	case ISO_REPLY_NOT_ADOPTABLE:
		return VARLINK_ERROR("NotAdoptable");
	case ISO_REPLY_ON_HOLD:
		return VARLINK_ERROR("OnHold");
	case ISO_REPLY_REFUSED:
		return VARLINK_ERROR("Refused");
	case ISO_REPLY_DONE:
	case ISO_REPLY_WAITING:
	case ISO_REPLY_ALREADY:
		break;
	}
	return VARLINK_ERROR("Refused");
}

int control_error_reply(sd_varlink *link, const char *object, const struct iso_effect *reply)
{
	const char *detail = reply->text ? reply->text : "";

	return control_error(link, error_of(reply->reply), "%s: %s%s%s%s", object,
			     iso_reply_text(reply->reply), *detail ? " (" : "", detail,
			     *detail ? ")" : "");
}

struct control_request *control_request_new(struct control *control, sd_varlink *link,
					    control_answer_t answer, const char *object)
{
	struct control_request *request;

	if (control->n_requests == CONTROL_REQUESTS_MAX)
		return NULL;
	request = calloc(1, sizeof(*request));
	if (!request)
		return NULL;
	request->control = control;
	request->link = sd_varlink_ref(link);
	request->answer = answer;
	request->lease_state = UINT32_MAX;
	snprintf(request->object, sizeof(request->object), "%s", object);
	request->next = control->requests;
	if (request->next)
		request->next->previous = request;
	control->requests = request;
	control->n_requests++;
	return request;
}

void control_request_free(struct control_request *request)
{
	struct control *control = request->control;

	if (control) {
		if (request->previous)
			request->previous->next = request->next;
		else
			control->requests = request->next;
		if (request->next)
			request->next->previous = request->previous;
		control->n_requests--;
	}
	sd_varlink_unref(request->link);
	free(request->words);
	free(request);
}

static void record_action(const struct control_request *request, const struct iso_effect *reply)
{
	struct store *store = daemon_store(request->control->daemon);
	struct store_action action = {0};

	if (!store || !request->method)
		return;
	snprintf(action.what, sizeof(action.what), "%s", request->method);
	snprintf(action.object, sizeof(action.object), "%s", request->object);
	snprintf(action.outcome, sizeof(action.outcome), "%s", iso_reply_text(reply->reply));
	store_save_action(store, &action);
}

void control_on_reply(void *userdata, const struct iso_effect *reply, bool last)
{
	struct control_request *request = userdata;

	if (request->control && last)
		record_action(request, reply);
	if (request->link && last && reply->reply != ISO_REPLY_DONE &&
	    reply->reply != ISO_REPLY_ALREADY)
		control_error_reply(request->link, request->object, reply);
	else if (request->link)
		request->answer(request, reply);
	if (last)
		control_request_free(request);
}

int control_run(struct control_request *request, struct iso_event *event)
{
	int r;

	r = daemon_request(request->control->daemon, event, control_on_reply, request, NULL);
	if (r >= 0)
		return 0;
	control_error(request->link, VARLINK_ERROR("Refused"), "%s: the request was not taken: %s",
		      request->object, strerror(-r));
	control_request_free(request);
	return 0;
}

int control_answer_outcome(struct control_request *request, const struct iso_effect *reply)
{
	return sd_varlink_replybo(
		request->link,
		SD_JSON_BUILD_PAIR_STRING("outcome",
					  reply->reply == ISO_REPLY_ALREADY ? "already" : "done"));
}
