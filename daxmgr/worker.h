/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Worker processes: they may sleep in the kernel for ever, the daemon may not.
 *
 * A lane runs one job at a time, in the order of submission; lanes do not wait
 * for each other. A job that is not done at its deadline is answered with
 * -ETIME and its worker is killed; the lane goes on only when that worker has
 * really gone, because until then the kernel may still be doing what it was
 * asked to do. Jobs that only look (observe, verify, inspect) belong into lanes
 * of their own, so that they are not held up by that; such a lane goes on at
 * once, a few times. VERIFY jobs that wait together are done together, by one
 * walk of /proc.
 */
#ifndef DAXMGR_WORKER_H
#define DAXMGR_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "job.h"

enum {
	WORKERS_MAX = 96, /* processes, hung ones included */
	WORKER_LEFTOVERS_MAX = 64, /* of an earlier daemon */
	WORKER_JOBS_MAX = 4096, /* submitted and not answered */
};

struct worker_pool;

/*
 * Called once for every submitted job, from the event loop and never from
 * within worker_pool_submit(). `snapshot_fd` stays the pool's and is valid
 * during the call, -1 when there is none. Submitting from within is allowed.
 */
typedef void (*worker_done)(void *userdata, const struct job_reply *reply, int snapshot_fd);

/*
 * Starts a pool that keeps `n_spare` processes for quick jobs, and one more
 * when all are at work. They are this very binary, called with the one argument "--worker"
 * (see worker_main()). `root` is the prefix of job_run(); it is copied.
 * Return: 0 or a negative errno.
 */
int worker_pool_new(sd_event *event, const char *root, uint32_t n_spare, worker_done done,
		    void *userdata, struct worker_pool **ret);

/* Ends all workers; running jobs are not answered. Accepts NULL. Return: NULL. */
struct worker_pool *worker_pool_free(struct worker_pool *pool);

/*
 * Puts a copy of the job at the end of a lane. ZERO and PROVE of whatever
 * instance never run in the same process. Return: 0; -EXFULL when there are
 * too many jobs; -EINVAL without a deadline; -ENOMEM.
 */
int worker_pool_submit(struct worker_pool *pool, uint32_t lane, const struct job_request *request);

/*
 * Ends a job early: its worker is killed, or it is not started. It is answered
 * all the same, as one that failed, once the worker has gone. An unknown `id`
 * is one that has ended.
 */
void worker_pool_abandon(struct worker_pool *pool, uint64_t id);

enum worker_state {
	WORKER_IDLE,
	WORKER_BUSY,
	WORKER_HUNG, /* killed at a deadline, and still there */
	WORKER_LEAVING, /* told to end, idle */
};

struct worker_report {
	pid_t pid;
	uint32_t state; /* enum worker_state */
	/* Of the job it runs; BUSY and HUNG only. What an earlier daemon asked for is not known: all 0. */
	uint32_t kind; /* enum job_kind */
	uint32_t lane;
	uint64_t job;
	uint64_t since_ns; /* CLOCK_BOOTTIME */
	char process_state; /* as in /proc/PID/stat; '?' when unknown */
	char wchan[64]; /* where in the kernel it sleeps; may be empty */
};

/* Fills at most `room` entries. Return: how many workers there are. */
uint32_t worker_pool_report(const struct worker_pool *pool, struct worker_report *reports,
			    uint32_t room);

/*
 * Workers of an earlier daemon that have not ended yet: they sleep in the
 * kernel. Fills at most `room` entries. Return: how many there are.
 */
uint32_t worker_pool_leftovers(struct worker_pool *pool, struct worker_report *reports,
			       uint32_t room);

/* Jobs that were submitted and not answered. */
uint32_t worker_pool_pending(const struct worker_pool *pool);

/* "observe", "create-region" …; never NULL. */
const char *worker_job_name(uint32_t kind);

/*
 * The other end: serves jobs from the socket `fd` until it is closed. Called
 * by main() when the process was started as a worker, with fd
 * WORKER_SOCKET_FD. Return: exit status.
 */
enum { WORKER_SOCKET_FD = 3 };
int worker_main(int fd);

#endif
