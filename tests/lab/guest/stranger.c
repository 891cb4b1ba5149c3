/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process that maps memory which is not its own and stays: stranger NODE BYTES WAY [FILE]
 *
 *   hold          maps it, nothing else
 *   open FILE     also holds FILE open with O_DIRECT, without any I/O
 *   direct FILE   reads from FILE with O_DIRECT into the mapping, without end: its pages are pinned while a read is on its way
 *   read FILE     the same through the page cache
 *   sync FILE     writes from the mapping to FILE and waits for the disk in fdatasync, without end
 *   ring          also has an io_uring without registered buffers
 *   buffer [N]    also has registered the mapping, or its first N bytes, as an io_uring's buffer: pinned for good
 *
 * It says "mapped" once it is in place, then "round N" after each read or write.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { IO_BYTES = 1 << 20, FILE_BYTES = 512 << 20, RING_ENTRIES = 4 };

/* "16M" or a number of bytes. */
static size_t parse_bytes(const char *text)
{
	char *end;
	size_t bytes = strtoul(text, &end, 0);

	if (!bytes || (*end && strcmp(end, "M")))
		errx(2, "%s is not a size", text);
	return *end ? bytes << 20 : bytes;
}

static char *map(const char *node, size_t bytes)
{
	int fd = open(node, O_RDWR | O_CLOEXEC);
	char *memory;

	if (fd < 0)
		err(1, "%s", node);
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap %s", node);
	*(volatile char *)memory = *(volatile char *)memory;
	close(fd);
	return memory;
}

static void open_ring(void *memory, size_t bytes)
{
	struct io_uring_params parameters = {0};
	struct iovec buffer = {memory, bytes};
	long ring = syscall(SYS_io_uring_setup, RING_ENTRIES, &parameters);

	if (ring < 0)
		err(1, "io_uring_setup");
	if (memory && syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1) < 0)
		err(1, "registering the buffer");
}

static int open_file(const char *path, int flags)
{
	int fd = path ? open(path, flags | O_CLOEXEC) : -1;

	if (fd < 0)
		err(1, "%s", path ? path : "FILE is missing");
	return fd;
}

static void keep_reading(int fd, char *memory, size_t bytes)
{
	off_t at = 0;

	for (unsigned int round = 1;; round++, at = (at + IO_BYTES) % FILE_BYTES) {
		if (pread(fd, memory, bytes < IO_BYTES ? bytes : IO_BYTES, at) < 0)
			err(1, "read");
		printf("round %u\n", round);
	}
}

static void keep_syncing(int fd, const char *memory, size_t bytes)
{
	off_t at = 0;

	for (unsigned int round = 1;; round++, at = (at + IO_BYTES) % FILE_BYTES) {
		if (pwrite(fd, memory, bytes < IO_BYTES ? bytes : IO_BYTES, at) < 0 ||
		    fdatasync(fd) < 0)
			err(1, "write");
		printf("round %u\n", round);
	}
}

int main(int argc, char *argv[])
{
	const char *way, *file = argc > 4 ? argv[4] : NULL;
	size_t bytes;
	char *memory;
	int fd = -1;

	if (argc < 4)
		errx(2, "usage: %s NODE BYTES hold|open|direct|read|sync|ring|buffer [FILE]",
		     argv[0]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	bytes = parse_bytes(argv[2]);
	way = argv[3];
	memory = map(argv[1], bytes);
	if (!strcmp(way, "ring") || !strcmp(way, "buffer"))
		open_ring(*way == 'b' ? memory : NULL, file ? parse_bytes(file) : bytes);
	else if (!strcmp(way, "open") || !strcmp(way, "direct"))
		fd = open_file(file, O_RDONLY | O_DIRECT);
	else if (!strcmp(way, "read"))
		fd = open_file(file, O_RDONLY);
	else if (!strcmp(way, "sync"))
		fd = open_file(file, O_RDWR);
	else if (strcmp(way, "hold"))
		errx(2, "%s is not a way of staying", way);
	puts("mapped");
	if (!strcmp(way, "direct") || !strcmp(way, "read"))
		keep_reading(fd, memory, bytes);
	if (!strcmp(way, "sync"))
		keep_syncing(fd, memory, bytes);
	for (;;)
		pause();
}
