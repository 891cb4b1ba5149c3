/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the status bit of a root port, set by another process, to the signal sent,
 * at several polling intervals; and what polling costs the CPU. The signal is
 * SIGKILL where the port leaves its link up. Where it is armed to take it down
 * the kernel unbinds the memory, and SIGSTOP comes first: SIGKILL follows when it
 * has unbound, which nothing here does. The registers
 * are pages of RAM: a read of a real port crosses PCI Express and costs more, so
 * both are lower bounds, and are named so. All between the two is the daemon's: timer,
 * loop over the ports, guarded access, engine, kill.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "clock.h"
#include "daemon.h"
#include "isolation/component_block.h"
#include "isolation/config_space.h"
#include "isolation/polling.h"
#include "isolation/registers.h"
#include "world.h"

enum {
	ROUNDS = 60,
	COST_SECONDS = 3,
	CAPABILITY = COMPONENT_MEMORY_REGISTERS + 0x100,
};

static const unsigned int intervals_ms[] = {1, 5, 20};

struct shared {
	_Atomic uint64_t set_ns;
};

static uint32_t *block;
static int block_fd;
static struct shared *shared;

__attribute__((noreturn)) static void give_up(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void make_block(void)
{
	const size_t bytes = (size_t)ISOLATION_POLL_PORTS_MAX * COMPONENT_BLOCK_BYTES;

	block_fd = memfd_create("isolation", MFD_CLOEXEC);
	if (block_fd < 0 || ftruncate(block_fd, (off_t)bytes) < 0)
		give_up("memfd");
	block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, block_fd, 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (block == MAP_FAILED || shared == MAP_FAILED)
		give_up("mmap");
}

static volatile uint32_t *status_of(unsigned int port)
{
	return &block[((size_t)port * COMPONENT_BLOCK_BYTES + CAPABILITY + ISOLATION_STATUS) / 4];
}

static pid_t start_victim(void)
{
	pid_t pid = fork();

	if (pid < 0)
		give_up("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

/* The hardware: by itself, at a moment that no timer knows. */
static pid_t start_hardware(unsigned int round, unsigned int interval_ms)
{
	pid_t pid = fork();

	if (pid < 0)
		give_up("fork");
	if (pid)
		return pid;
	usleep(20000 + (round * 7919u) % (interval_ms * 1000));
	atomic_store(&shared->set_ns, clock_read_ns(CLOCK_MONOTONIC));
	*status_of(0) = ISOLATION_STATUS_ISOLATED;
	_exit(0);
}

struct round {
	sd_event *event;
	struct world *world;
	struct daemon daemon; /* nothing of it but the VMs is used by the kill pass */
	struct isolation_poll *poll;
	bool link_down; /* the port is armed to take it down with it */
	uint64_t sent_ns;
};

static void on_status(void *userdata, uint32_t port, uint32_t status)
{
	struct round *round = userdata;
	struct iso_event event = {.kind = ISO_EVENT_FAULT};
	struct iso_effects effects;

	if (port != 0 || !(status & ISOLATION_STATUS_ISOLATED))
		give_up("a port that nobody isolated");
	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_ISOLATED;
	event.fault.record_ns = clock_boottime_ns();
	iso_pci_address_parse("0000:64:00.0", &event.fault.address);
	effects = world_step(round->world, &event);
	exec_kills(&round->daemon, &effects);
	round->sent_ns = clock_read_ns(CLOCK_MONOTONIC);
	if (effects.n_kills != 1)
		give_up("the engine did not kill the VM");
	if (!effects.kills[0].unbinding == round->link_down)
		give_up("the engine took another signal than it should");
	sd_event_exit(round->event, 0);
}

static void on_lost(void *userdata, uint32_t port)
{
	(void)userdata;
	(void)port;
	give_up("registers that cannot be read");
}

static void prepare(struct round *round, unsigned int n_ports, unsigned int interval_ms)
{
	static const struct isolation_poll_handlers handlers = {.changed = on_status,
								.lost = on_lost};

	*round = (struct round){0};
	if (sd_event_new(&round->event) < 0 ||
	    isolation_poll_new(round->event, -95, interval_ms * 1000u, &handlers, round,
			       &round->poll) < 0)
		give_up("the timer");
	for (unsigned int i = 0; i < n_ports; i++)
		if (isolation_access_open(
			    dup(block_fd), (uint64_t)i * COMPONENT_BLOCK_BYTES + CAPABILITY,
			    ISOLATION_BYTES, false, &isolation_poll_at(round->poll, i)->access) < 0)
			give_up("mapping a block");
	isolation_poll_start(round->poll);
}

static void finish(struct round *round)
{
	isolation_poll_free(round->poll);
	sd_event_unref(round->event);
}

static void on_exited(void *userdata, uint32_t lease, uint32_t epoch)
{
	(void)userdata;
	(void)lease;
	(void)epoch;
}

static void arm_with_link_down(struct world *world)
{
	struct iso_event event = {.kind = ISO_EVENT_ISOLATION_SEEN};

	iso_pci_address_parse("0000:64:00.0", &event.isolation_seen.address);
	event.isolation_seen.isolation = (struct iso_isolation){
		.source = ISO_ISOLATION_REGISTERS,
		.capability = ISO_ISOLATION_ENABLE | ISO_ISOLATION_LINK_DOWN,
		.control = ISO_ISOLATION_ENABLE | ISO_ISOLATION_LINK_DOWN,
		.ranges = 1,
		.ranges_safe = 1,
	};
	world_step(world, &event);
}

static uint64_t play_round(unsigned int number, unsigned int interval_ms, bool link_down)
{
	struct round round;
	struct iso_limits limits;
	uint32_t lease, epoch;
	pid_t victim = start_victim(), hardware;
	int pidfd = (int)syscall(SYS_pidfd_open, victim, 0);

	*status_of(0) = 0;
	prepare(&round, 1, interval_ms);
	round.link_down = link_down;
	iso_limits_default(&limits);
	if (pidfd < 0 ||
	    vms_new(round.event, -90, limits.leases, on_exited, NULL, &round.daemon.vms) < 0)
		give_up("watching the VM");
	round.world = world_new("0000:64:00.0");
	world_attach(round.world, "vm", victim, &lease, &epoch);
	if (link_down)
		arm_with_link_down(round.world);
	if (vms_add(round.daemon.vms, lease, epoch, "vm", pidfd) < 0)
		give_up("watching the VM");
	hardware = start_hardware(number, interval_ms);
	if (sd_event_loop(round.event) < 0)
		give_up("the loop");
	waitpid(hardware, NULL, 0);
	kill(victim, SIGKILL); /* one that is only stopped */
	waitpid(victim, NULL, 0);
	vms_free(round.daemon.vms);
	world_free(round.world);
	finish(&round);
	return round.sent_ns - atomic_load(&shared->set_ns);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void measure_latency(unsigned int interval_ms, bool link_down)
{
	uint64_t ns[ROUNDS];

	for (unsigned int i = 0; i < ROUNDS; i++)
		ns[i] = play_round(i, interval_ms, link_down);
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	printf("%5u ms polling: status bit to %s: median %.2f ms, p95 %.2f ms, most %.2f ms\n",
	       interval_ms,
	       link_down
		       ? "SIGSTOP sent, the port takes its link down (SIGKILL when the kernel has unbound)"
		       : "SIGKILL sent, the link stays up",
	       (double)ns[ROUNDS / 2] / 1e6, (double)ns[ROUNDS * 95 / 100] / 1e6,
	       (double)ns[ROUNDS - 1] / 1e6);
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int on_end(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)usec;
	(void)userdata;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static void measure_cost(unsigned int interval_ms)
{
	uint64_t n_polls, n_failed;
	struct round round;
	double before;

	*status_of(0) = 0;
	prepare(&round, ISOLATION_POLL_PORTS_MAX, interval_ms);
	if (sd_event_add_time_relative(round.event, NULL, CLOCK_BOOTTIME, COST_SECONDS * 1000000u,
				       1, on_end, NULL) < 0)
		give_up("the timer");
	before = cpu_seconds();
	if (sd_event_loop(round.event) < 0)
		give_up("the loop");
	n_polls = isolation_poll_count(round.poll, &n_failed);
	printf("%5u ms polling: %d ports cost %.3f %% of one core (%.1f us each time; a lower bound: the registers are RAM)\n",
	       interval_ms, ISOLATION_POLL_PORTS_MAX, (cpu_seconds() - before) / COST_SECONDS * 100,
	       (cpu_seconds() - before) / (double)n_polls * 1e6);
	finish(&round);
}

int main(void)
{
	make_block();
	for (size_t i = 0; i < sizeof(intervals_ms) / sizeof(intervals_ms[0]); i++)
		for (int link_down = 0; link_down <= 1; link_down++)
			measure_latency(intervals_ms[i], link_down);
	for (size_t i = 0; i < sizeof(intervals_ms) / sizeof(intervals_ms[0]); i++)
		measure_cost(intervals_ms[i]);
	return 0;
}
