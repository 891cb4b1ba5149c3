/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "state.h"

uint32_t iso_host_bridge_count(const struct iso_engine *e)
{
	return e->n_host_bridges;
}
uint32_t iso_port_count(const struct iso_engine *e)
{
	return e->n_ports;
}
uint32_t iso_memdev_count(const struct iso_engine *e)
{
	return e->n_memdevs;
}
uint32_t iso_region_count(const struct iso_engine *e)
{
	return e->n_regions;
}
uint32_t iso_instance_count(const struct iso_engine *e)
{
	return e->n_instances;
}
uint32_t iso_lease_count(const struct iso_engine *e)
{
	return e->n_leases;
}
uint32_t iso_incident_count(const struct iso_engine *e)
{
	return e->n_incidents;
}

bool iso_host_bridge_get(const struct iso_engine *e, uint32_t i, struct iso_host_bridge_view *ret)
{
	if (i >= e->n_host_bridges)
		return false;
	*ret = (struct iso_host_bridge_view){.path = e->host_bridges[i].path};
	return true;
}

bool iso_port_get(const struct iso_engine *e, uint32_t i, struct iso_port_view *ret)
{
	const struct port *port = &e->ports[i];

	if (i >= e->n_ports)
		return false;
	*ret = (struct iso_port_view){
		.path = port->path,
		.address = port->address,
		.kind = port->kind,
		.host_bridge = port->host_bridge,
		.parent = port->parent,
		.domain = port->domain,
		.present = port->present,
		.held = port->held,
		.flapping = port->flapping,
		.losses_ns = port->losses_ns,
		.n_losses = port->n_losses,
		.isolation = port->isolation.seen,
		.isolated_ns = port->isolation.since_ns,
		.link_was_down = port->isolation.link_down,
		.link_taken = port->isolation.link_taken,
		.armed = arm_is_known(port) && port->isolation.seen.control & ISO_ISOLATION_ENABLE,
		.armed_known = arm_is_known(port),
		.arm_wanted = arm_wanted(e, port),
		.arming = port->isolation.arming,
		.arm_wish = port->isolation.wish,
		.arm_range = arm_range(e, port),
		.range_wish = port->isolation.range,
		.isolation_reason = port->isolation.reason,
	};
	return true;
}

bool iso_memdev_get(const struct iso_engine *e, uint32_t i, struct iso_memdev_view *ret)
{
	const struct memdev *memdev = &e->memdevs[i];
	uint32_t b;

	if (i >= e->n_memdevs)
		return false;
	*ret = (struct iso_memdev_view){
		.path = memdev->path,
		.name = memdev->name,
		.serial = memdev->serial,
		.address = memdev->address,
		.port = memdev->port,
		.volatile_bytes = memdev->volatile_bytes,
		.persistent_bytes = memdev->persistent_bytes,
		.present = memdev->present,
		.bound = memdev->bound,
		.settling = memdev->settling_until_ns > e->now_ns,
		.duplicate_serial = memdev->duplicate_serial,
		.poison_read_ns = memdev->poison_read_ns,
		.poison_problem = memdev->poison_problem,
		.closed = memdev->closed_ns ? memdev->closed : "",
	};
	for (b = 0; b < e->n_bad; b++)
		if (e->bad[b].used && e->bad[b].has_dpa && e->bad[b].serial == memdev->serial &&
		    e->bad[b].state != ISO_BAD_VERIFIED)
			ret->bad_bytes += e->bad[b].bytes;
	return true;
}

bool iso_region_get(const struct iso_engine *e, uint32_t i, struct iso_region_view *ret)
{
	const struct region *region = &e->regions[i];
	const struct iso_observed_window *window = NULL;

	if (i >= e->n_regions || !region->used)
		return false;
	if (region->window < e->n_windows)
		window = &e->windows[region->window].observed;
	*ret = (struct iso_region_view){
		.definition = &region->definition,
		.state = region->state,
		.wait = region->state == ISO_REGION_ABSENT ? region->wait : ISO_WAIT_NOTHING,
		.epoch = region->epoch,
		.domain = region->domain,
		.kernel_id = region->kernel_id,
		.window_kernel_id = window ? window->kernel_id : ISO_NONE,
		.window_granularity = window ? window->granularity : 0,
		.range = region->range,
		.has_hpa = region->has_hpa,
		.n_instances = region->n_instances,
		.from_operator = region->from_operator,
		.desired = region->desired,
		.draining = region->draining,
		.locked = region->locked,
		.planned_bytes = region->planned_bytes,
		.reason = region->reason,
		.closed = "",
	};
	if (!region->range.bytes)
		ret->range.start = region->last_hpa;
	if (region->state != ISO_REGION_LIVE)
		return true;
	ret->free_bytes = region->closed ? 0 : region_free_bytes(region);
	ret->bad_bytes = region->bad_bytes;
	ret->closed = region->closed ? region->closed : "";
	return true;
}

bool iso_instance_get(const struct iso_engine *e, uint32_t i, struct iso_instance_view *ret)
{
	const struct instance *instance = &e->instances[i];

	if (i >= e->n_instances || !instance->used)
		return false;
	*ret = (struct iso_instance_view){
		.state = instance->state,
		.region = instance->region,
		.lease = instance->lease,
		.part = instance->part,
		.epoch = instance->epoch,
		.named = instance->named,
		.region_kernel_id = instance->region_kernel_id,
		.kernel_id = instance->kernel_id,
		.major = instance->major,
		.minor = instance->minor,
		.bytes = instance->bytes,
		.align = instance->align,
		.start = instance->start,
		.begun_ns = instance->begun_ns,
		.n_pieces = instance->n_pieces,
		.lost = instance->lost,
		.mapper = instance->stranger,
	};
	memcpy(ret->pieces, instance->pieces, sizeof(ret->pieces));
	return true;
}

bool iso_lease_get(const struct iso_engine *e, uint32_t i, struct iso_lease_view *ret)
{
	const struct lease *lease = &e->leases[i];

	if (i >= e->n_leases || !lease->used)
		return false;
	*ret = (struct iso_lease_view){
		.terms = &lease->terms,
		.state = lease->state,
		.epoch = lease->epoch,
		.sequence = lease->sequence,
		.pid = lease->pid,
		.incident = lease->incident,
		.was_killed = lease->was_killed,
		.client_waits = lease->client_waits,
		.killed_ns = lease->killed_ns,
		.exited_ns = lease->exited_ns,
		.attached_ns = lease->attached_ns,
		.expires_at_ns = lease->deadline_ns,
		.n_instances = lease->n_instances,
		.n_mappers = lease->n_mappers,
		.waits_for = lease->waits_for,
		.pins = lease->pins,
		.evidence = lease->evidence,
		.stranger = lease->stranger,
		.revoked = lease->revoked,
	};
	memcpy(ret->instances, lease->instances, sizeof(ret->instances));
	memcpy(ret->mappers, lease->mappers, sizeof(ret->mappers));
	return true;
}

int32_t iso_attaching_pid(const struct iso_engine *e, uint32_t i)
{
	return i < e->n_leases && e->leases[i].used ? e->leases[i].attaching.pid : 0;
}

bool iso_incident_get(const struct iso_engine *e, uint32_t i, struct iso_incident_view *ret)
{
	const struct incident *incident = &e->incidents[i];

	if (i >= e->n_incidents || !incident->id)
		return false;
	*ret = (struct iso_incident_view){
		.id = incident->id,
		.cause = incident->cause,
		.unit = incident->unit,
		.domain = incident->domain,
		.record_ns = incident->record_ns,
		.detected_ns = incident->detected_ns,
		.contained_ns = incident->contained_ns,
		.recovered_ns = incident->recovered_ns,
		.n_killed = incident->n_killed,
		.n_exited = incident->n_exited,
		.n_records = incident->n_records,
		.capacity_before_bytes = incident->capacity_before_bytes,
		.capacity_after_bytes = incident->capacity_after_bytes,
		.held_port = incident->held_port,
		.held_flapping = incident->held_flapping,
		.synthetic = incident->synthetic,
		.open = incident->open,
	};
	return true;
}

uint32_t iso_region_find(const struct iso_engine *e, const char *name)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (e->regions[r].used && !strcmp(e->regions[r].definition.name, name))
			return r;
	return ISO_NONE;
}

uint32_t iso_port_find(const struct iso_engine *e, const char *path_or_address)
{
	struct iso_pci_address address = {0};
	uint32_t p;

	iso_pci_address_parse(path_or_address, &address);
	for (p = 0; p < e->n_ports; p++)
		if (!strcmp(e->ports[p].path, path_or_address) ||
		    (e->ports[p].present && iso_pci_address_equal(e->ports[p].address, address)))
			return p;
	return ISO_NONE;
}

uint32_t iso_memdev_find(const struct iso_engine *e, const char *text)
{
	struct iso_pci_address address = {0};
	char *end;
	uint64_t serial = strtoull(text, &end, 0);
	bool is_serial = *text && !*end;
	uint32_t m;

	iso_pci_address_parse(text, &address);
	for (m = 0; m < e->n_memdevs; m++) {
		const struct memdev *memdev = &e->memdevs[m];

		if ((is_serial && memdev->serial == serial) || !strcmp(memdev->path, text) ||
		    (memdev->present && (!strcmp(memdev->name, text) ||
					 iso_pci_address_equal(memdev->address, address))))
			return m;
	}
	return ISO_NONE;
}

enum iso_domain_state iso_domain_state(const struct iso_engine *e, uint32_t port)
{
	if (!e->observed || port >= e->n_ports || e->ports[port].domain >= e->n_ports)
		return ISO_DOMAIN_UNKNOWN;
	return e->domains[e->ports[port].domain].state;
}

const char *iso_domain_reason(const struct iso_engine *e, uint32_t port)
{
	if (port >= e->n_ports || e->ports[port].domain >= e->n_ports)
		return "";
	return e->domains[e->ports[port].domain].reason;
}

uint64_t iso_capacity_bytes(const struct iso_engine *e)
{
	uint64_t bytes = 0;
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (e->regions[r].used && e->regions[r].state == ISO_REGION_LIVE)
			bytes += e->regions[r].range.bytes;
	return bytes;
}

uint64_t iso_free_bytes(const struct iso_engine *e)
{
	struct iso_region_view region;
	uint64_t bytes = 0;
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (iso_region_get(e, r, &region))
			bytes += region.free_bytes;
	return bytes;
}

uint64_t iso_bad_bytes(const struct iso_engine *e)
{
	struct iso_region_view region;
	uint64_t bytes = 0;
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (iso_region_get(e, r, &region))
			bytes += region.bad_bytes;
	return bytes;
}
