/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "note.h"

#include <stdio.h>

static void fill_lease(const struct iso_engine *engine, uint32_t index, struct store_note *note)
{
	struct iso_lease_view lease;

	if (!iso_lease_get(engine, index, &lease))
		return;
	snprintf(note->lease, sizeof(note->lease), "%s", lease.terms->name);
	note->pid = lease.pid;
}

void note_from_effect(const struct iso_engine *engine, const struct iso_effect *effect,
		      struct store_note *ret)
{
	struct iso_region_view region;
	struct iso_port_view port;

	*ret = (struct store_note){
		.incident = effect->incident, .at_ns = effect->at_ns, .kind = effect->note};
	if (effect->kind == ISO_EFFECT_KILL)
		ret->kind = ISO_NOTE_KILL;
	if (effect->text)
		snprintf(ret->text, sizeof(ret->text), "%s", effect->text);
	if (effect->lease != ISO_NONE)
		fill_lease(engine, effect->lease, ret);
	if (effect->region != ISO_NONE && iso_region_get(engine, effect->region, &region))
		snprintf(ret->region, sizeof(ret->region), "%s", region.definition->name);
	if (effect->port != ISO_NONE && iso_port_get(engine, effect->port, &port))
		snprintf(ret->port, sizeof(ret->port), "%s", port.path);
}

bool note_incident(const struct iso_engine *engine, uint32_t index, struct store_incident *ret)
{
	struct iso_incident_view incident;
	struct iso_port_view port;

	if (!iso_incident_get(engine, index, &incident))
		return false;
	*ret = (struct store_incident){
		.id = incident.id,
		.cause = incident.cause,
		.record_ns = incident.record_ns,
		.detected_ns = incident.detected_ns,
		.contained_ns = incident.contained_ns,
		.recovered_ns = incident.recovered_ns,
		.n_killed = incident.n_killed,
		.n_exited = incident.n_exited,
		.n_records = incident.n_records,
		.capacity_before_bytes = incident.capacity_before_bytes,
		.capacity_after_bytes = incident.capacity_after_bytes,
		.held_flapping = incident.held_flapping,
		.synthetic = incident.synthetic,
		.open = incident.open,
	};
	snprintf(ret->unit, sizeof(ret->unit), "%s", incident.unit);
	snprintf(ret->held_port, sizeof(ret->held_port), "%s", incident.held_port);
	if (incident.domain != ISO_NONE && iso_port_get(engine, incident.domain, &port))
		snprintf(ret->domain, sizeof(ret->domain), "%s", port.path);
	return true;
}
