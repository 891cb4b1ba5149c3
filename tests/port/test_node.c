/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nodes change owners only when they are the right devices, and nothing planted is followed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fake.h"
#include "port/node.h"

static struct fake f;
static const struct job_instance instances[] = {
	{.region_kernel_id = 1, .kernel_id = 1, .major = 251, .minor = 3, .part = 0},
	{.region_kernel_id = 2, .kernel_id = 4, .major = 251, .minor = 9, .part = 1},
};

static bool make_node(const char *name, unsigned int minor_number)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/dev/%s", f.root, name);
	unlink(path);
	return mknod(path, S_IFCHR | 0644, makedev(251, minor_number)) == 0;
}

static void setup(void)
{
	char target[64];

	fake_make(&f);
	f.port.deadline_ns = port_now_ns() + 50000000u;
	for (unsigned int i = 0; i < 2; i++) {
		char path[128];

		snprintf(path, sizeof(path), "/sys/bus/dax/devices/dax%u.%u/driver",
			 instances[i].region_kernel_id, instances[i].kernel_id);
		strcpy(target, "../../drivers/device_dax");
		fake_link(&f, path, target);
	}
	if (!make_node("dax1.1", 3) || !make_node("dax2.4", 9))
		cr_skip_test("device nodes cannot be made here");
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(node, .init = setup, .fini = teardown);

static void assert_node(const char *name, unsigned int uid, unsigned int mode)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/dev/%s", f.root, name);
	cr_assert_eq(lstat(path, &st), 0);
	cr_assert_eq(st.st_uid, uid, "%s belongs to %u", name, st.st_uid);
	cr_assert_eq(st.st_mode & 07777, mode, "%s has mode %o", name, st.st_mode & 07777);
}

static void assert_link(const char *path, const char *target)
{
	char full[160], found[128];
	ssize_t length;

	snprintf(full, sizeof(full), "%s%s", f.root, path);
	length = readlink(full, found, sizeof(found) - 1);
	cr_assert_gt(length, 0, "%s is no link", path);
	found[length] = '\0';
	cr_assert_str_eq(found, target);
}

Test(node, handed_over_and_taken_back)
{
	cr_assert_eq(node_hand_over(&f.port, "vm-a", 1000, 1001, instances, 2), 0, "%s",
		     f.completion.message);
	assert_node("dax1.1", 1000, 0600);
	assert_node("dax2.4", 1000, 0600);
	assert_link("/dev/daxmgr/vm/vm-a/mem0", "../../../dax1.1");
	assert_link("/dev/daxmgr/vm/vm-a/mem1", "../../../dax2.4");
	cr_assert_eq(node_hand_over(&f.port, "vm-a", 1000, 1001, instances, 2), 0, "again");

	cr_assert_eq(node_retract(&f.port, "vm-a", instances, 2), 0, "%s", f.completion.message);
	assert_node("dax1.1", 0, 0600);
	assert_node("dax2.4", 0, 0600);
	cr_assert_not(fake_exists(&f, "/dev/daxmgr/vm/vm-a"));
	cr_assert_eq(node_retract(&f.port, "vm-a", instances, 2), 0, "again");
}

Test(node, another_device_of_that_name_is_not_given_away)
{
	make_node("dax2.4", 10);
	cr_assert_eq(node_hand_over(&f.port, "vm-a", 1000, 1001, instances, 2), -ESTALE);
	assert_node("dax1.1", 0, 0600);
	assert_node("dax2.4", 0, 0644);
	cr_assert_not(fake_exists(&f, "/dev/daxmgr/vm/vm-a"));
}

Test(node, nor_taken_from_its_new_owner)
{
	cr_assert_eq(node_hand_over(&f.port, "vm-a", 1000, 1001, instances, 1), 0);
	make_node("dax1.1", 77);
	cr_assert_eq(node_retract(&f.port, "vm-a", instances, 1), 0);
	assert_node("dax1.1", 0, 0644);
	cr_assert_not(fake_exists(&f, "/dev/daxmgr/vm/vm-a"));
}

Test(node, a_link_in_place_of_a_node_is_not_followed)
{
	fake_file(&f, "/dev/precious", "x");
	fake_link(&f, "/dev/dax1.1", "precious");
	cr_assert_eq(node_hand_over(&f.port, "vm-a", 1000, 1001, instances, 1), -ESTALE);
	cr_assert_eq(node_retract(&f.port, "vm-a", instances, 1), 0);
	{
		char path[128];
		struct stat st;

		snprintf(path, sizeof(path), "%s/dev/precious", f.root);
		cr_assert_eq(stat(path, &st), 0);
		cr_assert_eq(st.st_uid, geteuid());
	}
}

Test(node, an_unbound_device_is_not_handed_over)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/sys/bus/dax/devices/dax1.1/driver", f.root);
	unlink(path);
	cr_assert_eq(node_hand_over(&f.port, "vm-a", 1000, 1001, instances, 1), -ENODEV);
	assert_node("dax1.1", 0, 0600);
}

Test(node, directories_must_be_roots_alone)
{
	char path[128];

	fake_directory(&f, "/dev/daxmgr/vm/vm-a");
	snprintf(path, sizeof(path), "%s/dev/daxmgr/vm/vm-a", f.root);
	cr_assert_eq(chown(path, 1000, 1000), 0);
	cr_assert_eq(node_hand_over(&f.port, "vm-a", 1000, 1001, instances, 1), -EPERM);
	assert_node("dax1.1", 0, 0600);

	cr_assert_eq(rmdir(path), 0);
	fake_link(&f, "/dev/daxmgr/vm/vm-a", "/tmp");
	f.port.told = false;
	cr_assert_lt(node_hand_over(&f.port, "vm-a", 1000, 1001, instances, 1), 0);
	cr_assert_not(fake_exists(&f, "/tmp/mem0"));
}

Test(node, a_node_that_does_not_come)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/dev/dax1.1", f.root);
	unlink(path);
	cr_assert_eq(node_wait(&f.port, "dax1.1", 251, 3), -ENOENT);
	cr_assert(strstr(f.completion.message, "dax1.1"));
	f.port.told = false;
	cr_assert_eq(node_open(&f.port, "dax2.4", 251, 8, O_RDONLY), -ESTALE);
}

Test(node, waiting_makes_it_roots)
{
	make_node("dax1.1", 3);
	cr_assert_eq(node_wait(&f.port, "dax1.1", 251, 3), 0);
	assert_node("dax1.1", 0, 0600);
}
