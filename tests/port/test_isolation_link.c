/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A link is called down when the port says so, or when it says nothing and the slot has no power. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake.h"
#include "port/isolation_link.h"

#define DEVICE "/sys/bus/pci/devices/0000:0c:01.0"
#define SLOT   "/sys/bus/pci/slots/4"

enum {
	CONFIG_BYTES = 256,
	EXPRESS = 0x40,
	LINK_CAPABILITIES = EXPRESS + 0x0c,
	LINK_CONTROL = EXPRESS + 0x10,
	LINK_STATUS = EXPRESS + 0x12,
	DISABLE = 1u << 4,
};

static struct fake f;
static int config; /* of the port, the file that the daemon opens anew */
static const struct iso_pci_address address = {0, 0x0c, 1, 0, 1};

static void put(uint32_t at, const void *bytes, size_t n)
{
	cr_assert_eq(pwrite(config, bytes, n, at), (ssize_t)n);
}

static uint16_t get(uint32_t at)
{
	uint16_t value;

	cr_assert_eq(pread(config, &value, 2, at), 2);
	return value;
}

static void begin(bool reports, bool is_up)
{
	const uint32_t capabilities = reports ? 1u << 20 : 0;
	const uint16_t status = is_up ? 1u << 13 : 0;
	char target[64];

	fake_make(&f);
	config = memfd_create("config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert_eq(ftruncate(config, CONFIG_BYTES), 0);
	put(0x06, "\x10", 1);
	put(0x19, "\x0d", 1); /* secondary bus */
	put(0x34, "\x40", 1);
	put(EXPRESS, "\x10", 1);
	put(LINK_CAPABILITIES, &capabilities, 4);
	put(LINK_STATUS, &status, 2);
	snprintf(target, sizeof(target), "/proc/%d/fd/%d", (int)getpid(), config);
	fake_directory(&f, DEVICE);
	fake_link(&f, DEVICE "/config", target);
}

static void add_slot(void)
{
	fake_file(&f, SLOT "/address", "0000:0d:00");
	fake_file(&f, SLOT "/power", "1");
}

/* What the kernel says under lockdown: to each write, not to open. */
static void lock_down(void)
{
	cr_assert_eq(fcntl(config, F_ADD_SEALS, F_SEAL_WRITE), 0);
}

static void end(void)
{
	close(config);
	fake_remove(&f);
}

Test(isolation_link, a_port_that_says_nothing_is_believed_the_slot)
{
	begin(false, true);
	add_slot();
	cr_assert_eq(isolation_link_take_down(&f.port, address), 0);
	cr_assert_eq(fake_text(&f, SLOT "/power")[0], '0');
	end();
}

Test(isolation_link, a_link_that_is_up_without_power_is_up)
{
	begin(true, true);
	add_slot();
	cr_assert_eq(isolation_link_take_down(&f.port, address), -EIO);
	cr_assert(strstr(f.completion.message, "stays up"), "%s", f.completion.message);
	cr_assert_not(get(LINK_CONTROL) & DISABLE, "what did not help was taken back");
	end();
}

Test(isolation_link, one_that_is_down_is_left_alone)
{
	begin(true, false);
	add_slot();
	cr_assert_eq(isolation_link_take_down(&f.port, address), 0);
	cr_assert_eq(fake_text(&f, SLOT "/power")[0], '1');
	end();
}

Test(isolation_link, lockdown_is_named)
{
	begin(true, true);
	lock_down();
	cr_assert_eq(isolation_link_take_down(&f.port, address), -EPERM);
	cr_assert(strstr(f.completion.message, "locked down"), "%s", f.completion.message);
	end();
}

Test(isolation_link, lockdown_does_not_matter_where_nothing_is_to_be_written)
{
	begin(true, false);
	add_slot();
	fake_file(&f, SLOT "/power", "0");
	lock_down();
	cr_assert_eq(isolation_link_give_back(&f.port, address), 0, "%s", f.completion.message);
	cr_assert_eq(fake_text(&f, SLOT "/power")[0], '1');
	end();
}

Test(isolation_link, a_link_that_is_disabled_under_lockdown_stays_so_and_it_is_said)
{
	const uint16_t control = DISABLE;

	begin(true, false);
	put(LINK_CONTROL, &control, 2);
	lock_down();
	cr_assert_eq(isolation_link_give_back(&f.port, address), -EPERM);
	cr_assert(strstr(f.completion.message, "locked down"), "%s", f.completion.message);
	end();
}
