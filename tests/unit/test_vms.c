/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pidfds of virtual machines and the service manager that keeps them:
 * proves that a manager that does not listen stops nothing, that of several
 * descriptors kept under one name the living process is found, and that nobody
 * stays stopped whom a daemon has stopped.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "clock.h"
#include "notify.h"
#include "vms.h"

static char manager_path[64];

static int manager_open(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(manager_path, sizeof(manager_path), "/tmp/daxmgr-test-notify-%d", getpid());
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", manager_path);
	unlink(manager_path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", manager_path, 1);
	return fd;
}

static void manager_close(int fd)
{
	close(fd);
	unlink(manager_path);
}

/* Return: true when a message with `text` in it was waiting. */
static bool manager_heard(int fd, const char *text)
{
	char message[512];
	bool heard = false;
	ssize_t n;

	while ((n = recv(fd, message, sizeof(message) - 1, 0)) > 0) {
		message[n] = '\0';
		heard |= strstr(message, text) != NULL;
	}
	return heard;
}

static void manager_stop_listening(void)
{
	while (notify_send("STATUS=full", -1) > 0)
		;
	cr_assert_eq(notify_send("STATUS=full", -1), -EAGAIN);
}

/* Returns when it is sure to end with us, even if it is stopped at once. */
static pid_t child_start(int *ret_pidfd)
{
	int ready[2];
	char byte;
	pid_t pid;

	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(0);
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	*ret_pidfd = pidfd_open(pid, 0);
	cr_assert_geq(*ret_pidfd, 0);
	return pid;
}

static void child_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void on_exited(void *userdata, uint32_t lease, uint32_t epoch)
{
	(void)lease;
	(void)epoch;
	++*(unsigned int *)userdata;
}

static struct vms *build(sd_event **ret_event, unsigned int *n_exited)
{
	struct vms *vms = NULL;

	cr_assert_geq(sd_event_new(ret_event), 0);
	cr_assert_eq(vms_new(*ret_event, 0, 4, on_exited, n_exited, &vms), 0);
	return vms;
}

Test(vms, a_manager_that_does_not_listen_stops_nothing)
{
	unsigned int n_exited = 0;
	sd_event *event = NULL;
	struct vms *vms;
	int manager = manager_open(), pidfd;
	pid_t pid;

	vms = build(&event, &n_exited);
	manager_stop_listening();
	pid = child_start(&pidfd);
	cr_assert_eq(vms_add(vms, 1, 7, "x", pidfd), 0);
	cr_assert_eq(vms_kill(vms, 1, 6, 0), -ENOENT, "of another epoch");
	cr_assert_eq(vms_kill(vms, 1, 7, 0), 0);
	waitpid(pid, NULL, 0);
	while (!n_exited)
		cr_assert_geq(sd_event_run(event, 1000000), 0);
	vms_forget(vms, 1);
	vms_free(vms);
	sd_event_unref(event);
	manager_close(manager);
}

static bool is_stopped(pid_t pid)
{
	int status;

	return waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
}

static bool lives(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == 0;
}

static bool was_killed(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}

enum { TENANTS = 2 };

/* VMs 0 and 1 of a daemon; children of ours. */
struct tenants {
	sd_event *event;
	struct vms *vms;
	unsigned int n_exited;
	pid_t pids[TENANTS];
};

static void tenants_start(struct tenants *t)
{
	*t = (struct tenants){0};
	t->vms = build(&t->event, &t->n_exited);
	for (uint32_t i = 0; i < TENANTS; i++) {
		int pidfd;

		t->pids[i] = child_start(&pidfd);
		cr_assert_eq(vms_add(t->vms, i, 7, i ? "y" : "x", pidfd), 0);
	}
}

static void tenants_end(struct tenants *t)
{
	vms_free(t->vms);
	sd_event_unref(t->event);
}

static void run_until_exited(struct tenants *t, unsigned int n)
{
	while (t->n_exited < n)
		cr_assert_geq(sd_event_run(t->event, 1000000), 0);
}

/* Proves: no VM exits while the kernel unbinds any part of its memory, and it is killed right after. */
Test(vms, the_kernel_lets_go_first)
{
	struct tenants t;

	tenants_start(&t);
	cr_assert_eq(vms_kill(t.vms, 0, 7, 6), 0);
	cr_assert(is_stopped(t.pids[0]));
	vms_unbound(t.vms, 1, 1);
	vms_unbound(t.vms, 0, 1);
	vms_unbound(t.vms, 0, 1);
	cr_assert(lives(t.pids[0]), "its other part is still bound");
	vms_unbound(t.vms, 0, 2);
	cr_assert(was_killed(t.pids[0]));
	cr_assert(lives(t.pids[1]));
	tenants_end(&t);
}

/* Proves: what is unbound before the kill is not waited for. */
Test(vms, the_kernel_was_quicker)
{
	struct tenants t;

	tenants_start(&t);
	vms_unbound(t.vms, 0, 0);
	cr_assert(lives(t.pids[0]));
	cr_assert_eq(vms_kill(t.vms, 0, 7, 1), 0);
	cr_assert(was_killed(t.pids[0]));
	tenants_end(&t);
}

/* Proves: a kernel that never lets go keeps no VM; each has the whole time, and its own. */
Test(vms, the_kernel_never_lets_go)
{
	struct tenants t;

	tenants_start(&t);
	cr_assert_eq(vms_kill(t.vms, 0, 7, 1), 0);
	usleep(100000);
	cr_assert_eq(vms_kill(t.vms, 1, 7, 1), 0);
	cr_assert(is_stopped(t.pids[0]) && is_stopped(t.pids[1]));
	run_until_exited(&t, 1);
	cr_assert(was_killed(t.pids[0]));
	run_until_exited(&t, 2);
	cr_assert(was_killed(t.pids[1]));
	tenants_end(&t);
}

/* Proves: with many VMs on a region the last one waits for as long as the kernel gets on. */
Test(vms, the_kernel_unbinds_one_after_the_other)
{
	struct tenants t;
	uint64_t begin;

	tenants_start(&t);
	cr_assert_eq(vms_kill(t.vms, 0, 7, 1), 0);
	cr_assert_eq(vms_kill(t.vms, 1, 7, 1), 0);
	usleep(VMS_HOLD_MS * 600);
	begin = clock_read_ns(CLOCK_MONOTONIC);
	vms_unbound(t.vms, 0, 0);
	cr_assert(was_killed(t.pids[0]));
	run_until_exited(&t, 2);
	cr_assert(was_killed(t.pids[1]));
	cr_assert_geq(clock_read_ns(CLOCK_MONOTONIC) - begin, VMS_HOLD_MS * UINT64_C(900000));
	tenants_end(&t);
}

/* ---- a daemon that dies between the two signals ---- */

static char stops_path[64];

static void stops_begin(void)
{
	snprintf(stops_path, sizeof(stops_path), "/tmp/daxmgr-test-stops-%d", getpid());
	unlink(stops_path);
}

static void stops_end(void)
{
	char path[80];

	snprintf(path, sizeof(path), "%s.new", stops_path);
	unlink(path);
	unlink(stops_path);
}

/* Stops the first process as the VM of lease 3, and dies with the second not stopped yet. */
static void stop_and_die(const pid_t *pids)
{
	struct vms *vms;
	sd_event *event = NULL;
	unsigned int n_exited = 0;

	vms = build(&event, &n_exited);
	if (vms_remember_stops(vms, stops_path) < 0)
		_exit(1);
	vms_settle(vms);
	for (uint32_t i = 0; i < TENANTS; i++)
		if (vms_add(vms, 3 - i, 7, "x", pidfd_open(pids[i], 0)) < 0)
			_exit(2);
	if (vms_kill(vms, 3, 7, 1) < 0)
		_exit(3);
	kill(getpid(), SIGKILL);
}

/* Two VMs, whose daemon has died and left one of them stopped. */
static void children_of_the_dead(pid_t *pids)
{
	pid_t daemon;
	int status, pidfd;

	stops_begin();
	for (int i = 0; i < TENANTS; i++) {
		pids[i] = child_start(&pidfd);
		close(pidfd);
	}
	daemon = fork();
	if (daemon == 0)
		stop_and_die(pids);
	waitpid(daemon, &status, 0);
	cr_assert(WIFSIGNALED(status), "step %d", WEXITSTATUS(status));
	cr_assert(is_stopped(pids[0]));
	cr_assert(lives(pids[1]));
}

/* The next daemon: leases have other numbers. */
static void next_daemon(struct tenants *t, const pid_t *pids)
{
	*t = (struct tenants){0};
	t->vms = build(&t->event, &t->n_exited);
	cr_assert_eq(vms_remember_stops(t->vms, stops_path), 0);
	for (uint32_t i = 0; i < TENANTS; i++) {
		t->pids[i] = pids[i];
		cr_assert_eq(vms_add(t->vms, i, 9, "x", pidfd_open(pids[i], 0)), 0);
	}
}

static bool is_continued(pid_t pid)
{
	int status;

	return waitpid(pid, &status, WCONTINUED | WNOHANG) == pid && WIFCONTINUED(status);
}

/* Proves: who has lost nothing goes on, but not before the kernel had its time to unbind. */
Test(vms, who_was_left_stopped_goes_on)
{
	uint64_t begin = clock_boottime_ns();
	pid_t pids[TENANTS];
	struct tenants t;

	children_of_the_dead(pids);
	next_daemon(&t, pids);
	vms_settle(t.vms);
	cr_assert(vms_was_left_stopped(t.vms, 0) && vms_is_stopped(t.vms, 0));
	cr_assert(!vms_was_left_stopped(t.vms, 1) && !vms_is_stopped(t.vms, 1));
	cr_assert_not(vms_continue(t.vms, 1, UINT64_MAX), "nobody has stopped it");
	cr_assert_not(vms_continue(t.vms, 0, clock_boottime_ns()), "the look came too early");
	vms_unbound(t.vms, 1, 0);
	cr_assert_not(vms_continue(t.vms, 0, begin + VMS_HOLD_MS * UINT64_C(1000000)),
		      "the kernel is still at it");
	cr_assert_not(is_continued(pids[0]));
	cr_assert(vms_continue(t.vms, 0, clock_boottime_ns() + VMS_HOLD_MS * UINT64_C(1000000)));
	cr_assert(is_continued(pids[0]));
	cr_assert_not(vms_was_left_stopped(t.vms, 0));
	tenants_end(&t);

	next_daemon(&t, pids);
	cr_assert_not(vms_was_left_stopped(t.vms, 0), "that is over");
	tenants_end(&t);
	stops_end();
}

/* Proves: who has lost memory is killed, and after the time that the kernel may need. */
Test(vms, who_was_left_stopped_is_killed)
{
	uint64_t begin;
	pid_t pids[TENANTS];
	struct tenants t;

	children_of_the_dead(pids);
	next_daemon(&t, pids);
	vms_settle(t.vms);
	begin = clock_read_ns(CLOCK_MONOTONIC);
	cr_assert_eq(vms_kill(t.vms, 0, 9, 0), 0);
	cr_assert_not(vms_continue(t.vms, 0, UINT64_MAX), "it is as good as dead");
	cr_assert(lives(pids[0]));
	run_until_exited(&t, 1);
	cr_assert(was_killed(pids[0]));
	cr_assert_geq(clock_read_ns(CLOCK_MONOTONIC) - begin, VMS_HOLD_MS * UINT64_C(900000));
	cr_assert(lives(pids[1]));
	tenants_end(&t);
	stops_end();
}

/* Proves: the next daemon may die, too, before or after it has taken over, or end in order. */
Test(vms, left_stopped_over_and_over)
{
	pid_t pids[TENANTS];
	struct tenants t;

	children_of_the_dead(pids);
	for (int i = 0; i < 4; i++) {
		next_daemon(&t, pids);
		if (i % 2)
			vms_settle(t.vms);
		cr_assert(vms_was_left_stopped(t.vms, 0), "daemon %d", i);
		tenants_end(&t);
	}
	cr_assert(lives(pids[0]));
	cr_assert_not(is_continued(pids[0]));
	stops_end();
}

/* Proves: who was stopped by somebody else is told from those, and let alone. */
Test(vms, who_was_stopped_by_another_stays)
{
	pid_t pids[TENANTS];
	struct tenants t;

	children_of_the_dead(pids);
	kill(pids[1], SIGSTOP);
	cr_assert(is_stopped(pids[1]));
	next_daemon(&t, pids);
	vms_settle(t.vms);
	cr_assert(vms_is_stopped(t.vms, 1));
	cr_assert_not(vms_was_left_stopped(t.vms, 1));
	cr_assert_not(vms_continue(t.vms, 1, UINT64_MAX));
	cr_assert_not(is_continued(pids[1]));
	tenants_end(&t);
	stops_end();
}

/* Proves: a daemon that ends leaves nobody stopped. */
Test(vms, nobody_stays_stopped)
{
	struct tenants t;

	tenants_start(&t);
	cr_assert_eq(vms_kill(t.vms, 0, 7, 1), 0);
	cr_assert(is_stopped(t.pids[0]));
	tenants_end(&t);
	cr_assert(was_killed(t.pids[0]));
}

Test(vms, readiness_is_told_until_it_is_taken)
{
	sd_event_source *source = NULL;
	sd_event *event = NULL;
	int manager = manager_open();
	unsigned int rounds = 0;

	cr_assert_geq(sd_event_new(&event), 0);
	manager_stop_listening();
	cr_assert_eq(notify_ready(event, 0, &source), 0);
	cr_assert_not(manager_heard(manager, "READY=1"));
	while (!manager_heard(manager, "READY=1") && rounds++ < 20)
		cr_assert_geq(sd_event_run(event, 1000000), 0);
	cr_assert_lt(rounds, 20);
	sd_event_source_disable_unref(source);
	sd_event_unref(event);
	manager_close(manager);
}

/* As systemd starts a service: descriptors from 3 on, names in the environment. */
static int take_as_service(int first, int second, pid_t living)
{
	unsigned int n_exited = 0;
	sd_event *event = NULL;
	struct vms *vms = NULL;
	char pid_text[16];
	pid_t pid = 0;
	int fd;

	first = fcntl(first, F_DUPFD, 100);
	second = fcntl(second, F_DUPFD, 100);
	dup2(first, 3);
	dup2(second, 4);
	snprintf(pid_text, sizeof(pid_text), "%d", getpid());
	setenv("LISTEN_PID", pid_text, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "vm-x:vm-x", 1);
	unsetenv("LISTEN_PIDFDID");
	if (sd_event_new(&event) < 0 || vms_new(event, 0, 4, on_exited, &n_exited, &vms) < 0)
		return 1;
	fd = vms_take_stored(vms, "x", &pid);
	if (fd < 0 || pid != living)
		return 2;
	if (vms_take_stored(vms, "x", &pid) != -ENOENT)
		return 3;
	vms_settle(vms);
	if (vms_add(vms, 0, 1, "x", fd) < 0 || vms_kill(vms, 0, 1, 0) < 0)
		return 4;
	return 0;
}

static void expect_taken(bool dead_first)
{
	int manager = manager_open(), dead, living, status = 0;
	pid_t dead_pid = child_start(&dead), living_pid = child_start(&living), service;

	child_end(dead_pid);
	service = fork();
	if (service == 0)
		_exit(take_as_service(dead_first ? dead : living, dead_first ? living : dead,
				      living_pid));
	waitpid(service, &status, 0);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), 0, "step %d", WEXITSTATUS(status));
	cr_assert(manager_heard(manager, "FDSTOREREMOVE=1\nFDNAME=vm-x"));
	child_end(living_pid);
	close(dead);
	close(living);
	manager_close(manager);
}

Test(vms, the_living_one_of_a_name_is_taken)
{
	expect_taken(true);
	expect_taken(false);
}

static int take_the_dead(int dead)
{
	unsigned int n_exited = 0;
	sd_event *event = NULL;
	struct vms *vms = NULL;
	char pid_text[16];
	pid_t pid = 0;

	dup2(dead, 3);
	snprintf(pid_text, sizeof(pid_text), "%d", getpid());
	setenv("LISTEN_PID", pid_text, 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "vm-x", 1);
	unsetenv("LISTEN_PIDFDID");
	if (sd_event_new(&event) < 0 || vms_new(event, 0, 4, on_exited, &n_exited, &vms) < 0)
		return 1;
	return vms_take_stored(vms, "x", &pid) == -ENOENT ? 0 : 2;
}

Test(vms, one_that_has_exited_is_not_kept_for_ever)
{
	int manager = manager_open(), dead, status = 0;
	pid_t pid = child_start(&dead), service;

	child_end(pid);
	service = fork();
	if (service == 0)
		_exit(take_the_dead(dead));
	waitpid(service, &status, 0);
	cr_assert(WIFEXITED(status) && !WEXITSTATUS(status), "step %d", WEXITSTATUS(status));
	cr_assert(manager_heard(manager, "FDSTOREREMOVE=1\nFDNAME=vm-x"));
	close(dead);
	manager_close(manager);
}

static void *tell_number(void *userdata)
{
	volatile pid_t *told = userdata;

	told[0] = gettid();
	while (told[1] == 0)
		usleep(1000);
	return NULL;
}

/* Proves: a thread is of its process, and of no other. */
Test(vms, a_thread_is_of_its_process)
{
	volatile pid_t told[2] = {0};
	pthread_t thread;
	pid_t child;

	cr_assert_eq(pthread_create(&thread, NULL, tell_number, (void *)told), 0);
	while (told[0] == 0)
		usleep(1000);
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	cr_assert_gt(child, 0);
	cr_assert(vms_is_thread(getpid(), told[0]));
	cr_assert(vms_is_thread(getpid(), getpid()));
	cr_assert_not(vms_is_thread(child, told[0]));
	cr_assert_not(vms_is_thread(getpid(), child));
	cr_assert_not(vms_is_thread(0, told[0]));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	told[1] = 1;
	pthread_join(thread, NULL);
}
