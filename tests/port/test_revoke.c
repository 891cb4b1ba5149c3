/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Instances are taken away only from processes that are shown to be free of
 * pins, and nothing is written before that. Real revocations: the lab's scenarios.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_process.h"

#define DRIVER "/sys/bus/dax/drivers/device_dax/"
#define DIRECT "pos:\t0\nflags:\t02140002\nmnt_id:\t29"

static struct fake f;
static struct job_request request;

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
	fake_directory(&f, "/run/daxmgr");
	fake_file(&f, "/sys/bus/dax/drivers_autoprobe", "1");
	fake_file(&f, DRIVER "remove_id", "");
	fake_file(&f, DRIVER "unbind", "");
	dax("dax0.1", "251:1", "device_dax");
	fake_pin_counters(&f, 5632, 5632);
	request = (struct job_request){.kind = JOB_REVOKE};
	request.lease.n = 1;
	request.lease.instances[0] =
		(struct job_instance){.kernel_id = 1, .major = 251, .minor = 1};
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(revoke, .init = setup, .fini = teardown);

static struct iso_completion run(void)
{
	struct job_reply reply;
	int fd;

	request.deadline_ns = port_now_ns() + 300000000u;
	job_run(f.root, &request, &reply, &fd);
	return reply.completion;
}

static bool is(const char *path, const char *text)
{
	return !strncmp(fake_text(&f, path), text, strlen(text));
}

static bool untouched(void)
{
	return is(DRIVER "remove_id", "\n") && is(DRIVER "unbind", "\n") &&
	       is("/sys/bus/cxl/devices/dax_region0/dax0.1/size", "2097152");
}

static bool revoked(void)
{
	return is(DRIVER "remove_id", "dax0.1") && is(DRIVER "unbind", "dax0.1") &&
	       is("/sys/bus/cxl/devices/dax_region0/dax0.1/size", "0");
}

Test(revoke, from_a_process_that_does_not_die)
{
	struct iso_completion c;

	fake_process(&f, 420, 'D', "folio_wait_bit_common", "dax0.1");
	fake_descriptor(&f, 420, 420, 12, "/var/lib/x.img", NULL);
	c = run();
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert(revoked());
	cr_assert_eq(c.n_mappers, 1);
	cr_assert_eq(c.pins, 0);
	cr_assert(is("/sys/bus/dax/drivers_autoprobe", "1"));
}

Test(revoke, from_nobody)
{
	cr_assert_eq(run().result, 0);
	cr_assert(revoked());
}

Test(revoke, not_from_one_that_may_hold_pins)
{
	struct iso_completion c;

	fake_process(&f, 420, 'D', "blk_io_schedule", "dax0.1");
	fake_descriptor(&f, 420, 420, 12, "/x", DIRECT);
	c = run();
	cr_assert_eq(c.result, -EBUSY);
	cr_assert_str_eq(c.message,
			 "process 420 (D in blk_io_schedule) may hold pins: fd 12: O_DIRECT /x");
	cr_assert_eq(c.pins, ISO_PIN_DIRECT_IO);
	cr_assert_eq(c.n_mappers, 1);
	cr_assert_eq(c.mappers[0], 420);
	cr_assert_str_eq(c.evidence, "D in blk_io_schedule");
	cr_assert(untouched());
}

Test(revoke, not_from_one_that_only_holds_it_and_may_hold_pins)
{
	struct iso_completion c;

	fake_process(&f, 420, 'S', "ep_poll", NULL);
	fake_descriptor(&f, 420, 420, 3, "/dev/dax0.1", NULL);
	fake_descriptor(&f, 420, 420, 4, "anon_inode:[io_uring]", "flags:\t02\nUserBufs:\t1");
	c = run();
	cr_assert_eq(c.result, -EBUSY);
	cr_assert_eq(c.pins, ISO_PIN_IO_URING);
	cr_assert_eq(c.n_mappers, 0);
	cr_assert(untouched());
}

Test(revoke, not_while_the_kernel_counts_pins)
{
	struct iso_completion c;

	fake_pin_counters(&f, 5640, 5632);
	c = run();
	cr_assert_eq(c.result, -EBUSY);
	cr_assert_eq(c.pins, ISO_PIN_OUTSTANDING);
	cr_assert(strstr(c.message, "8 pins"), "%s", c.message);
	cr_assert(untouched());
	fake_file(&f, "/proc/vmstat", "nr_free_pages 1");
	c = run();
	cr_assert_eq(c.result, -EBUSY);
	cr_assert_eq(c.pins, ISO_PIN_UNKNOWN);
	cr_assert(untouched());
}

/* Between the first look and the write it waits for the guard's lock, which is held here. */
Test(revoke, what_comes_between_look_and_write_is_seen)
{
	struct iso_completion c;
	char path[128];
	pid_t pid;
	int lock;

	fake_process(&f, 420, 'S', "ep_poll", "dax0.1");
	snprintf(path, sizeof(path), "%s/run/daxmgr/guard.lock", f.root);
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(flock(lock, LOCK_EX), 0);
	pid = fork();
	if (!pid) {
		usleep(100000);
		fake_descriptor(&f, 420, 420, 12, "/x", DIRECT);
		flock(lock, LOCK_UN);
		_exit(0);
	}
	close(lock);
	c = run();
	waitpid(pid, NULL, 0);
	cr_assert_eq(c.result, -EBUSY, "%s", c.message);
	cr_assert(untouched());
}

Test(revoke, what_the_kernel_has_revoked_already)
{
	struct iso_completion c;

	request.lease.instances[0].minor = 7; /* another one has the name now */
	c = run();
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert(untouched());
	request.lease.instances[0].kernel_id = 9;
	cr_assert_eq(run().result, 0);
	fake_pin_counters(&f, 5640, 5632);
	cr_assert_eq(run().result, -EBUSY, "pins are looked for all the same");
}

Test(revoke, what_is_unbound_is_not_touched_again)
{
	dax("dax0.2", "251:2", NULL);
	request.lease.instances[0] =
		(struct job_instance){.kernel_id = 2, .major = 251, .minor = 2};
	cr_assert_eq(run().result, 0);
	cr_assert(untouched());
}

Test(revoke, removing_afterwards)
{
	struct job_instance instance = request.lease.instances[0];
	struct iso_completion c;

	fake_file(&f, "/sys/bus/cxl/devices/dax_region0/dax_region/delete", "");
	cr_assert_eq(run().result, 0);
	dax("dax0.2", "251:2", NULL); /* as the kernel leaves it: without a driver */
	instance.kernel_id = instance.minor = 2;
	request.kind = JOB_REMOVE;
	request.instance = instance;
	c = run();
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert(is("/sys/bus/cxl/devices/dax_region0/dax_region/delete", "dax0.2"));
}

/* Proves: the region's own device, which somebody gave a VM and which was adopted, is revoked as any other. */
Test(revoke, the_regions_own)
{
	struct iso_completion c;

	dax("dax0.0", "251:0", "device_dax");
	request.lease.instances[0].kernel_id = request.lease.instances[0].minor = 0;
	c = run();
	cr_assert_eq(c.result, 0, "%s", c.message);
	cr_assert(is(DRIVER "unbind", "dax0.0"));
	cr_assert(is("/sys/bus/cxl/devices/dax_region0/dax0.0/size", "0"));
}

Test(revoke, what_is_not_a_tenants)
{
	struct iso_completion c;

	fake_link(&f, "/sys/bus/cxl/devices/dax_region0/dax0.1/driver", "../../drivers/kmem");
	c = run();
	cr_assert_eq(c.result, -EREMOTEIO, "%s", c.message);
	cr_assert(untouched());
}
