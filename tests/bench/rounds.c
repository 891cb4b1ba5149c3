/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rounds.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "clock.h"
#include "daemon.h"
#include "source/trace_pump.h"
#include "world.h"

/* Seen by the round, its victims and the writer. */
struct shared {
	atomic_uint n_ready;
	atomic_ullong begin_ns;
	bool complete;
	struct timing timing;
};

struct round {
	enum way way;
	unsigned int n;
	const struct recorded *recorded;
	int memory;
	struct shared *shared;
	int pipe_read, pipe_write, go;
	pid_t writer;
	pid_t pids[VICTIMS_MAX];
	int pidfds[VICTIMS_MAX];
	/* engine only */
	sd_event *event;
	struct trace_pump pump;
	struct world *world;
	struct daemon daemon; /* nothing of it but the VMs is used by the kill pass */
	unsigned int n_exited, n_killed;
};

__attribute__((noreturn)) static void give_up(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

static uint64_t since_begin(const struct round *round)
{
	return now_ns() - atomic_load(&round->shared->begin_ns);
}

__attribute__((noreturn)) static void victim(const struct round *round, unsigned int i)
{
	volatile uint8_t *memory;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memory = mmap(NULL, VICTIM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, round->memory,
		      (off_t)i * VICTIM_BYTES);
	if (memory == MAP_FAILED)
		_exit(1);
	for (size_t offset = 0; offset < VICTIM_BYTES; offset += 4096)
		memory[offset]++;
	atomic_fetch_add(&round->shared->n_ready, 1);
	for (;;)
		pause();
}

static void start_victims(struct round *round)
{
	for (unsigned int i = 0; i < round->n; i++) {
		round->pids[i] = fork();
		if (round->pids[i] < 0)
			give_up("fork");
		if (round->pids[i] == 0)
			victim(round, i);
		round->pidfds[i] = (int)syscall(SYS_pidfd_open, round->pids[i], 0);
		if (round->pidfds[i] < 0)
			give_up("pidfd_open");
	}
	while (atomic_load(&round->shared->n_ready) < round->n)
		usleep(200);
}

/* Makes the pipe readable when told to; by itself, so that the wake-up is part of the time. */
__attribute__((noreturn)) static void writer(const struct round *round)
{
	size_t bytes = round->way == WAY_ENGINE ? PAGE_BYTES : 1;
	uint64_t go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(round->go, &go, sizeof(go)) != sizeof(go))
		_exit(1);
	usleep(2000); /* the round is asleep by now */
	atomic_store(&round->shared->begin_ns, now_ns());
	_exit(write(round->pipe_write, round->recorded->page, bytes) != (ssize_t)bytes);
}

static void start_writer(struct round *round)
{
	int fds[2];

	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC | O_DIRECT) < 0)
		give_up("pipe");
	round->pipe_read = fds[0];
	round->pipe_write = fds[1];
	round->go = eventfd(0, EFD_CLOEXEC);
	round->writer = fork();
	if (round->go < 0 || round->writer < 0)
		give_up("fork");
	if (round->writer == 0)
		writer(round);
}

static void tell_writer(const struct round *round)
{
	const uint64_t one = 1;

	if (write(round->go, &one, sizeof(one)) != sizeof(one))
		give_up("eventfd");
}

/* --- the engine's way ---------------------------------------------------------------------- */

static void on_early(void *userdata, const struct trace_record *record)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT};
	struct round *round = userdata;
	struct timing *timing = &round->shared->timing;
	struct iso_effects effects;

	if (!trace_fault(record, &event.fault))
		return;
	timing->decoded_ns = since_begin(round);
	effects = world_step(round->world, &event);
	timing->decided_ns = since_begin(round);
	exec_kills(&round->daemon, &effects);
	timing->sent_ns = since_begin(round);
	round->n_killed = effects.n_kills;
}

/* Writing down is not what is measured. */
static void on_record(void *userdata, const struct trace_record *record)
{
	(void)userdata;
	(void)record;
}

static void on_gap(void *userdata, enum trace_gap gap, uint64_t count)
{
	(void)userdata;
	(void)gap;
	(void)count;
	fprintf(stderr, "bench: the recorded page is damaged\n");
	exit(2);
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct round *round = userdata;

	(void)source;
	(void)revents;
	round->shared->timing.woken_ns = since_begin(round);
	trace_pump_read(&round->pump, 0, fd, 64);
	return 0;
}

static void on_exit_of(void *userdata, uint32_t lease, uint32_t epoch)
{
	struct iso_event event = {
		.kind = ISO_EVENT_VM_EXITED,
		.exited = {.lease = lease, .lease_epoch = epoch},
	};
	struct round *round = userdata;

	if (++round->n_exited == round->n)
		round->shared->timing.exited_ns = since_begin(round);
	world_step(round->world, &event);
}

static void prepare_engine(struct round *round)
{
	struct iso_limits limits;

	iso_limits_default(&limits);
	if (sd_event_new(&round->event) < 0 ||
	    vms_new(round->event, -90, limits.leases, on_exit_of, round, &round->daemon.vms) < 0 ||
	    trace_pump_init(&round->pump, &round->recorded->formats, PAGE_BYTES, on_record, on_gap,
			    round) < 0)
		give_up("preparing the daemon's parts");
	trace_pump_set_early(&round->pump, on_early);
	round->world = world_new("0000:64:00.0");
	for (unsigned int i = 0; i < round->n; i++) {
		uint32_t lease, epoch;
		char name[32];

		snprintf(name, sizeof(name), "vm-%u", i);
		world_attach(round->world, name, round->pids[i], &lease, &epoch);
		if (vms_add(round->daemon.vms, lease, epoch, name, round->pidfds[i]) < 0)
			give_up("watching a pidfd");
	}
	if (sd_event_add_io(round->event, NULL, round->pipe_read, EPOLLIN, on_readable, round) < 0)
		give_up("watching the pipe");
}

static void run_engine(struct round *round)
{
	tell_writer(round);
	while (round->n_exited < round->n)
		if (sd_event_run(round->event, UINT64_MAX) < 0)
			give_up("the loop");
	if (round->n_killed != round->n)
		give_up("not all were killed by the engine");
}

/* --- without it ---------------------------------------------------------------------------- */

static void spawn_kill(pid_t pid)
{
	char text[16];
	pid_t child;

	snprintf(text, sizeof(text), "%d", (int)pid);
	child = fork();
	if (child == 0) {
		execl("/bin/kill", "kill", "-KILL", text, NULL);
		_exit(127);
	}
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

static void kill_all(struct round *round)
{
	for (unsigned int i = 0; i < round->n; i++) {
		if (round->way == WAY_BARE)
			syscall(SYS_pidfd_send_signal, round->pidfds[i], SIGKILL, NULL, 0);
		else
			spawn_kill(round->pids[i]);
	}
	round->shared->timing.sent_ns = since_begin(round);
}

static int prepare_epoll(const struct round *round)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = -1};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, round->pipe_read, &event) < 0)
		give_up("epoll");
	event.events = EPOLLIN | EPOLLONESHOT;
	for (unsigned int i = 0; i < round->n; i++) {
		event.data.fd = round->pidfds[i];
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, round->pidfds[i], &event) < 0)
			give_up("epoll");
	}
	return epoll;
}

static void run_loop(struct round *round)
{
	int epoll = prepare_epoll(round);
	unsigned int exited = 0;
	char byte;

	tell_writer(round);
	while (exited < round->n) {
		struct epoll_event events[64];
		int n = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd >= 0) {
				exited++;
				continue;
			}
			round->shared->timing.woken_ns = since_begin(round);
			if (read(round->pipe_read, &byte, 1) == 1)
				kill_all(round);
		}
	}
	round->shared->timing.exited_ns = since_begin(round);
}

/* Not for fork and exec: what it starts would wait for the loop that waits for it. */
static void set_policy(const struct round *round)
{
	const struct sched_param lowest = {.sched_priority = 1};

	if (!round->recorded->realtime || round->way == WAY_SPAWN)
		return;
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest) < 0)
		give_up("SCHED_FIFO");
}

/* --- one round ----------------------------------------------------------------------------- */

__attribute__((noreturn)) static void round_main(struct round *round)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	start_writer(round);
	start_victims(round);
	set_policy(round);
	if (round->way == WAY_ENGINE) {
		prepare_engine(round);
		run_engine(round);
	} else {
		run_loop(round);
	}
	round->shared->complete = true;
	exit(0);
}

int round_run(enum way way, unsigned int n_victims, const struct recorded *recorded, int memory,
	      struct timing *ret)
{
	static struct round round;
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	int r = -1;

	if (shared == MAP_FAILED)
		give_up("mmap");
	round = (struct round){
		.way = way,
		.n = n_victims,
		.recorded = recorded,
		.memory = memory,
		.shared = shared,
	};
	fflush(NULL);
	child = fork();
	if (child == 0)
		round_main(&round);
	if (child > 0 && waitpid(child, NULL, 0) == child && shared->complete) {
		*ret = shared->timing;
		r = 0;
	}
	munmap(shared, sizeof(*shared));
	return r;
}
