/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sealed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const int SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

int sealed_file_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int sealed_file_map(int fd, size_t min_bytes, void **ret_map, size_t *ret_bytes)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *map;

	if (seals < 0)
		return -errno;
	if ((seals & SEALS) != SEALS)
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)min_bytes)
		return -EBADMSG;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret_map = map;
	*ret_bytes = (size_t)st.st_size;
	return 0;
}
