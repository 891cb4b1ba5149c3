/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include <isolate/view.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

enum {
	OPERATIONS_MAX = 1024,
	INSTANCES_MAX = 4096,
	REGION_KERNEL_ID = 0,
};

static const uint64_t region_bytes = UINT64_C(16) << 30;
static const uint64_t region_start = UINT64_C(0xa90000000);

struct world {
	void *memory;
	struct iso_engine *engine;
	struct iso_effect operations[OPERATIONS_MAX]; /* asked for, not yet completed */
	uint32_t n_operations;
	struct iso_effect reply; /* the last one */
	bool replied;
	uint32_t n_instances;
	struct iso_observed_host_bridge bridge;
	struct iso_observed_port port;
	struct iso_observed_memdev memdev;
	struct iso_observed_window window;
	struct iso_observed_region region;
	struct iso_observed_instance instances[INSTANCES_MAX];
	bool has_region;
};

__attribute__((noreturn)) static void give_up(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(2);
}

struct iso_engine *world_engine(struct world *world)
{
	return world->engine;
}

struct iso_effects world_step(struct world *world, struct iso_event *event)
{
	event->now_ns = clock_boottime_ns();
	return iso_step(world->engine, event);
}

/* Effects are the engine's until its next step: what will be completed is copied. */
static void step_and_keep(struct world *world, struct iso_event *event)
{
	struct iso_effects effects = world_step(world, event);

	for (uint32_t i = 0; i < effects.n_others; i++) {
		const struct iso_effect *effect = &effects.others[i];

		if (effect->kind == ISO_EFFECT_REPLY) {
			world->reply = *effect;
			world->replied = true;
		}
		if (!effect->operation)
			continue;
		if (world->n_operations == OPERATIONS_MAX)
			give_up("too many operations at once");
		world->operations[world->n_operations++] = *effect;
	}
}

static void observe(struct world *world)
{
	struct iso_event event = {
		.kind = ISO_EVENT_SNAPSHOT,
		.snapshot =
			{
				.host_bridges = &world->bridge,
				.n_host_bridges = 1,
				.ports = &world->port,
				.n_ports = 1,
				.memdevs = &world->memdev,
				.n_memdevs = 1,
				.windows = &world->window,
				.n_windows = 1,
				.regions = &world->region,
				.n_regions = world->has_region,
				.instances = world->instances,
				.n_instances = world->n_instances,
			},
	};

	step_and_keep(world, &event);
}

static void carve(struct world *world, const struct iso_effect *effect,
		  struct iso_completion *completion)
{
	struct iso_instance_view view;
	struct iso_observed_instance *instance = &world->instances[world->n_instances];

	if (world->n_instances == INSTANCES_MAX ||
	    !iso_instance_get(world->engine, effect->instance, &view))
		give_up("cannot carve");
	world->n_instances++;
	*instance = (struct iso_observed_instance){
		.region_kernel_id = REGION_KERNEL_ID,
		.kernel_id = world->n_instances,
		.bytes = view.bytes,
		.align = view.align,
		.start.v = region_start + (world->n_instances - 1) * WORLD_LEASE_BYTES,
		.major = 251,
		.minor = world->n_instances,
		.driver = ISO_DAX_DEVICE_DAX,
	};
	world->region.available_bytes -= view.bytes;
	completion->kernel_id = instance->kernel_id;
	completion->region_kernel_id = REGION_KERNEL_ID;
	completion->range = (struct iso_hpa_range){instance->start, instance->bytes};
	completion->major = instance->major;
	completion->minor = instance->minor;
}

static void complete(struct world *world, const struct iso_effect *effect)
{
	struct iso_event event = {
		.kind = ISO_EVENT_COMPLETION,
		.completion.operation = effect->operation,
		.completion.intent = effect->kind == ISO_EFFECT_INTENT,
	};
	struct iso_instance_view view;

	if (effect->kind == ISO_EFFECT_OBSERVE) {
		observe(world);
	} else if (effect->kind == ISO_EFFECT_CREATE_REGION) {
		world->has_region = true;
		event.completion.kernel_id = REGION_KERNEL_ID;
		event.completion.range = world->region.range;
	} else if (effect->kind == ISO_EFFECT_CARVE) {
		carve(world, effect, &event.completion);
	} else if (effect->kind == ISO_EFFECT_ZERO || effect->kind == ISO_EFFECT_PROVE) {
		if (iso_instance_get(world->engine, effect->instance, &view))
			event.completion.bytes = view.bytes;
	}
	step_and_keep(world, &event);
}

static void complete_all(struct world *world)
{
	while (world->n_operations) {
		struct iso_effect effect = world->operations[0];

		memmove(&world->operations[0], &world->operations[1],
			--world->n_operations * sizeof(world->operations[0]));
		complete(world, &effect);
	}
}

static void make_topology(struct world *world, const char *port)
{
	const struct iso_hpa_range range = {{region_start}, region_bytes};

	strcpy(world->bridge.path, "hb100");
	world->port = (struct iso_observed_port){
		.path = "hb100/00.0",
		.kind = ISO_PORT_ROOT,
		.parent = ISO_NONE,
	};
	if (!iso_pci_address_parse(port, &world->port.address))
		give_up("the port is not a PCI address");
	world->memdev = (struct iso_observed_memdev){
		.path = "hb100/00.0/00.0",
		.name = "mem0",
		.serial = WORLD_SERIAL,
		.address = world->port.address,
		.volatile_bytes = region_bytes,
		.bound = true,
	};
	world->memdev.address.bus++;
	world->window = (struct iso_observed_window){
		.range = {{region_start}, 4 * region_bytes},
		.granularity = 256,
		.ways = 1,
		.volatile_capable = true,
	};
	world->region = (struct iso_observed_region){
		.kernel_id = REGION_KERNEL_ID,
		.range = range,
		.ways = 1,
		.granularity = 256,
		.targets = {{.serial = WORLD_SERIAL, .present = true}},
		.available_bytes = region_bytes,
		.committed = true,
		.bound = true,
		.has_dax = true,
		.is_volatile = true,
	};
}

static void define_region(struct world *world)
{
	struct iso_event event = {
		.kind = ISO_EVENT_REGION_DEFINE,
		.define.definition =
			{
				.name = "bench",
				.ways = 1,
				.serials = {WORLD_SERIAL},
			},
	};

	step_and_keep(world, &event);
	complete_all(world);
	if (iso_capacity_bytes(world->engine) != region_bytes)
		give_up("the region did not come to life");
}

struct world *world_new(const char *port)
{
	struct world *world = calloc(1, sizeof(*world));
	struct iso_limits limits;
	struct iso_policy policy;
	size_t bytes;

	iso_limits_default(&limits);
	iso_policy_default(&policy);
	bytes = iso_engine_bytes(&limits);
	if (world)
		world->memory = aligned_alloc(64, bytes);
	if (!world || !world->memory)
		give_up("out of memory");
	world->engine = iso_engine_init(world->memory, bytes, &limits, &policy);
	if (!world->engine)
		give_up("the engine does not take the daemon's limits");
	make_topology(world, port);
	define_region(world);
	return world;
}

void world_free(struct world *world)
{
	if (!world)
		return;
	free(world->memory);
	free(world);
}

static void ask(struct world *world, struct iso_event *event, const char *what)
{
	world->replied = false;
	step_and_keep(world, event);
	complete_all(world);
	if (!world->replied || world->reply.reply != ISO_REPLY_DONE) {
		fprintf(stderr, "bench: %s: %s\n", what,
			world->replied ? iso_reply_text(world->reply.reply) : "no answer");
		exit(2);
	}
}

void world_attach(struct world *world, const char *name, int32_t pid, uint32_t *ret_lease,
		  uint32_t *ret_epoch)
{
	struct iso_event acquire = {
		.kind = ISO_EVENT_ACQUIRE,
		.acquire =
			{
				.request = 1,
				.n_parts = 1,
				.parts = {{.bytes = WORLD_LEASE_BYTES}},
				.restart = true,
			},
	};
	struct iso_event changed = {.kind = ISO_EVENT_CHANGED};
	struct iso_event attach = {.kind = ISO_EVENT_ATTACH, .attach = {.request = 2, .pid = pid}};

	snprintf(acquire.acquire.name, sizeof(acquire.acquire.name), "%s", name);
	snprintf(attach.attach.name, sizeof(attach.attach.name), "%s", name);
	/* What carving for the one before changed is seen, as uevents bring it about. */
	step_and_keep(world, &changed);
	complete_all(world);
	ask(world, &acquire, "acquire");
	ask(world, &attach, "attach");
	*ret_lease = world->reply.lease;
	*ret_epoch = world->reply.lease_epoch;
}
