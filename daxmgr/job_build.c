/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the engine's effect, which speaks of indices, to a job a worker can run alone. */
#include <stdio.h>
#include <string.h>

#include "daemon.h"

static void build_region(const struct iso_engine *engine, uint32_t index, struct job_region *ret)
{
	struct iso_region_view region;

	if (!iso_region_get(engine, index, &region))
		return;
	*ret = (struct job_region){
		.definition = *region.definition,
		.window_kernel_id = region.window_kernel_id,
		.planned_bytes = region.planned_bytes,
		.granularity = region.definition->granularity ? region.definition->granularity
							      : region.window_granularity,
		.kernel_id = region.kernel_id,
	};
}

static bool build_instance(const struct iso_engine *engine, uint32_t index,
			   struct job_instance *ret)
{
	struct iso_instance_view instance;
	struct iso_region_view region;

	if (!iso_instance_get(engine, index, &instance))
		return false;
	*ret = (struct job_instance){
		.region_kernel_id = instance.region_kernel_id,
		.kernel_id = instance.kernel_id,
		.major = instance.major,
		.minor = instance.minor,
		.bytes = instance.bytes,
		.align = instance.align,
		.part = instance.part,
	};
	/* Not carved yet: its region says where. */
	if (!instance.named && iso_region_get(engine, instance.region, &region))
		ret->region_kernel_id = region.kernel_id;
	return instance.named;
}

/* What is known now of what is bad in its region; what is found meanwhile is seen when it is done. */
static void build_carve(const struct iso_engine *engine, uint32_t index, struct job_carve *ret)
{
	struct iso_instance_view instance;
	struct iso_region_view region;

	build_instance(engine, index, &ret->instance);
	if (!iso_instance_get(engine, index, &instance) ||
	    !iso_region_get(engine, instance.region, &region))
		return;
	ret->region = region.range;
	ret->n_avoid = iso_region_avoid(engine, instance.region, instance.align, ret->avoid);
}

static void build_memdev(const struct iso_engine *engine, uint32_t index, struct job_memdev *ret)
{
	struct iso_memdev_view memdev;

	if (!iso_memdev_get(engine, index, &memdev))
		return;
	snprintf(ret->name, sizeof(ret->name), "%s", memdev.name);
	ret->serial = memdev.serial;
}

static void build_lease(const struct iso_engine *engine, const struct iso_effect *effect,
			struct job_request *ret)
{
	struct iso_lease_view lease;
	uint32_t i;

	if (!iso_lease_get(engine, effect->lease, &lease))
		return;
	memcpy(ret->lease.name, lease.terms->name, sizeof(ret->lease.name));
	ret->lease.uid = lease.terms->uid;
	ret->lease.gid = lease.terms->gid;
	for (i = 0; i < lease.n_instances; i++)
		if (build_instance(engine, lease.instances[i], &ret->lease.instances[ret->lease.n]))
			ret->lease.n++;
}

/* An orphan has no lease; who maps it is asked with the same job. */
static void build_verify_instance(const struct iso_engine *engine, uint32_t index,
				  struct job_request *ret)
{
	if (build_instance(engine, index, &ret->lease.instances[0]))
		ret->lease.n = 1;
}

static void build_port(const struct iso_engine *engine, const struct iso_effect *effect,
		       struct job_request *ret)
{
	struct iso_port_view port;

	ret->kind = effect->kind == ISO_EFFECT_DETACH_PORT ? JOB_DETACH_PORT : JOB_RESCAN_PORT;
	if (iso_port_get(engine, effect->port, &port))
		ret->port = port.address;
}

static void build_isolation(const struct iso_engine *engine, const struct iso_effect *effect,
			    struct job_request *ret)
{
	struct iso_port_view port;

	ret->kind = effect->kind == ISO_EFFECT_FORCE_LINK_DOWN   ? JOB_FORCE_LINK_DOWN
		    : effect->kind == ISO_EFFECT_CLEAR_ISOLATION ? JOB_CLEAR_ISOLATION
								 : JOB_ARM_PORT;
	if (!iso_port_get(engine, effect->port, &port))
		return;
	ret->isolation.port = port.address;
	ret->isolation.link_only = !port.isolated_ns ||
				   port.isolation.source < ISO_ISOLATION_REGISTERS;
	ret->isolation.arm = port.arming;
	ret->isolation.range = port.arm_range;
}

/* Who maps what: only looked at, or taken from them. */
static uint32_t build_walk(const struct iso_engine *engine, const struct iso_effect *effect,
			   struct job_request *ret)
{
	ret->kind = effect->kind == ISO_EFFECT_VERIFY ? JOB_VERIFY : JOB_REVOKE;
	if (effect->lease != ISO_NONE)
		build_lease(engine, effect, ret);
	else
		build_verify_instance(engine, effect->instance, ret);
	return ret->kind == JOB_REVOKE ? LANE_REVOKE + effect->lane : LANE_VERIFY;
}

uint32_t job_build(const struct iso_engine *engine, const struct iso_effect *effect,
		   struct job_request *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->id = effect->operation;
	ret->deadline_ns = effect->deadline_ns;
	switch ((enum iso_effect_kind)effect->kind) {
	case ISO_EFFECT_OBSERVE:
		ret->kind = JOB_OBSERVE;
		return LANE_OBSERVE;
	case ISO_EFFECT_CREATE_REGION:
	case ISO_EFFECT_REFILL_REGION:
	case ISO_EFFECT_CLEAR_REGION:
		ret->kind = effect->kind == ISO_EFFECT_CREATE_REGION   ? JOB_CREATE_REGION
			    : effect->kind == ISO_EFFECT_REFILL_REGION ? JOB_REFILL_REGION
								       : JOB_CLEAR_REGION;
		build_region(engine, effect->region, &ret->region);
		return LANE_CHANGE + effect->lane;
	case ISO_EFFECT_CARVE:
		ret->kind = JOB_CARVE;
		build_carve(engine, effect->instance, &ret->carve);
		return LANE_CHANGE + effect->lane;
	case ISO_EFFECT_REMOVE:
		ret->kind = JOB_REMOVE;
		build_instance(engine, effect->instance, &ret->instance);
		return LANE_CHANGE + effect->lane;
	case ISO_EFFECT_READ_POISON:
		ret->kind = JOB_READ_POISON;
		build_memdev(engine, effect->memdev, &ret->memdev);
		return LANE_POISON + effect->lane;
	case ISO_EFFECT_ZERO:
	case ISO_EFFECT_PROVE:
		ret->kind = effect->kind == ISO_EFFECT_ZERO ? JOB_ZERO : JOB_PROVE;
		build_instance(engine, effect->instance, &ret->instance);
		return LANE_ZERO + effect->lane;
	case ISO_EFFECT_HAND_OVER:
		ret->kind = JOB_HAND_OVER;
		build_lease(engine, effect, ret);
		return LANE_NODES + effect->lane;
	case ISO_EFFECT_RETRACT:
		ret->kind = JOB_RETRACT;
		build_lease(engine, effect, ret);
		return LANE_NODES + effect->lane;
	case ISO_EFFECT_VERIFY:
	case ISO_EFFECT_REVOKE:
		return build_walk(engine, effect, ret);
	case ISO_EFFECT_INSPECT:
		ret->kind = JOB_INSPECT;
		if (effect->lease == ISO_NONE)
			return LANE_INSPECT;
		ret->pid = iso_attaching_pid(engine, effect->lease);
		return LANE_ATTACH + (uint32_t)(effect->operation >> 16) % ATTACH_LANES;
	case ISO_EFFECT_DETACH_PORT:
	case ISO_EFFECT_RESCAN_PORT:
		build_port(engine, effect, ret);
		return LANE_CHANGE + effect->lane;
	case ISO_EFFECT_FORCE_LINK_DOWN:
	case ISO_EFFECT_CLEAR_ISOLATION:
	case ISO_EFFECT_ARM_PORT:
		build_isolation(engine, effect, ret);
		return LANE_CHANGE + effect->lane;
	default:
		return LANE_OBSERVE;
	}
}

void job_object_text(const struct iso_engine *engine, const struct iso_effect *effect, char *text,
		     size_t room)
{
	struct iso_instance_view instance;
	struct iso_memdev_view memdev;
	struct iso_region_view region;
	struct iso_lease_view lease;
	struct iso_port_view port;

	if (effect->lease != ISO_NONE && iso_lease_get(engine, effect->lease, &lease))
		snprintf(text, room, "lease %s", lease.terms->name);
	else if (effect->instance != ISO_NONE &&
		 iso_instance_get(engine, effect->instance, &instance) && instance.named)
		snprintf(text, room, "dax%u.%u", instance.region_kernel_id, instance.kernel_id);
	else if (effect->instance != ISO_NONE &&
		 iso_instance_get(engine, effect->instance, &instance) &&
		 iso_region_get(engine, instance.region, &region))
		snprintf(text, room, "instance in %s", region.definition->name);
	else if (effect->region != ISO_NONE && iso_region_get(engine, effect->region, &region))
		snprintf(text, room, "region %s", region.definition->name);
	else if (effect->memdev != ISO_NONE && iso_memdev_get(engine, effect->memdev, &memdev))
		snprintf(text, room, "memdev %s", memdev.path);
	else if (effect->port != ISO_NONE && iso_port_get(engine, effect->port, &port))
		snprintf(text, room, "port %s", port.path);
	else
		snprintf(text, room, "host");
}
