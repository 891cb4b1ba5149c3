/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel of the simulated platform. Its rules are the real ones as far as
 * they matter to the engine: the lowest free HPA and region number are taken;
 * a port's decoders fill in ascending HPA order and a hole below a committed
 * one blocks every new region; a lost leg takes the whole region out of
 * service but leaves its object; names and minors of dax devices come back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

bool kernel_below(const struct world *w, uint32_t port, uint32_t ancestor)
{
	for (; port != ISO_NONE; port = w->ports[port].parent)
		if (port == ancestor)
			return true;
	return false;
}

static uint32_t memdev_of(const struct world *w, uint64_t serial)
{
	uint32_t i;

	for (i = 0; i < w->n_memdevs; i++)
		if (w->memdevs[i].plugged && w->seen_memdevs[i].serial == serial)
			return i;
	return ISO_NONE;
}

bool kernel_memdev_works(const struct world *w, uint32_t m)
{
	return m != ISO_NONE && w->memdevs[m].plugged && !w->memdevs[m].unbound &&
	       w->memdevs[m].reset_until_ns <= w->now_ns;
}

/* Whether a decoder set translates for a leg: the bridge if it has several ports, switches above. */
static bool on_decoders(const struct world *w, const struct world_decoders *d, uint32_t m)
{
	uint32_t p, n = 0, bridge = w->ports[w->seen_memdevs[m].port].host_bridge;

	if (d >= w->switch_decoders && d < w->switch_decoders + WORLD_PORTS) {
		p = d - w->switch_decoders;
		return w->ports[p].kind == ISO_PORT_SWITCH_UPSTREAM &&
		       kernel_below(w, w->seen_memdevs[m].port, p);
	}
	if (bridge != (uint32_t)(d - w->bridge_decoders))
		return false;
	for (p = 0; p < w->n_ports; p++)
		n += w->ports[p].kind == ISO_PORT_ROOT && w->ports[p].host_bridge == bridge;
	return n > 1;
}

static struct world_decoders *decoders_at(struct world *w, uint32_t i)
{
	return i < WORLD_BRIDGES ? &w->bridge_decoders[i] : &w->switch_decoders[i - WORLD_BRIDGES];
}

static void free_decoders(struct world *w, uint32_t o)
{
	uint32_t i, s;

	for (i = 0; i < WORLD_BRIDGES + WORLD_PORTS; i++)
		for (s = 0; s < WORLD_SLOTS; s++)
			if (decoders_at(w, i)->slot[s] == o + 1)
				decoders_at(w, i)->slot[s] = 0;
}

static bool uses(const struct world *w, const struct world_object *object,
		 const struct world_decoders *d)
{
	uint32_t i, m;

	for (i = 0; i < object->ways; i++) {
		m = memdev_of(w, object->targets[i].serial);
		if (m != ISO_NONE && on_decoders(w, d, m))
			return true;
	}
	return false;
}

/* Return: the slot, or a negative errno. */
static int pick_decoder(const struct world *w, const struct world_object *object,
			const struct world_decoders *d)
{
	int s, free_slot = -EBUSY;

	for (s = WORLD_SLOTS - 1; s >= 0; s--)
		if (!d->slot[s])
			free_slot = s;
	for (s = 0; s < WORLD_SLOTS; s++) {
		if (!d->slot[s])
			continue;
		if (s > free_slot) /* out of order shutdown */
			return -EBUSY;
		if (w->objects[d->slot[s] - 1].range.start.v > object->range.start.v)
			return -EBUSY; /* HPA order violation */
	}
	return free_slot;
}

static int commit_object(struct world *w, uint32_t o)
{
	uint32_t i;
	int slot;

	for (i = 0; i < WORLD_BRIDGES + WORLD_PORTS; i++) {
		struct world_decoders *d = decoders_at(w, i);

		if (!uses(w, &w->objects[o], d))
			continue;
		slot = pick_decoder(w, &w->objects[o], d);
		if (slot < 0) {
			free_decoders(w, o);
			return slot;
		}
		d->slot[slot] = o + 1;
	}
	w->objects[o].committed = true;
	return 0;
}

/* The lowest gap of a window that holds so many bytes. */
static int allocate_range(const struct world *w, const struct iso_observed_window *window,
			  uint64_t bytes, struct iso_hpa_range *ret)
{
	uint64_t at = window->range.start.v;
	uint32_t i;

	for (i = 0; i < WORLD_OBJECTS; i++) {
		const struct world_object *o = &w->objects[i];

		if (o->used && at < o->range.start.v + o->range.bytes &&
		    o->range.start.v < at + bytes) {
			at = o->range.start.v + o->range.bytes;
			i = -1;
		}
	}
	if (at + bytes > window->range.start.v + window->range.bytes)
		return -ENOSPC;
	*ret = (struct iso_hpa_range){{at}, bytes};
	return 0;
}

static uint32_t new_object(struct world *w)
{
	uint32_t o;

	for (o = 0; o < WORLD_OBJECTS && w->objects[o].used; o++)
		;
	if (o == WORLD_OBJECTS)
		abort(); /* a test that is too big for this world */
	w->objects[o] = (struct world_object){.used = true};
	w->seqnum++;
	return o;
}

/* What the regions on a memdev hold of it. */
static uint64_t dpa_held(const struct world *w, const struct world_object *except, uint64_t serial)
{
	uint64_t bytes = 0;
	uint32_t o, j;

	for (o = 0; o < WORLD_OBJECTS; o++)
		for (j = 0; w->objects[o].used && j < w->objects[o].ways; j++)
			if (&w->objects[o] != except && w->objects[o].targets[j].present &&
			    w->objects[o].targets[j].serial == serial)
				bytes += w->objects[o].range.bytes / w->objects[o].ways;
	return bytes;
}

static bool bridge_has_one_port(const struct world *w, uint32_t bridge)
{
	uint32_t p, n = 0;

	for (p = 0; p < w->n_ports; p++)
		n += w->ports[p].kind == ISO_PORT_ROOT && w->ports[p].host_bridge == bridge;
	return n == 1;
}

/* A host bridge with one port passes through for one region. */
static bool passes_through_already(const struct world *w, const struct world_object *except,
				   uint32_t m)
{
	uint32_t o, j, t, bridge = w->ports[w->seen_memdevs[m].port].host_bridge;

	for (o = 0; bridge_has_one_port(w, bridge) && o < WORLD_OBJECTS; o++)
		for (j = 0; w->objects[o].used && j < w->objects[o].ways; j++) {
			t = memdev_of(w, w->objects[o].targets[j].serial);
			if (&w->objects[o] != except && w->objects[o].targets[j].present &&
			    t != ISO_NONE &&
			    w->ports[w->seen_memdevs[t].port].host_bridge == bridge)
				return true;
		}
	return false;
}

/* The lowest place on a memdev where so much is free. */
static uint64_t free_dpa(const struct world *w, uint64_t serial, uint64_t bytes)
{
	uint64_t at = 0;
	uint32_t o, j;

	for (o = 0; o < WORLD_OBJECTS; o++)
		for (j = 0; w->objects[o].used && j < w->objects[o].ways; j++) {
			const struct iso_observed_target *target = &w->objects[o].targets[j];

			if (!target->present || target->serial != serial ||
			    target->dpa.start.v >= at + bytes ||
			    at >= target->dpa.start.v + target->dpa.bytes)
				continue;
			at = target->dpa.start.v + target->dpa.bytes;
			o = -1; /* from the beginning */
			break;
		}
	return at;
}

static int attach_leg(struct world *w, struct world_object *object, uint32_t i, uint64_t serial,
		      uint64_t bytes)
{
	uint32_t m = memdev_of(w, serial);

	if (!kernel_memdev_works(w, m))
		return -ENXIO;
	if (passes_through_already(w, object, m))
		return -EBUSY;
	if (dpa_held(w, object, serial) + bytes > w->memdevs[m].bytes)
		return -ENOSPC;
	object->targets[i] = (struct iso_observed_target){
		.serial = serial,
		.present = true,
		.dpa = {{free_dpa(w, serial, bytes)}, bytes},
	};
	return 0;
}

static int attach_legs(struct world *w, struct world_object *object,
		       const struct iso_region_definition *d)
{
	uint32_t i;
	int r;

	for (i = 0; i < d->ways; i++) {
		r = attach_leg(w, object, i, d->serials[i], object->range.bytes / d->ways);
		if (r < 0)
			return r;
		object->ways = i + 1;
	}
	return 0;
}

static uint32_t bridge_of(const struct world *w, uint64_t serial)
{
	uint32_t m = memdev_of(w, serial);

	return m == ISO_NONE ? ISO_NONE : w->ports[w->seen_memdevs[m].port].host_bridge;
}

/* A port's count of targets is not taken back when a leg goes: it takes none again. */
static bool targets_share_bridge(const struct world *w, const struct iso_region_definition *d)
{
	uint32_t i, j;

	for (i = 0; i < d->ways; i++)
		for (j = 0; j < i; j++)
			if (bridge_of(w, d->serials[i]) == bridge_of(w, d->serials[j]))
				return true;
	return false;
}

static int refill_region(struct world *w, const struct iso_effect *effect,
			 struct iso_completion *ret)
{
	struct iso_region_view view;
	struct world_object *object;
	uint32_t i;
	int r = 0;

	if (!iso_region_get(w->engine, effect->region, &view) || view.kernel_id >= WORLD_OBJECTS)
		return -ENOENT;
	object = &w->objects[view.kernel_id];
	if (!object->used || object->ways != view.definition->ways)
		return -ENOENT;
	if (targets_share_bridge(w, view.definition))
		return -EINVAL;
	for (i = 0; r == 0 && i < object->ways; i++)
		if (!object->targets[i].present)
			r = attach_leg(w, object, i, view.definition->serials[i],
				       object->range.bytes / object->ways);
	if (r == 0)
		r = commit_object(w, view.kernel_id);
	if (r == 0)
		object->condemned = false;
	ret->kernel_id = view.kernel_id;
	ret->range = object->range;
	return r;
}

static uint64_t bytes_of(const struct world *w, const struct iso_region_view *view)
{
	uint64_t bytes = UINT64_MAX;
	uint32_t i, m;

	if (view->planned_bytes)
		return view->planned_bytes;
	for (i = 0; i < view->definition->ways; i++) {
		m = memdev_of(w, view->definition->serials[i]);
		if (m != ISO_NONE && w->memdevs[m].bytes < bytes)
			bytes = w->memdevs[m].bytes;
	}
	return bytes == UINT64_MAX ? WORLD_UNIT : bytes * view->definition->ways;
}

static int create_region(struct world *w, const struct iso_effect *effect, bool leftover,
			 struct iso_completion *ret)
{
	const struct iso_observed_window *window = NULL;
	struct iso_region_view view;
	uint32_t i, o;
	int r;

	if (!iso_region_get(w->engine, effect->region, &view))
		return -ENOENT;
	for (i = 0; i < w->n_windows; i++)
		if (w->windows[i].kernel_id == view.window_kernel_id)
			window = &w->windows[i];
	if (!window)
		return -ENODEV;
	o = new_object(w);
	r = allocate_range(w, window, bytes_of(w, &view), &w->objects[o].range);
	if (r == 0)
		r = attach_legs(w, &w->objects[o], view.definition);
	if (r == 0) {
		r = commit_object(w, o);
		w->n_refused += r < 0;
	}
	w->objects[o].ways = view.definition->ways;
	w->objects[o].granularity = view.definition->granularity ? view.definition->granularity
								 : window->granularity;
	w->objects[o].used = r == 0 || leftover;
	if (leftover) {
		free_decoders(w, o);
		w->objects[o].committed = false;
		memset(w->objects[o].targets, 0, sizeof(w->objects[o].targets));
	}
	ret->kernel_id = o;
	ret->range = w->objects[o].range;
	return r;
}

static int clear_region(struct world *w, const struct iso_effect *effect)
{
	struct iso_region_view view;
	uint32_t o, i;

	if (!iso_region_get(w->engine, effect->region, &view))
		return -ENOENT;
	for (o = 0; o < WORLD_OBJECTS; o++) {
		bool ours = !w->objects[o].foreign && w->objects[o].ways == view.definition->ways;

		/* The one of its number, and what an earlier try left behind. */
		for (i = 0; ours && i < w->objects[o].ways; i++)
			ours = w->objects[o].targets[i].present
				       ? w->objects[o].targets[i].serial ==
						 view.definition->serials[i]
				       : o == view.kernel_id;
		if (!w->objects[o].used || (!ours && o != view.kernel_id))
			continue;
		snprintf(w->why, sizeof(w->why), "clear of %s, kernel id %d", view.definition->name,
			 (int)view.kernel_id);
		kernel_drop_dax(w, o, true);
		free_decoders(w, o);
		w->objects[o].used = false;
	}
	return 0;
}

/* The function is removed before the bus is looked at anew, and that is told. */
static void rescan(struct world *w, uint32_t m)
{
	struct iso_event *gone;

	if (!w->memdevs[m].unbound)
		return;
	w->memdevs[m].unbound = false;
	w->seqnum++;
	if (w->no_uevents)
		return;
	gone = world_later(w, 1);
	gone->kind = ISO_EVENT_FAULT;
	gone->fault.unit_kind = ISO_UNIT_MEMDEV_SERIAL;
	gone->fault.cause = ISO_CAUSE_DEVICE_GONE;
	gone->fault.serial = w->seen_memdevs[m].serial;
	gone->fault.record_ns = w->now_ns;
	gone->fault.uevent_seqnum = w->seqnum;
}

static int on_port(struct world *w, const struct iso_effect *effect, struct iso_completion *ret)
{
	struct iso_port_view view;
	uint32_t p, m;

	if (!iso_port_get(w->engine, effect->port, &view))
		return -ENOENT;
	for (p = 0; p < w->n_ports && strcmp(w->ports[p].path, view.path); p++)
		;
	if (effect->kind == ISO_EFFECT_FORCE_LINK_DOWN ||
	    effect->kind == ISO_EFFECT_CLEAR_ISOLATION || effect->kind == ISO_EFFECT_ARM_PORT)
		return kernel_on_isolation(w, effect, p, ret);
	for (m = 0; p < w->n_ports && m < w->n_memdevs; m++) {
		if (!kernel_below(w, w->seen_memdevs[m].port, p))
			continue;
		if (effect->kind == ISO_EFFECT_RESCAN_PORT)
			rescan(w, m);
		if (effect->kind == ISO_EFFECT_RESCAN_PORT && w->memdevs[m].detached &&
		    !kernel_link_disabled(w, p)) {
			kernel_plug(w, m);
		} else if (effect->kind == ISO_EFFECT_DETACH_PORT && w->memdevs[m].plugged) {
			kernel_unplug(w, m);
			w->memdevs[m].detached = true;
		}
	}
	return 0;
}

/* Carries out the deed of an operation, now. */
void kernel_do(struct world *w, const struct iso_effect *effect, bool leftover,
	       struct iso_completion *ret)
{
	if (effect->memdev != ISO_NONE)
		ret->result = kernel_read_poison(w, effect);
	else if (effect->port != ISO_NONE)
		ret->result = on_port(w, effect, ret);
	else if (effect->lease != ISO_NONE)
		ret->result = kernel_on_lease(w, effect, ret);
	else if (effect->instance != ISO_NONE)
		ret->result = kernel_on_instance(w, effect, ret);
	else if (effect->kind == ISO_EFFECT_REFILL_REGION)
		ret->result = refill_region(w, effect, ret);
	else if (effect->kind == ISO_EFFECT_CREATE_REGION)
		ret->result = create_region(w, effect, leftover, ret);
	else
		ret->result = clear_region(w, effect);
	if (ret->result < 0 && !ret->message[0])
		snprintf(ret->message, sizeof(ret->message), "%s: %s",
			 iso_effect_name(effect->kind), strerror(-ret->result));
}

/* One leg fails: every region on it goes out of service, all legs' decoders are reset. */
void kernel_lose(struct world *w, uint32_t m)
{
	uint32_t o, i;

	for (o = 0; o < WORLD_OBJECTS; o++)
		for (i = 0; w->objects[o].used && i < w->objects[o].ways; i++) {
			struct iso_observed_target *target = &w->objects[o].targets[i];

			if (!target->present || target->serial != w->seen_memdevs[m].serial)
				continue;
			target->present = false;
			w->objects[o].committed = false;
			w->objects[o].condemned = true;
			free_decoders(w, o);
			kernel_drop_dax(w, o, false);
			if (w->objects_vanish) {
				w->objects[o].used = false;
				w->seqnum++;
			}
		}
}

void kernel_surprise_down(struct world *w, uint32_t port)
{
	uint32_t m;

	kernel_link_down(w, port);
	for (m = 0; m < w->n_memdevs; m++)
		if (w->memdevs[m].plugged && kernel_below(w, w->seen_memdevs[m].port, port)) {
			kernel_begin_unbind(w, m, port);
			w->memdevs[m].reset_until_ns = w->now_ns + w->reset_ns;
			w->memdevs[m].unbound = w->recovery_fails;
		}
}

void kernel_unplug(struct world *w, uint32_t m)
{
	if (!w->memdevs[m].plugged)
		return;
	kernel_lose(w, m);
	kernel_link_down(w, w->seen_memdevs[m].port);
	w->memdevs[m].plugged = w->memdevs[m].unbinding = false;
	w->seqnum++;
}

void kernel_plug(struct world *w, uint32_t m)
{
	if (w->memdevs[m].plugged)
		return;
	w->memdevs[m] = (struct world_memdev){.bytes = w->memdevs[m].bytes,
					      .listed_ns = w->memdevs[m].listed_ns,
					      .plugged = true};
	snprintf(w->seen_memdevs[m].name, sizeof(w->seen_memdevs[m].name), "mem%u",
		 100 + w->n_plugged++ % 900); /* another one each time */
	w->seqnum++;
}

/* What an operator isolates may be killed although nothing has failed. */
void kernel_condemn(struct world *w, uint32_t port)
{
	uint32_t o, i, m;

	for (o = 0; o < WORLD_OBJECTS; o++)
		for (i = 0; w->objects[o].used && i < w->objects[o].ways; i++) {
			m = memdev_of(w, w->objects[o].targets[i].serial);
			if (m != ISO_NONE && kernel_below(w, w->seen_memdevs[m].port, port))
				w->objects[o].condemned = true;
		}
}

/* Somebody else's region: it takes room in a window and decoders of nobody managed. */
uint32_t kernel_foreign_region(struct world *w, uint32_t window, uint64_t units)
{
	uint32_t o = new_object(w);

	w->objects[o].foreign = true;
	if (allocate_range(w, &w->windows[window], units * WORLD_UNIT, &w->objects[o].range))
		abort();
	return o;
}
