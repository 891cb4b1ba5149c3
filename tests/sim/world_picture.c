/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an observation of the simulated platform sees. */
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* What an observation saw, as arrays of its own. */
struct world_picture {
	struct iso_observed_host_bridge bridges[WORLD_BRIDGES];
	struct iso_observed_port ports[WORLD_PORTS];
	struct iso_observed_memdev memdevs[WORLD_MEMDEVS];
	struct iso_observed_window windows[WORLD_WINDOWS];
	struct iso_observed_region regions[WORLD_OBJECTS];
	struct iso_observed_instance instances[WORLD_DAX + WORLD_OBJECTS];
	struct iso_snapshot snapshot;
};

static void picture_regions(const struct world *w, struct world_picture *p)
{
	uint32_t o;

	for (o = 0; o < WORLD_OBJECTS; o++) {
		const struct world_object *object = &w->objects[o];
		struct iso_observed_region *seen = &p->regions[p->snapshot.n_regions];

		if (!object->used)
			continue;
		*seen = (struct iso_observed_region){
			.kernel_id = o,
			.range = object->range,
			.ways = object->ways,
			.granularity = object->granularity,
			.locked = object->locked,
			.committed = object->committed,
			.bound = object->committed,
			.has_dax = object->committed,
			.is_volatile = true,
			.available_bytes = kernel_available(w, o),
		};
		memcpy(seen->targets, object->targets, sizeof(seen->targets));
		p->snapshot.n_regions++;
		if (object->committed) /* the placeholder that every region keeps */
			p->instances[p->snapshot.n_instances++] =
				(struct iso_observed_instance){.region_kernel_id = o};
	}
}

struct world_picture *kernel_picture(const struct world *w)
{
	struct world_picture *p = calloc(1, sizeof(*p));
	uint32_t i;

	memcpy(p->bridges, w->bridges, sizeof(p->bridges));
	memcpy(p->ports, w->ports, sizeof(p->ports));
	memcpy(p->windows, w->windows, sizeof(p->windows));
	p->snapshot.n_host_bridges = w->n_bridges;
	p->snapshot.n_ports = w->n_ports;
	p->snapshot.n_windows = w->n_windows;
	p->snapshot.uevent_seqnum = w->seqnum;
	for (i = 0; i < w->n_memdevs; i++) {
		if (!w->memdevs[i].plugged)
			continue;
		p->memdevs[p->snapshot.n_memdevs] = w->seen_memdevs[i];
		p->memdevs[p->snapshot.n_memdevs++].bound = kernel_memdev_works(w, i);
	}
	picture_regions(w, p);
	for (i = 0; i < WORLD_DAX; i++) {
		const struct world_dax *dax = &w->dax[i];

		if (dax->used && dax->exists) {
			p->instances[p->snapshot.n_instances] = (struct iso_observed_instance){
				.region_kernel_id = dax->object,
				.kernel_id = dax->id,
				.bytes = dax->bytes,
				.align = 2 << 20,
				.major = 250,
				.minor = dax->minor,
				.start = w->objects[dax->object].range.start,
				.driver = dax->bound ? ISO_DAX_DEVICE_DAX : ISO_DAX_UNBOUND,
				.n_pieces = dax->n_pieces,
			};
			memcpy(p->instances[p->snapshot.n_instances++].pieces, dax->pieces,
			       sizeof(dax->pieces));
		}
	}
	return p;
}

void kernel_picture_event(const struct world_picture *p, struct iso_event *ret)
{
	ret->kind = ISO_EVENT_SNAPSHOT;
	ret->snapshot = p->snapshot;
	ret->snapshot.host_bridges = p->bridges;
	ret->snapshot.ports = p->ports;
	ret->snapshot.memdevs = p->memdevs;
	ret->snapshot.windows = p->windows;
	ret->snapshot.regions = p->regions;
	ret->snapshot.instances = p->instances;
}
