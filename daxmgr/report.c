/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the daemon itself is: what control.h shows of its parts and workers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "daemon.h"

static void component(struct daemon_component *ret, const char *name, const char *problem,
		      const char *bad_state)
{
	*ret = (struct daemon_component){
		.name = name,
		.state = problem[0] ? bad_state : "ok",
	};
	snprintf(ret->text, sizeof(ret->text), "%s", problem);
}

static void trace_component(struct daemon *daemon, struct daemon_component *ret)
{
	struct trace_report report;
	size_t length = 0;
	uint32_t i;

	component(ret, "trace", daemon->trace_problem, "missing");
	if (!daemon->trace)
		return;
	trace_get_report(daemon->trace, &report);
	for (i = 0; i < report.n_events && length < sizeof(ret->text); i++)
		if (report.events[i].state != TRACE_EVENT_ENABLED)
			length += snprintf(ret->text + length, sizeof(ret->text) - length,
					   "%s%s: %s", length ? ", " : "", report.events[i].name,
					   trace_event_state_name(report.events[i].state));
	if (report.spool_in_memory && length < sizeof(ret->text))
		(void)!snprintf(ret->text + length, sizeof(ret->text) - length,
				"%sno spool: %.100s", length ? ", " : "", report.spool_problem);
	if (report.told || report.overrun || report.spool_in_memory)
		ret->state = "degraded";
}

/* What changes and observations have to wait for, if anything. */
static void workers_problem(struct daemon *daemon, char *text, size_t room)
{
	_cleanup_free_ struct worker_report *reports = calloc(WORKERS_MAX, sizeof(*reports));
	const struct worker_report *hung = NULL;
	struct worker_report leftover;
	uint32_t i, n, n_hung = 0;

	text[0] = '\0';
	n = worker_pool_leftovers(daemon->workers, &leftover, 1);
	if (n) {
		snprintf(text, room,
			 "%u worker%s of an earlier daemon sleep%s in the kernel (process %d, %s)",
			 n, n == 1 ? "" : "s", n == 1 ? "s" : "", leftover.pid,
			 leftover.wchan[0] ? leftover.wchan : "where is not known");
		return;
	}
	n = reports ? worker_pool_report(daemon->workers, reports, WORKERS_MAX) : 0;
	for (i = 0; i < n && i < WORKERS_MAX; i++)
		if (reports[i].state == WORKER_HUNG) {
			hung = &reports[i];
			n_hung++;
		}
	if (hung)
		snprintf(text, room, "%u of %u workers sleep in the kernel (process %d, %s, %s)",
			 n_hung, n, hung->pid, worker_job_name(hung->kind),
			 hung->wchan[0] ? hung->wchan : "where is not known");
}

/* A retired memdev that is there is shown with its domain. */
static bool find_retired_away(const struct iso_engine *engine, char *text, size_t room)
{
	struct iso_fence_view fence;
	char serial[24];
	uint32_t i;

	for (i = 0; i < iso_fence_count(engine); i++) {
		if (!iso_fence_get(engine, i, &fence) || fence.lifted ||
		    fence.kind != ISO_FENCE_MEMDEV)
			continue;
		snprintf(serial, sizeof(serial), "%#llx", (unsigned long long)fence.serial);
		if (iso_memdev_find(engine, serial) != ISO_NONE)
			continue;
		snprintf(text, room,
			 "memdev %s, which is not there, stays retired by rule %.48s; "
			 "`daxmgrctl recover %s` ends that",
			 serial, fence.rule, serial);
		return true;
	}
	return false;
}

static void policy_component(struct daemon *daemon, struct daemon_component *ret)
{
	char text[ISO_TEXT_BYTES];

	component(ret, "policy", daemon->policy ? policy_problem(daemon->policy) : "", "degraded");
	if (!ret->text[0] && find_retired_away(daemon->engine, text, sizeof(text)))
		component(ret, "policy", text, "missing");
}

size_t daemon_components(struct daemon *daemon, struct daemon_component *ret, size_t room)
{
	struct daemon_component all[7];
	const size_t n = sizeof(all) / sizeof(all[0]);
	char problem[ISO_TEXT_BYTES];

	store_problem(daemon->store, problem, sizeof(problem));
	if (iso_hold_reason(daemon->engine) && !strcmp(problem, iso_hold_reason(daemon->engine)))
		problem[0] = '\0'; /* GetStatus() says that by itself; this database is well */
	component(&all[0], "store", problem, "degraded");
	trace_component(daemon, &all[1]);
	component(&all[2], "uevents", daemon->uevent_problem, "missing");
	component(&all[3], "guard", daemon->guard_problem, "failed");
	component(&all[4], "memory", daemon->memory_problem, "degraded");
	workers_problem(daemon, problem, sizeof(problem));
	component(&all[5], "workers", problem, "degraded");
	policy_component(daemon, &all[6]);
	room = room < n ? room : n;
	memcpy(ret, all, room * sizeof(all[0]));
	return room;
}

static const char *worker_state_name(uint32_t state)
{
	static const char *const names[] = {"idle", "busy", "hung", "leaving"};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static void describe_worker(const struct worker_report *from, struct daemon_worker *ret)
{
	bool has_job = from->since_ns != 0;

	*ret = (struct daemon_worker){
		.pid = from->pid,
		.lane = has_job ? from->lane : ISO_NONE,
		.state = worker_state_name(from->state),
		.since_ns = has_job ? from->since_ns : 0,
		.process_state = from->process_state == '?' ? 0 : from->process_state,
	};
	if (has_job)
		snprintf(ret->job, sizeof(ret->job), "%s", worker_job_name(from->kind));
	snprintf(ret->wchan, sizeof(ret->wchan), "%s", from->wchan);
}

size_t daemon_workers(struct daemon *daemon, struct daemon_worker *ret, size_t room)
{
	const uint32_t max = WORKERS_MAX + WORKER_LEFTOVERS_MAX;
	_cleanup_free_ struct worker_report *reports = calloc(max, sizeof(*reports));
	uint32_t i, n;

	if (!reports)
		return 0;
	n = worker_pool_leftovers(daemon->workers, reports, WORKER_LEFTOVERS_MAX);
	n = n < WORKER_LEFTOVERS_MAX ? n : WORKER_LEFTOVERS_MAX;
	n += worker_pool_report(daemon->workers, reports + n, WORKERS_MAX);
	if (n > room)
		n = room;
	for (i = 0; i < n; i++)
		describe_worker(&reports[i], &ret[i]);
	return n;
}
