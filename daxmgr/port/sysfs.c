/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sysfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cleanup.h"

static int sysfs_path(char path[PATH_MAX], const char *root, const char *format, va_list arguments)
{
	int used, added;

	used = snprintf(path, PATH_MAX, "%s", root);
	if (used < 0 || used >= PATH_MAX)
		return -ENAMETOOLONG;
	added = vsnprintf(path + used, PATH_MAX - (size_t)used, format, arguments);
	if (added < 0 || added >= PATH_MAX - used)
		return -ENAMETOOLONG;
	return 0;
}

#define SYSFS_PATH(path, root, format)                                                             \
	({                                                                                         \
		va_list arguments_;                                                                \
		int error_;                                                                        \
		va_start(arguments_, format);                                                      \
		error_ = sysfs_path(path, root, format, arguments_);                               \
		va_end(arguments_);                                                                \
		error_;                                                                            \
	})

static int sysfs_read_path(const char *path, char *ret, size_t room)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	ssize_t length;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* One byte more than fits tells a full attribute from a cut one. */
	text = malloc(room + 1);
	if (!text)
		return -ENOMEM;
	/* Attributes wait for the locks of cxl and dax interruptibly: a debugger that attaches is enough. */
	do {
		length = read(fd, text, room + 1);
	} while (length < 0 && errno == EINTR);
	if (length < 0)
		return -errno;
	if (length > 0 && text[length - 1] == '\n')
		length--;
	if ((size_t)length >= room)
		return -ENOBUFS;
	memcpy(ret, text, (size_t)length);
	ret[length] = '\0';
	return 0;
}

static int sysfs_number(const char *text, int base, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (!isxdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, base);
	if (errno)
		return -errno;
	if (*end)
		return -EINVAL;
	*ret = value;
	return 0;
}

int sysfs_read(const char *root, char *ret, size_t room, const char *format, ...)
{
	char path[PATH_MAX];
	int error = SYSFS_PATH(path, root, format);

	return error ? error : sysfs_read_path(path, ret, room);
}

int sysfs_read_bytes(const char *root, void *ret, size_t room, size_t *ret_bytes,
		     const char *format, ...)
{
	char path[PATH_MAX];
	int error = SYSFS_PATH(path, root, format);
	_cleanup_close_ int fd = -1;
	size_t used = 0;
	ssize_t n = 1;

	if (error)
		return error;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (used < room && n > 0) {
		do {
			n = read(fd, (char *)ret + used, room - used);
		} while (n < 0 && errno == EINTR);
		if (n < 0)
			return -errno;
		used += (size_t)n;
	}
	if (n > 0)
		return -ENOBUFS;
	*ret_bytes = used;
	return 0;
}

int sysfs_read_u64(const char *root, uint64_t *ret, const char *format, ...)
{
	char path[PATH_MAX], text[32];
	int error = SYSFS_PATH(path, root, format);

	if (!error)
		error = sysfs_read_path(path, text, sizeof(text));
	/* Base 0 would take a leading zero for octal; the kernel never means that. */
	return error ? error : sysfs_number(text, strncmp(text, "0x", 2) ? 10 : 16, ret);
}

int sysfs_read_dev(const char *root, uint32_t *ret_major, uint32_t *ret_minor, const char *format,
		   ...)
{
	char path[PATH_MAX], text[32];
	unsigned int major_number, minor_number;
	int error = SYSFS_PATH(path, root, format);
	int used = 0;

	if (!error)
		error = sysfs_read_path(path, text, sizeof(text));
	if (error)
		return error;
	if (sscanf(text, "%u:%u%n", &major_number, &minor_number, &used) != 2 || text[used])
		return -EINVAL;
	*ret_major = major_number;
	*ret_minor = minor_number;
	return 0;
}

int sysfs_write(const char *root, const char *text, const char *format, ...)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	size_t length = strlen(text);
	ssize_t written;
	int error = SYSFS_PATH(path, root, format);

	if (error)
		return error;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	written = write(fd, text, length);
	if (written < 0)
		return -errno;
	return (size_t)written == length ? 0 : -EMSGSIZE;
}

int sysfs_link(const char *root, char *ret, size_t room, const char *format, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *name;
	ssize_t length;
	int error = SYSFS_PATH(path, root, format);

	if (error)
		return error;
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return -errno;
	target[length] = '\0';
	name = strrchr(target, '/');
	name = name ? name + 1 : target;
	if (strlen(name) >= room)
		return -ENOBUFS;
	strcpy(ret, name);
	return 0;
}

int sysfs_real(const char *root, char *ret, const char *format, ...)
{
	char path[PATH_MAX], real[PATH_MAX], real_root[PATH_MAX];
	size_t prefix = 0;
	int error = SYSFS_PATH(path, root, format);

	if (error)
		return error;
	if (!realpath(path, real))
		return -errno;
	if (root[0]) {
		if (!realpath(root, real_root))
			return -errno;
		prefix = strcmp(real_root, "/") ? strlen(real_root) : 0;
		if (strncmp(real, real_root, prefix))
			return -EXDEV;
	}
	strcpy(ret, real + prefix);
	return 0;
}

bool sysfs_is_gone(int error)
{
	return error == -ENOENT || error == -ENODEV || error == -ENXIO;
}

bool sysfs_exists(const char *root, const char *format, ...)
{
	char path[PATH_MAX];

	return !SYSFS_PATH(path, root, format) && access(path, F_OK) == 0;
}

uint64_t sysfs_uevent_seqnum(const char *root)
{
	uint64_t seqnum;

	return sysfs_read_u64(root, &seqnum, "/sys/kernel/uevent_seqnum") ? 0 : seqnum;
}

DIR *sysfs_open(const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	int error = SYSFS_PATH(path, root, format);

	if (error) {
		errno = -error;
		return NULL;
	}
	return opendir(path);
}
