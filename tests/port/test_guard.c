/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nothing is probed while a managed device could be taken, and afterwards all is as its operator wants it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake.h"
#include "port/guard.h"

#define AUTOPROBE "/sys/bus/dax/drivers_autoprobe"
#define RECORD    "/run/daxmgr/dax-autoprobe"

static struct fake f;
static const struct iso_hpa_range range = {{0x150000000}, 0x20000000};

static void setup(void)
{
	fake_make(&f);
	f.port.deadline_ns = port_now_ns() + 300000000u;
	fake_directory(&f, "/run/daxmgr");
	fake_file(&f, AUTOPROBE, "1");
	fake_file(&f, "/sys/bus/dax/drivers_probe", "");
	fake_directory(&f, "/sys/bus/dax/devices/dax9.0");
	fake_file(&f, "/sys/bus/cxl/devices/region0/commit", "1");
	fake_file(&f, "/proc/iomem",
		  "00001000-0009fbff : System RAM\n150000000-24fffffff : CXL Window 0\n"
		  "  150000000-16fffffff : region0");
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(guard, .init = setup, .fini = teardown);

static void dax(const char *name, const char *size, const char *driver)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/dax/devices/%s", name);
	fake_dax(&f, path, size, "251:0", driver);
	snprintf(path, sizeof(path), "/sys/bus/cxl/devices/dax_region0/%s/size", name);
	fake_file(&f, path, size);
}

static bool probing(void)
{
	return fake_text(&f, AUTOPROBE)[0] == '1';
}

Test(guard, off_inside_and_on_again)
{
	struct guard guard = GUARD_NULL;

	cr_assert_eq(guard_enter(&f.port, &guard), 0, "%s", f.completion.message);
	cr_assert_not(probing());
	cr_assert(fake_exists(&f, RECORD));
	guard_leave(&f.port, &guard);
	cr_assert(probing());
	cr_assert_not(fake_exists(&f, RECORD));
	guard_leave(&f.port, &guard);
}

Test(guard, the_last_one_out_switches_it_on)
{
	struct guard first = GUARD_NULL, second = GUARD_NULL;

	cr_assert_eq(guard_enter(&f.port, &first), 0);
	cr_assert_eq(guard_enter(&f.port, &second), 0);
	guard_leave(&f.port, &first);
	cr_assert_not(probing());
	guard_leave(&f.port, &second);
	cr_assert(probing());
}

Test(guard, an_operator_who_keeps_it_off_finds_it_off)
{
	struct guard guard = GUARD_NULL;

	fake_file(&f, AUTOPROBE, "0");
	cr_assert_eq(guard_enter(&f.port, &guard), 0);
	cr_assert_eq(guard_claim(&f.port, 0, 0), 0);
	guard_leave(&f.port, &guard);
	cr_assert_not(probing());
}

Test(guard, what_a_dead_worker_left_is_repaired)
{
	pid_t child = fork();

	if (!child) {
		struct guard guard = GUARD_NULL;
		int error = guard_enter(&f.port, &guard);

		if (!error)
			error = guard_claim(&f.port, 0, 3);
		_exit(error ? 1 : 0); /* and never leaves */
	}
	waitpid(child, NULL, 0);
	cr_assert_not(probing());
	dax("dax0.3", "16777216", NULL);
	cr_assert_eq(guard_repair(&f.port), 0);
	cr_assert(probing());
	cr_assert_not(fake_exists(&f, RECORD));
	cr_assert_eq(fake_text(&f, "/sys/bus/dax/devices/dax0.3/size")[0], '0',
		     "capacity without a driver is not left for kmem");
}

Test(guard, what_is_empty_is_not_written_again)
{
	const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	struct guard guard = GUARD_NULL;
	struct stat status;
	char path[PATH_MAX];

	cr_assert_eq(guard_enter(&f.port, &guard), 0);
	cr_assert_eq(guard_claim(&f.port, 0, 3), 0);
	dax("dax0.3", "0", NULL);
	snprintf(path, sizeof(path), "%s/sys/bus/dax/devices/dax0.3/size", f.root);
	cr_assert_eq(utimensat(AT_FDCWD, path, long_ago, 0), 0);
	guard_leave(&f.port, &guard);
	cr_assert(probing());
	cr_assert_eq(stat(path, &status), 0);
	cr_assert_eq(status.st_mtim.tv_sec, 1,
		     "its region may be on its way out: a write would meet the removal");
}

Test(guard, first_devices_of_others_are_offered_afterwards)
{
	struct guard guard = GUARD_NULL;

	cr_assert_eq(guard_enter(&f.port, &guard), 0);
	cr_assert_eq(guard_claim(&f.port, 0, 0), 0);
	dax("dax0.0", "0", NULL);
	guard_leave(&f.port, &guard);
	cr_assert_eq(strncmp(fake_text(&f, "/sys/bus/dax/drivers_probe"), "dax", 3) == 0, false,
		     "ours and what was there before are not offered");

	cr_assert_eq(guard_enter(&f.port, &guard), 0);
	dax("dax5.0", "1000", NULL);
	guard_leave(&f.port, &guard);
	cr_assert_eq(strncmp(fake_text(&f, "/sys/bus/dax/drivers_probe"), "dax5.0", 6), 0);
}

Test(guard, no_dax_bus)
{
	struct guard guard = GUARD_NULL;
	char path[128];

	snprintf(path, sizeof(path), "%s" AUTOPROBE, f.root);
	unlink(path);
	cr_assert_eq(guard_enter(&f.port, &guard), -ENOENT);
	cr_assert(strstr(f.completion.message, "dax bus"), "%s", f.completion.message);
	guard_leave(&f.port, &guard);
}

Test(guard, the_first_device_of_a_region_is_emptied)
{
	dax("dax0.0", "536870912", NULL);
	cr_assert_eq(guard_disarm(&f.port, 0, range), 0, "%s", f.completion.message);
	cr_assert_eq(fake_text(&f, "/sys/bus/dax/devices/dax0.0/size")[0], '0');
}

Test(guard, it_does_not_come)
{
	cr_assert_eq(guard_disarm(&f.port, 0, range), -ETIME);
	cr_assert(strstr(f.completion.message, "dax_cxl"), "%s", f.completion.message);
}

/* Proves: nobody waits until the deadline for what cannot come any more. */
Test(guard, its_region_loses_a_target)
{
	f.port.deadline_ns = port_now_ns() + 3600 * UINT64_C(1000000000);
	fake_file(&f, "/sys/bus/cxl/devices/region0/commit", "0");
	cr_assert_eq(guard_disarm(&f.port, 0, range), -ENODEV);
	cr_assert(strstr(f.completion.message, "lost a target"), "%s", f.completion.message);
	cr_assert_eq(guard_disarm(&f.port, 7, range), -ENODEV, "nor one that is gone");
}

Test(guard, kmem_has_it)
{
	dax("dax0.0", "536870912", "kmem");
	fake_file(&f, "/sys/bus/dax/drivers/kmem/unbind", "");
	cr_assert_eq(guard_disarm(&f.port, 0, range), -EBUSY, "still bound after the unbind");
	cr_assert_eq(strncmp(fake_text(&f, "/sys/bus/dax/drivers/kmem/unbind"), "dax0.0", 6), 0);
	cr_assert(strstr(f.completion.message, "System RAM"), "%s", f.completion.message);
}

Test(guard, system_ram_is_seen_in_iomem)
{
	cr_assert_not(guard_is_system_ram(&f.port, range));
	fake_file(
		&f, "/proc/iomem",
		"150000000-24fffffff : CXL Window 0\n  150000000-16fffffff : region0\n"
		"    150000000-16fffffff : dax0.0\n      150000000-157ffffff : System RAM (kmem)");
	cr_assert(guard_is_system_ram(&f.port, range));
	cr_assert_not(
		guard_is_system_ram(&f.port, (struct iso_hpa_range){{0x158000000}, 0x8000000}));
	dax("dax0.0", "536870912", NULL);
	cr_assert_eq(guard_disarm(&f.port, 0, range), -EBUSY);
}
