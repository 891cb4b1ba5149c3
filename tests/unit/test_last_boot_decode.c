/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proves what is read from the log of a kernel that died, and that one death has one key. */
#include "source/last_boot_decode.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define PANIC "<0>[  123.456789] Kernel panic - not syncing: Fatal exception in interrupt\n"

static struct last_boot_panic found;

static bool decode(const char *text)
{
	size_t bytes = strlen(text);
	char *copy = malloc(bytes + (bytes == 0));
	bool is;

	memcpy(copy, text, bytes);
	is = last_boot_decode(copy, bytes, &found);
	free(copy);
	return is;
}

Test(last_boot_decode, a_panic_has_reason_place_and_share_of_cxl)
{
	cr_assert(decode(
		"Panic#1 Part1\n"
		"<1>[  123.4] BUG: unable to handle page fault for address: ffffea0\n"
		"<4>[  123.4] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI\n"
		"<4>[  123.4] RIP: 0010:bio_check_pages_dirty+0x2d/0xc0\n"
		"<4>[  123.4]  dev_dax_huge_fault+0x1c/0x350 [device_dax]\n"
		"<4>[  123.4] Modules linked in: device_dax dax_cxl cxl_mem cxl_pci\n" PANIC));
	cr_assert(found.panic);
	cr_assert(found.cxl);
	cr_assert_not(found.machine_check);
	cr_assert_str_eq(found.text, "Kernel panic - not syncing: Fatal exception in interrupt");
	cr_assert_str_eq(found.function, "bio_check_pages_dirty");
}

/* Its modules are named in every oops of a host that has it. */
Test(last_boot_decode, that_cxl_is_there_is_no_share)
{
	cr_assert(decode("<6>[  1.0]  pci0000:0c: host supports CXL\n"
			 "<6>[  1.1] pcieport 0000:0c:00.0: AER: enabled with IRQ 24\n"
			 "<4>[  123.4] RIP: 0010:ext4_writepages+0x2d/0xc0\n"
			 "<4>[  123.4] Modules linked in: device_dax dax_cxl cxl_mem cxl_pci\n"
			 "<4>[  123.4]  cxl_acpi cxl_core\n" PANIC));
	cr_assert_not(found.cxl);
	cr_assert(decode("<6>[  120.0] pcieport 0000:0c:00.0: pciehp: Slot(2): Link Down\n"
			 "<4>[  123.4] RIP: 0010:ext4_writepages+0x2d/0xc0\n" PANIC));
	cr_assert(found.cxl);
}

Test(last_boot_decode, a_machine_check_is_one)
{
	cr_assert(decode("[1.0] mce: [Hardware Error]: CPU 0: Machine Check Exception: 5 Bank 9\n"
			 "[1.0] Kernel panic - not syncing: Fatal machine check\n"));
	cr_assert(found.machine_check);
	cr_assert_not(found.cxl);
}

Test(last_boot_decode, an_oops_without_a_panic_says_so)
{
	cr_assert(decode(
		"Oops#1 Part1\n<1>[5.0] BUG: kernel NULL pointer dereference, address: 0\n"));
	cr_assert_not(found.panic);
}

Test(last_boot_decode, what_is_neither_is_nothing)
{
	found.key = 5;
	cr_assert_not(decode(""));
	cr_assert_not(decode("Shutdown#1\n<5>[9.9] reboot: Power down\n"));
	cr_assert_eq(found.key, 5);
}

Test(last_boot_decode, the_same_death_has_the_same_key_in_another_file)
{
	uint64_t key;

	decode("Panic#1 Part1\nsomething before\n" PANIC);
	key = found.key;
	decode("Panic#1 Part2\nmore\n\nPanic#1 Part1\nsomething before\n" PANIC "behind\n");
	cr_assert_eq(found.key, key);
	decode("<0>[  123.456790] Kernel panic - not syncing: Fatal exception in interrupt\n");
	cr_assert_neq(found.key, key, "another time, another death");
}

Test(last_boot_decode, nothing_unprintable_comes_out)
{
	cr_assert(decode("Kernel panic - not syncing: \x1b[2J\n RIP: 0010:a\x01+0x1\n"));
	cr_assert_str_eq(found.text, "Kernel panic - not syncing: ?[2J");
	cr_assert_str_eq(found.function, "a");
}
