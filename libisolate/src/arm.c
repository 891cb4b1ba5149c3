/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arming: isolation enabled on a root port. Toggling it while memory behind
 * the port is used is undefined, so it is done before regions are made or
 * while none is there; and never where it would turn a loss into a panic.
 */
#include <stdio.h>

#include "state.h"

/* A port that does not take it is left as it is: capacity must not wait for ever. */
enum { ARM_ATTEMPTS = 3 };

/* What of the control word makes an armed port; without a timeout nothing would ever isolate it. */
static const uint32_t ARMED = ISO_ISOLATION_TIMEOUT | ISO_ISOLATION_ENABLE |
			      ISO_ISOLATION_LINK_DOWN | ISO_ISOLATION_ERR_COR;

bool arm_wanted(const struct iso_engine *e, const struct port *port)
{
	if (port->kind != ISO_PORT_ROOT || port->isolation.wish == ISO_ARM_NO)
		return false;
	return port->isolation.wish == ISO_ARM_YES || e->policy.arm_ports;
}

uint32_t arm_range(const struct iso_engine *e, const struct port *port)
{
	return port->isolation.range == ISO_NONE ? e->policy.arm_range : port->isolation.range;
}

static uint32_t access_obstacle(uint32_t source)
{
	switch ((enum iso_isolation_source)source) {
	case ISO_ISOLATION_UNKNOWN:
		return ISO_OBSTACLE_UNKNOWN;
	case ISO_ISOLATION_NONE:
		return ISO_OBSTACLE_NOT_OFFERED;
	case ISO_ISOLATION_LOCKED:
		return ISO_OBSTACLE_LOCKDOWN;
	case ISO_ISOLATION_FAILED:
		return ISO_OBSTACLE_ACCESS;
	case ISO_ISOLATION_REGISTERS:
	case ISO_ISOLATION_STAND_IN:
	case ISO_ISOLATION_SYSFS:
	case ISO_ISOLATION_SOURCES:
		break;
	}
	return 0;
}

/* Registers that cannot be read say nothing: what is kept of them is no answer. */
bool arm_is_known(const struct port *port)
{
	return !(access_obstacle(port->isolation.seen.source) &
		 ~(uint32_t)ISO_OBSTACLE_NOT_OFFERED);
}

/* All that is offered has to be on: firmware may have left it at a part. The range is only looked at where there is a choice. */
bool arm_is_as_wanted(const struct iso_engine *e, const struct port *port)
{
	const struct iso_isolation *seen = &port->isolation.seen;
	bool enabled = seen->control & ISO_ISOLATION_ENABLE;

	if (!arm_wanted(e, port))
		return port->isolation.wish != ISO_ARM_NO || (arm_is_known(port) && !enabled);
	return enabled && !(seen->capability & ~seen->control & ARMED) &&
	       (seen->ranges <= 1 || (seen->control & 0xf) == arm_range(e, port));
}

/* Who is behind it: each has to have asked for memory that may fail. */
static uint32_t tenant_obstacles(const struct iso_engine *e, uint32_t p)
{
	uint32_t r, i, obstacles = 0;

	for (r = 0; r < e->n_regions; r++) {
		if (!e->regions[r].used || !blast_region_on(e, &e->regions[r], p, ISO_NONE))
			continue;
		for (i = e->regions[r].first_instance; i != ISO_NONE; i = e->instances[i].next) {
			const struct instance *instance = &e->instances[i];
			const struct lease *lease =
				instance->lease == ISO_NONE ? NULL : &e->leases[instance->lease];

			if (instance->system_ram)
				obstacles |= ISO_OBSTACLE_SYSTEM_RAM;
			if (instance->stranger || (lease && (lease->adopted || lease->stranger)))
				obstacles |= ISO_OBSTACLE_CONSENT;
			if (lease && lease->pins && !e->policy.host_may_panic)
				obstacles |= ISO_OBSTACLE_PINNING;
		}
	}
	return obstacles;
}

static uint32_t range_obstacles(const struct iso_isolation *seen, uint32_t range)
{
	/* One that is fixed is what it is; its longest time counts like any other's. */
	uint32_t code = seen->ranges <= 1 ? 0 : range;

	if (code >= 16 || !(seen->ranges >> code & 1))
		return ISO_OBSTACLE_RANGE;
	return seen->ranges_safe >> code & 1 ? 0 : ISO_OBSTACLE_TIMEOUT;
}

static uint32_t obstacles_to(const struct iso_engine *e, uint32_t p, uint32_t range)
{
	const struct isolation *is = &e->ports[p].isolation;
	uint32_t obstacles = access_obstacle(is->seen.source);

	if (!obstacles) {
		if (!(is->seen.capability & ISO_ISOLATION_ENABLE))
			obstacles |= ISO_OBSTACLE_NOT_OFFERED;
		obstacles |= range_obstacles(&is->seen, range);
	}
	if (is->since_ns)
		obstacles |= ISO_OBSTACLE_ISOLATED;
	if (is->system_ram)
		obstacles |= ISO_OBSTACLE_SYSTEM_RAM;
	return obstacles | is->seen.obstacles | tenant_obstacles(e, p);
}

/* What makes a panic of an isolation, or loses what nobody gave away, for as long as somebody does not end it. */
static const uint32_t DANGERS =
	ISO_OBSTACLE_SYSTEM_RAM | ISO_OBSTACLE_CONSENT | ISO_OBSTACLE_PINNING | ISO_OBSTACLE_CPU |
	ISO_OBSTACLE_CPU_UNKNOWN | ISO_OBSTACLE_PANIC_ON_OOPS | ISO_OBSTACLE_PANIC_ON_WARN |
	ISO_OBSTACLE_MACHINE_CHECK | ISO_OBSTACLE_MEMORY_FAILURE | ISO_OBSTACLE_TIMEOUT;

/* Why a port should not be armed as it is, whoever has armed it. 0: it is not, or may be. */
static uint32_t dangers(const struct iso_engine *e, uint32_t p)
{
	const struct iso_isolation *seen = &e->ports[p].isolation.seen;

	if (!arm_is_known(&e->ports[p]) || !(seen->control & ISO_ISOLATION_ENABLE))
		return 0;
	return obstacles_to(e, p, seen->control & 0xf) & DANGERS;
}

/* It is to be armed, and cannot be without a danger: then it is not left armed either. In other modes that is told only. */
static bool must_be_disarmed(const struct iso_engine *e, uint32_t p)
{
	const struct port *port = &e->ports[p];

	return arm_wanted(e, port) && dangers(e, p) &&
	       (obstacles_to(e, p, arm_range(e, port)) & DANGERS);
}

static bool is_used(const struct region *region)
{
	return region->state == ISO_REGION_LIVE || region->state == ISO_REGION_CREATING ||
	       region->state == ISO_REGION_CLEARING || region->n_instances || region->operation;
}

/*
 * Whether nothing uses memory behind it, as far as was seen and begun. Of a
 * region that was not looked at since it changed nobody knows: it may have been
 * made since the last look and given up in words only, e.g. by an operator.
 */
static bool is_quiesced(const struct iso_engine *e, uint32_t p, uint32_t *ret_region)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++) {
		const struct region *region = &e->regions[r];

		if (!region->used || !blast_region_on(e, region, p, ISO_NONE))
			continue;
		if (is_used(region) || region->unobserved) {
			*ret_region = r;
			return false;
		}
	}
	*ret_region = ISO_NONE;
	return !e->ports[p].isolation.committed && !e->ports[p].isolation.system_ram;
}

/* Whether only a look tells if something is in use: what was behind it may be gone, or there still. */
static bool looks_first(struct iso_engine *e, uint32_t p)
{
	bool looks = e->ports[p].isolation.cleared_ns > e->seen_ns;
	uint32_t region;

	if (!looks && !is_quiesced(e, p, &region))
		looks = region != ISO_NONE && !is_used(&e->regions[region]);
	if (looks)
		engine_observe(e);
	return looks;
}

bool iso_arming(const struct iso_engine *e, uint32_t p, uint32_t range, struct iso_arming *ret)
{
	uint32_t region;
	bool quiesced;

	if (p >= e->n_ports || e->ports[p].kind != ISO_PORT_ROOT)
		return false;
	if (range == ISO_NONE)
		range = arm_range(e, &e->ports[p]);
	quiesced = is_quiesced(e, p, &region);
	*ret = (struct iso_arming){
		.obstacles = obstacles_to(e, p, range),
		.quiesced = quiesced,
		.region = region,
	};
	return true;
}

/* Its registers are being looked at: for a while that is worth waiting for. */
bool arm_may_become_known(struct iso_engine *e, uint32_t p)
{
	struct isolation *is = &e->ports[p].isolation;

	if (is->seen.source != ISO_ISOLATION_UNKNOWN &&
	    !(is->seen.obstacles & ISO_OBSTACLE_HOST_UNKNOWN))
		return false;
	if (!is->known_by_ns)
		is->known_by_ns = e->now_ns + e->policy.isolation_known_ns;
	if (is->known_by_ns <= e->now_ns)
		return false;
	engine_arm(e, is->known_by_ns);
	return true;
}

/* Whether the port is to be armed, and nothing forbids it. */
static bool can_be_armed(const struct iso_engine *e, uint32_t p)
{
	const struct port *port = &e->ports[p];

	return arm_wanted(e, port) && !arm_is_as_wanted(e, port) &&
	       !obstacles_to(e, p, arm_range(e, port));
}

/* Whether what is to be made behind the port waits until it is armed, or is not any more. */
bool arm_comes_first(struct iso_engine *e, uint32_t p)
{
	struct port *port = &e->ports[p];
	struct isolation *is = &port->isolation;
	uint32_t region;

	if (!arm_wanted(e, port) || !port->present)
		return false;
	if (!arm_is_as_wanted(e, port) && arm_may_become_known(e, p))
		return true;
	if (is->arm_failures >= ARM_ATTEMPTS || !(can_be_armed(e, p) || must_be_disarmed(e, p)))
		return false;
	return looks_first(e, p) || is_quiesced(e, p, &region);
}

/* Each reason once, when it is new; that it is not offered is nothing to complain of. */
static void tell_obstacles(struct iso_engine *e, uint32_t p, uint32_t obstacles)
{
	struct isolation *is = &e->ports[p].isolation;
	bool known = arm_is_known(&e->ports[p]);
	bool armed = known && is->seen.control & ISO_ISOLATION_ENABLE;
	uint32_t i, news = obstacles & ~is->told;

	is->told = obstacles;
	news &= ~(uint32_t)(ISO_OBSTACLE_NOT_OFFERED | ISO_OBSTACLE_UNKNOWN |
			    ISO_OBSTACLE_HOST_UNKNOWN);
	for (i = 0; i < ISO_OBSTACLES; i++)
		if (news >> i & 1)
			emit_note(e, armed ? ISO_NOTE_GUARD : ISO_NOTE_ISOLATION, 0,
				  "root port %.60s %s: %s", e->ports[p].path,
				  armed   ? "is armed, and should not be"
				  : known ? "is not armed"
					  : "may be armed or not",
				  iso_obstacle_text(i))
				->port = p;
}

static void tell_waiting(struct iso_engine *e, uint32_t p, uint32_t region)
{
	if (e->ports[p].isolation.told_waiting)
		return;
	e->ports[p].isolation.told_waiting = true;
	emit_note(e, ISO_NOTE_ISOLATION, 0, "root port %.60s waits until it is quiesced: %s%.64s",
		  e->ports[p].path, region == ISO_NONE ? "memory behind it is in use" : "region ",
		  region == ISO_NONE ? "" : e->regions[region].definition.name)
		->port = p;
}

/* What is in the way of what is to be done. */
static uint32_t obstacles_to_wish(const struct iso_engine *e, uint32_t p)
{
	const struct port *port = &e->ports[p];

	if (arm_wanted(e, port))
		return obstacles_to(e, p, arm_range(e, port));
	return arm_is_as_wanted(e, port) ? 0 : access_obstacle(port->isolation.seen.source);
}

void arm_advance(struct iso_engine *e, uint32_t p)
{
	struct port *port = &e->ports[p];
	struct isolation *is = &port->isolation;
	bool disarms = must_be_disarmed(e, p);
	uint32_t obstacles = obstacles_to_wish(e, p), region;

	tell_obstacles(e, p, obstacles | dangers(e, p));
	if (!disarms && (arm_is_as_wanted(e, port) || obstacles))
		return;
	if (is->arm_failures >= ARM_ATTEMPTS || looks_first(e, p))
		return;
	if (is->retry_at_ns > e->now_ns) {
		engine_arm(e, is->retry_at_ns);
		return;
	}
	if (!is_quiesced(e, p, &region)) {
		tell_waiting(e, p, region);
		return;
	}
	is->arming = arm_wanted(e, port) && !disarms;
	isolation_start(e, p, ISO_EFFECT_ARM_PORT);
}

/* What is wanted may be another matter by now. */
static bool is_as_written(const struct iso_engine *e, uint32_t p)
{
	const struct isolation *is = &e->ports[p].isolation;

	if (!is->arming)
		return !(is->seen.control & ISO_ISOLATION_ENABLE);
	return !arm_wanted(e, &e->ports[p]) || arm_is_as_wanted(e, &e->ports[p]);
}

void arm_completed(struct iso_engine *e, uint32_t p, const struct iso_completion *completion)
{
	struct isolation *is = &e->ports[p].isolation;

	if (completion->result < 0) {
		isolation_failed(e, p, &is->arm_failures, completion);
		return;
	}
	is->told_waiting = false;
	is->reason[0] = '\0';
	if (!is_as_written(e, p)) {
		static const struct iso_completion ignored = {
			.message = "its control register does not hold what was written",
		};

		isolation_failed(e, p, &is->arm_failures, &ignored);
		return;
	}
	is->arm_failures = 0;
	emit_note(e, ISO_NOTE_ISOLATION, 0, "root port %s is %s", e->ports[p].path,
		  is->seen.control & ISO_ISOLATION_ENABLE ? "armed" : "disarmed")
		->port = p;
}

/* All reasons as one line, as many as fit. */
static void say_obstacles(char text[ISO_TEXT_BYTES], uint32_t obstacles)
{
	size_t length = 0;
	uint32_t i;

	text[0] = '\0';
	for (i = 0; i < ISO_OBSTACLES && length < ISO_TEXT_BYTES - 1; i++)
		if (obstacles >> i & 1)
			length += (size_t)snprintf(text + length, ISO_TEXT_BYTES - length, "%s%s",
						   length ? "; " : "", iso_obstacle_text(i));
}

void arm_ask(struct iso_engine *e, const struct iso_event *event)
{
	uint32_t p = iso_port_find(e, event->arm.port), obstacles, region;
	char text[ISO_TEXT_BYTES];
	struct isolation *is;

	if (p == ISO_NONE || e->ports[p].kind != ISO_PORT_ROOT ||
	    event->arm.wish >= ISO_ARM_WISHES) {
		emit_reply(e, event->arm.request, ISO_REPLY_NO_SUCH_NAME, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	is = &e->ports[p].isolation;
	obstacles = event->arm.wish == ISO_ARM_YES
			    ? obstacles_to(e, p,
					   event->arm.range == ISO_NONE ? e->policy.arm_range
									: event->arm.range)
			    : 0;
	if (obstacles) {
		say_obstacles(text, obstacles);
		emit_reply(e, event->arm.request, ISO_REPLY_REFUSED, ISO_NONE, ISO_NONE, text);
		return;
	}
	is->wish = event->arm.wish;
	is->range = event->arm.range;
	is->arm_failures = 0;
	is->told_waiting = false;
	emit_save_port(e, p);
	e->regions_dirty = true;
	snprintf(
		text, sizeof(text), "%s",
		arm_is_as_wanted(e, &e->ports[p]) ? "it is so already"
		: !arm_is_known(&e->ports[p])
			? "it is not known whether it is armed; it is disarmed once that can be read"
		: is_quiesced(e, p, &region) ? "it is done now"
					     : "waits until it is quiesced");
	emit_reply(e, event->arm.request, ISO_REPLY_DONE, ISO_NONE, ISO_NONE, text);
}
