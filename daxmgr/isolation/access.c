/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "access.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static _Thread_local sigjmp_buf *volatile guarded;
static struct sigaction before;

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	if (guarded)
		siglongjmp(*guarded, 1);
	/* Not ours: whoever was there before, in the end death. */
	sigaction(number, &before, NULL);
	raise(number);
}

static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, &before);
}

static int map(struct isolation_access *access)
{
	int protection = PROT_READ | (access->writable ? PROT_WRITE : 0);

	access->map = mmap(NULL, access->map_bytes, protection, MAP_SHARED, access->fd,
			   (off_t)access->map_offset);
	if (access->map == MAP_FAILED) {
		access->map = NULL;
		return -errno;
	}
	return 0;
}

int isolation_access_open(int fd, uint64_t offset, size_t bytes, bool writable,
			  struct isolation_access *ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct stat st;

	pthread_once(&once, install);
	*ret = (struct isolation_access){
		.fd = fd, .offset = offset, .bytes = bytes, .writable = writable};
	if (fstat(fd, &st) < 0)
		return -errno;
	if (offset % 4 || offset > (uint64_t)st.st_size || bytes > (uint64_t)st.st_size - offset)
		return -ERANGE;
	ret->map_offset = offset / page * page;
	ret->map_bytes = (offset + bytes - ret->map_offset + page - 1) / page * page;
	return map(ret);
}

void isolation_access_close(struct isolation_access *access)
{
	if (access->map)
		munmap(access->map, access->map_bytes);
	if (access->fd >= 0)
		close(access->fd);
	*access = ISOLATION_ACCESS_NULL;
}

static int access_once(struct isolation_access *access, uint32_t at, uint32_t *value, bool write)
{
	volatile uint32_t *word;
	sigjmp_buf here;

	if (!access->map)
		return -EFAULT;
	word = (volatile uint32_t *)((char *)access->map + (access->offset - access->map_offset) +
				     at);
	if (sigsetjmp(here, 0)) {
		guarded = NULL;
		return -EFAULT;
	}
	guarded = &here;
	if (write)
		*word = *value;
	else
		*value = *word;
	guarded = NULL;
	return 0;
}

static int access_guarded(struct isolation_access *access, uint32_t at, uint32_t *value, bool write)
{
	int r;

	if (at % 4 || at + 4 > access->bytes)
		return -EINVAL;
	r = access_once(access, at, value, write);
	if (r != -EFAULT)
		return r;
	if (access->map)
		munmap(access->map, access->map_bytes);
	access->map = NULL;
	r = map(access);
	if (r < 0)
		return r;
	access->n_remapped++;
	return access_once(access, at, value, write);
}

int isolation_read32(struct isolation_access *access, uint32_t at, uint32_t *ret)
{
	uint32_t value = 0;
	int r = access_guarded(access, at, &value, false);

	if (r == 0)
		*ret = value;
	return r;
}

int isolation_write32(struct isolation_access *access, uint32_t at, uint32_t value)
{
	return access->writable ? access_guarded(access, at, &value, true) : -EPERM;
}
