/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a process pins, from its descriptors; and whether the kernel counts pins that are outstanding. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_process.h"
#include "port/pins.h"

#define DIRECT "pos:\t0\nflags:\t02140002\nmnt_id:\t29"
#define RING   "pos:\t0\nflags:\t02\nSqMask:\t0x7\n"

static struct fake f;
static struct pins pins;

static void setup(void)
{
	fake_make(&f);
	f.port.deadline_ns = port_now_ns() + 200000000u;
	pins = (struct pins){0};
	fake_process(&f, 420, 'S', "ep_poll", NULL);
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(pins, .init = setup, .fini = teardown);

static uint32_t look(void)
{
	pins = (struct pins){0};
	cr_assert_eq(pins_of_process(&f.port, 420, &pins), 0);
	return pins.bits;
}

Test(pins, a_process_without_any)
{
	fake_descriptor(&f, 420, 420, 0, "/dev/null", NULL);
	fake_descriptor(&f, 420, 420, 1, "socket:[77]", NULL);
	fake_descriptor(&f, 420, 420, 2, "anon_inode:kvm-vm", NULL);
	fake_descriptor(&f, 420, 420, 3, "/var/lib/x.img", NULL);
	fake_descriptor(&f, 420, 420, 4, "anon_inode:[io_uring]",
			RING "UserFiles:\t0\nUserBufs:\t0\nPollList:");
	fake_descriptor(&f, 420, 420, 5, "/dev/vhost-net", NULL);
	cr_assert_eq(look(), 0, "%s", pins.evidence);
	cr_assert_str_eq(pins.evidence, "");
}

Test(pins, a_process_that_is_not_there)
{
	cr_assert_eq(pins_of_process(&f.port, 421, &pins), -ESRCH);
	cr_assert_eq(pins.bits, 0);
}

Test(pins, a_file_opened_with_o_direct)
{
	fake_descriptor(&f, 420, 420, 12, "/var/lib/x.img", DIRECT);
	cr_assert_eq(look(), ISO_PIN_DIRECT_IO);
	cr_assert_str_eq(pins.evidence, "fd 12: O_DIRECT /var/lib/x.img");
}

Test(pins, o_direct_counts_on_files_and_block_devices_only)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/node", f.root);
	if (mknod(path, S_IFIFO | 0600, 0) < 0)
		cr_skip_test("no nodes can be made here");
	fake_descriptor(&f, 420, 420, 12, path, DIRECT);
	cr_assert_eq(look(), 0, "a pipe in packet mode");
	unlink(path);
	if (mknod(path, S_IFBLK | 0600, makedev(251, 200)) < 0)
		cr_skip_test("no devices can be made here");
	cr_assert_eq(look(), ISO_PIN_DIRECT_IO);
}

Test(pins, rings)
{
	fake_descriptor(&f, 420, 420, 5, "anon_inode:[io_uring]",
			RING "UserFiles:\t0\nUserBufs:\t1\n    0: 0x7f00/16384");
	cr_assert_eq(look(), ISO_PIN_IO_URING);
	cr_assert_str_eq(pins.evidence, "fd 5: io_uring with 1 registered buffers");
	fake_descriptor(&f, 420, 420, 5, "anon_inode:[io_uring]",
			RING "UserFiles:\t1\n    0: /var/lib/x.img\nUserBufs:\t0");
	cr_assert_eq(look(), ISO_PIN_UNKNOWN, "nobody knows how that file was opened");
	fake_descriptor(&f, 420, 420, 5, "anon_inode:[io_uring]", "pos:\t0\nflags:\t02");
	cr_assert_eq(look(), ISO_PIN_UNKNOWN, "a ring that is busy at every look");
}

Test(pins, devices)
{
	fake_descriptor(&f, 420, 420, 7, "/dev/vfio/12", NULL);
	cr_assert_eq(look(), ISO_PIN_VFIO);
	cr_assert_str_eq(pins.evidence, "fd 7: /dev/vfio/12");
	fake_descriptor(&f, 420, 420, 8, "/dev/vhost-vdpa-0", NULL);
	fake_descriptor(&f, 420, 420, 9, "/dev/infiniband/uverbs0", NULL);
	cr_assert_eq(look(), ISO_PIN_VFIO | ISO_PIN_VHOST | ISO_PIN_RDMA);
}

Test(pins, vhost_net_that_does_not_copy)
{
	fake_descriptor(&f, 420, 420, 5, "/dev/vhost-net", NULL);
	fake_file(&f, "/sys/module/vhost_net/parameters/experimental_zcopytx", "0");
	cr_assert_eq(look(), 0);
	fake_file(&f, "/sys/module/vhost_net/parameters/experimental_zcopytx", "1");
	cr_assert_eq(look(), ISO_PIN_VHOST);
}

Test(pins, descriptors_of_another_thread)
{
	fake_thread(&f, 420, 421, 'D', "bio_await");
	fake_descriptor(&f, 420, 421, 12, "/var/lib/x.img", DIRECT);
	cr_assert_eq(look(), ISO_PIN_DIRECT_IO);
}

Test(pins, a_descriptor_without_flags)
{
	fake_descriptor(&f, 420, 420, 12, "/var/lib/x.img", "nothing that is known");
	cr_assert_eq(look(), ISO_PIN_UNKNOWN);
}

Test(pins, evidence_is_printable_and_says_when_it_is_cut)
{
	char target[300] = "/\033[2J\n";

	fake_descriptor(&f, 420, 420, 12, target, DIRECT);
	look();
	cr_assert_str_eq(pins.evidence, "fd 12: O_DIRECT /?[2J?");
	memset(target + 1, 'y', 200);
	fake_descriptor(&f, 420, 420, 12, target, DIRECT);
	look();
	cr_assert_eq(strlen(pins.evidence), ISO_EVIDENCE_BYTES - 1);
	cr_assert(strstr(pins.evidence, "yyy..."));
}

static uint32_t outstanding(void)
{
	pins = (struct pins){0};
	f.port.deadline_ns = port_now_ns() + 200000000u;
	pins_outstanding(&f.port, &pins);
	return pins.bits;
}

Test(pins, counters)
{
	char path[128];

	cr_assert_eq(outstanding(), ISO_PIN_UNKNOWN, "a kernel that does not count");
	fake_pin_counters(&f, 5632, 5632);
	cr_assert_eq(outstanding(), 0);
	fake_pin_counters(&f, 5634, 5632);
	cr_assert_eq(outstanding(), ISO_PIN_OUTSTANDING);
	cr_assert_str_eq(pins.evidence, "the kernel counts 2 pins not yet released");
	fake_pin_counters(&f, 5632, 5632);
	snprintf(path, sizeof(path), "%s/proc/sys/vm/stat_refresh", f.root);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(outstanding(), ISO_PIN_UNKNOWN, "what is counted may be a second old");
}

Test(pins, pins_that_are_released_meanwhile)
{
	pid_t pid;

	fake_pin_counters(&f, 5634, 5632);
	pid = fork();
	if (!pid) {
		usleep(60000);
		fake_pin_counters(&f, 5634, 5634);
		_exit(0);
	}
	f.port.deadline_ns = port_now_ns() + 2000000000u;
	pins_outstanding(&f.port, &pins);
	waitpid(pid, NULL, 0);
	cr_assert_eq(pins.bits, 0, "%s", pins.evidence);
}
