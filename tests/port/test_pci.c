/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is below a port is removed, and nothing else; unbound memdevs are enumerated anew. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "fake.h"

static struct fake f;
static const struct iso_pci_address address = {0, 0x0c, 0, 0, 1};

#define RP "/sys/devices/pci0000:0c/0000:0c:00.0"

static void setup(void)
{
	fake_make(&f);
	fake_file(&f, RP "/rescan", "");
	fake_file(&f, RP "/0000:0c:00.0:pcie010/remove", "");
	fake_file(&f, RP "/0000:0d:00.0/remove", "");
	fake_file(&f, RP "/0000:0d:00.1/remove", "");
	fake_directory(&f, RP "/0000:0d:00.0/mem0");
	fake_link(&f, "/sys/bus/pci/devices/0000:0c:00.0",
		  "../../../devices/pci0000:0c/0000:0c:00.0");
	fake_link(&f, "/sys/bus/pci/devices/0000:0d:00.0",
		  "../../../devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0");
	fake_link(&f, "/sys/bus/pci/devices/0000:0d:00.1",
		  "../../../devices/pci0000:0c/0000:0c:00.0/0000:0d:00.1");
	fake_link(&f, "/sys/bus/cxl/devices/mem0",
		  "../../../devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem0");
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(pci, .init = setup, .fini = teardown);

static struct job_reply run(uint32_t kind, struct iso_pci_address port)
{
	struct job_request request = {
		.kind = kind, .deadline_ns = port_now_ns() + 100000000u, .port = port};
	struct job_reply reply;
	int fd;

	job_run(f.root, &request, &reply, &fd);
	return reply;
}

Test(pci, detach_removes_functions_and_not_services)
{
	cr_assert_eq(run(JOB_DETACH_PORT, address).completion.result, 0);
	cr_assert_eq(fake_text(&f, RP "/0000:0d:00.0/remove")[0], '1');
	cr_assert_eq(fake_text(&f, RP "/0000:0d:00.1/remove")[0], '1');
	cr_assert_eq(fake_text(&f, RP "/0000:0c:00.0:pcie010/remove")[0], '\n');
}

Test(pci, a_port_that_is_not_there)
{
	struct iso_pci_address other = address;
	struct job_reply reply;

	other.bus = 0x33;
	reply = run(JOB_DETACH_PORT, other);
	cr_assert_eq(reply.completion.result, -ENOENT);
	cr_assert(strstr(reply.completion.message, "0000:33:00.0"), "%s", reply.completion.message);
	fake_file(&f, "/sys/bus/pci/rescan", "");
	cr_assert_eq(run(JOB_RESCAN_PORT, other).completion.result, 0);
	cr_assert_eq(fake_text(&f, "/sys/bus/pci/rescan")[0], '1', "the whole bus instead");
}

Test(pci, a_bound_memdev_is_left_alone)
{
	fake_directory(&f, "/sys/bus/cxl/drivers/cxl_mem");
	fake_link(&f, RP "/0000:0d:00.0/mem0/driver", "../../../../../bus/cxl/drivers/cxl_mem");
	cr_assert_eq(run(JOB_RESCAN_PORT, address).completion.result, 0);
	cr_assert_eq(fake_text(&f, RP "/0000:0d:00.0/remove")[0], '\n');
	cr_assert_eq(fake_text(&f, RP "/rescan")[0], '1');
}

Test(pci, an_unbound_memdev_is_removed_and_waited_for)
{
	struct job_reply reply = run(JOB_RESCAN_PORT, address);

	cr_assert_eq(fake_text(&f, RP "/0000:0d:00.0/remove")[0], '1');
	cr_assert_eq(fake_text(&f, RP "/rescan")[0], '1');
	cr_assert_eq(reply.completion.result, -ETIME, "it does not come back here");
	cr_assert(strstr(reply.completion.message, "0 of 1 memdevs"), "%s",
		  reply.completion.message);
}
