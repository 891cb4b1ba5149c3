/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dax devices of the simulated kernel, and who maps them. */
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

static bool anybody_maps(const struct world *w, uint32_t x)
{
	uint32_t i, j;

	for (i = 0; i < w->n_processes; i++)
		for (j = 0; w->processes[i].running && j < w->processes[i].n_maps; j++)
			if (w->processes[i].maps[j] == x)
				return true;
	return false;
}

/* The uevent of a removal: it may come before or after we hear of the operation's end. */
static void dax_gone(struct world *w, uint32_t x)
{
	struct iso_event *event;

	w->dax[x].exists = w->dax[x].bound = false;
	w->seqnum++;
	if (w->no_uevents)
		return;
	event = world_uevent(w);
	event->kind = ISO_EVENT_FAULT;
	event->fault.unit_kind = ISO_UNIT_INSTANCE;
	event->fault.cause = ISO_CAUSE_REGION_GONE;
	event->fault.region_kernel_id = w->dax[x].object;
	event->fault.kernel_id = w->dax[x].id;
	event->fault.uevent_seqnum = w->seqnum;
}

/* The devices of a region go with it; what maps them keeps a dead mapping. */
void kernel_drop_dax(struct world *w, uint32_t o, bool by_us)
{
	uint32_t x;

	for (x = 0; x < WORLD_DAX; x++) {
		if (!w->dax[x].used || !w->dax[x].exists || w->dax[x].object != o)
			continue;
		if (by_us && w->dax[x].bound && anybody_maps(w, x))
			world_break(w, "dax%u.%u cleared under a mapping (%s)", o, w->dax[x].id,
				    w->why);
		dax_gone(w, x);
	}
}

static uint32_t lowest_free(const struct world *w, bool minor, uint32_t object)
{
	uint32_t value, x;

	for (value = 1;; value++) {
		for (x = 0; x < WORLD_DAX; x++)
			if (w->dax[x].used && w->dax[x].exists &&
			    (minor ? w->dax[x].minor == value
				   : w->dax[x].object == object && w->dax[x].id == value))
				break;
		if (x == WORLD_DAX)
			return value;
	}
}

uint64_t kernel_available(const struct world *w, uint32_t o)
{
	uint64_t bytes = w->objects[o].range.bytes;
	uint32_t x;

	for (x = 0; x < WORLD_DAX; x++)
		if (w->dax[x].used && w->dax[x].exists && w->dax[x].object == o)
			bytes -= w->dax[x].bytes;
	return bytes;
}

static int carve(struct world *w, const struct iso_instance_view *view, uint64_t asked_ns,
		 struct iso_completion *ret)
{
	struct iso_region_view region;
	uint32_t x, o;
	int error;

	if (!iso_region_get(w->engine, view->region, &region))
		return -ENOENT;
	o = region.kernel_id;
	if (o >= WORLD_OBJECTS || !w->objects[o].used || !w->objects[o].committed)
		return -ENXIO;
	if (kernel_available(w, o) < view->bytes)
		return -ENOSPC;
	for (x = 0; x < WORLD_DAX && w->dax[x].used && (w->dax[x].exists || anybody_maps(w, x));
	     x++)
		;
	if (x == WORLD_DAX)
		abort();
	w->dax[x] = (struct world_dax){
		.used = true,
		.exists = true,
		.bound = true,
		.dirty = true,
		.object = o,
		.id = lowest_free(w, false, o),
		.minor = lowest_free(w, true, o),
		.bytes = view->bytes,
		.begun_ns = asked_ns,
	};
	error = kernel_place(w, view, &w->dax[x]);
	if (error) {
		w->dax[x].used = w->dax[x].exists = false;
		return error;
	}
	ret->n_pieces = w->dax[x].n_pieces;
	memcpy(ret->pieces, w->dax[x].pieces, sizeof(ret->pieces));
	ret->region_kernel_id = o;
	ret->kernel_id = w->dax[x].id;
	ret->major = 250;
	ret->minor = w->dax[x].minor;
	ret->range = (struct iso_hpa_range){w->objects[o].range.start, view->bytes};
	ret->uevent_seqnum = ++w->seqnum;
	return 0;
}

/* The device of a name and minor number, which stands or is still remembered by a mapping. */
uint32_t kernel_dax_of(const struct world *w, const struct iso_instance_view *view)
{
	uint32_t x, found = ISO_NONE;

	for (x = 0; view->named && x < WORLD_DAX; x++)
		if (w->dax[x].used && w->dax[x].object == view->region_kernel_id &&
		    w->dax[x].id == view->kernel_id &&
		    (!view->minor || w->dax[x].minor == view->minor) &&
		    (found == ISO_NONE || w->dax[x].exists))
			found = x;
	return found;
}

static int remove_dax(struct world *w, uint32_t x, bool of_lease)
{
	if (x == ISO_NONE || !w->dax[x].exists)
		return 0;
	if (w->dax[x].bound && anybody_maps(w, x))
		world_break(w, "dax%u.%u removed under a mapping", w->dax[x].object, w->dax[x].id);
	if (of_lease && w->dax[x].bound && w->dax[x].pinned_until_ns > w->now_ns &&
	    w->dax[x].pinned_life == w->life)
		world_break(w, "dax%u.%u removed under pins of a VM that is gone", w->dax[x].object,
			    w->dax[x].id);
	if (w->dax[x].node && of_lease)
		world_break(w, "dax%u.%u removed while its node is a tenant's", w->dax[x].object,
			    w->dax[x].id);
	dax_gone(w, x);
	return 0;
}

static void add_mappers(const struct world *w, uint32_t x, struct iso_completion *ret)
{
	uint32_t i, j;

	for (i = 0; i < w->n_processes; i++)
		for (j = 0; w->processes[i].running && j < w->processes[i].n_maps; j++)
			if (w->processes[i].maps[j] == x && ret->n_mappers < ISO_MAPPERS_MAX)
				ret->mappers[ret->n_mappers++] = w->processes[i].pid;
}

static const struct world_process *process_with(const struct world *w, int32_t pid)
{
	uint32_t i;

	for (i = 0; i < w->n_processes; i++)
		if (w->processes[i].running && w->processes[i].pid == pid)
			return &w->processes[i];
	return NULL;
}

/* The kernel counts pins, it does not say of what: one is enough. */
static bool pinned_by_nobody(const struct world *w)
{
	uint32_t x;

	for (x = 0; x < WORLD_DAX; x++)
		if (w->dax[x].used && w->dax[x].exists && w->dax[x].pinned_until_ns > w->now_ns)
			return true;
	return false;
}

/* All holders are looked at before anything is taken from anybody. */
static int refuse_pins(const struct world *w, struct iso_completion *ret)
{
	uint32_t i;

	for (i = 0; i < ret->n_mappers; i++)
		ret->pins |= process_with(w, ret->mappers[i])->pins;
	if (w->pins_outstanding || pinned_by_nobody(w))
		ret->pins |= ISO_PIN_OUTSTANDING;
	if (!ret->pins)
		return 0;
	snprintf(ret->message, sizeof(ret->message), "process %d (D) may hold pins: %s",
		 ret->mappers[0], iso_pin_name(ret->pins));
	return -EBUSY;
}

static void revoke(struct world *w, uint32_t x)
{
	uint32_t i, j;

	if (x == ISO_NONE || !w->dax[x].exists)
		return;
	for (i = 0; i < w->n_processes; i++)
		for (j = 0; w->processes[i].running && j < w->processes[i].n_maps; j++)
			if (w->processes[i].maps[j] == x && w->processes[i].pins)
				world_break(w, "unbound under the pins of process %d",
					    w->processes[i].pid);
	w->dax[x].bound = false;
}

static int inspect(const struct world *w, int32_t pid, struct iso_completion *ret)
{
	const struct world_process *process = process_with(w, pid);

	if (!process) /* a real one, of a test around this world */
		return 0;
	ret->pins = process->pins;
	if (process->pins)
		strcpy(ret->evidence, "fd 12: O_DIRECT /x");
	return 0;
}

int kernel_on_instance(struct world *w, const struct iso_effect *effect, struct iso_completion *ret)
{
	struct iso_instance_view view;
	uint32_t x;

	if (!iso_instance_get(w->engine, effect->instance, &view))
		return -ENOENT;
	if (effect->kind == ISO_EFFECT_CARVE)
		return carve(w, &view, effect->at_ns, ret);
	x = kernel_dax_of(w, &view);
	if (effect->kind == ISO_EFFECT_REMOVE)
		return remove_dax(w, x, view.lease != ISO_NONE);
	if (effect->kind == ISO_EFFECT_VERIFY || effect->kind == ISO_EFFECT_REVOKE) {
		if (x != ISO_NONE)
			add_mappers(w, x, ret);
		if (effect->kind == ISO_EFFECT_REVOKE && refuse_pins(w, ret) < 0)
			return -EBUSY;
		if (effect->kind == ISO_EFFECT_REVOKE)
			revoke(w, x);
		return 0;
	}
	if (x == ISO_NONE || !w->dax[x].exists)
		return -ENXIO;
	ret->bytes = w->dax[x].bytes;
	if (effect->kind == ISO_EFFECT_ZERO)
		w->dax[x].dirty = false;
	else if (w->dax[x].dirty)
		return -EILSEQ;
	else
		w->dax[x].proved = true;
	return 0;
}

int kernel_on_lease(struct world *w, const struct iso_effect *effect, struct iso_completion *ret)
{
	struct iso_lease_view lease;
	struct iso_instance_view view;
	uint32_t i, x;

	if (!iso_lease_get(w->engine, effect->lease, &lease))
		return -ENOENT;
	if (effect->kind == ISO_EFFECT_INSPECT)
		return inspect(w, iso_attaching_pid(w->engine, effect->lease), ret);
	for (i = 0; i < lease.n_instances; i++) {
		iso_instance_get(w->engine, lease.instances[i], &view);
		x = kernel_dax_of(w, &view);
		if ((effect->kind == ISO_EFFECT_VERIFY || effect->kind == ISO_EFFECT_REVOKE) &&
		    x != ISO_NONE)
			add_mappers(w, x, ret);
		if (effect->kind == ISO_EFFECT_RETRACT && x != ISO_NONE)
			w->dax[x].node = false;
		if (effect->kind != ISO_EFFECT_HAND_OVER)
			continue;
		if (x == ISO_NONE || !w->dax[x].exists)
			return -ENOENT;
		if (!w->dax[x].proved)
			world_break(w, "%s was handed memory that nobody proved",
				    lease.terms->name);
		w->dax[x].node = true;
	}
	if (effect->kind != ISO_EFFECT_REVOKE)
		return 0;
	if (refuse_pins(w, ret) < 0)
		return -EBUSY;
	for (i = 0; i < lease.n_instances; i++) {
		iso_instance_get(w->engine, lease.instances[i], &view);
		revoke(w, kernel_dax_of(w, &view));
	}
	return 0;
}

/* Who maps what, as a walk over all processes finds it. */
uint32_t kernel_mappers(const struct world *w, struct iso_observed_mapper *mappers, uint32_t room)
{
	uint32_t i, j, n = 0;

	for (i = 0; i < w->n_processes; i++)
		for (j = 0; w->processes[i].running && j < w->processes[i].n_maps; j++) {
			const struct world_dax *dax = &w->dax[w->processes[i].maps[j]];

			if (n == room)
				abort();
			mappers[n] = (struct iso_observed_mapper){
				.pid = w->processes[i].pid,
				.region_kernel_id = dax->object,
				.kernel_id = dax->id,
				.pins = w->processes[i].pins,
			};
			if (mappers[n++].pins)
				strcpy(mappers[n - 1].evidence, "fd 12: O_DIRECT /x");
		}
	return n;
}
