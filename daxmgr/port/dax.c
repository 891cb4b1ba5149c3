/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dax.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "sysfs.h"

void dax_name(uint32_t region, uint32_t id, char ret[DAX_NAME_BYTES])
{
	snprintf(ret, DAX_NAME_BYTES, "dax%u.%u", region, id);
}

static int dax_read_driver(const char *root, const char *name, uint32_t *ret)
{
	char driver[32];
	int error =
		sysfs_link(root, driver, sizeof(driver), "/sys/bus/dax/devices/%s/driver", name);

	*ret = ISO_DAX_UNBOUND;
	if (error == -ENOENT)
		return 0;
	*ret = ISO_DAX_OTHER;
	if (error)
		return error;
	if (!strcmp(driver, "device_dax"))
		*ret = ISO_DAX_DEVICE_DAX;
	else if (!strcmp(driver, "kmem"))
		*ret = ISO_DAX_KMEM;
	return 0;
}

uint32_t dax_driver(const char *root, const char *name)
{
	uint32_t driver;

	(void)dax_read_driver(root, name, &driver);
	return driver;
}

/* Other dax regions (hmem, pmem) use the same names: only children of dax_regionX count. */
static bool dax_is_ours(const char *root, uint32_t region, const char *name)
{
	return sysfs_exists(root, "/sys/bus/cxl/devices/dax_region%u/%s/size", region, name);
}

int dax_read(const char *root, uint32_t region, uint32_t id, struct dax_device *ret)
{
	struct dax_device device = {0};
	char name[DAX_NAME_BYTES];
	int error;

	dax_name(region, id, name);
	if (!dax_is_ours(root, region, name))
		return -ENOENT;
	error = sysfs_read_u64(root, &device.bytes, "/sys/bus/dax/devices/%s/size", name);
	if (error)
		return error;
	error = sysfs_read_u64(root, &device.align, "/sys/bus/dax/devices/%s/align", name);
	if (error)
		return error;
	error = sysfs_read_dev(root, &device.major, &device.minor, "/sys/bus/dax/devices/%s/dev",
			       name);
	if (error)
		return error;
	/*
	 * Never mappingN/start or end: whoever reads one waits for dax_region_rwsem while who
	 * shrinks or removes the device holds it and waits for the reader (kernel:
	 * drivers/dax/bus.c, get_dax_range() against size_store(), 6.8 and later). Both sleep
	 * until the reader is killed.
	 */
	if (device.bytes)
		(void)sysfs_read_u64(root, &device.start.v, "/sys/bus/dax/devices/%s/resource",
				     name);
	error = dax_read_driver(root, name, &device.driver);
	if (error)
		return error;
	*ret = device;
	return 0;
}

DIR *dax_region_open(const char *root, uint32_t region)
{
	return sysfs_open(root, "/sys/bus/cxl/devices/dax_region%u", region);
}

bool dax_region_next(DIR *dir, uint32_t region, uint32_t *ret_id)
{
	struct dirent *entry;

	while ((entry = readdir(dir))) {
		unsigned int found, id;
		int used = 0;

		if (sscanf(entry->d_name, "dax%u.%u%n", &found, &id, &used) == 2 &&
		    !entry->d_name[used] && found == region) {
			*ret_id = id;
			return true;
		}
	}
	return false;
}

/* Errors of a device that is not there, or not in that state, any more. */
static int dax_gone(int error)
{
	return sysfs_is_gone(error) ? 0 : error;
}

int dax_unbind(const char *root, const char *name, const char **ret_step)
{
	int error;

	*ret_step = "remove_id";
	error = dax_gone(sysfs_write(root, name, "/sys/bus/dax/drivers/device_dax/remove_id"));
	if (error)
		return error;
	switch (dax_driver(root, name)) {
	case ISO_DAX_UNBOUND:
		return 0;
	case ISO_DAX_DEVICE_DAX:
		*ret_step = "unbind";
		return dax_gone(sysfs_write(root, name, "/sys/bus/dax/drivers/device_dax/unbind"));
	case ISO_DAX_KMEM:
		*ret_step = "it is System RAM (driver kmem)";
		return -EBUSY;
	default:
		*ret_step = "it is bound to a driver that is not device_dax";
		return -EBUSY;
	}
}

int dax_remove(const char *root, uint32_t region, uint32_t id, const char **ret_step)
{
	char name[DAX_NAME_BYTES];
	int error;

	dax_name(region, id, name);
	if (!dax_is_ours(root, region, name)) {
		/* The kernel forgets the device by itself, but not its id. */
		*ret_step = "remove_id";
		if (sysfs_exists(root, "/sys/bus/dax/devices/%s", name))
			return 0; /* of another kind of region: not ours to touch */
		return dax_gone(
			sysfs_write(root, name, "/sys/bus/dax/drivers/device_dax/remove_id"));
	}
	error = dax_unbind(root, name, ret_step);
	if (error)
		return error;
	*ret_step = "size";
	error = dax_gone(sysfs_write(root, "0", "/sys/bus/dax/devices/%s/size", name));
	if (error || !id)
		return error;
	*ret_step = "delete";
	return dax_gone(sysfs_write(root, name,
				    "/sys/bus/cxl/devices/dax_region%u/dax_region/delete", region));
}
