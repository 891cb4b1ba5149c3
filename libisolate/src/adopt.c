/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An instance that somebody made by hand, with the process that maps it,
 * becomes a lease with its VM: from then on it is watched, killed when its
 * memory fails, and its memory is taken back and zeroed as any other's.
 *
 * Only what is safe to kill and to take back later: one process, which an
 * inspection shows to map the instance now, alone and without pins. The lease
 * is root's and does not come back, as nobody knows how to start it again.
 */
#include <stdio.h>

#include "state.h"

static void end(struct iso_engine *e, enum iso_reply reply, uint32_t lease, const char *text)
{
	uint32_t i;

	emit_reply(e, e->adoption.asked.request, reply, lease, ISO_NONE, text);
	e->adoption.stage = ADOPTION_IDLE;
	for (i = 0; i < e->n_instances; i++) { /* also one that was lost meanwhile */
		if (!e->instances[i].used || !e->instances[i].adopting)
			continue;
		e->instances[i].adopting = false;
		if (e->instances[i].lease == ISO_NONE)
			instance_advance(e, i); /* it is an orphan as before */
		return; /* there is one at a time, if it has not gone */
	}
}

/* Why not, as a sentence; NULL: it may. */
static const char *check_instance(const struct iso_engine *e, uint32_t i)
{
	const struct instance *instance = &e->instances[i];

	if (i == ISO_NONE)
		return "no live region has such an instance";
	if (instance->lease != ISO_NONE)
		return "it belongs to a lease";
	if (instance->system_ram)
		return "the kernel has it as System RAM";
	if (!instance->bytes)
		return "it has no memory";
	if (instance->state != ISO_INSTANCE_DOOMED && instance->state != ISO_INSTANCE_VERIFYING)
		return "it is being removed";
	if (instance->lost || e->regions[instance->region].state != ISO_REGION_LIVE)
		return "its region is not live";
	if (place_bad_under(e, instance) != ISO_NONE)
		return "some of its memory is bad";
	return NULL;
}

static enum iso_reply check(const struct iso_engine *e, const struct iso_adopt *adopt)
{
	if (!iso_name_valid(adopt->name))
		return ISO_REPLY_BAD_NAME;
	if (!e->observed)
		return ISO_REPLY_NOT_READY;
	if (iso_lease_find(e, adopt->name) != ISO_NONE)
		return ISO_REPLY_NAME_IN_USE;
	if (attach_process_taken(e, adopt->pid))
		return ISO_REPLY_PROCESS_TAKEN;
	return ISO_REPLY_DONE;
}

void adopt_ask(struct iso_engine *e, const struct iso_adopt *adopt)
{
	uint32_t i = instance_find(e, adopt->region_kernel_id, adopt->kernel_id);
	enum iso_reply reply = check(e, adopt);
	const char *wrong = NULL;

	if (reply == ISO_REPLY_DONE && e->adoption.stage != ADOPTION_IDLE) {
		reply = ISO_REPLY_TABLE_FULL;
		wrong = "another adoption is under way: try again";
	} else if (reply == ISO_REPLY_DONE && (e->held || e->store_failing)) {
		reply = ISO_REPLY_ON_HOLD; /* whose it is may still come to light, or cannot be written down */
		wrong = e->held ? e->held_reason : e->store_reason;
	} else if (reply == ISO_REPLY_DONE && (wrong = check_instance(e, i))) {
		reply = ISO_REPLY_NOT_ADOPTABLE;
	}
	if (reply != ISO_REPLY_DONE) {
		emit_reply(e, adopt->request, reply, ISO_NONE, ISO_NONE, wrong);
		return;
	}
	e->instances[i].adopting = true;
	e->adoption.asked = *adopt;
	e->adoption.stage = ADOPTION_ASKED;
}

/* It is looked at when nothing else is: who is asked about it, and everybody. */
void adopt_advance(struct iso_engine *e)
{
	struct adoption *adoption = &e->adoption;
	uint32_t i;

	if (adoption->stage != ADOPTION_ASKED || e->inspect_operation)
		return;
	i = instance_find(e, adoption->asked.region_kernel_id, adoption->asked.kernel_id);
	if (i != ISO_NONE && e->instances[i].operation)
		return; /* who maps it is being asked already: that has to end */
	adoption->stage = ADOPTION_LOOKING;
	if (!inspection_of_everybody(e))
		end(e, ISO_REPLY_TABLE_FULL, ISO_NONE, NULL);
}

void adopt_inspection_ended(struct iso_engine *e, const struct iso_completion *completion)
{
	if (e->adoption.stage == ADOPTION_LOOKING)
		end(e, ISO_REPLY_NOT_OBSERVED, ISO_NONE, completion->message);
}

static void fill_terms(struct lease *lease, const struct instance *instance,
		       const struct region *region, const struct iso_observed_mapper *mapper)
{
	lease->terms.align = instance->align;
	lease->terms.n_parts = 1;
	lease->terms.parts[0].bytes = instance->bytes;
	memcpy(lease->terms.parts[0].region, region->definition.name, ISO_NAME_BYTES);
	lease->pins = mapper->pins;
	lease->pinned = mapper->pins != 0;
	copy_text(lease->evidence, sizeof(lease->evidence), mapper->evidence);
}

static void adopt(struct iso_engine *e, uint32_t i, const struct iso_observed_mapper *mapper)
{
	struct instance *instance = &e->instances[i];
	uint32_t l = lease_new(e, e->adoption.asked.name);
	struct lease *lease;

	if (l == ISO_NONE) {
		end(e, ISO_REPLY_TABLE_FULL, ISO_NONE, NULL);
		return;
	}
	lease = &e->leases[l];
	fill_terms(lease, instance, &e->regions[instance->region], mapper);
	lease->instances[lease->n_instances++] = i;
	lease->pid = mapper->pid;
	lease->attached_ns = e->now_ns;
	lease->adopted = true;
	lease->handed_over = true; /* by whoever made it: taken back in the end all the same */
	instance->lease = l;
	instance->stranger = 0;
	instance->failures = 0;
	instance_enter(e, i, ISO_INSTANCE_HELD);
	lease_enter(e, l, ISO_LEASE_ATTACHED);
	emit_note(e, ISO_NOTE_LEASE, 0, "%s: adopted with dax%u.%u, made by hand, and process %d",
		  lease->terms.name, instance->region_kernel_id, instance->kernel_id, lease->pid)
		->lease = l;
	end(e, ISO_REPLY_DONE, l, NULL);
}

/* Return: its own look, or NULL with a sentence why it is not adopted. */
static const struct iso_observed_mapper *sole_mapper(const struct iso_inspection *inspection,
						     const struct iso_adopt *asked,
						     char wrong[ISO_TEXT_BYTES])
{
	const struct iso_observed_mapper *found = NULL;
	uint32_t m;

	for (m = 0; m < inspection->n_mappers; m++) {
		const struct iso_observed_mapper *mapper = &inspection->mappers[m];

		if (mapper->region_kernel_id != asked->region_kernel_id ||
		    mapper->kernel_id != asked->kernel_id)
			continue;
		if (mapper->pid != asked->pid) {
			snprintf(wrong, ISO_TEXT_BYTES, "process %d maps it, too", mapper->pid);
			return NULL;
		}
		found = mapper;
	}
	if (!found)
		snprintf(wrong, ISO_TEXT_BYTES, "process %d does not map it", asked->pid);
	return found;
}

void adopt_inspected(struct iso_engine *e, const struct iso_inspection *inspection)
{
	struct adoption *adoption = &e->adoption;
	const struct iso_observed_mapper *mapper;
	char text[ISO_TEXT_BYTES];
	enum iso_reply reply;
	const char *wrong;
	uint32_t i;

	if (adoption->stage != ADOPTION_LOOKING)
		return;
	/* Much may have happened since it was asked for. */
	i = instance_find(e, adoption->asked.region_kernel_id, adoption->asked.kernel_id);
	reply = check(e, &adoption->asked);
	wrong = reply == ISO_REPLY_DONE ? check_instance(e, i) : NULL;
	if (!wrong && reply == ISO_REPLY_DONE &&
	    (e->instances[i].operation || inspection->uevent_seqnum < e->instances[i].seqnum_floor))
		wrong = "another device had its name when it was looked at: try again";
	mapper = wrong || reply != ISO_REPLY_DONE ? NULL
						  : sole_mapper(inspection, &adoption->asked, text);
	if (reply != ISO_REPLY_DONE)
		end(e, reply, ISO_NONE, NULL);
	else if (!mapper)
		end(e, ISO_REPLY_NOT_ADOPTABLE, ISO_NONE, wrong ? wrong : text);
	else if (mapper->pins && !e->policy.host_may_panic)
		end(e, ISO_REPLY_PINNING, ISO_NONE, mapper->evidence);
	else
		adopt(e, i, mapper);
}
