/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Incidents: everything that follows from one cause in one domain, until its
 * VMs are gone and unmapped (contained) and its capacity and tenants are back
 * (recovered).
 */
#include "state.h"

struct incident *incident_of_domain(struct iso_engine *e, uint32_t domain)
{
	uint32_t i;

	for (i = 0; i < e->n_incidents; i++) {
		struct incident *incident = &e->incidents[i];

		/* Domains grow when regions are defined: compare what they are now. */
		if (incident->id && incident->open && incident->domain < e->n_ports &&
		    e->ports[incident->domain].domain == e->ports[domain].domain)
			return incident;
	}
	return NULL;
}

struct incident *incident_get(struct iso_engine *e, uint64_t id)
{
	uint32_t i;

	for (i = 0; id && i < e->n_incidents; i++)
		if (e->incidents[i].id == id)
			return &e->incidents[i];
	return NULL;
}

/* A free slot, else the oldest closed one; all of them stay in the store. */
static struct incident *incident_slot(struct iso_engine *e)
{
	struct incident *oldest = NULL;
	uint32_t i;

	if (e->n_incidents < e->limits.incidents)
		return &e->incidents[e->n_incidents++];
	for (i = 0; i < e->n_incidents; i++)
		if (!e->incidents[i].open && (!oldest || e->incidents[i].id < oldest->id))
			oldest = &e->incidents[i];
	return oldest;
}

/* Return: the incident, or NULL when all slots are open; containment goes on without. */
struct incident *incident_open(struct iso_engine *e, enum iso_cause cause, const char *unit,
			       uint32_t domain, uint64_t record_ns)
{
	struct incident *incident = incident_slot(e);

	if (!incident)
		return NULL;
	*incident = (struct incident){
		.id = e->next_incident++,
		.cause = cause,
		.domain = domain,
		.record_ns = record_ns,
		.detected_ns = e->now_ns,
		.capacity_before_bytes = iso_capacity_bytes(e),
		.n_records = 1,
		.first_pending = ISO_NONE,
		.synthetic = e->synthetic,
		.open = true,
	};
	copy_text(incident->unit, sizeof(incident->unit), unit);
	emit_note(e, ISO_NOTE_FAULT, incident->id, "%s: %s%s", unit, iso_cause_name(cause),
		  e->synthetic ? " (synthetic)" : "")
		->at_ns = record_ns;
	e->domains_dirty = true;
	return incident;
}

void incident_lease_contained(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];
	struct incident *incident = incident_get(e, lease->incident);

	if (!lease->contain_pending)
		return;
	lease->contain_pending = false;
	if (incident) {
		assert(incident->n_pending > 0);
		incident->n_pending--;
	}
	e->domains_dirty = true;
	e->regions_dirty = true;
}

void incident_lease_restored(struct iso_engine *e, uint32_t l)
{
	struct lease *lease = &e->leases[l];
	struct incident *incident = incident_get(e, lease->incident);

	if (!lease->restore_pending)
		return;
	lease->restore_pending = false;
	if (incident) {
		assert(incident->n_unrestored > 0);
		incident->n_unrestored--;
	}
	e->domains_dirty = true;
}

/* A victim was found gone that had not been seen to exit. */
void incident_exit_seen(struct iso_engine *e, uint64_t id)
{
	struct incident *incident = incident_get(e, id);

	if (!incident)
		return;
	incident->n_exited++;
	emit_save_incident(e, incident);
}

static void close_incident(struct iso_engine *e, struct incident *incident)
{
	incident->open = false;
	incident->recovered_ns = e->now_ns;
	incident->capacity_after_bytes = iso_capacity_bytes(e);
	emit_note(e, ISO_NOTE_RECOVERED, incident->id, "%s: recovered", incident->unit);
	emit_save_incident(e, incident);
}

/* After a restart the domain of an open incident follows from its unit. */
static uint32_t unit_domain(const struct iso_engine *e, const char *unit)
{
	uint32_t i, port = iso_port_find(e, unit);

	for (i = 0; port == ISO_NONE && i < e->n_memdevs; i++)
		if (!strcmp(e->memdevs[i].path, unit))
			port = topology_root_port(e, e->memdevs[i].port);
	for (i = 0; port == ISO_NONE && i < e->n_ports; i++) /* a memdev that is away */
		if (!strncmp(e->ports[i].path, unit, strlen(e->ports[i].path)) &&
		    unit[strlen(e->ports[i].path)] == '/')
			port = i;
	if (port != ISO_NONE)
		return e->ports[port].domain;
	i = iso_region_find(e, unit);
	return i != ISO_NONE ? e->regions[i].domain : ISO_NONE;
}

/* Before a fresh look finds more: what follows from an old cause belongs to its incident. */
void incident_locate(struct iso_engine *e)
{
	uint32_t i, port;

	for (i = 0; i < e->n_incidents; i++) {
		struct incident *incident = &e->incidents[i];

		if (!incident->id || !incident->open || incident->domain != ISO_NONE)
			continue;
		incident->domain = unit_domain(e, incident->unit);
		port = incident->held_port[0] ? iso_port_find(e, incident->held_port) : ISO_NONE;
		if (port == ISO_NONE)
			continue;
		e->ports[port].held = true;
		e->ports[port].flapping = incident->held_flapping;
	}
}

/* Notes which port an operator has to give back, or with ISO_NONE that it was given back. */
void incident_hold(struct iso_engine *e, struct incident *incident, uint32_t port)
{
	copy_text(incident->held_port, sizeof(incident->held_port),
		  port == ISO_NONE ? "" : e->ports[port].path);
	incident->held_flapping &= port != ISO_NONE;
	emit_save_incident(e, incident);
}

/* A unit that nothing knows any more has nothing left to come back. */
static bool domain_of_incident_healthy(const struct iso_engine *e, const struct incident *incident)
{
	return incident->domain >= e->n_ports ||
	       e->domains[e->ports[incident->domain].domain].state == ISO_DOMAIN_HEALTHY;
}

void incident_update(struct iso_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->n_incidents; i++) {
		struct incident *incident = &e->incidents[i];

		if (!incident->id || !incident->open)
			continue;
		if (!incident->contained_ns && !incident->n_pending) {
			incident->contained_ns = e->now_ns;
			emit_note(e, ISO_NOTE_CONTAINED, incident->id,
				  "%s: contained, %u killed, no mapping left", incident->unit,
				  incident->n_killed);
			emit_save_incident(e, incident);
			e->domains_dirty = true;
		}
		if (incident->contained_ns && !incident->n_pending && !incident->n_unrestored &&
		    e->observed && domain_of_incident_healthy(e, incident))
			close_incident(e, incident);
	}
}

/* Only open incidents are restored in full; a closed one keeps the numbering. */
void incident_restore(struct iso_engine *e, const struct iso_restore_incident *restore)
{
	struct incident *incident;

	if (restore->id >= e->next_incident)
		e->next_incident = restore->id + 1;
	e->reconcile.n_incidents_rebooted += restore->rebooted;
	if (!restore->open)
		return;
	incident = incident_slot(e);
	if (!incident)
		return;
	*incident = (struct incident){
		.id = restore->id,
		.cause = restore->cause,
		.domain = ISO_NONE, /* known again with the first snapshot, by the unit's path */
		.record_ns = restore->record_ns,
		.detected_ns = restore->detected_ns,
		.contained_ns = restore->contained_ns,
		.capacity_before_bytes = restore->capacity_before_bytes,
		.n_killed = restore->n_killed,
		.n_exited = restore->n_exited,
		.n_records = restore->n_records,
		.held_flapping = restore->held_flapping,
		.synthetic = restore->synthetic,
		.first_pending = ISO_NONE,
		.open = true,
	};
	copy_text(incident->unit, sizeof(incident->unit), restore->unit);
	copy_text(incident->held_port, sizeof(incident->held_port), restore->held_port);
}
