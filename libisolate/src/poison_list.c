/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a memdev's poison list is read: before anything is carved in a region
 * on it that has just come to be, when records may have been lost, when a
 * person asks, and by the clock: poison can be there without any record.
 */
#include <errno.h>

#include "state.h"

/* A region has come to be: what is bad in it is to be known first. */
void poison_list_needed(struct iso_engine *e, uint32_t r)
{
	struct region *region = &e->regions[r];
	uint32_t i;

	region->live_ns = e->now_ns;
	for (i = 0; i < region->definition.ways; i++)
		if (region->legs[i] != ISO_NONE)
			e->memdevs[region->legs[i]].poison_due = true;
}

void poison_list_gap(struct iso_engine *e)
{
	uint32_t m;

	for (m = 0; m < e->n_memdevs; m++)
		e->memdevs[m].poison_due = true;
}

void poison_list_ask(struct iso_engine *e, uint64_t request, const char *name)
{
	uint32_t m = name[0] ? iso_memdev_find(e, name) : ISO_NONE;

	if (name[0] && m == ISO_NONE) {
		emit_reply(e, request, ISO_REPLY_NO_SUCH_NAME, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	if (!name[0]) {
		poison_list_gap(e);
		for (m = 0; m < e->n_memdevs; m++)
			e->memdevs[m].poison_retry_ns = 0;
	} else {
		e->memdevs[m].poison_due = true;
		e->memdevs[m].poison_retry_ns = 0;
	}
	emit_reply(e, request, ISO_REPLY_DONE, ISO_NONE, ISO_NONE, NULL);
}

bool poison_list_awaited(const struct iso_engine *e, const struct region *region)
{
	uint32_t i;

	for (i = 0; e->policy.reads_poison && i < region->definition.ways; i++)
		if (region->legs[i] != ISO_NONE &&
		    e->memdevs[region->legs[i]].poison_checked_ns < region->live_ns)
			return true;
	return false;
}

static bool due(struct iso_engine *e, struct memdev *memdev)
{
	uint64_t next_ns = memdev->poison_began_ns + e->policy.poison_list_ns;

	if (!memdev->present || !memdev->bound || memdev->poison_operation ||
	    memdev->settling_until_ns > e->now_ns)
		return false;
	if (!memdev->poison_due && e->policy.poison_list_ns && next_ns <= e->now_ns)
		memdev->poison_due = true;
	else if (!memdev->poison_due && e->policy.poison_list_ns)
		engine_arm(e, next_ns);
	if (memdev->poison_due && memdev->poison_retry_ns > e->now_ns) {
		engine_arm(e, memdev->poison_retry_ns);
		return false;
	}
	return memdev->poison_due;
}

void poison_list_advance(struct iso_engine *e)
{
	struct operation_object object = {ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE, ISO_NONE};
	uint32_t m;

	if (!e->policy.reads_poison || !e->observed)
		return;
	for (m = 0; m < e->n_memdevs; m++) {
		struct memdev *memdev = &e->memdevs[m];
		uint32_t lane = memdev->port != ISO_NONE ? e->ports[memdev->port].domain : 0;

		if (!due(e, memdev))
			continue;
		object.memdev = m;
		memdev->poison_operation = operation_start(e, ISO_EFFECT_READ_POISON, object,
							   lane == ISO_NONE ? 0 : lane, 0);
		if (!memdev->poison_operation)
			return;
		memdev->poison_began_ns = e->now_ns;
		memdev->poison_due = false;
	}
}

/* All that can be known of it is known now; what it was closed for has been told anew. */
static void checked(struct iso_engine *e, struct memdev *memdev, uint64_t began_ns)
{
	memdev->poison_checked_ns = began_ns;
	e->placement_dirty = true;
}

void poison_list_read(struct iso_engine *e, uint64_t serial, uint64_t began_ns, bool complete)
{
	uint32_t m = topology_memdev_by_serial(e, serial);
	struct memdev *memdev;

	if (!complete ||
	    (m != ISO_NONE && e->memdevs[m].duplicate_serial)) /* of which of the two? */
		return;
	ledger_verify(e, serial, began_ns); /* also of one that nobody has seen here yet */
	if (m == ISO_NONE)
		return;
	memdev = &e->memdevs[m];
	memdev->poison_read_ns = began_ns;
	memdev->poison_problem[0] = '\0';
	checked(e, memdev, began_ns);
	if (ledger_reopen(e, memdev, began_ns))
		emit_note(e, ISO_NOTE_POISON, 0, "%s: all that is bad on it is known again",
			  memdev->path);
}

static void not_read(struct iso_engine *e, struct memdev *memdev,
		     const struct iso_completion *completion)
{
	bool never = completion->result == -EOPNOTSUPP;
	uint32_t shift = memdev->poison_failures < 5 ? memdev->poison_failures : 5;

	if (operation_problem(memdev->poison_problem, completion->message))
		emit_note(e, ISO_NOTE_FAILED, 0, "%s: its poison list is not read: %s",
			  memdev->path, memdev->poison_problem);
	if (!never && ++memdev->poison_failures < e->policy.attempts) {
		memdev->poison_due = true;
		memdev->poison_retry_ns = e->now_ns + (e->policy.retry_ns << shift);
		engine_arm(e, memdev->poison_retry_ns);
		return;
	}
	/* Nothing more can be known: what is bad there shows when it is used. */
	memdev->poison_failures = 0;
	checked(e, memdev, memdev->poison_began_ns);
}

void poison_list_completed(struct iso_engine *e, uint32_t m,
			   const struct iso_completion *completion)
{
	struct memdev *memdev = &e->memdevs[m];

	memdev->poison_operation = 0;
	if (completion->result < 0) {
		not_read(e, memdev, completion);
		return;
	}
	memdev->poison_failures = 0;
	poison_list_read(e, memdev->serial, memdev->poison_began_ns, true);
}
