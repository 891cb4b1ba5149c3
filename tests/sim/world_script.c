/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests do with the simulated platform: build it, ask, break things, look. */
#include <stdio.h>
#include <string.h>

#include "world.h"

uint32_t world_bridge(struct world *w)
{
	world_room(w, w->n_bridges, WORLD_BRIDGES);
	snprintf(w->bridges[w->n_bridges].path, ISO_PATH_BYTES, "hb%u", w->n_bridges);
	return w->n_bridges++;
}

uint32_t world_port(struct world *w, enum iso_port_kind kind, uint32_t bridge, uint32_t parent)
{
	struct iso_observed_port *port = &w->ports[w->n_ports];
	uint32_t i, n = 0;
	char last[16];

	world_room(w, w->n_ports, WORLD_PORTS);
	for (i = 0; i < w->n_ports; i++)
		n += w->ports[i].host_bridge == bridge && w->ports[i].parent == parent;
	*port = (struct iso_observed_port){
		.address = {0, (uint8_t)(16 + w->n_ports), (uint8_t)n, 0, 1},
		.kind = kind,
		.host_bridge = bridge,
		.parent = parent,
	};
	snprintf(last, sizeof(last), "/%02x.0", n);
	strcpy(port->path, parent == ISO_NONE ? w->bridges[bridge].path : w->ports[parent].path);
	strcat(port->path, last);
	return w->n_ports++;
}

uint32_t world_memdev(struct world *w, uint32_t port, uint64_t serial)
{
	struct iso_observed_memdev *memdev = &w->seen_memdevs[w->n_memdevs];
	const char *above = w->ports[port].path;

	world_room(w, w->n_memdevs, WORLD_MEMDEVS);
	*memdev = (struct iso_observed_memdev){
		.serial = serial,
		.port = port,
		.volatile_bytes = WORLD_UNIT,
		.address = {0, (uint8_t)(100 + w->n_memdevs), 0, 0, 1},
	};
	strcat(strcpy(memdev->path, above), "/00.0");
	snprintf(memdev->name, sizeof(memdev->name), "mem%u", w->n_memdevs);
	w->memdevs[w->n_memdevs] = (struct world_memdev){.bytes = WORLD_UNIT, .plugged = true};
	return w->n_memdevs++;
}

uint32_t world_window(struct world *w, uint64_t units, uint32_t n, const uint32_t *bridges)
{
	struct iso_observed_window *window = &w->windows[w->n_windows];
	uint64_t start = w->n_windows ? w->windows[w->n_windows - 1].range.start.v +
						w->windows[w->n_windows - 1].range.bytes
				      : 64ull << 30;

	world_room(w, w->n_windows, WORLD_WINDOWS);
	*window = (struct iso_observed_window){
		.kernel_id = w->n_windows,
		.range = {{start}, units * WORLD_UNIT},
		.granularity = 256,
		.ways = n,
		.volatile_capable = true,
		.arithmetic = ISO_ARITHMETIC_MODULO,
	};
	memcpy(window->host_bridges, bridges, n * sizeof(*bridges));
	return w->n_windows++;
}

uint32_t world_simple_bridge(struct world *w, uint32_t n_ports, uint64_t serial)
{
	uint32_t i, bridge = world_bridge(w);

	world_window(w, 16, 1, &bridge);
	for (i = 0; i < n_ports; i++)
		world_memdev(w, world_port(w, ISO_PORT_ROOT, bridge, ISO_NONE), serial + i);
	return bridge;
}

struct world *world_pair(void)
{
	struct world *w = world_new();

	world_simple_bridge(w, 2, 0x10);
	world_define_one(w, "low", 0x10);
	world_define_one(w, "high", 0x11);
	world_run(w, WORLD_SECOND);
	if (world_region(w, "low").state != ISO_REGION_LIVE ||
	    world_region(w, "high").state != ISO_REGION_LIVE ||
	    world_region(w, "low").range.start.v >= world_region(w, "high").range.start.v)
		world_give_up(w, "the two regions are not live, low below high");
	return w;
}

/* --- requests ------------------------------------------------------------------------------- */

uint64_t world_define_as(struct world *w, const struct iso_region_definition *definition)
{
	struct iso_event event = {.kind = ISO_EVENT_REGION_DEFINE};
	uint32_t i, life = w->life;

	event.define.request = w->request++;
	event.define.definition = *definition;
	world_step(w, &event);
	if (w->life != life) /* the daemon died of it, and reads its configuration anew */
		world_step(w, &event);
	for (i = 0; i < w->n_defined && strcmp(w->defined[i].name, definition->name); i++)
		;
	if (world_reply(w, event.define.request) == ISO_REPLY_DONE && i == w->n_defined)
		w->defined[w->n_defined++] = event.define.definition;
	return event.define.request;
}

uint64_t world_define(struct world *w, const char *name, uint32_t ways, const uint64_t *serials)
{
	struct iso_region_definition definition = {.ways = ways};

	snprintf(definition.name, ISO_NAME_BYTES, "%s", name);
	if (ways <= ISO_WAYS_MAX)
		memcpy(definition.serials, serials, ways * sizeof(*serials));
	return world_define_as(w, &definition);
}

uint64_t world_define_one(struct world *w, const char *name, uint64_t serial)
{
	return world_define(w, name, 1, &serial);
}

uint64_t world_acquire_terms(struct world *w, struct iso_acquire *terms)
{
	struct iso_event event = {.kind = ISO_EVENT_ACQUIRE};

	world_room(w, w->request, WORLD_REPLIES);
	terms->request = w->request++;
	event.acquire = *terms;
	world_step(w, &event);
	return terms->request;
}

/* A VM as the launcher asks for it: waits, and wants to come back. */
uint64_t world_acquire(struct world *w, const char *name, const char *region, uint64_t bytes)
{
	struct iso_acquire terms = {.uid = 1, .n_parts = 1, .restart = true, .wait = true};

	snprintf(terms.name, sizeof(terms.name), "%s", name);
	snprintf(terms.parts[0].region, ISO_NAME_BYTES, "%s", region);
	terms.parts[0].bytes = bytes;
	return world_acquire_terms(w, &terms);
}

static void map_instances(struct world *w, const char *lease, struct world_process *process)
{
	struct iso_lease_view view = world_lease(w, lease);
	struct iso_instance_view instance;
	uint32_t i, x;

	for (i = 0; i < view.n_instances; i++) {
		iso_instance_get(w->engine, view.instances[i], &instance);
		x = kernel_dax_of(w, &instance);
		if (x != ISO_NONE && w->dax[x].exists)
			process->maps[process->n_maps++] = x;
	}
}

static struct world_process *new_process(struct world *w, const char *name)
{
	struct world_process *process;
	uint32_t i;

	/* An ended one makes room only when the table is full: tests look at it afterwards. */
	for (i = 0;
	     i < w->n_processes && (w->n_processes < WORLD_PROCESSES || w->processes[i].running);
	     i++)
		;
	world_room(w, i, WORLD_PROCESSES);
	if (i == w->n_processes)
		w->n_processes++;
	process = &w->processes[i];
	*process = (struct world_process){
		.pid = WORLD_FIRST_PID + (int32_t)w->n_started++,
		.running = true,
	};
	snprintf(process->name, sizeof(process->name), "%s", name);
	return process;
}

/* The answer to an attach: from here on the process is the VM, also for a daemon that is started anew. */
void world_attached(struct world *w, const struct iso_effect *reply)
{
	struct world_process *process = &w->processes[w->attaching.process];
	uint32_t i;

	w->attaching.request = 0;
	if (reply->reply != ISO_REPLY_DONE)
		return;
	process->is_vm = true;
	process->lease = reply->lease;
	process->lease_epoch = reply->lease_epoch;
	map_instances(w, process->name, process);
	for (i = 0; i < process->n_maps; i++) {
		struct world_dax *dax = &w->dax[process->maps[i]];

		/* Its own bytes it may find again: where the store forgot that it had run. */
		if (dax->dirty && (!w->saves_were_lost || strcmp(dax->tenant, process->name)))
			world_break(w, "%s runs on another tenant's bytes", process->name);
		dax->dirty = true;
		strcpy(dax->tenant, process->name);
	}
}

uint32_t world_attach(struct world *w, const char *name)
{
	struct iso_event event = {.kind = ISO_EVENT_ATTACH};
	struct world_process *process = new_process(w, name);

	event.attach.request = w->request++;
	event.attach.pid = process->pid;
	snprintf(event.attach.name, ISO_NAME_BYTES, "%s", name);
	process->pins = w->next_pins;
	w->attaching.request = event.attach.request;
	w->attaching.process = process - w->processes;
	world_step(w, &event);
	world_run(w, 0); /* it is looked at first */
	w->attaching.request = 0;
	if (!process->is_vm) {
		process->running = false;
		return ISO_NONE;
	}
	if (process->running && world_has_lease(w, name) &&
	    process->n_maps < world_lease(w, name).n_instances)
		world_exit(w, process - w->processes); /* it cannot open what has gone */
	return process - w->processes;
}

uint32_t world_start_vm(struct world *w, const char *name, const char *region, uint64_t bytes)
{
	uint64_t request = world_acquire(w, name, region, bytes);

	world_run(w, WORLD_SECOND);
	if (world_reply(w, request) != ISO_REPLY_DONE)
		world_give_up(w, "%s was not granted: %s", name,
			      iso_reply_text(world_reply(w, request)));
	return world_attach(w, name);
}

uint64_t world_named(struct world *w, enum iso_event_kind kind, const char *name)
{
	struct iso_event event = {.kind = kind};

	event.named.request = w->request++;
	snprintf(event.named.name, ISO_NAME_BYTES, "%s", name);
	world_step(w, &event);
	return event.named.request;
}

uint64_t world_port_request(struct world *w, enum iso_event_kind kind, uint32_t port)
{
	struct iso_event event = {.kind = kind};

	event.port.request = w->request++;
	strcpy(event.port.port, w->ports[port].path);
	if (kind == ISO_EVENT_ISOLATE)
		kernel_condemn(w, port);
	if (kind == ISO_EVENT_RECOVER)
		w->despite = true;
	world_step(w, &event);
	return event.port.request;
}

/* Another process that maps what the lease holds. */
uint32_t world_stranger(struct world *w, const char *lease)
{
	struct world_process *process = new_process(w, "stranger");

	map_instances(w, lease, process);
	return process - w->processes;
}

int world_reply(const struct world *w, uint64_t request)
{
	return (int)w->replies[request] - 1;
}

/* --- faults --------------------------------------------------------------------------------- */

struct world_plan *world_plan(struct world *w, uint32_t kind)
{
	uint32_t i;

	for (i = 0; i < w->n_plans && w->plans[i].times; i++)
		;
	world_room(w, i, WORLD_PLANS);
	if (i == w->n_plans)
		w->n_plans++;
	w->plans[i] = (struct world_plan){.kind = kind, .nth = 1, .times = 1};
	return &w->plans[i];
}

void world_fail(struct world *w, uint32_t kind, uint32_t nth, uint32_t times, int32_t error)
{
	struct world_plan *plan = world_plan(w, kind);

	plan->nth = nth;
	plan->times = times;
	plan->error = error;
}

void world_health(struct world *w, bool ok)
{
	struct iso_event event = {.kind = ISO_EVENT_HEALTH, .health.ok = ok};

	if (!ok)
		snprintf(event.health.why, sizeof(event.health.why), "oops");
	/* Only what is begun from here on counts. */
	if (ok || !w->unwell)
		w->despite = false;
	w->unwell = !ok;
	world_step(w, &event);
	if (ok && iso_health_reason(w->engine))
		world_break(w, "the host is well, and the engine does not believe it");
}

void world_changed(struct world *w)
{
	if (!w->no_uevents)
		world_later(w, WORLD_MS)->kind = ISO_EVENT_CHANGED;
}

void world_fault_port(struct world *w, uint32_t port, enum iso_cause cause)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT};
	uint32_t life;

	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = cause;
	event.fault.address = w->ports[port].address;
	event.fault.record_ns = w->now_ns - 1;
	life = w->life;
	kernel_condemn(w, port); /* told is told, whatever has become of it */
	world_step(w, &event);
	if (w->life == life)
		world_check_blast(w, port);
}

void world_surprise_down(struct world *w, uint32_t port)
{
	struct iso_event *settled = world_later(w, w->reset_ns);

	settled->kind = ISO_EVENT_SETTLED;
	settled->settled = w->ports[port].address;
	kernel_surprise_down(w, port);
	world_changed(w);
	world_fault_port(w, port, ISO_CAUSE_SURPRISE_DOWN);
}

void world_unplug(struct world *w, uint32_t memdev)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT};

	if (!w->memdevs[memdev].plugged)
		return;
	kernel_unplug(w, memdev);
	event.fault.unit_kind = ISO_UNIT_MEMDEV_SERIAL;
	event.fault.cause = ISO_CAUSE_DEVICE_GONE;
	event.fault.serial = w->seen_memdevs[memdev].serial;
	event.fault.record_ns = w->now_ns - 1;
	event.fault.uevent_seqnum = w->seqnum;
	world_changed(w);
	if (w->uevent_ns > WORLD_MS)
		*world_uevent(w) = event;
	else
		world_step(w, &event);
}

/* --- looking -------------------------------------------------------------------------------- */

bool world_noted(const struct world *w, const char *text)
{
	return strstr(w->trace, text) != NULL;
}

bool world_has_lease(const struct world *w, const char *name)
{
	return iso_lease_find(w->engine, name) != ISO_NONE;
}

struct iso_lease_view world_lease(struct world *w, const char *name)
{
	struct iso_lease_view view;

	if (!iso_lease_get(w->engine, iso_lease_find(w->engine, name), &view))
		world_give_up(w, "there is no lease %s", name);
	return view;
}

struct iso_region_view world_region(struct world *w, const char *name)
{
	struct iso_region_view view;

	if (!iso_region_get(w->engine, iso_region_find(w->engine, name), &view))
		world_give_up(w, "there is no region %s", name);
	return view;
}

enum iso_domain_state world_domain(const struct world *w, uint32_t port)
{
	return iso_domain_state(w->engine, iso_port_find(w->engine, w->ports[port].path));
}

uint32_t world_count_notes(const struct world *w, const char *text)
{
	const char *at = w->trace;
	uint32_t n = 0;

	while ((at = strstr(at, text))) {
		at += strlen(text);
		n++;
	}
	return n;
}

const char *world_reason(const struct world *w, uint32_t port)
{
	return iso_domain_reason(w->engine, iso_port_find(w->engine, w->ports[port].path));
}

struct iso_incident_view world_incident(struct world *w, uint64_t id)
{
	struct iso_incident_view view;
	uint32_t i;

	for (i = 0; i < iso_incident_count(w->engine); i++)
		if (iso_incident_get(w->engine, i, &view) && view.id == id)
			return view;
	world_give_up(w, "there is no incident %llu", (unsigned long long)id);
}

uint32_t world_running(const struct world *w)
{
	uint32_t i, n = 0;

	for (i = 0; i < w->n_processes; i++)
		n += w->processes[i].is_vm && w->processes[i].running;
	return n;
}
