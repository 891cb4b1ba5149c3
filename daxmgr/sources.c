/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From records of the kernel to events of the engine. What calls for
 * containment goes to the engine first; only then is the record written down.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "records.h"
#include "sources_internal.h"

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
}

void sources_keep_gap(struct daemon *daemon, const char *source, const char *text)
{
	struct store_event gap = {.kind = "gap", .at_ns = clock_boottime_ns()};

	daemon->n_gaps++;
	snprintf(gap.source, sizeof(gap.source), "%s", source);
	snprintf(gap.text, sizeof(gap.text), "%s", text);
	records_take(daemon, &gap);
	log_line(LOG_WARNING, "%s: %s; observing instead", source, text);
}

static void keep_uevent(struct daemon *daemon, const struct uevent *uevent,
			const struct uevent_news *news, uint64_t read_ns)
{
	struct store_event stored = {.source = "uevent", .at_ns = read_ns};

	snprintf(stored.kind, sizeof(stored.kind), "%s", uevent->action);
	snprintf(stored.unit, sizeof(stored.unit), "%s", news->name ? news->name : "");
	snprintf(stored.text, sizeof(stored.text), "%s %s%s%s", uevent->subsystem,
		 uevent->devtype ? uevent->devtype : "", uevent->error_event ? " " : "",
		 uevent->error_event ? uevent->error_event : "");
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

static void on_uevent_gap(void *userdata)
{
	sources_observe_gap(userdata);
	sources_keep_gap(userdata, "uevent", "the kernel dropped uevents");
}

void sources_on_mark(void *userdata, enum store_log log, const struct store_mark *mark)
{
	if (log == STORE_LOG_PAGES)
		sources_trace_mark(userdata, mark);
}

void sources_open(struct daemon *daemon)
{
	sources_trace_open(daemon);
	if (uevent_open(daemon->event, PRIORITY_UEVENT, on_uevent, on_uevent_gap, daemon,
			&daemon->uevents, daemon->uevent_problem) < 0)
		log_line(LOG_WARNING, "uevents: %s; changes are seen by observation only",
			 daemon->uevent_problem);
}

/* Poison that nobody told of shows in the devices' lists only. */
void daemon_read_poison_lists(struct daemon *daemon)
{
	observe(daemon);
}

void sources_close(struct daemon *daemon)
{
	daemon->trace = trace_close(daemon->trace);
	daemon->uevents = uevent_close(daemon->uevents);
}
