/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replay: a second engine on a copy of the host, built from what the store
 * holds and from looking at the host, must believe what the first one does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum { LINES = 256, LINE_BYTES = 192 };

/* What an engine believes, one fact a line, sorted: indices differ between engines. */
struct belief {
	uint32_t n;
	char lines[LINES][LINE_BYTES];
};

#define SAY(b, ...)                                                                                \
	do {                                                                                       \
		if ((b)->n < LINES)                                                                \
			snprintf((b)->lines[(b)->n++], LINE_BYTES, __VA_ARGS__);                   \
	} while (0)

static void say_regions(const struct iso_engine *e, struct belief *b)
{
	struct iso_region_view r;
	uint32_t i;

	for (i = 0; i < iso_region_count(e); i++)
		if (iso_region_get(e, i, &r))
			SAY(b, "region %s: %s, number %d, %#llx+%#llx, free %llu, %s%s",
			    r.definition->name, iso_region_state_name(r.state), (int)r.kernel_id,
			    (unsigned long long)(r.range.bytes ? r.range.start.v : 0),
			    (unsigned long long)r.range.bytes, (unsigned long long)r.free_bytes,
			    r.desired ? "wanted" : "not wanted", r.locked ? ", locked" : "");
}

static void say_instances(const struct iso_engine *e, struct belief *b)
{
	struct iso_instance_view i;
	struct iso_region_view r;
	struct iso_lease_view l;
	uint32_t n;

	for (n = 0; n < iso_instance_count(e); n++) {
		if (!iso_instance_get(e, n, &i) || !iso_region_get(e, i.region, &r))
			continue;
		SAY(b, "dax%d.%d, minor %u: %s, of %s, %llu bytes on %s%s", (int)i.region_kernel_id,
		    (int)i.kernel_id, i.minor, iso_instance_state_name(i.state),
		    i.lease != ISO_NONE && iso_lease_get(e, i.lease, &l) ? l.terms->name : "nobody",
		    (unsigned long long)i.bytes, r.definition->name, i.lost ? ", lost" : "");
	}
}

static void say_leases(const struct iso_engine *e, struct belief *b)
{
	struct iso_lease_view l;
	uint32_t i;

	for (i = 0; i < iso_lease_count(e); i++)
		if (iso_lease_get(e, i, &l))
			SAY(b, "lease %s: %s, process %d, uid %u, %u of %u parts%s", l.terms->name,
			    iso_lease_state_name(l.state), l.pid, l.terms->uid, l.n_instances,
			    l.terms->n_parts, l.terms->restart ? ", restarts" : "");
}

static void say_topology(const struct iso_engine *e, struct belief *b)
{
	struct iso_incident_view incident;
	struct iso_memdev_view m;
	struct iso_port_view p;
	uint32_t i;

	for (i = 0; i < iso_port_count(e); i++)
		if (iso_port_get(e, i, &p) && p.kind == ISO_PORT_ROOT)
			SAY(b, "port %s: %s%s%s", p.path,
			    iso_domain_state_name(iso_domain_state(e, i)), p.held ? ", held" : "",
			    p.flapping ? ", flapping" : "");
	for (i = 0; i < iso_memdev_count(e); i++)
		if (iso_memdev_get(e, i, &m) && m.present)
			SAY(b, "memdev %#llx: at %s%s", (unsigned long long)m.serial, m.path,
			    m.bound ? ", bound" : "");
	for (i = 0; i < iso_incident_count(e); i++)
		if (iso_incident_get(e, i, &incident) && incident.open)
			SAY(b, "incident %llu: %s, %s, held %s", (unsigned long long)incident.id,
			    incident.unit, iso_cause_name(incident.cause), incident.held_port);
}

static void say_bad(const struct iso_engine *e, struct belief *b)
{
	struct iso_bad_view bad;
	uint32_t i;

	for (i = 0; i < iso_bad_count(e); i++)
		if (iso_bad_get(e, i, &bad))
			SAY(b, "%llu bytes of %#llx at %#llx, %s+%#llx: %s",
			    (unsigned long long)bad.bytes, (unsigned long long)bad.serial,
			    (unsigned long long)bad.dpa.v, bad.region_name,
			    (unsigned long long)(*bad.region_name ? bad.offset.v : 0),
			    iso_bad_state_name(bad.state));
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(a, b);
}

static struct belief *belief_of(const struct world *w)
{
	struct belief *b = calloc(1, sizeof(*b));

	say_regions(w->engine, b);
	say_instances(w->engine, b);
	say_leases(w->engine, b);
	say_topology(w->engine, b);
	say_bad(w->engine, b);
	qsort(b->lines, b->n, LINE_BYTES, compare_lines);
	return b;
}

static void compare(struct world *w, const struct belief *live, const struct belief *replayed)
{
	uint32_t i;

	for (i = 0; i < live->n || i < replayed->n; i++)
		if (strcmp(live->lines[i], replayed->lines[i])) {
			world_break(w, "replay: '%s' is believed to be '%s'", live->lines[i],
				    replayed->lines[i]);
			return;
		}
}

/* Belief and host, without what is under way: it ended with the daemon. */
static struct world *copy_of(const struct world *w)
{
	struct world *copy = malloc(sizeof(*copy));
	uint32_t i;

	*copy = *w;
	copy->memory = NULL;
	copy->synced = copy->batch = NULL;
	copy->trace = calloc(1, WORLD_TRACE_BYTES);
	copy->trace_length = 0;
	copy->n_due = copy->n_tasks = copy->free_task = 0;
	for (i = 0; i < WORLD_TASKS; i++)
		copy->tasks[i].picture = NULL;
	copy->disk = WORLD_DISK_GOOD;
	copy->spoil.nth = 0;
	return copy;
}

void replay_check(struct world *w)
{
	struct belief *live, *replayed;
	struct world *copy;

	if (w->broken[0])
		return;
	copy = copy_of(w);
	world_restart(copy);
	world_run(copy, 3 * WORLD_SECOND);
	if (copy->broken[0])
		world_break(w, "replay: %s", copy->broken);
	if (copy->n_kills != w->n_kills)
		world_break(w, "replay: somebody was killed");
	live = belief_of(w);
	replayed = belief_of(copy);
	compare(w, live, replayed);
	if (w->broken[0] && !w->silent)
		fputs(copy->trace, stderr);
	free(live);
	free(replayed);
	world_close(copy);
}
