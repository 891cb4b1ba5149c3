/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "host_state.h"

static struct iso_pci_address address_of(uint32_t bridge, uint32_t bus, uint32_t device)
{
	return (struct iso_pci_address){bridge, bus, device, 0, 1};
}

static void make_port(struct host *host, uint32_t p)
{
	const uint32_t upstream = HOST_ROOT_PORTS + p, bridge = p / BRIDGE_ROOT_PORTS;
	const uint32_t device = p % BRIDGE_ROOT_PORTS;

	host->ports[p] = (struct iso_observed_port){
		.address = address_of(bridge, 0, device),
		.kind = ISO_PORT_ROOT,
		.host_bridge = bridge,
		.parent = ISO_NONE,
	};
	host->ports[upstream] = (struct iso_observed_port){
		.address = address_of(bridge, 1 + 10 * device, 0),
		.kind = ISO_PORT_SWITCH_UPSTREAM,
		.host_bridge = bridge,
		.parent = p,
	};
	snprintf(host->ports[p].path, ISO_PATH_BYTES, "hb%u/%02x.0", bridge, device);
	snprintf(host->ports[upstream].path, ISO_PATH_BYTES, "%s/00.0", host->ports[p].path);
	for (uint32_t i = 0; i < PORT_MEMDEVS; i++) {
		uint32_t m = p * PORT_MEMDEVS + i, downstream = 2 * HOST_ROOT_PORTS + m;

		host->ports[downstream] = (struct iso_observed_port){
			.address = address_of(bridge, 2 + 10 * device, i),
			.kind = ISO_PORT_SWITCH_DOWNSTREAM,
			.host_bridge = bridge,
			.parent = upstream,
		};
		snprintf(host->ports[downstream].path, ISO_PATH_BYTES, "hb%u/%02x.0/00.0/%02x.0",
			 bridge, device, i);
		host->memdevs[m] = (struct iso_observed_memdev){
			.serial = 0x1000 + m,
			.address = address_of(bridge, 3 + 10 * device + i, 0),
			.port = downstream,
			.volatile_bytes = HOST_MEMDEV_BYTES,
			.bound = true,
		};
		snprintf(host->memdevs[m].name, sizeof(host->memdevs[m].name), "mem%u", m);
		snprintf(host->memdevs[m].path, ISO_PATH_BYTES, "hb%u/%02x.0/00.0/%02x.0/00.0",
			 bridge, device, i);
	}
}

void host_topology(struct host *host)
{
	const uint64_t window_bytes = BRIDGE_MEMDEVS * HOST_MEMDEV_BYTES;

	for (uint32_t i = 0; i < HOST_BRIDGES; i++) {
		snprintf(host->bridges[i].path, ISO_PATH_BYTES, "hb%u", i);
		host->windows[i] = (struct iso_observed_window){
			.kernel_id = i,
			.range = {{(i + 1) * (UINT64_C(1) << 40)}, window_bytes},
			.granularity = 256,
			.ways = 1,
			.host_bridges = {i},
			.volatile_capable = true,
		};
	}
	for (uint32_t i = 0; i < HOST_ROOT_PORTS; i++)
		make_port(host, i);
	for (uint32_t i = 0; i < HOST_MEMDEVS; i++) {
		uint64_t start = host->windows[i / BRIDGE_MEMDEVS].range.start.v +
				 i % BRIDGE_MEMDEVS * HOST_MEMDEV_BYTES;

		host->regions[i] = (struct iso_observed_region){
			.kernel_id = i,
			.range = {{start}, HOST_MEMDEV_BYTES},
			.ways = 1,
			.granularity = 256,
			.targets = {{.serial = host->memdevs[i].serial, .present = true}},
			.available_bytes = HOST_MEMDEV_BYTES,
			.committed = true,
			.bound = true,
			.has_dax = true,
			.is_volatile = true,
		};
	}
}
