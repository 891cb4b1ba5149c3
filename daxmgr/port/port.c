/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../cleanup.h"

uint64_t port_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void port_append(struct port *port, const char *format, va_list arguments)
{
	struct iso_completion *completion = port->completion;
	size_t used = strlen(completion->message);

	if (used && used + 2 < sizeof(completion->message)) {
		strcpy(completion->message + used, "; ");
		used += 2;
	}
	vsnprintf(completion->message + used, sizeof(completion->message) - used, format,
		  arguments);
}

int port_fail(struct port *port, int error, const char *format, ...)
{
	va_list arguments;

	if (port->told)
		return error;
	port->told = true;
	va_start(arguments, format);
	port_append(port, format, arguments);
	va_end(arguments);
	return error;
}

void port_say(struct port *port, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	port_append(port, format, arguments);
	va_end(arguments);
}

bool port_pause(const struct port *port, unsigned int ms)
{
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	if (port_now_ns() >= port->deadline_ns)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

static int port_lock_open(const struct port *port, const char *name, char path[PATH_MAX])
{
	int fd;

	snprintf(path, PATH_MAX, "%s/run/daxmgr", port->root);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(path, PATH_MAX, "%s/run/daxmgr/%s.lock", port->root, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

int port_lock(struct port *port, const char *name)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int taken;

	fd = port_lock_open(port, name, path);
	if (fd < 0)
		return port_fail(port, fd, "%s: open: %s", path, strerror(-fd));
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return port_fail(port, -errno, "%s: lock: %s", path, strerror(errno));
		if (!port_pause(port, 5))
			return port_fail(port, -ETIME, "another worker held %s until the deadline",
					 path);
	}
	taken = fd;
	fd = -1;
	return taken;
}

int port_turn(struct port *port, bool changes)
{
	const unsigned int patience_ms = changes ? 2000 : 500, step_ms = 2;
	char path[PATH_MAX];
	int fd = port_lock_open(port, "cxl", path);

	for (unsigned int waited = 0; fd >= 0; waited += step_ms) {
		if (!flock(fd, (changes ? LOCK_EX : LOCK_SH) | LOCK_NB))
			return fd;
		if (waited >= patience_ms || !port_pause(port, step_ms)) {
			close(fd);
			return -ETIME;
		}
	}
	return fd;
}
