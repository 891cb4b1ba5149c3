/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a policy rule asks for, done by the paths that there are: the fence of
 * placement, the kill of a blast radius, the operator's `isolate`. Whom it is
 * about is looked up now; a VM that came after the record is spared.
 */
#include <stdio.h>

#include "fence.h"

/* Whom an action is about, as far as it can be found. */
struct aim {
	uint32_t lease, instance, memdev, port, region, domain;
};

static bool read_number(const char **at, uint32_t *ret)
{
	uint32_t value = 0, n;

	for (n = 0; n < 9 && **at >= '0' && **at <= '9'; n++)
		value = 10 * value + (uint32_t)(*(*at)++ - '0');
	*ret = value;
	return n > 0;
}

/* "daxX.Y". */
static uint32_t find_instance(const struct iso_engine *e, const char *name)
{
	uint32_t x, y;

	if (strncmp(name, "dax", 3))
		return ISO_NONE;
	name += 3;
	if (!read_number(&name, &x) || *name++ != '.' || !read_number(&name, &y) || *name)
		return ISO_NONE;
	return instance_find(e, x, y);
}

static void aim_at_lease(const struct iso_engine *e, const char *vm, struct aim *aim)
{
	aim->lease = iso_lease_find(e, vm);
	if (aim->lease != ISO_NONE && e->leases[aim->lease].n_instances)
		aim->region = e->instances[e->leases[aim->lease].instances[0]].region;
}

static void aim_at_unit(const struct iso_engine *e, const struct iso_policy_action *action,
			struct aim *aim)
{
	if (action->has_serial)
		aim->memdev = topology_memdev_by_serial(e, action->serial);
	if (aim->memdev == ISO_NONE && action->unit[0])
		aim->port = iso_port_find(e, action->unit);
	if (aim->memdev == ISO_NONE && aim->port == ISO_NONE && action->unit[0])
		aim->memdev = iso_memdev_find(e, action->unit);
	if (aim->memdev != ISO_NONE)
		aim->port = e->memdevs[aim->memdev].port;
	if (aim->port != ISO_NONE || !action->unit[0])
		return;
	aim->region = iso_region_find(e, action->unit);
	if (aim->region == ISO_NONE)
		aim->instance = find_instance(e, action->unit);
	if (aim->instance != ISO_NONE)
		aim->region = e->instances[aim->instance].region;
}

static void take_aim(const struct iso_engine *e, const struct iso_policy_action *action,
		     struct aim *ret)
{
	bool of_vm = action->vm[0] && action->action == ISO_ACTION_KILL;

	*ret = (struct aim){ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE};
	if (!of_vm)
		aim_at_unit(e, action, ret);
	if (!of_vm && ret->port == ISO_NONE && ret->region == ISO_NONE && action->domain[0])
		ret->port = iso_port_find(e, action->domain);
	if (ret->port == ISO_NONE && ret->region == ISO_NONE && action->vm[0])
		aim_at_lease(e, action->vm, ret);
	if (ret->port != ISO_NONE)
		ret->domain = e->ports[ret->port].domain;
	else if (ret->region != ISO_NONE)
		ret->domain = e->regions[ret->region].domain;
	if (ret->domain >= e->n_ports)
		ret->domain = ISO_NONE;
}

static const char *unit_words(const struct iso_engine *e, const struct aim *aim)
{
	if (aim->memdev != ISO_NONE)
		return e->memdevs[aim->memdev].path;
	if (aim->port != ISO_NONE)
		return e->ports[aim->port].path;
	if (aim->region != ISO_NONE)
		return e->regions[aim->region].definition.name;
	return aim->domain != ISO_NONE ? e->ports[aim->domain].path : "";
}

static void tell(struct iso_engine *e, const struct iso_policy_action *action,
		 const struct aim *aim)
{
	struct incident *incident = aim->domain == ISO_NONE ? NULL
							    : incident_of_domain(e, aim->domain);
	const char *unit = aim->lease != ISO_NONE ? e->leases[aim->lease].terms.name
						  : unit_words(e, aim);

	emit_note(e, ISO_NOTE_POLICY, incident ? incident->id : 0, "rule %.48s: %s %.64s%s%.40s%s",
		  action->rule, iso_action_name(action->action), unit[0] ? unit : action->unit,
		  action->why[0] ? ": " : "", action->why, action->synthetic ? " (synthetic)" : "")
		->lease = aim->lease;
}

/* ---- fences ---- */

static enum iso_reply put_fence(struct iso_engine *e, const struct iso_policy_action *action,
				const struct aim *aim, enum iso_fence_kind kind)
{
	struct iso_restore_fence fence = {.kind = kind};
	uint32_t at = kind == ISO_FENCE_MEMDEV ? aim->memdev : aim->domain;

	if (at == ISO_NONE)
		return ISO_REPLY_NO_SUCH_NAME;
	if (kind == ISO_FENCE_MEMDEV)
		fence.serial = e->memdevs[at].serial;
	copy_text(fence.unit, sizeof(fence.unit),
		  kind == ISO_FENCE_MEMDEV ? e->memdevs[at].path : e->ports[at].path);
	copy_text(fence.rule, sizeof(fence.rule), action->rule);
	if (!fence_add(e, &fence))
		return ISO_REPLY_TABLE_FULL;
	tell(e, action, aim);
	return ISO_REPLY_DONE;
}

/* ---- kills ---- */

static bool can_be_killed(const struct lease *lease, uint64_t record_ns)
{
	switch ((enum iso_lease_state)lease->state) {
	case ISO_LEASE_ATTACHED:
		return !record_ns || lease->attached_ns <= record_ns;
	case ISO_LEASE_PREPARING:
	case ISO_LEASE_ACQUIRED:
	case ISO_LEASE_KEPT:
		return true;
	case ISO_LEASE_WAITING:
	case ISO_LEASE_KILLED:
	case ISO_LEASE_VERIFYING:
	case ISO_LEASE_RETRACTING:
	case ISO_LEASE_STUCK:
	case ISO_LEASE_STATES:
		break;
	}
	return false;
}

static bool is_in_radius(const struct iso_engine *e, uint32_t i, const struct aim *aim)
{
	const struct region *region = &e->regions[e->instances[i].region];

	if (aim->instance != ISO_NONE)
		return i == aim->instance;
	if (aim->memdev != ISO_NONE || aim->port != ISO_NONE)
		return blast_region_on(e, region, aim->memdev != ISO_NONE ? ISO_NONE : aim->port,
				       aim->memdev);
	if (aim->region != ISO_NONE)
		return region == &e->regions[aim->region];
	return region->domain == aim->domain;
}

static bool is_victim(const struct iso_engine *e, uint32_t l, const struct aim *aim,
		      uint64_t record_ns)
{
	const struct lease *lease = &e->leases[l];
	uint32_t i;

	if (!lease->used || !can_be_killed(lease, record_ns))
		return false;
	if (aim->lease != ISO_NONE)
		return l == aim->lease;
	for (i = 0; i < lease->n_instances; i++)
		if (is_in_radius(e, lease->instances[i], aim))
			return true;
	return false;
}

/* The memory of the victims is well: it is taken back as after any end of theirs. */
static enum iso_reply kill_victims(struct iso_engine *e, const struct iso_policy_action *action,
				   const struct aim *aim)
{
	struct incident *incident = NULL;
	uint32_t l, n = 0;

	if (action->vm[0] ? aim->lease == ISO_NONE : aim->domain == ISO_NONE)
		return ISO_REPLY_NO_SUCH_NAME;
	for (l = 0; l < e->n_leases; l++) {
		if (!is_victim(e, l, aim, action->record_ns))
			continue;
		if (!n++ && aim->domain != ISO_NONE) {
			incident = incident_of_domain(e, aim->domain);
			if (!incident)
				incident = incident_open(
					e, ISO_CAUSE_POLICY, unit_words(e, aim), aim->domain,
					action->record_ns ? action->record_ns : e->now_ns);
		}
		lease_fault(e, l, incident ? incident->id : 0);
	}
	if (!n)
		return ISO_REPLY_ALREADY;
	e->domains_dirty = true;
	tell(e, action, aim);
	if (incident)
		emit_save_incident(e, incident);
	return ISO_REPLY_DONE;
}

/* ---- all of them ---- */

static enum iso_reply isolate(struct iso_engine *e, const struct iso_policy_action *action,
			      const struct aim *aim)
{
	if (aim->port == ISO_NONE) /* a region or VM has several, or shares one */
		return ISO_REPLY_NO_SUCH_NAME;
	if (!fault_isolate_by_policy(e, aim->port,
				     action->record_ns ? action->record_ns : e->now_ns))
		return ISO_REPLY_ALREADY;
	tell(e, action, aim);
	return ISO_REPLY_DONE;
}

static enum iso_reply act(struct iso_engine *e, const struct iso_policy_action *action,
			  const struct aim *aim)
{
	switch ((enum iso_action)action->action) {
	case ISO_ACTION_NOTIFY:
	case ISO_ACTION_START_UNIT:
		tell(e, action, aim);
		return ISO_REPLY_DONE;
	case ISO_ACTION_FENCE:
		return put_fence(e, action, aim, ISO_FENCE_DOMAIN);
	case ISO_ACTION_QUARANTINE:
		return put_fence(e, action, aim, ISO_FENCE_QUARANTINE);
	case ISO_ACTION_RETIRE:
		return put_fence(e, action, aim, ISO_FENCE_MEMDEV);
	case ISO_ACTION_KILL:
		return kill_victims(e, action, aim);
	case ISO_ACTION_ISOLATE:
		return isolate(e, action, aim);
	case ISO_ACTIONS:
		break;
	}
	return ISO_REPLY_NO_SUCH_NAME;
}

void policy_act(struct iso_engine *e, const struct iso_policy_action *action)
{
	enum iso_reply reply;
	struct aim aim;

	take_aim(e, action, &aim);
	reply = act(e, action, &aim);
	if (reply == ISO_REPLY_NO_SUCH_NAME || reply == ISO_REPLY_TABLE_FULL)
		emit_note(e, ISO_NOTE_FAILED, 0, "rule %.48s: %s %.60s: %s", action->rule,
			  iso_action_name(action->action),
			  action->vm[0] ? action->vm : action->unit, iso_reply_text(reply));
	emit_reply(e, action->request, reply, ISO_NONE, ISO_NONE, NULL);
}
