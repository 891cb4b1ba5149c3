/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process that is the VM: a child of the launcher, made before anything is
 * asked for and told later to become QEMU. The launcher outlives it, so that a VM
 * whose memory failed asks again at once and does not wait for a service manager
 * that is busy with all the others.
 */
#ifndef QEMU_HOOKS_VM_PROCESS_H
#define QEMU_HOOKS_VM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct vm_process {
	pid_t pid;
	int pidfd;
	int go; /* the child becomes the VM after a word, and ends when this is closed */
	uint64_t begun_ns; /* CLOCK_MONOTONIC: when it was told to go; 0: not yet */
};

struct vm_process_end {
	bool by_signal;
	int status; /* exit status or signal */
	bool asked; /* a signal to end had come to the launcher and was passed on */
	uint64_t lived_ns; /* since it was told to go */
};

/* What the child does when it is told to go with `word`. Return: its exit status. */
typedef int (*vm_process_become_t)(void *userdata, uint64_t word);

/*
 * Makes the child, which ends without a word when this process does before it
 * was told to go. Return: 0 or negative errno.
 */
int vm_process_prepare(vm_process_become_t become, void *userdata, struct vm_process *ret);

/*
 * Tells it to go, with what was not known when it was made, and waits for its end;
 * SIGTERM, SIGINT and SIGHUP are passed on to it meanwhile. Closes `process`.
 */
struct vm_process_end vm_process_run(struct vm_process *process, uint64_t word);

/* Lets a child go that is not needed, and forgets it. Safe on a closed one. */
void vm_process_discard(struct vm_process *process);

/*
 * Whether what ended the VM can have been the loss of its memory: SIGKILL, as
 * the manager sends it, or SIGBUS, when the kernel was faster. One that nobody
 * asked to end and that had run for a while is worth another one.
 */
bool vm_process_lost_memory(const struct vm_process_end *end);

/* Ends this process as the VM ended, for whoever supervises it. */
_Noreturn void vm_process_end_alike(const struct vm_process_end *end);

#endif
