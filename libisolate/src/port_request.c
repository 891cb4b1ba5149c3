/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What operators ask of a port: to take it out of use, and to give it back. */
#include "fence.h"
#include "state.h"

static uint32_t port_named(struct iso_engine *e, const struct iso_event *event)
{
	uint32_t port = iso_port_find(e, event->port.port);

	if (port == ISO_NONE)
		emit_reply(e, event->port.request, ISO_REPLY_NO_SUCH_NAME, ISO_NONE, ISO_NONE,
			   NULL);
	return port;
}

void port_isolate(struct iso_engine *e, const struct iso_event *event)
{
	uint32_t port = port_named(e, event);

	if (port == ISO_NONE)
		return;
	if (e->ports[port].held) {
		emit_reply(e, event->port.request, ISO_REPLY_ALREADY, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	fault_isolate(e, port);
	emit_reply(e, event->port.request, ISO_REPLY_DONE, ISO_NONE, ISO_NONE, NULL);
}

void port_recover(struct iso_engine *e, const struct iso_event *event)
{
	struct incident *incident = NULL;
	uint32_t port = port_named(e, event), i;

	if (port == ISO_NONE)
		return;
	fence_lift_domain(e, port);
	for (i = 0; i < e->n_ports; i++)
		if (topology_below(e, i, port) || topology_below(e, port, i)) {
			bool stored = e->ports[i].held || e->ports[i].n_losses;

			e->ports[i].held = false;
			e->ports[i].detach_wanted = false;
			flap_forget(e, i);
			isolation_retry(e, i);
			if (stored)
				emit_save_port(e, i);
		}
	if (e->ports[port].domain < e->n_ports)
		incident = incident_of_domain(e, e->ports[port].domain);
	if (incident)
		incident_hold(e, incident, ISO_NONE);
	region_retry(e, port, event->port.evict);
	e->ports[port].rescans = 0;
	e->ports[port].rescan_wanted = true;
	engine_observe(e);
	e->domains_dirty = true;
	emit_reply(e, event->port.request, ISO_REPLY_DONE, ISO_NONE, ISO_NONE, NULL);
}
