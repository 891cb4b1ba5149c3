/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proves what workers read from sources that are asked: counters of CXL functions only, saved panics, monitors of VMs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fake.h"
#include "port/qmp_connect.h"
#include "port/readings.h"

#define RP "/sys/devices/pci0000:0c/0000:0c:00.0"
#define EP RP "/0000:0d:00.0"

static struct fake f;

static void setup(void)
{
	fake_make(&f);
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(readings, .init = setup, .fini = teardown);

static void make_bus(void)
{
	fake_file(&f, RP "/aer_dev_correctable", "RxErr 2\nBadTLP 0\nTOTAL_ERR_COR 2");
	fake_file(&f, RP "/aer_dev_nonfatal", "Undefined 0\nTOTAL_ERR_NONFATAL 0");
	fake_file(&f, RP "/aer_rootport_total_err_fatal", "4");
	fake_file(&f, EP "/aer_dev_fatal", "SDES 1\nTOTAL_ERR_FATAL 1");
	fake_file(&f, EP "/mem0/serial", "0x10");
	fake_file(&f, "/sys/devices/pci0000:00/0000:00:03.0/aer_dev_fatal", "DLP 9");
	fake_link(&f, "/sys/bus/pci/devices/0000:0c:00.0",
		  "../../../devices/pci0000:0c/0000:0c:00.0");
	fake_link(&f, "/sys/bus/pci/devices/0000:0d:00.0",
		  "../../../devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0");
	fake_link(&f, "/sys/bus/pci/devices/0000:00:03.0",
		  "../../../devices/pci0000:00/0000:00:03.0");
	fake_link(&f, "/sys/bus/cxl/devices/mem0",
		  "../../../devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem0");
	fake_link(&f, "/sys/devices/port1/dport0", "../pci0000:0c/0000:0c:00.0");
	fake_link(&f, "/sys/devices/port1/dport1", "../acpi/ACPI0016:00");
	fake_link(&f, "/sys/bus/cxl/devices/port1", "../../../devices/port1");
}

static const struct reading *find(const struct reading_file *file, const char *unit,
				  const char *name)
{
	for (uint32_t i = 0; i < file->n; i++)
		if (!strcmp(file->readings[i].unit, unit) && !strcmp(file->readings[i].name, name))
			return &file->readings[i];
	return NULL;
}

Test(readings, counters_are_those_of_cxl_ports_and_memdevs_that_count_something)
{
	struct reading_file file;
	const struct reading *one;
	int fd;

	make_bus();
	fd = aer_counters_read(&f.port);
	cr_assert_geq(fd, 0, "%s", f.completion.message);
	cr_assert_eq(reading_file_open(fd, &file), 0);
	cr_assert_eq(file.n, 3);
	one = find(&file, "0000:0c:00.0", "correctable.RxErr");
	cr_assert(one);
	cr_assert_eq(one->value, 2);
	cr_assert_not(one->has_serial);
	one = find(&file, "0000:0c:00.0", "received.fatal");
	cr_assert(one);
	cr_assert_eq(one->value, 4);
	one = find(&file, "0000:0d:00.0", "fatal.SDES");
	cr_assert(one);
	cr_assert(one->has_serial);
	cr_assert_eq(one->serial, 0x10);
	reading_file_close(&file);
	close(fd);
}

Test(readings, without_cxl_there_are_no_counters)
{
	struct reading_file file;
	int fd = aer_counters_read(&f.port);

	cr_assert_geq(fd, 0);
	cr_assert_eq(reading_file_open(fd, &file), 0);
	cr_assert_eq(file.n, 0);
	reading_file_close(&file);
	close(fd);
}

Test(readings, a_saved_panic_is_found_where_systemd_has_put_it_and_once)
{
	static const char text[] = "Panic#1 Part1\n[1.2] Kernel panic - not syncing: why\n";
	struct reading_file file;
	int fd;

	fake_file(&f, "/sys/fs/pstore/dmesg-erst-1", text);
	fake_file(&f, "/sys/fs/pstore/dmesg-erst-2", "Panic#1 Part2\nnothing of it here\n");
	fake_file(&f, "/var/lib/systemd/pstore/17/dmesg.txt",
		  "[1.1]  cxl_region_remove+0x1/0x2\n[1.2] Kernel panic - not syncing: why\n");
	fake_file(&f, "/var/lib/systemd/pstore/17/ftrace-1", "Kernel panic - not syncing: none\n");
	fd = last_boot_read(&f.port);
	cr_assert_geq(fd, 0, "%s", f.completion.message);
	cr_assert_eq(reading_file_open(fd, &file), 0);
	cr_assert_null(file.readings);
	cr_assert_eq(file.n, 1);
	cr_assert(file.panics[0].panic.panic);
	cr_assert(file.panics[0].panic.cxl, "the other file tells");
	cr_assert_eq(strncmp(file.panics[0].excerpt, "[1.2] Kernel panic", 18), 0);
	reading_file_close(&file);
	close(fd);
}

Test(readings, a_host_without_pstore_says_so)
{
	cr_assert_eq(last_boot_read(&f.port), -ENOENT);
	cr_assert(strstr(f.completion.message, "no pstore"));
}

Test(readings, a_monitor_outside_run_is_not_gone_to)
{
	cr_assert_eq(qmp_connect(&f.port, "/tmp/x.qmp", 0), -EPERM);
	cr_assert_eq(qmp_connect(&f.port, "/run/../tmp/x.qmp", 0), -EPERM);
	cr_assert_eq(qmp_connect(&f.port, "/run/there-is-none.qmp", 0), -ENOENT);
}

Test(readings, the_monitor_of_another_user_is_not_spoken_to)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), connected;

	snprintf(address.sun_path, sizeof(address.sun_path), "/run/daxmgr-test-%d.qmp", getpid());
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		cr_skip("/run cannot be written here");
	cr_assert_eq(listen(fd, 1), 0);
	cr_assert_eq(qmp_connect(&f.port, address.sun_path, getuid() + 1), -EPERM);
	cr_assert(strstr(f.completion.message, "belongs to user"));
	connected = qmp_connect(&f.port, address.sun_path, getuid());
	cr_assert_geq(connected, 0);
	cr_assert(fcntl(connected, F_GETFL) & O_NONBLOCK);
	close(connected);
	close(fd);
	unlink(address.sun_path);
}
