/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	RECEIVE_BYTES = 4 * 1024 * 1024,
	MESSAGE_BYTES = 16 * 1024, /* the kernel's own limit is 2 KiB of properties and a path */
	MESSAGES_PER_DISPATCH = 128,
	GROUP_KERNEL = 1,
};

struct uevent_reader {
	int fd;
	sd_event_source *source;
	uevent_handler on_uevent;
	uevent_gap_handler on_gap;
	void *userdata;
	struct uevent_report report;
	uint32_t dropped; /* as the kernel counts it, modulo 2^32 */
	bool dropping; /* since the queue was last empty */
	char message[MESSAGE_BYTES];
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void gap(struct uevent_reader *reader, enum uevent_gap kind, uint64_t lost)
{
	reader->report.gaps++;
	reader->on_gap(reader->userdata, kind, lost);
}

/* How many since the last question. The kernel counts each (netlink_overrun()), and tells with ENOBUFS of the first only. */
static uint32_t newly_dropped(struct uevent_reader *reader)
{
	uint32_t info[SK_MEMINFO_VARS] = {0}, before = reader->dropped;
	socklen_t bytes = sizeof(info);

	if (getsockopt(reader->fd, SOL_SOCKET, SO_MEMINFO, info, &bytes) < 0 ||
	    bytes <= SK_MEMINFO_DROPS * sizeof(info[0]))
		return 0;
	reader->dropped = info[SK_MEMINFO_DROPS];
	return reader->dropped - before;
}

/* The queue is empty, and drops are told with an error again. */
static void drained(struct uevent_reader *reader)
{
	uint32_t lost = reader->dropping ? newly_dropped(reader) : 0;

	reader->dropping = false;
	if (lost)
		gap(reader, UEVENT_DROPPED, lost);
}

/* Anybody with the right capability may send to the group: only the kernel is believed. */
static bool is_from_kernel(struct msghdr *header)
{
	const struct sockaddr_nl *sender = header->msg_name;
	struct cmsghdr *control = CMSG_FIRSTHDR(header);
	struct ucred credentials;

	if (header->msg_namelen < sizeof(*sender) || sender->nl_pid != 0)
		return false;
	if (!control || control->cmsg_level != SOL_SOCKET ||
	    control->cmsg_type != SCM_CREDENTIALS ||
	    control->cmsg_len != CMSG_LEN(sizeof(credentials)))
		return false;
	memcpy(&credentials, CMSG_DATA(control), sizeof(credentials));
	return credentials.pid == 0 && credentials.uid == 0;
}

static void handle_message(struct uevent_reader *reader, struct msghdr *header, size_t bytes)
{
	struct uevent uevent;

	if (!is_from_kernel(header)) {
		reader->report.foreign++;
		return;
	}
	if ((header->msg_flags & MSG_TRUNC) ||
	    uevent_decode(reader->message, bytes, &uevent) != UEVENT_DECODED) {
		reader->report.malformed++;
		gap(reader, UEVENT_UNREADABLE, 1);
		return;
	}
	reader->report.received++;
	reader->report.last_ns = now_ns();
	if (uevent.has_seqnum)
		reader->report.last_seqnum = uevent.seqnum;
	reader->on_uevent(reader->userdata, &uevent, reader->report.last_ns);
}

/* Return: false when there is nothing more to read now. */
static bool receive(struct uevent_reader *reader)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct sockaddr_nl sender = {0};
	struct iovec part = {.iov_base = reader->message, .iov_len = sizeof(reader->message)};
	struct msghdr header = {
		.msg_name = &sender,
		.msg_namelen = sizeof(sender),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(reader->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n >= 0) {
		handle_message(reader, &header, (size_t)n);
		return true;
	}
	if (errno == ENOBUFS) {
		reader->dropping = true;
		gap(reader, UEVENT_DROPPED, newly_dropped(reader));
		return true;
	}
	if (errno == EINTR)
		return true;
	drained(reader);
	return false;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)source;
	(void)fd;
	(void)revents;
	for (unsigned int i = 0; i < MESSAGES_PER_DISPATCH; i++)
		if (!receive(userdata))
			break;
	return 0;
}

static int open_socket(size_t *ret_receive_bytes)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = GROUP_KERNEL};
	int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	int bytes = RECEIVE_BYTES, on = 1, r;
	socklen_t length = sizeof(bytes);

	if (fd < 0)
		return -errno;
	/* FORCE needs CAP_NET_ADMIN; without it the limit of the system applies. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &length) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	*ret_receive_bytes = (size_t)bytes;
	return fd;
}

int uevent_open(sd_event *loop, int64_t priority, uevent_handler on_uevent,
		uevent_gap_handler on_gap, void *userdata, struct uevent_reader **ret,
		char problem[ISO_TEXT_BYTES])
{
	struct uevent_reader *reader = calloc(1, sizeof(*reader));
	int r = -ENOMEM;

	if (reader) {
		reader->on_uevent = on_uevent;
		reader->on_gap = on_gap;
		reader->userdata = userdata;
		reader->fd = r = open_socket(&reader->report.receive_bytes);
	}
	if (r >= 0)
		r = sd_event_add_io(loop, &reader->source, reader->fd, EPOLLIN, on_readable,
				    reader);
	if (r >= 0)
		r = sd_event_source_set_priority(reader->source, priority);
	if (r < 0) {
		snprintf(problem, ISO_TEXT_BYTES, "uevents: cannot listen to the kernel: %s",
			 strerror(-r));
		uevent_close(reader);
		return r;
	}
	*ret = reader;
	return 0;
}

struct uevent_reader *uevent_close(struct uevent_reader *reader)
{
	if (!reader)
		return NULL;
	sd_event_source_disable_unref(reader->source);
	if (reader->fd >= 0)
		close(reader->fd);
	free(reader);
	return NULL;
}

void uevent_get_report(const struct uevent_reader *reader, struct uevent_report *ret)
{
	*ret = reader->report;
}
