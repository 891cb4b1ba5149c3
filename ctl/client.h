/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Talking to daxmgrd: connect, call, follow a stream, and what an error means
 * for the exit status. Used by daxmgrctl and daxmgr-qemu.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <stdbool.h>

#include <systemd/sd-varlink.h>

#define CLIENT_SOCKET       "/run/daxmgr/org.daxmgr.Manager"
#define CLIENT_INTERFACE    "org.daxmgr.Manager"
#define CLIENT_METHOD(name) CLIENT_INTERFACE "." name

/* Exit status of the tools. */
enum client_status {
	CLIENT_OK,
	CLIENT_FAILURE,
	CLIENT_USAGE,
	CLIENT_NOT_FOUND,
	CLIENT_PERMISSION,
	CLIENT_UNREACHABLE,
	CLIENT_REFUSED,
	CLIENT_TIMED_OUT,
};

/* Why a call brought no reply. */
struct client_failure {
	enum client_status status;
	bool not_ready; /* the daemon is starting: the same call may work in a moment */
	char error[64]; /* last part of the error's name, e.g. "NameInUse"; empty when the link failed */
	char text[512]; /* one sentence for a person */
};

/* Takes the link away after its last message was sent. */
void client_close(sd_varlink **link);

/*
 * Connects to `socket`. One link carries one stream or any number of calls,
 * never both. Return: CLIENT_OK, or a status with `failure` filled.
 */
enum client_status client_connect(const char *socket, sd_varlink **ret,
				  struct client_failure *failure);

/*
 * Calls and waits for the one reply; the caller owns it. `parameters` may be
 * NULL and stays the caller's. Return: CLIENT_OK, or a status with `failure` filled.
 */
enum client_status client_call(sd_varlink *link, const char *method, sd_json_variant *parameters,
			       sd_json_variant **ret_reply, struct client_failure *failure);

/* One message of a stream; `last` when no other follows. The message is borrowed. */
typedef void (*client_message_t)(void *userdata, sd_json_variant *message, bool last);

/*
 * Calls with 'more' and hands over each message until the last one. Return:
 * CLIENT_OK after the last message, or a status with `failure` filled.
 */
enum client_status client_stream(sd_varlink *link, const char *method, sd_json_variant *parameters,
				 client_message_t message, void *userdata,
				 struct client_failure *failure);

/* What an error of the API means as exit status; CLIENT_FAILURE for unknown ones. */
enum client_status client_error_status(const char *error_id);

#endif
