/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "records.h"

#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "subject.h"

uint64_t records_likeness(const struct store_event *record)
{
	uint64_t value = UINT64_C(0xcbf29ce484222325);
	const char *const parts[] = {record->kind, record->unit, record->text};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (const char *c = parts[i]; *c; c++)
			value = (value ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	return value ? value : 1;
}

void records_complete(const struct iso_engine *engine, struct store_event *record)
{
	struct subject subject = subject_of(engine, record);
	struct iso_lease_view lease;
	struct iso_port_view port;

	if (!record->lease[0] && subject.lease != ISO_NONE &&
	    iso_lease_get(engine, subject.lease, &lease))
		snprintf(record->lease, sizeof(record->lease), "%s", lease.terms->name);
	if (!record->domain[0] && subject.domain != ISO_NONE &&
	    iso_port_get(engine, subject.domain, &port))
		snprintf(record->domain, sizeof(record->domain), "%s", port.path);
	if (!record->incident)
		record->incident = subject.incident;
	if (record->severity == STORE_INFO && !strcmp(record->kind, "gap"))
		record->severity = STORE_WARNING;
}

/* How its source is, for `daxmgrctl sources`. */
static void count(struct daemon *daemon, const struct store_event *record)
{
	enum source_id id = source_find(record->source);

	if (id == SOURCES)
		return;
	source_record(&daemon->sources, id, record->at_ns, !strcmp(record->kind, "gap"),
		      record->has_lost ? record->lost : 0);
	if (record->page)
		source_sample(&daemon->sources, id, record->page, record->index, record->at_ns);
	else if (record->has_log_sequence && id == SOURCE_KERNEL_LOG)
		source_sample(&daemon->sources, id, record->log_sequence, 0, record->at_ns);
}

void records_take(struct daemon *daemon, const struct store_event *record)
{
	struct store_event completed = *record;

	records_complete(daemon->engine, &completed);
	poison_take(daemon, &completed);
	count(daemon, &completed);
	health_source_take(daemon, &completed);
	store_save_event(daemon->store, &completed); /* before what it leads to */
	if (daemon->policy)
		policy_record(daemon->policy, &completed);
}

void records_tell(struct daemon *daemon, const struct store_event *record)
{
	count(daemon, record);
	health_source_take(daemon, record);
	if (daemon->policy)
		policy_record(daemon->policy, record);
}
