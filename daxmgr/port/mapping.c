/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../cleanup.h"
#include "dax.h"
#include "sysfs.h"

enum { MAPPING_DEVICES_MAX = 1 << 16 };

bool mapping_parse(char *line, struct mapping_line *ret)
{
	uint64_t start, end, offset, inode;
	unsigned int major_number, minor_number;
	char flags[5];
	int used = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &start,
		   &end, flags, &offset, &major_number, &minor_number, &inode, &used) != 7 ||
	    !used)
		return false;
	snprintf(ret->range, sizeof(ret->range), "%" PRIx64 "-%" PRIx64, start, end);
	ret->shared = strlen(flags) == 4 && flags[3] == 's';
	ret->device = makedev(major_number, minor_number);
	ret->inode = inode;
	ret->path = line + used;
	return true;
}

bool mapping_is_node(const char *path, uint32_t *ret_region, uint32_t *ret_id)
{
	const char *name = strrchr(path, '/');
	char written[DAX_NAME_BYTES];
	unsigned int region, id;

	if (!name || sscanf(name + 1, "dax%u.%u", &region, &id) != 2)
		return false;
	/* As the kernel writes it: no sign, no zeros in front. */
	dax_name(region, id, written);
	name += 1 + strlen(written);
	if (strncmp(name - strlen(written), written, strlen(written)) ||
	    (*name && strcmp(name, " (deleted)")))
		return false;
	*ret_region = region;
	*ret_id = id;
	return true;
}

static int mapping_compare(const void *left, const void *right)
{
	const struct mapping_device *a = left, *b = right;

	if (a->major != b->major)
		return a->major < b->major ? -1 : 1;
	return a->minor < b->minor ? -1 : a->minor > b->minor;
}

static void mapping_find_node(const char *root, struct mapping_device *device)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/dev/dax%u.%u", root, device->region_kernel_id,
		 device->kernel_id);
	device->has_node = lstat(path, &st) == 0 && S_ISCHR(st.st_mode) &&
			   st.st_rdev == makedev(device->major, device->minor);
	if (!device->has_node)
		return;
	device->node_device = st.st_dev;
	device->node_inode = st.st_ino;
}

static int mapping_set_append(struct port *port, struct mapping_set *set,
			      struct mapping_device device)
{
	/* Grows by halves of powers of two: whenever the count is one. */
	if (!(set->n & (set->n - 1))) {
		size_t room = set->n ? 2 * (size_t)set->n : 4;
		struct mapping_device *grown;

		if (room > MAPPING_DEVICES_MAX)
			return port_fail(port, -EOVERFLOW, "more than %d dax devices",
					 MAPPING_DEVICES_MAX / 2);
		grown = reallocarray(set->devices, room, sizeof(*grown));
		if (!grown)
			return port_fail(port, -ENOMEM, "dax devices: no memory");
		set->devices = grown;
	}
	mapping_find_node(port->root, &device);
	set->devices[set->n++] = device;
	return 0;
}

static void mapping_set_sort(struct mapping_set *set)
{
	if (set->n)
		qsort(set->devices, set->n, sizeof(*set->devices), mapping_compare);
}

int mapping_set_add(struct port *port, const struct job_instance *instances, uint32_t n,
		    struct mapping_set *set)
{
	int error = 0;

	for (uint32_t i = 0; !error && i < n; i++)
		error = mapping_set_append(
			port, set,
			(struct mapping_device){
				.region_kernel_id = instances[i].region_kernel_id,
				.kernel_id = instances[i].kernel_id,
				.major = instances[i].major,
				.minor = instances[i].minor,
			});
	mapping_set_sort(set);
	return error;
}

/* Of one name on the dax bus. */
static int mapping_set_add_bound(struct port *port, struct mapping_set *set, const char *name)
{
	struct mapping_device device = {0};
	unsigned int region, id;
	int used = 0;

	if (sscanf(name, "dax%u.%u%n", &region, &id, &used) != 2 || name[used])
		return 0;
	device.region_kernel_id = region;
	device.kernel_id = id;
	/* Below its CXL region: other kinds of dax regions have the same sort of names. */
	if (sysfs_read_dev(port->root, &device.major, &device.minor,
			   "/sys/bus/cxl/devices/dax_region%u/%s/dev", region, name) ||
	    dax_driver(port->root, name) != ISO_DAX_DEVICE_DAX)
		return 0;
	return mapping_set_append(port, set, device);
}

int mapping_set_all(struct port *port, struct mapping_set *ret)
{
	_cleanup_(mapping_set_free) struct mapping_set set = {0};
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/sys/bus/dax/devices");
	struct dirent *entry;

	if (!dir && errno != ENOENT) /* nobody would map anything */
		return port_fail(port, -errno, "/sys/bus/dax/devices: %s", strerror(errno));
	while (dir && (entry = readdir(dir))) {
		int error = mapping_set_add_bound(port, &set, entry->d_name);

		if (error)
			return error;
	}
	mapping_set_sort(&set);
	*ret = set;
	set = (struct mapping_set){0};
	return 0;
}

void mapping_set_keep(struct mapping_set *set, uint32_t region)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < set->n; i++)
		if (set->devices[i].region_kernel_id == region)
			set->devices[n++] = set->devices[i];
	set->n = n;
}

void mapping_set_free(struct mapping_set *set)
{
	free(set->devices);
	*set = (struct mapping_set){0};
}

static uint32_t mapping_find_number(const struct mapping_set *set, uint32_t major_number,
				    uint32_t minor_number)
{
	const struct mapping_device key = {.major = major_number, .minor = minor_number};
	const struct mapping_device *found =
		set->n ? bsearch(&key, set->devices, set->n, sizeof(key), mapping_compare) : NULL;

	return found ? (uint32_t)(found - set->devices) : ISO_NONE;
}

uint32_t mapping_find_name(const struct mapping_set *set, const char *path)
{
	uint32_t region, id;

	if (!mapping_is_node(path, &region, &id))
		return ISO_NONE;
	for (uint32_t i = 0; i < set->n; i++)
		if (set->devices[i].region_kernel_id == region && set->devices[i].kernel_id == id)
			return i;
	return ISO_NONE;
}

static uint32_t mapping_find_opened(const struct mapping_set *set, const struct mapping_line *line)
{
	uint32_t named = mapping_find_name(set, line->path);

	for (uint32_t i = 0; i < set->n; i++)
		if (set->devices[i].has_node && set->devices[i].node_device == line->device &&
		    set->devices[i].node_inode == line->inode)
			return i;
	/* Another node of the same file system: it was an earlier device's of that name. */
	if (named != ISO_NONE && set->devices[named].has_node &&
	    set->devices[named].node_device == line->device)
		return ISO_NONE;
	return named;
}

uint32_t mapping_find(const struct mapping_set *set, const char *root, const char *pid,
		      const struct mapping_line *line)
{
	char path[PATH_MAX];
	struct statx st;

	/* Device-dax can be mapped shared only. */
	if (!line->shared || !line->inode || !line->path[0])
		return ISO_NONE;
	snprintf(path, sizeof(path), "%s/proc/%s/map_files/%s", root, pid, line->range);
	/* It leads to any file of any file system: what that already knows is enough. */
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
		return mapping_find_opened(set, line);
	return S_ISCHR(st.stx_mode) ? mapping_find_number(set, st.stx_rdev_major, st.stx_rdev_minor)
				    : ISO_NONE;
}
