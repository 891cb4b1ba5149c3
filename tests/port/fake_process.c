/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake_process.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>

static void fake_stat(struct fake *fake, const char *directory, int id, char state)
{
	char path[PATH_MAX], text[128];

	snprintf(path, sizeof(path), "%s/stat", directory);
	snprintf(text, sizeof(text),
		 "%d (qemu (x) y) %c 1 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 98765 1", id,
		 state);
	fake_file(fake, path, text);
}

void fake_thread(struct fake *fake, int pid, int tid, char state, const char *wchan)
{
	char directory[96], path[128];

	snprintf(directory, sizeof(directory), "/proc/%d/task/%d", pid, tid);
	fake_stat(fake, directory, tid, state);
	snprintf(path, sizeof(path), "%s/wchan", directory);
	fake_file(fake, path, wchan);
}

void fake_process(struct fake *fake, int pid, char state, const char *wchan, const char *node)
{
	char path[64], line[128] = "55d0c0000000-55d0c0021000 r--p 00000000 08:01 7 /bin/x";

	fake_thread(fake, pid, pid, state, wchan);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	fake_stat(fake, path, pid, state);
	if (node)
		snprintf(line, sizeof(line),
			 "7f0000000000-7f0000200000 rw-s 00000000 00:06 211 /dev/%s", node);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fake_file(fake, path, line);
}

void fake_descriptor(struct fake *fake, int pid, int tid, int fd, const char *target,
		     const char *fdinfo)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/fd/%d", pid, tid, fd);
	fake_link(fake, path, target);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/fdinfo/%d", pid, tid, fd);
	fake_file(fake, path, fdinfo ? fdinfo : "pos:\t0\nflags:\t0100002\nmnt_id:\t1\nino:\t5");
	if (tid != pid)
		return;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	fake_link(fake, path, target);
}

void fake_pin_counters(struct fake *fake, unsigned int acquired, unsigned int released)
{
	char text[128], from[PATH_MAX], to[PATH_MAX];

	snprintf(text, sizeof(text),
		 "nr_free_pages 1\nnr_foll_pin_acquired %u\nnr_foll_pin_released %u\nx 1", acquired,
		 released);
	/* At once: somebody may be reading. */
	fake_file(fake, "/proc/vmstat.new", text);
	snprintf(from, sizeof(from), "%s/proc/vmstat.new", fake->root);
	snprintf(to, sizeof(to), "%s/proc/vmstat", fake->root);
	cr_assert_eq(rename(from, to), 0);
	fake_file(fake, "/proc/sys/vm/stat_refresh", "");
}
