/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a record that names memory to the ledger, and to whom it harms: the VM
 * whose memory that is, if it was its memory when the record was made, and
 * nobody else. Where it cannot be told whose it is nobody is killed by guess,
 * and the memdev takes nobody more.
 */
#include "state.h"

static const uint64_t line_bytes = 64, page_bytes = 4096;
static const uint64_t address_end = UINT64_C(1) << 56; /* ~0 is how the kernel says "not known" */

bool poison_kills(const struct iso_engine *e, const struct lease *lease)
{
	uint32_t action = lease->terms.poison ? lease->terms.poison : e->policy.poison;

	return action != ISO_POISON_NOTIFY && action != ISO_POISON_IGNORE;
}

static bool notifies(const struct iso_engine *e, const struct lease *lease)
{
	uint32_t action = lease->terms.poison ? lease->terms.poison : e->policy.poison;

	return action == ISO_POISON_NOTIFY;
}

/* The memdev where that is known, else the region. */
static const char *unit_of(const struct iso_engine *e, const struct bad_range *bad, uint32_t region)
{
	uint32_t m = bad && bad->has_dpa ? topology_memdev_by_serial(e, bad->serial) : ISO_NONE;

	return m != ISO_NONE && e->memdevs[m].path[0] ? e->memdevs[m].path
						      : e->regions[region].definition.name;
}

static void attached_hit(struct iso_engine *e, uint32_t i, uint32_t b, uint64_t record_ns)
{
	const struct instance *instance = &e->instances[i];
	const struct bad_range *bad = b != ISO_NONE ? &e->bad[b] : NULL;
	const struct lease *lease = &e->leases[instance->lease];
	struct iso_effect *note;
	bool known;

	if (record_ns < instance->begun_ns)
		return; /* it was somebody else's then, and is zeroed since */
	known = bad && bad->hit_begun_ns == instance->begun_ns &&
		!strcmp(bad->lease, lease->terms.name);
	if (b != ISO_NONE)
		ledger_hit(e, b, i);
	if (poison_kills(e, lease)) {
		fault_poisoned(e, i, unit_of(e, bad, instance->region), record_ns);
	} else if (notifies(e, lease) && !known) {
		note = emit_note(e, ISO_NOTE_POISON, 0,
				 "%s: its memory dax%u.%u is poisoned; it wants to be told only",
				 lease->terms.name, instance->region_kernel_id,
				 instance->kernel_id);
		note->lease = instance->lease;
		note->lease_epoch = lease->epoch;
	}
}

/* Nobody uses it yet: it is taken back, and what is got instead goes around. */
static void take_back(struct iso_engine *e, uint32_t i)
{
	uint32_t l = e->instances[i].lease;

	emit_note(e, ISO_NOTE_POISON, 0, "%s: memory made for it is bad: taken back",
		  e->leases[l].terms.name)
		->lease = l;
	if (e->leases[l].state == ISO_LEASE_PREPARING)
		lease_begin_end(e, l);
	else
		lease_fault(e, l, 0);
	lease_dirty(e, l);
}

static void instance_hit(struct iso_engine *e, uint32_t i, uint32_t b, uint64_t record_ns)
{
	uint32_t l = e->instances[i].lease;

	if (l == ISO_NONE || e->instances[i].lost)
		return;
	switch ((enum iso_lease_state)e->leases[l].state) {
	case ISO_LEASE_ATTACHED:
		attached_hit(e, i, b, record_ns);
		break;
	case ISO_LEASE_PREPARING:
	case ISO_LEASE_ACQUIRED:
	case ISO_LEASE_KEPT:
		take_back(e, i);
		break;
	case ISO_LEASE_WAITING:
	case ISO_LEASE_KILLED:
	case ISO_LEASE_VERIFYING:
	case ISO_LEASE_RETRACTING:
	case ISO_LEASE_STUCK:
	case ISO_LEASE_STATES:
		break;
	}
}

/* Return: whether it is known who has this span, be it nobody. */
static bool span_hit(struct iso_engine *e, uint32_t r, struct region_span span, uint32_t b,
		     uint64_t record_ns)
{
	bool known = true, found = false;
	uint32_t i, next;

	for (i = e->regions[r].first_instance; i != ISO_NONE; i = next) {
		const struct instance *instance = &e->instances[i];

		next = instance->next;
		if (place_covers(e, instance, span)) {
			found = true;
			instance_hit(e, i, b, record_ns);
		} else if (!instance->n_pieces && instance->named && instance->bytes) {
			known = false;
		}
	}
	return known || found;
}

static void tell_new(struct iso_engine *e, uint32_t b, uint32_t r)
{
	const struct bad_range *bad = &e->bad[b];
	char evidence[ISO_TEXT_BYTES];

	iso_poison_evidence_format(bad->evidence, evidence);
	if (bad->has_dpa)
		emit_note(e, ISO_NOTE_POISON, 0,
			  "serial %#llx: %llu bytes at dpa %#llx are bad (%.40s)%s%.48s",
			  (unsigned long long)bad->serial, (unsigned long long)bad->bytes,
			  (unsigned long long)bad->dpa.v, evidence,
			  r != ISO_NONE ? ", in region " : "",
			  r != ISO_NONE ? e->regions[r].definition.name : "")
			->region = r;
	else
		emit_note(e, ISO_NOTE_POISON, 0,
			  "region %.48s: %llu bytes at offset %#llx are bad (%.40s)",
			  e->regions[bad->region].definition.name, (unsigned long long)bad->bytes,
			  (unsigned long long)bad->offset.v, evidence)
			->region = bad->region;
}

/* One range, wherever it lies. Return: whether some region may have it and none tells where. */
static bool key_hit(struct iso_engine *e, const struct bad_range *key, uint32_t b,
		    uint64_t record_ns, uint32_t *ret_region)
{
	struct region_span span;
	bool unknown = false;
	uint32_t r;

	for (r = 0; r < e->n_regions; r++) {
		enum place place = place_bad(e, key, r, &span);

		unknown |= place == PLACE_UNKNOWN;
		if (place != PLACE_HERE || e->regions[r].state != ISO_REGION_LIVE)
			continue;
		*ret_region = r;
		if (!span_hit(e, r, span, b, record_ns))
			unknown = true;
	}
	return unknown;
}

static bool in_window(const struct iso_engine *e, struct iso_hpa hpa)
{
	uint32_t i;

	for (i = 0; i < e->n_windows; i++)
		if (hpa.v >= e->windows[i].observed.range.start.v &&
		    hpa.v - e->windows[i].observed.range.start.v <
			    e->windows[i].observed.range.bytes)
			return true;
	return false;
}

static void take_bad(struct iso_engine *e, const struct iso_poison *poison)
{
	/* It names a memdev and no address that could be resolved: all of it is in doubt. */
	static const char not_known_where[] =
		"memory of its memdev is bad, and it is not known where";
	struct bad_range keys[ISO_WAYS_MAX];
	uint32_t n = place_keys(e, poison, keys), k;

	if (!n && poison->has_serial)
		ledger_close(e, topology_memdev_by_serial(e, poison->serial), not_known_where);
	else if (!n && in_window(e, poison->hpa))
		poison_list_gap(e); /* of a region that is just coming or going: its memdevs know */
	for (k = 0; k < n; k++) {
		uint32_t before = e->n_not_good, region = ISO_NONE;
		uint32_t b = ledger_add(e, &keys[k], poison);
		bool is_new = e->n_not_good > before, unknown;

		if (b == LEDGER_OUTDATED)
			continue;
		unknown = key_hit(e, &keys[k], b, poison->record_ns, &region);
		if (is_new)
			tell_new(e, b, region);
		if (is_new && unknown)
			emit_note(e, ISO_NOTE_POISON, 0,
				  "whose memory that is cannot be told: nobody is killed for it")
				->region = region;
	}
}

/* What is known by its place in a region only. */
static void clear_place(struct iso_engine *e, const struct iso_poison *poison)
{
	uint32_t r = place_region_at(e, poison->hpa);
	struct bad_range key;

	if (r == ISO_NONE)
		return;
	key = (struct bad_range){
		.region = r,
		.region_epoch = e->regions[r].epoch,
		.offset = {poison->hpa.v - e->regions[r].range.start.v},
		.bytes = poison->bytes,
	};
	ledger_clear(e, &key, poison, UINT32_MAX);
}

/*
 * A page the kernel took out of use is lost on all memdevs it is spread over; the
 * line that was the reason is on one. With that the others are good again, too.
 */
static void clear_page(struct iso_engine *e, const struct iso_poison *poison)
{
	const uint32_t lost = ISO_POISON_MEMORY_FAILURE | ISO_POISON_MACHINE_CHECK;
	struct bad_range keys[ISO_WAYS_MAX];
	struct iso_poison page = {
		.has_hpa = true,
		.hpa = {poison->hpa.v / page_bytes * page_bytes},
		.bytes = page_bytes,
		.record_ns = poison->record_ns,
		.evidence = poison->evidence,
		.synthetic = poison->synthetic,
	};
	uint32_t n = place_keys(e, &page, keys), k;

	for (k = 0; k < n; k++)
		ledger_clear(e, &keys[k], &page, lost);
}

/* Where the first byte of a memdev's range lies now. */
static bool find_hpa(const struct iso_engine *e, const struct bad_range *key, struct iso_hpa *ret)
{
	struct region_span span;
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (place_bad(e, key, r, &span) == PLACE_HERE) {
			ret->v = e->regions[r].range.start.v + span.start.v;
			return true;
		}
	return false;
}

static void take_clear(struct iso_engine *e, const struct iso_poison *told)
{
	struct bad_range keys[ISO_WAYS_MAX];
	struct iso_poison poison = *told;
	uint32_t n = place_keys(e, &poison, keys), k;

	for (k = 0; k < n; k++)
		ledger_clear(e, &keys[k], &poison, UINT32_MAX);
	if (!n || (!poison.has_hpa && !find_hpa(e, &keys[0], &poison.hpa)))
		return;
	clear_place(e, &poison);
	clear_page(e, &poison);
}

static bool same_range(const struct iso_poison *a, const struct iso_poison *b)
{
	return a->has_serial == b->has_serial && a->has_dpa == b->has_dpa &&
	       a->has_hpa == b->has_hpa && a->bytes == b->bytes &&
	       (!a->has_serial || a->serial == b->serial) &&
	       (!a->has_dpa || a->dpa.v == b->dpa.v) && (!a->has_hpa || a->hpa.v == b->hpa.v);
}

/* A list that was read ten times says the same ten times: once is enough. */
static void keep_early(struct iso_engine *e, const struct iso_poison *poison)
{
	uint32_t i;

	for (i = e->n_early; i > 0; i--) {
		struct iso_poison *known = &e->early[i - 1];

		if (!same_range(known, poison))
			continue;
		if (known->cleared != poison->cleared)
			break;
		known->evidence |= poison->evidence;
		if (poison->record_ns > known->record_ns)
			known->record_ns = poison->record_ns;
		return;
	}
	if (e->n_early < EARLY_MAX)
		e->early[e->n_early++] = *poison;
	else
		e->n_early_lost++;
}

/* What it names as memory, without what cannot be any. */
void poison_limit(struct iso_poison *poison)
{
	if (!poison->bytes)
		poison->bytes = line_bytes;
	if (poison->bytes > address_end)
		poison->bytes = address_end;
	poison->has_hpa &= poison->hpa.v < address_end;
	poison->has_dpa &= poison->dpa.v < address_end;
}

/* Two devices say that they are this one: only the kernel's own sum tells whose memory it is. */
static void drop_ambiguous(const struct iso_engine *e, struct iso_poison *poison)
{
	uint32_t m = poison->has_serial ? topology_memdev_by_serial(e, poison->serial) : ISO_NONE;

	if (m == ISO_NONE || !e->memdevs[m].duplicate_serial)
		return;
	poison->has_dpa = false;
	poison->has_serial = !poison->has_hpa;
}

void poison_handle(struct iso_engine *e, const struct iso_poison *told)
{
	struct iso_poison poison = *told;

	if (!e->observed) { /* whose memory it is shows then */
		keep_early(e, &poison);
		return;
	}
	poison_limit(&poison);
	drop_ambiguous(e, &poison);
	if (!poison.cleared) {
		take_bad(e, &poison);
		return;
	}
	take_clear(e, &poison);
}

/* What was found before it was known whose memory it is; and kills that a crash may have lost. */
static void look_through(struct iso_engine *e)
{
	uint32_t b, region;

	for (b = 0; b < e->n_bad; b++)
		if (e->bad[b].used && e->bad[b].state == ISO_BAD_BAD)
			key_hit(e, &e->bad[b], b, e->bad[b].last_ns, &region);
}

/* Where nothing tells what is bad, nobody gets what was being made for him either. */
void poison_closed(struct iso_engine *e)
{
	uint32_t r, i, next;

	for (r = 0; r < e->n_regions; r++) {
		bool close = e->regions[r].used && e->regions[r].newly_closed;

		e->regions[r].newly_closed = false;
		for (i = close ? e->regions[r].first_instance : ISO_NONE; i != ISO_NONE; i = next) {
			uint32_t l = e->instances[i].lease;

			next = e->instances[i].next;
			if (l != ISO_NONE && !e->instances[i].lost &&
			    (e->leases[l].state == ISO_LEASE_PREPARING ||
			     e->leases[l].state == ISO_LEASE_ACQUIRED ||
			     e->leases[l].state == ISO_LEASE_KEPT))
				take_back(e, i);
		}
	}
}

/* Whose an instance is, or where it lies, is known only now. */
void poison_recheck(struct iso_engine *e, uint32_t i)
{
	struct region_span span;
	uint32_t b;

	for (b = 0; e->n_not_good && b < e->n_bad; b++)
		if (e->bad[b].used && e->bad[b].state == ISO_BAD_BAD &&
		    place_bad(e, &e->bad[b], e->instances[i].region, &span) == PLACE_HERE &&
		    place_covers(e, &e->instances[i], span))
			instance_hit(e, i, b, e->bad[b].last_ns);
}

void poison_observed(struct iso_engine *e)
{
	uint32_t i;

	if (e->n_early || e->n_early_lost || e->n_not_good) {
		look_through(e);
		for (i = 0; i < e->n_early; i++)
			poison_handle(e, &e->early[i]);
	}
	if (e->n_early_lost) {
		emit_note(e, ISO_NOTE_POISON, 0,
			  "%u records of bad memory came before the first look at the host and "
			  "found no room: the poison lists are read",
			  e->n_early_lost);
		poison_list_gap(e);
	}
	e->n_early = e->n_early_lost = 0;
}
