/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Putting a lost leg back into the region object that the kernel kept: which
 * object is refused, what is written, and that a failure leaves it as it was.
 * In the recorded tree region3 lost its target0; attributes keep what is written.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "fake.h"

#define BUS    "/sys/bus/cxl/devices/"
#define OBJECT "/sys/devices/platform/ACPI0017:00/root0/decoder0.3/region3"
#define LEG    BUS "decoder6.0/"

static struct fake f;
static struct job_request request;

static void setup(void)
{
	fake_make(&f);
	fake_directory(&f, "/run/daxmgr");
	fake_tree(&f, "tests/port/demo-tree.txt");
	fake_file(&f, "/sys/bus/cxl/drivers/cxl_region/bind", "");
	if (!fake_mount(&f))
		cr_skip_test("no mount namespace here");
	request = (struct job_request){.kind = JOB_REFILL_REGION,
				       .deadline_ns = port_now_ns() + 300000000u};
	request.region.kernel_id = 3;
	request.region.definition.ways = 2;
	request.region.definition.serials[0] = 0x12;
	request.region.definition.serials[1] = 0x13;
	strcpy(request.region.definition.name, "wide");
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(refill, .init = setup, .fini = teardown);

static void first_device(const char *size, const char *driver)
{
	fake_dax(&f, OBJECT "/dax_region3/dax3.0", size, "251:9", driver);
	fake_link(&f, "/sys/bus/dax/devices/dax3.0", "../../../../" OBJECT "/dax_region3/dax3.0");
	fake_link(&f, BUS "dax_region3", "../../../../" OBJECT "/dax_region3");
}

static struct iso_completion run(void)
{
	struct job_reply reply;
	int fd;

	job_run(f.root, &request, &reply, &fd);
	return reply.completion;
}

static bool is(const char *path, const char *text)
{
	return !strncmp(fake_text(&f, path), text, strlen(text));
}

static bool untouched(void)
{
	return is(LEG "dpa_size", "0x0") && is(BUS "region3/target0", "\n") &&
	       is(BUS "region3/commit", "0");
}

Test(refill, the_lost_leg_comes_back_at_the_old_address)
{
	struct iso_completion c;

	first_device("1073741824", NULL);
	request.region.planned_bytes = 0x40000000;
	c = run();
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert(is(LEG "mode", "ram"));
	cr_assert(is(LEG "dpa_size", "0x20000000"));
	cr_assert(is(BUS "region3/target0", "decoder6.0"));
	cr_assert(is(BUS "region3/target1", "decoder4.0"), "the healthy leg stays");
	cr_assert(is(BUS "region3/commit", "1"));
	cr_assert(is("/sys/bus/cxl/drivers/cxl_region/bind", "region3"));
	cr_assert(is("/sys/bus/dax/devices/dax3.0/size", "0"));
	cr_assert(is("/sys/bus/dax/drivers_autoprobe", "1"));
	cr_assert_eq(c.kernel_id, 3);
	cr_assert_eq(c.range.start.v, 0x450000000);
	cr_assert_eq(c.range.bytes, 0x40000000);
}

Test(refill, what_fails_at_the_end_is_undone)
{
	struct iso_completion c = run(); /* dax3.0 never comes */

	cr_assert_eq(c.result, -ETIME, "%s", c.message);
	cr_assert(strstr(c.message, "dax3.0"), "%s", c.message);
	cr_assert(is(LEG "dpa_size", "0\n"));
	cr_assert(is(BUS "region3/target0", "\n"));
	cr_assert(is(BUS "region3/commit", "0"));
	cr_assert(is(BUS "region3/target1", "decoder4.0"));
	cr_assert(is(BUS "decoder4.0/dpa_size", "0x0000000020000000"));
}

Test(refill, an_object_that_is_whole_is_only_put_into_service)
{
	struct iso_completion c;

	first_device("0", NULL);
	fake_file(&f, BUS "region3/target0", "decoder6.0");
	fake_file(&f, BUS "region3/commit", "1");
	fake_link(&f, OBJECT "/driver", "../../../../../../bus/cxl/drivers/cxl_region");
	c = run();
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert_eq(c.kernel_id, 3);
	cr_assert(is("/sys/bus/cxl/drivers/cxl_region/bind", "\n"), "it is bound already");
	cr_assert(is(LEG "dpa_size", "0x0"), "nothing was taken");
}

Test(refill, system_ram_is_left_as_it_is)
{
	struct iso_completion c;

	first_device("1073741824", "kmem");
	fake_file(&f, "/proc/iomem", "450000000-48fffffff : System RAM (kmem)");
	fake_file(&f, "/sys/bus/dax/drivers/kmem/unbind", "");
	c = run();
	cr_assert_eq(c.result, -EBUSY, "%s", c.message);
	cr_assert(is(BUS "region3/commit", "1"), "no decoder is reset below System RAM");
	cr_assert(is(BUS "region3/target0", "decoder6.0"));
}

Test(refill, a_memdev_that_has_not_come_back)
{
	struct iso_completion c;

	request.region.definition.serials[0] = 0x99;
	c = run();
	cr_assert_eq(c.result, -ENODEV, "%s", c.message);
	cr_assert(strstr(c.message, "0x99") && strstr(c.message, "wide"), "%s", c.message);
	cr_assert(untouched());
}

Test(refill, a_memdev_that_came_back_smaller)
{
	struct iso_completion c;

	fake_file(&f, "/sys/devices/pci0000:5d/0000:5d:00.0/0000:5e:00.0/mem1/ram/size",
		  "0x10000000");
	c = run();
	cr_assert_eq(c.result, -ENOSPC, "%s", c.message);
	cr_assert(strstr(c.message, "0x20000000"), "%s", c.message);
	cr_assert(untouched());
}

Test(refill, another_object_of_that_number)
{
	struct iso_completion c;

	request.region.definition.serials[1] = 0x11;
	c = run();
	cr_assert_eq(c.result, -ESTALE, "%s", c.message);
	cr_assert(strstr(c.message, "another region"), "%s", c.message);
	request.region.definition.serials[1] = 0x13;
	request.region.definition.ways = 1;
	cr_assert_eq(run().result, -ESTALE);
	request.region.definition.ways = 2;
	request.region.planned_bytes = 0x20000000;
	cr_assert_eq(run().result, -ESTALE);
	cr_assert(untouched());
	request.region.kernel_id = 42;
	cr_assert_eq(run().result, -ENOENT);
	request.region.definition.ways = ISO_WAYS_MAX + 1;
	cr_assert_eq(run().result, -EINVAL);
}

Test(refill, dpa_that_an_earlier_try_left_is_taken_again)
{
	struct iso_completion c;

	fake_file(&f, LEG "dpa_size", "0x20000000");
	first_device("1073741824", NULL);
	c = run();
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert(is(BUS "region3/target0", "decoder6.0"));
}
