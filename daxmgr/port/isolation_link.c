/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "isolation_link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../cleanup.h"
#include "../isolation/config_space.h"
#include "sysfs.h"

enum {
	LINK_CAPABILITIES = 0x0c,
	LINK_CONTROL = 0x10,
	LINK_STATUS = 0x12,
	LINK_REPORTS = 1u << 20, /* it tells whether the data link layer is active */
	LINK_DISABLE = 1u << 4,
	LINK_ACTIVE = 1u << 13,
	BRIDGE_CONTROL = 0x3e,
	BRIDGE_RESET = 1u << 6,
	SECONDARY_BUS = 0x19,
	PATIENCE_MS = 1000,
};

struct link {
	int config; /* file */
	int express; /* offset of the capability */
	uint8_t secondary;
	bool reports;
};

#define LINK_NULL ((struct link){.config = -1})

static void link_close(struct link *link)
{
	cleanup_close(&link->config);
}

void port_pci_name(struct iso_pci_address a, char ret[PORT_PCI_NAME_BYTES])
{
	snprintf(ret, PORT_PCI_NAME_BYTES, "%04x:%02x:%02x.%x", a.segment & 0xffff, a.bus,
		 a.device & 31, a.function & 7);
}

static int link_open(struct port *port, const char *name, struct link *ret)
{
	uint8_t config[256];
	char path[PATH_MAX];
	uint32_t capabilities;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/config", port->root, name);
	ret->config = open(path, O_RDWR | O_CLOEXEC);
	if (ret->config < 0)
		return port_fail(port, -errno, "%s: %s", path, strerror(errno));
	if (pread(ret->config, config, sizeof(config), 0) != sizeof(config))
		return port_fail(port, -EIO, "%s: it cannot be read", path);
	ret->express = config_space_express(config, sizeof(config));
	if (ret->express < 0 || ret->express > 0xec)
		return port_fail(port, -ENXIO, "%s: it has no PCI Express capability", name);
	memcpy(&capabilities, config + ret->express + LINK_CAPABILITIES, 4);
	ret->reports = capabilities & LINK_REPORTS;
	ret->secondary = config[SECONDARY_BUS];
	return 0;
}

/* All ones: the port has gone, which is no link. */
static bool link_is_down(const struct link *link)
{
	uint16_t status;

	if (pread(link->config, &status, 2, link->express + LINK_STATUS) != 2)
		return false;
	return status != 0xffff && !(status & LINK_ACTIVE);
}

static bool wait_down(struct port *port, const struct link *link)
{
	for (unsigned int waited = 0; waited < PATIENCE_MS; waited += 10) {
		if (link_is_down(link))
			return true;
		if (!port_pause(port, 10))
			break;
	}
	return link_is_down(link);
}

/* Under lockdown config space can be opened and read, and each write is -EPERM: what is so already is not written. */
static int set_bit(const struct link *link, uint32_t at, uint16_t bit, bool on)
{
	uint16_t before, value;
	ssize_t bytes;

	if (pread(link->config, &before, 2, at) != 2)
		return -EIO;
	value = (uint16_t)(on ? before | bit : before & ~bit);
	if (value == before)
		return 0;
	bytes = pwrite(link->config, &value, 2, at);
	return bytes == 2 ? 0 : bytes < 0 ? -errno : -EIO;
}

static const char *write_error(int error)
{
	return error == -EPERM ? "config space is not written while the kernel is locked down"
			       : strerror(-error);
}

/* The slot whose devices are on the secondary bus. Return: whether there is one. */
static bool find_slot(struct port *port, const struct link *link, struct iso_pci_address address,
		      char slot[32])
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/sys/bus/pci/slots");
	struct dirent *entry;
	char want[16], text[32];

	snprintf(want, sizeof(want), "%04x:%02x:", address.segment & 0xffff, link->secondary);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && strlen(entry->d_name) < 32 &&
		    !sysfs_read(port->root, text, sizeof(text), "/sys/bus/pci/slots/%s/address",
				entry->d_name) &&
		    !strncmp(text, want, strlen(want))) {
			strcpy(slot, entry->d_name);
			return true;
		}
	return false;
}

/*
 * A slot without power has no link; the kernel then takes its devices out in
 * order. A port that does not tell of its link is believed the kernel's word.
 */
static bool by_slot_power(struct port *port, const struct link *link,
			  struct iso_pci_address address)
{
	char slot[32];
	uint64_t power = 1;

	if (!find_slot(port, link, address, slot) ||
	    sysfs_write(port->root, "0", "/sys/bus/pci/slots/%s/power", slot) < 0)
		return false;
	if (link->reports)
		return wait_down(port, link);
	return sysfs_read_u64(port->root, &power, "/sys/bus/pci/slots/%s/power", slot) == 0 &&
	       power == 0;
}

/* Return: 0, -EIO when the link stays up, or why it cannot be written. */
static int by_disable(struct port *port, const struct link *link)
{
	uint32_t at = (uint32_t)link->express + LINK_CONTROL;
	int r = set_bit(link, at, LINK_DISABLE, true);

	if (r < 0)
		return r;
	if (wait_down(port, link))
		return 0; /* it stays disabled until the isolation was cleared */
	set_bit(link, at, LINK_DISABLE, false);
	return -EIO;
}

/* Return: as by_disable(). */
static int by_bus_reset(struct port *port, const struct link *link)
{
	int r = set_bit(link, BRIDGE_CONTROL, BRIDGE_RESET, true);
	bool down;

	if (r < 0)
		return r;
	port_pause(port, 2);
	down = link_is_down(link) || wait_down(port, link);
	set_bit(link, BRIDGE_CONTROL, BRIDGE_RESET, false);
	return down ? 0 : -EIO;
}

int isolation_link_take_down(struct port *port, struct iso_pci_address address)
{
	_cleanup_(link_close) struct link link = LINK_NULL;
	char name[PORT_PCI_NAME_BYTES];
	int r;

	port_pci_name(address, name);
	r = link_open(port, name, &link);
	if (r < 0)
		return r;
	if ((link.reports && link_is_down(&link)) || by_slot_power(port, &link, address))
		return 0;
	if (!link.reports)
		return port_fail(
			port, -EOPNOTSUPP,
			"%s: it has no slot power, and does not tell whether its link is up", name);
	r = by_disable(port, &link);
	if (r < 0)
		r = by_bus_reset(port, &link);
	if (r == -EIO)
		return port_fail(
			port, r,
			"%s: its link stays up: slot power, link disable and bus reset did not help",
			name);
	return r < 0 ? port_fail(port, r, "%s: its link stays up: %s", name, write_error(r)) : 0;
}

int isolation_link_give_back(struct port *port, struct iso_pci_address address)
{
	_cleanup_(link_close) struct link link = LINK_NULL;
	char name[PORT_PCI_NAME_BYTES], slot[32];
	uint64_t power;
	int r;

	port_pci_name(address, name);
	r = link_open(port, name, &link);
	if (r < 0)
		return r;
	r = set_bit(&link, (uint32_t)link.express + LINK_CONTROL, LINK_DISABLE, false);
	if (r < 0)
		return port_fail(port, r, "%s: its link cannot be enabled: %s", name,
				 write_error(r));
	/* An empty slot takes no power: that is for whoever plugs the device. */
	if (find_slot(port, &link, address, slot) &&
	    sysfs_read_u64(port->root, &power, "/sys/bus/pci/slots/%s/power", slot) == 0 && !power)
		sysfs_write(port->root, "1", "/sys/bus/pci/slots/%s/power", slot);
	return 0;
}
