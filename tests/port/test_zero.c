/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All of an instance is emptied, a byte that is left is found, and failing memory is told, not died of. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "port/zero.h"

enum { BYTES = 3 * 1024 * 1024 };

static int file_of(char fill)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	char *map;

	cr_assert_eq(ftruncate(fd, BYTES), 0);
	map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memset(map, fill, BYTES);
	munmap(map, BYTES);
	return fd;
}

Test(zero, all_of_it)
{
	uint64_t done = 0;
	int fd = file_of('x');

	cr_assert_eq(zero_file(fd, BYTES, 4096, false, &done), -EUCLEAN);
	cr_assert_eq(done, 0);
	cr_assert_eq(zero_file(fd, BYTES, 4096, true, &done), 0);
	cr_assert_eq(done, BYTES);
	cr_assert_eq(zero_file(fd, BYTES, 4096, false, &done), 0);
	cr_assert_eq(done, BYTES);
	close(fd);
}

Test(zero, one_byte_anywhere_is_found)
{
	int fd = file_of(0);

	for (size_t at = 0; at < BYTES; at += 99991) {
		uint64_t done = 0;

		cr_assert_eq(pwrite(fd, "\1", 1, (off_t)at), 1);
		cr_assert_eq(zero_file(fd, BYTES, 4096, false, &done), -EUCLEAN, "byte %zu", at);
		cr_assert_eq(done, at / 64 * 64);
		cr_assert_eq(pwrite(fd, "", 1, (off_t)at), 1);
	}
	close(fd);
}

Test(zero, memory_that_fails_is_an_error_with_its_offset)
{
	struct sigaction before, after;
	uint64_t done = 0;
	int fd = file_of('x');

	/* Beyond the end of a file a mapping gives SIGBUS, as a lost device does. */
	cr_assert_eq(ftruncate(fd, BYTES - 4096), 0);
	sigaction(SIGBUS, NULL, &before);
	cr_assert_eq(zero_file(fd, BYTES, 4096, true, &done), -EFAULT);
	cr_assert_eq(done, BYTES - 4096);
	cr_assert_eq(zero_file(fd, BYTES, 4096, false, &done), -EFAULT);
	cr_assert_eq(done, BYTES - 4096);
	sigaction(SIGBUS, NULL, &after);
	cr_assert_eq(before.sa_handler, after.sa_handler);
	close(fd);
}

Test(zero, a_part_of_a_line_is_refused)
{
	uint64_t done = 0;
	int fd = file_of(0);

	cr_assert_eq(zero_file(fd, 100, 4096, true, &done), -EINVAL);
	cr_assert_eq(zero_file(-1, 4096, 4096, true, &done), -EBADF);
	close(fd);
}
