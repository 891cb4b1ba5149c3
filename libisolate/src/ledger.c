/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ledger of bad ranges. A range is bad until it was cleared and a later
 * poison list of its memdev does not have it any more; it is kept after that,
 * so that an old record that is heard again does not make it bad anew.
 */
#include "state.h"

/* When it was told of last is stored to this much. */
#define SAVE_AGAIN_NS UINT64_C(1000000000)

static void changed(struct iso_engine *e, uint32_t b)
{
	e->n_unsaved += !e->bad[b].unsaved;
	e->bad[b].unsaved = true;
	e->ledger_dirty = true;
}

static const char no_place[] = "it has more bad ranges than there is room for";

/* What found none is told again by its memdev's list. */
static void room_made(struct iso_engine *e)
{
	uint32_t m;

	for (m = 0; m < e->n_memdevs; m++)
		if (e->memdevs[m].closed_ns && e->memdevs[m].closed == no_place)
			e->memdevs[m].poison_due = true;
}

static void set_state(struct iso_engine *e, uint32_t b, enum iso_bad_state state)
{
	if (state == ISO_BAD_VERIFIED && e->bad[b].state != ISO_BAD_VERIFIED)
		room_made(e);
	e->n_not_good += (state != ISO_BAD_VERIFIED);
	e->n_not_good -= (e->bad[b].state != ISO_BAD_VERIFIED);
	e->bad[b].state = state;
	changed(e, b);
}

static bool same_space(const struct bad_range *a, const struct bad_range *b)
{
	if (a->has_dpa && b->has_dpa)
		return a->serial == b->serial;
	return a->region != ISO_NONE && a->region == b->region &&
	       a->region_epoch == b->region_epoch;
}

static uint64_t start_of(const struct bad_range *a, const struct bad_range *other)
{
	return a->has_dpa && other->has_dpa ? a->dpa.v : a->offset.v;
}

static bool overlaps(const struct bad_range *a, const struct bad_range *b)
{
	uint64_t a_start = start_of(a, b), b_start = start_of(b, a);

	return same_space(a, b) && a_start < b_start + b->bytes && b_start < a_start + a->bytes;
}

static bool contains(const struct bad_range *outer, const struct bad_range *inner)
{
	uint64_t outer_start = start_of(outer, inner), start = start_of(inner, outer);

	return same_space(outer, inner) && start >= outer_start &&
	       start + inner->bytes <= outer_start + outer->bytes;
}

/* A free place, else that of what has been good the longest. */
static uint32_t slot(struct iso_engine *e)
{
	uint32_t b, oldest = ISO_NONE;

	for (b = 0; b < e->n_bad; b++)
		if (!e->bad[b].used)
			return b;
	if (e->n_bad < e->limits.bad_ranges) {
		e->bad[e->n_bad] = (struct bad_range){0};
		return e->n_bad++;
	}
	for (b = 0; b < e->n_bad; b++)
		if (e->bad[b].state == ISO_BAD_VERIFIED &&
		    (oldest == ISO_NONE || e->bad[b].cleared_ns < e->bad[oldest].cleared_ns))
			oldest = b;
	return oldest;
}

static bool has_room(const struct iso_engine *e)
{
	uint32_t b;

	for (b = 0; b < e->n_bad && e->bad[b].used && e->bad[b].state != ISO_BAD_VERIFIED; b++)
		;
	return b < e->limits.bad_ranges;
}

static void close_for(struct iso_engine *e, struct memdev *memdev, const char *why)
{
	memdev->closed_ns = e->now_ns ? e->now_ns : 1;
	memdev->closed = why;
	e->ledger_dirty = true;
}

/* What cannot be written down must not be forgotten: nobody is placed there. */
void ledger_close(struct iso_engine *e, uint32_t m, const char *why)
{
	if (m == ISO_NONE) { /* it is away, and nobody has seen it yet */
		e->ledger_forgot = true;
		return;
	}
	if (!e->memdevs[m].closed_ns)
		emit_note(e, ISO_NOTE_POISON, 0, "%s takes nobody more: %s", e->memdevs[m].path,
			  why);
	close_for(e, &e->memdevs[m], why);
}

/* It may be the one of which nothing could be written down. */
void ledger_newcomer(struct iso_engine *e, struct memdev *memdev)
{
	if (e->ledger_forgot)
		close_for(e, memdev, no_place);
}

/* Whoever read all of the list since then has told anew what it was closed for, and that was written down. */
bool ledger_reopen(struct iso_engine *e, struct memdev *memdev, uint64_t began_ns)
{
	if (!memdev->closed_ns || memdev->closed_ns >= began_ns || !has_room(e))
		return false;
	memdev->closed_ns = 0;
	e->ledger_dirty = true;
	return true;
}

static void no_room(struct iso_engine *e, const struct bad_range *key)
{
	uint32_t i;

	if (key->has_dpa) {
		ledger_close(e, topology_memdev_by_serial(e, key->serial), no_place);
		return;
	}
	for (i = 0; i < e->regions[key->region].definition.ways; i++)
		ledger_close(e, e->regions[key->region].legs[i], no_place);
}

static bool is_synthetic(const struct bad_range *bad)
{
	return bad->evidence & ISO_POISON_SYNTHETIC;
}

static uint32_t evidence_of(const struct iso_poison *poison)
{
	return poison->evidence | (poison->synthetic ? ISO_POISON_SYNTHETIC : 0);
}

/* A drill does not touch what the hardware says: it takes back what is marked as its own, and nothing else. */
static bool is_out_of_reach(const struct bad_range *bad, const struct iso_poison *poison)
{
	return poison->synthetic && !is_synthetic(bad) && bad->state != ISO_BAD_VERIFIED;
}

static void take_evidence(struct iso_engine *e, uint32_t b, const struct iso_poison *poison)
{
	struct bad_range *bad = &e->bad[b];
	uint32_t told = evidence_of(poison);

	if (is_synthetic(bad) == poison->synthetic)
		told |= bad->evidence;
	if (told != bad->evidence)
		changed(e, b);
	bad->evidence = told;
}

static void told_again(struct iso_engine *e, uint32_t b, const struct bad_range *key,
		       const struct iso_poison *poison)
{
	struct bad_range *bad = &e->bad[b];

	if (is_out_of_reach(bad, poison))
		return;
	take_evidence(e, b, poison);
	/* Its region was made anew since, and only the kernel could tell where it lies in that. */
	if (key->region != ISO_NONE && bad->has_dpa && bad->dpa.v == key->dpa.v &&
	    bad->bytes == key->bytes &&
	    (bad->region != key->region || bad->region_epoch != key->region_epoch)) {
		bad->region = key->region;
		bad->region_epoch = key->region_epoch;
		bad->offset = key->offset;
		changed(e, b);
	}
	if (bad->state != ISO_BAD_BAD)
		set_state(e, b, ISO_BAD_BAD);
	if (poison->record_ns <= bad->last_ns)
		return;
	bad->last_ns = poison->record_ns;
	/*
	 * A storm of the same is no storm of writes. A clearing that a start takes for
	 * newer than it was makes nothing good: the list has to agree.
	 */
	if (bad->last_ns - bad->saved_ns >= SAVE_AGAIN_NS)
		changed(e, b);
}

/*
 * Return: the range, new or known; LEDGER_OUTDATED when the record is older than
 * its clearing; or ISO_NONE when there is no room.
 */
uint32_t ledger_add(struct iso_engine *e, const struct bad_range *key,
		    const struct iso_poison *poison)
{
	uint32_t b, found = ISO_NONE;

	for (b = 0; b < e->n_bad; b++) {
		struct bad_range *bad = &e->bad[b];
		bool whole;

		if (!bad->used || !overlaps(bad, key))
			continue;
		whole = contains(bad, key);
		/* A part of what was cleared is still bad, or a part of what was good is bad again. */
		if (bad->state != ISO_BAD_BAD && poison->record_ns <= bad->cleared_ns) {
			if (whole)
				return LEDGER_OUTDATED;
		} else if (whole || bad->state == ISO_BAD_CLEARED) {
			told_again(e, b, key, poison);
			if (whole && found == ISO_NONE)
				found = b;
		}
	}
	if (found != ISO_NONE)
		return found;
	b = slot(e);
	if (b == ISO_NONE) {
		no_room(e, key);
		return ISO_NONE;
	}
	e->bad[b] = (struct bad_range){
		.used = true,
		.unsaved = e->bad[b].unsaved,
		.has_dpa = key->has_dpa,
		.state = ISO_BAD_VERIFIED,
		.evidence = evidence_of(poison),
		.serial = key->serial,
		.dpa = key->dpa,
		.region = key->region,
		.region_epoch = key->region_epoch,
		.offset = key->offset,
		.bytes = key->bytes,
		.first_ns = poison->record_ns,
		.last_ns = poison->record_ns,
	};
	set_state(e, b, ISO_BAD_BAD);
	return b;
}

/* It never was bad. What is known of it from before the drill stays as it was. */
static void take_back(struct iso_engine *e, uint32_t b)
{
	struct bad_range *bad = &e->bad[b];

	emit_note(e, ISO_NOTE_POISON, 0, "%llu bytes at %s %#llx were bad in a drill only",
		  (unsigned long long)bad->bytes, bad->has_dpa ? "dpa" : "region offset",
		  (unsigned long long)(bad->has_dpa ? bad->dpa.v : bad->offset.v));
	set_state(e, b, ISO_BAD_VERIFIED);
	bad->used = bad->cleared_ns != 0;
}

static void take_back_all(struct iso_engine *e, const struct bad_range *key)
{
	uint32_t b;

	for (b = 0; b < e->n_bad; b++)
		if (e->bad[b].used && e->bad[b].state == ISO_BAD_BAD && is_synthetic(&e->bad[b]) &&
		    overlaps(&e->bad[b], key))
			take_back(e, b);
}

/* Only what no other evidence than this speaks of. */
void ledger_clear(struct iso_engine *e, const struct bad_range *key,
		  const struct iso_poison *poison, uint32_t evidence)
{
	uint32_t b;

	if (poison->synthetic) {
		take_back_all(e, key);
		return;
	}
	for (b = 0; b < e->n_bad; b++) {
		struct bad_range *bad = &e->bad[b];

		if (!bad->used || bad->state != ISO_BAD_BAD || !overlaps(bad, key) ||
		    (bad->evidence & ~(evidence | ISO_POISON_SYNTHETIC)) ||
		    poison->record_ns < bad->last_ns)
			continue;
		bad->cleared_ns = poison->record_ns;
		bad->legs_read = 0;
		bad->evidence |= poison->evidence;
		set_state(e, b, ISO_BAD_CLEARED);
		emit_note(e, ISO_NOTE_POISON, 0,
			  "%llu bytes at %s %#llx were cleared; good once the poison list agrees",
			  (unsigned long long)bad->bytes, bad->has_dpa ? "dpa" : "region offset",
			  (unsigned long long)(bad->has_dpa ? bad->dpa.v : bad->offset.v));
	}
}

/* Which leg of its region it is; ISO_NONE: none. */
static uint32_t leg_of(const struct iso_engine *e, const struct bad_range *bad, uint64_t serial)
{
	const struct region *region = &e->regions[bad->region];
	uint32_t i;

	for (i = 0; i < region->definition.ways; i++)
		if (region->definition.serials[i] == serial)
			return i;
	return ISO_NONE;
}

static bool list_agrees(const struct iso_engine *e, struct bad_range *bad, uint64_t serial)
{
	uint32_t leg;

	if (bad->has_dpa)
		return bad->serial == serial;
	leg = leg_of(e, bad, serial);
	if (leg == ISO_NONE)
		return false;
	bad->legs_read |= 1u << leg;
	return bad->legs_read == (1u << e->regions[bad->region].definition.ways) - 1;
}

/* All that is bad on this memdev has been told since then: what was cleared and is not among it is good. */
void ledger_verify(struct iso_engine *e, uint64_t serial, uint64_t began_ns)
{
	uint32_t b;

	for (b = 0; b < e->n_bad; b++) {
		struct bad_range *bad = &e->bad[b];

		if (!bad->used || bad->state != ISO_BAD_CLEARED || bad->cleared_ns > began_ns ||
		    !list_agrees(e, bad, serial))
			continue;
		set_state(e, b, ISO_BAD_VERIFIED);
		emit_note(e, ISO_NOTE_POISON, 0,
			  "%llu bytes at %s %#llx are good again: leased as any other",
			  (unsigned long long)bad->bytes, bad->has_dpa ? "dpa" : "region offset",
			  (unsigned long long)(bad->has_dpa ? bad->dpa.v : bad->offset.v));
	}
}

/* Whose memory it was when it was found. */
void ledger_hit(struct iso_engine *e, uint32_t b, uint32_t i)
{
	const struct instance *instance = &e->instances[i];
	struct bad_range *bad = &e->bad[b];

	if (bad->hit_begun_ns == instance->begun_ns &&
	    !strcmp(bad->lease, e->leases[instance->lease].terms.name))
		return;
	bad->hit_begun_ns = instance->begun_ns;
	copy_text(bad->lease, sizeof(bad->lease), e->leases[instance->lease].terms.name);
	changed(e, b);
}

/* Its places mean nothing any more; what is known by its memdevs stays. */
void ledger_forget_region(struct iso_engine *e, uint32_t r)
{
	uint32_t b;

	for (b = 0; b < e->n_bad; b++) {
		struct bad_range *bad = &e->bad[b];

		if (!bad->used || bad->region != r)
			continue;
		bad->region = ISO_NONE;
		if (!bad->has_dpa) {
			set_state(e, b, ISO_BAD_VERIFIED); /* for the count */
			bad->used = false;
		}
		changed(e, b);
	}
	e->ledger_dirty = true;
}

/*
 * It was made again, or its object refilled: over the same memdevs in the same
 * order, so what is known by its place only is taken to be there still. Where
 * it is not, a good place is kept clear, and the bad one is no worse known.
 */
void ledger_region_made(struct iso_engine *e, uint32_t r)
{
	uint32_t b;

	for (b = 0; b < e->n_bad; b++) {
		struct bad_range *bad = &e->bad[b];

		if (!bad->used || bad->region != r)
			continue;
		if (bad->has_dpa)
			bad->region = ISO_NONE;
		else
			bad->region_epoch = e->regions[r].epoch;
		changed(e, b);
	}
	e->ledger_dirty = true;
}

/* What was known by its place in a region only is known by its memdevs now, and outlives the region. */
void ledger_resettle(struct iso_engine *e, uint32_t r)
{
	struct bad_range keys[ISO_WAYS_MAX];
	uint32_t b, k, n, was = e->n_bad;

	for (b = 0; e->n_not_good && b < was; b++) {
		struct bad_range *bad = &e->bad[b];
		struct iso_poison poison = {
			.has_hpa = true,
			.hpa = {e->regions[r].range.start.v + bad->offset.v},
			.bytes = bad->bytes,
			.record_ns = bad->last_ns,
			.evidence = bad->evidence,
			.synthetic = is_synthetic(bad),
		};

		if (!bad->used || bad->has_dpa || bad->region != r || bad->state != ISO_BAD_BAD)
			continue;
		n = place_keys(e, &poison, keys);
		if (!n || !keys[0].has_dpa)
			continue;
		bad->has_dpa = true;
		bad->serial = keys[0].serial;
		bad->dpa = keys[0].dpa;
		bad->bytes = keys[0].bytes;
		bad->region = ISO_NONE;
		changed(e, b);
		for (k = 1; k < n; k++)
			ledger_add(e, &keys[k], &poison);
	}
}

/* Before the first observation. A region's place is kept only for the same boot. */
void ledger_restore(struct iso_engine *e, const struct iso_restore_poison *restore)
{
	uint32_t r = restore->region[0] ? iso_region_find(e, restore->region) : ISO_NONE;
	struct bad_range *bad;

	if (restore->slot >= e->limits.bad_ranges || !restore->bytes ||
	    restore->state >= ISO_BAD_STATES || (!restore->has_dpa && r == ISO_NONE))
		return;
	bad = &e->bad[restore->slot];
	if (restore->slot < e->n_bad && bad->used)
		return;
	while (e->n_bad <= restore->slot)
		e->bad[e->n_bad++] = (struct bad_range){0};
	*bad = (struct bad_range){
		.used = true,
		.has_dpa = restore->has_dpa,
		.state = restore->state,
		.evidence = restore->evidence,
		.serial = restore->serial,
		.dpa = restore->dpa,
		.region = r,
		.region_epoch = r != ISO_NONE ? e->regions[r].epoch : 0,
		.offset = restore->offset,
		.bytes = restore->bytes,
		.first_ns = restore->first_ns,
		.last_ns = restore->last_ns,
		.saved_ns = restore->last_ns,
		.cleared_ns = restore->cleared_ns,
		.hit_begun_ns = restore->hit_begun_ns,
	};
	copy_text(bad->lease, sizeof(bad->lease), restore->lease);
	e->n_not_good += restore->state != ISO_BAD_VERIFIED;
	e->ledger_dirty = true;
}

/* To the store, so many in one step; the rest in the next. */
void ledger_flush(struct iso_engine *e)
{
	uint32_t b, n = 0;

	for (b = 0; e->n_unsaved && b < e->n_bad && n < LEDGER_SAVES_MAX; b++) {
		if (!e->bad[b].unsaved)
			continue;
		e->bad[b].unsaved = false;
		e->bad[b].saved_ns = e->bad[b].last_ns;
		e->n_unsaved--;
		emit(e, ISO_EFFECT_SAVE_POISON)->bad = b;
		n++;
	}
	if (e->n_unsaved)
		engine_arm(e, e->now_ns);
}

uint32_t iso_bad_count(const struct iso_engine *e)
{
	return e->n_bad;
}

/* Where it lies now, and whose that is. */
static void view_place(const struct iso_engine *e, const struct bad_range *bad,
		       struct iso_bad_view *ret)
{
	struct region_span span;
	uint32_t r, i;

	for (r = 0; r < e->n_regions; r++) {
		if (place_bad(e, bad, r, &span) != PLACE_HERE)
			continue;
		ret->region = r;
		ret->offset = span.start;
		ret->hpa.v = e->regions[r].range.start.v + span.start.v;
		for (i = e->regions[r].first_instance; i != ISO_NONE; i = e->instances[i].next)
			if (!e->instances[i].lost && place_covers(e, &e->instances[i], span))
				ret->instance = i;
		return;
	}
}

bool iso_bad_get(const struct iso_engine *e, uint32_t i, struct iso_bad_view *ret)
{
	const struct bad_range *bad = &e->bad[i];

	if (i >= e->n_bad || !bad->used)
		return false;
	*ret = (struct iso_bad_view){
		.state = bad->state,
		.evidence = bad->evidence,
		.has_dpa = bad->has_dpa,
		.serial = bad->serial,
		.dpa = bad->dpa,
		.bytes = bad->bytes,
		.first_ns = bad->first_ns,
		.last_ns = bad->last_ns,
		.cleared_ns = bad->cleared_ns,
		.memdev = bad->has_dpa ? topology_memdev_by_serial(e, bad->serial) : ISO_NONE,
		.region = ISO_NONE,
		.instance = ISO_NONE,
		.lease = bad->lease,
		.region_name = bad->region != ISO_NONE ? e->regions[bad->region].definition.name
						       : "",
		.hit_begun_ns = bad->hit_begun_ns,
	};
	view_place(e, bad, ret);
	if (bad->region != ISO_NONE)
		ret->offset = bad->offset;
	return true;
}
