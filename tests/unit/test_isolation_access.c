/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves that an access to registers whose mapping was taken away is an error
 * and not the end, that mapping again helps, and that nothing outside is read.
 */
#include "isolation/access.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static int block(off_t bytes)
{
	int fd = memfd_create("block", MFD_CLOEXEC);

	cr_assert(fd >= 0 && ftruncate(fd, bytes) == 0);
	return fd;
}

Test(isolation_access, words)
{
	struct isolation_access access;
	uint32_t value = 1;

	cr_assert_eq(isolation_access_open(block(16384), 0x1100, 16, true, &access), 0);
	cr_assert_eq(isolation_write32(&access, 8, 0x12345678), 0);
	cr_assert_eq(isolation_read32(&access, 8, &value), 0);
	cr_assert_eq(value, 0x12345678);
	cr_assert_eq(isolation_read32(&access, 16, &value), -EINVAL);
	cr_assert_eq(isolation_read32(&access, 2, &value), -EINVAL);
	isolation_access_close(&access);
	cr_assert_eq(isolation_access_open(block(4096), 4092, 16, true, &access), -ERANGE);
	isolation_access_close(&access);
	cr_assert_eq(isolation_access_open(block(4096), 0, 16, false, &access), 0);
	cr_assert_eq(isolation_write32(&access, 0, 1), -EPERM);
	isolation_access_close(&access);
}

/* A file that was cut raises the same signal as a mapping that the kernel has revoked. */
Test(isolation_access, taken_away_and_back)
{
	struct isolation_access access;
	uint32_t value = 7;
	int fd = block(8192);

	cr_assert_eq(isolation_access_open(fd, 4096, 16, false, &access), 0);
	cr_assert_eq(isolation_read32(&access, 0, &value), 0);
	cr_assert_eq(ftruncate(fd, 4096), 0);
	value = 7;
	cr_assert_eq(isolation_read32(&access, 0, &value), -EFAULT);
	cr_assert_eq(value, 7);
	cr_assert_eq(isolation_read32(&access, 4, &value), -EFAULT, "also the second time");
	cr_assert_eq(ftruncate(fd, 8192), 0);
	cr_assert_eq(isolation_read32(&access, 0, &value), 0);
	cr_assert_eq(value, 0);
	cr_assert(access.n_remapped >= 2);
	isolation_access_close(&access);
}
