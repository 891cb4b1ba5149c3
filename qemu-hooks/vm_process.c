/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One that fails right after its start is not started again and again from here. */
static const uint64_t lived_enough_ns = 1000000000;

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

_Noreturn static void be_child(int go, vm_process_become_t become, void *userdata)
{
	uint64_t word;
	ssize_t n;

	do
		n = read(go, &word, sizeof(word));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(word))
		_exit(EXIT_SUCCESS);
	_exit(become(userdata, word));
}

static void forget(struct vm_process *process)
{
	if (process->go >= 0)
		close(process->go);
	if (process->pidfd >= 0)
		close(process->pidfd);
	*process = (struct vm_process){.go = -1, .pidfd = -1};
}

int vm_process_prepare(vm_process_become_t become, void *userdata, struct vm_process *ret)
{
	int ends[2], r;

	*ret = (struct vm_process){.go = -1, .pidfd = -1};
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	ret->go = ends[1];
	ret->pid = fork();
	if (ret->pid == 0) {
		close(ends[1]);
		be_child(ends[0], become, userdata);
	}
	r = ret->pid < 0 ? -errno : 0;
	close(ends[0]);
	if (!r) {
		ret->pidfd = pidfd_open(ret->pid, 0);
		r = ret->pidfd < 0 ? -errno : 0;
	}
	if (r < 0)
		vm_process_discard(ret);
	return r;
}

void vm_process_discard(struct vm_process *process)
{
	pid_t pid = process->pid;

	forget(process);
	if (pid > 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
}

static bool has_ended(const struct vm_process *process, struct vm_process_end *ret)
{
	siginfo_t info = {0};

	if (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return false;
	ret->by_signal = info.si_code != CLD_EXITED;
	ret->status = info.si_status;
	ret->lived_ns = monotonic_ns() - process->begun_ns;
	return true;
}

static void take_signals(sigset_t *ret_ours, sigset_t *ret_before)
{
	sigemptyset(ret_ours);
	sigaddset(ret_ours, SIGCHLD);
	sigaddset(ret_ours, SIGTERM);
	sigaddset(ret_ours, SIGINT);
	sigaddset(ret_ours, SIGHUP);
	sigprocmask(SIG_BLOCK, ret_ours, ret_before);
}

struct vm_process_end vm_process_run(struct vm_process *process, uint64_t word)
{
	struct vm_process_end end = {0};
	sigset_t ours, before;
	int number;

	take_signals(&ours, &before);
	process->begun_ns = monotonic_ns();
	/* Killed before it was told: nobody reads, and that it has ended shows below. */
	signal(SIGPIPE, SIG_IGN);
	if (write(process->go, &word, sizeof(word)) < 0)
		pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
	signal(SIGPIPE, SIG_DFL);
	while (!has_ended(process, &end)) {
		number = sigwaitinfo(&ours, NULL);
		if (number <= 0 || number == SIGCHLD)
			continue;
		end.asked = true;
		pidfd_send_signal(process->pidfd, number, NULL, 0);
	}
	process->pid = 0;
	forget(process);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return end;
}

bool vm_process_lost_memory(const struct vm_process_end *end)
{
	return end->by_signal && !end->asked && end->lived_ns >= lived_enough_ns &&
	       (end->status == SIGKILL || end->status == SIGBUS);
}

void vm_process_end_alike(const struct vm_process_end *end)
{
	const struct rlimit none = {0};

	if (!end->by_signal)
		exit(end->status);
	setrlimit(RLIMIT_CORE, &none); /* the dump, if any, is the VM's */
	signal(end->status, SIG_DFL);
	raise(end->status);
	exit(128 + end->status);
}
