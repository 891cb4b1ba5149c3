/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Instances of managed regions, seen against the leases that hold them. */
#include "reconcile_list.h"

static struct iso_finding *add(struct finding_list *list, enum iso_finding_kind kind,
			       enum iso_finding_remedy remedy, uint32_t region_kernel_id,
			       uint32_t kernel_id)
{
	return finding_add(list, kind, remedy, "dax%u.%u", region_kernel_id, kernel_id);
}

/* Whether what stands on it can be told: it is live, or is taken over with this observation. */
static bool is_there(const struct iso_engine *e, uint32_t r, const struct iso_snapshot *s)
{
	const struct region *region = &e->regions[r];

	return region->used && reconcile_comparable(region) && e->region_seen[r] != ISO_NONE &&
	       (region->state == ISO_REGION_LIVE || region->state == ISO_REGION_ABSENT) &&
	       region_works(region, &s->regions[e->region_seen[r]]);
}

static uint32_t owner(const struct iso_engine *e, uint32_t kernel_id, const struct iso_snapshot *s)
{
	uint32_t r;

	for (r = 0; r < e->n_regions; r++)
		if (e->region_seen[r] != ISO_NONE &&
		    s->regions[e->region_seen[r]].kernel_id == kernel_id && is_there(e, r, s))
			return r;
	return ISO_NONE;
}

static const char *lease_name(const struct iso_engine *e, uint32_t i)
{
	return e->leases[e->instances[i].lease].terms.name;
}

static void find_kmem(const struct iso_engine *e, const struct iso_observed_instance *seen,
		      uint32_t i, struct finding_list *list)
{
	bool leased = i != ISO_NONE && e->instances[i].lease != ISO_NONE;
	struct iso_finding *finding = add(list, ISO_FINDING_INSTANCE_KMEM,
					  leased ? ISO_REMEDY_ITSELF : ISO_REMEDY_PERSON,
					  seen->region_kernel_id, seen->kernel_id);

	finding_seen(finding, "the kernel has it as System RAM (kmem)");
	if (leased) {
		finding_believed(finding, "held by VM %s", lease_name(e, i));
		finding_action(finding, "the VM is killed: its memory is not its own any more");
	} else {
		finding_action(finding,
			       "it is removed once none of it is online: "
			       "'daxctl offline-memory dax%u.%u'; find out who did this",
			       seen->region_kernel_id, seen->kernel_id);
	}
}

static void find_orphan(const struct iso_engine *e, const struct iso_observed_instance *seen,
			uint32_t i, struct finding_list *list)
{
	struct iso_finding *finding;
	bool empty = seen->bytes == 0;
	int32_t mapper = i == ISO_NONE ? 0 : e->instances[i].stranger;

	if (empty && seen->kernel_id == 0)
		return; /* the placeholder every region keeps */
	finding = add(list, empty ? ISO_FINDING_INSTANCE_EMPTY : ISO_FINDING_INSTANCE_ORPHAN,
		      mapper ? ISO_REMEDY_PERSON : ISO_REMEDY_ITSELF, seen->region_kernel_id,
		      seen->kernel_id);
	if (empty) {
		finding_seen(finding, "it has no memory: left by an interrupted creation or "
				      "removal");
		finding_action(finding, "it is removed");
		return;
	}
	finding_seen(finding, "%llu MiB that belong to no lease: made by hand, or left over",
		     (unsigned long long)seen->bytes >> 20);
	if (mapper)
		finding_action(finding,
			       "process %d maps it: 'daxmgrctl vm adopt NAME dax%u.%u' makes that "
			       "a VM; when it ends, it is removed",
			       mapper, seen->region_kernel_id, seen->kernel_id);
	else
		finding_action(finding, "it is removed once nobody maps it");
}

static void compare(const struct iso_engine *e, const struct iso_observed_instance *seen,
		    uint32_t r, struct finding_list *list)
{
	uint32_t i = instance_indexed(e, seen->region_kernel_id, seen->kernel_id);
	struct iso_finding *finding;
	struct instance *known;

	if (i != ISO_NONE && e->instances[i].region != r)
		i = ISO_NONE;
	known = i == ISO_NONE ? NULL : &e->instances[i];
	if (known)
		known->seen = true;
	if (known && (known->operation || known->lost))
		return;
	if (known && known->lease == ISO_NONE && instance_is_another(known, seen)) {
		known = NULL; /* what was known of the one says nothing of the other */
		i = ISO_NONE;
	}
	if (known && known->lease != ISO_NONE && instance_is_another(known, seen)) {
		finding = add(list, ISO_FINDING_INSTANCE_GONE, ISO_REMEDY_ITSELF,
			      seen->region_kernel_id, seen->kernel_id);
		finding_seen(finding, "another device has this name, of %llu MiB",
			     (unsigned long long)seen->bytes >> 20);
		finding_believed(finding, "held by VM %s", lease_name(e, i));
		finding_action(finding, "what runs of the VM is killed; the other one is removed "
					"once nobody maps it");
	} else if (seen->driver == ISO_DAX_KMEM) {
		find_kmem(e, seen, i, list);
	} else if (!known || known->lease == ISO_NONE) {
		find_orphan(e, seen, i, list);
	} else if (known->state == ISO_INSTANCE_HELD && seen->driver != ISO_DAX_DEVICE_DAX) {
		finding = add(list, ISO_FINDING_INSTANCE_UNBOUND, ISO_REMEDY_ITSELF,
			      seen->region_kernel_id, seen->kernel_id);
		finding_seen(finding, "its driver was taken away, or it has another one");
		finding_believed(finding, "held by VM %s", lease_name(e, i));
		finding_action(finding, "the VM is killed, the instance removed");
	}
}

static void find_gone(const struct iso_engine *e, uint32_t i, struct finding_list *list)
{
	const struct instance *instance = &e->instances[i];
	struct iso_finding *finding = add(list, ISO_FINDING_INSTANCE_GONE, ISO_REMEDY_ITSELF,
					  instance->region_kernel_id, instance->kernel_id);

	finding_seen(finding, "region %s has no such instance",
		     e->regions[instance->region].definition.name);
	if (instance->lease == ISO_NONE) {
		finding_believed(finding, "it belonged to no lease");
		finding_action(finding, "it is forgotten");
		return;
	}
	finding_believed(finding, "held by VM %s", lease_name(e, i));
	finding_action(finding, "what runs of the VM is killed; it gets new memory if it wishes "
				"to come back");
}

void reconcile_instances(const struct iso_engine *e, const struct iso_snapshot *s,
			 struct finding_list *list)
{
	uint32_t i, r = ISO_NONE, of = ISO_NONE;

	instance_index(e);
	for (i = 0; i < e->n_instances; i++)
		e->instances[i].seen = false; /* scratch, also of who takes it in afterwards */
	for (i = 0; i < s->n_instances; i++) {
		const struct iso_observed_instance *seen = &s->instances[i];

		if (seen->region_kernel_id != of) /* they come region by region */
			r = owner(e, seen->region_kernel_id, s);
		of = seen->region_kernel_id;
		if (r != ISO_NONE)
			compare(e, seen, r, list);
	}
	for (i = 0; i < e->n_instances; i++) {
		const struct instance *instance = &e->instances[i];

		if (instance->used && instance->named && !instance->seen && !instance->lost &&
		    !instance->operation && is_there(e, instance->region, s))
			find_gone(e, i, list);
	}
}
