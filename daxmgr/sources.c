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
#include "source/trace_poison.h"
#include "records.h"

enum { TRACE_CHECK_USEC = 30 * 1000 * 1000 };

static void describe_trace(const struct trace_record *record, struct store_event *ret)
{
	const char *unit = NULL;

	*ret = (struct store_event){
		.source = "trace",
		.at_ns = record->at_ns,
		.cpu = record->cpu,
		.has_cpu = true,
		.raw = record->raw,
		.raw_bytes = record->raw_bytes,
	};
	snprintf(ret->kind, sizeof(ret->kind), "%s", record->name);
	switch (record->kind) {
	case TRACE_KIND_AER:
		unit = record->aer.device.text;
		snprintf(ret->text, sizeof(ret->text), "severity %llu status 0x%llx",
			 (unsigned long long)record->aer.severity.value,
			 (unsigned long long)record->aer.status.value);
		break;
	case TRACE_KIND_HOTPLUG:
		unit = record->hotplug.port.text;
		snprintf(ret->text, sizeof(ret->text), "slot event %llu",
			 (unsigned long long)record->hotplug.event.value);
		break;
	case TRACE_KIND_CXL:
		unit = record->cxl.memdev.text;
		snprintf(ret->text, sizeof(ret->text), "dpa 0x%llx hpa 0x%llx region %s",
			 (unsigned long long)record->cxl.dpa.value,
			 (unsigned long long)record->cxl.hpa.value,
			 record->cxl.region.text ? record->cxl.region.text : "");
		break;
	case TRACE_KIND_MEMORY_FAILURE:
		snprintf(ret->text, sizeof(ret->text), "pfn 0x%llx",
			 (unsigned long long)record->memory_failure.pfn.value);
		break;
	case TRACE_KIND_MACHINE_CHECK:
		snprintf(ret->text, sizeof(ret->text), "status 0x%llx addr 0x%llx",
			 (unsigned long long)record->machine_check.status.value,
			 (unsigned long long)record->machine_check.addr.value);
		break;
	case TRACE_KINDS:
		break;
	}
	if (unit)
		snprintf(ret->unit, sizeof(ret->unit), "%s", unit);
}

/* Before any record of the same page is written down: a kill waits for no allocation. */
static void on_trace_early(void *userdata, const struct trace_record *record)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT};
	struct daemon *daemon = userdata;

	if (trace_fault(record, &event.fault)) {
		daemon_step(daemon, &event);
		return;
	}
	if (trace_poison_overflow(record))
		daemon->poison_overflow_ns = record->at_ns;
	event.kind = ISO_EVENT_POISON;
	if (trace_poison(record, &event.poison))
		daemon_step(daemon, &event);
}

static void on_trace(void *userdata, const struct trace_record *record)
{
	struct store_event stored;

	describe_trace(record, &stored);
	records_take(userdata, &stored);
}

static void observe(struct daemon *daemon)
{
	struct iso_event event = {.kind = ISO_EVENT_CHANGED};

	daemon_step(daemon, &event);
}

/* What was missed is not known: what is found otherwise than believed is told. */
static void observe_gap(struct daemon *daemon)
{
	struct iso_event event = {.kind = ISO_EVENT_CHANGED, .changed.gap = true};

	daemon_step(daemon, &event);
}

static void keep_gap(struct daemon *daemon, const char *source, const char *text)
{
	struct store_event gap = {.kind = "gap", .at_ns = clock_boottime_ns()};

	daemon->n_gaps++;
	daemon->last_gap_ns = gap.at_ns;
	snprintf(gap.source, sizeof(gap.source), "%s", source);
	snprintf(gap.text, sizeof(gap.text), "%s", text);
	records_take(daemon, &gap);
	log_line(LOG_WARNING, "%s: %s; observing instead", source, text);
}

static void on_trace_gap(void *userdata, enum trace_gap gap, uint64_t count)
{
	char text[ISO_TEXT_BYTES];

	observe_gap(userdata);
	snprintf(text, sizeof(text), "%s: %llu%s",
		 gap == TRACE_GAP_LOST ? "records lost in the ring" : "records not readable",
		 (unsigned long long)count, count ? "" : " (number unknown)");
	keep_gap(userdata, "trace", text);
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
	observe_gap(userdata);
	keep_gap(userdata, "uevent", "the kernel dropped uevents");
}

/* What was overwritten unseen shows in the ring's own counters only. */
static int on_check(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;

	trace_check(daemon->trace);
	sd_event_source_set_time(source, usec + TRACE_CHECK_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void sources_open(struct daemon *daemon)
{
	const struct trace_setup setup = {
		.instance = "daxmgr",
		.buffer_bytes = daemon->config->trace_buffer_bytes,
		.priority = PRIORITY_TRACE,
		.on_early = on_trace_early,
		.on_record = on_trace,
		.on_gap = on_trace_gap,
		.userdata = daemon,
	};

	if (trace_open(daemon->event, &setup, &daemon->trace, daemon->trace_problem) < 0)
		log_line(LOG_WARNING, "trace: %s; faults are seen by uevents and observation only",
			 daemon->trace_problem);
	else
		sd_event_add_time_relative(daemon->event, &daemon->trace_timer, CLOCK_BOOTTIME,
					   TRACE_CHECK_USEC, 0, on_check, daemon);
	if (uevent_open(daemon->event, PRIORITY_UEVENT, on_uevent, on_uevent_gap, daemon,
			&daemon->uevents, daemon->uevent_problem) < 0)
		log_line(LOG_WARNING, "uevents: %s; changes are seen by observation only",
			 daemon->uevent_problem);
}

void sources_close(struct daemon *daemon)
{
	daemon->trace_timer = sd_event_source_disable_unref(daemon->trace_timer);
	daemon->trace = trace_close(daemon->trace);
	daemon->uevents = uevent_close(daemon->uevents);
}
