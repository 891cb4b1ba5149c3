/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Flapping: a port that comes back and goes again. Each return costs its
 * tenants another death; after a few within a window it is kept away until an
 * operator says otherwise.
 */
#include "state.h"

static bool too_often(const struct iso_engine *e, const struct port *port)
{
	uint32_t losses = e->policy.flap_losses < ISO_PORT_LOSSES_MAX ? e->policy.flap_losses
								      : ISO_PORT_LOSSES_MAX;

	if (!losses || port->n_losses < losses)
		return false;
	return e->now_ns - port->losses_ns[port->n_losses - losses] <= e->policy.flap_window_ns;
}

static void remember(struct port *port, uint64_t at_ns)
{
	if (port->n_losses == ISO_PORT_LOSSES_MAX)
		memmove(port->losses_ns, port->losses_ns + 1,
			--port->n_losses * sizeof(port->losses_ns[0]));
	port->losses_ns[port->n_losses++] = at_ns;
}

/* The unit right below `port`, or the port itself, has taken capacity with it. */
void flap_count(struct iso_engine *e, uint32_t p, uint64_t record_ns, struct incident *incident)
{
	struct port *port;

	if (p == ISO_NONE || e->synthetic) /* a drill says nothing of the port */
		return;
	port = &e->ports[p];
	/* After a restart the loss that was counted last may be told again. */
	if (port->n_losses && record_ns <= port->losses_ns[port->n_losses - 1])
		return;
	remember(port, e->now_ns);
	emit_save_port(e, p);
	if (port->flapping || !too_often(e, port))
		return;
	port->flapping = true;
	port->held = true;
	if (!incident)
		return;
	incident->held_flapping = true;
	incident_hold(e, incident, p);
}

void flap_restore(struct port *port, const struct iso_restore_port *restore)
{
	uint32_t i;

	port->n_losses = 0;
	for (i = 0; i < restore->n_losses && i < ISO_PORT_LOSSES_MAX; i++)
		remember(port, restore->losses_ns[i]);
}

/* An operator trusts it again. */
void flap_forget(struct iso_engine *e, uint32_t p)
{
	e->ports[p].flapping = false;
	e->ports[p].n_losses = 0;
}
