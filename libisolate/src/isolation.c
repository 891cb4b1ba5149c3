/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A root port that has isolated comes back in one order only: its VMs are gone
 * and unmapped, its link was seen down, RP Busy has ended and the status was
 * cleared; then it is armed again, and only then is anything made behind it.
 *
 *   isolated --> contained --> link down --> cleared --> (armed) --> regions
 *                              (seen, or forced)
 *
 * A link that was forced down is given back by what clears the status. Nothing
 * shows after a restart that we took it, so that is stored before.
 */
#include <stdio.h>

#include "state.h"

bool isolation_is_operation(uint32_t kind)
{
	return kind == ISO_EFFECT_FORCE_LINK_DOWN || kind == ISO_EFFECT_CLEAR_ISOLATION ||
	       kind == ISO_EFFECT_ARM_PORT;
}

static uint64_t incident_on(struct iso_engine *e, uint32_t p)
{
	struct incident *incident =
		e->ports[p].domain < e->n_ports ? incident_of_domain(e, e->ports[p].domain) : NULL;

	return incident ? incident->id : 0;
}

/* The kernel may tell of the link that the port takes down before its status is read. */
static bool link_is_down(const struct iso_engine *e, const struct isolation *is)
{
	return (is->seen.status & ISO_ISOLATION_BY_LINK) ||
	       ((is->seen.control & ISO_ISOLATION_LINK_DOWN) && is->down_ns &&
		e->now_ns - is->down_ns <= e->policy.settle_ns);
}

/* The loss itself was dealt with by fault.c: this begins the way back. */
void isolation_begin(struct iso_engine *e, uint32_t p)
{
	struct isolation *is = &e->ports[p].isolation;

	if (is->since_ns)
		return;
	is->since_ns = e->now_ns;
	is->synthetic = e->synthetic;
	is->link_down = link_is_down(e, is);
	is->cleared_unheard = false;
	is->failures = is->arm_failures = 0;
	is->retry_at_ns = 0;
	is->given_up = false;
	is->told_foreign = false;
	is->reason[0] = '\0';
	e->regions_dirty = true;
	e->domains_dirty = true;
	emit_note(e, ISO_NOTE_ISOLATION, incident_on(e, p), "root port %s has isolated%s",
		  e->ports[p].path, is->link_down ? ", its link is down" : "")
		->port = p;
}

/* Its link went down, whoever did that: without it nothing behind it may be used again. */
void isolation_link_down(struct iso_engine *e, uint32_t p)
{
	struct isolation *is;

	if (p == ISO_NONE || e->ports[p].parent != ISO_NONE)
		return; /* that of a switch is another link */
	is = &e->ports[p].isolation;
	is->down_ns = e->now_ns;
	if (!is->since_ns || is->link_down)
		return;
	is->link_down = true;
	e->regions_dirty = true;
	emit_note(e, ISO_NOTE_ISOLATION, incident_on(e, p), "root port %s: its link went down",
		  e->ports[p].path)
		->port = p;
}

static uint32_t root_port_at(const struct iso_engine *e, struct iso_pci_address address)
{
	uint32_t i;

	for (i = 0; i < e->n_ports; i++)
		if (e->ports[i].present && e->ports[i].kind == ISO_PORT_ROOT &&
		    iso_pci_address_equal(e->ports[i].address, address))
			return i;
	return ISO_NONE;
}

/* Its status is gone, though the operation that clears it has not ended: the link's fall was of that isolation. */
static void status_read(struct isolation *is, uint32_t status)
{
	if (!is->since_ns || !(is->seen.status & ~status & ISO_ISOLATION_STATUS))
		return;
	is->cleared_unheard = true;
	is->down_ns = 0;
}

/* Another isolation, before the end of the clearing of the last was heard of: its own link has to go down. */
static void isolated_anew(struct iso_engine *e, struct isolation *is)
{
	is->cleared_unheard = false;
	is->since_ns = e->now_ns;
	is->link_down = link_is_down(e, is);
}

void isolation_seen(struct iso_engine *e, struct iso_pci_address address,
		    const struct iso_isolation *seen)
{
	uint32_t p = root_port_at(e, address);
	struct isolation *is;

	if (p == ISO_NONE || seen->source >= ISO_ISOLATION_SOURCES)
		return;
	is = &e->ports[p].isolation;
	status_read(is, seen->status);
	is->seen = *seen;
	if (seen->status & ISO_ISOLATION_STATUS) {
		if (is->cleared_unheard)
			isolated_anew(e, is);
		fault_port_isolated(e, p, e->now_ns);
		is->synthetic = false; /* a drill may have been before it */
	}
	if (is->since_ns && seen->status & ISO_ISOLATION_BY_LINK)
		isolation_link_down(e, p);
	e->regions_dirty = true;
	e->domains_dirty = true;
}

/* What has to go before its link is taken down, or is known not to be used any more. */
static bool stands_on(const struct iso_engine *e, uint32_t p)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++) {
		const struct region *region = &e->regions[r];

		if (region->used && blast_region_on(e, region, p, ISO_NONE) &&
		    (region->state == ISO_REGION_LIVE || region->n_instances || region->operation))
			return true;
	}
	return false;
}

/*
 * Memory that is not managed: who uses it was not killed, and may have pinned
 * it. The kernel would take it away with the link, which is a panic then.
 */
static bool foreign_stands_on(const struct isolation *is)
{
	return is->foreign != ISO_NONE || is->system_ram;
}

static void say_foreign(const struct isolation *is, char *to, size_t room)
{
	if (is->foreign == ISO_NONE)
		snprintf(to, room,
			 "System RAM lies behind it, or may: take it offline, the rest follows");
	else
		snprintf(
			to, room,
			"region%u, which is not managed, stands on it: remove it, the rest follows",
			is->foreign);
}

/* Return: whether a person has to take away what stands there; that is said once. */
static bool waits_for_foreign(struct iso_engine *e, uint32_t p)
{
	struct isolation *is = &e->ports[p].isolation;

	if (e->seen_ns < is->since_ns) { /* it may have come since */
		engine_observe(e);
		return true;
	}
	if (!foreign_stands_on(is)) {
		if (is->told_foreign)
			is->reason[0] = '\0';
		is->told_foreign = false;
		return false;
	}
	say_foreign(is, is->reason, sizeof(is->reason));
	if (!is->told_foreign)
		emit_note(e, ISO_NOTE_ISOLATION, incident_on(e, p),
			  "root port %.60s stays isolated: %s", e->ports[p].path, is->reason)
			->port = p;
	is->told_foreign = true;
	return true;
}

bool isolation_start(struct iso_engine *e, uint32_t p, uint32_t kind)
{
	struct operation_object object = {ISO_NONE, ISO_NONE, ISO_NONE, p, ISO_NONE};

	/* The order that all of this is about. */
	assert(kind != ISO_EFFECT_CLEAR_ISOLATION || e->ports[p].isolation.link_down ||
	       !e->ports[p].isolation.since_ns);
	assert(kind == ISO_EFFECT_ARM_PORT ||
	       (!stands_on(e, p) && !foreign_stands_on(&e->ports[p].isolation)));
	e->ports[p].operation = operation_start(e, kind, object, e->ports[p].domain, 0);
	return e->ports[p].operation != 0;
}

/* One that takes its link down by itself is given the time that the kernel may take to tell. */
static bool link_may_follow(struct iso_engine *e, const struct isolation *is)
{
	uint64_t at_ns = is->since_ns + e->policy.settle_ns;

	if (!(is->seen.control & ISO_ISOLATION_LINK_DOWN) || at_ns <= e->now_ns)
		return false;
	engine_arm(e, at_ns);
	return true;
}

bool isolation_has_registers(const struct isolation *is)
{
	return is->seen.source == ISO_ISOLATION_REGISTERS ||
	       is->seen.source == ISO_ISOLATION_STAND_IN || is->seen.source == ISO_ISOLATION_SYSFS;
}

static void end_isolation(struct iso_engine *e, uint32_t p)
{
	struct isolation *is = &e->ports[p].isolation;

	is->since_ns = 0;
	is->link_down = is->cleared_unheard = false;
	is->down_ns = 0;
	is->cleared_ns = e->now_ns;
	is->failures = 0;
	is->retry_at_ns = 0;
	is->reason[0] = '\0';
	e->regions_dirty = true;
	e->domains_dirty = true;
	engine_observe(e);
	emit_note(e, ISO_NOTE_ISOLATION, incident_on(e, p), "root port %s: isolation cleared",
		  e->ports[p].path)
		->port = p;
}

/* Saved before the intent: the deed may be the last that this daemon does. */
static void force_link_down(struct iso_engine *e, uint32_t p)
{
	struct isolation *is = &e->ports[p].isolation;

	if (!is->link_taken && !hold_intents(e)) {
		is->link_taken = true;
		emit_save_port(e, p);
	}
	isolation_start(e, p, ISO_EFFECT_FORCE_LINK_DOWN);
}

/* An earlier daemon took it and died: whether the port is still isolated its registers tell first. */
static void give_link_back(struct iso_engine *e, uint32_t p)
{
	const struct port *port = &e->ports[p];

	if (port->held || port->isolation.given_up || stands_on(e, p) ||
	    foreign_stands_on(&port->isolation) || arm_may_become_known(e, p))
		return;
	if (port->isolation.retry_at_ns > e->now_ns)
		engine_arm(e, port->isolation.retry_at_ns);
	else
		isolation_start(e, p, ISO_EFFECT_CLEAR_ISOLATION);
}

static void advance_isolated(struct iso_engine *e, uint32_t p)
{
	struct port *port = &e->ports[p];
	struct isolation *is = &port->isolation;

	/* Kept away by an operator, or by policy until one comes: its status is kept as well. */
	if (port->held || is->given_up || stands_on(e, p))
		return;
	if (is->synthetic) { /* its link is up, with what is not ours behind it; nothing is to be cleared */
		end_isolation(e, p);
		return;
	}
	if (waits_for_foreign(e, p))
		return;
	if (is->retry_at_ns > e->now_ns) {
		engine_arm(e, is->retry_at_ns);
		return;
	}
	if (!is->link_down && link_may_follow(e, is))
		return;
	if (!is->link_down)
		force_link_down(e, p);
	else if (isolation_has_registers(is) || is->link_taken)
		isolation_start(e, p, ISO_EFFECT_CLEAR_ISOLATION);
	else
		end_isolation(e, p); /* a record told of it: there is nothing to clear */
}

void isolation_advance(struct iso_engine *e)
{
	uint32_t p;

	for (p = 0; e->observed && p < e->n_ports; p++) {
		const struct port *port = &e->ports[p];

		if (port->kind != ISO_PORT_ROOT || !port->present || port->operation)
			continue;
		if (port->isolation.since_ns)
			advance_isolated(e, p);
		else if (port->isolation.link_taken)
			give_link_back(e, p);
		else
			arm_advance(e, p);
	}
}

void isolation_failed(struct iso_engine *e, uint32_t p, uint32_t *failures,
		      const struct iso_completion *completion)
{
	struct isolation *is = &e->ports[p].isolation;
	uint32_t shift = *failures < 5 ? *failures : 5;

	copy_text(is->reason, sizeof(is->reason), completion->message);
	++*failures;
	is->retry_at_ns = e->now_ns + (e->policy.retry_ns << shift);
	engine_arm(e, is->retry_at_ns);
	emit_note(e, ISO_NOTE_FAILED, incident_on(e, p),
		  "root port %.60s: attempt %u failed: %.100s", e->ports[p].path, *failures,
		  completion->message)
		->port = p;
}

static void step_failed(struct iso_engine *e, uint32_t p, const struct iso_completion *completion)
{
	struct isolation *is = &e->ports[p].isolation;

	isolation_failed(e, p, &is->failures, completion);
	is->given_up = is->failures >= e->policy.attempts;
}

static void cleared(struct iso_engine *e, uint32_t p, const struct iso_completion *completion)
{
	static const struct iso_completion sticks = {
		.message = "the status is still set after it was cleared",
	};

	if (completion->has_isolation && completion->status & ISO_ISOLATION_STATUS) {
		step_failed(e, p, &sticks);
		return;
	}
	if (e->ports[p].isolation.link_taken) {
		e->ports[p].isolation.link_taken = false;
		e->ports[p].rescan_wanted = true; /* nothing else may notice that it is up again */
		emit_save_port(e, p);
	}
	if (e->ports[p].isolation.since_ns)
		end_isolation(e, p);
	else
		emit_note(e, ISO_NOTE_ISOLATION, 0,
			  "root port %s: its link, which an earlier run took down, is given back",
			  e->ports[p].path)
			->port = p;
}

void isolation_completed(struct iso_engine *e, const struct operation *op,
			 const struct iso_completion *completion)
{
	uint32_t p = op->port;
	struct port *port = &e->ports[p];

	port->operation = 0;
	port->changed_ns = e->now_ns;
	if (completion->has_isolation) {
		status_read(&port->isolation, completion->status);
		port->isolation.seen.control = completion->control;
		port->isolation.seen.status = completion->status;
	}
	e->regions_dirty = true;
	e->domains_dirty = true;
	engine_observe(e);
	if (op->kind == ISO_EFFECT_ARM_PORT) {
		arm_completed(e, p, completion);
	} else if (completion->result < 0) {
		step_failed(e, p, completion);
	} else if (op->kind == ISO_EFFECT_FORCE_LINK_DOWN) {
		isolation_link_down(e, p);
	} else {
		cleared(e, p, completion);
	}
}

/* The store took no intent: again when it does. */
void isolation_undone(struct iso_engine *e, uint32_t p)
{
	e->ports[p].isolation.retry_at_ns = e->store_retry_ns;
}

/* An operator trusts it again. */
void isolation_retry(struct iso_engine *e, uint32_t p)
{
	struct isolation *is = &e->ports[p].isolation;

	is->given_up = false;
	is->failures = is->arm_failures = 0;
	is->retry_at_ns = 0;
	e->regions_dirty = true;
}

/* Which root ports something is behind that uses them. */
static void take_in_region(struct iso_engine *e, const struct iso_snapshot *s, uint32_t index)
{
	const struct iso_observed_region *region = &s->regions[index];
	uint32_t i, m, p, n = region->ways < ISO_WAYS_MAX ? region->ways : ISO_WAYS_MAX;
	bool system_ram = false, foreign = region->committed && !region_may_be_managed(e, region);

	for (i = 0; i < s->n_instances; i++)
		system_ram |= s->instances[i].region_kernel_id == region->kernel_id &&
			      s->instances[i].driver == ISO_DAX_KMEM;
	for (i = 0; i < n; i++) {
		m = topology_memdev_by_serial(e, region->targets[i].serial);
		p = m == ISO_NONE || !region->targets[i].present
			    ? ISO_NONE
			    : topology_root_port(e, e->memdevs[m].port);
		if (p == ISO_NONE)
			continue;
		e->ports[p].isolation.committed |= region->committed;
		if (foreign)
			e->ports[p].isolation.foreign = region->kernel_id;
		e->ports[p].isolation.system_ram |= system_ram;
	}
}

void isolation_take_in(struct iso_engine *e, const struct iso_snapshot *snapshot)
{
	uint32_t i;

	for (i = 0; i < e->n_ports; i++) {
		e->ports[i].isolation.committed = false;
		e->ports[i].isolation.foreign = ISO_NONE;
	}
	for (i = 0; i < snapshot->n_regions; i++)
		take_in_region(e, snapshot, i);
}

void isolation_restore(struct iso_engine *e, const struct iso_restore_port *restore)
{
	uint32_t p = topology_port_named(e, restore->path);

	if (p == ISO_NONE)
		return;
	e->ports[p].isolation.wish = restore->wish;
	e->ports[p].isolation.range = restore->range;
	e->ports[p].held = restore->held;
	e->ports[p].flapping = restore->held && restore->flapping;
	e->ports[p].detach_wanted = restore->held && !restore->flapping;
	e->ports[p].isolation.link_taken = restore->link_taken;
	flap_restore(&e->ports[p], restore);
	topology_domains(e);
}

enum iso_domain_state isolation_judge(const struct iso_engine *e, uint32_t p)
{
	const struct isolation *is = &e->ports[p].isolation;

	if (is->given_up)
		return ISO_DOMAIN_QUARANTINED;
	return !is->synthetic && foreign_stands_on(is) && !stands_on(e, p) ? ISO_DOMAIN_WAITING
									   : ISO_DOMAIN_RECOVERING;
}

void isolation_judge_text(const struct iso_engine *e, uint32_t p, char *to, size_t room)
{
	const struct port *port = &e->ports[p];
	const struct isolation *is = &port->isolation;

	if (is->given_up)
		snprintf(to, room,
			 "root port %.40s stays isolated: %.80s; `daxmgrctl recover` tries again",
			 port->path, is->reason);
	else if (stands_on(e, p))
		snprintf(to, room, "root port %.60s is isolated: what stands on it is taken down",
			 port->path);
	else if (!is->synthetic && foreign_stands_on(is))
		snprintf(to, room, "root port %.40s stays isolated: %.120s", port->path,
			 is->reason);
	else if (!is->link_down)
		snprintf(to, room,
			 "root port %.60s is isolated: waits for its link to go down%s%.80s",
			 port->path, *is->reason ? ": " : "", is->reason);
	else
		snprintf(to, room,
			 "root port %.60s is isolated: its status is being cleared%s%.80s",
			 port->path, *is->reason ? ": " : "", is->reason);
}

/* Nothing is made behind a port that is isolated, or that is to be armed before. */
bool isolation_holds_port(struct iso_engine *e, uint32_t port)
{
	uint32_t p = topology_root_port(e, port);

	return p != ISO_NONE && (e->ports[p].isolation.since_ns || arm_comes_first(e, p));
}

/* Until a person comes: those above in the decoder order do not wait so long. */
static bool waits_for_person(const struct port *port)
{
	return port->isolation.since_ns &&
	       (port->isolation.given_up || port->held || foreign_stands_on(&port->isolation));
}

/* What the kernel left of a lost region stays meanwhile: it may be refilled after. */
bool isolation_holds_region(struct iso_engine *e, const struct region *region)
{
	uint32_t i, m, p;
	bool holds = false;

	for (i = 0; region->state == ISO_REGION_LOST && i < region->definition.ways; i++) {
		m = region->legs[i];
		p = m == ISO_NONE ? ISO_NONE : topology_root_port(e, e->memdevs[m].port);
		if (p == ISO_NONE)
			continue;
		if (waits_for_person(&e->ports[p]))
			return false;
		holds |= isolation_holds_port(e, p);
	}
	return holds;
}
