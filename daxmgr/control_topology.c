/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GetTopology() and ListRegions(): the host as the engine believes it is. */
#include "control_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "cleanup.h"

#define IF(condition, name, value) SD_JSON_BUILD_PAIR_CONDITION(!!(condition), name, value)
#define TEXT                       SD_JSON_BUILD_STRING

static int build_host_bridges(const struct iso_engine *engine, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < iso_host_bridge_count(engine); i++) {
		struct iso_host_bridge_view bridge;
		sd_json_variant *item;

		if (!iso_host_bridge_get(engine, i, &bridge))
			continue;
		r = sd_json_buildo(&item, SD_JSON_BUILD_PAIR_STRING("path", bridge.path));
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int build_port(const struct iso_engine *engine, const struct iso_port_view *port,
		      sd_json_variant **ret)
{
	const char *parent = control_port_path(engine, port->parent);
	const char *domain = control_port_path(engine, port->domain);
	struct iso_host_bridge_view bridge = {.path = ""};
	const char *state = iso_domain_state_name(ISO_DOMAIN_UNKNOWN);
	char address[16] = "", reason[ISO_TEXT_BYTES] = "";

	iso_host_bridge_get(engine, port->host_bridge, &bridge);
	if (domain) {
		state = iso_domain_state_name(iso_domain_state(engine, port->domain));
		control_text(reason, sizeof(reason), iso_domain_reason(engine, port->domain));
	}
	if (port->address.known)
		iso_pci_address_format(port->address, address);
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_STRING("path", port->path),
		IF(address[0], "address", TEXT(address)),
		SD_JSON_BUILD_PAIR_STRING("kind", iso_port_kind_name(port->kind)),
		SD_JSON_BUILD_PAIR_STRING("hostBridge", bridge.path),
		IF(parent, "parent", TEXT(parent)), IF(domain, "domain", TEXT(domain)),
		SD_JSON_BUILD_PAIR_STRING("state", state), IF(reason[0], "reason", TEXT(reason)),
		SD_JSON_BUILD_PAIR_BOOLEAN("present", port->present),
		SD_JSON_BUILD_PAIR_BOOLEAN("held", port->held),
		SD_JSON_BUILD_PAIR_BOOLEAN("flapping", port->flapping));
}

static int build_ports(const struct iso_engine *engine, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < iso_port_count(engine); i++) {
		struct iso_port_view port;
		sd_json_variant *item;

		if (!iso_port_get(engine, i, &port))
			continue;
		r = build_port(engine, &port, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static bool stands_on(const struct iso_region_definition *definition, uint64_t serial)
{
	for (uint32_t i = 0; i < definition->ways; i++)
		if (definition->serials[i] == serial)
			return true;
	return false;
}

static int build_region_names(const struct iso_engine *engine, uint64_t serial,
			      sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < iso_region_count(engine); i++) {
		struct iso_region_view region;
		sd_json_variant *item;

		if (!iso_region_get(engine, i, &region) || !stands_on(region.definition, serial))
			continue;
		r = sd_json_variant_new_string(&item, region.definition->name);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int build_memdev(const struct iso_engine *engine, const struct iso_memdev_view *memdev,
			sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *regions = NULL;
	const char *port = control_port_path(engine, memdev->port);
	char address[16] = "", serial[24], problem[ISO_TEXT_BYTES];
	int r;

	control_text(problem, sizeof(problem), memdev->poison_problem);
	r = build_region_names(engine, memdev->serial, &regions);
	if (r < 0)
		return r;
	if (memdev->address.known)
		iso_pci_address_format(memdev->address, address);
	snprintf(serial, sizeof(serial), "0x%" PRIx64, memdev->serial);
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_STRING("path", memdev->path),
		IF(memdev->name[0], "name", TEXT(memdev->name)),
		SD_JSON_BUILD_PAIR_STRING("serial", serial),
		IF(address[0], "address", TEXT(address)), IF(port, "port", TEXT(port)),
		SD_JSON_BUILD_PAIR_UNSIGNED("volatileBytes", memdev->volatile_bytes),
		SD_JSON_BUILD_PAIR_UNSIGNED("persistentBytes", memdev->persistent_bytes),
		SD_JSON_BUILD_PAIR_BOOLEAN("present", memdev->present),
		SD_JSON_BUILD_PAIR_BOOLEAN("bound", memdev->bound),
		SD_JSON_BUILD_PAIR_BOOLEAN("settling", memdev->settling),
		SD_JSON_BUILD_PAIR_BOOLEAN("duplicateSerial", memdev->duplicate_serial),
		SD_JSON_BUILD_PAIR_VARIANT("regions", regions),
		SD_JSON_BUILD_PAIR_UNSIGNED("badBytes", memdev->bad_bytes),
		IF(memdev->poison_read_ns, "poisonReadNs",
		   SD_JSON_BUILD_UNSIGNED(memdev->poison_read_ns)),
		IF(problem[0], "poisonProblem", TEXT(problem)),
		IF(memdev->closed[0], "closed", TEXT(memdev->closed)));
}

static int build_memdevs(const struct iso_engine *engine, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < iso_memdev_count(engine); i++) {
		struct iso_memdev_view memdev;
		sd_json_variant *item;

		if (!iso_memdev_get(engine, i, &memdev))
			continue;
		r = build_memdev(engine, &memdev, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int build_instance(const struct iso_engine *engine, const struct iso_instance_view *instance,
			  sd_json_variant **ret)
{
	struct iso_region_view region;
	struct iso_lease_view lease;
	const char *region_name = "", *lease_name = NULL;
	char device[32];

	if (iso_region_get(engine, instance->region, &region))
		region_name = region.definition->name;
	if (instance->lease != ISO_NONE && iso_lease_get(engine, instance->lease, &lease))
		lease_name = lease.terms->name;
	snprintf(device, sizeof(device), "dax%u.%u", instance->region_kernel_id,
		 instance->kernel_id);
	return sd_json_buildo(
		ret, IF(instance->named, "device", TEXT(device)),
		SD_JSON_BUILD_PAIR_STRING("region", region_name),
		IF(lease_name, "lease", TEXT(lease_name)),
		IF(lease_name, "part", SD_JSON_BUILD_UNSIGNED(instance->part)),
		SD_JSON_BUILD_PAIR_STRING("state", iso_instance_state_name(instance->state)),
		SD_JSON_BUILD_PAIR_UNSIGNED("bytes", instance->bytes),
		SD_JSON_BUILD_PAIR_UNSIGNED("align", instance->align),
		SD_JSON_BUILD_PAIR_UNSIGNED("epoch", instance->epoch),
		IF(instance->named && instance->start.v, "hpaStart",
		   SD_JSON_BUILD_UNSIGNED(instance->start.v)),
		SD_JSON_BUILD_PAIR_BOOLEAN("lost", instance->lost),
		IF(instance->mapper, "mapper", SD_JSON_BUILD_INTEGER(instance->mapper)));
}

static int build_instances(const struct iso_engine *engine, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < iso_instance_count(engine); i++) {
		struct iso_instance_view instance;
		sd_json_variant *item;

		if (!iso_instance_get(engine, i, &instance))
			continue;
		r = build_instance(engine, &instance, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int build_fence(const struct iso_engine *engine, const struct iso_fence_view *fence,
		       sd_json_variant **ret)
{
	uint32_t p = iso_port_find(engine, fence->unit);
	struct iso_port_view port = {.domain = ISO_NONE};
	const char *domain = NULL;
	char serial[24];

	snprintf(serial, sizeof(serial), "0x%" PRIx64, fence->serial);
	if (fence->kind != ISO_FENCE_MEMDEV && iso_port_get(engine, p, &port))
		domain = control_port_path(engine, port.domain);
	return sd_json_buildo(ret, SD_JSON_BUILD_PAIR_STRING("kind", iso_fence_name(fence->kind)),
			      SD_JSON_BUILD_PAIR_STRING("unit", fence->unit),
			      IF(fence->kind == ISO_FENCE_MEMDEV, "serial", TEXT(serial)),
			      IF(domain, "domain", TEXT(domain)),
			      SD_JSON_BUILD_PAIR_STRING("rule", fence->rule));
}

static int build_fences(const struct iso_engine *engine, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < iso_fence_count(engine); i++) {
		struct iso_fence_view fence;
		sd_json_variant *item;

		if (!iso_fence_get(engine, i, &fence) || fence.lifted)
			continue;
		r = build_fence(engine, &fence, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

int control_get_topology(sd_varlink *link, sd_json_variant *parameters,
			 sd_varlink_method_flags_t flags, void *userdata)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *bridges = NULL, *ports = NULL,
							  *memdevs = NULL, *regions = NULL,
							  *instances = NULL, *leases = NULL,
							  *fences = NULL;
	struct control *control = userdata;
	const struct iso_engine *engine = daemon_engine(control->daemon);
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	if ((r = build_host_bridges(engine, &bridges)) < 0 ||
	    (r = build_ports(engine, &ports)) < 0 || (r = build_memdevs(engine, &memdevs)) < 0 ||
	    (r = control_json_regions(engine, &regions)) < 0 ||
	    (r = build_instances(engine, &instances)) < 0 ||
	    (r = control_json_leases(engine, &leases)) < 0 ||
	    (r = build_fences(engine, &fences)) < 0)
		return r;
	return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("hostBridges", bridges),
				  SD_JSON_BUILD_PAIR_VARIANT("ports", ports),
				  SD_JSON_BUILD_PAIR_VARIANT("memdevs", memdevs),
				  SD_JSON_BUILD_PAIR_VARIANT("regions", regions),
				  SD_JSON_BUILD_PAIR_VARIANT("instances", instances),
				  SD_JSON_BUILD_PAIR_VARIANT("leases", leases),
				  SD_JSON_BUILD_PAIR_VARIANT("fences", fences));
}

int control_list_regions(sd_varlink *link, sd_json_variant *parameters,
			 sd_varlink_method_flags_t flags, void *userdata)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *regions = NULL;
	struct control *control = userdata;
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	if ((r = control_json_regions(daemon_engine(control->daemon), &regions)) < 0)
		return r;
	return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("regions", regions));
}
