/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From records of the kernel to events of the engine. What calls for
 * containment goes to the engine first; only then is the record written down.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "records.h"
#include "sources_internal.h"
#include "uevent_record.h"

#define LOST_PATH "/run/daxmgr/lost"

static void observe(struct daemon *daemon)
{
	struct iso_event event = {.kind = ISO_EVENT_CHANGED};

	daemon_step(daemon, &event);
}

/* What was missed is not known: what is found otherwise than believed is told. */
void sources_observe_gap(struct daemon *daemon)
{
	struct iso_event event = {.kind = ISO_EVENT_CHANGED, .changed.gap = true};

	daemon_step(daemon, &event);
	polled_sources_hurry(daemon);
}

void sources_keep_gap(struct daemon *daemon, const char *source, const char *text)
{
	struct store_event gap = {0};

	sources_gap_keep(daemon, source_find(source), &gap, 0, text);
}

static void keep_uevent(struct daemon *daemon, const struct uevent *uevent,
			const struct uevent_news *news, uint64_t read_ns)
{
	_cleanup_free_ char *fields = NULL;
	struct store_event stored;

	uevent_record(uevent, news, &stored, &fields);
	stored.at_ns = read_ns;
	records_take(daemon, &stored);
}

/* What stopped at the loss of this instance may exit now. */
static void let_go(struct daemon *daemon, const struct uevent_news *news)
{
	uint32_t i, count = iso_instance_count(daemon->engine);
	struct iso_instance_view instance;

	for (i = 0; i < count; i++)
		if (iso_instance_get(daemon->engine, i, &instance) && instance.named &&
		    instance.region_kernel_id == news->region_kernel_id &&
		    instance.kernel_id == news->kernel_id && instance.lease != ISO_NONE)
			vms_unbound(daemon->vms, instance.lease, instance.part);
}

static void on_uevent(void *userdata, const struct uevent *uevent, uint64_t read_ns)
{
	struct daemon *daemon = userdata;
	struct iso_event event = {0};
	struct uevent_news news;
	uint32_t memdev;
	struct iso_memdev_view view;

	if (uevent_meaning(uevent, &news) == UEVENT_NOTHING)
		return;
	if (news.meaning == UEVENT_INSTANCE_GONE)
		let_go(daemon, &news);
	if (uevent_fault(&news, read_ns, &event.fault)) {
		event.kind = ISO_EVENT_FAULT;
		event.fault.uevent_seqnum = uevent->seqnum;
		/* The name is good at this moment only; the serial is the identity. */
		memdev = news.meaning == UEVENT_MEMDEV_GONE && news.name
				 ? iso_memdev_find(daemon->engine, news.name)
				 : ISO_NONE;
		if (memdev != ISO_NONE && iso_memdev_get(daemon->engine, memdev, &view)) {
			event.fault.unit_kind = ISO_UNIT_MEMDEV_SERIAL;
			event.fault.serial = view.serial;
		}
		daemon_step(daemon, &event);
	} else if (news.meaning == UEVENT_SETTLED) {
		event.kind = ISO_EVENT_SETTLED;
		event.settled = news.address;
		daemon_step(daemon, &event);
	} else if (news.meaning == UEVENT_CHANGED) {
		observe(daemon);
	}
	keep_uevent(daemon, uevent, &news, read_ns);
}

static void on_uevent_gap(void *userdata, enum uevent_gap gap, uint64_t lost)
{
	char text[ISO_TEXT_BYTES];

	if (gap == UEVENT_UNREADABLE)
		snprintf(text, sizeof(text), "a uevent could not be read");
	else if (lost)
		snprintf(text, sizeof(text), "the kernel dropped %" PRIu64 " uevents", lost);
	else
		snprintf(text, sizeof(text), "the kernel dropped uevents (number unknown)");
	sources_gap(userdata, SOURCE_UEVENT, lost, text);
}

void sources_on_mark(void *userdata, enum store_log log, const struct store_mark *mark)
{
	struct daemon *daemon = userdata;

	source_marked(&daemon->sources, log == STORE_LOG_PAGES ? SOURCE_TRACE : SOURCE_KERNEL_LOG,
		      mark->page, mark->index, clock_boottime_ns());
	if (log == STORE_LOG_PAGES)
		sources_trace_mark(daemon, mark);
	else if (log == STORE_LOG_KERNEL)
		kernel_log_source_durable(daemon, mark->page);
}

static void on_lost(void *userdata, const struct store_event *gap)
{
	struct daemon *daemon = userdata;

	daemon->n_gaps++;
	records_tell(daemon, gap);
	log_line(LOG_WARNING, "%s: %s", gap->source, gap->text);
}

void sources_open(struct daemon *daemon)
{
	if (store_load_lost(daemon->store, LOST_PATH, on_lost, daemon) < 0)
		log_line(LOG_WARNING, "%s: what was lost is told at the next start", LOST_PATH);
	sources_open_others(daemon);
	sources_trace_open(daemon);
	if (daemon->trace_problem[0])
		source_not(&daemon->sources, SOURCE_TRACE, SOURCE_REFUSED, "%s",
			   daemon->trace_problem);
	else
		source_ok(&daemon->sources, SOURCE_TRACE);
	if (uevent_open(daemon->event, PRIORITY_UEVENT, on_uevent, on_uevent_gap, daemon,
			&daemon->uevents, daemon->uevent_problem) < 0) {
		source_not(&daemon->sources, SOURCE_UEVENT, SOURCE_REFUSED, "%s",
			   daemon->uevent_problem);
		log_line(LOG_WARNING, "uevents: %s; %s", daemon->uevent_problem,
			 source_without(SOURCE_UEVENT));
	} else {
		source_ok(&daemon->sources, SOURCE_UEVENT);
	}
}

void sources_close(struct daemon *daemon)
{
	daemon->trace = trace_close(daemon->trace);
	daemon->uevents = uevent_close(daemon->uevents);
	sources_close_others(daemon);
}
