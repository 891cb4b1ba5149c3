/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules of policy that fire: whom they may kill, and whom they must not spare. */
#include <stdio.h>
#include <string.h>

#include "world.h"

static bool target_below(const struct world *w, uint64_t serial, uint32_t memdev, uint32_t port)
{
	uint32_t m;

	for (m = 0; m < w->n_memdevs; m++)
		if (w->seen_memdevs[m].serial == serial)
			return memdev != ISO_NONE ? m == memdev
						  : kernel_below(w, w->seen_memdevs[m].port, port);
	return false;
}

static bool is_meant(const struct world *w, const struct world_process *process, const char *vm,
		     uint32_t memdev, uint32_t port)
{
	uint32_t i, t;

	if (vm)
		return !strcmp(process->name, vm);
	for (i = 0; i < process->n_maps; i++) {
		const struct world_object *object = &w->objects[w->dax[process->maps[i]].object];

		for (t = 0; t < object->ways; t++)
			if (target_below(w, object->targets[t].serial, memdev, port))
				return true;
	}
	return false;
}

static bool is_attached(const struct world *w, const struct world_process *process)
{
	uint32_t l = iso_lease_find(w->engine, process->name);
	struct iso_lease_view lease;

	return process->running && l != ISO_NONE && iso_lease_get(w->engine, l, &lease) &&
	       lease.state == ISO_LEASE_ATTACHED && lease.pid == process->pid;
}

/* Who is meant and lives on although it was attached. */
static void check_spared(struct world *w, const struct iso_event *event, const char *vm,
			 uint32_t memdev, uint32_t port)
{
	uint32_t i;

	for (i = 0; i < w->n_processes; i++)
		if (w->processes[i].is_vm && is_attached(w, &w->processes[i]) &&
		    is_meant(w, &w->processes[i], vm, memdev, port) &&
		    world_reply(w, event->policy.request) == ISO_REPLY_DONE)
			world_break(w, "%s was spared by a rule that kills it",
				    w->processes[i].name);
}

uint64_t world_policy(struct world *w, enum iso_action action, const char *vm, uint32_t memdev,
		      uint32_t port)
{
	struct iso_event event = {.kind = ISO_EVENT_POLICY};
	uint32_t i, life = w->life;

	event.policy.request = w->request++;
	event.policy.action = action;
	strcpy(event.policy.rule, "rule");
	if (vm) {
		snprintf(event.policy.vm, sizeof(event.policy.vm), "%s", vm);
	} else if (memdev != ISO_NONE) {
		event.policy.has_serial = true;
		event.policy.serial = w->seen_memdevs[memdev].serial;
	} else {
		strcpy(event.policy.unit, w->ports[port].path);
	}
	if (action == ISO_ACTION_ISOLATE && !vm)
		kernel_condemn(w, memdev != ISO_NONE ? w->seen_memdevs[memdev].port : port);
	for (i = 0; action == ISO_ACTION_KILL && i < w->n_processes; i++)
		w->processes[i].condemned |= w->processes[i].is_vm && w->processes[i].running &&
					     is_meant(w, &w->processes[i], vm, memdev, port);
	world_step(w, &event);
	if (action == ISO_ACTION_KILL && w->life == life)
		check_spared(w, &event, vm, memdev, port);
	return event.policy.request;
}

uint64_t world_recover_memdev(struct world *w, uint32_t memdev)
{
	struct iso_event event = {.kind = ISO_EVENT_RECOVER};

	event.port.request = w->request++;
	snprintf(event.port.port, sizeof(event.port.port), "%#llx",
		 (unsigned long long)w->seen_memdevs[memdev].serial);
	world_step(w, &event);
	return event.port.request;
}
