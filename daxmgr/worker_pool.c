/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>

#include "cleanup.h"
#include "worker_internal.h"

enum {
	WORKER_IDLE_EXTRA = 2, /* idle processes kept beyond the spares */
	WORKER_IDLE_SLOW = 3,  /* kept: one that zeroes, one that proves, one that inspects */
};

static int worker_on_dispatch(sd_event_source *source, void *userdata)
{
	(void)source;
	worker_pool_dispatch(userdata);
	return 0;
}

static int worker_pool_sources(struct worker_pool *pool)
{
	int error;

	error = sd_event_add_time(pool->event, &pool->deadline_source, CLOCK_BOOTTIME, UINT64_MAX,
				  1000, worker_on_deadline, pool);
	if (error < 0)
		return error;
	error = sd_event_add_defer(pool->event, &pool->dispatch_source, worker_on_dispatch, pool);
	if (error < 0)
		return error;
	(void)sd_event_source_set_description(pool->deadline_source, "worker-deadline");
	(void)sd_event_source_set_description(pool->dispatch_source, "worker-dispatch");
	return 0;
}

static void worker_pool_freep(struct worker_pool **pool)
{
	worker_pool_free(*pool);
}

int worker_pool_new(sd_event *event, const char *root, uint32_t n_spare, worker_done done,
		    void *userdata, struct worker_pool **ret)
{
	_cleanup_(worker_pool_freep) struct worker_pool *pool = calloc(1, sizeof(*pool));
	int error;

	if (!pool)
		return -ENOMEM;
	pool->event = sd_event_ref(event);
	pool->done = done;
	pool->userdata = userdata;
	pool->n_spare = n_spare < WORKERS_MAX ? n_spare : WORKERS_MAX;
	pool->root = strdup(root);
	if (!pool->root)
		return -ENOMEM;
	/* Not delegated, or no cgroups at all: the workers stay where we are. */
	(void)worker_cgroup_make();
	worker_leftovers_find(pool);
	error = worker_pool_sources(pool);
	if (error < 0)
		return error;
	while (pool->n_workers < pool->n_spare) {
		struct worker *worker;

		error = worker_pool_spawn(pool, &worker);
		if (error)
			return error;
	}
	*ret = pool;
	pool = NULL;
	return 0;
}

void worker_jobs_free(struct worker_job *job)
{
	while (job) {
		struct worker_job *next = job->next;

		free(job);
		job = next;
	}
}

struct worker_pool *worker_pool_free(struct worker_pool *pool)
{
	if (!pool)
		return NULL;
	while (pool->n_workers) {
		struct worker *worker = pool->workers[0];

		worker_kill(worker);
		worker_jobs_free(worker->jobs);
		worker_pool_remove(pool, worker);
	}
	while (pool->lanes) {
		struct worker_lane *lane = pool->lanes;

		pool->lanes = lane->next;
		worker_jobs_free(lane->first);
		free(lane);
	}
	worker_jobs_free(pool->expired);
	worker_leftovers_close(pool);
	sd_event_source_disable_unref(pool->deadline_source);
	sd_event_source_disable_unref(pool->dispatch_source);
	sd_event_unref(pool->event);
	free(pool->root);
	free(pool);
	return NULL;
}

static int worker_watch(struct worker_pool *pool, struct worker *worker)
{
	int error;

	error = sd_event_add_io(pool->event, &worker->socket_source, worker->process.socket,
				EPOLLIN, worker_on_socket, worker);
	if (error < 0)
		return error;
	error = sd_event_add_io(pool->event, &worker->exit_source, worker->process.pidfd, EPOLLIN,
				worker_on_exit, worker);
	if (error < 0)
		return error;
	(void)sd_event_source_set_description(worker->socket_source, "worker-reply");
	(void)sd_event_source_set_description(worker->exit_source, "worker-exit");
	return 0;
}

int worker_pool_spawn(struct worker_pool *pool, struct worker **ret)
{
	struct worker *worker;
	int error;

	if (pool->n_workers == WORKERS_MAX)
		return -EXFULL;
	worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	worker->pool = pool;
	worker->process = WORKER_PROCESS_NULL;
	error = worker_process_start(pool->root, &worker->process);
	if (error) {
		free(worker);
		return error;
	}
	pool->workers[pool->n_workers++] = worker;
	error = worker_watch(pool, worker);
	if (error < 0) {
		worker_kill(worker);
		worker_pool_remove(pool, worker);
		return error;
	}
	*ret = worker;
	return 0;
}

void worker_pool_remove(struct worker_pool *pool, struct worker *worker)
{
	sd_event_source_disable_unref(worker->socket_source);
	sd_event_source_disable_unref(worker->exit_source);
	worker_process_close(&worker->process);
	for (uint32_t i = 0; i < pool->n_workers; i++)
		if (pool->workers[i] == worker) {
			pool->workers[i] = pool->workers[--pool->n_workers];
			break;
		}
	free(worker);
}

void worker_kill(struct worker *worker)
{
	(void)pidfd_send_signal(worker->process.pidfd, SIGKILL, NULL, 0);
}

static uint32_t worker_pool_count(const struct worker_pool *pool, bool slow, uint32_t state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < pool->n_workers; i++)
		n += pool->workers[i]->slow == slow && pool->workers[i]->state == state;
	return n;
}

/* To start one costs most when there is most to do: those at work count as well. */
void worker_pool_refill(struct worker_pool *pool)
{
	uint32_t idle = worker_pool_count(pool, false, WORKER_IDLE);
	uint32_t n = idle + worker_pool_count(pool, false, WORKER_BUSY);
	struct worker *worker;

	for (; (n < pool->n_spare || !idle) && !pool->starve; n++, idle++)
		if (worker_pool_spawn(pool, &worker) < 0)
			return;
}

static void worker_pool_trim_kind(struct worker_pool *pool, bool slow, uint32_t most)
{
	struct worker *choice = NULL;

	if (worker_pool_count(pool, slow, WORKER_IDLE) <= most)
		return;
	/* Of the slow ones one that may still prove is kept. */
	for (uint32_t i = 0; i < pool->n_workers; i++) {
		struct worker *worker = pool->workers[i];

		if (worker->state == WORKER_IDLE && worker->slow == slow &&
		    (!choice || worker->has_zeroed))
			choice = worker;
	}
	/* Idle, so it waits for us and nothing is cut short. */
	choice->state = WORKER_LEAVING;
	worker_kill(choice);
}

void worker_pool_trim(struct worker_pool *pool)
{
	worker_pool_trim_kind(pool, false, pool->n_spare + WORKER_IDLE_EXTRA);
	worker_pool_trim_kind(pool, true, WORKER_IDLE_SLOW);
}

uint32_t worker_pool_report(const struct worker_pool *pool, struct worker_report *reports,
			    uint32_t room)
{
	for (uint32_t i = 0; i < pool->n_workers && i < room; i++) {
		const struct worker *worker = pool->workers[i];
		struct worker_report *r = &reports[i];

		*r = (struct worker_report){.pid = worker->process.pid, .state = worker->state};
		if (worker->jobs) {
			r->kind = worker->jobs->request.kind;
			r->job = worker->jobs->request.id;
			r->since_ns = worker->jobs->since_ns;
			r->lane = worker->lane->number;
		}
		worker_process_look(r->pid, &r->process_state, r->wchan, sizeof(r->wchan));
	}
	return pool->n_workers;
}

const char *worker_job_name(uint32_t kind)
{
	static const char *const names[JOB_KINDS] = {
		[JOB_OBSERVE] = "observe",
		[JOB_CREATE_REGION] = "create-region",
		[JOB_REFILL_REGION] = "refill-region",
		[JOB_CLEAR_REGION] = "clear-region",
		[JOB_CARVE] = "carve",
		[JOB_ZERO] = "zero",
		[JOB_PROVE] = "prove",
		[JOB_HAND_OVER] = "hand-over",
		[JOB_RETRACT] = "retract",
		[JOB_VERIFY] = "verify",
		[JOB_INSPECT] = "inspect",
		[JOB_REVOKE] = "revoke",
		[JOB_REMOVE] = "remove",
		[JOB_DETACH_PORT] = "detach-port",
		[JOB_RESCAN_PORT] = "rescan-port",
		[JOB_GUARD] = "guard",
		[JOB_FORCE_LINK_DOWN] = "force-link-down",
		[JOB_CLEAR_ISOLATION] = "clear-isolation",
		[JOB_ARM_PORT] = "arm-port",
		[JOB_ISOLATION_FIND] = "isolation-find",
		[JOB_ISOLATION_HOST] = "isolation-host",
		[JOB_AER_COUNTERS] = "aer-counters",
		[JOB_DEVICE_HEALTH] = "device-health",
		[JOB_LAST_BOOT] = "last-boot",
		[JOB_QMP_CONNECT] = "qmp-connect",
		[JOB_START_UNIT] = "start-unit",
	};

	return kind < JOB_KINDS ? names[kind] : "unknown-job";
}
