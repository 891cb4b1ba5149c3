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

/* Sources give the addresses of what names bad memory only, so that a storm is not looked up. */
static void fill_lease(const struct iso_engine *engine, struct store_event *record)
{
	const struct iso_poison range = {
		.has_serial = record->has_serial,
		.serial = record->serial,
		.has_dpa = record->has_serial && record->has_dpa,
		.dpa = {record->dpa},
		.has_hpa = record->has_hpa,
		.hpa = {record->hpa},
		.bytes = record->bytes,
		.record_ns = record->at_ns,
	};
	struct iso_lease_view lease;
	uint32_t i;

	if (record->lease[0] || (!range.has_dpa && !range.has_hpa))
		return;
	i = iso_poison_lease(engine, &range);
	if (i != ISO_NONE && iso_lease_get(engine, i, &lease))
		snprintf(record->lease, sizeof(record->lease), "%s", lease.terms->name);
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
	fill_lease(engine, record);
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
