/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who maps what, and what they pin: one process, and everybody in one walk. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_process.h"
#include "inspection_file.h"

#define DIRECT "pos:\t0\nflags:\t02140002\nmnt_id:\t29"

static struct fake f;
static struct inspection_file file;

static void dax(const char *name, const char *dev, const char *driver)
{
	char path[128], target[128];

	snprintf(path, sizeof(path), "/sys/bus/cxl/devices/dax_region0/%s", name);
	fake_dax(&f, path, "2097152", dev, driver);
	snprintf(path, sizeof(path), "/sys/bus/dax/devices/%s", name);
	snprintf(target, sizeof(target), "../../cxl/devices/dax_region0/%s", name);
	fake_link(&f, path, target);
}

static void setup(void)
{
	fake_make(&f);
	fake_file(&f, "/sys/kernel/uevent_seqnum", "4711");
	dax("dax0.0", "251:0", NULL);
	dax("dax0.1", "251:1", "device_dax");
	dax("dax0.2", "251:2", "device_dax");
	dax("dax0.3", "251:3", NULL);
}

static void teardown(void)
{
	inspection_file_close(&file);
	fake_remove(&f);
}

TestSuite(inspect, .init = setup, .fini = teardown);

static struct iso_completion run(int32_t pid)
{
	struct job_request request = {
		.kind = JOB_INSPECT, .deadline_ns = port_now_ns() + 300000000u, .pid = pid};
	struct job_reply reply;
	int fd;

	job_run(f.root, &request, &reply, &fd);
	cr_assert_eq(fd >= 0, !pid && !reply.completion.result);
	if (fd < 0)
		return reply.completion;
	cr_assert_eq(inspection_file_open(fd, &file), 0);
	close(fd);
	return reply.completion;
}

Test(inspect, one_process)
{
	struct iso_completion c;

	fake_process(&f, 420, 'S', "ep_poll", NULL);
	fake_descriptor(&f, 420, 420, 3, "/var/lib/x.img", NULL);
	c = run(420);
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert_eq(c.pins, 0);
	cr_assert_str_eq(c.evidence, "");
	fake_descriptor(&f, 420, 420, 12, "/var/lib/x.img", DIRECT);
	c = run(420);
	cr_assert_eq(c.pins, ISO_PIN_DIRECT_IO);
	cr_assert_str_eq(c.evidence, "fd 12: O_DIRECT /var/lib/x.img");
}

Test(inspect, a_process_that_has_gone)
{
	struct iso_completion c = run(420);

	cr_assert_eq(c.result, -ESRCH);
	cr_assert(strstr(c.message, "420"), "%s", c.message);
}

static const struct iso_observed_mapper *mapper_of(int32_t pid)
{
	for (uint32_t i = 0; i < file.inspection.n_mappers; i++)
		if (file.inspection.mappers[i].pid == pid)
			return &file.inspection.mappers[i];
	return NULL;
}

Test(inspect, everybody)
{
	struct iso_completion c;

	fake_process(&f, 420, 'S', "ep_poll", "dax0.1");
	fake_process(&f, 421, 'S', "ep_poll", "dax0.2");
	fake_process(&f, 422, 'S', "ep_poll", NULL);
	fake_process(&f, 423, 'S', "ep_poll", "dax0.3");
	fake_process(&f, 424, 'S', "ep_poll", "dax9.1");
	fake_descriptor(&f, 421, 421, 12, "/var/lib/x.img", DIRECT);
	fake_descriptor(&f, 422, 422, 12, "/var/lib/x.img", DIRECT);
	c = run(0);
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert_eq(file.inspection.uevent_seqnum, 4711);
	cr_assert_eq(file.inspection.n_mappers, 2, "of dax0.3 nothing is left to map");
	cr_assert(mapper_of(420) && mapper_of(421));
	cr_assert_eq(mapper_of(420)->kernel_id, 1);
	cr_assert_eq(mapper_of(420)->process_start, 98765);
	cr_assert_eq(mapper_of(420)->pins, 0);
	cr_assert_eq(mapper_of(421)->kernel_id, 2);
	cr_assert_eq(mapper_of(421)->pins, ISO_PIN_DIRECT_IO);
	cr_assert_str_eq(mapper_of(421)->evidence, "fd 12: O_DIRECT /var/lib/x.img");
}

Test(inspect, one_process_that_maps_several)
{
	fake_process(&f, 420, 'S', "ep_poll", NULL);
	fake_file(&f, "/proc/420/maps",
		  "7f0000000000-7f0000200000 rw-s 00000000 00:06 211 /dev/dax0.2\n"
		  "7f0000200000-7f0000400000 rw-s 00000000 00:06 210 /dev/dax0.1\n"
		  "7f0000400000-7f0000600000 rw-s 00000000 00:06 210 /dev/dax0.1");
	cr_assert_eq(run(0).result, 0);
	cr_assert_eq(file.inspection.n_mappers, 2, "each instance once");
}

Test(inspect, more_than_fit_are_refused)
{
	char path[64], *maps = NULL, name[32], dev[32];
	struct iso_completion c;
	size_t bytes = 0;
	FILE *text = open_memstream(&maps, &bytes);

	for (unsigned int i = 10; i < 10 + 260; i++) {
		snprintf(name, sizeof(name), "dax0.%u", i);
		snprintf(dev, sizeof(dev), "251:%u", i);
		dax(name, dev, "device_dax");
		fprintf(text, "%x000000-%x000000 rw-s 00000000 00:06 %u /dev/%s\n", 2 * i,
			2 * i + 1, i, name);
	}
	fclose(text);
	for (int pid = 1000; pid < 1000 + 260; pid++) {
		fake_process(&f, pid, 'S', "ep_poll", NULL);
		snprintf(path, sizeof(path), "/proc/%d/maps", pid);
		fake_file(&f, path, maps);
	}
	free(maps);
	c = run(0);
	cr_assert_eq(c.result, -EOVERFLOW, "%s", c.message);
	cr_assert(strstr(c.message, "65536"), "%s", c.message);
}

Test(inspect, a_host_without_dax_devices)
{
	fake_remove(&f);
	fake_make(&f);
	fake_process(&f, 420, 'S', "ep_poll", "dax0.1");
	cr_assert_eq(run(0).result, 0);
	cr_assert_eq(file.inspection.n_mappers, 0);
}
