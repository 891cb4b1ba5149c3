/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lab only: a fault in the manager's zeroing that nothing in the manager can see. Preloaded into daxmgrd and its
 * workers, it gives private zero pages to whoever maps a dax device: what is written to wipe an instance never
 * reaches it, and what is read to prove that it is zero is not the instance. `demo --control no-zero` shows that
 * the VM's own look at its memory finds out.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define DAX_NODE "/dev/dax"

typedef void *(*mmap_function)(void *, size_t, int, int, int, off_t);

static int is_dax(int fd)
{
	char path[64], target[256];
	ssize_t length;

	if (fd < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	return length > 0 && !strncmp(target, DAX_NODE, strlen(DAX_NODE));
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	mmap_function real = (mmap_function)dlsym(RTLD_NEXT, "mmap");

	if (is_dax(fd))
		return real(address, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return real(address, length, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));
