/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cleanup.h"
#include "observe.h"
#include "sysfs.h"

enum { OBSERVE_DEPTH_MAX = 8 }; /* bridges in a chain: what a path can hold */

bool observe_pci_address(const char *text, struct iso_pci_address *ret, const char **ret_end)
{
	unsigned int segment, bus, device, function;
	int used = 0;

	if (sscanf(text, "%4x:%2x:%2x.%1x%n", &segment, &bus, &device, &function, &used) != 4 ||
	    used != 12 || device > 31 || function > 7)
		return false;
	*ret = (struct iso_pci_address){segment, (uint8_t)bus, (uint8_t)device, (uint8_t)function,
					1};
	if (ret_end)
		*ret_end = text + used;
	return true;
}

uint32_t observe_port_find(const struct observation *o, struct iso_pci_address address)
{
	for (uint32_t i = 0; i < o->counts.n_ports; i++)
		if (iso_pci_address_equal(o->ports[i].address, address))
			return i;
	return ISO_NONE;
}

static uint32_t observe_bridge_find(const struct observation *o, const char *device, size_t length)
{
	for (uint32_t i = 0; i < o->counts.n_host_bridges; i++)
		if (strlen(o->bridges[i].device) == length &&
		    !strncmp(o->bridges[i].device, device, length))
			return i;
	return ISO_NONE;
}

uint32_t observe_pci_path(const struct observation *o, const char *real, char ret[ISO_PATH_BYTES])
{
	static const char prefix[] = "/sys/devices/";
	struct iso_pci_address address;
	const char *at, *end;
	uint32_t bridge;
	size_t used;

	if (strncmp(real, prefix, strlen(prefix)))
		return ISO_NONE;
	at = real + strlen(prefix);
	bridge = observe_bridge_find(o, at, strcspn(at, "/"));
	if (bridge == ISO_NONE)
		return ISO_NONE;
	at += strcspn(at, "/");
	used = (size_t)snprintf(ret, ISO_PATH_BYTES, "%s", o->host_bridges[bridge].path);
	while (*at == '/' && observe_pci_address(at + 1, &address, &end) &&
	       (*end == '/' || !*end)) {
		int added = snprintf(ret + used, ISO_PATH_BYTES - used, "/%02x.%x", address.device,
				     address.function);

		used += (size_t)added;
		if (used >= ISO_PATH_BYTES)
			return ISO_NONE;
		at = end;
	}
	return bridge;
}

/* A switch alternates: its upstream port is below a downstream or root port. */
static uint32_t observe_port_kind(const struct observation *o, uint32_t parent)
{
	if (parent == ISO_NONE)
		return ISO_PORT_ROOT;
	return o->ports[parent].kind == ISO_PORT_SWITCH_UPSTREAM ? ISO_PORT_SWITCH_DOWNSTREAM
								 : ISO_PORT_SWITCH_UPSTREAM;
}

static bool observe_is_bridge(const struct port *port, const char *real)
{
	uint64_t class;

	return !sysfs_read_u64(port->root, &class, "%s/class", real) && class >> 8 == 0x0604;
}

static int observe_ports_below(struct port *port, struct observation *o, const char *real,
			       uint32_t parent, unsigned int depth);

static int observe_port_add(struct port *port, struct observation *o, const char *real,
			    struct iso_pci_address address, uint32_t parent, unsigned int depth)
{
	uint32_t index = o->counts.n_ports;
	struct iso_observed_port *p = &o->ports[index];

	if (index == SNAPSHOT_PORTS_MAX)
		return port_fail(port, -EOVERFLOW, "more than %d ports", SNAPSHOT_PORTS_MAX);
	p->host_bridge = observe_pci_path(o, real, p->path);
	if (p->host_bridge == ISO_NONE || depth == OBSERVE_DEPTH_MAX)
		return port_fail(port, -EOVERFLOW, "%s: too many bridges above each other", real);
	p->address = address;
	p->parent = parent;
	p->kind = observe_port_kind(o, parent);
	o->counts.n_ports++;
	return observe_ports_below(port, o, real, index, depth + 1);
}

static int observe_name_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int observe_is_function(const struct dirent *entry)
{
	struct iso_pci_address address;

	return observe_pci_address(entry->d_name, &address, NULL);
}

/* Sorted, so that the same machine always gives the same order. */
static int observe_ports_below(struct port *port, struct observation *o, const char *real,
			       uint32_t parent, unsigned int depth)
{
	struct dirent **entries = NULL;
	char path[PATH_MAX];
	int n, error = 0;

	snprintf(path, sizeof(path), "%s%s", port->root, real);
	n = scandir(path, &entries, observe_is_function, observe_name_order);
	if (n < 0)
		return errno == ENOENT ? 0
				       : port_fail(port, -errno, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		struct iso_pci_address address;

		snprintf(path, sizeof(path), "%s/%s", real, entries[i]->d_name);
		if (!error && observe_pci_address(entries[i]->d_name, &address, NULL) &&
		    observe_is_bridge(port, path))
			error = observe_port_add(port, o, path, address, parent, depth);
		free(entries[i]);
	}
	free(entries);
	return error;
}

/* Only what cannot be mistaken for a path or for somebody else's word goes into a name. */
static void observe_clean(char *text)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("_.-:", *text))
			*text = '_';
}

static int observe_bridge_add(struct port *port, struct observation *o, const char *device)
{
	uint32_t index = o->counts.n_host_bridges;
	char hid[32], uid[64], acpi[32];

	if (sysfs_read(port->root, hid, sizeof(hid), "/sys/devices/%s/firmware_node/hid", device) ||
	    strcmp(hid, "ACPI0016"))
		return 0;
	if (index == SNAPSHOT_HOST_BRIDGES_MAX)
		return port_fail(port, -EOVERFLOW, "more than %d CXL host bridges",
				 SNAPSHOT_HOST_BRIDGES_MAX);
	if (sysfs_link(port->root, acpi, sizeof(acpi), "/sys/devices/%s/firmware_node", device))
		return 0;
	/* Firmware that gives no UID leaves only the name of the ACPI object. */
	if (sysfs_read(port->root, uid, sizeof(uid), "/sys/devices/%s/firmware_node/uid", device))
		snprintf(uid, sizeof(uid), "-%s", acpi);
	observe_clean(uid);
	snprintf(o->host_bridges[index].path, ISO_PATH_BYTES, "hb%s", uid);
	strcpy(o->bridges[index].device, device);
	strcpy(o->bridges[index].acpi, acpi);
	o->counts.n_host_bridges++;
	return 0;
}

static int observe_is_host_bridge(const struct dirent *entry)
{
	unsigned int segment, bus;
	int used = 0;

	return sscanf(entry->d_name, "pci%4x:%2x%n", &segment, &bus, &used) == 2 &&
	       !entry->d_name[used] && used < OBSERVE_DEVICE_BYTES;
}

int observe_ports(struct port *port, struct observation *o)
{
	struct dirent **entries = NULL;
	char path[PATH_MAX];
	int n, error = 0;

	snprintf(path, sizeof(path), "%s/sys/devices", port->root);
	n = scandir(path, &entries, observe_is_host_bridge, observe_name_order);
	if (n < 0)
		return port_fail(port, -errno, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (!error)
			error = observe_bridge_add(port, o, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	for (uint32_t i = 0; !error && i < o->counts.n_host_bridges; i++) {
		snprintf(path, sizeof(path), "/sys/devices/%s", o->bridges[i].device);
		error = observe_ports_below(port, o, path, ISO_NONE, 0);
	}
	return error;
}
