/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "../cleanup.h"
#include "dax.h"
#include "sysfs.h"

#define GUARD_AUTOPROBE "/sys/bus/dax/drivers_autoprobe"

/*
 * /run/daxmgr/dax-autoprobe is there while we have switched probing off. Its
 * lines: "seen X": daxX.0 was there before; "ours X.Y".
 */
static int guard_record_open(struct port *port, int flags)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/run/daxmgr/dax-autoprobe", port->root);
	fd = open(path, O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	return fd < 0 ? -errno : fd;
}

static void guard_record_remove(struct port *port)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/run/daxmgr/dax-autoprobe", port->root);
	unlink(path);
}

static int guard_probing(struct port *port, bool on)
{
	int error = sysfs_write(port->root, on ? "1" : "0", GUARD_AUTOPROBE);

	return error ? port_fail(port, error, "kmem guard: %s: %s", GUARD_AUTOPROBE,
				 strerror(-error))
		     : 0;
}

/* The next X of a daxX.0 on the bus, of whatever kind of region. */
static bool guard_seed_next(DIR *dir, uint32_t *ret_region)
{
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		unsigned int region;
		int used = 0;

		if (sscanf(entry->d_name, "dax%u.0%n", &region, &used) == 1 && used &&
		    !entry->d_name[used]) {
			*ret_region = region;
			return true;
		}
	}
	return false;
}

static int guard_record_make(struct port *port)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/sys/bus/dax/devices");
	_cleanup_close_ int fd = guard_record_open(port, O_WRONLY | O_CREAT);
	uint32_t region;

	if (fd < 0)
		return port_fail(port, fd, "kmem guard: record: %s", strerror(-fd));
	while (guard_seed_next(dir, &region))
		if (dprintf(fd, "seen %u\n", region) < 0)
			return port_fail(port, -errno, "kmem guard: record: %s", strerror(errno));
	return 0;
}

static bool guard_record_has(FILE *record, const char *line)
{
	char found[64];

	rewind(record);
	while (fgets(found, sizeof(found), record)) {
		found[strcspn(found, "\n")] = '\0';
		if (!strcmp(found, line))
			return true;
	}
	return false;
}

/*
 * Looked at before it is written: a write to a device whose region is being
 * deleted may meet the kernel's removal, and then both sleep (see dax_read()).
 */
static bool guard_holds_capacity(struct port *port, const char *name)
{
	uint64_t bytes;

	return !sysfs_read_u64(port->root, &bytes, "/sys/bus/dax/devices/%s/size", name) && bytes &&
	       dax_driver(port->root, name) == ISO_DAX_UNBOUND;
}

/* Capacity that its maker left without a driver when it died. */
static void guard_empty_claimed(struct port *port, FILE *record)
{
	char line[64], name[DAX_NAME_BYTES];
	unsigned int region, id;

	rewind(record);
	while (fgets(line, sizeof(line), record)) {
		if (sscanf(line, "ours %u.%u", &region, &id) != 2)
			continue;
		dax_name(region, id, name);
		if (guard_holds_capacity(port, name))
			(void)sysfs_write(port->root, "0", "/sys/bus/dax/devices/%s/size", name);
	}
}

/* First devices of others that came while nothing was probed. */
static void guard_offer(struct port *port, FILE *record)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/sys/bus/dax/devices");
	uint32_t region;

	while (guard_seed_next(dir, &region)) {
		char seen[64], ours[64], name[DAX_NAME_BYTES];

		snprintf(seen, sizeof(seen), "seen %u", region);
		snprintf(ours, sizeof(ours), "ours %u.0", region);
		dax_name(region, 0, name);
		if (!guard_record_has(record, seen) && !guard_record_has(record, ours) &&
		    dax_driver(port->root, name) == ISO_DAX_UNBOUND)
			(void)sysfs_write(port->root, name, "/sys/bus/dax/drivers_probe");
	}
}

/* Only when nobody is inside. */
static int guard_restore(struct port *port)
{
	int fd = guard_record_open(port, O_RDONLY);
	_cleanup_fclose_ FILE *record = fd < 0 ? NULL : fdopen(fd, "r");
	int error;

	if (!record)
		return 0; /* probing is not off, or not by us */
	guard_empty_claimed(port, record);
	error = guard_probing(port, true);
	if (error)
		return error;
	guard_offer(port, record);
	guard_record_remove(port);
	return 0;
}

static int guard_holders(struct port *port)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/run/daxmgr/guard-holders", port->root);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? port_fail(port, -errno, "%s: %s", path, strerror(errno)) : fd;
}

static int guard_switch_off(struct port *port)
{
	uint64_t probing;
	int error;

	error = sysfs_read_u64(port->root, &probing, GUARD_AUTOPROBE);
	if (error)
		return port_fail(port, error, "kmem guard: %s: %s (is the dax bus there?)",
				 GUARD_AUTOPROBE, strerror(-error));
	if (!probing)
		return 0; /* by us already, or by the operator's wish */
	error = guard_record_make(port);
	return error ? error : guard_probing(port, false);
}

int guard_enter(struct port *port, struct guard *guard)
{
	/* Held for a moment only; nothing that can sleep in the kernel is done under it. */
	_cleanup_close_ int lock = port_lock(port, "guard");
	int error;

	if (lock < 0)
		return lock;
	guard->holder = guard_holders(port);
	if (guard->holder < 0)
		return guard->holder;
	if (flock(guard->holder, LOCK_EX | LOCK_NB) == 0) {
		error = guard_restore(port);
		if (error)
			return error;
	}
	if (flock(guard->holder, LOCK_SH) < 0)
		return port_fail(port, -errno, "kmem guard: lock: %s", strerror(errno));
	return guard_switch_off(port);
}

void guard_leave(struct port *port, struct guard *guard)
{
	struct port patient = *port;
	_cleanup_close_ int lock = -1;

	if (guard->holder < 0)
		return;
	/* Also after the job's own deadline: probing must not stay off. */
	patient.deadline_ns = UINT64_MAX;
	lock = port_lock(&patient, "guard");
	if (lock >= 0 && flock(guard->holder, LOCK_EX | LOCK_NB) == 0)
		(void)guard_restore(port);
	close(guard->holder);
	*guard = GUARD_NULL;
}

int guard_claim(struct port *port, uint32_t region, uint32_t id)
{
	_cleanup_close_ int fd = guard_record_open(port, O_WRONLY);

	if (fd == -ENOENT)
		return 0; /* the operator keeps probing off himself */
	if (fd < 0 || dprintf(fd, "ours %u.%u\n", region, id) < 0)
		return port_fail(port, fd < 0 ? fd : -errno, "kmem guard: record: %s",
				 strerror(fd < 0 ? -fd : errno));
	return 0;
}

int guard_repair(struct port *port)
{
	struct guard guard = GUARD_NULL;
	int error = guard_enter(port, &guard);

	guard_leave(port, &guard);
	return error;
}
