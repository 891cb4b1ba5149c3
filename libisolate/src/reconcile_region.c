/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regions of the kernel, seen against what is defined and what was live. */
#include <stdio.h>

#include "reconcile_list.h"

bool reconcile_comparable(const struct region *region)
{
	return !region->n_operations && !region->look_stale;
}

static struct iso_finding *add(struct finding_list *list, enum iso_finding_kind kind,
			       enum iso_finding_remedy remedy, const struct region *region)
{
	return finding_add(list, kind, remedy, "region %s", region->definition.name);
}

static void say_what_is_wrong(struct iso_finding *finding, const struct iso_observed_region *seen)
{
	uint32_t i, empty = 0;

	for (i = 0; i < seen->ways && i < ISO_WAYS_MAX; i++)
		empty += !seen->targets[i].present;
	if (empty)
		finding_seen(finding, "region%u has %u of %u targets", seen->kernel_id,
			     seen->ways - empty, seen->ways);
	else
		finding_seen(finding, "region%u is there, but %s", seen->kernel_id,
			     !seen->committed ? "is not committed"
			     : !seen->bound   ? "has no driver"
					      : "has no dax region");
}

static void believed_kernel_id(struct iso_finding *finding, const struct region *region)
{
	finding_believed(finding, "%s as region%u",
			 region->state == ISO_REGION_LIVE ? "live" : "it was there before",
			 region->kernel_id);
}

/* Used as it is: taking it apart would cost its tenants their memory. */
static void find_geometry(const struct region *region, const struct iso_observed_region *seen,
			  struct finding_list *list)
{
	const struct iso_region_definition *definition = &region->definition;
	bool granularity = definition->granularity && definition->granularity != seen->granularity;
	bool bytes = definition->bytes && definition->bytes != seen->range.bytes;
	struct iso_finding *finding;

	if (!granularity && !bytes)
		return;
	finding = add(list, ISO_FINDING_REGION_GEOMETRY, ISO_REMEDY_PERSON, region);
	if (granularity) {
		finding_seen(finding, "region%u has a granularity of %u", seen->kernel_id,
			     seen->granularity);
		finding_believed(finding, "it is defined with %u", definition->granularity);
	} else {
		finding_seen(finding, "region%u has %llu MiB", seen->kernel_id,
			     (unsigned long long)seen->range.bytes >> 20);
		finding_believed(finding, "it is defined with %llu MiB",
				 (unsigned long long)definition->bytes >> 20);
	}
	finding_action(finding, "%s",
		       seen->locked ? "it is used as it is: firmware has locked it"
				    : "it is used as it is; when no VM is on it, destroy and "
				      "define it anew");
}

static void compare_absent(const struct region *region, const struct iso_observed_region *seen,
			   struct finding_list *list)
{
	struct iso_finding *finding;

	if (seen && region_works(region, seen)) {
		find_geometry(region, seen, list);
		if (seen->kernel_id == region->kernel_id)
			return;
		finding = add(list, ISO_FINDING_REGION_FOUND, ISO_REMEDY_ITSELF, region);
		finding_seen(finding, "region%u is on its memory devices", seen->kernel_id);
		if (region->kernel_id != ISO_NONE)
			believed_kernel_id(finding, region);
		finding_action(finding, "it is taken over as it is");
	} else if (seen) {
		finding = add(list, ISO_FINDING_REGION_BROKEN, ISO_REMEDY_ITSELF, region);
		say_what_is_wrong(finding, seen);
		if (region->creation_interrupted)
			finding_believed(finding, "it was being made");
		else if (region->kernel_id != ISO_NONE)
			believed_kernel_id(finding, region);
		finding_action(finding, "what is left of it is refilled, or deleted and made anew");
	} else if (region->kernel_id != ISO_NONE) {
		finding = add(list, ISO_FINDING_REGION_GONE, ISO_REMEDY_ITSELF, region);
		finding_seen(finding, "the kernel has no region on its memory devices");
		believed_kernel_id(finding, region);
		finding_action(finding, "the VMs on it are killed, and it is made anew");
	}
}

static void compare_live(const struct region *region, const struct iso_observed_region *seen,
			 struct finding_list *list)
{
	struct iso_finding *finding;

	if (seen && region_works(region, seen)) {
		find_geometry(region, seen, list);
		if (seen->kernel_id == region->kernel_id)
			return;
		finding = add(list, ISO_FINDING_REGION_RENAMED, ISO_REMEDY_ITSELF, region);
		finding_seen(finding, "it is region%u", seen->kernel_id);
		believed_kernel_id(finding, region);
		finding_action(finding, "the object it was has gone: the VMs on that are killed");
		return;
	}
	finding = add(list, seen ? ISO_FINDING_REGION_BROKEN : ISO_FINDING_REGION_GONE,
		      ISO_REMEDY_ITSELF, region);
	if (seen)
		say_what_is_wrong(finding, seen);
	else
		finding_seen(finding, "the kernel has no region on its memory devices");
	believed_kernel_id(finding, region);
	finding_action(finding, "the VMs on it are killed, and it is %s",
		       seen ? "refilled or made anew" : "made anew");
}

static void compare(const struct region *region, const struct iso_observed_region *seen,
		    struct finding_list *list)
{
	struct iso_finding *finding;

	if (region->leaving && region->n_instances) {
		finding = add(list, ISO_FINDING_REGION_UNDEFINED, ISO_REMEDY_ITSELF, region);
		finding_seen(finding, "it is not defined any more, but VMs hold %u instances on it",
			     region->n_instances);
		finding_action(finding, "it takes no others, and is left alone when they have "
					"ended");
	}
	if (!reconcile_comparable(region)) {
		finding = add(list, ISO_FINDING_REGION_BUSY, ISO_REMEDY_NONE, region);
		finding_seen(finding, "an operation on it is under way");
		finding_action(finding, "it is compared when that has ended");
		return;
	}
	switch ((enum iso_region_state)region->state) {
	case ISO_REGION_ABSENT:
		compare_absent(region, seen, list);
		break;
	case ISO_REGION_LIVE:
		compare_live(region, seen, list);
		break;
	case ISO_REGION_QUARANTINED:
		finding = add(list, ISO_FINDING_REGION_QUARANTINED, ISO_REMEDY_PERSON, region);
		finding_seen(finding, "it was given up: %.150s", region->reason);
		finding_action(finding, "repair that, then 'daxmgrctl recover' its port");
		break;
	case ISO_REGION_LOST:
	case ISO_REGION_CREATING:
	case ISO_REGION_CLEARING:
	case ISO_REGION_STATES:
		break;
	}
}

static bool has_serial(const struct iso_region_definition *definition, uint64_t serial)
{
	uint32_t i;

	for (i = 0; i < definition->ways; i++)
		if (definition->serials[i] == serial)
			return true;
	return false;
}

/* A managed region that shares a memdev with it. */
static const struct region *neighbour(const struct iso_engine *e,
				      const struct iso_observed_region *seen)
{
	uint32_t r, i;

	for (r = 0; r < e->n_regions; r++)
		for (i = 0; e->regions[r].used && i < seen->ways && i < ISO_WAYS_MAX; i++)
			if (seen->targets[i].present &&
			    has_serial(&e->regions[r].definition, seen->targets[i].serial))
				return &e->regions[r];
	return NULL;
}

static bool same_shape(const struct iso_region_definition *definition,
		       const struct iso_observed_region *seen)
{
	uint32_t i;

	for (i = 0; seen->ways == definition->ways && i < definition->ways; i++)
		if (seen->targets[i].present && seen->targets[i].serial != definition->serials[i])
			return false;
	return seen->ways == definition->ways;
}

/* Nobody can say whose it was; it eats the window, and nothing can be lost with it. */
static void find_empty(const struct iso_observed_region *seen, struct finding_list *list)
{
	struct iso_finding *finding;
	uint32_t i;

	for (i = 0; i < seen->ways && i < ISO_WAYS_MAX; i++)
		if (seen->targets[i].present)
			return;
	if (seen->committed || !seen->ways || !seen->range.bytes)
		return;
	finding = finding_add(list, ISO_FINDING_REGION_TWIN, ISO_REMEDY_PERSON, "region%u",
			      seen->kernel_id);
	finding_seen(finding, "an object without targets that takes %llu MiB of its window",
		     (unsigned long long)seen->range.bytes >> 20);
	finding_action(finding,
		       "a creation left it, or somebody makes it now; if nobody does, "
		       "'cxl destroy-region -f region%u'",
		       seen->kernel_id);
}

/* Nobody's, but on memory devices of a managed one: it takes their room and their decoders. */
static void find_twin(const struct iso_engine *e, const struct iso_observed_region *seen,
		      struct finding_list *list)
{
	const struct region *region = neighbour(e, seen);
	struct iso_finding *finding;
	bool twin;

	if (!region) {
		find_empty(seen, list);
		return;
	}
	twin = same_shape(&region->definition, seen);
	finding = finding_add(list, twin ? ISO_FINDING_REGION_TWIN : ISO_FINDING_REGION_GEOMETRY,
			      ISO_REMEDY_PERSON, "region%u", seen->kernel_id);
	if (twin)
		finding_seen(finding, "a second object on the memory devices of region %s",
			     region->definition.name);
	else
		finding_seen(finding, "on memory devices of region %s, in other order or number",
			     region->definition.name);
	if (region->kernel_id != ISO_NONE)
		finding_believed(finding, "region %s is region%u", region->definition.name,
				 region->kernel_id);
	finding_action(finding,
		       "nobody manages it: when nobody uses it, 'cxl destroy-region -f region%u'",
		       seen->kernel_id);
}

static bool is_taken(const struct iso_engine *e, uint32_t index)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (e->regions[r].used && e->region_seen[r] == index)
			return true;
	return false;
}

void reconcile_regions(const struct iso_engine *e, const struct iso_snapshot *s,
		       struct finding_list *list)
{
	const struct iso_observed_region *seen;
	bool all = true;
	uint32_t r, i;

	for (r = 0; r < e->n_regions; r++) {
		e->region_seen[r] = ISO_NONE;
		if (!e->regions[r].used)
			continue;
		seen = region_observed(e, &e->regions[r], s);
		if (seen)
			e->region_seen[r] = (uint32_t)(seen - s->regions);
		all &= reconcile_comparable(&e->regions[r]);
		compare(&e->regions[r], seen, list);
	}
	/* What is being made now may look like a twin for a moment. */
	for (i = 0; all && i < s->n_regions; i++)
		if (!is_taken(e, i))
			find_twin(e, &s->regions[i], list);
}
