/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Host bridges, ports, memdevs and windows as last observed. What disappears
 * stays in its table, marked absent, because leases and regions still speak
 * of it; identity is the stable path or the serial, never a kernel name.
 */
#include "state.h"

enum { HOST_BRIDGES_MAX = 64, PORTS_MAX = 576 };

struct translation {
	uint32_t host_bridges[HOST_BRIDGES_MAX]; /* observed index to ours */
	uint32_t ports[PORTS_MAX];
};

static uint32_t host_bridge_named(struct iso_engine *e, const char *path)
{
	uint32_t i;

	for (i = 0; i < e->n_host_bridges; i++)
		if (!strcmp(e->host_bridges[i].path, path))
			return i;
	if (e->n_host_bridges == e->limits.host_bridges) {
		emit_note(e, ISO_NOTE_FAILED, 0, "host bridge %s: no room in the table", path);
		return ISO_NONE;
	}
	copy_text(e->host_bridges[i].path, ISO_PATH_BYTES, path);
	e->n_host_bridges++;
	return i;
}

/* Its place is given to another port: nothing may be found below the old one by mistake. */
static void forget_port(struct iso_engine *e, uint32_t port)
{
	uint32_t i;

	for (i = 0; i < e->n_memdevs; i++)
		if (e->memdevs[i].port == port)
			e->memdevs[i].port = ISO_NONE;
	for (i = 0; i < e->n_ports; i++)
		if (e->ports[i].parent == port)
			e->ports[i].parent = ISO_NONE;
	e->topology++;
}

uint32_t topology_port_named(struct iso_engine *e, const char *path)
{
	uint32_t i, absent = ISO_NONE;

	for (i = 0; i < e->n_ports; i++) {
		if (!strcmp(e->ports[i].path, path))
			return i;
		if (!e->ports[i].present && !e->ports[i].held && !e->ports[i].operation &&
		    !e->ports[i].isolation.wish && !e->ports[i].isolation.since_ns)
			absent = i;
	}
	if (e->n_ports == e->limits.ports)
		i = absent;
	else
		e->n_ports++;
	if (i == ISO_NONE) {
		emit_note(e, ISO_NOTE_FAILED, 0, "port %s: no room in the table", path);
		return ISO_NONE;
	}
	forget_port(e, i);
	e->ports[i] = (struct port){
		.parent = ISO_NONE,
		.domain = ISO_NONE,
		.isolation = {.range = ISO_NONE, .foreign = ISO_NONE},
	};
	copy_text(e->ports[i].path, ISO_PATH_BYTES, path);
	return i;
}

static void take_in_host_bridges(struct iso_engine *e, const struct iso_snapshot *s,
				 struct translation *t)
{
	uint32_t i;

	for (i = 0; i < e->n_host_bridges; i++)
		e->host_bridges[i].n_root_ports = 0;
	for (i = 0; i < HOST_BRIDGES_MAX; i++)
		t->host_bridges[i] = i < s->n_host_bridges
					     ? host_bridge_named(e, s->host_bridges[i].path)
					     : ISO_NONE;
}

static void take_in_ports(struct iso_engine *e, const struct iso_snapshot *s, struct translation *t)
{
	uint32_t i, n = s->n_ports < PORTS_MAX ? s->n_ports : PORTS_MAX;

	for (i = 0; i < e->n_ports; i++)
		e->ports[i].present = e->ports[i].isolation.system_ram = false;
	for (i = 0; i < PORTS_MAX; i++)
		t->ports[i] = ISO_NONE;
	for (i = 0; i < n; i++) {
		const struct iso_observed_port *seen = &s->ports[i];
		uint32_t at = topology_port_named(e, seen->path);

		t->ports[i] = at;
		if (at == ISO_NONE || seen->host_bridge >= HOST_BRIDGES_MAX)
			continue;
		e->ports[at].address = seen->address;
		e->ports[at].kind = seen->kind;
		e->ports[at].host_bridge = t->host_bridges[seen->host_bridge];
		e->ports[at].present = true;
		e->ports[at].isolation.system_ram = seen->system_ram;
		if (seen->kind == ISO_PORT_ROOT && e->ports[at].host_bridge != ISO_NONE)
			e->host_bridges[e->ports[at].host_bridge].n_root_ports++;
	}
	for (i = 0; i < n; i++)
		if (t->ports[i] != ISO_NONE)
			e->ports[t->ports[i]].parent =
				s->ports[i].parent < n ? t->ports[s->ports[i].parent] : ISO_NONE;
}

uint32_t topology_memdev_by_serial(const struct iso_engine *e, uint64_t serial)
{
	uint32_t i;

	for (i = 0; i < e->n_memdevs; i++)
		if (e->memdevs[i].serial == serial)
			return i;
	return ISO_NONE;
}

static uint32_t memdev_with_serial(struct iso_engine *e, uint64_t serial)
{
	uint32_t i = topology_memdev_by_serial(e, serial);

	if (i != ISO_NONE || e->n_memdevs == e->limits.memdevs)
		return i;
	i = e->n_memdevs++;
	e->memdevs[i] = (struct memdev){.serial = serial, .port = ISO_NONE};
	ledger_newcomer(e, &e->memdevs[i]);
	return i;
}

/* Unbound without a word of it: the kernel may be in the midst of its own recovery. */
static void note_binding(struct iso_engine *e, struct memdev *memdev, bool bound)
{
	if (bound && !memdev->bound) {
		memdev->settling_until_ns = 0; /* it was taken down and bound again: that was it */
		if (memdev->port != ISO_NONE)
			e->ports[memdev->port].rescans = 0;
	}
	if (bound || !memdev->bound || memdev->settling_until_ns > e->now_ns ||
	    e->now_ns < memdev->settled_ns + e->policy.observe_ns)
		return;
	memdev->settling_until_ns = e->now_ns + e->policy.settle_ns;
	engine_arm(e, memdev->settling_until_ns);
}

/* Where a serial was found before, if it is still found there too. */
static bool is_at_known_place(const struct iso_snapshot *s, const struct memdev *memdev)
{
	uint32_t i;

	for (i = 0; i < s->n_memdevs; i++)
		if (s->memdevs[i].serial == memdev->serial &&
		    !strcmp(s->memdevs[i].path, memdev->path))
			return true;
	return false;
}

static void take_in_memdev(struct iso_engine *e, const struct iso_snapshot *s, uint32_t index,
			   const struct translation *t, bool *present)
{
	const struct iso_observed_memdev *seen = &s->memdevs[index];
	uint32_t at = memdev_with_serial(e, seen->serial);
	struct memdev *memdev;
	bool elsewhere;

	if (at == ISO_NONE) {
		emit_note(e, ISO_NOTE_FAILED, 0, "memdev %s: no room in the table", seen->name);
		return;
	}
	memdev = &e->memdevs[at];
	/* Two devices with one serial, or one without: identity is lost, use neither. */
	memdev->duplicate_serial = present[at] || seen->serial == 0;
	elsewhere = strcmp(memdev->path, seen->path) != 0;
	if (elsewhere && memdev->path[0] && (present[at] || is_at_known_place(s, memdev))) {
		/* A newcomer does not move those who stand on the first out of its blast radius. */
		memdev->duplicate_serial = true;
		memdev->bound = false;
		present[at] = true;
		return;
	}
	copy_text(memdev->path, sizeof(memdev->path), seen->path);
	copy_text(memdev->name, sizeof(memdev->name), seen->name);
	memdev->address = seen->address;
	if (seen->port < PORTS_MAX && t->ports[seen->port] != ISO_NONE) {
		e->topology += memdev->port != t->ports[seen->port];
		memdev->port = t->ports[seen->port];
	}
	memdev->volatile_bytes = seen->volatile_bytes;
	memdev->persistent_bytes = seen->persistent_bytes;
	note_binding(e, memdev, seen->bound);
	memdev->bound = seen->bound && !memdev->duplicate_serial;
	memdev->seen_ns = e->observe_began_ns;
	present[at] = true;
}

static void take_in_memdevs(struct iso_engine *e, const struct iso_snapshot *s,
			    const struct translation *t, bool *was_present)
{
	bool *present = e->memdev_down; /* scratch */
	uint32_t i;

	memset(present, 0, e->limits.memdevs * sizeof(*present));
	for (i = 0; i < s->n_memdevs; i++)
		take_in_memdev(e, s, i, t, present);
	for (i = 0; i < e->n_memdevs; i++) {
		struct memdev *memdev = &e->memdevs[i];

		was_present[i] = memdev->present;
		memdev->present = present[i];
		if (!memdev->present) {
			memdev->bound = false;
			memdev->settling_until_ns = 0; /* it went; its return is another matter */
		} else if (!was_present[i]) {
			rescan_newcomer(e, memdev);
		}
	}
}

static void take_in_windows(struct iso_engine *e, const struct iso_snapshot *s,
			    const struct translation *t)
{
	uint32_t i, j;

	e->n_windows = s->n_windows < e->limits.windows ? s->n_windows : e->limits.windows;
	for (i = 0; i < e->n_windows; i++) {
		struct iso_observed_window *window = &e->windows[i].observed;

		*window = s->windows[i];
		if (window->ways > ISO_WAYS_MAX)
			window->ways = ISO_WAYS_MAX;
		for (j = 0; j < window->ways; j++)
			window->host_bridges[j] = window->host_bridges[j] < HOST_BRIDGES_MAX
							  ? t->host_bridges[window->host_bridges[j]]
							  : ISO_NONE;
	}
}

void topology_take_in(struct iso_engine *e, const struct iso_snapshot *snapshot)
{
	bool was_present[1024];
	struct translation t;
	uint32_t i;

	assert(e->limits.memdevs <= 1024);
	take_in_host_bridges(e, snapshot, &t);
	take_in_ports(e, snapshot, &t);
	take_in_memdevs(e, snapshot, &t, was_present);
	take_in_windows(e, snapshot, &t);
	topology_domains(e);
	for (i = 0; i < e->n_memdevs; i++)
		if (e->observed && was_present[i] && !e->memdevs[i].present)
			fault_memdev_gone(e, i, ISO_CAUSE_DEVICE_GONE);
}

bool topology_below(const struct iso_engine *e, uint32_t port, uint32_t ancestor)
{
	uint32_t steps;

	/* A lying device could make a loop of parents; no real chain is this long. */
	for (steps = 0; port != ISO_NONE && steps < 32; steps++) {
		if (port == ancestor)
			return true;
		port = e->ports[port].parent;
	}
	return false;
}

uint32_t topology_root_port(const struct iso_engine *e, uint32_t port)
{
	uint32_t steps;

	for (steps = 0; port != ISO_NONE && e->ports[port].parent != ISO_NONE && steps < 32;
	     steps++)
		port = e->ports[port].parent;
	return port;
}

static uint32_t find_domain(const struct iso_engine *e, uint32_t port)
{
	while (e->ports[port].domain != port)
		port = e->ports[port].domain;
	return port;
}

static void join(struct iso_engine *e, uint32_t a, uint32_t b)
{
	a = find_domain(e, a);
	b = find_domain(e, b);
	if (a < b)
		e->ports[b].domain = a;
	else
		e->ports[a].domain = b;
}

/* A serial keeps its place in the table, so that looking it up once is enough. */
static uint32_t region_root_port(struct iso_engine *e, struct region *region, uint32_t position)
{
	uint32_t m = topology_memdev_by_serial(e, region->definition.serials[position]);

	e->topology += region->legs[position] != m;
	region->legs[position] = m;
	return m == ISO_NONE ? ISO_NONE : topology_root_port(e, e->memdevs[m].port);
}

/*
 * Isolation domains: root ports that share an interleaved region fall
 * together, and what hangs below a port belongs to its domain.
 */
void topology_domains(struct iso_engine *e)
{
	uint32_t i, j;

	for (i = 0; i < e->n_ports; i++)
		e->ports[i].domain = topology_root_port(e, i);
	for (i = 0; i < e->n_regions; i++) {
		struct region *region = &e->regions[i];
		uint32_t first = ISO_NONE, other;

		if (!region->used)
			continue;
		for (j = 0; j < region->definition.ways; j++) {
			other = region_root_port(e, region, j);
			if (first == ISO_NONE)
				first = other;
			else if (other != ISO_NONE)
				join(e, first, other);
		}
		region->domain = first;
	}
	for (i = 0; i < e->n_ports; i++)
		e->ports[i].domain = find_domain(e, i);
	for (i = 0; i < e->n_regions; i++)
		if (e->regions[i].used && e->regions[i].domain != ISO_NONE)
			e->regions[i].domain = find_domain(e, e->regions[i].domain);
	e->domains_dirty = true;
}
