/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Workers that an earlier daemon left sleeping in the kernel. They were told to
 * end when it did, and nothing can make them; what they hold our workers wait for.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#include "cleanup.h"
#include "worker_internal.h"

void worker_leftovers_find(struct worker_pool *pool)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[PATH_MAX];
	pid_t pid;

	if (worker_cgroup_file(path, sizeof(path)) < 0)
		return;
	file = fopen(path, "re");
	while (file && pool->n_leftovers < WORKER_LEFTOVERS_MAX && fscanf(file, "%d", &pid) == 1) {
		struct worker_process *leftover = &pool->leftovers[pool->n_leftovers];

		*leftover = WORKER_PROCESS_NULL;
		leftover->pid = pid;
		leftover->pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
		pool->n_leftovers += leftover->pidfd >= 0;
	}
}

void worker_leftovers_close(struct worker_pool *pool)
{
	while (pool->n_leftovers)
		worker_process_close(&pool->leftovers[--pool->n_leftovers]);
}

static void worker_leftovers_forget(struct worker_pool *pool)
{
	uint32_t i = 0;

	while (i < pool->n_leftovers) {
		struct pollfd exited = {.fd = pool->leftovers[i].pidfd, .events = POLLIN};

		if (poll(&exited, 1, 0) == 0) {
			i++;
			continue;
		}
		worker_process_close(&pool->leftovers[i]);
		pool->leftovers[i] = pool->leftovers[--pool->n_leftovers];
	}
}

uint32_t worker_pool_leftovers(struct worker_pool *pool, struct worker_report *reports,
			       uint32_t room)
{
	worker_leftovers_forget(pool);
	for (uint32_t i = 0; i < pool->n_leftovers && i < room; i++) {
		reports[i] = (struct worker_report){
			.pid = pool->leftovers[i].pid,
			.state = WORKER_HUNG,
		};
		worker_process_look(reports[i].pid, &reports[i].process_state, reports[i].wchan,
				    sizeof(reports[i].wchan));
	}
	return pool->n_leftovers;
}
