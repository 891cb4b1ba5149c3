/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pool of workers: real processes of this very program, real jobs on a fake
 * root. An attribute that is a FIFO without a reader is a kernel that sleeps.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "inspection_file.h"
#include "worker.h"

enum { ANSWERS_MAX = 64 };

static char root[64];
static sd_event *event;
static struct worker_pool *pool;
static struct job_reply answers[ANSWERS_MAX];
static int snapshots[ANSWERS_MAX];
static uint32_t n_answers;
static uint64_t inspected; /* the kernel's counter in the last inspection */
static struct job_request next; /* submitted from within the first answer when it has a kind */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The descriptor is valid during the call only. */
static void take_inspection(int fd)
{
	struct inspection_file file;

	cr_assert_eq(inspection_file_open(fd, &file), 0);
	inspected = file.inspection.uevent_seqnum;
	inspection_file_close(&file);
}

static void on_done(void *userdata, const struct job_reply *reply, int snapshot_fd)
{
	if (reply->kind == JOB_INSPECT && snapshot_fd >= 0)
		take_inspection(snapshot_fd);
	cr_assert_eq(userdata, (void *)root);
	cr_assert_lt(n_answers, (uint32_t)ANSWERS_MAX);
	answers[n_answers] = *reply;
	snapshots[n_answers++] = snapshot_fd;
	if (next.id) {
		cr_assert_eq(worker_pool_submit(pool, 9, &next), 0);
		next.id = 0;
	}
}

static void put(const char *path, const char *text)
{
	char full[256];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *at = full + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		(void)mkdir(full, 0755);
		*at = '/';
	}
	if (!text) {
		cr_assert_eq(mkfifo(full, 0600), 0);
		return;
	}
	file = fopen(full, "w");
	cr_assert(file);
	fputs(text, file);
	fclose(file);
}

static void setup(void)
{
	strcpy(root, "/tmp/daxmgr-worker-XXXXXX");
	cr_assert(mkdtemp(root));
	put("/sys/bus/pci/devices/0000:0c:00.0/rescan", NULL);
	put("/sys/bus/pci/devices/0000:0d:00.0/rescan", "");
	put("/proc/1/maps", "");
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_eq(worker_pool_new(event, root, 2, on_done, root, &pool), 0);
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void teardown(void)
{
	worker_pool_free(pool);
	sd_event_unref(event);
	nftw(root, drop, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(worker, .init = setup, .fini = teardown);

static struct job_request job(uint64_t id, uint32_t kind, unsigned int ms)
{
	return (struct job_request){
		.id = id, .kind = kind, .deadline_ns = now_ns() + ms * 1000000ull};
}

static struct job_request sleeper(uint64_t id, unsigned int ms)
{
	struct job_request request = job(id, JOB_RESCAN_PORT, ms);

	request.port = (struct iso_pci_address){0, 0x0c, 0, 0, 1};
	return request;
}

static void submit(uint32_t lane, struct job_request request)
{
	cr_assert_eq(worker_pool_submit(pool, lane, &request), 0);
}

static void run_until(uint32_t answers_wanted, unsigned int ms)
{
	uint64_t end = now_ns() + ms * 1000000ull;

	while (n_answers < answers_wanted && now_ns() < end)
		cr_assert_geq(sd_event_run(event, 10000), 0);
	cr_assert_geq(n_answers, answers_wanted, "%u of %u answers", n_answers, answers_wanted);
}

static uint32_t count_state(uint32_t state, struct worker_report *ret)
{
	struct worker_report reports[WORKERS_MAX];
	uint32_t n = worker_pool_report(pool, reports, WORKERS_MAX), found = 0;

	for (uint32_t i = 0; i < n; i++)
		if (reports[i].state == state) {
			found++;
			if (ret)
				*ret = reports[i];
		}
	return found;
}

Test(worker, an_inspection_of_everybody_comes_as_a_file)
{
	put("/sys/kernel/uevent_seqnum", "4711");
	submit(1, job(7, JOB_INSPECT, 5000));
	run_until(1, 5000);
	cr_assert_eq(answers[0].kind, JOB_INSPECT);
	cr_assert_eq(answers[0].completion.result, 0, "%s", answers[0].completion.message);
	cr_assert_eq(inspected, 4711);
}

Test(worker, a_job_is_answered_once_and_never_from_within_submit)
{
	submit(1, job(7, JOB_VERIFY, 5000));
	cr_assert_eq(n_answers, 0);
	cr_assert_eq(worker_pool_pending(pool), 1);
	run_until(1, 5000);
	cr_assert_eq(answers[0].completion.operation, 7);
	cr_assert_eq(answers[0].completion.result, 0, "%s", answers[0].completion.message);
	cr_assert_eq(snapshots[0], -1);
	cr_assert_eq(worker_pool_pending(pool), 0);
	for (int i = 0; i < 5; i++)
		sd_event_run(event, 1000);
	cr_assert_eq(n_answers, 1);
}

Test(worker, failures_of_jobs_come_back_with_words)
{
	struct job_request request = job(8, JOB_RESCAN_PORT, 5000);

	request.port = (struct iso_pci_address){0, 0x0d, 0, 0, 1};
	submit(1, request);
	request.id = 9;
	request.kind = JOB_DETACH_PORT;
	request.port.bus = 0x77;
	submit(1, request);
	run_until(2, 5000);
	cr_assert_eq(answers[0].completion.result, 0, "%s", answers[0].completion.message);
	cr_assert_eq(answers[1].completion.result, -ENOENT);
	cr_assert(strstr(answers[1].completion.message, "0000:77:00.0"), "%s",
		  answers[1].completion.message);
}

Test(worker, a_lane_keeps_the_order_and_other_lanes_do_not_wait)
{
	submit(1, sleeper(1, 1500));
	submit(1, job(2, JOB_VERIFY, 5000));
	submit(2, job(3, JOB_VERIFY, 5000));
	run_until(1, 1000);
	cr_assert_eq(answers[0].completion.operation, 3);
	run_until(3, 5000);
	cr_assert_eq(answers[1].completion.operation, 1);
	cr_assert_eq(answers[2].completion.operation, 2);
	cr_assert_eq(answers[2].completion.result, 0);
}

Test(worker, a_job_that_sleeps_is_answered_at_its_deadline)
{
	uint64_t begin = now_ns();

	submit(1, sleeper(1, 300));
	run_until(1, 5000);
	cr_assert_eq(answers[0].completion.result, -ETIME);
	cr_assert(strstr(answers[0].completion.message, "rescan-port"), "%s",
		  answers[0].completion.message);
	cr_assert_geq(now_ns() - begin, 300000000u);
	cr_assert_lt(now_ns() - begin, 2000000000u);
	/* This sleep can be killed, so the worker goes and the lane is free again. */
	submit(1, job(2, JOB_VERIFY, 5000));
	run_until(2, 5000);
	cr_assert_eq(answers[1].completion.result, 0);
	cr_assert_eq(count_state(WORKER_HUNG, NULL), 0);
}

Test(worker, what_waits_behind_a_sleeper_has_a_deadline_too)
{
	submit(1, sleeper(1, 3000));
	submit(1, job(2, JOB_VERIFY, 300));
	run_until(1, 2000);
	cr_assert_eq(answers[0].completion.operation, 2);
	cr_assert_eq(answers[0].completion.result, -ETIME);
	cr_assert_eq(worker_pool_pending(pool), 1);
}

Test(worker, a_worker_that_dies_answers_its_job_and_is_replaced)
{
	struct worker_report report;

	submit(1, sleeper(1, 20000));
	for (int i = 0; i < 200 && !count_state(WORKER_BUSY, NULL); i++)
		sd_event_run(event, 10000);
	cr_assert_eq(count_state(WORKER_BUSY, &report), 1);
	cr_assert_eq(report.kind, JOB_RESCAN_PORT);
	cr_assert_eq(report.lane, 1);
	cr_assert_eq(report.job, 1);
	cr_assert_eq(kill(report.pid, SIGKILL), 0);
	run_until(1, 5000);
	cr_assert_eq(answers[0].completion.result, -ECONNRESET);
	cr_assert(strstr(answers[0].completion.message, "signal 9"), "%s",
		  answers[0].completion.message);
	submit(1, job(2, JOB_VERIFY, 5000));
	run_until(2, 5000);
	cr_assert_eq(answers[1].completion.result, 0);
	cr_assert_geq(count_state(WORKER_IDLE, NULL), 1);
}

/* Proves: what nobody needs any more ends at once, at work or in the queue, and frees its lane. */
Test(worker, an_abandoned_job_is_answered_once_its_worker_has_gone)
{
	submit(1, sleeper(1, 60000));
	submit(1, sleeper(2, 60000));
	submit(1, job(3, JOB_VERIFY, 60000));
	for (int i = 0; i < 200 && !count_state(WORKER_BUSY, NULL); i++)
		sd_event_run(event, 10000);
	worker_pool_abandon(pool, 2);
	cr_assert_eq(n_answers, 0, "not from within");
	run_until(1, 5000);
	cr_assert_eq(answers[0].completion.operation, 2);
	cr_assert_lt(answers[0].completion.result, 0);
	worker_pool_abandon(pool, 1);
	worker_pool_abandon(pool, 2);
	run_until(3, 5000);
	cr_assert_eq(answers[1].completion.operation, 1);
	cr_assert_lt(answers[1].completion.result, 0);
	cr_assert_eq(answers[2].completion.operation, 3);
	cr_assert_eq(answers[2].completion.result, 0);
}

Test(worker, a_stopped_worker_is_seen_as_busy_then_killed)
{
	struct worker_report report;

	submit(3, sleeper(1, 800));
	for (int i = 0; i < 200 && !count_state(WORKER_BUSY, NULL); i++)
		sd_event_run(event, 10000);
	cr_assert_eq(count_state(WORKER_BUSY, &report), 1);
	kill(report.pid, SIGSTOP);
	run_until(1, 5000);
	cr_assert_eq(answers[0].completion.result, -ETIME);
}

/* Submits a job and tells which process runs it: the only one that is not idle. */
static pid_t runner(uint64_t id, uint32_t kind)
{
	struct job_request request = job(id, kind, 400);
	struct worker_report report;

	request.instance.bytes = 4096;
	request.instance.align = 4096;
	submit(1, request);
	for (int i = 0; i < 100 && !count_state(WORKER_BUSY, NULL); i++)
		sd_event_run(event, 1000);
	cr_assert_eq(count_state(WORKER_BUSY, &report), 1);
	cr_assert_eq(report.kind, kind);
	return report.pid;
}

Test(worker, what_was_zeroed_is_proved_by_another_process)
{
	for (uint64_t round = 0; round < 3; round++) {
		pid_t zeroed, proved;

		zeroed = runner(1 + 2 * round, JOB_ZERO);
		run_until((uint32_t)(2 * round + 1), 5000);
		proved = runner(2 + 2 * round, JOB_PROVE);
		run_until((uint32_t)(2 * round + 2), 5000);
		cr_assert_neq(zeroed, proved);
	}
	cr_assert_leq(worker_pool_report(pool, NULL, 0), 6, "idle ones do not pile up");
}

Test(worker, an_answer_may_submit)
{
	next = job(5, JOB_VERIFY, 5000);
	submit(1, job(4, JOB_VERIFY, 5000));
	run_until(2, 5000);
	cr_assert_eq(answers[1].completion.operation, 5);
}

/* A walk of /proc: somebody may map this device. */
static struct job_request walk(uint64_t id, unsigned int ms)
{
	struct job_request request = job(id, JOB_VERIFY, ms);

	request.lease.n = 1;
	request.lease.instances[0] =
		(struct job_instance){.kernel_id = (uint32_t)id, .minor = (uint32_t)id};
	return request;
}

/* Lets the one walk that sleeps at a process's maps go on. */
static void wake_walk(const char *path)
{
	char full[256];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	file = fopen(full, "w");
	cr_assert(file);
	fclose(file);
}

Test(worker, verifications_that_wait_together_are_one_walk)
{
	put("/proc/2/maps", NULL);
	submit(1, walk(1, 5000));
	for (int i = 0; i < 100 && !count_state(WORKER_BUSY, NULL); i++)
		sd_event_run(event, 1000);
	for (uint64_t id = 2; id < 12; id++)
		submit(1, walk(id, 5000));
	submit(1, job(12, JOB_RESCAN_PORT, 5000));
	wake_walk("/proc/2/maps");
	run_until(1, 5000);
	cr_assert_eq(n_answers, 1, "what came later needs a walk of its own");
	wake_walk("/proc/2/maps");
	run_until(12, 5000);
	for (uint32_t i = 0; i < 12; i++)
		cr_assert_eq(answers[i].completion.operation, i + 1);
	for (uint32_t i = 0; i < 11; i++)
		cr_assert_eq(answers[i].completion.result, 0, "%s", answers[i].completion.message);
	cr_assert_eq(worker_pool_pending(pool), 0);
}

Test(worker, all_that_share_a_walk_fail_with_it)
{
	put("/proc/2/maps", NULL);
	submit(1, sleeper(1, 200));
	submit(1, walk(2, 700));
	submit(1, walk(3, 60000));
	run_until(3, 5000);
	cr_assert_eq(answers[1].completion.result, -ETIME);
	cr_assert_eq(answers[2].completion.result, -ETIME);
	cr_assert_eq(worker_pool_pending(pool), 0);
}

Test(worker, a_lane_does_not_wait_for_one_that_only_looked)
{
	put("/proc/2/maps", NULL);
	submit(1, walk(1, 300));
	next = sleeper(2, 5000);
	for (int i = 0; i < 300 && !n_answers; i++)
		sd_event_run(event, 10000);
	cr_assert_eq(answers[0].completion.result, -ETIME);
	submit(1, sleeper(3, 5000));
	sd_event_run(event, 0);
	/* The one that is being killed has not been seen to end yet. */
	cr_assert_eq(count_state(WORKER_HUNG, NULL), 1);
	cr_assert_eq(count_state(WORKER_BUSY, NULL), 2);
}

Test(worker, bounds)
{
	struct job_request request = job(1, JOB_VERIFY, 5000);

	request.deadline_ns = 0;
	cr_assert_eq(worker_pool_submit(pool, 1, &request), -EINVAL);
	for (uint32_t i = 0; i < WORKER_JOBS_MAX; i++)
		submit(i % 8, sleeper(i + 1, 60000));
	request = job(1, JOB_VERIFY, 5000);
	cr_assert_eq(worker_pool_submit(pool, 1, &request), -EXFULL);
}

Test(worker, workers_end_with_the_pool)
{
	struct worker_report reports[WORKERS_MAX];
	uint32_t n = worker_pool_report(pool, reports, WORKERS_MAX);
	char path[64], state[256];

	cr_assert_geq(n, 2);
	pool = worker_pool_free(pool);
	for (uint32_t i = 0; i < n; i++) {
		char *end;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/stat", reports[i].pid);
		for (int tries = 0; tries < 500; tries++) {
			file = fopen(path, "r");
			if (!file)
				break;
			cr_assert(fgets(state, sizeof(state), file));
			fclose(file);
			end = strrchr(state, ')');
			if (end && end[2] == 'Z')
				break;
			usleep(10000);
		}
		cr_assert(!file || strchr(strrchr(state, ')'), 'Z'), "worker %d lives on",
			  reports[i].pid);
	}
}

int main(int argc, char **argv)
{
	struct criterion_test_set *tests;
	int result = 0;

	if (argc == 2 && !strcmp(argv[1], "--worker"))
		return worker_main(WORKER_SOCKET_FD);
	tests = criterion_initialize();
	if (criterion_handle_args(argc, argv, true))
		result = !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	return result;
}
