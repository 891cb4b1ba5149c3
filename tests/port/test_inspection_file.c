/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An inspection arrives as it was sent, and whatever is wrong in the file is found before it is used. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inspection_file.h"

static struct iso_observed_mapper mappers[2] = {
	{.pid = 420,
	 .process_start = 98765,
	 .region_kernel_id = 1,
	 .kernel_id = 2,
	 .pins = ISO_PIN_DIRECT_IO,
	 .evidence = "fd 12: O_DIRECT /x"},
	{.pid = 421, .process_start = 5, .kernel_id = 1},
};

TestSuite(inspection_file);

static int sealed(const void *bytes, size_t length)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	return fd;
}

static int opened(int fd)
{
	struct inspection_file file = INSPECTION_FILE_NULL;
	int error = inspection_file_open(fd, &file);

	close(fd);
	inspection_file_close(&file);
	return error;
}

static int written(void)
{
	return opened(inspection_file_write(&(struct iso_inspection){mappers, 2, 4711}));
}

Test(inspection_file, what_is_written_is_read)
{
	struct inspection_file file;
	int fd = inspection_file_write(&(struct iso_inspection){mappers, 2, 4711});

	cr_assert_eq(inspection_file_open(fd, &file), 0);
	close(fd);
	cr_assert_eq(file.inspection.n_mappers, 2);
	cr_assert_eq(file.inspection.uevent_seqnum, 4711);
	cr_assert_eq(file.inspection.mappers[0].process_start, 98765);
	cr_assert_str_eq(file.inspection.mappers[0].evidence, "fd 12: O_DIRECT /x");
	cr_assert_eq(file.inspection.mappers[1].kernel_id, 1);
	inspection_file_close(&file);
	inspection_file_close(&file);
}

Test(inspection_file, nobody)
{
	cr_assert_eq(opened(inspection_file_write(&(struct iso_inspection){0})), 0);
}

Test(inspection_file, a_file_that_may_still_change_is_refused)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert_eq(ftruncate(fd, 4096), 0);
	cr_assert_eq(opened(fd), -EPERM);
}

Test(inspection_file, torn_and_longer)
{
	int fd = inspection_file_write(&(struct iso_inspection){mappers, 2, 4711});
	unsigned char bytes[1024] = {0};
	ssize_t length = pread(fd, bytes, sizeof(bytes), 0);

	close(fd);
	cr_assert_eq(opened(sealed(bytes, (size_t)length)), 0);
	for (ssize_t i = 0; i < length; i++)
		cr_assert_eq(opened(sealed(bytes, (size_t)i)), -EBADMSG, "%zd bytes", i);
	cr_assert_eq(opened(sealed(bytes, (size_t)length + 1)), -EBADMSG);
	for (size_t i = 0; i < 24; i++) {
		if (i / 8 == 1)
			continue; /* the kernel's counter, which may be any */
		bytes[i] ^= 0x40;
		cr_assert_eq(opened(sealed(bytes, (size_t)length)), -EBADMSG, "byte %zu", i);
		bytes[i] ^= 0x40;
	}
}

Test(inspection_file, what_no_worker_writes)
{
	mappers[0].pid = 0;
	cr_assert_eq(written(), -EBADMSG);
	mappers[0].pid = 420;
	mappers[0].pins = 1u << 7;
	cr_assert_eq(written(), -EBADMSG);
	mappers[0].pins = ISO_PIN_UNKNOWN;
	cr_assert_eq(written(), 0);
	strcpy(mappers[0].evidence, "\033[2J");
	cr_assert_eq(written(), -EBADMSG);
	memset(mappers[0].evidence, 'x', sizeof(mappers[0].evidence));
	cr_assert_eq(written(), -EBADMSG);
}
