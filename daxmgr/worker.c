/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "worker_internal.h"

enum {
	/* A job's own waits end a little before its deadline: it says more than "too late". */
	WORKER_MARGIN_NS = 300 * 1000 * 1000,
	WORKER_GIVEN_UP_MAX = 3, /* of a lane */
};

uint64_t worker_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- answers --------------------------------------------------------------------------------- */

static void worker_job_answer(struct worker_pool *pool, struct worker_job *job,
			      const struct job_reply *reply, int snapshot_fd)
{
	if (job->answered)
		return;
	job->answered = true;
	pool->n_jobs--;
	pool->done(pool->userdata, reply, snapshot_fd);
}

static void worker_job_fail(struct worker_pool *pool, struct worker_job *job, int error,
			    const char *format, ...) __attribute__((format(printf, 4, 5)));

static void worker_job_fail(struct worker_pool *pool, struct worker_job *job, int error,
			    const char *format, ...)
{
	struct job_reply reply = {
		.kind = job->request.kind,
		.completion = {.operation = job->request.id, .result = error},
	};
	va_list arguments;

	if (job->request.kind == JOB_ISOLATION_FIND)
		reply.isolation.port = job->request.isolation.port;
	if (job->since_ns)
		reply.elapsed_ns = worker_now_ns() - job->since_ns;
	va_start(arguments, format);
	vsnprintf(reply.completion.message, sizeof(reply.completion.message), format, arguments);
	va_end(arguments);
	worker_job_answer(pool, job, &reply, -1);
}

/* --- lanes ----------------------------------------------------------------------------------- */

static struct worker_lane *worker_lane_get(struct worker_pool *pool, uint32_t number)
{
	struct worker_lane *lane;

	for (lane = pool->lanes; lane; lane = lane->next)
		if (lane->number == number)
			return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->number = number;
	lane->next = pool->lanes;
	pool->lanes = lane;
	return lane;
}

static void worker_lane_append(struct worker_lane *lane, struct worker_job *job)
{
	if (lane->last)
		lane->last->next = job;
	else
		lane->first = job;
	lane->last = job;
}

static struct worker_job *worker_lane_take(struct worker_lane *lane)
{
	struct worker_job *job = lane->first;

	lane->first = job->next;
	if (!lane->first)
		lane->last = NULL;
	job->next = NULL;
	return job;
}

/* --- running --------------------------------------------------------------------------------- */

static int worker_send(struct worker *worker, const struct worker_job *job, uint32_t n_joined)
{
	struct job_request request = job->request;
	uint64_t now = worker_now_ns(), left, margin;

	left = request.deadline_ns > now ? request.deadline_ns - now : 0;
	margin = left / 8 < WORKER_MARGIN_NS ? left / 8 : WORKER_MARGIN_NS;
	request.deadline_ns -= margin;
	request.n_joined = n_joined;
	if (send(worker->process.socket, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) !=
	    (ssize_t)sizeof(request))
		return errno ? -errno : -EIO;
	return 0;
}

static bool worker_may_run(const struct worker *worker, const struct job_request *request)
{
	return worker->state == WORKER_IDLE &&
	       !(request->kind == JOB_PROVE && worker->has_zeroed) &&
	       !(worker->slow && job_is_quick(request));
}

/* Those that are good for less are taken first: who has zeroed, who is slow. */
static struct worker *worker_choose(struct worker_pool *pool, const struct job_request *request)
{
	struct worker *choice = NULL;

	for (uint32_t i = 0; i < pool->n_workers; i++) {
		struct worker *worker = pool->workers[i];

		if (worker_may_run(worker, request) &&
		    (!choice || worker->has_zeroed || (worker->slow && !choice->slow)))
			choice = worker;
	}
	if (!choice && worker_pool_spawn(pool, &choice) < 0)
		return NULL;
	return choice;
}

/* Takes the lane's next job and those that can be joined to it, as a list. */
static struct worker_job *worker_lane_take_together(struct worker_lane *lane, uint32_t *ret_joined)
{
	struct worker_job *first = worker_lane_take(lane), *last = first;
	uint32_t joined = 0;

	while (first->request.kind == JOB_VERIFY && lane->first &&
	       lane->first->request.kind == JOB_VERIFY && joined + 1 < JOB_JOINED_MAX) {
		last->next = worker_lane_take(lane);
		last = last->next;
		joined++;
	}
	*ret_joined = joined;
	return first;
}

static bool worker_lane_start(struct worker_pool *pool, struct worker_lane *lane)
{
	struct worker *worker = worker_choose(pool, &lane->first->request);
	uint64_t now = worker_now_ns();
	uint32_t joined;

	if (!worker)
		return false;
	worker->jobs = worker_lane_take_together(lane, &joined);
	worker->state = WORKER_BUSY;
	worker->lane = lane;
	lane->running = worker;
	if (worker->jobs->request.kind == JOB_ZERO)
		worker->has_zeroed = true;
	worker->slow |= !job_is_quick(&worker->jobs->request);
	for (struct worker_job *job = worker->jobs; job; job = job->next) {
		job->since_ns = now;
		/* It is dying, or it will never hear of the job: its end answers that, at once. */
		if (worker_send(worker, job, job == worker->jobs ? joined : 0) < 0)
			worker_kill(worker);
	}
	return true;
}

void worker_pool_dispatch(struct worker_pool *pool)
{
	for (struct worker_lane *lane = pool->lanes; lane; lane = lane->next)
		if (lane->first && !lane->running && !worker_lane_start(pool, lane))
			break; /* no process to be had now; the next that is free comes back here */
	worker_pool_refill(pool);
	worker_pool_arm(pool);
}

/* Takes the jobs from their worker; the lane may go on. */
static struct worker_job *worker_release(struct worker *worker)
{
	struct worker_job *jobs = worker->jobs;

	if (worker->lane && worker->lane->running == worker)
		worker->lane->running = NULL;
	else if (worker->lane)
		worker->lane->n_given_up--;
	worker->lane = NULL;
	worker->jobs = NULL;
	return jobs;
}

static struct worker_job *worker_find_job(const struct worker *worker, uint64_t id)
{
	struct worker_job *job = worker->jobs;

	while (job && (job->answered || job->request.id != id))
		job = job->next;
	return job;
}

static bool worker_has_more(const struct worker *worker, const struct worker_job *than)
{
	for (const struct worker_job *job = worker->jobs; job; job = job->next)
		if (job != than && !job->answered)
			return true;
	return false;
}

static void worker_reply(struct worker_pool *pool, struct worker *worker,
			 const struct job_reply *reply, int snapshot_fd)
{
	struct worker_job *job, *done = NULL;

	if (worker->state != WORKER_BUSY)
		return;
	job = worker_find_job(worker, reply->completion.operation);
	if (!job)
		return;
	worker->slow |= reply->was_slow;
	if (!worker_has_more(worker, job)) {
		done = worker_release(worker);
		worker->state = WORKER_IDLE;
	}
	worker_job_answer(pool, job, reply, snapshot_fd);
	worker_jobs_free(done);
}

/* Return: 1 when a reply was read, 0 when there is none, or a negative errno. */
static int worker_read(struct worker_pool *pool, struct worker *worker)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct job_reply reply;
	struct iovec part = {&reply, sizeof(reply)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	_cleanup_close_ int snapshot_fd = -1;
	struct cmsghdr *header;
	ssize_t length;

	length = recvmsg(worker->process.socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (length < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&snapshot_fd, CMSG_DATA(header), sizeof(int));
	if (!length)
		return -ENOTCONN;
	if (length != (ssize_t)sizeof(reply))
		return -EBADMSG;
	reply.completion.message[ISO_TEXT_BYTES - 1] = '\0';
	worker_reply(pool, worker, &reply, snapshot_fd);
	return 1;
}

int worker_on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct worker *worker = userdata;
	struct worker_pool *pool = worker->pool;
	int result;

	(void)fd;
	(void)events;
	result = worker_read(pool, worker);
	if (result < 0) {
		/* Its end comes through the pidfd; a worker that talks nonsense is made to end. */
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		worker_kill(worker);
	}
	worker_pool_trim(pool);
	worker_pool_dispatch(pool);
	return 0;
}

static void worker_died(struct worker_pool *pool, struct worker *worker, int status)
{
	struct worker_job *jobs = worker_release(worker);

	for (struct worker_job *job = jobs; job; job = job->next)
		worker_job_fail(pool, job, -ECONNRESET,
				WIFSIGNALED(status) ? "%s: worker %d was killed by signal %d"
						    : "%s: worker %d ended with status %d",
				worker_job_name(job->request.kind), worker->process.pid,
				WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	worker_jobs_free(jobs);
}

int worker_on_exit(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct worker *worker = userdata;
	struct worker_pool *pool = worker->pool;
	int status = 0;

	(void)source;
	(void)fd;
	(void)events;
	if (!worker_process_reap(&worker->process, &status))
		return 0;
	/* What it still said counts. */
	while (worker_read(pool, worker) > 0)
		;
	/* One that ends unasked may be followed by the next: no spares until somebody needs one. */
	if (worker->state == WORKER_BUSY || worker->state == WORKER_IDLE)
		pool->starve = true;
	worker_died(pool, worker, status);
	worker_pool_remove(pool, worker);
	worker_pool_dispatch(pool);
	return 0;
}

/* --- deadlines ------------------------------------------------------------------------------- */

static bool worker_job_only_looks(const struct worker_job *job)
{
	switch (job->request.kind) {
	case JOB_OBSERVE:
	case JOB_VERIFY:
	case JOB_INSPECT:
	case JOB_AER_COUNTERS:
	case JOB_DEVICE_HEALTH:
	case JOB_LAST_BOOT:
	case JOB_QMP_CONNECT:
	case JOB_ISOLATION_FIND:
	case JOB_ISOLATION_HOST:
		return true;
	default:
		return false;
	}
}

static uint64_t worker_deadline(const struct worker *worker)
{
	uint64_t deadline = UINT64_MAX;

	for (const struct worker_job *job = worker->jobs; job; job = job->next)
		if (job->request.deadline_ns < deadline)
			deadline = job->request.deadline_ns;
	return deadline;
}

static void worker_expire_running(struct worker_pool *pool, struct worker *worker, uint64_t now)
{
	struct worker_lane *lane = worker->lane;

	if (worker->state != WORKER_BUSY || worker_deadline(worker) > now)
		return;
	worker->state = WORKER_HUNG;
	worker_kill(worker);
	/* It changes nothing any more, however long it stays; but let that not become a habit. */
	if (worker_job_only_looks(worker->jobs) && lane->n_given_up < WORKER_GIVEN_UP_MAX) {
		lane->running = NULL;
		lane->n_given_up++;
	}
	for (struct worker_job *job = worker->jobs; job; job = job->next)
		worker_job_fail(pool, job, -ETIME,
				"%s: worker %d did not finish in time and is being killed",
				worker_job_name(job->request.kind), worker->process.pid);
}

static void worker_expire_waiting(struct worker_pool *pool, struct worker_lane *lane, uint64_t now)
{
	struct worker_job **at = &lane->first, *job;

	lane->last = NULL;
	while ((job = *at)) {
		if (job->request.deadline_ns > now) {
			lane->last = job;
			at = &job->next;
			continue;
		}
		*at = job->next;
		/* Moved aside: answering may submit, and that changes the lane. */
		job->next = pool->expired;
		pool->expired = job;
	}
}

static void worker_answer_expired(struct worker_pool *pool)
{
	struct worker_job *job;

	while ((job = pool->expired)) {
		pool->expired = job->next;
		worker_job_fail(pool, job, -ETIME,
				"%s: was not started in time; daxmgrctl workers shows what is in "
				"the way",
				worker_job_name(job->request.kind));
		free(job);
	}
}

int worker_on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct worker_pool *pool = userdata;
	uint64_t now = worker_now_ns();

	(void)source;
	(void)usec;
	for (struct worker_lane *lane = pool->lanes; lane; lane = lane->next)
		worker_expire_waiting(pool, lane, now);
	worker_answer_expired(pool);
	for (uint32_t i = 0; i < pool->n_workers; i++)
		worker_expire_running(pool, pool->workers[i], now);
	worker_pool_dispatch(pool);
	return 0;
}

static uint64_t worker_next_deadline(const struct worker_pool *pool)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < pool->n_workers; i++) {
		const struct worker *worker = pool->workers[i];

		if (worker->state == WORKER_BUSY && worker_deadline(worker) < next)
			next = worker_deadline(worker);
	}
	for (const struct worker_lane *lane = pool->lanes; lane; lane = lane->next)
		for (const struct worker_job *job = lane->first; job; job = job->next)
			if (job->request.deadline_ns < next)
				next = job->request.deadline_ns;
	return next;
}

void worker_pool_arm(struct worker_pool *pool)
{
	uint64_t next = worker_next_deadline(pool);

	if (next == UINT64_MAX) {
		sd_event_source_set_enabled(pool->deadline_source, SD_EVENT_OFF);
		return;
	}
	/* Rounded up: a timer that is early would find nothing to do. */
	sd_event_source_set_time(pool->deadline_source, next / 1000 + 1);
	sd_event_source_set_enabled(pool->deadline_source, SD_EVENT_ONESHOT);
}

/* Return: whether it was one of the lane that waits. */
static bool worker_abandon_waiting(struct worker_lane *lane, uint64_t id)
{
	for (struct worker_job *job = lane->first; job; job = job->next)
		if (job->request.id == id) {
			job->request.deadline_ns = worker_now_ns(); /* told from the loop */
			return true;
		}
	return false;
}

void worker_pool_abandon(struct worker_pool *pool, uint64_t id)
{
	for (uint32_t i = 0; i < pool->n_workers; i++)
		if (pool->workers[i]->state == WORKER_BUSY && worker_find_job(pool->workers[i], id))
			worker_kill(pool->workers[i]);
	for (struct worker_lane *lane = pool->lanes; lane; lane = lane->next)
		if (worker_abandon_waiting(lane, id))
			worker_pool_arm(pool);
}

/* --- submission ------------------------------------------------------------------------------ */

int worker_pool_submit(struct worker_pool *pool, uint32_t lane_number,
		       const struct job_request *request)
{
	_cleanup_free_ struct worker_job *job = NULL;
	struct worker_lane *lane;

	if (!request->deadline_ns)
		return -EINVAL;
	if (pool->n_jobs >= WORKER_JOBS_MAX)
		return -EXFULL;
	job = calloc(1, sizeof(*job));
	lane = worker_lane_get(pool, lane_number);
	if (!job || !lane)
		return -ENOMEM;
	job->request = *request;
	worker_lane_append(lane, job);
	job = NULL;
	pool->n_jobs++;
	pool->starve = false;
	/* From the loop: the caller is told of no end before it knows of the beginning. */
	sd_event_source_set_enabled(pool->dispatch_source, SD_EVENT_ONESHOT);
	return 0;
}

uint32_t worker_pool_pending(const struct worker_pool *pool)
{
	return pool->n_jobs;
}
