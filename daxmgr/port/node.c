/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../cleanup.h"
#include "dax.h"

/* Opens the node itself, never what a link there leads to. */
static int node_find(const char *root, const char *name, uint32_t major, uint32_t minor)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/dev/%s", root, name);
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(major, minor)) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

/* An O_PATH descriptor cannot be given to fchmod(); its /proc link can be to chmod(). */
static int node_own(int fd, uint32_t uid, uint32_t gid)
{
	char self[64];
	struct stat st;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (chmod(self, 0600) < 0 || fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ||
	    fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != uid || st.st_gid != gid || (st.st_mode & 07777) != 0600)
		return -EREMOTEIO;
	return 0;
}

int node_wait(struct port *port, const char *name, uint32_t major, uint32_t minor)
{
	_cleanup_close_ int fd = -1;
	unsigned int pause = 1;
	int error;

	while ((fd = node_find(port->root, name, major, minor)) < 0) {
		if (!port_pause(port, pause))
			return port_fail(port, fd, "/dev/%s is not device %u:%u: %s", name, major,
					 minor, strerror(-fd));
		pause = pause < 20 ? pause * 2 : 20;
	}
	error = node_own(fd, 0, 0);
	return error ? port_fail(port, error, "/dev/%s: owner: %s", name, strerror(-error)) : 0;
}

int node_open(struct port *port, const char *name, uint32_t major, uint32_t minor, int flags)
{
	_cleanup_close_ int found = node_find(port->root, name, major, minor);
	char self[64];
	int fd;

	if (found < 0)
		return port_fail(port, found, "/dev/%s is not device %u:%u: %s", name, major, minor,
				 strerror(-found));
	snprintf(self, sizeof(self), "/proc/self/fd/%d", found);
	fd = open(self, flags | O_CLOEXEC);
	return fd < 0 ? port_fail(port, -errno, "/dev/%s: open: %s", name, strerror(errno)) : fd;
}

/* A directory that is root's alone to change, made when it is missing and `make` is set. */
static int node_directory(int parent, const char *name, bool make)
{
	struct stat st;
	int fd;

	if (make && mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 0022)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

/* Return: ROOT/dev/daxmgr/vm. */
static int node_vm_directory(const char *root, bool make)
{
	_cleanup_close_ int dev = -1, daxmgr = -1;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/dev", root);
	dev = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dev < 0)
		return -errno;
	daxmgr = node_directory(dev, "daxmgr", make);
	return daxmgr < 0 ? daxmgr : node_directory(daxmgr, "vm", make);
}

static int node_link(int directory, const struct job_instance *instance)
{
	char name[DAX_NAME_BYTES], target[DAX_NAME_BYTES + 16], link[32], temporary[32];

	dax_name(instance->region_kernel_id, instance->kernel_id, name);
	snprintf(target, sizeof(target), "../../../%s", name);
	snprintf(link, sizeof(link), "mem%u", instance->part);
	snprintf(temporary, sizeof(temporary), ".mem%u.new", instance->part);
	if (unlinkat(directory, temporary, 0) < 0 && errno != ENOENT)
		return -errno;
	if (symlinkat(target, directory, temporary) < 0 ||
	    renameat(directory, temporary, directory, link) < 0)
		return -errno;
	return 0;
}

static int node_links_make(struct port *port, const char *lease,
			   const struct job_instance *instances, uint32_t n)
{
	_cleanup_close_ int vm = node_vm_directory(port->root, true);
	_cleanup_close_ int directory = vm < 0 ? vm : node_directory(vm, lease, true);

	if (directory < 0)
		return port_fail(port, directory, "/dev/daxmgr/vm/%s: %s", lease,
				 directory == -EPERM ? "not root's alone to change"
						     : strerror(-directory));
	for (uint32_t i = 0; i < n; i++) {
		int error = node_link(directory, &instances[i]);

		if (error)
			return port_fail(port, error, "/dev/daxmgr/vm/%s/mem%u: %s", lease,
					 instances[i].part, strerror(-error));
	}
	return 0;
}

static int node_give(struct port *port, const struct job_instance *instance, uint32_t uid,
		     uint32_t gid)
{
	_cleanup_close_ int fd = -1;
	char name[DAX_NAME_BYTES];
	int error;

	dax_name(instance->region_kernel_id, instance->kernel_id, name);
	if (dax_driver(port->root, name) != ISO_DAX_DEVICE_DAX)
		return port_fail(port, -ENODEV, "hand over: %s is not bound to device_dax", name);
	fd = node_find(port->root, name, instance->major, instance->minor);
	error = fd < 0 ? fd : node_own(fd, uid, gid);
	return error ? port_fail(port, error, "hand over: /dev/%s (%u:%u): %s", name,
				 instance->major, instance->minor, strerror(-error))
		     : 0;
}

int node_hand_over(struct port *port, const char *lease, uint32_t uid, uint32_t gid,
		   const struct job_instance *instances, uint32_t n)
{
	int error = 0;

	for (uint32_t i = 0; !error && i < n; i++)
		error = node_give(port, &instances[i], uid, gid);
	if (!error)
		error = node_links_make(port, lease, instances, n);
	if (error)
		(void)node_retract(port, lease, instances, n);
	return error;
}

static int node_take_back(struct port *port, const struct job_instance *instance)
{
	_cleanup_close_ int fd = -1;
	char name[DAX_NAME_BYTES];
	int error;

	dax_name(instance->region_kernel_id, instance->kernel_id, name);
	fd = node_find(port->root, name, instance->major, instance->minor);
	if (fd == -ENOENT || fd == -ESTALE)
		return 0; /* gone, or another device's by now */
	error = fd < 0 ? fd : node_own(fd, 0, 0);
	return error ? port_fail(port, error, "take back: /dev/%s: %s", name, strerror(-error)) : 0;
}

static int node_links_remove(int directory)
{
	int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		if ((!strncmp(entry->d_name, "mem", 3) || !strncmp(entry->d_name, ".mem", 4)) &&
		    unlinkat(directory, entry->d_name, 0) < 0 && errno != ENOENT)
			return -errno;
	return 0;
}

static int node_unlink(struct port *port, const char *lease)
{
	_cleanup_close_ int vm = node_vm_directory(port->root, false);
	_cleanup_close_ int directory = vm < 0 ? vm : node_directory(vm, lease, false);
	int error;

	if (directory == -ENOENT)
		return 0;
	error = directory < 0 ? directory : node_links_remove(directory);
	if (!error && unlinkat(vm, lease, AT_REMOVEDIR) < 0 && errno != ENOENT)
		error = -errno;
	return error ? port_fail(port, error, "/dev/daxmgr/vm/%s: %s", lease, strerror(-error)) : 0;
}

int node_retract(struct port *port, const char *lease, const struct job_instance *instances,
		 uint32_t n)
{
	int error = 0, failed;

	/* The nodes first: a link to a node that nobody may open does no harm. All are tried. */
	for (uint32_t i = 0; i < n; i++) {
		failed = node_take_back(port, &instances[i]);
		if (failed && !error)
			error = failed;
	}
	failed = node_unlink(port, lease);
	return error ? error : failed;
}
