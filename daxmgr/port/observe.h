/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything the engine wants to know, read once.
 *
 * Devices may leave while they are read: what vanished half way is left out,
 * the uevent of its leaving brings another observation.
 */
#ifndef DAXMGR_OBSERVE_H
#define DAXMGR_OBSERVE_H

#include "../snapshot_file.h"
#include "iomem.h"
#include "port.h"

enum { OBSERVE_DEVICE_BYTES = 32, OBSERVE_CEDT_BYTES = 65536 };

/* Where a host bridge is found in this boot. */
struct observe_bridge {
	char device[OBSERVE_DEVICE_BYTES]; /* pciDDDD:BB below /sys/devices */
	char acpi[32]; /* ACPI0016:NN */
};

/* Tables with room for the most that a snapshot may hold. */
struct observation {
	struct iso_observed_host_bridge host_bridges[SNAPSHOT_HOST_BRIDGES_MAX];
	struct observe_bridge bridges[SNAPSHOT_HOST_BRIDGES_MAX];
	struct iso_observed_port ports[SNAPSHOT_PORTS_MAX];
	struct iso_observed_memdev memdevs[SNAPSHOT_MEMDEVS_MAX];
	struct iso_observed_window windows[SNAPSHOT_WINDOWS_MAX];
	struct iso_observed_region regions[SNAPSHOT_REGIONS_MAX];
	struct iso_observed_instance instances[SNAPSHOT_INSTANCES_MAX];
	uint8_t cedt[OBSERVE_CEDT_BYTES]; /* how windows spread addresses */
	size_t cedt_bytes; /* 0: it cannot be read */
	struct iomem iomem; /* where dax devices and System RAM lie */
	struct iso_snapshot counts; /* n_*; the pointers are set at the end */
};

/* Observes all. Return: a memfd of snapshot_file_write(), or a negative errno. */
int observe_run(struct port *port);

/* CXL host bridges (ACPI0016) and the ports below them, from sysfs. */
int observe_ports(struct port *port, struct observation *o);

/* Memdevs, windows and regions, through libcxl; wants observe_ports() first. */
int observe_cxl(struct port *port, struct observation *o);

/* dax devices of CXL regions, from sysfs; wants observe_cxl() first. */
int observe_dax(struct port *port, struct observation *o);

/* Marks the root ports that System RAM lies behind, or may; wants all of the above first. */
void observe_ram(struct observation *o);

/*
 * Stable path of a PCI function: host bridge and device.function chain, from
 * its real path /sys/devices/pciDDDD:BB/DDDD:BB:DD.F/… Return: index of its
 * host bridge, or ISO_NONE when it is below none or the path is too long.
 */
uint32_t observe_pci_path(const struct observation *o, const char *real, char ret[ISO_PATH_BYTES]);

/* Index of the port with this address, or ISO_NONE. */
uint32_t observe_port_find(const struct observation *o, struct iso_pci_address address);

/* Parses "DDDD:BB:DD.F" at the start of `text`; `*ret_end` is set behind it. */
bool observe_pci_address(const char *text, struct iso_pci_address *ret, const char **ret_end);

#endif
