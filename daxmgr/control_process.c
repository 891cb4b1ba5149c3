/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose process may become the VM of a lease. A process is named by a pidfd
 * only: the peer's own, which the kernel gives with the connection, or one
 * that the peer sends.
 *
 *  - It must live, be a thread group leader and be visible in our PID namespace.
 *  - Never pid 1, a kernel thread, the daemon or a child of the daemon (a worker).
 *  - It must be the peer itself or a child of the peer: a process that the peer
 *    can have started. Somebody else's process is refused whoever asks.
 *  - A child must run as the lease's uid or still as root.
 *
 * An operator who adopts an instance names any living process but these of
 * the second kind; that it maps the instance is the engine's to see.
 * That it is not the VM of another lease already is the engine's to say.
 */
#include "control_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

enum {
	FLAG_KTHREAD = 0x00200000, /* PF_KTHREAD, include/linux/sched.h */
};

struct process {
	pid_t pid;
	pid_t parent;
	unsigned int flags;
	char state;
	uid_t uid;
};

static bool lives(int pidfd)
{
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 0;
}

/* Return: the number, 0 when it is not in our namespace, -1 when it is gone or no pidfd. */
static pid_t pid_of(int pidfd)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], line[256];
	int pid = -1;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			return pid;
	return -1;
}

static bool read_stat(struct process *process)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], line[1024];
	const char *after_name;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)process->pid);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return false;
	/* The name may hold anything, also ')'. */
	after_name = strrchr(line, ')');
	return after_name && sscanf(after_name + 1, " %c %d %*d %*d %*d %*d %u", &process->state,
				    &process->parent, &process->flags) == 3;
}

static bool read_uid(struct process *process)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)process->pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Uid: %u", &process->uid) == 1)
			return true;
	return false;
}

static const char *check_kind(int pidfd, struct process *process)
{
	process->pid = pid_of(pidfd);
	if (process->pid < 0)
		return "no pidfd of a living process came with the call";
	if (process->pid == 0)
		return "the process is not in the manager's PID namespace";
	/* A pidfd of a single thread carries O_EXCL (PIDFD_THREAD). */
	if (fcntl(pidfd, F_GETFL) & O_EXCL)
		return "the pidfd names a thread, not a process";
	if (!read_stat(process) || !read_uid(process) || !lives(pidfd) ||
	    strchr("ZX", process->state))
		return "the process is gone";
	if (process->pid == 1)
		return "process 1 cannot be a VM";
	if (process->flags & FLAG_KTHREAD)
		return "a kernel thread cannot be a VM";
	if (process->pid == getpid())
		return "the manager itself cannot be a VM";
	if (process->parent == getpid())
		return "a worker of the manager cannot be a VM";
	return NULL;
}

const char *control_check_adopted(int pidfd, pid_t *ret_pid)
{
	struct process process = {0};
	const char *wrong = check_kind(pidfd, &process);

	if (wrong)
		return wrong;
	if (!lives(pidfd))
		return "the process is gone";
	*ret_pid = process.pid;
	return NULL;
}

const char *control_check_process(sd_varlink *link, int pidfd, uid_t uid, pid_t *ret_pid)
{
	struct process process = {0};
	const char *wrong;
	int peer_pidfd = sd_varlink_get_peer_pidfd(link);
	pid_t peer;

	if (peer_pidfd < 0)
		return "the kernel does not say which process asks";
	wrong = check_kind(pidfd, &process);
	if (wrong)
		return wrong;
	peer = pid_of(peer_pidfd);
	if (peer <= 0 || !lives(peer_pidfd))
		return "the process that asked is gone";
	if (process.pid != peer) {
		if (process.parent != peer)
			return "it is somebody else's process: only the caller or a child of the caller may be attached";
		if (process.uid != uid && process.uid != 0)
			return "the process runs neither as the owner of the lease nor as root";
	}
	/* All that was read by number holds only if the process still has it. */
	if (!lives(pidfd))
		return "the process is gone";
	*ret_pid = process.pid;
	return NULL;
}
