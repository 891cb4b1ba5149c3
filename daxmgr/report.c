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
	if (report.counts.lost || report.overrun)
		ret->state = "degraded";
}

size_t daemon_components(struct daemon *daemon, struct daemon_component *ret, size_t room)
{
	struct daemon_component all[4];
	char problem[ISO_TEXT_BYTES];

	store_problem(daemon->store, problem, sizeof(problem));
	component(&all[0], "store", problem, "degraded");
	trace_component(daemon, &all[1]);
	component(&all[2], "uevents", daemon->uevent_problem, "missing");
	component(&all[3], "guard", daemon->guard_problem, "failed");
	room = room < 4 ? room : 4;
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
	bool has_job = from->state == WORKER_BUSY || from->state == WORKER_HUNG;

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
	_cleanup_free_ struct worker_report *reports = calloc(WORKERS_MAX, sizeof(*reports));
	uint32_t i, n;

	if (!reports)
		return 0;
	n = worker_pool_report(daemon->workers, reports, WORKERS_MAX);
	if (n > room)
		n = room;
	for (i = 0; i < n; i++)
		describe_worker(&reports[i], &ret[i]);
	return n;
}
