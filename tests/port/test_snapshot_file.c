/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A snapshot arrives as it was sent, and whatever is wrong in the file is found before it is used. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot_file.h"

static struct iso_observed_host_bridge bridges[2] = {{"hb12"}, {"hb93"}};
static struct iso_observed_port ports[2] = {
	{"hb12/00.0", {0, 12, 0, 0, 1}, ISO_PORT_ROOT, 0, ISO_NONE, true},
	{"hb12/00.0/00.0", {0, 13, 0, 0, 1}, ISO_PORT_SWITCH_UPSTREAM, 0, 0, false},
};
static struct iso_observed_memdev memdevs[1] = {
	{.path = "hb12/00.0/00.0", .name = "mem0", .serial = 0x10, .port = 1, .bound = true},
};
static struct iso_observed_window windows[1] = {{.ways = 2, .host_bridges = {0, 1}}};
static struct iso_observed_region regions[1] = {
	{.ways = 1, .targets = {{.serial = 0x10, .present = true}}}};
static struct iso_observed_instance instances[1] = {{.driver = ISO_DAX_KMEM}};

static struct iso_snapshot sample(void)
{
	return (struct iso_snapshot){bridges, ports, memdevs, windows, regions, instances, 2,
				     2,       1,     1,       1,       1,       4711};
}

/* The bytes of a good file, to be spoilt. */
static size_t bytes_of(int fd, unsigned char *buffer, size_t room)
{
	ssize_t length = pread(fd, buffer, room, 0);

	cr_assert(length > 0 && (size_t)length < room);
	return (size_t)length;
}

static int sealed(const unsigned char *bytes, size_t length)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	return fd;
}

static int open_result(const unsigned char *bytes, size_t length)
{
	struct snapshot_file file = SNAPSHOT_FILE_NULL;
	int fd = sealed(bytes, length);
	int error = snapshot_file_open(fd, &file);

	close(fd);
	snapshot_file_close(&file);
	return error;
}

Test(snapshot_file, what_is_written_is_read)
{
	struct iso_snapshot s = sample();
	struct snapshot_file file;
	int fd = snapshot_file_write(&s);

	cr_assert(fd >= 0);
	cr_assert_eq(snapshot_file_open(fd, &file), 0);
	close(fd);
	cr_assert_eq(file.snapshot.n_ports, 2);
	cr_assert_str_eq(file.snapshot.ports[1].path, "hb12/00.0/00.0");
	cr_assert(file.snapshot.ports[0].system_ram && !file.snapshot.ports[1].system_ram);
	cr_assert_eq(file.snapshot.memdevs[0].serial, 0x10);
	cr_assert_eq(file.snapshot.instances[0].driver, ISO_DAX_KMEM);
	cr_assert_eq(file.snapshot.uevent_seqnum, 4711);
	snapshot_file_close(&file);
	snapshot_file_close(&file);
}

Test(snapshot_file, an_empty_host)
{
	struct iso_snapshot s = {0};
	struct snapshot_file file;
	int fd = snapshot_file_write(&s);

	cr_assert_eq(snapshot_file_open(fd, &file), 0);
	close(fd);
	cr_assert_eq(file.snapshot.n_instances, 0);
	snapshot_file_close(&file);
}

Test(snapshot_file, a_file_that_may_still_change_is_refused)
{
	struct snapshot_file file;
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert_eq(ftruncate(fd, 4096), 0);
	cr_assert_eq(snapshot_file_open(fd, &file), -EPERM);
	close(fd);
}

Test(snapshot_file, torn_at_every_length)
{
	struct iso_snapshot s = sample();
	unsigned char bytes[16384];
	int fd = snapshot_file_write(&s);
	size_t length = bytes_of(fd, bytes, sizeof(bytes));

	close(fd);
	cr_assert_eq(open_result(bytes, length), 0);
	for (size_t i = 1; i < length; i += 7)
		cr_assert_eq(open_result(bytes, i), -EBADMSG, "%zu of %zu bytes", i, length);
}

/* Every single byte of the header may lie; none may lead outside of the file. */
Test(snapshot_file, a_lying_header)
{
	struct iso_snapshot s = sample();
	unsigned char good[16384], bad[16384];
	int fd = snapshot_file_write(&s);
	size_t length = bytes_of(fd, good, sizeof(good));

	close(fd);
	for (size_t i = 0; i < 120; i++) {
		for (unsigned int flip = 1; flip < 256; flip <<= 1) {
			memcpy(bad, good, length);
			bad[i] ^= (unsigned char)flip;
			(void)open_result(bad, length);
		}
	}
}

static int refused(const struct iso_snapshot *s)
{
	struct snapshot_file file = SNAPSHOT_FILE_NULL;
	int fd = snapshot_file_write(s);
	int error = snapshot_file_open(fd, &file);

	close(fd);
	snapshot_file_close(&file);
	return error;
}

Test(snapshot_file, indices_that_lead_nowhere)
{
	struct iso_snapshot s = sample();

	ports[1].parent = 1; /* itself */
	cr_assert_eq(refused(&s), -EBADMSG);
	ports[1].parent = 0;
	ports[0].host_bridge = 2;
	cr_assert_eq(refused(&s), -EBADMSG);
	ports[0].host_bridge = 0;
	memdevs[0].port = 2;
	cr_assert_eq(refused(&s), -EBADMSG);
	memdevs[0].port = ISO_NONE;
	cr_assert_eq(refused(&s), 0);
	windows[0].host_bridges[1] = 7;
	cr_assert_eq(refused(&s), -EBADMSG);
	windows[0].host_bridges[1] = ISO_NONE;
	cr_assert_eq(refused(&s), 0);
	windows[0].ways = ISO_WAYS_MAX + 1;
	cr_assert_eq(refused(&s), -EBADMSG);
	windows[0].ways = 1;
	regions[0].ways = ISO_WAYS_MAX + 1;
	cr_assert_eq(refused(&s), -EBADMSG);
	regions[0].ways = 1;
	instances[0].driver = ISO_DAX_OTHER + 1;
	cr_assert_eq(refused(&s), -EBADMSG);
}

Test(snapshot_file, text_without_an_end_and_booleans_that_are_none)
{
	struct iso_snapshot s = sample();

	memset(memdevs[0].name, 'm', sizeof(memdevs[0].name));
	cr_assert_eq(refused(&s), -EBADMSG);
	strcpy(memdevs[0].name, "mem0");
	memset(&memdevs[0].bound, 2, 1);
	cr_assert_eq(refused(&s), -EBADMSG);
	memset(&memdevs[0].bound, 1, 1);
	memset(&ports[1].system_ram, 2, 1);
	cr_assert_eq(refused(&s), -EBADMSG);
	memset(&ports[1].system_ram, 0, 1);
	memset(&regions[0].targets[3].present, 0x80, 1);
	cr_assert_eq(refused(&s), -EBADMSG);
}
