/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <cxl/libcxl.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../cleanup.h"
#include "../source/cedt_decode.h"
#include "libcxl_root.h"
#include "observe.h"
#include "sysfs.h"

#define BUS "/sys/bus/cxl/devices/"

/*
 * What cannot be read is not taken for gone: VMs are killed when their memory
 * is. Return: 0 without an error or when it is gone; or the error, told.
 */
static int observe_unread(struct port *port, int error, const char *device, const char *what)
{
	if (!error || sysfs_is_gone(error))
		return 0;
	return port_fail(port, error, "observation: %s: %s: %s", device, what, strerror(-error));
}

static uint64_t observe_bytes(unsigned long long bytes)
{
	return bytes == ULLONG_MAX ? 0 : bytes; /* libcxl: not known */
}

static int observe_memdev(struct port *port, struct observation *o, struct cxl_memdev *memdev)
{
	uint32_t index = o->counts.n_memdevs;
	struct iso_observed_memdev *m = &o->memdevs[index];
	const char *host = cxl_memdev_get_host(memdev);
	char real[PATH_MAX];
	char *up;
	int error;

	if (index == SNAPSHOT_MEMDEVS_MAX)
		return port_fail(port, -EOVERFLOW, "more than %d memdevs", SNAPSHOT_MEMDEVS_MAX);
	if (!observe_pci_address(host, &m->address, NULL))
		return 0; /* not a PCI device */
	error = sysfs_real(port->root, real, "/sys/bus/pci/devices/%s", host);
	if (error) /* it has just left */
		return observe_unread(port, error, cxl_memdev_get_devname(memdev), host);
	if (observe_pci_path(o, real, m->path) == ISO_NONE)
		return 0;
	up = strrchr(real, '/');
	*up = '\0';
	up = strrchr(real, '/');
	m->port = ISO_NONE;
	if (up) {
		struct iso_pci_address above;

		if (observe_pci_address(up + 1, &above, NULL))
			m->port = observe_port_find(o, above);
	}
	snprintf(m->name, sizeof(m->name), "%s", cxl_memdev_get_devname(memdev));
	m->serial = cxl_memdev_get_serial(memdev);
	m->volatile_bytes = observe_bytes(cxl_memdev_get_ram_size(memdev));
	m->persistent_bytes = observe_bytes(cxl_memdev_get_pmem_size(memdev));
	m->bound = cxl_memdev_is_enabled(memdev) > 0 && cxl_memdev_get_endpoint(memdev);
	o->counts.n_memdevs++;
	return 0;
}

/* A window's target is named after the ACPI object or after its PCI bus, as the kernel likes. */
static uint32_t observe_target_bridge(const struct observation *o, struct cxl_target *target)
{
	const char *name = target ? cxl_target_get_devname(target) : "";

	for (uint32_t i = 0; i < o->counts.n_host_bridges; i++)
		if (!strcmp(o->bridges[i].device, name) || !strcmp(o->bridges[i].acpi, name))
			return i;
	return ISO_NONE;
}

static int observe_window(struct port *port, struct observation *o, struct cxl_decoder *decoder)
{
	uint32_t index = o->counts.n_windows;
	struct iso_observed_window *w = &o->windows[index];
	int targets = cxl_decoder_get_nr_targets(decoder);

	if (index == SNAPSHOT_WINDOWS_MAX)
		return port_fail(port, -EOVERFLOW, "more than %d windows", SNAPSHOT_WINDOWS_MAX);
	if (targets < 1 || targets > ISO_WAYS_MAX)
		return 0;
	w->kernel_id = (uint32_t)cxl_decoder_get_id(decoder);
	w->range.start.v = cxl_decoder_get_resource(decoder);
	w->range.bytes = cxl_decoder_get_size(decoder);
	w->granularity = cxl_decoder_get_interleave_granularity(decoder);
	w->ways = (uint32_t)targets;
	w->volatile_capable = cxl_decoder_is_volatile_capable(decoder);
	w->arithmetic = cedt_arithmetic(o->cedt, o->cedt_bytes, w->range.start);
	for (int i = 0; i < targets; i++)
		w->host_bridges[i] =
			observe_target_bridge(o, cxl_decoder_get_target_by_position(decoder, i));
	o->counts.n_windows++;
	return 0;
}

/* Which of the memdev's own addresses a decoder maps; not known rather than half known. */
static struct iso_dpa_range observe_dpa(struct port *port, const char *decoder)
{
	struct iso_dpa_range dpa = {0};

	if (sysfs_read_u64(port->root, &dpa.start.v, BUS "%s/dpa_resource", decoder) ||
	    sysfs_read_u64(port->root, &dpa.bytes, BUS "%s/dpa_size", decoder))
		return (struct iso_dpa_range){0};
	return dpa;
}

/*
 * libcxl gives up on a region with an empty target, and an emptied one is just
 * what a fault leaves behind: so the targets are read as the kernel shows them.
 */
static int observe_target(struct port *port, const struct observation *o, const char *region,
			  uint32_t position, struct iso_observed_region *ret)
{
	char decoder[32] = "", memdev[32] = "", target[24];
	uint64_t locked = 0;
	int error;

	snprintf(target, sizeof(target), "target%u", position);
	error = sysfs_read(port->root, decoder, sizeof(decoder), BUS "%s/%s", region, target);
	if (error || !decoder[0])
		return observe_unread(port, error, region, target);
	/* Kernels before 7.1 tell only at the decoder. */
	error = sysfs_read_u64(port->root, &locked, BUS "%s/locked", decoder);
	if (!error && locked)
		ret->locked = true;
	if (!error || sysfs_is_gone(error))
		error = sysfs_link(port->root, memdev, sizeof(memdev), BUS "%s/../uport", decoder);
	for (uint32_t i = 0; !error && i < o->counts.n_memdevs; i++)
		if (!strcmp(o->memdevs[i].name, memdev))
			ret->targets[position] = (struct iso_observed_target){
				.serial = o->memdevs[i].serial,
				.present = true,
				.dpa = observe_dpa(port, decoder),
			};
	return observe_unread(port, error, decoder, "memdev");
}

/* An attribute that is 0 or 1; one that is not there is 0. */
static int observe_flag(struct port *port, const char *region, const char *attribute, bool *ret)
{
	uint64_t flag = 0;
	int error = sysfs_read_u64(port->root, &flag, BUS "%s/%s", region, attribute);

	*ret = !error && flag;
	return observe_unread(port, error, region, attribute);
}

static int observe_dax_region(struct port *port, struct iso_observed_region *r)
{
	char name[32];
	int error;

	snprintf(name, sizeof(name), "dax_region%u", r->kernel_id);
	error = sysfs_read_u64(port->root, &r->available_bytes, BUS "%s/dax_region/available_size",
			       name);
	r->has_dax = !error;
	return observe_unread(port, error, name, "available_size");
}

static int observe_attributes(struct port *port, const char *name, struct iso_observed_region *r)
{
	char mode[16] = "";
	int error;

	error = observe_flag(port, name, "commit", &r->committed);
	if (!error)
		error = observe_flag(port, name, "locked", &r->locked);
	if (!error)
		error = observe_unread(
			port, sysfs_read(port->root, mode, sizeof(mode), BUS "%s/mode", name), name,
			"mode");
	r->is_volatile = !strcmp(mode, "ram");
	return error ? error : observe_dax_region(port, r);
}

static int observe_region(struct port *port, struct observation *o, struct cxl_region *region)
{
	uint32_t index = o->counts.n_regions;
	struct iso_observed_region *r = &o->regions[index];
	const char *name = cxl_region_get_devname(region);
	int error;

	if (index == SNAPSHOT_REGIONS_MAX)
		return port_fail(port, -EOVERFLOW, "more than %d regions", SNAPSHOT_REGIONS_MAX);
	r->kernel_id = (uint32_t)cxl_region_get_id(region);
	r->ways = cxl_region_get_interleave_ways(region);
	r->granularity = cxl_region_get_interleave_granularity(region);
	r->range.bytes = observe_bytes(cxl_region_get_size(region));
	r->range.start.v = r->range.bytes ? cxl_region_get_resource(region) : 0;
	r->bound = cxl_region_is_enabled(region) > 0;
	error = observe_attributes(port, name, r);
	if (r->ways > ISO_WAYS_MAX)
		r->ways = 0; /* just being made: nothing set yet */
	for (uint32_t i = 0; !error && i < r->ways; i++)
		error = observe_target(port, o, name, i, r);
	if (!error)
		o->counts.n_regions++;
	return error;
}

static int observe_bus(struct port *port, struct observation *o, struct cxl_bus *bus)
{
	struct cxl_port *root = cxl_bus_get_port(bus);
	struct cxl_decoder *decoder;
	struct cxl_region *region;
	int error;

	if (strcmp(cxl_bus_get_provider(bus), "ACPI.CXL"))
		return 0; /* a test bus of the kernel */
	cxl_decoder_foreach(root, decoder)
	{
		error = observe_window(port, o, decoder);
		if (error)
			return error;
		cxl_region_foreach(decoder, region)
		{
			error = observe_region(port, o, region);
			if (error)
				return error;
		}
	}
	return 0;
}

int observe_cxl(struct port *port, struct observation *o)
{
	_cleanup_(libcxl_unrefp) struct cxl_ctx *ctx = NULL;
	struct cxl_memdev *memdev;
	struct cxl_bus *bus;
	int error;

	error = libcxl_open(port, &ctx);
	if (error)
		return error;
	(void)sysfs_read_bytes(port->root, o->cedt, sizeof(o->cedt), &o->cedt_bytes,
			       "/sys/firmware/acpi/tables/CEDT");
	cxl_memdev_foreach(ctx, memdev)
	{
		error = observe_memdev(port, o, memdev);
		if (error)
			return error;
	}
	cxl_bus_foreach(ctx, bus)
	{
		error = observe_bus(port, o, bus);
		if (error)
			return error;
	}
	return 0;
}
