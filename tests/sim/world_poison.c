/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bad memory of the simulated platform: lines of memdevs, what tells of them,
 * and who may stand on them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

enum { LINE_BYTES = 64, PAGE_BYTES = 4096, UNIT_BYTES = 2 << 20, UNITS_MAX = 2048 };

static uint32_t memdev_with(const struct world *w, uint64_t serial)
{
	uint32_t m;

	for (m = 0; m < w->n_memdevs && w->seen_memdevs[m].serial != serial; m++)
		;
	return m;
}

/* The kernel's own sum: where a line is in the host's addresses. */
bool kernel_hpa_of(const struct world *w, const struct world_line *line, struct iso_hpa *ret)
{
	uint64_t serial = w->seen_memdevs[line->memdev].serial;
	uint32_t o, i;

	for (o = 0; o < WORLD_OBJECTS; o++)
		for (i = 0; w->objects[o].used && w->objects[o].committed && i < w->objects[o].ways;
		     i++) {
			const struct world_object *object = &w->objects[o];
			const struct iso_observed_target *target = &object->targets[i];
			uint64_t within = line->dpa - target->dpa.start.v, granule;

			if (!target->present || target->serial != serial ||
			    line->dpa < target->dpa.start.v || within >= target->dpa.bytes)
				continue;
			granule = object->granularity ? object->granularity : 256;
			ret->v = object->range.start.v +
				 (within / granule * object->ways + i) * granule + within % granule;
			return true;
		}
	return false;
}

static bool dax_covers(const struct world_dax *dax, struct iso_hpa hpa)
{
	uint32_t p;

	for (p = 0; p < dax->n_pieces; p++)
		if (hpa.v >= dax->pieces[p].start.v &&
		    hpa.v - dax->pieces[p].start.v < dax->pieces[p].bytes)
			return true;
	return false;
}

/* A line that was told to be bad since this was carved. */
static const struct world_line *told_under(const struct world *w, const struct world_dax *dax)
{
	struct iso_hpa hpa;
	uint32_t i;

	for (i = 0; i < w->n_lines; i++)
		if (w->lines[i].told_ns && w->lines[i].told_ns >= dax->begun_ns &&
		    kernel_hpa_of(w, &w->lines[i], &hpa) && dax_covers(dax, hpa))
			return &w->lines[i];
	return NULL;
}

bool world_poisoned(const struct world *w, const struct world_process *process)
{
	uint32_t i;

	for (i = 0; i < process->n_maps; i++)
		if (told_under(w, &w->dax[process->maps[i]]))
			return true;
	return false;
}

/* Not bad any more as somebody says, and no list that was read since has agreed. */
static bool in_doubt(const struct world *w, const struct world_line *line)
{
	return line->bad || line->cleared_ns > w->memdevs[line->memdev].listed_ns;
}

/* What this engine was told in time. */
static const struct world_line *heard_under(const struct world *w, const struct world_dax *dax)
{
	struct iso_hpa hpa;
	uint32_t i;

	for (i = 0; i < w->n_lines; i++)
		if (in_doubt(w, &w->lines[i]) && w->lines[i].heard_life == w->life &&
		    kernel_hpa_of(w, &w->lines[i], &hpa) && dax_covers(dax, hpa))
			return &w->lines[i];
	return NULL;
}

void world_check_hand_over(struct world *w, uint32_t l)
{
	struct iso_instance_view view;
	struct iso_lease_view lease;
	const struct world_line *line;
	uint32_t i, x;

	/* One that is being ended gets its nodes taken back as soon as they are given. */
	if (!iso_lease_get(w->engine, l, &lease) || lease.state != ISO_LEASE_PREPARING)
		return;
	for (i = 0; i < lease.n_instances; i++) {
		iso_instance_get(w->engine, lease.instances[i], &view);
		x = kernel_dax_of(w, &view);
		line = x != ISO_NONE ? heard_under(w, &w->dax[x]) : NULL;
		if (line)
			world_break(w, "%s is handed memory that is bad: %#llx of memdev %#llx",
				    lease.terms->name, (unsigned long long)line->dpa,
				    (unsigned long long)w->seen_memdevs[line->memdev].serial);
	}
}

/* What was bad before the daemon began is in the lists, and these come first. */
void world_check_carve(struct world *w, uint32_t instance)
{
	struct iso_instance_view view;
	struct iso_region_view region;
	uint32_t i, j;

	if (!w->policy.reads_poison || w->spoil.nth || w->n_plans ||
	    !iso_instance_get(w->engine, instance, &view) ||
	    !iso_region_get(w->engine, view.region, &region))
		return;
	for (i = 0; i < w->n_lines; i++)
		for (j = 0; w->lines[i].bad && j < region.definition->ways; j++)
			if (w->seen_memdevs[w->lines[i].memdev].serial ==
				    region.definition->serials[j] &&
			    w->lines[i].bad_ns < w->life_ns && w->lines[i].heard_life != w->life)
				world_break(w, "%s is carved in before its poison lists are read",
					    region.definition->name);
}

static bool names(const struct world *w, const struct iso_poison *poison,
		  const struct world_line *line)
{
	struct iso_hpa hpa;

	if (poison->has_serial && poison->has_dpa)
		return w->seen_memdevs[line->memdev].serial == poison->serial &&
		       line->dpa >= poison->dpa.v && line->dpa - poison->dpa.v < poison->bytes;
	return kernel_hpa_of(w, line, &hpa) && hpa.v >= poison->hpa.v &&
	       hpa.v - poison->hpa.v < poison->bytes;
}

/* An address means nothing to an engine that does not know of a region there. */
static bool means_something(const struct world *w, const struct iso_poison *poison)
{
	struct iso_region_view region;
	uint32_t i;

	if ((poison->has_serial && poison->has_dpa) || world_domain(w, 0) == ISO_DOMAIN_UNKNOWN)
		return true;
	for (i = 0; i < iso_region_count(w->engine); i++)
		if (iso_region_get(w->engine, i, &region) && region.state == ISO_REGION_LIVE &&
		    poison->hpa.v >= region.range.start.v &&
		    poison->hpa.v - region.range.start.v < region.range.bytes)
			return true;
	return false;
}

/* The engine is about to be told. */
void world_poison_heard(struct world *w, const struct iso_poison *poison)
{
	uint32_t i;

	for (i = 0; i < w->n_lines; i++) {
		if (poison->cleared || !names(w, poison, &w->lines[i]) ||
		    !means_something(w, poison))
			continue;
		if (poison->record_ns >= w->lines[i].doubt_ns)
			w->lines[i].heard_life = w->life;
		if (poison->record_ns > w->lines[i].told_ns)
			w->lines[i].told_ns = poison->record_ns;
	}
}

static bool wants_to_die(const struct world *w, const struct iso_acquire *terms)
{
	uint32_t action = terms->poison ? terms->poison : w->policy.poison;

	return action == ISO_POISON_KILL;
}

/* Whoever has had this memory since before the record, and wants to die for that, is dying. */
void world_check_poison(struct world *w, const struct iso_poison *poison)
{
	struct iso_instance_view view;
	struct iso_lease_view lease;
	uint32_t l, p, x, i;
	struct iso_hpa hpa;

	for (l = 0; l < iso_lease_count(w->engine); l++) {
		if (!iso_lease_get(w->engine, l, &lease) || lease.state != ISO_LEASE_ATTACHED ||
		    !wants_to_die(w, lease.terms))
			continue;
		for (p = 0; p < lease.n_instances; p++) {
			iso_instance_get(w->engine, lease.instances[p], &view);
			x = kernel_dax_of(w, &view);
			for (i = 0; x != ISO_NONE && i < w->n_lines; i++)
				if (names(w, poison, &w->lines[i]) && poison->has_hpa &&
				    w->dax[x].begun_ns <= poison->record_ns &&
				    kernel_hpa_of(w, &w->lines[i], &hpa) &&
				    dax_covers(&w->dax[x], hpa))
					world_break(w, "%s lives on in poisoned memory",
						    lease.terms->name);
		}
	}
}

/* A record of the kernel about a line; with `page` of the page that was lost with it. */
static void record_of(const struct world *w, const struct world_line *line, bool page,
		      struct iso_poison *ret)
{
	*ret = (struct iso_poison){
		.has_serial = !page,
		.has_dpa = !page,
		.serial = w->seen_memdevs[line->memdev].serial,
		.dpa = {line->dpa},
		.bytes = page ? PAGE_BYTES : LINE_BYTES,
		.record_ns = w->now_ns,
		.evidence = page ? ISO_POISON_MEMORY_FAILURE : ISO_POISON_MEDIA,
	};
	ret->has_hpa = kernel_hpa_of(w, line, &ret->hpa);
	if (page)
		ret->hpa.v -= ret->hpa.v % PAGE_BYTES;
}

struct world_line *world_poison(struct world *w, uint32_t memdev, uint64_t dpa,
				enum world_telling telling)
{
	struct world_line *line;
	struct iso_event *event;
	uint32_t i;

	for (i = 0; i < w->n_lines; i++)
		if (w->lines[i].memdev == memdev && w->lines[i].dpa == dpa)
			break;
	if (i == WORLD_LINES)
		return NULL;
	line = &w->lines[i];
	if (i == w->n_lines)
		w->lines[w->n_lines++] = (struct world_line){.memdev = memdev, .dpa = dpa};
	if (!in_doubt(w, line)) { /* what was told of earlier times says nothing of this one */
		line->doubt_ns = w->now_ns;
		line->heard_life = 0;
	}
	if (!line->bad)
		line->bad_ns = w->now_ns;
	line->bad = true;
	if (telling == WORLD_TELLS_NOBODY)
		return line;
	/* Some are heard of only when somebody else has that memory. */
	event = world_later(w,
			    telling != WORLD_TELLS_PAGE && w->order % 3 == 0 ? 1 + w->late_ns : 1);
	event->kind = ISO_EVENT_POISON;
	record_of(w, line, telling == WORLD_TELLS_PAGE, &event->poison);
	if (telling == WORLD_TELLS_DPA)
		event->poison.has_hpa = false;
	return line;
}

/* Somebody writes good data there, and the kernel tells. */
void world_clear_poison(struct world *w, struct world_line *line)
{
	struct iso_event event = {.kind = ISO_EVENT_POISON};

	if (line->bad)
		line->cleared_ns = w->now_ns;
	line->bad = false;
	record_of(w, line, false, &event.poison);
	event.poison.cleared = true;
	event.poison.evidence = ISO_POISON_CLEAR;
	world_step(w, &event);
}

/* A person clears whatever `poison list` shows. */
void world_clear_all_poison(struct world *w)
{
	struct iso_event event = {.kind = ISO_EVENT_POISON};
	struct iso_bad_view bad;
	uint32_t i, life = w->life;

	for (i = 0; i < w->n_lines && w->life == life; i++)
		world_clear_poison(w, &w->lines[i]);
	for (i = 0; w->life == life && i < iso_bad_count(w->engine); i++) {
		if (!iso_bad_get(w->engine, i, &bad) || bad.state == ISO_BAD_VERIFIED)
			continue;
		event.poison = (struct iso_poison){
			.cleared = true,
			.has_serial = bad.has_dpa,
			.has_dpa = bad.has_dpa,
			.serial = bad.serial,
			.dpa = bad.dpa,
			.has_hpa = bad.region != ISO_NONE,
			.hpa = bad.hpa,
			.bytes = bad.bytes,
			.record_ns = w->now_ns,
			.evidence = ISO_POISON_CLEAR,
		};
		world_step(w, &event);
	}
	world_read_lists(w);
}

void world_read_lists(struct world *w)
{
	struct iso_event event = {.kind = ISO_EVENT_READ_POISON};
	uint32_t m, life = w->life;

	if (w->policy.reads_poison) {
		world_step(w, &event);
		return;
	}
	event.kind = ISO_EVENT_POISON_LIST_READ; /* by somebody else, and it was empty */
	for (m = 0; m < w->n_memdevs && w->life == life; m++) {
		event.list_read.serial = w->seen_memdevs[m].serial;
		event.list_read.record_ns = w->now_ns;
		event.list_read.complete = true;
		w->memdevs[m].listed_ns = w->now_ns;
		world_step(w, &event);
	}
}

/* The records come before the completion. */
int kernel_read_poison(struct world *w, const struct iso_effect *effect)
{
	struct iso_memdev_view view;
	struct iso_event *event;
	uint32_t m, i;

	if (!iso_memdev_get(w->engine, effect->memdev, &view))
		return -ENOENT;
	m = memdev_with(w, view.serial);
	if (m == w->n_memdevs || !kernel_memdev_works(w, m))
		return -ENXIO;
	w->memdevs[m].listed_ns = effect->at_ns;
	for (i = 0; i < w->n_lines; i++) {
		if (!w->lines[i].bad || w->lines[i].memdev != m)
			continue;
		event = world_later(w, 0);
		event->kind = ISO_EVENT_POISON;
		record_of(w, &w->lines[i], false, &event->poison);
		event->poison.evidence = ISO_POISON_LIST;
	}
	return 0;
}

static void take_units(const struct world_object *object, struct iso_hpa_range range, bool *taken)
{
	uint64_t at = range.start.v - object->range.start.v, end = at + range.bytes;

	for (; at < end && at / UNIT_BYTES < UNITS_MAX; at += UNIT_BYTES)
		taken[at / UNIT_BYTES] = true;
}

/* First fit from the lowest hole, around what the daemon said is bad. */
int kernel_place(struct world *w, const struct iso_instance_view *view, struct world_dax *dax)
{
	const struct world_object *object = &w->objects[dax->object];
	struct iso_hpa_range avoid[ISO_AVOID_MAX];
	uint64_t units = object->range.bytes / UNIT_BYTES, left = dax->bytes, u;
	bool taken[UNITS_MAX] = {0};
	uint32_t i, p, n = iso_region_avoid(w->engine, view->region, view->align, avoid);

	if (units > UNITS_MAX || dax->bytes % UNIT_BYTES)
		return 0; /* of a test that does not care */
	for (i = 0; i < WORLD_DAX; i++)
		for (p = 0; w->dax[i].used && w->dax[i].exists && &w->dax[i] != dax &&
			    w->dax[i].object == dax->object && p < w->dax[i].n_pieces;
		     p++)
			take_units(object, w->dax[i].pieces[p], taken);
	for (i = 0; i < n && n <= ISO_AVOID_MAX; i++)
		take_units(object, avoid[i], taken);
	for (u = 0; u < units && left; u++) {
		uint64_t at = object->range.start.v + u * UNIT_BYTES;
		struct iso_hpa_range *last = dax->n_pieces ? &dax->pieces[dax->n_pieces - 1] : NULL;

		if (taken[u])
			continue;
		if (last && last->start.v + last->bytes == at) {
			last->bytes += UNIT_BYTES;
		} else {
			if (dax->n_pieces == ISO_PIECES_MAX)
				return -E2BIG;
			dax->pieces[dax->n_pieces++] = (struct iso_hpa_range){{at}, UNIT_BYTES};
		}
		left -= UNIT_BYTES;
	}
	return left ? -ENOSPC : 0;
}

void world_store_poison(struct world *w, uint32_t slot)
{
	struct iso_restore_poison *saved = &w->stored.poison[slot];
	struct iso_bad_view view;

	world_room(w, slot, WORLD_BAD);
	if (slot >= w->stored.n_poison)
		w->stored.n_poison = slot + 1;
	*saved = (struct iso_restore_poison){.slot = slot};
	if (!iso_bad_get(w->engine, slot, &view))
		return;
	*saved = (struct iso_restore_poison){
		.slot = slot,
		.state = view.state,
		.has_dpa = view.has_dpa,
		.serial = view.serial,
		.dpa = view.dpa,
		.offset = view.offset,
		.bytes = view.bytes,
		.evidence = view.evidence,
		.first_ns = view.first_ns,
		.last_ns = view.last_ns,
		.cleared_ns = view.cleared_ns,
		.hit_begun_ns = view.hit_begun_ns,
	};
	strcpy(saved->region, view.region_name);
	strcpy(saved->lease, view.lease);
}
