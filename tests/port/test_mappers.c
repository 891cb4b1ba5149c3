/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who maps an instance is read from /proc, by device number where that can be had, else by name. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

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

static int find(void)
{
	struct mappers_question question = {.port = &f.port, .instances = wanted, .n = 1};

	mappers_find(&question, 1);
	return question.result;
}

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
	struct mapping_line line;

	cr_assert(mapping_parse(dax, &line));
	cr_assert_str_eq(line.range, "7f0000000000-7f0000200000");
	cr_assert(line.shared);
	cr_assert_eq(line.inode, 211);
	cr_assert_str_eq(line.path, "/dev/dax1.1");
	cr_assert(mapping_parse(anonymous, &line));
	cr_assert_not(line.shared);
	cr_assert_str_eq(line.path, "[stack]");
	cr_assert(mapping_parse(none, &line));
	cr_assert_str_eq(line.path, "");
	cr_assert_not(mapping_parse(rubbish, &line));
}

static bool is_node(const char *path, uint32_t region, uint32_t id)
{
	uint32_t found_region = ISO_NONE, found_id = ISO_NONE;

	return mapping_is_node(path, &found_region, &found_id) && found_region == region &&
	       found_id == id;
}

Test(mappers, names_of_nodes)
{
	cr_assert(is_node("/dev/dax1.1", 1, 1));
	cr_assert(is_node("/dev/dax1.10", 1, 10));
	cr_assert(is_node("/dev/dax1.1 (deleted)", 1, 1));
	cr_assert(is_node("/dax1.1", 1, 1), "a private /dev, seen from outside");
	for (const char *const *path =
		     (const char *const[]){"/dev/xdax1.1", "/dev/dax1.1/x", "dax1.1",
					   "/dev/dax1.1x", "/dev/dax01.1", "/dev/dax+1.1",
					   "/dev/dax1.", NULL};
	     *path; path++)
		cr_assert_not(is_node(*path, 1, 1), "%s", *path);
}

Test(mappers, by_name_when_the_file_cannot_be_looked_at)
{
	process("100", DAX "/dev/dax1.1");
	process("101", DAX "/dev/dax1.2");
	process("102", DAX "/dev/dax1.1 (deleted)");
	process("103", "7f0000000000-7f0000200000 rw-p 00000000 00:06 211 /dev/dax1.1");
	process("self", DAX "/dev/dax1.1");
	cr_assert_eq(find(), 0);
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
	cr_assert_eq(find(), 0);
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
	cr_assert_eq(find(), 0);
	cr_assert_eq(f.completion.n_mappers, 20);
	cr_assert_geq(f.completion.mappers[ISO_MAPPERS_MAX - 1], 200);
}

Test(mappers, a_descriptor_alone_does_not_count)
{
	process("100", "");
	fake_link(&f, "/proc/100/fd/7", "/dev/dax1.1");
	fake_link(&f, "/proc/100/fd/8", "socket:[1]");
	cr_assert_eq(find(), 0);
	cr_assert_eq(f.completion.n_mappers, 0);
}

enum { LEASES = 3 };

static struct iso_completion completions[LEASES];

/* Asks for all three in one call. */
static void find_for_leases(const struct job_instance instances[LEASES])
{
	struct mappers_question questions[LEASES];
	struct port ports[LEASES];

	for (uint32_t i = 0; i < LEASES; i++) {
		completions[i] = (struct iso_completion){0};
		ports[i] = f.port;
		ports[i].completion = &completions[i];
		questions[i] = (struct mappers_question){
			.port = &ports[i], .instances = &instances[i], .n = 1};
	}
	mappers_find(questions, LEASES);
	for (uint32_t i = 0; i < LEASES; i++)
		cr_assert_eq(questions[i].result, 0);
}

Test(mappers, one_walk_answers_several_leases_each_for_itself)
{
	const struct job_instance instances[LEASES] = {
		{.region_kernel_id = 1, .kernel_id = 1, .major = 251, .minor = 3},
		{.region_kernel_id = 1, .kernel_id = 2, .major = 251, .minor = 4},
		{.region_kernel_id = 2, .kernel_id = 1, .major = 251, .minor = 5},
	};

	process("100", DAX "/dev/dax1.1\n" DAX "/dev/dax2.1\n");
	process("101", DAX "/dev/dax1.1");
	process("102", "");
	fake_link(&f, "/proc/102/fd/7", "/dev/dax1.2");
	find_for_leases(instances);
	cr_assert_eq(completions[0].n_mappers, 2);
	cr_assert_eq(completions[0].mappers[0] + completions[0].mappers[1], 201);
	cr_assert_eq(completions[1].n_mappers, 0);
	cr_assert_eq(completions[2].n_mappers, 1);
	cr_assert_eq(completions[2].mappers[0], 100);
}

Test(mappers, a_name_that_was_used_again_is_not_mixed_up)
{
	/* The first lost its dax1.1, whose name the second has now. */
	const struct job_instance instances[LEASES] = {
		{.region_kernel_id = 1, .kernel_id = 1, .major = 251, .minor = 3},
		{.region_kernel_id = 1, .kernel_id = 1, .major = 251, .minor = 4},
		{.region_kernel_id = 2, .kernel_id = 1, .major = 251, .minor = 5},
	};
	char path[256];

	process("100", DAX "/dev/dax1.1");
	fake_directory(&f, "/proc/100/map_files");
	snprintf(path, sizeof(path), "%s/proc/100/map_files/7f0000000000-7f0000200000", f.root);
	if (mknod(path, S_IFCHR | 0600, makedev(251, 4)) < 0)
		cr_skip_test("device nodes cannot be made here");
	find_for_leases(instances);
	cr_assert_eq(completions[0].n_mappers, 0);
	cr_assert_eq(completions[1].n_mappers, 1);
	cr_assert_eq(completions[2].n_mappers, 0);
}

static void task(const char *pid, const char *tid, char state, const char *wchan)
{
	char path[96], text[96];

	snprintf(path, sizeof(path), "/proc/%s/task/%s/stat", pid, tid);
	snprintf(text, sizeof(text), "%s (q) %c 1 1 1 0 -1 4 1 0 0 0 1 2 0 0 20 0 1 0 98765 1", tid,
		 state);
	fake_file(&f, path, text);
	snprintf(path, sizeof(path), "/proc/%s/task/%s/wchan", pid, tid);
	fake_file(&f, path, wchan);
}

/* Nothing can be seen of a first thread that has ended, as of a kernel thread. */
static void no_memory(const char *pid)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	fake_file(&f, path, "");
	snprintf(path, sizeof(path), "%s/proc/%s/maps", f.root, pid);
	cr_assert_eq(truncate(path, 0), 0);
}

Test(mappers, a_thread_that_outlives_the_first_one)
{
	no_memory("100");
	task("100", "100", 'Z', "0");
	task("100", "107", 'D', "folio_wait_bit_common");
	fake_file(&f, "/proc/100/task/107/maps", DAX "/dev/dax1.1");
	no_memory("101");
	task("101", "101", 'Z', "0");
	cr_assert_eq(find(), 0);
	cr_assert_eq(f.completion.n_mappers, 1);
	cr_assert_eq(f.completion.mappers[0], 100);
	cr_assert_str_eq(f.completion.evidence, "D in folio_wait_bit_common");
}

Test(mappers, descriptors_of_a_thread_that_outlives_the_first_one)
{
	struct mapping_set set = {0};
	struct mappers_process holder;
	struct mappers_walk walk;

	no_memory("100");
	fake_directory(&f, "/proc/100/fd");
	fake_link(&f, "/proc/100/task/107/fd/7", "/dev/dax1.1");
	cr_assert_eq(mapping_set_add(&f.port, wanted, 1, &set), 0);
	cr_assert_eq(mappers_walk_open(&f.port, &set, true, &walk), 0);
	cr_assert_eq(mappers_walk_next(&walk, &holder), 1);
	cr_assert(holder.holds);
	cr_assert_eq(holder.pid, 100);
	cr_assert_eq(mappers_walk_next(&walk, &holder), 0);
	mappers_walk_close(&walk);
	mapping_set_free(&set);
}

/* Where the device number cannot be had, the node tells a device from an earlier one of that name. */
Test(mappers, by_node_when_it_is_the_hosts_own)
{
	char path[256], line[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/dev/dax1.1", f.root);
	if (mknod(path, S_IFCHR | 0600, makedev(251, 3)) < 0)
		cr_skip_test("device nodes cannot be made here");
	cr_assert_eq(stat(path, &st), 0);
	snprintf(line, sizeof(line), "7f0000000000-7f0000200000 rw-s 00000000 %02x:%02x %ju /else",
		 major(st.st_dev), minor(st.st_dev), (uintmax_t)st.st_ino);
	process("100", line);
	snprintf(line, sizeof(line),
		 "7f0000000000-7f0000200000 rw-s 00000000 %02x:%02x %ju /dev/dax1.1 (deleted)",
		 major(st.st_dev), minor(st.st_dev), (uintmax_t)st.st_ino + 1);
	process("101", line);
	process("102", "7f0000000000-7f0000200000 rw-s 00000000 fff:fff 7 /dax1.1");
	cr_assert_eq(find(), 0);
	cr_assert_eq(f.completion.n_mappers, 2);
	cr_assert_eq(f.completion.mappers[0] + f.completion.mappers[1], 202);
}

/* In a process of its own: one that waits for a file system has to be killed. */
static int look_at_silent_file_system(void)
{
	char file[PATH_MAX], device[PATH_MAX], options[64];
	int fuse;

	snprintf(device, sizeof(device), "%s/fuse", f.root);
	if (mknod(device, S_IFCHR | 0600, makedev(10, 229)) < 0)
		return 77;
	fuse = open(device, O_RDWR | O_CLOEXEC);
	snprintf(file, sizeof(file), "%s/silent", f.root);
	snprintf(options, sizeof(options), "fd=%d,rootmode=100000,user_id=0,group_id=0", fuse);
	if (fuse < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("silent", file, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		return 77;
	alarm(5);
	return find() == 0 && f.completion.n_mappers == 0 ? 0 : 1;
}

Test(mappers, a_file_system_that_does_not_answer_is_not_waited_for)
{
	int status;
	pid_t pid;

	process("100", "7f0000000000-7f0000200000 rw-s 00000000 00:2f 1 /mnt/file");
	fake_file(&f, "/silent", "");
	fake_link(&f, "/proc/100/map_files/7f0000000000-7f0000200000", "../../../silent");
	pid = fork();
	if (!pid)
		_exit(look_at_silent_file_system());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cr_skip_test("no file system can be mounted here");
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
}
