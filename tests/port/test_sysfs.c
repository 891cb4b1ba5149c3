/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attributes are read and written exactly, and errors are the kernel's own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "fake.h"
#include "port/sysfs.h"

static struct fake f;

static void setup(void)
{
	fake_make(&f);
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(sysfs, .init = setup, .fini = teardown);

Test(sysfs, a_value_comes_without_its_newline)
{
	char text[8];

	fake_file(&f, "/sys/a", "ram");
	cr_assert_eq(sysfs_read(f.root, text, sizeof(text), "/sys/%s", "a"), 0);
	cr_assert_str_eq(text, "ram");
}

Test(sysfs, what_does_not_fit_is_an_error_and_not_cut)
{
	char text[4] = "old";

	fake_file(&f, "/sys/a", "abcd");
	cr_assert_eq(sysfs_read(f.root, text, sizeof(text), "/sys/a"), -ENOBUFS);
	cr_assert_str_eq(text, "old");
	fake_file(&f, "/sys/a", "abc");
	cr_assert_eq(sysfs_read(f.root, text, sizeof(text), "/sys/a"), 0);
}

Test(sysfs, numbers_are_whole_numbers)
{
	uint64_t value = 7;

	fake_file(&f, "/sys/a", "0x1f");
	cr_assert_eq(sysfs_read_u64(f.root, &value, "/sys/a"), 0);
	cr_assert_eq(value, 0x1f);
	fake_file(&f, "/sys/a", "010");
	cr_assert_eq(sysfs_read_u64(f.root, &value, "/sys/a"), 0);
	cr_assert_eq(value, 10, "a leading zero is not octal");
	for (const char *const *bad = (const char *const[]){"", "-1", "12 ", "x", "0x",
							    "99999999999999999999999", NULL};
	     *bad; bad++) {
		fake_file(&f, "/sys/a", *bad);
		cr_assert_lt(sysfs_read_u64(f.root, &value, "/sys/a"), 0, "\"%s\"", *bad);
	}
	cr_assert_eq(value, 10);
}

Test(sysfs, device_numbers)
{
	uint32_t major_number = 1, minor_number = 2;

	fake_file(&f, "/sys/dev", "251:3");
	cr_assert_eq(sysfs_read_dev(f.root, &major_number, &minor_number, "/sys/dev"), 0);
	cr_assert_eq(major_number, 251);
	cr_assert_eq(minor_number, 3);
	fake_file(&f, "/sys/dev", "251:3x");
	cr_assert_eq(sysfs_read_dev(f.root, &major_number, &minor_number, "/sys/dev"), -EINVAL);
}

Test(sysfs, errors_are_the_kernels)
{
	uint64_t value;

	cr_assert_eq(sysfs_read_u64(f.root, &value, "/sys/none"), -ENOENT);
	cr_assert_eq(sysfs_write(f.root, "1", "/sys/none"), -ENOENT);
	cr_assert_eq(sysfs_write(f.root, "1", "/sys"), -EISDIR);
	cr_assert_eq(sysfs_write("", "1", "/dev/full"), -ENOSPC);
}

Test(sysfs, a_path_that_is_too_long_is_not_used)
{
	static char longer[PATH_MAX + 1];

	memset(longer, 'a', PATH_MAX);
	cr_assert_eq(sysfs_write(f.root, "1", "/%s", longer), -ENAMETOOLONG);
	cr_assert_not(sysfs_exists(f.root, "/%s", longer));
}

Test(sysfs, links_and_real_paths_are_relative_to_the_root)
{
	char text[PATH_MAX];

	fake_directory(&f, "/sys/devices/x/y");
	fake_link(&f, "/sys/bus/y", "../devices/x/y");
	cr_assert_eq(sysfs_link(f.root, text, sizeof(text), "/sys/bus/y"), 0);
	cr_assert_str_eq(text, "y");
	cr_assert_eq(sysfs_real(f.root, text, "/sys/bus/y"), 0);
	cr_assert_str_eq(text, "/sys/devices/x/y");
	fake_link(&f, "/sys/bus/out", "/etc");
	cr_assert_eq(sysfs_real(f.root, text, "/sys/bus/out"), -EXDEV);
	cr_assert_eq(sysfs_link(f.root, text, sizeof(text), "/sys/devices"), -EINVAL);
}
