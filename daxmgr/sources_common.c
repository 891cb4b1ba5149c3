/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all sources share: gaps, fields as text, and the readers that are opened beside trace and uevents. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "records.h"
#include "sources_internal.h"

/* A host that cannot be looked at shall not keep records from being kept. */
static const uint64_t look_ns_max = UINT64_C(10000000000);

void sources_gap_keep(struct daemon *daemon, enum source_id id, struct store_event *gap,
		      uint64_t lost, const char *text)
{
	snprintf(gap->source, sizeof(gap->source), "%s", source_name(id));
	snprintf(gap->kind, sizeof(gap->kind), "gap");
	snprintf(gap->text, sizeof(gap->text), "%s", text);
	gap->at_ns = clock_boottime_ns();
	gap->severity = STORE_WARNING;
	gap->lost = lost;
	gap->has_lost = lost != 0;
	daemon->n_gaps++;
	records_take(daemon, gap);
	log_line(LOG_WARNING, "%s: %s", gap->source, text);
}

void sources_gap_at(struct daemon *daemon, enum source_id id, struct store_event *gap,
		    uint64_t lost, const char *text)
{
	sources_observe_gap(daemon);
	sources_gap_keep(daemon, id, gap, lost, text);
}

void sources_gap(struct daemon *daemon, enum source_id id, uint64_t lost, const char *text)
{
	struct store_event gap = {0};

	sources_gap_at(daemon, id, &gap, lost, text);
}

bool sources_know_host(const struct daemon *daemon, uint64_t now_ns)
{
	return daemon->ready || now_ns - daemon->started_ns >= look_ns_max;
}

bool sources_can_take(const struct daemon *daemon)
{
	return sources_know_host(daemon, clock_boottime_ns()) && store_has_room(daemon->store);
}

void sources_open_others(struct daemon *daemon)
{
	health_source_open(daemon);
	kernel_log_source_open(daemon);
	polled_sources_open(daemon);
	qmp_source_open(daemon);
	/* Until one was read: what is missing is said then. */
	if (daemon->config->source_poison_list)
		source_ok(&daemon->sources, SOURCE_POISON_LIST);
	else
		source_not(&daemon->sources, SOURCE_POISON_LIST, SOURCE_OFF,
			   "read only before memory is given away");
}

void sources_close_others(struct daemon *daemon)
{
	kernel_log_source_close(daemon);
	polled_sources_close(daemon);
	qmp_source_close(daemon);
	health_source_close(daemon);
}

bool sources_job_done(struct daemon *daemon, const struct job_reply *reply, int fd)
{
	return polled_sources_done(daemon, reply, fd) || qmp_source_done(daemon, reply, fd);
}

static void refresh_trace(struct daemon *daemon)
{
	struct source_state *state = &daemon->sources.states[SOURCE_TRACE];
	struct trace_report report;

	if (!daemon->trace)
		return;
	trace_get_report(daemon->trace, &report);
	state->last_read_ns = report.counts.last_ns;
	state->waiting = report.spool_used;
	state->room = report.spool_slots;
	sources_here_trace(&daemon->sources, &report);
}

static void refresh_uevents(struct daemon *daemon)
{
	struct source_state *state = &daemon->sources.states[SOURCE_UEVENT];
	struct uevent_report report;

	if (!daemon->uevents)
		return;
	uevent_get_report(daemon->uevents, &report);
	state->last_read_ns = report.last_ns;
	state->ignored = report.received > state->records ? report.received - state->records : 0;
}

static void refresh_isolation(struct daemon *daemon)
{
	struct source_table *table = &daemon->sources;
	struct isolation_watch_report report = {0};

	if (daemon->config->isolation.mode == CONFIG_ISOLATION_OFF) {
		source_not(table, SOURCE_ISOLATION, SOURCE_OFF, "[Isolation] Mode=off");
		return;
	}
	if (daemon->isolation)
		isolation_watch_count(daemon->isolation, &report);
	if (!report.n_offered)
		source_not(table, SOURCE_ISOLATION, SOURCE_MISSING,
			   "none of %u root ports offers it", report.n_ports);
	else if (report.n_polled < report.n_offered)
		source_not(table, SOURCE_ISOLATION, SOURCE_REFUSED,
			   "%u of %u root ports that offer it cannot be read",
			   report.n_offered - report.n_polled, report.n_offered);
	else
		source_ok(table, SOURCE_ISOLATION);
	source_can_here(table, SOURCE_ISOLATION);
	if (report.n_offered && report.n_offered < report.n_ports)
		source_cannot_here(table, SOURCE_ISOLATION,
				   "anything of %u of %u root ports, which do not offer it",
				   report.n_ports - report.n_offered, report.n_ports);
	if (report.n_polls)
		source_read(table, SOURCE_ISOLATION, clock_boottime_ns());
}

void sources_poison_read(struct daemon *daemon, const struct job_reply *reply)
{
	int r = reply->completion.result;

	source_read(&daemon->sources, SOURCE_POISON_LIST, clock_boottime_ns());
	if (!daemon->config->source_poison_list)
		return;
	if (r < 0)
		source_not(&daemon->sources, SOURCE_POISON_LIST, source_condition_of(r), "%s",
			   reply->completion.message[0] ? reply->completion.message : strerror(-r));
	else
		source_ok(&daemon->sources, SOURCE_POISON_LIST);
}

void sources_refresh(struct daemon *daemon)
{
	refresh_isolation(daemon);
	refresh_trace(daemon);
	refresh_uevents(daemon);
	sources_here_poison(&daemon->sources, daemon->engine);
	kernel_log_source_refresh(daemon);
}
