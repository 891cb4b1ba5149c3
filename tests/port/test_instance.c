/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Carving and removing dax devices: order, refusals and what is told. Real devices: the lab's scenarios. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake.h"
#include "port/dax.h"
#include "port/instance.h"

static struct fake f;

static void dax(const char *name, const char *size, const char *dev, const char *driver)
{
	char path[160], target[64];

	snprintf(path, sizeof(path), "/sys/devices/dax_region0/%s", name);
	fake_dax(&f, path, size, dev, driver);
	snprintf(path, sizeof(path), "/sys/devices/dax_region0/%s/resource", name);
	fake_file(&f, path, "0x150000000");
	snprintf(path, sizeof(path), "/sys/bus/dax/devices/%s", name);
	snprintf(target, sizeof(target), "../../../devices/dax_region0/%s", name);
	fake_link(&f, path, target);
}

static void setup(void)
{
	fake_make(&f);
	f.port.deadline_ns = port_now_ns() + 200000000u;
	fake_directory(&f, "/run/daxmgr");
	fake_file(&f, "/sys/bus/dax/drivers_autoprobe", "1");
	for (const char *const *name =
		     (const char *const[]){"new_id", "remove_id", "bind", "unbind", NULL};
	     *name; name++) {
		char path[64];

		snprintf(path, sizeof(path), "/sys/bus/dax/drivers/device_dax/%s", *name);
		fake_file(&f, path, "");
	}
	fake_file(&f, "/sys/devices/dax_region0/dax_region/create", "");
	fake_file(&f, "/sys/devices/dax_region0/dax_region/delete", "");
	fake_link(&f, "/sys/bus/cxl/devices/dax_region0", "../../../devices/dax_region0");
	dax("dax0.0", "0", "251:0", NULL);
	dax("dax0.1", "2097152", "251:1", "device_dax");
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(instance, .init = setup, .fini = teardown);

static bool wrote(const char *path, const char *text)
{
	return !strncmp(fake_text(&f, path), text, strlen(text));
}

Test(instance, reading_one)
{
	struct dax_device device;

	/* Never to be read: see dax_read(). */
	fake_file(&f, "/sys/devices/dax_region0/dax0.1/mapping0/start", "0x666000000");
	cr_assert_eq(dax_read(f.root, 0, 1, &device), 0);
	cr_assert_eq(device.bytes, 2097152);
	cr_assert_eq(device.start.v, 0x150000000);
	cr_assert_eq(device.minor, 1);
	cr_assert_eq(device.driver, ISO_DAX_DEVICE_DAX);
	cr_assert_eq(dax_read(f.root, 0, 2, &device), -ENOENT);
	/* Of another kind of dax region, with the same sort of name. */
	fake_file(&f, "/sys/bus/dax/devices/dax7.0/size", "4096");
	cr_assert_eq(dax_read(f.root, 7, 0, &device), -ENOENT);
}

Test(instance, removed_in_the_right_order)
{
	const char *step = "";

	cr_assert_eq(dax_remove(f.root, 0, 1, &step), 0, "%s", step);
	cr_assert(wrote("/sys/bus/dax/drivers/device_dax/remove_id", "dax0.1"));
	cr_assert(wrote("/sys/bus/dax/drivers/device_dax/unbind", "dax0.1"));
	cr_assert(wrote("/sys/devices/dax_region0/dax0.1/size", "0"));
	cr_assert(wrote("/sys/devices/dax_region0/dax_region/delete", "dax0.1"));
}

Test(instance, what_is_gone_is_removed)
{
	const struct job_instance gone = {.region_kernel_id = 0, .kernel_id = 5, .major = 251};

	cr_assert_eq(instance_remove(&f.port, &gone), 0, "%s", f.completion.message);
	cr_assert(wrote("/sys/bus/dax/drivers/device_dax/remove_id", "dax0.5"),
		  "its id would bind the next device of this name");
	cr_assert(wrote("/sys/devices/dax_region0/dax_region/delete", "\n"));
}

Test(instance, system_ram_is_not_removed)
{
	const struct job_instance i = {.region_kernel_id = 0, .kernel_id = 1};

	fake_link(&f, "/sys/devices/dax_region0/dax0.1/driver", "../../drivers/kmem");
	cr_assert_eq(instance_remove(&f.port, &i), -EBUSY);
	cr_assert(strstr(f.completion.message, "System RAM"), "%s", f.completion.message);
	cr_assert(wrote("/sys/devices/dax_region0/dax0.1/size", "2097152"));
}

Test(instance, the_regions_own_is_emptied_not_deleted)
{
	const struct job_instance i = {.region_kernel_id = 0, .kernel_id = 0};

	fake_dax(&f, "/sys/devices/dax_region0/dax0.0", "268435456", "251:0", NULL);
	cr_assert_eq(instance_remove(&f.port, &i), 0, "%s", f.completion.message);
	cr_assert(wrote("/sys/devices/dax_region0/dax0.0/size", "0"));
	cr_assert(wrote("/sys/devices/dax_region0/dax_region/delete", "\n"));
}

Test(instance, the_regions_own_is_taken_from_kmem_only_when_none_of_it_is_online)
{
	const struct job_instance i = {.region_kernel_id = 0, .kernel_id = 0};

	fake_dax(&f, "/sys/devices/dax_region0/dax0.0", "268435456", "251:0", "kmem");
	fake_file(&f, "/sys/bus/dax/drivers/kmem/unbind", "\n");
	fake_file(&f, "/sys/bus/cxl/devices/region0/resource", "0x150000000");
	fake_file(&f, "/sys/bus/cxl/devices/region0/size", "0x10000000");
	fake_file(&f, "/sys/devices/system/memory/block_size_bytes", "8000000");
	fake_file(&f, "/sys/devices/system/memory/memory42/state", "offline");
	fake_file(&f, "/sys/devices/system/memory/memory43/state", "online");
	cr_assert_eq(instance_remove(&f.port, &i), -EBUSY);
	cr_assert(strstr(f.completion.message, "online"), "%s", f.completion.message);
	cr_assert(wrote("/sys/bus/dax/drivers/kmem/unbind", "\n"), "nothing is unbound under it");
	fake_file(&f, "/sys/devices/system/memory/memory43/state", "offline");
	f.port.told = false;
	(void)instance_remove(&f.port, &i);
	cr_assert(wrote("/sys/bus/dax/drivers/kmem/unbind", "dax0.0"));
}

Test(instance, strangers_are_not_removed)
{
	struct job_instance i = {.region_kernel_id = 0, .kernel_id = 1, .major = 251, .minor = 8};

	cr_assert_eq(instance_remove(&f.port, &i), 0);
	cr_assert(strstr(f.completion.message, "another instance"), "%s", f.completion.message);
	cr_assert(wrote("/sys/bus/dax/drivers/device_dax/unbind", "\n"));
}

Test(instance, carving_when_no_device_comes)
{
	const struct job_carve wanted = {
		.instance = {.region_kernel_id = 0, .bytes = 4194304, .align = 2097152}};

	cr_assert_eq(instance_carve(&f.port, &wanted), -ENOENT);
	cr_assert(wrote("/sys/devices/dax_region0/dax_region/create", "1"));
	cr_assert(strstr(f.completion.message, "find the new device"), "%s", f.completion.message);
	cr_assert(wrote("/sys/bus/dax/drivers_autoprobe", "1"), "probing is on again");
}

Test(instance, carving_in_a_region_that_is_not_there)
{
	const struct job_carve wanted = {
		.instance = {.region_kernel_id = 3, .bytes = 4194304, .align = 2097152}};

	cr_assert_eq(instance_carve(&f.port, &wanted), -ENOENT);
	cr_assert(strstr(f.completion.message, "dax_region3"), "%s", f.completion.message);
}
