/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After a surprise down the kernel unbinds what is below the port by itself,
 * and takes its time. Meanwhile the devices still look as if they were there,
 * and a VM that exits makes some kernels use freed memory: who is killed for
 * it is stopped, and dies when all it was stopped for is unbound, or after a
 * second. The daemon does that (daxmgr/vms.c); the engine has to say for whom.
 */
#include <string.h>

#include "world.h"

#define HOLD_NS WORLD_SECOND

static bool knows_domain(const struct world *w, uint32_t port)
{
	return iso_port_find(w->engine, w->ports[port].path) != ISO_NONE &&
	       world_domain(w, port) != ISO_DOMAIN_UNKNOWN;
}

static bool has_leg(const struct world_object *object, uint64_t serial)
{
	uint32_t i;

	for (i = 0; object->used && i < object->ways; i++)
		if (object->targets[i].present && object->targets[i].serial == serial)
			return true;
	return false;
}

/* An engine that has not looked yet does not know who hangs there, and cannot say so. */
static void mark_devices(struct world *w, uint32_t m, bool known)
{
	uint32_t o, x;

	for (o = 0; o < WORLD_OBJECTS; o++) {
		if (!has_leg(&w->objects[o], w->seen_memdevs[m].serial))
			continue;
		w->objects[o].condemned = true;
		for (x = 0; known && x < WORLD_DAX; x++)
			if (w->dax[x].used && w->dax[x].exists && w->dax[x].object == o)
				w->dax[x].unbinding_life = w->life;
	}
}

void kernel_begin_unbind(struct world *w, uint32_t m, uint32_t port)
{
	struct world_task *task;

	if (!w->unbind_ns) {
		kernel_lose(w, m);
		return;
	}
	mark_devices(w, m, knows_domain(w, port));
	if (w->memdevs[m].unbinding)
		return;
	w->memdevs[m].unbinding = true;
	task = world_task(w, WORLD_TASK_UNBIND, world_duration(w, w->unbind_ns));
	task->process = m;
}

/* Unless the device was taken out meanwhile, which ends the same. */
void kernel_end_unbind(struct world *w, uint32_t m)
{
	if (!w->memdevs[m].unbinding)
		return;
	w->memdevs[m].unbinding = false;
	kernel_lose(w, m);
	world_tell(w, "host", "the kernel has unbound what stood on %s", w->seen_memdevs[m].name);
	world_changed(w);
}

static uint32_t bit_of(const struct world *w, uint32_t x, const struct iso_lease_view *lease)
{
	struct iso_instance_view view;
	uint32_t i;

	for (i = 0; i < lease->n_instances; i++)
		if (iso_instance_get(w->engine, lease->instances[i], &view) &&
		    kernel_dax_of(w, &view) == x)
			return UINT32_C(1) << view.part;
	return 0;
}

/* What the kernel is unbinding under a VM stands in its kill, and nothing that stays. */
static void check_told(struct world *w, const struct world_process *process,
		       const struct iso_effect *effect)
{
	struct iso_lease_view lease;
	uint32_t i, x;
	bool told;

	if (!w->unbind_ns || !iso_lease_get(w->engine, effect->lease, &lease))
		return;
	for (i = 0; i < process->n_maps; i++) {
		x = process->maps[i];
		told = effect->unbinding & bit_of(w, x, &lease);
		if (!w->dax[x].exists)
			continue;
		if (w->dax[x].unbinding_life == w->life && !told)
			world_break(w, "%s is killed while the kernel unbinds its memory",
				    process->name);
		if (told && !w->objects[w->dax[x].object].condemned)
			world_break(w, "%s is stopped for memory that nobody unbinds",
				    process->name);
	}
}

static bool waits_for_unbind(const struct world *w, const struct world_process *process)
{
	uint32_t i;

	for (i = 0; i < process->n_maps; i++)
		if (w->dax[process->maps[i]].exists && w->dax[process->maps[i]].unbinding_life)
			return true;
	return false;
}

uint64_t world_hold(struct world *w, struct world_process *process, const struct iso_effect *effect,
		    uint64_t exit_ns)
{
	check_told(w, process, effect);
	process->stopped_life = 0;
	if (!effect->unbinding || !waits_for_unbind(w, process))
		return exit_ns;
	process->stopped_life = w->life;
	process->exit_ns = exit_ns;
	return HOLD_NS + exit_ns;
}

/* Whom it holds for nothing else it kills. */
void world_unbound(struct world *w)
{
	struct world_task *exit;
	uint32_t i;

	for (i = 0; i < w->n_processes; i++) {
		struct world_process *process = &w->processes[i];

		if (!process->running || process->stubborn || process->stopped_life != w->life ||
		    waits_for_unbind(w, process))
			continue;
		process->stopped_life = 0;
		exit = world_task(w, WORLD_TASK_EXIT, process->exit_ns);
		exit->process = i;
		exit->pid = process->pid;
	}
}
