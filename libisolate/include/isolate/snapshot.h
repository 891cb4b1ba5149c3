/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The world as it was observed at one moment: what a worker read from sysfs,
 * libcxl and libdaxctl. Plain arrays with indices; owned by the caller and
 * not kept by the engine after iso_step() returns.
 */
#ifndef ISOLATE_SNAPSHOT_H
#define ISOLATE_SNAPSHOT_H

#include <isolate/types.h>

enum iso_port_kind {
	ISO_PORT_ROOT,
	ISO_PORT_SWITCH_UPSTREAM,
	ISO_PORT_SWITCH_DOWNSTREAM,
};

/* An ACPI0016 CXL host bridge. */
struct iso_observed_host_bridge {
	char path[ISO_PATH_BYTES]; /* "hb" and the ACPI UID, e.g. "hb12": no bus numbers */
};

struct iso_observed_port {
	char path[ISO_PATH_BYTES]; /* host bridge and device.function chain, e.g. "hb12/00.0" */
	struct iso_pci_address address;
	uint32_t kind;        /* enum iso_port_kind */
	uint32_t host_bridge; /* index */
	uint32_t parent;      /* index of the port above, ISO_NONE for a root port */
	bool system_ram;      /* of a root port: System RAM lies behind it, or may */
};

struct iso_observed_memdev {
	char path[ISO_PATH_BYTES];
	char name[16]; /* memN: for people; changes at re-plug */
	uint64_t serial;
	struct iso_pci_address address;
	uint32_t port; /* index of the port right above */
	uint64_t volatile_bytes;
	uint64_t persistent_bytes;
	bool bound; /* the memdev driver is bound and its endpoint is there */
};

/* How a window's addresses are spread over its targets. */
enum iso_arithmetic {
	ISO_ARITHMETIC_UNKNOWN,
	ISO_ARITHMETIC_MODULO,
	ISO_ARITHMETIC_XOR, /* not computed here: only the kernel's own answers count */
};

/* A root decoder: a window of host physical addresses. */
struct iso_observed_window {
	uint32_t kernel_id; /* N of decoder0.N */
	struct iso_hpa_range range;
	uint32_t granularity;
	uint32_t ways;
	uint32_t host_bridges[ISO_WAYS_MAX]; /* indices in target order */
	bool volatile_capable;
	uint32_t arithmetic; /* enum iso_arithmetic */
};

struct iso_observed_target {
	uint64_t serial;
	bool present; /* false: the kernel's targetN is empty */
	struct iso_dpa_range dpa; /* of the memdev, what the region has; bytes 0: not known */
};

struct iso_observed_region {
	uint32_t kernel_id; /* N of regionN */
	struct iso_hpa_range range;
	uint32_t ways;
	uint32_t granularity;
	struct iso_observed_target targets[ISO_WAYS_MAX];
	uint64_t available_bytes; /* of its dax region */
	bool committed;
	bool bound;      /* bound to the cxl_region driver */
	bool has_dax;    /* its dax region is there */
	bool locked;     /* firmware holds the decoders */
	bool is_volatile;
};

enum iso_dax_driver {
	ISO_DAX_UNBOUND,
	ISO_DAX_DEVICE_DAX,
	ISO_DAX_KMEM, /* System RAM: never for managed regions */
	ISO_DAX_OTHER,
};

struct iso_observed_instance {
	uint32_t region_kernel_id; /* X of daxX.Y */
	uint32_t kernel_id;        /* Y of daxX.Y */
	uint64_t bytes;
	uint64_t align;
	struct iso_hpa start; /* of its first range */
	uint32_t major;
	uint32_t minor;
	uint32_t driver; /* enum iso_dax_driver */
	uint32_t n_pieces; /* 0: where it lies is not known */
	struct iso_hpa_range
		pieces[ISO_PIECES_MAX]; /* in any order; not all of it when there are more */
};

struct iso_snapshot {
	const struct iso_observed_host_bridge *host_bridges;
	const struct iso_observed_port *ports;
	const struct iso_observed_memdev *memdevs;
	const struct iso_observed_window *windows;
	const struct iso_observed_region *regions;
	const struct iso_observed_instance *instances;
	uint32_t n_host_bridges;
	uint32_t n_ports;
	uint32_t n_memdevs;
	uint32_t n_windows;
	uint32_t n_regions;
	uint32_t n_instances;
	uint64_t uevent_seqnum; /* the kernel's counter before anything was read */
};

#endif
