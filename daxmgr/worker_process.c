/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "job.h"
#include "priority.h"
#include "worker.h"

enum { WORKER_ENVIRONMENT_MAX = 16 };

static int worker_spawn_actions(posix_spawn_file_actions_t *actions, int socket)
{
	int error =
		posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

	/* Neither the store nor the control socket nor a VM's pidfd goes along. */
	if (!error)
		error = posix_spawn_file_actions_adddup2(actions, socket, WORKER_SOCKET_FD);
	if (!error)
		error = posix_spawn_file_actions_addclosefrom_np(actions, WORKER_SOCKET_FD + 1);
	return -error;
}

static int worker_spawn_attributes(posix_spawnattr_t *attributes)
{
	static const struct sched_param below = {.sched_priority = PRIORITY_BELOW_LOOP};
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	sigset_t none, all;
	int error;

	sigemptyset(&none);
	sigfillset(&all);
	error = posix_spawnattr_setsigmask(attributes, &none);
	if (!error)
		error = posix_spawnattr_setsigdefault(attributes, &all);
	/* From its first instruction on: being loaded must not hold up a kill. */
	if (priority_is_realtime())
		flags |= POSIX_SPAWN_SETSCHEDPARAM;
	if (!error)
		error = posix_spawnattr_setschedparam(attributes, &below);
	if (!error)
		error = posix_spawnattr_setflags(attributes, flags);
	return -error;
}

/*
 * A worker is not the service: it must not find the service manager's sockets
 * in its environment. What concerns the loader and sanitizers holds for it too.
 */
static void worker_environment(char *environment[WORKER_ENVIRONMENT_MAX])
{
	static const char *const kept[] = {"PATH=", "LD_", "ASAN_OPTIONS=", "UBSAN_OPTIONS="};
	size_t n = 0;

	for (char **at = environ; *at && n + 1 < WORKER_ENVIRONMENT_MAX; at++)
		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			if (!strncmp(*at, kept[i], strlen(kept[i]))) {
				environment[n++] = *at;
				break;
			}
	environment[n] = NULL;
}

static int worker_spawn(int socket, pid_t *ret_pid)
{
	char *const arguments[] = {(char *)"daxmgrd", (char *)"--worker", NULL};
	char *environment[WORKER_ENVIRONMENT_MAX];
	_cleanup_(posix_spawn_file_actions_destroy) posix_spawn_file_actions_t actions;
	_cleanup_(posix_spawnattr_destroy) posix_spawnattr_t attributes;
	int error;

	if (posix_spawn_file_actions_init(&actions) || posix_spawnattr_init(&attributes))
		return -ENOMEM;
	worker_environment(environment);
	error = worker_spawn_actions(&actions, socket);
	if (!error)
		error = worker_spawn_attributes(&attributes);
	/* Not the file name: an upgrade may have replaced it by another layout of the jobs. */
	if (!error)
		error = -posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, arguments,
				     environment);
	return error;
}

static int worker_greet(int socket, const char *root)
{
	struct worker_hello hello = {
		.request_bytes = sizeof(struct job_request),
		.reply_bytes = sizeof(struct job_reply),
	};

	if (strlen(root) >= sizeof(hello.root))
		return -ENAMETOOLONG;
	strcpy(hello.root, root);
	if (send(socket, &hello, sizeof(hello), MSG_NOSIGNAL | MSG_DONTWAIT) !=
	    (ssize_t)sizeof(hello))
		return errno ? -errno : -EIO;
	return 0;
}

int worker_process_start(const char *root, struct worker_process *ret)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	int sockets[2], error;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	ours = sockets[0];
	theirs = sockets[1];
	error = worker_greet(ours, root);
	if (!error)
		error = worker_spawn(theirs, &pid);
	if (error)
		return error;
	*ret = (struct worker_process){pid, pidfd_open(pid, 0), ours};
	if (ret->pidfd < 0) {
		error = -errno;
		kill(pid, SIGKILL); /* ours and not reaped: the number cannot be another's */
		waitpid(pid, NULL, 0);
		*ret = WORKER_PROCESS_NULL;
		return error;
	}
	ours = -1;
	return 0;
}

bool worker_process_reap(struct worker_process *process, int *ret_status)
{
	return waitpid(process->pid, ret_status, WNOHANG) == process->pid;
}

void worker_process_close(struct worker_process *process)
{
	cleanup_close(&process->socket);
	cleanup_close(&process->pidfd);
	*process = WORKER_PROCESS_NULL;
}

/* Path of the workers' cgroup beside ours. Return: false when none was delegated. */
static bool worker_cgroup_path(char *path, size_t room)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/self/cgroup", "re");
	static const char ours[] = "/main";
	char line[PATH_MAX];
	size_t length;

	do {
		if (!file || !fgets(line, sizeof(line), file))
			return false;
	} while (strncmp(line, "0::", 3));
	line[strcspn(line, "\n")] = '\0';
	length = strlen(line);
	/* Anything else was not delegated to us. */
	if (length < 3 + strlen(ours) || strcmp(line + length - strlen(ours), ours))
		return false;
	line[length - strlen(ours)] = '\0';
	return (size_t)snprintf(path, room, "/sys/fs/cgroup%s/workers", line + 3) < room;
}

int worker_cgroup_make(void)
{
	char path[PATH_MAX];

	if (!worker_cgroup_path(path, sizeof(path)))
		return -ENOENT;
	return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int worker_cgroup_file(char *path, size_t room)
{
	char directory[PATH_MAX];

	if (!worker_cgroup_path(directory, sizeof(directory)))
		return -ENOENT;
	return (size_t)snprintf(path, room, "%s/cgroup.procs", directory) < room ? 0
										 : -ENAMETOOLONG;
}

int worker_cgroup_join(void)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int error = worker_cgroup_file(path, sizeof(path));

	if (error)
		return error;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, "0", 1) < 0 ? -errno : 0;
}

void worker_process_look(pid_t pid, char *ret_state, char *wchan, size_t room)
{
	char path[64], text[512], *end;
	_cleanup_fclose_ FILE *stat_file = NULL;
	_cleanup_fclose_ FILE *wchan_file = NULL;

	*ret_state = '?';
	wchan[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	stat_file = fopen(path, "re");
	if (stat_file && fgets(text, sizeof(text), stat_file)) {
		end = strrchr(text, ')'); /* the name before it may hold anything */
		if (end && end[1] == ' ' && end[2])
			*ret_state = end[2];
	}
	snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
	wchan_file = fopen(path, "re");
	if (wchan_file && fgets(wchan, (int)room, wchan_file) && !strcmp(wchan, "0"))
		wchan[0] = '\0';
}
