/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What making and clearing a region refuses, and that it undoes what it did.
 * On a recorded tree attributes only keep what is written: real regions are
 * made in the lab's scenarios.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "fake.h"
#include "fake_process.h"

#define BUS "/sys/bus/cxl/devices/"

static struct fake f;
static struct job_request request;

static void setup(void)
{
	fake_make(&f);
	fake_directory(&f, "/run/daxmgr");
	fake_tree(&f, "tests/port/demo-tree.txt");
	if (!fake_mount(&f))
		cr_skip_test("no mount namespace here");
	request = (struct job_request){.deadline_ns = port_now_ns() + 300000000u};
	request.region.definition.ways = 1;
	strcpy(request.region.definition.name, "low");
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(region, .init = setup, .fini = teardown);

static struct iso_completion run(uint32_t kind)
{
	struct job_reply reply;
	int fd;

	request.kind = kind;
	job_run(f.root, &request, &reply, &fd);
	return reply.completion;
}

static bool is(const char *path, const char *text)
{
	return !strncmp(fake_text(&f, path), text, strlen(text));
}

Test(region, a_serial_that_is_not_there)
{
	struct iso_completion c;

	request.region.definition.serials[0] = 0x99;
	c = run(JOB_CREATE_REGION);
	cr_assert_eq(c.result, -ENODEV);
	cr_assert(strstr(c.message, "0x99") && strstr(c.message, "low"), "%s", c.message);
}

Test(region, a_serial_that_is_there_twice)
{
	struct iso_completion c;

	fake_file(&f, BUS "mem3/serial", "0x10");
	request.region.definition.serials[0] = 0x10;
	c = run(JOB_CREATE_REGION);
	cr_assert_eq(c.result, -ENOTUNIQ, "%s", c.message);
}

Test(region, a_window_that_is_not_there)
{
	request.region.definition.serials[0] = 0x10;
	request.region.window_kernel_id = 77;
	cr_assert_eq(run(JOB_CREATE_REGION).result, -ENOENT);
}

Test(region, no_ways)
{
	request.region.definition.ways = 0;
	cr_assert_eq(run(JOB_CREATE_REGION).result, -EINVAL);
	request.region.definition.ways = ISO_WAYS_MAX + 1;
	cr_assert_eq(run(JOB_CREATE_REGION).result, -EINVAL);
}

Test(region, sizes_that_do_not_fit)
{
	struct iso_completion c;

	request.region.definition.serials[0] = 0x11;
	request.region.definition.bytes = 100;
	c = run(JOB_CREATE_REGION);
	cr_assert_eq(c.result, -EINVAL, "%s", c.message);
	request.region.definition.bytes = 1ull << 30;
	c = run(JOB_CREATE_REGION);
	cr_assert_eq(c.result, -ENOSPC, "%s", c.message);
}

Test(region, the_size_that_is_planned_comes_before_the_wish)
{
	struct iso_completion c;

	request.region.definition.serials[0] = 0x11;
	request.region.planned_bytes = 1ull << 30;
	request.region.definition.bytes = 1ull << 28;
	c = run(JOB_CREATE_REGION);
	cr_assert_eq(c.result, -ENOSPC, "%s", c.message);
	cr_assert(strstr(c.message, "0x40000000"), "%s", c.message);
}

Test(region, another_region_of_that_number_is_not_cleared)
{
	struct iso_completion c;

	request.region.kernel_id = 0;
	request.region.definition.serials[0] = 0x11;
	c = run(JOB_CLEAR_REGION);
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert(strstr(c.message, "another region"), "%s", c.message);
	cr_assert(is(BUS "dax_region0/dax0.1/size", "2097152"));
}

Test(region, system_ram_is_not_cleared)
{
	struct iso_completion c;

	request.region.kernel_id = 0;
	request.region.definition.serials[0] = 0x10;
	fake_link(&f, BUS "dax_region0/dax0.1/driver",
		  "../../../../../../../../bus/dax/drivers/kmem");
	c = run(JOB_CLEAR_REGION);
	cr_assert_eq(c.result, -EBUSY, "%s", c.message);
	cr_assert(strstr(c.message, "dax0.1"), "%s", c.message);
}

/* Proves: an instance that the daemon does not know of is not taken from who maps it. */
Test(region, a_mapped_instance_is_not_cleared)
{
	struct iso_completion c;

	request.region.kernel_id = 0;
	request.region.definition.serials[0] = 0x10;
	fake_process(&f, 4711, 'S', "0", "dax0.1");
	c = run(JOB_CLEAR_REGION);
	cr_assert_eq(c.result, -EBUSY, "%s", c.message);
	cr_assert(strstr(c.message, "low") && strstr(c.message, "4711") &&
			  strstr(c.message, "dax0.1"),
		  "%s", c.message);
	cr_assert(is(BUS "dax_region0/dax0.1/size", "2097152"), "nothing was done");
}

/* Proves: who maps instances of other regions is in nobody's way. */
Test(region, a_mapped_instance_of_another_region)
{
	fake_file(&f, BUS "decoder0.3/delete_region", "");
	request.region.kernel_id = 3;
	request.region.definition.ways = 2;
	request.region.definition.serials[0] = 0x12;
	request.region.definition.serials[1] = 0x13;
	fake_process(&f, 4711, 'S', "0", "dax0.1");
	cr_assert_eq(run(JOB_CLEAR_REGION).result, 0);
}

Test(region, a_region_that_lost_a_leg_is_deleted_and_the_healthy_leg_freed)
{
	struct iso_completion c;

	fake_file(&f, BUS "decoder0.3/delete_region", "");
	request.region.kernel_id = 3;
	request.region.definition.ways = 2;
	request.region.definition.serials[0] = 0x12;
	request.region.definition.serials[1] = 0x13;
	c = run(JOB_CLEAR_REGION);
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert(is(BUS "decoder0.3/delete_region", "region3"));
}

Test(region, one_that_is_gone_is_cleared)
{
	struct iso_completion c;

	request.region.kernel_id = 42;
	request.region.definition.serials[0] = 0x11;
	c = run(JOB_CLEAR_REGION);
	cr_assert_eq(c.result, 0, "%s", c.message);
}
