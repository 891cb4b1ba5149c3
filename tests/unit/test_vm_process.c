/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The child that becomes the VM: it does nothing before it is told, ends with a
 * launcher that ends before that, gets the signals that ask the launcher to end,
 * and its end is told apart by what it means.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vm_process.h"

static const uint64_t long_enough_ns = UINT64_C(5000000000);

/* Shared with the children. */
static volatile uint64_t *told;

static void share(void)
{
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(told, MAP_FAILED);
	*told = 0;
}

static int exit_as_told(void *userdata, uint64_t word)
{
	(void)userdata;
	*told = word;
	return (int)word;
}

static int kill_self(void *userdata, uint64_t word)
{
	(void)userdata;
	kill(getpid(), (int)word);
	return 0;
}

static int wait_for_end(void *userdata, uint64_t word)
{
	(void)userdata;
	*told = word;
	for (;;)
		pause();
	return 0;
}

static void prepare(vm_process_become_t become, struct vm_process *ret)
{
	cr_assert_eq(vm_process_prepare(become, NULL, ret), 0);
	cr_assert_gt(ret->pid, 0);
	cr_assert_geq(ret->pidfd, 0);
}

Test(vm_process, does_nothing_before_it_is_told, .init = share)
{
	struct vm_process process;
	struct pollfd ended;

	prepare(exit_as_told, &process);
	ended = (struct pollfd){.fd = process.pidfd, .events = POLLIN};
	cr_expect_eq(poll(&ended, 1, 50), 0, "it waits");
	vm_process_discard(&process);
	cr_expect_eq(*told, 0);
	cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1, "nobody is left");
	cr_expect_eq(errno, ECHILD);
	vm_process_discard(&process);
}

Test(vm_process, gets_what_was_not_known_when_it_was_made, .init = share)
{
	struct vm_process process;
	struct vm_process_end end;

	prepare(exit_as_told, &process);
	end = vm_process_run(&process, 42);
	cr_expect_eq(*told, 42);
	cr_expect(!end.by_signal);
	cr_expect(!end.asked);
	cr_expect_eq(end.status, 42);
	cr_expect_eq(process.pidfd, -1);
}

Test(vm_process, its_signal_is_seen, .init = share)
{
	struct vm_process process;
	struct vm_process_end end;

	prepare(kill_self, &process);
	end = vm_process_run(&process, SIGKILL);
	cr_expect(end.by_signal);
	cr_expect_eq(end.status, SIGKILL);
}

/* The manager may kill it between the attach and the word. */
Test(vm_process, one_that_is_dead_already_is_not_waited_for, .init = share)
{
	struct vm_process process;
	struct vm_process_end end;

	prepare(exit_as_told, &process);
	cr_assert_eq(pidfd_send_signal(process.pidfd, SIGKILL, NULL, 0), 0);
	cr_assert_eq(poll(&(struct pollfd){.fd = process.pidfd, .events = POLLIN}, 1, 5000), 1);
	end = vm_process_run(&process, 1);
	cr_expect(end.by_signal);
	cr_expect_eq(end.status, SIGKILL);
	cr_expect_eq(*told, 0);
}

static void pass_on(int number)
{
	struct vm_process process;
	struct vm_process_end end;
	sigset_t before, after;
	pid_t launcher = getpid(), sender;

	sigprocmask(SIG_BLOCK, NULL, &before);
	prepare(wait_for_end, &process);
	sender = fork();
	if (!sender) {
		while (!*told)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		kill(launcher, number);
		_exit(0);
	}
	end = vm_process_run(&process, 1);
	waitpid(sender, NULL, 0);
	cr_expect(end.by_signal);
	cr_expect_eq(end.status, number);
	cr_expect(end.asked);
	sigprocmask(SIG_BLOCK, NULL, &after);
	cr_expect_eq(sigismember(&after, number), sigismember(&before, number));
}

Test(vm_process, signals_that_ask_to_end_are_passed_on, .init = share)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		*told = 0;
		pass_on(numbers[i]);
	}
}

/* A launcher that is ended while it waits leaves no process behind. */
Test(vm_process, ends_with_the_launcher, .init = share)
{
	struct vm_process process;
	struct pollfd ended;
	int ends[2], pidfd;
	pid_t launcher, child;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	launcher = fork();
	if (!launcher) {
		prepare(exit_as_told, &process);
		if (write(ends[1], &process.pid, sizeof(process.pid)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	cr_assert_eq(read(ends[0], &child, sizeof(child)), sizeof(child));
	pidfd = pidfd_open(child, 0);
	cr_assert_geq(pidfd, 0);
	kill(launcher, SIGKILL);
	waitpid(launcher, NULL, 0);
	ended = (struct pollfd){.fd = pidfd, .events = POLLIN};
	cr_expect_eq(poll(&ended, 1, 5000), 1);
	cr_expect_eq(*told, 0);
	close(pidfd);
	close(ends[0]);
	close(ends[1]);
}

Test(vm_process, what_can_have_been_the_loss_of_memory)
{
	struct vm_process_end end = {
		.by_signal = true, .status = SIGKILL, .lived_ns = long_enough_ns};

	cr_expect(vm_process_lost_memory(&end));
	end.status = SIGBUS;
	cr_expect(vm_process_lost_memory(&end), "the kernel was faster");
	end.status = SIGSEGV;
	cr_expect(!vm_process_lost_memory(&end), "a fault of its own");
	end.status = SIGKILL;
	end.asked = true;
	cr_expect(!vm_process_lost_memory(&end), "it was to end");
	end.asked = false;
	end.lived_ns = 1;
	cr_expect(!vm_process_lost_memory(&end), "it would be started again and again");
	end = (struct vm_process_end){.status = SIGKILL, .lived_ns = long_enough_ns};
	cr_expect(!vm_process_lost_memory(&end), "an exit status of that number");
}

Test(vm_process, the_launcher_exits_as_the_vm_did, .exit_code = 3)
{
	vm_process_end_alike(&(struct vm_process_end){.status = 3});
}

Test(vm_process, the_launcher_is_ended_by_the_signal_that_ended_the_vm, .signal = SIGTERM)
{
	vm_process_end_alike(&(struct vm_process_end){.by_signal = true, .status = SIGTERM});
}
