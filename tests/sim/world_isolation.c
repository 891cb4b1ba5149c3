/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The isolation registers of the simulated root ports: a sticky status, RP Busy
 * for a while, isolation that ends only when it is cleared. What the
 * specification calls undefined, or forbids, breaks the run.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

enum { CAPABILITY = ISO_ISOLATION_ENABLE | ISO_ISOLATION_LINK_DOWN };

static uint32_t root_of(const struct world *w, uint32_t port)
{
	while (port < w->n_ports && w->ports[port].parent != ISO_NONE)
		port = w->ports[port].parent;
	return port;
}

void world_offer_isolation(struct world *w, uint32_t port, bool link_down)
{
	w->isolation[port].capability = link_down ? (uint32_t)CAPABILITY
						  : (uint32_t)ISO_ISOLATION_ENABLE;
}

/* What the daemon reads and tells. */
void world_tell_isolation(struct world *w, uint32_t port)
{
	const struct world_isolation *is = &w->isolation[port];
	struct iso_event event = {.kind = ISO_EVENT_ISOLATION_SEEN};

	event.isolation_seen.address = w->ports[port].address;
	event.isolation_seen.isolation = (struct iso_isolation){
		.source = is->capability ? ISO_ISOLATION_REGISTERS : ISO_ISOLATION_NONE,
		.capability = is->capability,
		.control = is->control,
		.status = is->status,
		.ranges = 1,
		.ranges_safe = 1,
		.obstacles = is->obstacles,
	};
	if (is->status & ISO_ISOLATION_STATUS)
		kernel_condemn(w,
			       port); /* also what was made since, or is seen for the first time */
	world_step(w, &event);
}

/* A daemon that has learned of ports looks at their registers. */
void world_tell_isolations(struct world *w)
{
	uint32_t p, i, life = w->life;
	struct iso_port_view view;

	for (p = 0; p < w->n_ports && w->life == life; p++) {
		i = iso_port_find(w->engine, w->ports[p].path);
		if (w->ports[p].kind == ISO_PORT_ROOT && iso_port_get(w->engine, i, &view) &&
		    view.present &&
		    (view.isolation.source == ISO_ISOLATION_UNKNOWN ||
		     (view.isolation.status ^ w->isolation[p].status) & ISO_ISOLATION_STATUS))
			world_tell_isolation(w, p);
	}
}

/* The link of a root port went down: that is what its return to life needs. */
void kernel_link_down(struct world *w, uint32_t port)
{
	if (port < w->n_ports && w->ports[port].kind == ISO_PORT_ROOT)
		w->isolation[port].link_was_down = true;
}

/* A timeout at a port that is armed. Return: false when it is not, or isolated already. */
bool world_isolate(struct world *w, uint32_t port)
{
	struct world_isolation *is = &w->isolation[port];
	struct iso_event *settled;
	uint32_t life = w->life;

	if (!(is->control & ISO_ISOLATION_ENABLE) || is->status)
		return false;
	is->status = ISO_ISOLATION_STATUS | ISO_ISOLATION_BUSY;
	is->busy_until_ns = w->now_ns + 50 * WORLD_MS;
	is->link_was_down = false;
	kernel_condemn(w, port);
	if (is->control & ISO_ISOLATION_LINK_DOWN) {
		settled = world_later(w, w->reset_ns);
		settled->kind = ISO_EVENT_SETTLED;
		settled->settled = w->ports[port].address;
		kernel_surprise_down(w, port);
		world_changed(w);
	}
	world_tell_isolation(w, port);
	if (w->life == life)
		world_check_blast(w, port);
	if (w->life == life && is->control & ISO_ISOLATION_LINK_DOWN && !w->no_uevents)
		world_fault_port(w, port, ISO_CAUSE_LINK_DOWN);
	return true;
}

static bool stands_on(const struct world *w, const struct world_object *object, uint32_t port)
{
	uint32_t i, m;

	for (i = 0; object->used && object->committed && i < object->ways; i++)
		for (m = 0; m < w->n_memdevs; m++)
			if (object->targets[i].present &&
			    w->seen_memdevs[m].serial == object->targets[i].serial &&
			    root_of(w, w->seen_memdevs[m].port) == port)
				return true;
	return false;
}

static bool is_used(const struct world *w, uint32_t port)
{
	uint32_t o;

	for (o = 0; o < WORLD_OBJECTS; o++)
		if (stands_on(w, &w->objects[o], port))
			return true;
	return false;
}

static void force_link_down(struct world *w, uint32_t port)
{
	uint32_t o, m;

	for (o = 0; o < WORLD_OBJECTS; o++)
		if (w->objects[o].foreign && stands_on(w, &w->objects[o], port))
			world_break(w, "a link is taken down under memory that is not managed");
	if (w->ports[port].system_ram)
		world_break(w, "a link is taken down under System RAM");
	for (m = 0; m < w->n_memdevs; m++)
		if (w->memdevs[m].plugged && root_of(w, w->seen_memdevs[m].port) == port) {
			kernel_unplug(w, m);
			w->memdevs[m].detached = true;
		}
	w->isolation[port].link_disabled = true;
	kernel_link_down(w, port);
	world_changed(w);
}

bool kernel_link_disabled(const struct world *w, uint32_t port)
{
	return w->isolation[root_of(w, port)].link_disabled;
}

static int clear(struct world *w, uint32_t port)
{
	struct world_isolation *is = &w->isolation[port];

	if (is->status && !is->link_was_down)
		world_break(w, "an isolation is cleared before the link was down");
	if (is->never_ends || is->busy_until_ns > w->now_ns)
		return -EBUSY;
	is->status = 0;
	is->link_disabled &= w->clears_by_half;
	return 0;
}

static int arm(struct world *w, uint32_t port, const struct iso_port_view *view)
{
	struct world_isolation *is = &w->isolation[port];
	uint32_t control = view->arming ? is->capability : 0;

	if (is->status) /* meanwhile: the worker looks before it writes */
		return -EBUSY;
	if (control != is->control && is_used(w, port))
		world_break(w, "isolation is toggled while memory behind the port is used");
	if (control != is->control && w->ports[port].system_ram)
		world_break(w, "isolation is toggled under System RAM");
	is->control = control;
	return 0;
}

int kernel_on_isolation(struct world *w, const struct iso_effect *effect, uint32_t port,
			struct iso_completion *ret)
{
	struct iso_port_view view;
	int result = 0;

	if (port >= w->n_ports || !iso_port_get(w->engine, effect->port, &view))
		return -ENOENT;
	if (effect->kind == ISO_EFFECT_FORCE_LINK_DOWN)
		force_link_down(w, port);
	else if (effect->kind == ISO_EFFECT_CLEAR_ISOLATION)
		result = clear(w, port);
	else
		result = arm(w, port, &view);
	ret->has_isolation = true;
	ret->control = w->isolation[port].control;
	ret->status = w->isolation[port].status;
	return result;
}
