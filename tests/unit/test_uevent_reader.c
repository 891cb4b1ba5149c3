/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves on a real netlink socket that only the kernel is believed and that
 * dropped uevents are told, with their number. In a network namespace of its own, where nobody
 * else hears what is sent here; skipped where that is not allowed.
 */
#include "source/uevent.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static const char forged[] = "remove@/devices/x/mem2\0ACTION=remove\0DEVPATH=/devices/x/mem2\0"
			     "SUBSYSTEM=cxl\0DEVTYPE=cxl_memdev\0SEQNUM=1";

static sd_event *loop;
static struct uevent_reader *reader;
static unsigned int n_uevents, n_gaps;
static uint64_t n_lost;
static char last_subsystem[32];

static void on_uevent(void *userdata, const struct uevent *uevent, uint64_t read_ns)
{
	(void)userdata;
	cr_assert_gt(read_ns, 0);
	n_uevents++;
	snprintf(last_subsystem, sizeof(last_subsystem), "%s", uevent->subsystem);
}

static void on_gap(void *userdata, enum uevent_gap gap, uint64_t lost)
{
	(void)userdata;
	cr_assert_eq(gap, UEVENT_DROPPED);
	n_gaps++;
	n_lost += lost;
}

static void start(void)
{
	char problem[ISO_TEXT_BYTES];

	if (unshare(CLONE_NEWNET) < 0)
		cr_skip_test("no network namespace: %s", strerror(errno));
	cr_assert_geq(sd_event_new(&loop), 0);
	cr_assert_eq(uevent_open(loop, 0, on_uevent, on_gap, NULL, &reader, problem), 0, "%s",
		     problem);
}

static void finish(void)
{
	reader = uevent_close(reader);
	loop = sd_event_unref(loop);
}

static void run_until_quiet(void)
{
	while (sd_event_run(loop, 50000) > 0)
		;
}

static int send_forged(const char *message, size_t bytes)
{
	struct sockaddr_nl group = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	ssize_t n = sendto(fd, message, bytes, 0, (struct sockaddr *)&group, sizeof(group));
	int r = n < 0 ? -errno : 0;

	close(fd);
	return r;
}

TestSuite(uevent_reader, .init = start, .fini = finish);

Test(uevent_reader, only_the_kernel_is_believed)
{
	struct uevent_report report;

	if (send_forged(forged, sizeof(forged)) < 0)
		cr_skip_test("cannot send to the group");
	run_until_quiet();
	uevent_get_report(reader, &report);
	cr_assert_eq(report.foreign, 1);
	cr_assert_eq(n_uevents, 0);
	cr_assert_eq(n_gaps, 0);
}

Test(uevent_reader, what_was_dropped_is_told)
{
	static char large[60000];
	struct uevent_report report;
	uint64_t n_sent = 0;

	memcpy(large, forged, sizeof(forged));
	uevent_get_report(reader, &report);
	cr_assert_gt(report.receive_bytes, 0);
	for (size_t sent = 0; sent < 2 * report.receive_bytes; sent += sizeof(large)) {
		int r = send_forged(large, sizeof(large));

		if (r < 0 && r != -ENOBUFS)
			cr_skip_test("cannot send to the group: %s", strerror(-r));
		n_sent++;
	}
	run_until_quiet();
	uevent_get_report(reader, &report);
	cr_assert_geq(n_gaps, 1);
	cr_assert_gt(report.foreign, 0);
	cr_assert_eq(report.foreign + n_lost, n_sent, "%llu came, %llu were lost, of %llu",
		     (unsigned long long)report.foreign, (unsigned long long)n_lost,
		     (unsigned long long)n_sent);
	cr_assert_eq(report.gaps, n_gaps);
	cr_assert_eq(n_uevents, 0);
}

Test(uevent_reader, the_kernels_own_uevent)
{
	struct uevent_report report;
	int fd;

	/* A sysfs of our own: where tests run the machine's is read-only. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
		cr_skip_test("cannot mount sysfs: %s", strerror(errno));
	fd = open("/sys/class/mem/null/uevent", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		cr_skip_test("no uevents to be had here: %s", strerror(errno));
	cr_assert_eq(write(fd, "change", 6), 6);
	close(fd);
	run_until_quiet();
	uevent_get_report(reader, &report);
	cr_assert_geq(n_uevents, 1);
	cr_assert_eq(report.received, n_uevents);
	cr_assert_gt(report.last_seqnum, 0);
	cr_assert_str_eq(last_subsystem, "mem");
}
