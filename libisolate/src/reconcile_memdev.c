/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory devices, seen against believed: identity is the serial number, names and places change. */
#include "reconcile_list.h"

static uint32_t seen_at(const struct iso_snapshot *s, uint64_t serial)
{
	uint32_t i;

	for (i = 0; i < s->n_memdevs; i++)
		if (s->memdevs[i].serial == serial)
			return i;
	return ISO_NONE;
}

/* Two of one serial number: which of them is meant by a name or a place cannot be said. */
static bool is_single(const struct iso_snapshot *s, uint32_t at)
{
	uint32_t i;

	for (i = 0; i < s->n_memdevs; i++)
		if (i != at && s->memdevs[i].serial == s->memdevs[at].serial)
			return false;
	return true;
}

/* Regions that stand on it by their definition; the first of them is named. */
static uint32_t regions_on(const struct iso_engine *e, uint64_t serial, const char **ret_first)
{
	uint32_t r, i, n = 0;

	for (r = 0; r < e->n_regions; r++)
		for (i = 0; e->regions[r].used && i < e->regions[r].definition.ways; i++) {
			if (e->regions[r].definition.serials[i] != serial)
				continue;
			if (!n++)
				*ret_first = e->regions[r].definition.name;
		}
	return n;
}

static struct iso_finding *add(struct finding_list *list, enum iso_finding_kind kind,
			       enum iso_finding_remedy remedy, uint64_t serial)
{
	return finding_add(list, kind, remedy, "memdev %#llx", (unsigned long long)serial);
}

static void find_duplicate(const struct iso_snapshot *s, uint32_t i, struct finding_list *list)
{
	const struct iso_observed_memdev *one = &s->memdevs[i];
	uint32_t other = seen_at(s, one->serial);
	struct iso_finding *finding;

	if (!one->serial) {
		finding = finding_add(list, ISO_FINDING_MEMDEV_DUPLICATE, ISO_REMEDY_PERSON,
				      "memdev %s", one->path);
		finding_seen(finding, "%s has no serial number", one->name);
		finding_action(finding, "it is not used: give it a serial number");
		return;
	}
	if (other == i)
		return;
	finding = add(list, ISO_FINDING_MEMDEV_DUPLICATE, ISO_REMEDY_PERSON, one->serial);
	finding_seen(finding, "%s and %s both have this serial number", s->memdevs[other].path,
		     one->path);
	finding_action(finding, "no new region is made on either: take one of them out");
}

static void find_new(const struct iso_engine *e, const struct iso_observed_memdev *seen, bool known,
		     struct finding_list *list)
{
	const char *region = NULL;
	uint32_t n = regions_on(e, seen->serial, &region);
	struct iso_finding *finding = add(list, ISO_FINDING_MEMDEV_NEW,
					  n ? ISO_REMEDY_ITSELF : ISO_REMEDY_NONE, seen->serial);

	finding_seen(finding, "%s at %s", seen->name, seen->path);
	finding_believed(finding, known ? "it had gone" : "it was not known");
	if (n)
		finding_action(finding, "region %s%s is made on it when it is bound", region,
			       n > 1 ? " and others" : "");
	else
		finding_action(finding, "no region is defined on it: it is left alone");
}

static void find_renamed(const struct memdev *memdev, const struct iso_observed_memdev *seen,
			 struct finding_list *list)
{
	struct iso_finding *finding;

	if (strcmp(memdev->path, seen->path)) {
		finding = add(list, ISO_FINDING_MEMDEV_MOVED, ISO_REMEDY_ITSELF, seen->serial);
		finding_seen(finding, "at %s", seen->path);
		finding_believed(finding, "at %s", memdev->path);
		finding_action(finding, "its serial number says what it is: it belongs to the "
					"domain of its new place");
	} else if (strcmp(memdev->name, seen->name)) {
		finding = add(list, ISO_FINDING_MEMDEV_RENAMED, ISO_REMEDY_NONE, seen->serial);
		finding_seen(finding, "is called %s", seen->name);
		finding_believed(finding, "was called %s", memdev->name);
		finding_action(finding, "its serial number says what it is: nothing is to be done");
	}
}

static void find_gone(const struct iso_engine *e, const struct memdev *memdev,
		      struct finding_list *list)
{
	const char *region = NULL;
	uint32_t n = regions_on(e, memdev->serial, &region);
	struct iso_finding *finding =
		add(list, ISO_FINDING_MEMDEV_GONE, ISO_REMEDY_ITSELF, memdev->serial);

	finding_seen(finding, "it has gone");
	finding_believed(finding, "%s at %s", memdev->name, memdev->path);
	if (n)
		finding_action(finding,
			       "the VMs on region %s%s are killed; the region waits for it", region,
			       n > 1 ? " and others" : "");
	else
		finding_action(finding, "no region stands on it: nothing is lost");
}

/* Defined on a device that is not there, and was not there before. */
static void find_missing(const struct iso_engine *e, const struct region *region, uint32_t leg,
			 const struct iso_snapshot *s, struct finding_list *list)
{
	uint64_t serial = region->definition.serials[leg];
	uint32_t m = topology_memdev_by_serial(e, serial);
	struct iso_finding *finding;

	if (seen_at(s, serial) != ISO_NONE || (m != ISO_NONE && e->memdevs[m].present))
		return;
	finding = add(list, ISO_FINDING_MEMDEV_GONE, ISO_REMEDY_PERSON, serial);
	finding_seen(finding, "no memory device has this serial number");
	finding_believed(finding, "region %s is defined on it", region->definition.name);
	finding_action(finding, "plug it in, or define the region on another one");
}

void reconcile_memdevs(const struct iso_engine *e, const struct iso_snapshot *s,
		       struct finding_list *list)
{
	uint32_t i, j, m;

	for (i = 0; i < s->n_memdevs; i++) {
		const struct iso_observed_memdev *seen = &s->memdevs[i];

		find_duplicate(s, i, list);
		m = topology_memdev_by_serial(e, seen->serial);
		/* Before the first look nothing is known of any: none is new. */
		if (!e->observed || !seen->serial || seen_at(s, seen->serial) != i)
			continue;
		if (m == ISO_NONE || !e->memdevs[m].present)
			find_new(e, seen, m != ISO_NONE, list);
		else if (is_single(s, i))
			find_renamed(&e->memdevs[m], seen, list);
	}
	for (m = 0; m < e->n_memdevs; m++)
		if (e->memdevs[m].present && seen_at(s, e->memdevs[m].serial) == ISO_NONE)
			find_gone(e, &e->memdevs[m], list);
	for (i = 0; i < e->n_regions; i++)
		for (j = 0; e->regions[i].used && e->regions[i].desired &&
			    j < e->regions[i].definition.ways;
		     j++)
			find_missing(e, &e->regions[i], j, s, list);
}
