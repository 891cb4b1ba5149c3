/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "records.h"

#include <stdio.h>
#include <string.h>

#include "daemon.h"

/* Root port whose domain the unit of a record is in, as the engine knows it. Return: ISO_NONE when it does not. */
static uint32_t domain_of(const struct iso_engine *engine, const struct store_event *record)
{
	struct iso_memdev_view memdev;
	struct iso_port_view port;
	char serial[24] = "";
	uint32_t i;

	i = record->unit[0] ? iso_port_find(engine, record->unit) : ISO_NONE;
	if (i == ISO_NONE) {
		if (record->has_serial)
			snprintf(serial, sizeof(serial), "0x%llx",
				 (unsigned long long)record->serial);
		i = record->has_serial ? iso_memdev_find(engine, serial)
		    : record->unit[0]  ? iso_memdev_find(engine, record->unit)
				       : ISO_NONE;
		if (i == ISO_NONE || !iso_memdev_get(engine, i, &memdev))
			return ISO_NONE;
		i = memdev.port;
	}
	return i != ISO_NONE && iso_port_get(engine, i, &port) ? port.domain : ISO_NONE;
}

/* The open incident of a domain. Return: 0 when there is none. */
static uint64_t incident_of(const struct iso_engine *engine, uint32_t domain)
{
	uint32_t i, count = iso_incident_count(engine);
	struct iso_incident_view incident;

	for (i = 0; i < count; i++)
		if (iso_incident_get(engine, i, &incident) && incident.open &&
		    incident.domain == domain)
			return incident.id;
	return 0;
}

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
	uint32_t domain = domain_of(engine, record);
	struct iso_port_view port;

	if (domain != ISO_NONE && !record->domain[0] && iso_port_get(engine, domain, &port))
		snprintf(record->domain, sizeof(record->domain), "%s", port.path);
	if (domain != ISO_NONE && !record->incident)
		record->incident = incident_of(engine, domain);
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
	if (daemon->policy)
		policy_record(daemon->policy, &completed);
	store_save_event(daemon->store, &completed);
}
