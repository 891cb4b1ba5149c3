/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What host.c and host_topology.c share: the host as its kernel knows it. */
#ifndef TESTS_BENCH_HOST_STATE_H
#define TESTS_BENCH_HOST_STATE_H

#include "host.h"

enum {
	BRIDGE_ROOT_PORTS = HOST_ROOT_PORTS / HOST_BRIDGES,
	PORT_MEMDEVS = HOST_MEMDEVS / HOST_ROOT_PORTS,
	BRIDGE_MEMDEVS = BRIDGE_ROOT_PORTS * PORT_MEMDEVS,
	NAMES = 2 * HOST_REGION_LEASES, /* daxX.1 to daxX.NAMES */
	PENDING_MAX = 1 << 17,
	FIRST_PID = 100,
	TURNS_MAX = 10000,
};

#define HOST_LEASE_BYTES  (UINT64_C(2) << 20)
#define HOST_MEMDEV_BYTES (UINT64_C(256) << 20)

struct host {
	void *memory;
	struct iso_engine *engine;
	struct iso_policy policy;
	uint64_t now_ns, n_events;

	struct iso_observed_host_bridge bridges[HOST_BRIDGES];
	struct iso_observed_port ports[HOST_PORTS];
	struct iso_observed_memdev memdevs[HOST_MEMDEVS];
	struct iso_observed_window windows[HOST_BRIDGES];
	struct iso_observed_region regions[HOST_MEMDEVS]; /* region i stands on memdev i */
	bool has_region[HOST_MEMDEVS];
	struct iso_observed_region seen_regions[HOST_MEMDEVS];
	struct iso_observed_instance instances[HOST_LEASES];
	uint32_t slots[HOST_MEMDEVS][NAMES + 1]; /* by name: index in instances + 1 */
	uint32_t n_instances;
	struct iso_observed_mapper mappers[HOST_LEASES];

	uint32_t n_leases, n_attached;
	int32_t next_pid;

	struct iso_effect *pending; /* a ring */
	uint32_t head, tail, most;
};

/* Fills bridges, ports, memdevs, windows and regions. */
void host_topology(struct host *host);

#endif
