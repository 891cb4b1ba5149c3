/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whom a record is about: domain, VM and incident of what its source only names. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "policy.h"
#include "records.h"
#include "world.h"

/* Two ports of a bridge with a region each, on memdevs with the serials 100 and 101. */
static struct world *host(void)
{
	struct world *w = world_new();
	uint32_t bridge = world_simple_bridge(w, 2, 100);

	world_window(w, 8, 1, &bridge);
	world_define_one(w, "low", 100);
	world_define_one(w, "high", 101);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(world_region(w, "high").state, ISO_REGION_LIVE, "%s", w->trace);
	return w;
}

static struct store_event of_vm(const char *name)
{
	struct store_event record = {.source = "qmp", .kind = "memory-failure"};

	snprintf(record.unit, sizeof(record.unit), "%s", name);
	snprintf(record.lease, sizeof(record.lease), "%s", name);
	return record;
}

/* Proves: what names a VM gets the domain of its memory, and the incident that took it. */
Test(subject, vm)
{
	struct world *w = host();
	struct store_event record = of_vm("web");

	world_start_vm(w, "web", "high", WORLD_PART);
	world_start_vm(w, "beside", "low", WORLD_PART);
	records_complete(w->engine, &record);
	cr_assert_str_eq(record.domain, "hb0/01.0");
	cr_assert_eq(record.incident, 0);
	kernel_surprise_down(w, 1);
	world_fault_port(w, 1, ISO_CAUSE_SURPRISE_DOWN);
	records_complete(w->engine, &record);
	cr_assert_eq(record.incident, 1);
	record = of_vm("beside");
	records_complete(w->engine, &record);
	cr_assert_str_eq(record.domain, "hb0/00.0");
	cr_assert_eq(record.incident, 0);
	record = of_vm("nobody");
	records_complete(w->engine, &record);
	cr_assert_str_empty(record.domain);
	world_free(w);
}

/* Proves: a VM that is called like a memdev's serial is no memdev, neither in rows nor for rules. */
Test(subject, vm_called_as_a_serial)
{
	struct world *w = host();
	struct store_event record = of_vm("101");
	struct policy_view view;

	world_start_vm(w, "101", "low", WORLD_PART);
	records_complete(w->engine, &record);
	cr_assert_str_eq(record.domain, "hb0/00.0");
	policy_view_make(w->engine, &record, (struct iso_rules_wish){.vms = true}, &view);
	cr_assert_not(view.record.has_serial);
	cr_assert_str_eq(view.unit, "101");
	cr_assert_eq(view.record.n_vms, 1);
	policy_view_clear(&view);
	record.lease[0] = '\0';
	policy_view_make(w->engine, &record, (struct iso_rules_wish){.vms = true}, &view);
	cr_assert_eq(view.record.serial, 101, "a memdev's own record");
	policy_view_clear(&view);
	world_free(w);
}

/* The last line of a VM's memory. */
static struct iso_hpa last_line(struct world *w, const char *lease)
{
	struct iso_instance_view instance;

	iso_instance_get(w->engine, world_lease(w, lease).instances[0], &instance);
	cr_assert_gt(instance.n_pieces, 0, "%s", w->trace);
	return (struct iso_hpa){instance.pieces[0].start.v + instance.pieces[0].bytes - 64};
}

static struct store_event of_page(struct world *w, struct iso_hpa hpa)
{
	return (struct store_event){
		.source = "trace",
		.kind = "memory_failure_event",
		.hpa = hpa.v / 4096 * 4096,
		.has_hpa = true,
		.bytes = 4096,
		.at_ns = w->now_ns,
	};
}

/* Proves: what names an address gets the VM whose memory it is, its domain, and the incident of it. */
Test(subject, address)
{
	struct world *w = host();
	struct store_event record, old;
	uint64_t before_ns = w->now_ns;

	world_start_vm(w, "web", "high", WORLD_PART);
	world_start_vm(w, "beside", "high", WORLD_PART);
	old = of_page(w, last_line(w, "web"));
	old.at_ns = before_ns;
	records_complete(w->engine, &old);
	cr_assert_str_empty(old.lease, "it was nobody's then");
	cr_assert_str_eq(old.domain, "hb0/01.0");
	world_poison(w, 1, last_line(w, "web").v - world_region(w, "high").range.start.v,
		     WORLD_TELLS_ALL);
	record = of_page(w, last_line(w, "web"));
	world_run(w, 20 * WORLD_MS);
	records_complete(w->engine, &record);
	cr_assert_str_eq(record.lease, "web");
	cr_assert_str_eq(record.domain, "hb0/01.0");
	cr_assert_eq(record.incident, 1, "%s", w->trace);
	record = of_page(w, last_line(w, "beside"));
	records_complete(w->engine, &record);
	cr_assert_str_eq(record.lease, "beside");
	record = of_page(w, (struct iso_hpa){4096});
	records_complete(w->engine, &record);
	cr_assert(!record.lease[0] && !record.domain[0] && !record.incident, "not our memory");
	world_free(w);
}

/* Proves: what names an address of the device finds the same VM. */
Test(subject, device_address)
{
	struct world *w = host();
	struct store_event record = {.source = "trace", .kind = "cxl_poison", .bytes = 64};

	world_start_vm(w, "web", "high", WORLD_PART);
	record.serial = 101;
	record.has_serial = record.has_dpa = true;
	record.dpa = last_line(w, "web").v - world_region(w, "high").range.start.v;
	record.at_ns = w->now_ns;
	records_complete(w->engine, &record);
	cr_assert_str_eq(record.lease, "web");
	cr_assert_str_eq(record.domain, "hb0/01.0");
	record.serial = 100;
	record.lease[0] = '\0';
	records_complete(w->engine, &record);
	cr_assert_str_empty(record.lease);
	world_free(w);
}

static struct store_event of_kernel_name(const char *prefix, uint32_t a, int32_t b)
{
	struct store_event record = {.source = "uevent", .kind = "remove"};

	if (b >= 0)
		snprintf(record.unit, sizeof(record.unit), "%s%u.%d", prefix, a, b);
	else
		snprintf(record.unit, sizeof(record.unit), "%s%u", prefix, a);
	return record;
}

/* Proves: what the kernel calls instances and regions is found, also when they have just been lost. */
Test(subject, kernel_names)
{
	struct world *w = host();
	struct iso_instance_view instance;
	struct store_event record;
	int i;

	world_start_vm(w, "web", "high", WORLD_PART);
	iso_instance_get(w->engine, world_lease(w, "web").instances[0], &instance);
	for (i = 0; i < 2; i++) {
		record = of_kernel_name("dax", instance.region_kernel_id,
					(int32_t)instance.kernel_id);
		records_complete(w->engine, &record);
		cr_assert_str_eq(record.lease, "web");
		cr_assert_str_eq(record.domain, "hb0/01.0");
		cr_assert_eq(record.incident, (uint64_t)i);
		record = of_kernel_name("region", instance.region_kernel_id, -1);
		records_complete(w->engine, &record);
		cr_assert_str_eq(record.domain, "hb0/01.0");
		cr_assert_str_empty(record.lease);
		cr_assert_eq(record.incident, (uint64_t)i);
		kernel_surprise_down(w, 1);
		world_fault_port(w, 1, ISO_CAUSE_SURPRISE_DOWN);
	}
	record = of_kernel_name("region", 777, -1);
	records_complete(w->engine, &record);
	cr_assert_str_empty(record.domain);
	world_free(w);
}
