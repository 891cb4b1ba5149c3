/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vms.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>

#include <isolate/types.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "memory.h"
#include "notify.h"
#include "stops.h"

static const char stored_prefix[] = "vm-";

struct vm {
	struct vms *vms;
	sd_event_source *source;
	int pidfd; /* -1: none */
	uint32_t epoch;
	pid_t pid;
	uint64_t process_start;
	uint64_t kill_at_us; /* CLOCK_MONOTONIC; 0: not stopped by us */
	uint32_t unbinding;  /* parts it was stopped for */
	uint32_t unbound;    /* parts the kernel has let go of */
	bool left_stopped;   /* by an earlier daemon, and what of it is not decided */
	uint64_t trusted_ns; /* CLOCK_BOOTTIME: whose memory is there then keeps it */
	char name[ISO_NAME_BYTES];
};

struct vms {
	sd_event *event;
	sd_event_source *hold;
	struct stops *stops; /* NULL: not remembered */
	int64_t priority;
	vms_exited_t exited;
	void *userdata;
	int n_stored;
	char **stored_names; /* of fds SD_LISTEN_FDS_START + i; NULL when taken */
	uint32_t room;
	uint32_t n; /* of them: used by now */
	struct vm vms[];
};

int vms_pidfd_pid(int pidfd, pid_t *ret)
{
	char path[64], line[128];
	_cleanup_fclose_ FILE *file = NULL;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Pid: %d", &pid) == 1) {
			if (pid <= 0)
				return -ESRCH;
			*ret = pid;
			return 0;
		}
	return -EBADF; /* not a pidfd */
}

/* Fields 3 and 22 of /proc/PID/stat; the name before them may hold blanks and brackets. */
static int read_process(pid_t pid, char *ret_state, uint64_t *ret_start)
{
	char path[32], line[1024], state;
	_cleanup_fclose_ FILE *file = NULL;
	unsigned long long start;
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return -ESRCH;
	at = strrchr(line, ')');
	if (!at || sscanf(at + 1,
			  " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d"
			  " %*d %*d %*d %llu",
			  &state, &start) != 2)
		return -EBADMSG;
	*ret_state = state;
	*ret_start = start;
	return 0;
}

int vms_open_process(pid_t pid, uint64_t process_start)
{
	struct pollfd poll_exit = {.events = POLLIN};
	uint64_t start;
	char state;

	if (pid <= 1 || !process_start)
		return -ESRCH;
	poll_exit.fd = syscall(SYS_pidfd_open, pid, 0);
	if (poll_exit.fd < 0)
		return -ESRCH;
	/* The pidfd holds the process: what is read now is about it, or it has exited. */
	if (read_process(pid, &state, &start) < 0 || start != process_start ||
	    poll(&poll_exit, 1, 0) != 0) {
		close(poll_exit.fd);
		return -ESRCH;
	}
	return poll_exit.fd;
}

/* Where a lease's VM is kept: made when it is needed first. */
static struct vm *vm_of(struct vms *vms, uint32_t lease)
{
	while (vms->n <= lease)
		vms->vms[vms->n++] = (struct vm){.vms = vms, .pidfd = -1};
	return &vms->vms[lease];
}

uint64_t vms_process_start(const struct vms *vms, uint32_t lease)
{
	return lease < vms->n && vms->vms[lease].pidfd >= 0 ? vms->vms[lease].process_start : 0;
}

static int send_signal(const struct vm *vm, int number)
{
	return syscall(SYS_pidfd_send_signal, vm->pidfd, number, NULL, 0) < 0 ? -errno : 0;
}

static uint32_t place_of(const struct vm *vm)
{
	return (uint32_t)(vm - vm->vms->vms);
}

/* Who dies in between kills once more at its next start. */
static int vm_kill(struct vm *vm)
{
	int r;

	vm->kill_at_us = 0;
	vm->left_stopped = false;
	r = send_signal(vm, SIGKILL);
	stops_clear(vm->vms->stops, place_of(vm));
	return r;
}

/* Those whose time is over are killed; the timer runs for the next one. */
static int on_hold(sd_event_source *source, uint64_t now_us, void *userdata)
{
	struct vms *vms = userdata;
	uint64_t next_us = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < vms->n; i++) {
		struct vm *vm = &vms->vms[i];

		if (vm->kill_at_us && vm->kill_at_us <= now_us)
			vm_kill(vm);
		else if (vm->kill_at_us && vm->kill_at_us < next_us)
			next_us = vm->kill_at_us;
	}
	if (next_us != UINT64_MAX) {
		sd_event_source_set_time(source, next_us);
		sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	return 0;
}

/* Made before it is needed: arming it takes no memory. */
static int hold_prepare(struct vms *vms)
{
	int r = sd_event_add_time(vms->event, &vms->hold, CLOCK_MONOTONIC, UINT64_MAX, 1000,
				  on_hold, vms);

	if (r >= 0)
		r = sd_event_source_set_priority(vms->hold, vms->priority);
	return r < 0 ? r : sd_event_source_set_enabled(vms->hold, SD_EVENT_OFF);
}

static uint64_t hold_end_us(void)
{
	return clock_read_ns(CLOCK_MONOTONIC) / 1000 + UINT64_C(1000) * VMS_HOLD_MS;
}

static int vm_stop(struct vm *vm)
{
	sd_event_source *hold = vm->vms->hold;
	int enabled = SD_EVENT_OFF;

	stops_set(vm->vms->stops, place_of(vm), vm->pid, vm->process_start);
	if (send_signal(vm, SIGSTOP) < 0)
		return vm_kill(vm);
	vm->kill_at_us = hold_end_us();
	sd_event_source_get_enabled(hold, &enabled);
	if (enabled == SD_EVENT_OFF) {
		sd_event_source_set_time(hold, vm->kill_at_us);
		sd_event_source_set_enabled(hold, SD_EVENT_ONESHOT);
	}
	return 0;
}

int vms_new(sd_event *event, int64_t priority, uint32_t room, vms_exited_t exited, void *userdata,
	    struct vms **ret)
{
	size_t bytes = sizeof(struct vms) + room * sizeof(struct vm);
	struct vms *vms = memory_reserve(bytes);
	int r;

	if (!vms)
		return -ENOMEM;
	vms->event = sd_event_ref(event);
	vms->priority = priority;
	vms->exited = exited;
	vms->userdata = userdata;
	vms->room = room;
	vms->n_stored = sd_listen_fds_with_names(true, &vms->stored_names);
	r = hold_prepare(vms);
	if (r < 0) {
		vms_free(vms);
		return r;
	}
	*ret = vms;
	return 0;
}

/* One that stays there by mistake is of an exited process: the next start tells it apart. */
static void unstore_fd(const char *name)
{
	char message[ISO_NAME_BYTES + 64];

	snprintf(message, sizeof(message), "FDSTOREREMOVE=1\nFDNAME=%s%s", stored_prefix, name);
	notify_send(message, -1);
}

/* What nobody took is let go of. */
static void drop_stored(struct vms *vms)
{
	for (int i = 0; i < vms->n_stored; i++) {
		if (!vms->stored_names[i])
			continue;
		if (!strncmp(vms->stored_names[i], stored_prefix, strlen(stored_prefix)))
			unstore_fd(vms->stored_names[i] + strlen(stored_prefix));
		close(SD_LISTEN_FDS_START + i);
		free(vms->stored_names[i]);
	}
	free(vms->stored_names);
	vms->stored_names = NULL;
	vms->n_stored = 0;
}

int vms_remember_stops(struct vms *vms, const char *path)
{
	return stops_open(path, vms->room, &vms->stops);
}

static void vm_close(struct vm *vm)
{
	vm->source = sd_event_source_disable_unref(vm->source);
	if (vm->pidfd >= 0)
		close(vm->pidfd);
	vm->pidfd = -1;
	vm->pid = 0;
	vm->process_start = 0;
	vm->kill_at_us = 0;
	vm->unbinding = vm->unbound = 0;
	vm->left_stopped = false;
	vm->trusted_ns = 0;
}

struct vms *vms_free(struct vms *vms)
{
	uint32_t i;

	if (!vms)
		return NULL;
	for (i = 0; i < vms->n; i++) {
		if (vms->vms[i].kill_at_us)
			vm_kill(&vms->vms[i]);
		vm_close(&vms->vms[i]);
	}
	drop_stored(vms);
	stops_free(vms->stops);
	sd_event_source_disable_unref(vms->hold);
	sd_event_unref(vms->event);
	memory_release(vms, sizeof(*vms) + vms->room * sizeof(vms->vms[0]));
	return NULL;
}

/* Without it a restarted daemon finds the process by its number and start. */
static void store_fd(const struct vm *vm)
{
	char message[ISO_NAME_BYTES + 64];
	int r;

	/* No polling: the manager must keep the fd of a process that has exited meanwhile. */
	snprintf(message, sizeof(message), "FDSTORE=1\nFDNAME=%s%s\nFDPOLL=0", stored_prefix,
		 vm->name);
	r = notify_send(message, vm->pidfd);
	if (r < 0)
		log_line(LOG_WARNING, "%s: the service manager did not take its pidfd: %s",
			 vm->name, strerror(-r));
}

static uint64_t trusted_from_ns(void)
{
	return clock_boottime_ns() + UINT64_C(1000000) * VMS_HOLD_MS;
}

/* It is still to be known to the next daemon if this one dies, too. */
static void note_left_stopped(struct vm *vm)
{
	vm->left_stopped = stops_was_left(vm->vms->stops, vm->pid, vm->process_start);
	if (!vm->left_stopped)
		return;
	vm->trusted_ns = trusted_from_ns();
	stops_set(vm->vms->stops, place_of(vm), vm->pid, vm->process_start);
}

static int on_pidfd(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct vm *vm = userdata;

	(void)fd;
	(void)revents;
	/* Once: the fd stays readable from now on. */
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	vm->vms->exited(vm->vms->userdata, vm - vm->vms->vms, vm->epoch);
	return 0;
}

int vms_add(struct vms *vms, uint32_t lease, uint32_t epoch, const char *name, int pidfd)
{
	struct vm *vm = vm_of(vms, lease);
	char state;
	int r;

	vm_close(vm);
	stops_clear(vms->stops, lease);
	vm->pidfd = pidfd;
	vm->epoch = epoch;
	snprintf(vm->name, sizeof(vm->name), "%s", name);
	r = vms_pidfd_pid(pidfd, &vm->pid);
	if (r < 0 && r != -ESRCH) {
		vm_close(vm);
		return r;
	}
	if (vm->pid)
		read_process(vm->pid, &state, &vm->process_start);
	note_left_stopped(vm);
	r = sd_event_add_io(vms->event, &vm->source, pidfd, EPOLLIN, on_pidfd, vm);
	if (r < 0) {
		vm_close(vm);
		return r;
	}
	sd_event_source_set_priority(vm->source, vms->priority);
	store_fd(vm);
	return 0;
}

int vms_kill(struct vms *vms, uint32_t lease, uint32_t epoch, uint32_t unbinding)
{
	struct vm *vm = &vms->vms[lease];

	if (lease >= vms->n || vm->pidfd < 0 || vm->epoch != epoch)
		return -ENOENT;
	/* What the kernel was at when an earlier daemon stopped it is not known. */
	vm->unbinding = vm->left_stopped ? UINT32_MAX : unbinding & ~vm->unbound;
	return vm->unbinding ? vm_stop(vm) : vm_kill(vm);
}

/* The timer finds the later times by itself. */
static void hold_longer(struct vms *vms)
{
	uint64_t kill_at_us = hold_end_us();
	uint32_t i;

	for (i = 0; i < vms->n; i++) {
		if (vms->vms[i].kill_at_us)
			vms->vms[i].kill_at_us = kill_at_us;
		if (vms->vms[i].left_stopped)
			vms->vms[i].trusted_ns = trusted_from_ns();
	}
}

void vms_unbound(struct vms *vms, uint32_t lease, uint32_t part)
{
	struct vm *vm = vm_of(vms, lease);

	if (vm->pidfd < 0)
		return;
	vm->unbound |= UINT32_C(1) << part;
	hold_longer(vms);
	if (vm->kill_at_us && !(vm->unbinding & ~vm->unbound))
		vm_kill(vm);
}

bool vms_was_left_stopped(const struct vms *vms, uint32_t lease)
{
	return lease < vms->n && vms->vms[lease].left_stopped;
}

bool vms_continue(struct vms *vms, uint32_t lease, uint64_t looked_ns)
{
	struct vm *vm = vm_of(vms, lease);

	if (!vm->left_stopped || vm->kill_at_us || looked_ns < vm->trusted_ns)
		return false;
	vm->left_stopped = false;
	send_signal(vm, SIGCONT);
	stops_clear(vms->stops, lease);
	return true;
}

bool vms_is_stopped(const struct vms *vms, uint32_t lease)
{
	uint64_t start;
	char state;

	return lease < vms->n && read_process(vms->vms[lease].pid, &state, &start) == 0 &&
	       state == 'T' && start == vms->vms[lease].process_start;
}

void vms_forget(struct vms *vms, uint32_t lease)
{
	struct vm *vm = vm_of(vms, lease);

	if (vm->pidfd < 0)
		return;
	stops_clear(vms->stops, lease);
	unstore_fd(vm->name);
	vm_close(vm);
}

bool vms_is_vm(const struct vms *vms, pid_t pid)
{
	uint32_t i;

	for (i = 0; i < vms->n; i++)
		if (vms->vms[i].pidfd >= 0 && vms->vms[i].pid == pid)
			return true;
	return false;
}

static bool is_stored_of(const char *stored, const char *name)
{
	size_t prefix = strlen(stored_prefix);

	return stored && !strncmp(stored, stored_prefix, prefix) && !strcmp(stored + prefix, name);
}

static pid_t living_pid(int pidfd)
{
	struct pollfd poll_exit = {.fd = pidfd, .events = POLLIN};
	pid_t pid = 0;

	return poll(&poll_exit, 1, 0) == 0 && vms_pidfd_pid(pidfd, &pid) == 0 ? pid : 0;
}

int vms_take_stored(struct vms *vms, const char *name, pid_t *ret_pid)
{
	bool any_dead = false;
	int i, living = -ENOENT;

	for (i = 0; i < vms->n_stored; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		pid_t pid;

		if (!is_stored_of(vms->stored_names[i], name))
			continue;
		free(vms->stored_names[i]);
		vms->stored_names[i] = NULL;
		pid = living >= 0 ? 0 : living_pid(fd);
		if (pid) {
			living = fd;
			*ret_pid = pid;
		} else {
			any_dead = true;
			close(fd);
		}
	}
	/* All of the name: vms_add() gives the living one back. */
	if (any_dead)
		unstore_fd(name);
	return living;
}

bool vms_left_stored(const struct vms *vms, char *name, size_t room)
{
	size_t prefix = strlen(stored_prefix);

	for (int i = 0; i < vms->n_stored; i++)
		if (vms->stored_names[i] && !strncmp(vms->stored_names[i], stored_prefix, prefix) &&
		    strlen(vms->stored_names[i] + prefix) < room) {
			strcpy(name, vms->stored_names[i] + prefix);
			return true;
		}
	return false;
}

void vms_settle(struct vms *vms)
{
	int r;

	drop_stored(vms);
	r = stops_settle(vms->stops);
	if (r < 0)
		log_line(LOG_WARNING, "what is stopped cannot be written down: %s", strerror(-r));
}

bool vms_is_thread(pid_t process, pid_t thread)
{
	return process > 0 && thread > 0 && (tgkill(process, thread, 0) == 0 || errno == EPERM);
}
