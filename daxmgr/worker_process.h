/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One worker process as its parent sees it.
 */
#ifndef DAXMGR_WORKER_PROCESS_H
#define DAXMGR_WORKER_PROCESS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* First message to a new worker. */
struct worker_hello {
	uint32_t request_bytes; /* layout check: both must be the same build */
	uint32_t reply_bytes;
	char root[PATH_MAX];
};

struct worker_process {
	pid_t pid;
	int pidfd;
	int socket;
};

#define WORKER_PROCESS_NULL ((struct worker_process){.pidfd = -1, .socket = -1})

/* Starts one and greets it. Return: 0 or a negative errno. */
int worker_process_start(const char *root, struct worker_process *ret);

/* Return: true when it has ended and was reaped; `*ret_status` as of waitpid(2). */
bool worker_process_reap(struct worker_process *process, int *ret_status);

void worker_process_close(struct worker_process *process);

/*
 * The cgroup "workers" beside the daemon's own, when that is a delegated
 * subgroup "main": the daemon makes it, each worker goes there by itself.
 * Return: 0 or a negative errno.
 */
int worker_cgroup_make(void);
int worker_cgroup_join(void);
/* Where its processes are listed. */
int worker_cgroup_file(char *path, size_t room);

/* State letter and wait channel from /proc. */
void worker_process_look(pid_t pid, char *ret_state, char *wchan, size_t room);

#endif
