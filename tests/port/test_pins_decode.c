/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What link targets, fdinfo and vmstat say about pins, as the kernels write them. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <isolate/types.h>
#include <string.h>

#include "port/pins_decode.h"

TestSuite(pins_decode);

Test(pins_decode, link_targets)
{
	cr_assert_eq(pins_target("/var/lib/x.img"), PINS_TARGET_PATH);
	cr_assert_eq(pins_target("socket:[4711]"), PINS_TARGET_NONE);
	cr_assert_eq(pins_target("pipe:[1]"), PINS_TARGET_NONE);
	cr_assert_eq(pins_target("anon_inode:kvm-vcpu:0"), PINS_TARGET_NONE);
	cr_assert_eq(pins_target("anon_inode:[eventfd]"), PINS_TARGET_NONE);
	cr_assert_eq(pins_target("anon_inode:[io_uring]"), PINS_TARGET_IO_URING);
	cr_assert_eq(pins_target("anon_inode:kvm-vfio"), PINS_TARGET_VFIO);
	cr_assert_eq(pins_target("anon_inode:[vfio-device]"), PINS_TARGET_VFIO);
	cr_assert_eq(pins_target(""), PINS_TARGET_NONE);
}

Test(pins_decode, devices)
{
	cr_assert_eq(pins_of_device("/dev/vfio/vfio"), ISO_PIN_VFIO);
	cr_assert_eq(pins_of_device("/dev/vfio/devices/vfio0"), ISO_PIN_VFIO);
	cr_assert_eq(pins_of_device("/vfio/12"), ISO_PIN_VFIO, "a private /dev, seen from outside");
	cr_assert_eq(pins_of_device("/dev/iommu"), ISO_PIN_VFIO);
	cr_assert_eq(pins_of_device("/dev/vhost-vdpa-0"), ISO_PIN_VHOST);
	cr_assert_eq(pins_of_device("/dev/vhost-scsi"), ISO_PIN_VHOST);
	cr_assert_eq(pins_of_device("/dev/infiniband/uverbs0"), ISO_PIN_RDMA);
	cr_assert_eq(pins_of_device("/dev/vhost-net"), 0);
	cr_assert(pins_is_vhost_net("/dev/vhost-net"));
	cr_assert(pins_is_vhost_net("/vhost-net"));
	cr_assert_not(pins_is_vhost_net("/dev/vhost-net2"));
	for (const char *const *path = (const char *const[]){"/dev/kvm", "/dev/dax1.1", "/dev/null",
							     "/dev/net/tun", "/", "", NULL};
	     *path; path++)
		cr_assert_eq(pins_of_device(*path), 0, "%s", *path);
}

static struct pins_fdinfo fdinfo(const char *const *lines)
{
	struct pins_fdinfo info = {0};

	for (; *lines; lines++)
		pins_fdinfo_line(&info, *lines);
	return info;
}

#define FDINFO(...) fdinfo((const char *const[]){__VA_ARGS__, NULL})

Test(pins_decode, flags_are_octal)
{
	struct pins_fdinfo info =
		FDINFO("pos:\t0\n", "flags:\t02140002\n", "mnt_id:\t29\n", "ino:\t5\n");

	cr_assert(info.has_flags);
	cr_assert_eq(info.flags, 02140002);
	cr_assert(info.flags & O_DIRECT);
	cr_assert_not(FDINFO("flags:\t02100002\n").flags & O_DIRECT);
	cr_assert_not(FDINFO("flags:\t0289\n").has_flags);
	cr_assert_not(FDINFO("flags:\t\n").has_flags);
	cr_assert_not(FDINFO("pos:\t0\n").has_flags);
	cr_assert_eq(FDINFO("flags:\t02\n", "flags:\t040000\n").flags, 02, "the first one counts");
}

Test(pins_decode, buffers_of_a_ring)
{
	struct pins_fdinfo info = FDINFO("flags:\t02000002\n", "SqMask:\t0x7\n", "UserFiles:\t0\n",
					 "UserBufs:\t1\n", "    0: 0x7f5021000000/16777216\n",
					 "PollList:\n");

	cr_assert(info.has_buffers);
	cr_assert_eq(info.buffers, 1);
	cr_assert_eq(info.files, 0);
	info = FDINFO("UserFiles:\t0\n", "UserBufs:\t0\n");
	cr_assert(info.has_buffers);
	cr_assert_eq(info.buffers, 0);
	cr_assert_not(FDINFO("pos:\t0\n", "flags:\t02000002\n").has_buffers, "a busy ring");
	cr_assert_eq(FDINFO("UserBufs:\t99999999999\n").buffers, UINT32_MAX);
}

Test(pins_decode, files_of_a_ring)
{
	cr_assert_eq(FDINFO("UserFiles:\t3\n", "    0: /var/lib/x.img\n", "    1: <none>\n",
			    "    2: socket:[5]\n", "UserBufs:\t0\n", "    7: /no/file\n")
			     .files,
		     1);
	cr_assert_eq(FDINFO("UserFiles:\t0\n", "PollList:\n", "    0: /x\n").files, 0);
}

Test(pins_decode, counters)
{
	struct pins_counters c = {0};

	pins_vmstat_line(&c, "nr_free_pages 4711\n");
	pins_vmstat_line(&c, "nr_foll_pin_acquired 5634\n");
	cr_assert(c.has_acquired);
	cr_assert_not(c.has_released);
	pins_vmstat_line(&c, "nr_foll_pin_released 5633\n");
	cr_assert(c.has_released);
	cr_assert_eq(c.acquired, 5634);
	cr_assert_eq(c.released, 5633);
	c = (struct pins_counters){0};
	pins_vmstat_line(&c, "nr_foll_pin_acquired \n");
	pins_vmstat_line(&c, "nr_foll_pin_acquired -3\n");
	pins_vmstat_line(&c, "nr_foll_pin_acquired 99999999999999999999999\n");
	cr_assert_not(c.has_acquired);
}
