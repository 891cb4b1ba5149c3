/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who maps an instance is read from /proc, by device number where that can be had, else by name. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fake.h"
#include "port/mappers.h"

static struct fake f;
static const struct job_instance wanted[] = {
	{.region_kernel_id = 1, .kernel_id = 1, .major = 251, .minor = 3},
};

static void setup(void)
{
	fake_make(&f);
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(mappers, .init = setup, .fini = teardown);

static void process(const char *pid, const char *maps)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	fake_file(&f, path, maps);
}

#define DAX "7f0000000000-7f0000200000 rw-s 00000000 00:06 211                        "

Test(mappers, lines_of_maps)
{
	char dax[] = DAX "/dev/dax1.1\n";
	char anonymous[] =
		"7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                  [stack]";
	char none[] = "7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0 \n";
	char rubbish[] = "not a line of maps";
	struct mappers_line line;

	cr_assert(mappers_parse(dax, &line));
	cr_assert_str_eq(line.range, "7f0000000000-7f0000200000");
	cr_assert(line.shared);
	cr_assert_eq(line.inode, 211);
	cr_assert_str_eq(line.path, "/dev/dax1.1");
	cr_assert(mappers_parse(anonymous, &line));
	cr_assert_not(line.shared);
	cr_assert_str_eq(line.path, "[stack]");
	cr_assert(mappers_parse(none, &line));
	cr_assert_str_eq(line.path, "");
	cr_assert_not(mappers_parse(rubbish, &line));
}

Test(mappers, names_of_nodes)
{
	cr_assert(mappers_is_node("/dev/dax1.1", "dax1.1"));
	cr_assert(mappers_is_node("/dev/dax1.1 (deleted)", "dax1.1"));
	cr_assert(mappers_is_node("/dax1.1", "dax1.1"), "a private /dev, seen from outside");
	cr_assert_not(mappers_is_node("/dev/dax1.10", "dax1.1"));
	cr_assert_not(mappers_is_node("/dev/xdax1.1", "dax1.1"));
	cr_assert_not(mappers_is_node("/dev/dax1.1/x", "dax1.1"));
	cr_assert_not(mappers_is_node("dax1.1", "dax1.1"));
}

Test(mappers, by_name_when_the_file_cannot_be_looked_at)
{
	process("100", DAX "/dev/dax1.1");
	process("101", DAX "/dev/dax1.2");
	process("102", DAX "/dev/dax1.1 (deleted)");
	process("103", "7f0000000000-7f0000200000 rw-p 00000000 00:06 211 /dev/dax1.1");
	process("self", DAX "/dev/dax1.1");
	cr_assert_eq(mappers_find(&f.port, wanted, 1), 0);
	cr_assert_eq(f.completion.n_mappers, 2);
	cr_assert_eq(f.completion.mappers[0] + f.completion.mappers[1], 202);
}

Test(mappers, by_number_whatever_the_node_is_called)
{
	char path[256];

	process("100", DAX "/somewhere/else");
	process("101", DAX "/dev/dax1.1");
	fake_directory(&f, "/proc/100/map_files");
	fake_directory(&f, "/proc/101/map_files");
	snprintf(path, sizeof(path), "%s/proc/100/map_files/7f0000000000-7f0000200000", f.root);
	if (mknod(path, S_IFCHR | 0600, makedev(251, 3)) < 0)
		cr_skip_test("device nodes cannot be made here");
	snprintf(path, sizeof(path), "%s/proc/101/map_files/7f0000000000-7f0000200000", f.root);
	cr_assert_eq(mknod(path, S_IFCHR | 0600, makedev(251, 4)), 0);
	cr_assert_eq(mappers_find(&f.port, wanted, 1), 0);
	cr_assert_eq(f.completion.n_mappers, 1,
		     "the name alone does not count: a later device has it");
	cr_assert_eq(f.completion.mappers[0], 100);
}

Test(mappers, more_than_can_be_named_are_counted)
{
	for (unsigned int i = 0; i < 20; i++) {
		char pid[16];

		snprintf(pid, sizeof(pid), "%u", 200 + i);
		process(pid, DAX "/dev/dax1.1");
	}
	cr_assert_eq(mappers_find(&f.port, wanted, 1), 0);
	cr_assert_eq(f.completion.n_mappers, 20);
	cr_assert_geq(f.completion.mappers[ISO_MAPPERS_MAX - 1], 200);
}

Test(mappers, a_descriptor_alone_is_told_but_does_not_count)
{
	process("100", "");
	fake_link(&f, "/proc/100/fd/7", "/dev/dax1.1");
	fake_link(&f, "/proc/100/fd/8", "socket:[1]");
	cr_assert_eq(mappers_find(&f.port, wanted, 1), 0);
	cr_assert_eq(f.completion.n_mappers, 0);
	cr_assert(strstr(f.completion.message, "pid 100"), "%s", f.completion.message);
}
