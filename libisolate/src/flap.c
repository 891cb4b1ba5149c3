/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Flapping: a port that comes back and goes again. Each return costs its
 * tenants another death; after a few within a window it is kept away until an
 * operator says otherwise.
 */
#include "state.h"

static bool too_often(const struct iso_engine *e, const struct port *port)
{
	uint32_t losses = e->policy.flap_losses < LOSSES_MAX ? e->policy.flap_losses : LOSSES_MAX;
	uint64_t first_ns;

	if (!losses || port->n_losses < losses)
		return false;
	first_ns = port->losses_ns[(port->n_losses - losses) % LOSSES_MAX];
	return e->now_ns - first_ns <= e->policy.flap_window_ns;
}

/* The unit right below `port`, or the port itself, has just taken capacity with it. */
void flap_count(struct iso_engine *e, uint32_t p, struct incident *incident)
{
	struct port *port;

	if (p == ISO_NONE)
		return;
	port = &e->ports[p];
	port->losses_ns[port->n_losses++ % LOSSES_MAX] = e->now_ns;
	if (port->flapping || !too_often(e, port))
		return;
	port->flapping = true;
	port->held = true;
	emit_save_port(e, p);
	if (!incident)
		return;
	incident->held_flapping = true;
	incident_hold(e, incident, p);
}

/* An operator trusts it again. */
void flap_forget(struct iso_engine *e, uint32_t p)
{
	e->ports[p].flapping = false;
	e->ports[p].n_losses = 0;
}
