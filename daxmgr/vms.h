/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The processes of attached VMs, by pidfd. A copy of each pidfd lies in the
 * service manager's fd store, so that a restarted daemon holds the very same
 * processes and never a recycled pid.
 */
#ifndef DAXMGR_VMS_H
#define DAXMGR_VMS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

struct vms;

/* The process of a lease has exited. */
typedef void (*vms_exited_t)(void *userdata, uint32_t lease, uint32_t epoch);

/*
 * `room` is the engine's number of leases: all memory is taken here, vms_kill()
 * takes none. Return: 0 or negative errno.
 */
int vms_new(sd_event *event, int64_t priority, uint32_t room, vms_exited_t exited, void *userdata,
	    struct vms **ret);

/*
 * What is stopped is written down at `path` (stops.h) from now on, and what an
 * earlier daemon wrote down there is known. Without it all goes as well, but who
 * was stopped by a daemon that died stays so. Return: 0 or negative errno.
 */
int vms_remember_stops(struct vms *vms, const char *path);

/* Closes all; VMs live on, their pidfds stay in the fd store. NULL is fine. */
struct vms *vms_free(struct vms *vms);

/* Watches `pidfd` (becomes ours in any case) as the VM of a lease. Return: 0 or negative errno. */
int vms_add(struct vms *vms, uint32_t lease, uint32_t epoch, const char *name, int pidfd);

/* How long stopped VMs wait for a kernel that unbinds nothing. They do not run, and their memory is lost. */
enum { VMS_HOLD_MS = 1000 };

/*
 * Ends a VM: one system call, after which it runs no more. That is SIGKILL, or
 * SIGSTOP while the kernel is `unbinding` parts of its memory (a bit for each):
 * a process that exits at that moment makes the kernel use memory that it has
 * freed (mm/memremap.c does not wait for the pages that exit_mmap() has taken
 * out of the page table but still holds). SIGKILL follows at vms_unbound(), or
 * after VMS_HOLD_MS in which nothing was unbound.
 * Return: 0, -ESRCH when it is gone already, -ENOENT for a stale epoch.
 */
int vms_kill(struct vms *vms, uint32_t lease, uint32_t epoch, uint32_t unbinding);

/*
 * The kernel has unbound a part of a lease. A VM that was stopped for it is
 * killed unless it waits for another part, and one that is yet to be killed
 * need not wait for this one. The hold of all others that are stopped begins
 * anew: the kernel unbinds one after the other.
 */
void vms_unbound(struct vms *vms, uint32_t lease, uint32_t part);

/*
 * A daemon that dies between the two signals leaves a stopped VM behind. It stays
 * so until vms_kill(), which gives the kernel its time as above, or
 * vms_continue(). Return: whether the VM of a lease is such a one.
 */
bool vms_was_left_stopped(const struct vms *vms, uint32_t lease);

/*
 * The memory of a VM that was left stopped is as it was, says a look at the host
 * that began at `looked_ns` (CLOCK_BOOTTIME). It goes on, unless the kernel may
 * have been about to unbind then: it has VMS_HOLD_MS for that, as above, from
 * vms_add() on. Return: whether it goes on.
 */
bool vms_continue(struct vms *vms, uint32_t lease, uint64_t looked_ns);

/* Whether the VM of a lease is stopped, by whomever (QEMU's own `stop` is nothing of that kind). */
bool vms_is_stopped(const struct vms *vms, uint32_t lease);

/* All that an earlier daemon left was added or is nobody's: a later one need not know of it. */
void vms_settle(struct vms *vms);

/* Forgets the process of a lease, also in the fd store. */
void vms_forget(struct vms *vms, uint32_t lease);

/* Whether `pid` is the process of a lease. */
bool vms_is_vm(const struct vms *vms, pid_t pid);

/*
 * Takes a pidfd back that an earlier daemon left in the fd store under the
 * lease's name. Return: the fd of a living process (the caller's), or -ENOENT;
 * those of processes that have exited are let go, in the fd store too.
 */
int vms_take_stored(struct vms *vms, const char *name, pid_t *ret_pid);

/* Name of a lease of which the fd store holds a pidfd that nobody took. Return: false when there is none. */
bool vms_left_stored(const struct vms *vms, char *name, size_t room);

/*
 * When the process of a lease started, in ticks since boot; together with its
 * pid it names the process without doubt. Return: 0 when there is none.
 */
uint64_t vms_process_start(const struct vms *vms, uint32_t lease);

/*
 * Opens a process that was recorded by pid and start. Return: a pidfd (the
 * caller's), or -ESRCH when it has gone and the pid may be somebody else's.
 */
int vms_open_process(pid_t pid, uint64_t process_start);

/* Pid behind a pidfd. Return: 0 or -ESRCH when it has been reaped, other negative errno. */
int vms_pidfd_pid(int pidfd, pid_t *ret);

/*
 * Says whether `thread` is one of `process`; what has exited is none. One system
 * call, which waits for nothing and sends nothing.
 */
bool vms_is_thread(pid_t process, pid_t thread);

#endif
