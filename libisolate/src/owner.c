/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose the memory is that a record names. */
#include "state.h"

/* The one that was found; ISO_NONE stays for none, and `several` tells of more than one. */
static void found(uint32_t i, uint32_t *one, bool *several)
{
	*several |= *one != ISO_NONE && *one != i;
	*one = i;
}

static void look_at_span(const struct iso_engine *e, uint32_t r, struct region_span span,
			 uint64_t record_ns, struct iso_memory_view *ret, bool *several)
{
	uint32_t i;

	for (i = e->regions[r].first_instance; i != ISO_NONE; i = e->instances[i].next) {
		const struct instance *instance = &e->instances[i];

		/* It was somebody else's before. */
		if (instance->lease != ISO_NONE && record_ns >= instance->begun_ns &&
		    place_covers(e, instance, span))
			found(instance->lease, &ret->lease, several);
	}
}

bool iso_memory_find(const struct iso_engine *e, const struct iso_poison *memory,
		     struct iso_memory_view *ret)
{
	struct iso_memory_view view = {.region = ISO_NONE, .lease = ISO_NONE};
	struct iso_poison known = *memory;
	struct bad_range keys[ISO_WAYS_MAX];
	bool regions = false, leases = false;
	struct region_span span;
	uint32_t r, k, n;

	poison_limit(&known);
	n = place_keys(e, &known, keys);
	for (k = 0; k < n; k++)
		for (r = 0; r < e->n_regions; r++)
			if (place_bad(e, &keys[k], r, &span) == PLACE_HERE) {
				found(r, &view.region, &regions);
				look_at_span(e, r, span, known.record_ns, &view, &leases);
			}
	if (view.region == ISO_NONE || regions)
		return false;
	if (leases)
		view.lease = ISO_NONE;
	*ret = view;
	return true;
}
