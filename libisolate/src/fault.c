/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From "something failed" to "these regions are lost, these VMs die": the part
 * of the engine that runs between reading a record and sending the kills.
 */
#include "fence.h"

uint32_t fault_port_at(const struct iso_engine *e, struct iso_pci_address address)
{
	uint32_t i;

	for (i = 0; i < e->n_ports; i++)
		if (e->ports[i].present && iso_pci_address_equal(e->ports[i].address, address))
			return i;
	return ISO_NONE;
}

uint32_t fault_memdev_at(const struct iso_engine *e, struct iso_pci_address address)
{
	uint32_t i;

	for (i = 0; i < e->n_memdevs; i++)
		if (e->memdevs[i].present && iso_pci_address_equal(e->memdevs[i].address, address))
			return i;
	return ISO_NONE;
}

/* The kernel unbinds and resets these devices by itself; what it does must end before regions are made. */
static bool kernel_recovers(enum iso_cause cause)
{
	return cause == ISO_CAUSE_SURPRISE_DOWN || cause == ISO_CAUSE_FATAL_ERROR ||
	       cause == ISO_CAUSE_LINK_DOWN;
}

static void hold_port(struct iso_engine *e, uint32_t port)
{
	if (e->ports[port].held)
		return;
	e->ports[port].held = true;
	emit_save_port(e, port);
}

/* The kernel hears of an isolation only where the port takes its link down with it. */
static bool kernel_unbinds(const struct iso_engine *e, enum iso_cause cause, uint32_t port)
{
	uint32_t root_port = topology_root_port(e, port);

	if (cause == ISO_CAUSE_ISOLATED && root_port != ISO_NONE)
		return e->ports[root_port].isolation.seen.control & ISO_ISOLATION_LINK_DOWN;
	return kernel_recovers(cause);
}

static void mark_memdevs(struct iso_engine *e, enum iso_cause cause, bool unbinds)
{
	uint32_t i;

	for (i = 0; i < e->n_memdevs; i++) {
		struct memdev *memdev = &e->memdevs[i];

		if (!e->memdev_down[i])
			continue;
		if (e->policy.waits_for_operator && memdev->port != ISO_NONE)
			hold_port(e, memdev->port);
		if (unbinds) {
			memdev->settling_until_ns = e->now_ns + e->policy.settle_ns;
			engine_arm(e, memdev->settling_until_ns);
		} else if (cause == ISO_CAUSE_DEVICE_GONE) {
			memdev->present = false;
			memdev->bound = false;
		}
	}
}

static bool region_can_lose(const struct region *region)
{
	if (region->state == ISO_REGION_LIVE)
		return true;
	return region->state == ISO_REGION_CREATING && !region->fault_while_busy;
}

static uint32_t count_hits(const struct iso_engine *e)
{
	uint32_t i, n = 0;

	for (i = 0; i < e->n_regions; i++)
		n += e->regions[i].used && region_can_lose(&e->regions[i]) &&
		     blast_hits(e, &e->regions[i]);
	return n;
}

static struct incident *correlate(struct iso_engine *e, enum iso_cause cause, const char *unit,
				  uint32_t domain, uint64_t record_ns)
{
	struct incident *incident;

	if (domain == ISO_NONE) /* nothing tells where it hangs: contained without an incident */
		return NULL;
	incident = incident_of_domain(e, domain);
	if (!incident)
		return incident_open(e, cause, unit, domain, record_ns);
	incident->n_records++;
	incident->synthetic &= e->synthetic;
	/* A region's end was seen before that of the unit below it: the unit is what failed, and first. */
	if (incident->cause == ISO_CAUSE_REGION_GONE && cause != ISO_CAUSE_REGION_GONE) {
		incident->cause = cause;
		if (record_ns < incident->record_ns)
			incident->record_ns = record_ns;
		copy_text(incident->unit, sizeof(incident->unit), unit);
	}
	emit_note(e, ISO_NOTE_CORRELATED, incident->id, "%s: %s, same incident", unit,
		  iso_cause_name(cause));
	return incident;
}

/* Which parts of its memory each victim of this step loses to the kernel. */
static void mark_unbinding(struct iso_engine *e)
{
	uint32_t i, p;

	for (i = 0; i < e->n_kills; i++) {
		const struct lease *lease = &e->leases[e->kills[i].lease];

		for (p = 0; p < lease->n_instances; p++) {
			const struct instance *instance = &e->instances[lease->instances[p]];

			if (instance->lost)
				e->kills[i].unbinding |= UINT32_C(1) << instance->part;
		}
	}
}

/* The memdevs marked down, which hang below `port`, are lost with everything on them. */
static void unit_lost(struct iso_engine *e, enum iso_cause cause, const char *unit, uint32_t port,
		      uint64_t record_ns)
{
	uint32_t root_port = topology_root_port(e, port);
	uint32_t domain = root_port == ISO_NONE ? ISO_NONE : e->ports[root_port].domain;
	bool takes_capacity = count_hits(e) > 0, unbinds = kernel_unbinds(e, cause, port);
	struct incident *incident;
	uint32_t i;

	mark_memdevs(e, cause, unbinds);
	/* A device that has gone proves nothing: somebody may have removed its function only. */
	if (cause == ISO_CAUSE_SURPRISE_DOWN || cause == ISO_CAUSE_LINK_DOWN)
		isolation_link_down(e, port);
	engine_observe(e);
	e->regions_dirty = true;
	e->domains_dirty = true;
	if (!takes_capacity && (domain == ISO_NONE || !incident_of_domain(e, domain)))
		return; /* no capacity was lost: the stored event is all there is to say */
	incident = correlate(e, cause, unit, domain, record_ns);
	for (i = 0; i < e->n_regions; i++)
		if (e->regions[i].used && blast_hits(e, &e->regions[i]))
			region_lose(e, i, incident ? incident->id : 0);
	if (unbinds)
		mark_unbinding(e);
	if (takes_capacity && cause != ISO_CAUSE_OPERATOR && cause != ISO_CAUSE_POLICY)
		flap_count(e, port, record_ns, incident);
	if (incident && e->policy.waits_for_operator)
		incident_hold(e, incident, root_port);
	else if (incident)
		emit_save_incident(e, incident);
}

static void port_lost(struct iso_engine *e, uint32_t port, enum iso_cause cause, uint64_t record_ns)
{
	if (!blast_of_port(e, port))
		return;
	unit_lost(e, cause, e->ports[port].path, port, record_ns);
}

/*
 * What a record tells of is over where all that stands there was begun after it:
 * the loss was seen otherwise, and who is there now came since. Beside anything
 * that was there before it is believed, as is a record of no known time (0).
 */
static bool is_over(struct iso_engine *e, uint32_t port, uint32_t memdev, uint64_t record_ns)
{
	bool over = false;
	uint32_t i;

	for (i = 0; i < e->n_regions; i++) {
		if (!e->regions[i].used || e->regions[i].state != ISO_REGION_LIVE ||
		    !blast_region_on(e, &e->regions[i], port, memdev))
			continue;
		if (!record_ns || e->regions[i].began_ns <= record_ns)
			return false;
		over = true;
	}
	if (over)
		engine_observe(e);
	return over;
}

/* Return: false when what the record tells of is over. */
bool fault_port_isolated(struct iso_engine *e, uint32_t port, uint64_t record_ns)
{
	/* No region is made before an isolation was cleared. */
	if (is_over(e, port, ISO_NONE, record_ns))
		return false;
	if (!e->ports[port].isolation.since_ns)
		port_lost(e, port, ISO_CAUSE_ISOLATED, record_ns);
	isolation_begin(e, port);
	return true;
}

static void memdev_lost(struct iso_engine *e, uint32_t memdev, enum iso_cause cause,
			uint64_t record_ns)
{
	blast_of_memdev(e, memdev);
	unit_lost(e, cause, e->memdevs[memdev].path, e->memdevs[memdev].port, record_ns);
}

void fault_at_address(struct iso_engine *e, const struct iso_fault *fault)
{
	uint32_t port = fault_port_at(e, fault->address);
	uint32_t memdev = fault_memdev_at(e, fault->address);

	if (port != ISO_NONE && fault->cause == ISO_CAUSE_ISOLATED)
		fault_port_isolated(e, topology_root_port(e, port), fault->record_ns);
	else if (port == ISO_NONE && memdev == ISO_NONE)
		engine_observe(e); /* not ours as far as known: look again */
	else if (is_over(e, port, memdev, fault->record_ns))
		return;
	else if (port != ISO_NONE)
		port_lost(e, port, fault->cause, fault->record_ns);
	else
		memdev_lost(e, memdev, fault->cause, fault->record_ns);
}

static void fault_at_instance(struct iso_engine *e, const struct iso_fault *fault)
{
	uint32_t i = instance_find(e, fault->region_kernel_id, fault->kernel_id);

	engine_observe(e);
	if (i == ISO_NONE ||
	    (fault->uevent_seqnum && fault->uevent_seqnum <= e->instances[i].seqnum_floor))
		return;
	/* Our own removal looks the same from outside. */
	if (e->instances[i].operation || e->regions[e->instances[i].region].operation)
		return;
	fault_instance_gone(e, i, fault->record_ns);
}

void fault_handle(struct iso_engine *e, const struct iso_fault *fault)
{
	uint32_t memdev;

	if (!e->observed)
		fault_keep_early(e, fault);
	if (fault->uevent_seqnum && fault->uevent_seqnum <= e->observed_seqnum) {
		engine_observe(e);
		return;
	}
	switch ((enum iso_unit_kind)fault->unit_kind) {
	case ISO_UNIT_PORT_ADDRESS:
		fault_at_address(e, fault);
		return;
	case ISO_UNIT_MEMDEV_SERIAL:
		memdev = topology_memdev_by_serial(e, fault->serial);
		if (memdev != ISO_NONE && e->memdevs[memdev].present &&
		    !is_over(e, ISO_NONE, memdev, fault->record_ns))
			memdev_lost(e, memdev, fault->cause, fault->record_ns);
		return;
	case ISO_UNIT_INSTANCE:
		fault_at_instance(e, fault);
		return;
	}
}

void fault_memdev_gone(struct iso_engine *e, uint32_t memdev, enum iso_cause cause)
{
	memdev_lost(e, memdev, cause, e->now_ns);
}

/* Observation found a region broken although no unit was reported lost. */
void fault_region_gone(struct iso_engine *e, uint32_t region)
{
	struct incident *incident;

	incident = correlate(e, ISO_CAUSE_REGION_GONE, e->regions[region].definition.name,
			     e->regions[region].domain, e->now_ns);
	region_lose(e, region, incident ? incident->id : 0);
	if (incident)
		emit_save_incident(e, incident);
}

/* What was just found gone below a port is explained by this fault of it. */
void fault_explain(struct iso_engine *e, uint32_t port, const struct iso_fault *fault)
{
	uint32_t root_port = topology_root_port(e, port);
	uint32_t domain = root_port == ISO_NONE ? ISO_NONE : e->ports[root_port].domain;
	struct incident *incident = domain == ISO_NONE ? NULL : incident_of_domain(e, domain);

	if (!incident || incident->cause != ISO_CAUSE_REGION_GONE ||
	    incident->detected_ns != e->now_ns)
		return;
	correlate(e, fault->cause, e->ports[port].path, domain, fault->record_ns);
	flap_count(e, port, fault->record_ns, incident);
	emit_save_incident(e, incident);
}

static bool lease_is_harmed(const struct iso_engine *e, uint32_t l)
{
	const struct lease *lease = &e->leases[l];

	return lease->died_unseen ||
	       (lease->state != ISO_LEASE_VERIFYING && lease->state != ISO_LEASE_RETRACTING &&
		lease->state != ISO_LEASE_STUCK);
}

void fault_instance_gone(struct iso_engine *e, uint32_t i, uint64_t record_ns)
{
	struct instance *instance = &e->instances[i];
	uint32_t domain = e->regions[instance->region].domain;
	struct incident *incident;
	char unit[ISO_PATH_BYTES];

	if (instance->lost || instance->lease == ISO_NONE)
		return;
	if (!lease_is_harmed(e, instance->lease)) {
		instance->lost = true; /* taken down with its lease, perhaps before a restart */
		lease_fault(e, instance->lease, 0);
		return;
	}
	copy_text(unit, sizeof(unit), e->regions[instance->region].definition.name);
	incident = correlate(e, ISO_CAUSE_REGION_GONE, unit, domain, record_ns);
	instance->lost = true;
	lease_fault(e, instance->lease, incident ? incident->id : 0);
	if (incident)
		emit_save_incident(e, incident);
}

/*
 * Memory of this instance is poisoned: just its VM dies. The device stays, its
 * other tenants and the region do, too.
 */
void fault_poisoned(struct iso_engine *e, uint32_t i, const char *unit, uint64_t record_ns)
{
	const struct instance *instance = &e->instances[i];
	struct incident *incident = correlate(e, ISO_CAUSE_POISON, unit,
					      e->regions[instance->region].domain, record_ns);

	lease_fault(e, instance->lease, incident ? incident->id : 0);
	if (incident)
		emit_save_incident(e, incident);
}

/* Leases from before a restart stand on a region that is not there any more. */
void fault_restored(struct iso_engine *e, uint32_t region)
{
	struct incident *incident = NULL;
	bool harmed = false;
	uint32_t i;

	for (i = e->regions[region].first_instance; i != ISO_NONE; i = e->instances[i].next)
		harmed |= e->instances[i].lease != ISO_NONE &&
			  lease_is_harmed(e, e->instances[i].lease);
	if (harmed)
		incident = correlate(e, ISO_CAUSE_REGION_GONE, e->regions[region].definition.name,
				     e->regions[region].domain, e->now_ns);
	region_lose_instances(e, region, incident ? incident->id : 0);
	if (incident)
		emit_save_incident(e, incident);
}

/* Somebody's own loss of a port: the same path, and the port stays away. */
static void isolate(struct iso_engine *e, uint32_t port, enum iso_cause cause, uint64_t record_ns)
{
	struct incident *incident;

	hold_port(e, port);
	e->ports[port].detach_wanted = true;
	e->regions_dirty = true; /* also when nothing stands on it: it is to be let go */
	e->domains_dirty = true;
	port_lost(e, port, cause, record_ns);
	incident = e->ports[port].domain < e->n_ports ? incident_of_domain(e, e->ports[port].domain)
						      : NULL;
	if (incident)
		incident_hold(e, incident, port);
}

void fault_isolate(struct iso_engine *e, uint32_t port)
{
	isolate(e, port, ISO_CAUSE_OPERATOR, e->now_ns);
}

/* Return: false when it is kept away already. */
bool fault_isolate_by_policy(struct iso_engine *e, uint32_t port, uint64_t record_ns)
{
	if (e->ports[port].held)
		return false;
	isolate(e, port, ISO_CAUSE_POLICY, record_ns);
	return true;
}

/* Whether the kernel left a lost region's object to be refilled is seen only after it has ended. */
static void look_again(struct iso_engine *e, uint32_t m)
{
	uint32_t r, i;

	for (r = 0; r < e->n_regions; r++) {
		struct region *region = &e->regions[r];

		for (i = 0; region->used && i < region->definition.ways; i++)
			if (region->legs[i] == m && region->state == ISO_REGION_LOST)
				region->unobserved = region->observation_stale = true;
	}
}

static void settled(struct iso_engine *e, struct memdev *memdev)
{
	memdev->settling_until_ns = 0;
	memdev->settled_ns = e->now_ns;
	look_again(e, memdev - e->memdevs);
}

void fault_settled(struct iso_engine *e, struct iso_pci_address address)
{
	uint32_t port = fault_port_at(e, address);
	uint32_t i;

	for (i = 0; i < e->n_memdevs; i++) {
		struct memdev *memdev = &e->memdevs[i];

		if (iso_pci_address_equal(memdev->address, address) ||
		    (port != ISO_NONE && topology_below(e, memdev->port, port)))
			settled(e, memdev);
	}
	e->regions_dirty = true;
	engine_observe(e);
}
