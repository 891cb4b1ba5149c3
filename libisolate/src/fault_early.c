/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Faults told before the first observation: nothing is known then of ports and
 * of who stands below them. They are kept until it is, and act if somebody has
 * stood there since before them; a daemon that was killed is told of old ones
 * again. Where the observation finds a loss that one of them explains, the
 * incident is of its unit, cause and time.
 */
#include "state.h"

static bool same(const struct iso_fault *a, const struct iso_fault *b)
{
	return a->cause == b->cause && a->synthetic == b->synthetic &&
	       iso_pci_address_equal(a->address, b->address);
}

/* A storm says the same a hundred times: the first tells when, the last who is harmed. */
void fault_keep_early(struct iso_engine *e, const struct iso_fault *fault)
{
	struct iso_fault *last = NULL;
	uint32_t i, n = 0;

	/* What uevents tell the observation shows as well, and their names are good only now. */
	if (fault->unit_kind != ISO_UNIT_PORT_ADDRESS || fault->uevent_seqnum)
		return;
	for (i = 0; i < e->n_early_faults; i++)
		if (same(&e->early_faults[i], fault)) {
			last = &e->early_faults[i];
			n++;
		}
	if (n > 1 && fault->record_ns > last->record_ns)
		*last = *fault;
	if (n > 1)
		return;
	if (e->n_early_faults < EARLY_FAULTS_MAX)
		e->early_faults[e->n_early_faults++] = *fault;
	else
		e->n_early_faults_lost++;
}

/* Whether somebody stands on what failed who stood there already, and nobody who came since. */
static bool is_about_tenants(const struct iso_engine *e, uint32_t port, uint32_t memdev,
			     uint64_t record_ns)
{
	bool before = false;
	uint32_t i;

	for (i = 0; i < e->n_instances; i++) {
		const struct instance *instance = &e->instances[i];

		if (!instance->used || instance->lease == ISO_NONE ||
		    !blast_region_on(e, &e->regions[instance->region], port, memdev))
			continue;
		if (instance->begun_ns > record_ns)
			return false;
		before = true;
	}
	return before;
}

static void take_in(struct iso_engine *e, const struct iso_fault *fault)
{
	uint32_t port = fault_port_at(e, fault->address);
	uint32_t memdev = port == ISO_NONE ? fault_memdev_at(e, fault->address) : ISO_NONE;

	if (port == ISO_NONE && memdev == ISO_NONE)
		return;
	if (is_about_tenants(e, port, memdev, fault->record_ns))
		fault_at_address(e, fault);
	fault_explain(e, port != ISO_NONE ? port : e->memdevs[memdev].port, fault);
}

void fault_observed(struct iso_engine *e)
{
	uint32_t i;

	for (i = 0; i < e->n_early_faults; i++) {
		e->synthetic = e->early_faults[i].synthetic;
		take_in(e, &e->early_faults[i]);
	}
	if (e->n_early_faults)
		e->synthetic = false;
	if (e->n_early_faults_lost)
		emit_note(e, ISO_NOTE_FAILED, 0,
			  "%u faults came before the first look at the host and found no room: "
			  "what they took is seen by looking only",
			  e->n_early_faults_lost);
	e->n_early_faults = e->n_early_faults_lost = 0;
}
