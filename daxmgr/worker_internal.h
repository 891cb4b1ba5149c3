/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of the worker pool; worker.c decides who runs what, worker_pool.c
 * keeps the processes.
 */
#ifndef DAXMGR_WORKER_INTERNAL_H
#define DAXMGR_WORKER_INTERNAL_H

#include "worker.h"
#include "worker_process.h"

struct worker_job {
	struct worker_job *next;
	struct job_request request;
	uint64_t since_ns; /* started; 0: waits */
	bool answered;
};

struct worker {
	struct worker_pool *pool;
	struct worker_process process;
	sd_event_source *socket_source;
	sd_event_source *exit_source;
	uint32_t state; /* enum worker_state */
	bool has_zeroed; /* must not prove */
	bool slow; /* has left real time: takes no quick jobs */
	struct worker_job *jobs; /* BUSY, HUNG: more than one when they were joined */
	struct worker_lane *lane; /* of the jobs */
};

/* Lanes are few (domains) and stay. */
struct worker_lane {
	struct worker_lane *next;
	uint32_t number;
	struct worker_job *first, *last; /* waiting */
	struct worker *running;
	uint32_t n_given_up; /* hung ones that the lane does not wait for */
};

struct worker_pool {
	sd_event *event;
	sd_event_source *deadline_source;
	sd_event_source *dispatch_source;
	worker_done done;
	void *userdata;
	char *root;
	uint32_t n_spare; /* quick ones that are kept, also when there is nothing to do */
	uint32_t n_jobs;
	uint32_t n_workers;
	bool starve; /* workers die at work: start none in advance */
	struct worker_lane *lanes;
	struct worker_job *expired;
	uint32_t n_leftovers;
	struct worker_process leftovers[WORKER_LEFTOVERS_MAX];
	struct worker *workers[WORKERS_MAX];
};

uint64_t worker_now_ns(void);

/* Starts one more. Return: 0; -EXFULL when there are WORKERS_MAX; or a negative errno. */
int worker_pool_spawn(struct worker_pool *pool, struct worker **ret);

/* Starts what is missing, as far as it can. */
void worker_pool_refill(struct worker_pool *pool);

/* Ends idle ones that are too many. */
void worker_pool_trim(struct worker_pool *pool);

/* Forgets one that has ended and holds no job. */
void worker_pool_remove(struct worker_pool *pool, struct worker *worker);

/* Starts what can be started, and sets the timer. */
void worker_pool_dispatch(struct worker_pool *pool);
void worker_pool_arm(struct worker_pool *pool);

void worker_kill(struct worker *worker);
void worker_jobs_free(struct worker_job *job);

/* Before the first own one is started. */
void worker_leftovers_find(struct worker_pool *pool);
void worker_leftovers_close(struct worker_pool *pool);

int worker_on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata);
int worker_on_exit(sd_event_source *source, int fd, uint32_t events, void *userdata);
int worker_on_deadline(sd_event_source *source, uint64_t usec, void *userdata);

#endif
