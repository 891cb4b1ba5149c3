/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "cleanup.h"

enum {
	RETRY_USEC = 200 * 1000,
	MESSAGE_BYTES = 512,
};

/* Return: the address' length, 0 when nobody is to be told, or negative errno. */
static int manager_address(struct sockaddr_un *ret)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;

	if (!length)
		return 0;
	/* vsock is for the manager of a whole machine. */
	if (path[0] != '/' && path[0] != '@')
		return -EAFNOSUPPORT;
	if (length >= sizeof(ret->sun_path))
		return -E2BIG;
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path, path, length);
	if (path[0] == '@')
		ret->sun_path[0] = '\0';
	return (int)(offsetof(struct sockaddr_un, sun_path) + length);
}

int notify_send(const char *state, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {(void *)state, strlen(state)};
	struct sockaddr_un address;
	struct msghdr message = {.msg_name = &address, .msg_iov = &part, .msg_iovlen = 1};
	_cleanup_close_ int to = -1;
	struct cmsghdr *header;
	int length = manager_address(&address);

	if (length <= 0)
		return length;
	message.msg_namelen = (socklen_t)length;
	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(int));
	}
	to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (to < 0 || sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	return 1;
}

int notify_sendf(const char *format, ...)
{
	char state[MESSAGE_BYTES];
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(state, sizeof(state), format, arguments);
	va_end(arguments);
	return n < 0 || (size_t)n >= sizeof(state) ? -EMSGSIZE : notify_send(state, -1);
}

/* A third of what the manager allows: two may be lost. UINT64_MAX: it does not want to know. */
static uint64_t watchdog_period_usec(void)
{
	uint64_t usec;

	return sd_watchdog_enabled(0, &usec) > 0 ? usec / 3 : UINT64_MAX;
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	/* READY=1 once more does no harm, and the first may not have been taken. */
	bool taken = notify_send("READY=1\nWATCHDOG=1", -1) != -EAGAIN;
	uint64_t period = taken ? watchdog_period_usec() : RETRY_USEC;

	(void)usec;
	(void)userdata;
	if (period == UINT64_MAX)
		return sd_event_source_set_enabled(source, SD_EVENT_OFF);
	sd_event_source_set_time_relative(source, period);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int notify_ready(sd_event *event, int64_t priority, sd_event_source **ret)
{
	sd_event_source *source;
	int r = sd_event_add_time_relative(event, &source, CLOCK_MONOTONIC, 0, 1, on_due, NULL);

	if (r < 0)
		return r;
	r = sd_event_source_set_priority(source, priority);
	if (r >= 0)
		r = on_due(source, 0, NULL);
	if (r < 0) {
		sd_event_source_unref(source);
		return r;
	}
	*ret = source;
	return 0;
}
