/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What sources cannot tell on this host, of what the daemon has found out anyway. */
#include <inttypes.h>
#include <string.h>

#include "sources_internal.h"

/* What nobody hears of without the event. */
static const struct {
	const char *name, *tells;
} events[] = {
	{"cxl:*", "anything of CXL devices (no event cxl:*)"},
	{"ras:aer_event", "PCIe errors (no event aer_event)"},
	{"pci:pci_hp_event", "lost links and empty slots (no event pci_hp_event)"},
	{"ras:memory_failure_event", "failed pages (no event memory_failure_event)"},
	{"mce:mce_record", "machine checks (no event mce_record)"},
	{"cxl:cxl_poison", "bad ranges of poison lists (no event cxl_poison)"},
};

static const struct trace_event_report *find_event(const struct trace_report *report,
						   const char *name)
{
	for (uint32_t i = 0; i < report->n_events; i++)
		if (!strcmp(report->events[i].name, name))
			return &report->events[i];
	return NULL;
}

/* An event of a system that is there at all stands in the report only if it is there itself. */
static bool is_missing(const struct trace_report *report, const char *name)
{
	const struct trace_event_report *event = find_event(report, name);

	if (event)
		return event->state != TRACE_EVENT_ENABLED;
	return !strcmp(name, "cxl:cxl_poison") && !find_event(report, "cxl:*");
}

void sources_here_trace(struct source_table *table, const struct trace_report *report)
{
	source_can_here(table, SOURCE_TRACE);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (is_missing(report, events[i].name))
			source_cannot_here(table, SOURCE_TRACE, "%s", events[i].tells);
	if (report->overrun + report->dropped)
		source_cannot_here(table, SOURCE_TRACE,
				   "%" PRIu64
				   " records that the rings or the spool had no room for",
				   report->overrun + report->dropped);
	if (report->spool_in_memory)
		source_cannot_here(table, SOURCE_TRACE,
				   "what is not durable when the daemon ends (no spool)");
}

void sources_here_poison(struct source_table *table, const struct iso_engine *engine)
{
	uint32_t n = 0, n_unread = 0;
	struct iso_memdev_view memdev, unread = {0};

	source_can_here(table, SOURCE_POISON_LIST);
	for (uint32_t i = 0; i < iso_memdev_count(engine); i++) {
		if (!iso_memdev_get(engine, i, &memdev) || !memdev.present)
			continue;
		n++;
		if (!memdev.poison_problem[0])
			continue;
		if (!n_unread++)
			unread = memdev;
	}
	if (n_unread)
		source_cannot_here(table, SOURCE_POISON_LIST,
				   "anything of %" PRIu32 " of %" PRIu32
				   " memory devices, as 0x%" PRIx64 ": %s",
				   n_unread, n, unread.serial, unread.poison_problem);
}
