/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of a VM that an earlier daemon has stopped and not killed: it
 * goes on if the look at the host shows its memory, and no sooner than the
 * kernel has had its time; else it is the engine's to kill.
 */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "daemon.h"
#include "world.h"

#define HOLD_NS (VMS_HOLD_MS * UINT64_C(1000000))

/* A daemon that was started anew; its host is simulated, its one VM a process of ours. */
struct restarted {
	struct daemon daemon;
	struct world *w;
	char path[64];
	pid_t pid;
};

static void on_exited(void *userdata, uint32_t lease, uint32_t epoch)
{
	(void)userdata;
	(void)lease;
	(void)epoch;
}

static void open_vms(struct restarted *r)
{
	struct iso_lease_view lease = world_lease(r->w, "a");
	uint32_t index = iso_lease_find(r->w->engine, "a");

	cr_assert_geq(sd_event_new(&r->daemon.event), 0);
	cr_assert_eq(vms_new(r->daemon.event, 0, index + 1, on_exited, NULL, &r->daemon.vms), 0);
	cr_assert_eq(vms_remember_stops(r->daemon.vms, r->path), 0);
	cr_assert_eq(vms_add(r->daemon.vms, index, lease.epoch, "a", pidfd_open(r->pid, 0)), 0);
	vms_settle(r->daemon.vms);
}

static void close_vms(struct restarted *r)
{
	r->daemon.resume_timer = sd_event_source_disable_unref(r->daemon.resume_timer);
	r->daemon.vms = vms_free(r->daemon.vms);
	r->daemon.event = sd_event_unref(r->daemon.event);
}

/* Stops the VM, and dies. */
static void first_daemon(struct restarted *r)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		open_vms(r);
		vms_kill(r->daemon.vms, iso_lease_find(r->w->engine, "a"),
			 world_lease(r->w, "a").epoch, 1);
		kill(getpid(), SIGKILL);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status));
}

static void wait_stopped(struct restarted *r)
{
	int status;

	cr_assert_eq(waitpid(r->pid, &status, WUNTRACED), r->pid);
	cr_assert(WIFSTOPPED(status));
}

/* It runs, and ends with this process: a stopped one that outlived it would hold what ctest reads. */
static void start_process(struct restarted *r)
{
	r->pid = fork();
	if (r->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		raise(SIGSTOP);
		for (;;)
			pause();
	}
	wait_stopped(r);
	kill(r->pid, SIGCONT);
}

static void setup(struct restarted *r)
{
	*r = (struct restarted){.w = world_pair()};
	world_start_vm(r->w, "a", "low", WORLD_PART);
	cr_assert_eq(world_lease(r->w, "a").state, ISO_LEASE_ATTACHED);
	r->daemon.engine = r->w->engine;
	snprintf(r->path, sizeof(r->path), "/tmp/daxmgr-test-resume-%d", getpid());
	start_process(r);
	first_daemon(r);
	wait_stopped(r);
	open_vms(r);
	cr_assert(vms_was_left_stopped(r->daemon.vms, iso_lease_find(r->w->engine, "a")));
}

static void teardown(struct restarted *r)
{
	close_vms(r);
	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
	unlink(r->path);
	world_free(r->w);
}

static bool is_stopped(struct restarted *r)
{
	return vms_is_stopped(r->daemon.vms, iso_lease_find(r->w->engine, "a"));
}

static bool is_watched(struct restarted *r)
{
	int enabled = SD_EVENT_OFF;

	return r->daemon.resume_timer &&
	       sd_event_source_get_enabled(r->daemon.resume_timer, &enabled) > 0;
}

Test(resume, goes_on_when_its_memory_is_there)
{
	struct restarted r;

	setup(&r);
	resume_stopped(&r.daemon, clock_boottime_ns());
	cr_assert(is_stopped(&r), "the look came too early");
	cr_assert(is_watched(&r), "there is to be another");
	resume_stopped(&r.daemon, clock_boottime_ns() + HOLD_NS);
	cr_assert_not(is_stopped(&r));
	cr_assert_not(is_watched(&r));
	teardown(&r);
}

Test(resume, stays_when_its_memory_is_lost)
{
	struct restarted r;

	setup(&r);
	kernel_surprise_down(r.w, 0);
	world_fault_port(r.w, 0, ISO_CAUSE_SURPRISE_DOWN);
	cr_assert_eq(world_lease(r.w, "a").state, ISO_LEASE_KILLED);
	resume_stopped(&r.daemon, clock_boottime_ns() + HOLD_NS);
	cr_assert(is_stopped(&r));
	cr_assert_not(is_watched(&r), "it is killed, not looked at");
	teardown(&r);
}

/* Proves: who was stopped by somebody else is not let go on. */
Test(resume, stays_when_another_has_stopped_it)
{
	struct restarted r;

	setup(&r);
	resume_stopped(&r.daemon, clock_boottime_ns() + HOLD_NS);
	cr_assert_not(is_stopped(&r));
	kill(r.pid, SIGSTOP);
	wait_stopped(&r);
	close_vms(&r);
	open_vms(&r);
	resume_stopped(&r.daemon, clock_boottime_ns() + HOLD_NS);
	cr_assert(is_stopped(&r));
	cr_assert_not(is_watched(&r));
	teardown(&r);
}
