/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "cleanup.h"
#include "priority.h"
#include "worker.h"
#include "worker_process.h"

static void worker_settle(void)
{
	int fd;

	priority_limit();
	prctl(PR_SET_NAME, "daxmgr-worker");
	/* A worker that sleeps in the kernel does not see its socket close. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* By ourselves: the seccomp filter of the unit keeps the daemon from starting us there. */
	(void)worker_cgroup_join();
	umask(022);
	if (chdir("/") < 0)
		return;
	/* The daemon must outlive a shortage of memory, a worker need not. */
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "0", 1) < 0)
			(void)errno;
		close(fd);
	}
}

static int worker_reply(int socket, struct job_reply *reply, int snapshot_fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {reply, sizeof(*reply)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *header;

	reply->was_slow = priority_left();
	if (snapshot_fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &snapshot_fd, sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int worker_receive(int socket, void *buffer, size_t bytes)
{
	ssize_t length;

	do {
		length = recv(socket, buffer, bytes, MSG_TRUNC);
	} while (length < 0 && errno == EINTR);
	if (length < 0)
		return -errno;
	if (!length)
		return -ENOTCONN;
	return (size_t)length == bytes ? 0 : -EBADMSG;
}

/* VERIFY jobs that came together. Return: 0 or a negative errno of the socket. */
static int worker_verify(int socket, const char *root, const struct job_request *first)
{
	struct job_request requests[JOB_JOINED_MAX] = {*first};
	struct job_reply replies[JOB_JOINED_MAX];
	uint32_t n = 1 + first->n_joined;
	int error = n <= JOB_JOINED_MAX ? 0 : -EBADMSG;

	for (uint32_t i = 1; !error && i < n; i++) {
		error = worker_receive(socket, &requests[i], sizeof(requests[i]));
		if (!error && requests[i].kind != JOB_VERIFY)
			error = -EBADMSG;
	}
	if (!error)
		job_run_joined(root, requests, n, replies);
	for (uint32_t i = 0; !error && i < n; i++)
		error = worker_reply(socket, &replies[i], -1);
	return error;
}

static int worker_serve(int socket, const char *root, const struct job_request *request)
{
	_cleanup_close_ int snapshot_fd = -1;
	struct job_reply reply;

	if (request->kind == JOB_VERIFY)
		return worker_verify(socket, root, request);
	if (!job_is_quick(request))
		priority_leave();
	job_run(root, request, &reply, &snapshot_fd);
	return worker_reply(socket, &reply, snapshot_fd);
}

int worker_main(int fd)
{
	struct worker_hello hello;
	int error;

	worker_settle();
	error = worker_receive(fd, &hello, sizeof(hello));
	if (!error && (hello.request_bytes != sizeof(struct job_request) ||
		       hello.reply_bytes != sizeof(struct job_reply) ||
		       !memchr(hello.root, '\0', sizeof(hello.root))))
		error = -EBADMSG;
	while (!error) {
		struct job_request request;

		error = worker_receive(fd, &request, sizeof(request));
		if (!error)
			error = worker_serve(fd, hello.root, &request);
	}
	return error == -ENOTCONN || error == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE;
}
