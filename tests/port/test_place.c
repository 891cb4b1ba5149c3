/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where dax devices lie, and where a new one goes that keeps clear of bad memory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fake.h"
#include "port/iomem.h"
#include "port/place.h"
#include "port/poison.h"

enum { UNIT = 2 << 20 };

static const uint64_t start = UINT64_C(0x150000000);
static struct fake f;

static void setup(void)
{
	fake_make(&f);
	fake_directory(&f, "/sys/devices/dax_region0");
	fake_link(&f, "/sys/bus/cxl/devices/dax_region0", "../../../devices/dax_region0");
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(place, .init = setup, .fini = teardown);

/* Proves: only lines that name a dax device with addresses count. */
Test(place, lines)
{
	static const char *const others[] = {
		"",
		"150000000-15fffffff : CXL Window 0",
		"  150000000-15fffffff : region0",
		"150000000-1503fffff : System RAM",
		"00000000-00000000 : dax0.1",
		"150000000-1503fffff : dax0.1x",
		"150000000-1503fffff : dax00.1",
		"150000000-1503fffff : dax0",
		"150000000 1503fffff : dax0.1",
		"1503fffff-150000000 : dax0.1",
		"11150000000000000000-22150000000000000000 : dax0.1",
		"0-ffffffffffffffff : dax0.1",
		"zz-1503fffff : dax0.1",
	};
	struct iomem_range range;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert_not(iomem_parse(others[i], &range), "%s", others[i]);
	cr_assert(iomem_parse("      150400000-1507fffff : dax0.12\n", &range));
	cr_assert_eq(range.region_kernel_id, 0);
	cr_assert_eq(range.kernel_id, 12);
	cr_assert_eq(range.range.start.v, UINT64_C(0x150400000));
	cr_assert_eq(range.range.bytes, 0x400000);
}

/* Proves: System RAM is found by name, whatever made it so, and is anywhere where addresses are hidden. */
Test(place, lines_of_system_ram)
{
	struct iso_hpa_range range;

	cr_assert_not(iomem_parse_ram("150000000-1503fffff : dax0.1", &range));
	cr_assert_not(iomem_parse_ram("150000000-1503fffff : Kernel System RAM", &range));
	cr_assert(iomem_parse_ram("  150000000-1503fffff : System RAM (kmem)\n", &range));
	cr_assert_eq(range.start.v, UINT64_C(0x150000000));
	cr_assert_eq(range.bytes, 0x400000);
	cr_assert(iomem_parse_ram("00000000-00000000 : System RAM\n", &range));
	cr_assert_eq(range.start.v, 0);
	cr_assert_eq(range.bytes, UINT64_MAX);
}

/* Proves: ranges that follow each other are one piece, and more than there is room for are told as such. */
Test(place, pieces)
{
	struct iso_hpa_range pieces[ISO_PIECES_MAX];
	struct iomem iomem;
	char text[2048];
	int used;

	used = snprintf(text, sizeof(text),
			"150800000-1509fffff : dax0.2\n150000000-1501fffff : dax0.1\n"
			"150200000-1503fffff : dax0.1\n150600000-1507fffff : dax0.1\n"
			"250000000-2501fffff : dax1.1\n");
	for (int i = 0; i < 9; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used,
				 "%x50000000-%x501fffff : dax3.1\n", i + 3, i + 3);
	fake_file(&f, "/proc/iomem", text);
	cr_assert_eq(iomem_read(f.root, &iomem), 0);
	cr_assert_eq(iomem_pieces(&iomem, 0, 1, pieces), 2);
	cr_assert_eq(pieces[0].start.v, start);
	cr_assert_eq(pieces[0].bytes, 2 * UNIT);
	cr_assert_eq(pieces[1].start.v, start + 3 * UNIT);
	cr_assert_eq(iomem_pieces(&iomem, 1, 1, pieces), 1);
	cr_assert_eq(iomem_pieces(&iomem, 1, 2, pieces), 0);
	cr_assert_eq(iomem_pieces(&iomem, 3, 1, pieces), ISO_PIECES_MAX + 1);
	iomem_free(&iomem);
	cr_assert_eq(iomem_read("/nonexistent", &iomem), 0, "a fake tree has none");
	cr_assert_eq(iomem.n, 0);
}

static struct job_carve wanted(uint64_t bytes)
{
	return (struct job_carve){
		.instance = {.region_kernel_id = 0, .bytes = bytes, .align = UNIT},
		.region = {{start}, 8 * UNIT},
		.n_avoid = 1,
		.avoid = {{{start + 2 * UNIT}, UNIT}},
	};
}

/* Proves: what is taken, bound or not, and what is bad is kept clear of; one piece where that is possible. */
Test(place, around_bad_memory)
{
	struct iso_hpa_range pieces[ISO_PIECES_MAX];
	struct job_carve carve = wanted(4 * UNIT);
	uint32_t n;

	cr_assert_eq(place_choose(&f.port, &carve, pieces, &n), 0, "%s", f.completion.message);
	cr_assert_eq(n, 1);
	cr_assert_eq(pieces[0].start.v, start + 3 * UNIT);
	cr_assert_eq(pieces[0].bytes, 4 * UNIT);
	carve = wanted(7 * UNIT);
	cr_assert_eq(place_choose(&f.port, &carve, pieces, &n), 0);
	cr_assert_eq(n, 2, "all that is good");
	cr_assert_eq(pieces[0].bytes + pieces[1].bytes, 7 * UNIT);
	carve = wanted(8 * UNIT);
	cr_assert_eq(place_choose(&f.port, &carve, pieces, &n), -ENOSPC);
	cr_assert(strstr(f.completion.message, "missing"), "%s", f.completion.message);
	/* Taken: the fourth unit by a device that is bound, the sixth by one that is not. */
	fake_file(&f, "/proc/iomem", "150600000-1507fffff : dax0.1\n");
	fake_dax(&f, "/sys/devices/dax_region0/dax0.2", "2097152", "251:2", NULL);
	fake_file(&f, "/sys/devices/dax_region0/dax0.2/resource", "0x150a00000");
	fake_link(&f, "/sys/bus/dax/devices/dax0.2", "../../../devices/dax_region0/dax0.2");
	f.port.told = false;
	carve = wanted(3 * UNIT);
	cr_assert_eq(place_choose(&f.port, &carve, pieces, &n), 0, "%s", f.completion.message);
	cr_assert_eq(n, 2);
	for (uint32_t i = 0; i < n; i++) {
		cr_assert_neq(pieces[i].start.v, start + 2 * UNIT);
		cr_assert_neq(pieces[i].start.v, start + 3 * UNIT);
		cr_assert_neq(pieces[i].start.v, start + 5 * UNIT);
	}
}

/* Proves: more pieces than can be told of are refused. */
Test(place, too_many_pieces)
{
	struct iso_hpa_range pieces[ISO_PIECES_MAX];
	struct job_carve carve = {
		.instance = {.region_kernel_id = 0, .bytes = 9 * UNIT, .align = UNIT},
		.region = {{start}, 18 * UNIT},
		.n_avoid = 9,
	};
	uint32_t n;

	for (uint32_t i = 0; i < 9; i++)
		carve.avoid[i] = (struct iso_hpa_range){{start + 2 * i * UNIT}, UNIT};
	cr_assert_eq(place_choose(&f.port, &carve, pieces, &n), -E2BIG);
	carve.instance.bytes = 8 * UNIT;
	cr_assert_eq(place_choose(&f.port, &carve, pieces, &n), 0);
	cr_assert_eq(n, 8);
	carve.instance.align = 0;
	cr_assert_eq(place_choose(&f.port, &carve, pieces, &n), -EINVAL);
}

/* Proves: the list of the memdev that is meant is read, of no other, and a device without one is told from one that fails. */
Test(place, reading_a_poison_list)
{
	struct job_memdev memdev = {.name = "mem3", .serial = 0x10};

	cr_assert_eq(poison_read_list(&f.port, &memdev), -ENOENT);
	fake_file(&f, "/sys/bus/cxl/devices/mem3/serial", "0x11");
	f.port.told = false;
	cr_assert_eq(poison_read_list(&f.port, &memdev), -ESTALE, "%s", f.completion.message);
	fake_file(&f, "/sys/bus/cxl/devices/mem3/serial", "0x10");
	cr_assert_eq(poison_read_list(&f.port, &memdev), -EOPNOTSUPP);
	fake_file(&f, "/sys/bus/cxl/devices/mem3/trigger_poison_list", "\n");
	fake_directory(&f, "/run/daxmgr");
	cr_assert_eq(poison_read_list(&f.port, &memdev), 0, "%s", f.completion.message);
	cr_assert_eq(fake_text(&f, "/sys/bus/cxl/devices/mem3/trigger_poison_list")[0], '1');
	strcpy(memdev.name, "../mem3");
	cr_assert_eq(poison_read_list(&f.port, &memdev), -EINVAL);
}
