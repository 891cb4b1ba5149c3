/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves the three ways to isolation registers that a worker has: none there,
 * a component block in the port's BAR, and a kernel's own attributes, with and
 * without registers beside them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"
#include "isolation/component_block.h"
#include "isolation/config_space.h"
#include "isolation/registers.h"
#include "port/isolation.h"

#define DEVICE    "/sys/bus/pci/devices/0000:0c:01.0"
#define ATTRIBUTE DEVICE "/cxl_isolation/"

enum { REGISTERS = COMPONENT_MEMORY_REGISTERS + 0x100, CONFIG_BYTES = 4096 };

static struct fake f;
static struct job_isolation wanted;
static struct job_isolation_found found;
static int fd;

static void setup(void)
{
	fake_make(&f);
	fake_directory(&f, DEVICE);
	wanted = (struct job_isolation){.port = {0, 0x0c, 1, 0, 1}};
	fd = -1;
}

static void teardown(void)
{
	if (fd >= 0)
		close(fd);
	fake_remove(&f);
}

TestSuite(isolation, .init = setup, .fini = teardown);

static int open_file(const char *path, off_t bytes)
{
	char full[PATH_MAX];
	int file;

	snprintf(full, sizeof(full), "%s%s", f.root, path);
	file = open(full, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(file, 0);
	cr_assert_eq(ftruncate(file, bytes), 0);
	return file;
}

static void put(int file, off_t at, uint32_t word)
{
	cr_assert_eq(pwrite(file, &word, 4, at), 4);
}

static uint32_t get(int file, off_t at)
{
	uint32_t word;

	cr_assert_eq(pread(file, &word, 4, at), 4);
	return word;
}

/* Configuration space with a Register Locator, or without. */
static void add_config(bool has_block)
{
	int file = open_file(DEVICE "/config", CONFIG_BYTES);

	if (has_block) {
		put(file, 0x100, 0x23 | 1u << 16);
		put(file, 0x104, 0x1e98 | 0x14u << 20);
		put(file, 0x108, 8);
		put(file, 0x10c, 0x100); /* component registers at the start of BAR 0 */
	}
	close(file);
}

/* Return: the file of its BAR. */
static int add_block(uint32_t capability, uint32_t status)
{
	int file = open_file(DEVICE "/resource0", COMPONENT_BLOCK_BYTES);

	add_config(true);
	put(file, COMPONENT_MEMORY_REGISTERS, 1 | 1u << 16 | 1u << 20 | 1u << 24);
	put(file, COMPONENT_MEMORY_REGISTERS + 4,
	    COMPONENT_ID_ISOLATION | 1u << 16 | (REGISTERS - COMPONENT_MEMORY_REGISTERS) << 20);
	put(file, REGISTERS + ISOLATION_CAPABILITY, capability);
	put(file, REGISTERS + ISOLATION_STATUS, status);
	return file;
}

static void find(void)
{
	cr_assert_eq(isolation_find(&f.port, &wanted, &found, &fd), 0, "%s", f.completion.message);
}

Test(isolation, not_offered_is_an_answer)
{
	add_config(false);
	find();
	cr_assert_eq(found.source, ISO_ISOLATION_NONE);
	cr_assert_lt(fd, 0);
}

Test(isolation, registers)
{
	close(add_block(ISOLATION_CONTROL_ISOLATION, ISOLATION_STATUS_TIMEOUT));
	find();
	cr_assert_eq(found.source, ISO_ISOLATION_REGISTERS);
	cr_assert_eq(found.capability, ISOLATION_CONTROL_ISOLATION);
	cr_assert_eq(found.status, ISOLATION_STATUS_TIMEOUT);
	cr_assert_eq(found.offset, REGISTERS);
	cr_assert_geq(fd, 0);
}

static void add_attributes(const char *range)
{
	fake_file(&f, ATTRIBUTE "isolation_ctrl", "0");
	fake_file(&f, ATTRIBUTE "timeout_ctrl", "1");
	fake_file(&f, ATTRIBUTE "timeout_range", range);
}

Test(isolation, attributes)
{
	add_attributes("0x2");
	find();
	cr_assert_eq(found.source, ISO_ISOLATION_SYSFS);
	cr_assert_eq(found.control, ISOLATION_CONTROL_TIMEOUT | 2u);
	cr_assert_eq(found.capability, ISOLATION_CONTROL_ISOLATION | ISOLATION_CONTROL_TIMEOUT |
					       (uint32_t)ISOLATION_CONTROL_RANGE);
	cr_assert_lt(fd, 0, "no registers to be polled");
	cr_assert_str_eq(f.completion.message, "");
	fake_file(&f, ATTRIBUTE "timeout_range", "b2");
	find();
	cr_assert_eq(found.control & ISOLATION_CONTROL_RANGE, 6);
}

Test(isolation, attributes_and_the_status_of_the_registers)
{
	add_attributes("a2");
	close(add_block(ISOLATION_CONTROL_ISOLATION | ISOLATION_CONTROL_LINK_DOWN,
			ISOLATION_STATUS_ISOLATED));
	find();
	cr_assert_eq(found.source, ISO_ISOLATION_SYSFS);
	cr_assert_not(found.capability & ISOLATION_CONTROL_LINK_DOWN, "not the attributes'");
	cr_assert_eq(found.status, ISOLATION_STATUS_ISOLATED);
	cr_assert_eq(found.offset, REGISTERS);
	cr_assert_geq(fd, 0);
}

Test(isolation, attributes_are_written)
{
	add_attributes("a2");
	wanted.arm = true;
	wanted.range = 0x6;
	cr_assert_eq(isolation_arm(&f.port, &wanted), 0, "%s", f.completion.message);
	cr_assert_eq(strncmp(fake_text(&f, ATTRIBUTE "timeout_range"), "b2", 2), 0);
	cr_assert_eq(fake_text(&f, ATTRIBUTE "timeout_ctrl")[0], '1');
	cr_assert_eq(fake_text(&f, ATTRIBUTE "isolation_ctrl")[0], '1');
	cr_assert(f.completion.has_isolation);
	cr_assert_eq(f.completion.control,
		     ISOLATION_CONTROL_ISOLATION | ISOLATION_CONTROL_TIMEOUT | 6u);
	wanted.range = 0;
	cr_assert_eq(isolation_arm(&f.port, &wanted), 0, "%s", f.completion.message);
	cr_assert_eq(f.completion.control & ISOLATION_CONTROL_RANGE, 0, "%s",
		     fake_text(&f, ATTRIBUTE "timeout_range"));
	wanted.arm = false;
	cr_assert_eq(isolation_arm(&f.port, &wanted), 0, "%s", f.completion.message);
	cr_assert_eq(fake_text(&f, ATTRIBUTE "timeout_ctrl")[0], '0');
	cr_assert_eq(fake_text(&f, ATTRIBUTE "isolation_ctrl")[0], '0');
}

Test(isolation, attributes_without_a_timeout)
{
	fake_file(&f, ATTRIBUTE "isolation_ctrl", "0");
	find();
	cr_assert_eq(found.capability, ISOLATION_CONTROL_ISOLATION);
	wanted.arm = true;
	wanted.range = 0x6;
	cr_assert_eq(isolation_arm(&f.port, &wanted), 0, "%s", f.completion.message);
	cr_assert_eq(f.completion.control, ISOLATION_CONTROL_ISOLATION);
}

/* The status is cleared where it can be; the port has no Express capability, so giving its link back is what fails. */
Test(isolation, attributes_and_a_status_to_be_cleared)
{
	int file = add_block(ISOLATION_CONTROL_ISOLATION, ISOLATION_STATUS_TIMEOUT);

	add_attributes("a2");
	put(file, REGISTERS + ISOLATION_CONTROL, 7);
	cr_assert_eq(isolation_clear(&f.port, &wanted), -ENXIO, "%s", f.completion.message);
	cr_assert_eq(get(file, REGISTERS + ISOLATION_STATUS), ISOLATION_STATUS_TIMEOUT,
		     "one is written");
	cr_assert(f.completion.has_isolation);
	cr_assert_eq(get(file, REGISTERS + ISOLATION_CONTROL), 7);
	close(file);
}

/* Proves: where there is no status to be cleared the registers are not even looked for. */
Test(isolation, only_the_link_is_given_back)
{
	int file = add_block(ISOLATION_CONTROL_ISOLATION, ISOLATION_STATUS_TIMEOUT);

	put(file, REGISTERS + ISOLATION_STATUS, 0);
	wanted.link_only = true;
	cr_assert_eq(isolation_clear(&f.port, &wanted), -ENXIO, "%s", f.completion.message);
	cr_assert_not(f.completion.has_isolation);
	close(file);
}

static uint32_t host(void)
{
	uint32_t obstacles = 0;

	cr_assert_eq(isolation_host(&f.port, true, &obstacles), 0);
	return obstacles;
}

/* Proves: each setting that makes a panic of a failed read is an obstacle of its own. */
Test(isolation, settings_of_the_host)
{
	cr_assert_eq(host(), 0, "none of them is there");
	fake_file(&f, "/proc/sys/vm/memory_failure_recovery", "1");
	fake_file(&f, "/proc/sys/kernel/panic_on_oops", "0");
	cr_assert_eq(host(), 0);
	fake_file(&f, "/proc/sys/vm/memory_failure_recovery", "0");
	cr_assert_eq(host(), ISO_OBSTACLE_MEMORY_FAILURE);
	fake_file(&f, "/proc/sys/kernel/panic_on_oops", "1");
	cr_assert_eq(host(), ISO_OBSTACLE_MEMORY_FAILURE | (uint32_t)ISO_OBSTACLE_PANIC_ON_OOPS);
}
