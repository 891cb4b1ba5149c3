/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What iso_check() cannot see, because it needs the other half: what the
 * engine may ask of this host now, and whether belief and host agree once
 * nothing is under way.
 */
#include <stdio.h>
#include <string.h>

#include "world.h"

static bool same_object(const struct iso_effect *a, const struct iso_effect *b)
{
	bool of_nothing = a->region == ISO_NONE && a->instance == ISO_NONE &&
			  a->lease == ISO_NONE && a->port == ISO_NONE && a->memdev == ISO_NONE;

	return a->region == b->region && a->instance == b->instance && a->lease == b->lease &&
	       a->port == b->port && a->memdev == b->memdev && (!of_nothing || a->kind == b->kind);
}

/* Given up, or ended: the engine expects nothing of it any more. */
static bool is_over(const struct world *w, const struct world_task *task)
{
	return task->kind > WORLD_TASK_COMPLETE || task->life != w->life || task->done ||
	       task->effect.deadline_ns < w->now_ns;
}

/* One thing at a time is asked of one object, unless the engine has given the first one up. */
static void check_alone(struct world *w, const struct iso_effect *effect)
{
	uint32_t i, n = 1;

	for (i = 0; i < w->n_due; i++) {
		const struct world_task *task = &w->tasks[w->due[i]];

		if (is_over(w, task) || task->effect.operation == effect->operation)
			continue;
		n++;
		if (same_object(&task->effect, effect))
			world_break(w, "%s while %s on the same object is under way",
				    iso_effect_name(effect->kind),
				    iso_effect_name(task->effect.kind));
	}
	if (n > w->limits.operations)
		world_break(w, "more is under way than there may be");
}

static bool kept_away(const struct world *w, uint32_t port)
{
	struct iso_port_view view;

	for (; iso_port_get(w->engine, port, &view); port = view.parent)
		if (view.held)
			return true;
	return false;
}

static bool is_isolated(const struct world *w, uint32_t port)
{
	struct iso_port_view view;

	for (; iso_port_get(w->engine, port, &view); port = view.parent)
		if (view.isolated_ns)
			return true;
	return false;
}

/* Whether a port above is being enumerated anew, or was and has not been heard of. */
static bool is_enumerated(const struct world *w, uint32_t port)
{
	struct iso_port_view view;
	uint32_t i;

	for (; iso_port_get(w->engine, port, &view); port = view.parent)
		for (i = 0; i < w->n_due; i++) {
			const struct world_task *task = &w->tasks[w->due[i]];

			if (task->effect.kind == ISO_EFFECT_RESCAN_PORT &&
			    task->effect.port == port && !is_over(w, task))
				return true;
		}
	return false;
}

/* What is made stands on memdevs that are there, and below no port that is kept away or goes through a rescan. */
static void check_legs(struct world *w, uint32_t region, const char *what)
{
	struct iso_region_view view;
	struct iso_memdev_view memdev;
	uint32_t i, m;
	char serial[24];

	iso_region_get(w->engine, region, &view);
	for (i = 0; i < view.definition->ways; i++) {
		snprintf(serial, sizeof(serial), "%llu",
			 (unsigned long long)view.definition->serials[i]);
		m = iso_memdev_find(w->engine, serial);
		if (!iso_memdev_get(w->engine, m, &memdev) || !memdev.present || !memdev.bound)
			world_break(w, "%s on a memdev that is not there", what);
		else if (memdev.settling)
			world_break(w, "%s while the kernel is resetting a memdev", what);
		else if (kept_away(w, memdev.port))
			world_break(w, "%s below a port that is kept away", what);
		else if (is_isolated(w, memdev.port))
			world_break(w, "%s below a root port that is isolated", what);
		else if (is_enumerated(w, memdev.port))
			world_break(w, "%s below a port that is enumerated anew", what);
	}
}

/* The domain is fenced while it is being contained: it gives nothing to new tenants. */
static void check_fence(struct world *w, uint32_t instance)
{
	struct iso_instance_view view;
	struct iso_region_view region;

	iso_instance_get(w->engine, instance, &view);
	iso_region_get(w->engine, view.region, &region);
	if (view.state == ISO_INSTANCE_CARVING && region.state != ISO_REGION_LIVE)
		world_break(w, "an instance is carved in a region that is not live");
}

/* On a host that is not well nothing is begun but what an operator asked for. */
static void check_health(struct world *w, const struct iso_effect *effect)
{
	if (w->unwell && !w->despite)
		world_break(w, "%s on a host that is not well", iso_effect_name(effect->intent));
}

static void check_intended(struct world *w, const struct iso_effect *effect)
{
	if (effect->intent == ISO_EFFECT_CREATE_REGION ||
	    effect->intent == ISO_EFFECT_REFILL_REGION)
		check_health(w, effect);
	if (effect->intent == ISO_EFFECT_CREATE_REGION ||
	    effect->intent == ISO_EFFECT_REFILL_REGION)
		check_legs(w, effect->region, iso_effect_name(effect->intent));
	else if (effect->intent == ISO_EFFECT_CARVE)
		check_fence(w, effect->instance);
	if (effect->intent == ISO_EFFECT_CARVE)
		world_check_carve(w, effect->instance);
}

void world_check_operation(struct world *w, const struct iso_effect *effect)
{
	if (effect->kind == ISO_EFFECT_INTENT)
		check_intended(w, effect);
	if (effect->kind == ISO_EFFECT_HAND_OVER)
		world_check_hand_over(w, effect->lease);
	check_alone(w, effect);
	if (effect->deadline_ns <= w->now_ns)
		world_break(w, "%s without a deadline", iso_effect_name(effect->kind));
}

static bool below(const struct world *w, uint64_t serial, uint32_t port)
{
	uint32_t m;

	for (m = 0; m < w->n_memdevs; m++)
		if (w->memdevs[m].plugged && w->seen_memdevs[m].serial == serial &&
		    kernel_below(w, w->seen_memdevs[m].port, port))
			return true;
	return false;
}

static bool stands_below(const struct world *w, uint32_t instance, uint32_t port)
{
	struct iso_instance_view view;
	struct iso_region_view region;
	uint32_t i;

	if (!iso_instance_get(w->engine, instance, &view) ||
	    !iso_region_get(w->engine, view.region, &region))
		return false;
	for (i = 0; i < region.definition->ways; i++)
		if (below(w, region.definition->serials[i], port))
			return true;
	return false;
}

/* An engine that has not looked yet does not know what hangs where. */
void world_check_blast(struct world *w, uint32_t port)
{
	struct iso_lease_view lease;
	uint32_t l, p;

	if (iso_port_find(w->engine, w->ports[port].path) == ISO_NONE ||
	    world_domain(w, port) == ISO_DOMAIN_UNKNOWN)
		return;
	for (l = 0; l < iso_lease_count(w->engine); l++) {
		if (!iso_lease_get(w->engine, l, &lease) || lease.state != ISO_LEASE_ATTACHED)
			continue;
		for (p = 0; p < lease.n_instances; p++)
			if (stands_below(w, lease.instances[p], port))
				world_break(w, "%s was spared although its memory is lost",
					    lease.terms->name);
	}
}

/* A number and a place that one region has lost are the next one's at once. */
static bool is_object_of(const struct world_object *object, const struct iso_region_view *view)
{
	uint32_t i;

	for (i = 0; i < view->definition->ways; i++)
		if (!object->targets[i].present ||
		    object->targets[i].serial != view->definition->serials[i])
			return false;
	return object->ways == i && object->range.start.v == view->range.start.v;
}

static bool is_there(const struct world *w, const struct iso_region_view *view)
{
	const struct world_object *object;

	if (view->kernel_id >= WORLD_OBJECTS)
		return false;
	object = &w->objects[view->kernel_id];
	return object->used && object->committed && !object->condemned &&
	       is_object_of(object, view);
}

static uint32_t regions_there(const struct world *w, uint32_t state)
{
	struct iso_region_view view;
	uint32_t i, there = 0;

	for (i = 0; i < iso_region_count(w->engine) && i < 32; i++)
		if (iso_region_get(w->engine, i, &view) && view.state == state &&
		    is_there(w, &view))
			there |= UINT32_C(1) << i;
	return there;
}

uint32_t world_regions_live(const struct world *w)
{
	return regions_there(w, ISO_REGION_LIVE);
}

void world_check_loss(struct world *w, uint32_t live)
{
	if (live & regions_there(w, ISO_REGION_LOST))
		world_break(w, "a region is given up that is as it was");
}

static uint32_t instances_held(struct world *w)
{
	struct iso_instance_view view;
	uint32_t i, x, n = 0;

	for (i = 0; i < iso_instance_count(w->engine); i++) {
		if (!iso_instance_get(w->engine, i, &view))
			continue;
		n++;
		x = kernel_dax_of(w, &view);
		if (x == ISO_NONE || !w->dax[x].exists || !w->dax[x].bound ||
		    w->dax[x].bytes != view.bytes || w->dax[x].minor != view.minor)
			world_break(w, "at rest: dax%u.%u is not what the engine believes",
				    view.region_kernel_id, view.kernel_id);
		if (view.lease == ISO_NONE)
			world_break(w, "at rest: dax%u.%u is an orphan", view.region_kernel_id,
				    view.kernel_id);
	}
	return n;
}

static uint32_t regions_live(struct world *w)
{
	struct iso_region_view view;
	uint32_t i, n = 0;

	for (i = 0; i < iso_region_count(w->engine); i++) {
		const struct world_object *object;

		if (!iso_region_get(w->engine, i, &view) || view.state != ISO_REGION_LIVE)
			continue;
		n++;
		object = &w->objects[view.kernel_id];
		if (view.kernel_id >= WORLD_OBJECTS || !object->used || !object->committed ||
		    !is_object_of(object, &view) || object->range.bytes != view.range.bytes)
			world_break(w, "at rest: region %s is not what the engine believes",
				    view.definition->name);
		else if (view.free_bytes != kernel_available(w, view.kernel_id))
			world_break(w, "at rest: the bytes of region %s do not add up",
				    view.definition->name);
	}
	return n;
}

static uint32_t unknown_object(const struct world *w)
{
	struct iso_region_view view;
	uint32_t o, i;

	for (o = 0; o < WORLD_OBJECTS; o++) {
		if (!w->objects[o].used || w->objects[o].foreign)
			continue;
		for (i = 0; i < iso_region_count(w->engine); i++)
			if (iso_region_get(w->engine, i, &view) && view.kernel_id == o)
				break;
		if (i == iso_region_count(w->engine))
			return o;
	}
	return ISO_NONE;
}

/* Everything is healthy and nothing is under way: what the host has is known, all of it. */
void world_check_rest(struct world *w)
{
	uint32_t i, n_objects = 0, n_dax = 0;

	for (i = 0; i < WORLD_OBJECTS; i++)
		n_objects += w->objects[i].used && !w->objects[i].foreign;
	for (i = 0; i < WORLD_DAX; i++)
		n_dax += w->dax[i].used && w->dax[i].exists;
	if (regions_live(w) != n_objects)
		world_break(w, "at rest: region%u is nobody's", unknown_object(w));
	if (instances_held(w) != n_dax)
		world_break(w, "at rest: %u dax devices, not all of them known", n_dax);
}
