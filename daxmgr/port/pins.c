/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pins.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../cleanup.h"
#include "pins_decode.h"
#include "process.h"
#include "sysfs.h"

enum { PINS_LOOKS = 25, PINS_LOOK_MS = 20, PINS_RING_LOOKS = 40, PINS_RING_MS = 3 };

/* What cannot be shown goes as '?': paths are made by the process that is looked at. */
static void pins_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

__attribute__((format(printf, 3, 4))) static void pins_add(struct pins *pins, uint32_t bits,
							   const char *format, ...)
{
	va_list arguments;
	int length;

	pins->bits |= bits;
	if (pins->evidence[0])
		return;
	va_start(arguments, format);
	length = vsnprintf(pins->evidence, sizeof(pins->evidence), format, arguments);
	va_end(arguments);
	if (length >= (int)sizeof(pins->evidence))
		strcpy(pins->evidence + sizeof(pins->evidence) - 4, "...");
	pins_printable(pins->evidence);
}

/* One descriptor: `task` is PID or PID/task/TID. */
struct pins_descriptor {
	struct port *port;
	const char *task;
	const char *fd;
	const char *target;
};

/* Return: false when it has been closed meanwhile. */
static bool pins_read_fdinfo(const struct pins_descriptor *d, struct pins_fdinfo *ret)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	char path[PATH_MAX];
	size_t room = 0;

	*ret = (struct pins_fdinfo){0};
	snprintf(path, sizeof(path), "%s/proc/%s/fdinfo/%s", d->port->root, d->task, d->fd);
	file = fopen(path, "re");
	if (!file)
		return errno != ENOENT && errno != ESRCH;
	while (getline(&line, &room, file) >= 0)
		pins_fdinfo_line(ret, line);
	return true;
}

static void pins_io_uring(const struct pins_descriptor *d, struct pins *pins)
{
	struct pins_fdinfo info;

	for (unsigned int look = 1;; look++) {
		if (!pins_read_fdinfo(d, &info))
			return;
		if (info.has_buffers)
			break;
		/* The kernel does not show a ring that is just working. */
		if (look == PINS_RING_LOOKS || !port_pause(d->port, PINS_RING_MS)) {
			pins_add(pins, ISO_PIN_UNKNOWN, "fd %s: io_uring that does not show itself",
				 d->fd);
			return;
		}
	}
	if (info.buffers)
		pins_add(pins, ISO_PIN_IO_URING, "fd %s: io_uring with %u registered buffers",
			 d->fd, info.buffers);
	/* They need not be among the descriptors, and nobody tells how they were opened. */
	if (info.files)
		pins_add(pins, ISO_PIN_UNKNOWN, "fd %s: io_uring with %u registered files", d->fd,
			 info.files);
}

static void pins_file(const struct pins_descriptor *d, struct pins *pins)
{
	struct pins_fdinfo info;

	if (!pins_read_fdinfo(d, &info))
		return;
	if (!info.has_flags)
		pins_add(pins, ISO_PIN_UNKNOWN, "fd %s: no flags of %s", d->fd, d->target);
	else if (info.flags & O_DIRECT)
		pins_add(pins, ISO_PIN_DIRECT_IO, "fd %s: O_DIRECT %s", d->fd, d->target);
}

static void pins_device(const struct pins_descriptor *d, struct pins *pins)
{
	uint32_t bits = pins_of_device(d->target);
	uint64_t zero_copy = 0;

	if (pins_is_vhost_net(d->target)) {
		(void)sysfs_read_u64(d->port->root, &zero_copy,
				     "/sys/module/vhost_net/parameters/experimental_zcopytx");
		if (zero_copy)
			bits = ISO_PIN_VHOST;
	}
	if (bits)
		pins_add(pins, bits, "fd %s: %s", d->fd, d->target);
}

/* Its type without asking a file system that may not answer; 0 when that is unknown. */
static unsigned int pins_type(const struct pins_descriptor *d)
{
	char path[PATH_MAX];
	struct statx st;

	snprintf(path, sizeof(path), "%s/proc/%s/fd/%s", d->port->root, d->task, d->fd);
	return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0
		       ? 0
		       : st.stx_mode & S_IFMT;
}

static void pins_path(const struct pins_descriptor *d, struct pins *pins)
{
	unsigned int type = pins_type(d);

	if (!type || type == S_IFCHR)
		pins_device(d, pins);
	if (!type || type == S_IFREG || type == S_IFBLK)
		pins_file(d, pins);
}

static void pins_descriptor(const struct pins_descriptor *d, struct pins *pins)
{
	switch (pins_target(d->target)) {
	case PINS_TARGET_NONE:
		break;
	case PINS_TARGET_PATH:
		pins_path(d, pins);
		break;
	case PINS_TARGET_IO_URING:
		pins_io_uring(d, pins);
		break;
	case PINS_TARGET_VFIO:
		pins_add(pins, ISO_PIN_VFIO, "fd %s: %s", d->fd, d->target);
		break;
	}
}

static void pins_of_task(struct port *port, const char *task, struct pins *pins)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/proc/%s/fd", task);
	char target[PATH_MAX];
	const char *fd;

	if (!dir) {
		if (errno != ENOENT && errno != ESRCH)
			pins_add(pins, ISO_PIN_UNKNOWN, "its descriptors: %s", strerror(errno));
		return;
	}
	while ((fd = process_next(dir))) {
		ssize_t length = readlinkat(dirfd(dir), fd, target, sizeof(target) - 1);

		if (length < 0) {
			if (errno != ENOENT && errno != ESRCH)
				pins_add(pins, ISO_PIN_UNKNOWN, "fd %s: %s", fd, strerror(errno));
			continue;
		}
		target[length] = '\0';
		pins_descriptor(&(struct pins_descriptor){port, task, fd, target}, pins);
	}
}

/* Whether two threads share their descriptors; false when that is unknown. */
static bool pins_are_shared(const struct port *port, const char *one, const char *other)
{
	if (port->root[0])
		return false; /* numbers in a test tree are no processes */
	return syscall(SYS_kcmp, strtol(one, NULL, 10), strtol(other, NULL, 10), KCMP_FILES, 0,
		       0) == 0;
}

int pins_of_process(struct port *port, int32_t pid, struct pins *pins)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/proc/%" PRId32 "/task", pid);
	char looked_at[PROCESS_NAME_BYTES] = "";
	const char *entry;

	if (!dir) {
		if (errno == ENOENT || errno == ESRCH)
			return -ESRCH;
		pins_add(pins, ISO_PIN_UNKNOWN, "its threads: %s", strerror(errno));
		return 0;
	}
	while ((entry = process_next(dir))) {
		char task[3 * PROCESS_NAME_BYTES];

		if (looked_at[0] && pins_are_shared(port, looked_at, entry))
			continue;
		strcpy(looked_at, entry);
		snprintf(task, sizeof(task), "%" PRId32 "/task/%s", pid, entry);
		pins_of_task(port, task, pins);
	}
	return 0;
}

static bool pins_count(struct port *port, struct pins_counters *ret)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	char path[PATH_MAX], nothing[16];
	size_t room = 0;
	int error;

	/* Each CPU counts for itself up to a second; reading this adds it up. */
	error = sysfs_read(port->root, nothing, sizeof(nothing), "/proc/sys/vm/stat_refresh");
	if (error && error != -EINVAL) /* of another counter that is negative */
		return false;
	*ret = (struct pins_counters){0};
	snprintf(path, sizeof(path), "%s/proc/vmstat", port->root);
	file = fopen(path, "re");
	while (file && getline(&line, &room, file) >= 0)
		pins_vmstat_line(ret, line);
	return ret->has_acquired && ret->has_released;
}

void pins_outstanding(struct port *port, struct pins *pins)
{
	struct pins_counters first, second;

	/*
	 * Both only grow. What was acquired by now equals what had been released
	 * a moment ago: so nothing was outstanding at that moment. Read together
	 * they could be equal by an acquisition that is counted in one only.
	 */
	for (unsigned int look = 1;; look++) {
		if (!pins_count(port, &first) || !pins_count(port, &second)) {
			pins_add(pins, ISO_PIN_UNKNOWN, "the kernel does not count pins");
			return;
		}
		if (second.acquired == first.released)
			return;
		if (look == PINS_LOOKS || !port_pause(port, PINS_LOOK_MS))
			break;
	}
	pins_add(pins, ISO_PIN_OUTSTANDING, "the kernel counts %" PRIu64 " pins not yet released",
		 second.acquired - first.released);
}
