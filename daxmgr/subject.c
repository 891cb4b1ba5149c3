/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whom a record is about. Records name VMs, memory, instances, regions, ports or
 * memdevs; all of them lead to a domain, and through that to its open incident.
 */
#include "subject.h"

#include <stdio.h>
#include <string.h>

bool subject_unit_is_vm(const struct store_event *record)
{
	return record->lease[0] && !strcmp(record->unit, record->lease);
}

static uint32_t domain_of_port(const struct iso_engine *engine, uint32_t i)
{
	struct iso_port_view port;

	return i != ISO_NONE && iso_port_get(engine, i, &port) ? port.domain : ISO_NONE;
}

static uint32_t domain_of_memdev(const struct iso_engine *engine, uint32_t i)
{
	struct iso_memdev_view memdev;

	return i != ISO_NONE && iso_memdev_get(engine, i, &memdev)
		       ? domain_of_port(engine, memdev.port)
		       : ISO_NONE;
}

static uint32_t domain_of_device(const struct iso_engine *engine, const struct store_event *record)
{
	bool has_unit = record->unit[0] && !subject_unit_is_vm(record);
	uint32_t port = has_unit ? iso_port_find(engine, record->unit) : ISO_NONE;
	char serial[24];

	if (port != ISO_NONE)
		return domain_of_port(engine, port);
	if (!record->has_serial)
		return has_unit ? domain_of_memdev(engine, iso_memdev_find(engine, record->unit))
				: ISO_NONE;
	snprintf(serial, sizeof(serial), "0x%llx", (unsigned long long)record->serial);
	return domain_of_memdev(engine, iso_memdev_find(engine, serial));
}

static uint32_t domain_of_instance(const struct iso_engine *engine, uint32_t i)
{
	struct iso_instance_view instance;
	struct iso_region_view region;

	return iso_instance_get(engine, i, &instance) &&
			       iso_region_get(engine, instance.region, &region)
		       ? region.domain
		       : ISO_NONE;
}

/* The domain of all of its memory. Return: ISO_NONE when it is in more than one. */
static uint32_t domain_of_lease(const struct iso_engine *engine, const struct iso_lease_view *lease)
{
	uint32_t i, domain = ISO_NONE;

	for (i = 0; i < lease->n_instances; i++) {
		uint32_t of = domain_of_instance(engine, lease->instances[i]);

		if (i && of != domain)
			return ISO_NONE;
		domain = of;
	}
	return domain;
}

/* Return: false when no open incident has this number. */
static bool find_open(const struct iso_engine *engine, uint64_t id, struct iso_incident_view *ret)
{
	uint32_t i, count = iso_incident_count(engine);

	for (i = 0; i < count; i++)
		if (iso_incident_get(engine, i, ret) && ret->open && ret->id == id)
			return true;
	return false;
}

/* The incident that took a VM is the one that is told of, also when its memory is in two domains. */
static void follow_lease(const struct iso_engine *engine, struct subject *subject)
{
	struct iso_incident_view incident;
	struct iso_lease_view lease;

	if (subject->lease == ISO_NONE || !iso_lease_get(engine, subject->lease, &lease))
		return;
	if (lease.incident && find_open(engine, lease.incident, &incident)) {
		subject->incident = incident.id;
		subject->domain = domain_of_port(engine, incident.domain);
	}
	if (subject->domain == ISO_NONE)
		subject->domain = domain_of_lease(engine, &lease);
}

/* The open incident of a domain. Return: 0 when there is none. */
static uint64_t incident_of(const struct iso_engine *engine, uint32_t domain)
{
	uint32_t i, count = iso_incident_count(engine);
	struct iso_incident_view incident;

	for (i = 0; i < count; i++) /* domains grow: compare what they are now */
		if (iso_incident_get(engine, i, &incident) && incident.open &&
		    domain_of_port(engine, incident.domain) == domain)
			return incident.id;
	return 0;
}

/* Return: false when it names no memory, or none that can be told where it is. */
static bool find_memory(const struct iso_engine *engine, const struct store_event *record,
			struct iso_memory_view *ret)
{
	const struct iso_poison memory = {
		.has_serial = record->has_serial,
		.serial = record->serial,
		.has_dpa = record->has_serial && record->has_dpa,
		.dpa = {record->dpa},
		.has_hpa = record->has_hpa,
		.hpa = {record->hpa},
		.bytes = record->bytes,
		.record_ns = record->at_ns,
	};

	return (memory.has_dpa || memory.has_hpa) && iso_memory_find(engine, &memory, ret);
}

static void follow_memory(const struct iso_engine *engine, const struct store_event *record,
			  struct subject *subject)
{
	struct iso_memory_view memory;
	struct iso_region_view region;

	if (!find_memory(engine, record, &memory))
		return;
	if (subject->lease == ISO_NONE)
		subject->lease = memory.lease;
	if (subject->domain == ISO_NONE && iso_region_get(engine, memory.region, &region))
		subject->domain = region.domain;
}

/* Of several with that name the one that somebody has: the others are being taken away. */
static uint32_t find_instance(const struct iso_engine *engine, uint32_t region_kernel_id,
			      uint32_t kernel_id)
{
	uint32_t i, count = iso_instance_count(engine), found = ISO_NONE;
	struct iso_instance_view instance;

	for (i = 0; i < count; i++) {
		if (!iso_instance_get(engine, i, &instance) || !instance.named ||
		    instance.region_kernel_id != region_kernel_id ||
		    instance.kernel_id != kernel_id)
			continue;
		if (instance.lease != ISO_NONE)
			return i;
		found = i;
	}
	return found;
}

/* The name that the kernel has for a region, not ours. */
static uint32_t domain_of_kernel_region(const struct iso_engine *engine, uint32_t kernel_id)
{
	uint32_t i, count = iso_region_count(engine);
	struct iso_region_view region;

	for (i = 0; i < count; i++)
		if (iso_region_get(engine, i, &region) && region.kernel_id == kernel_id)
			return region.domain;
	return ISO_NONE;
}

/* daxX.Y and regionN, as uevents name them. */
static void follow_kernel_name(const struct iso_engine *engine, const struct store_event *record,
			       struct subject *subject)
{
	struct iso_instance_view instance;
	unsigned int region, of_region;
	int end = 0;

	if (subject_unit_is_vm(record))
		return;
	if (sscanf(record->unit, "dax%u.%u%n", &region, &of_region, &end) == 2 &&
	    !record->unit[end]) {
		uint32_t i = find_instance(engine, region, of_region);

		if (i != ISO_NONE && iso_instance_get(engine, i, &instance)) {
			subject->lease = instance.lease;
			subject->domain = domain_of_instance(engine, i);
		} else {
			subject->domain = domain_of_kernel_region(engine, region);
		}
	} else if (sscanf(record->unit, "region%u%n", &region, &end) == 1 && !record->unit[end]) {
		subject->domain = domain_of_kernel_region(engine, region);
	}
}

struct subject subject_of(const struct iso_engine *engine, const struct store_event *record)
{
	struct subject subject = {.lease = ISO_NONE, .domain = domain_of_device(engine, record)};

	if (record->lease[0])
		subject.lease = iso_lease_find(engine, record->lease);
	if (subject.domain == ISO_NONE)
		follow_kernel_name(engine, record, &subject);
	follow_memory(engine, record, &subject);
	if (subject.domain == ISO_NONE)
		follow_lease(engine, &subject);
	if (!subject.incident && subject.domain != ISO_NONE)
		subject.incident = incident_of(engine, subject.domain);
	return subject;
}
