/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process exits while the kernel unbinds the instance it maps: exit_at_unbind INSTANCE kill|stop ROUNDS
 *
 *   kill  SIGKILL, then the unbind, as a surprise down and a quick manager have it
 *   stop  SIGSTOP, the unbind, then SIGKILL
 *
 * The exit is made to take long: a process of low priority, on a busy host. Says "round N" after each, and
 * exits with 1 when one cannot be played, because the process does not exit any more.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	BUSY = 2,
	EXIT_SECONDS = 30,
	ORDINARY_BYTES = 40 << 20, /* memory of its own, so that the exit has something to do */
	PART_BYTES = 2 << 20,
	SPREAD_MS = 30,
};

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void driver_write(const char *attribute, const char *instance)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/dax/drivers/device_dax/%s", attribute);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, instance, strlen(instance)) < 0)
		err(1, "%s", path);
	close(fd);
}

static size_t instance_bytes(const char *instance)
{
	unsigned long long bytes;
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/dax/devices/%s/size", instance);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%llu", &bytes) != 1)
		err(1, "%s", path);
	fclose(file);
	return bytes;
}

static void touch(char *memory, size_t bytes, size_t step)
{
	for (size_t at = 0; at < bytes; at += step)
		memory[at] = 1;
}

static char *map(size_t bytes, int flags, int fd)
{
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		err(1, "mmap");
	return memory;
}

/* The lower mapping is taken down first: its pages are held until enough of the others are. */
__attribute__((noreturn)) static void be_mapper(const char *node, size_t bytes, int ready)
{
	char *ordinary = map(ORDINARY_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int fd = open(node, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		err(1, "%s", node);
	madvise(ordinary, ORDINARY_BYTES, MADV_NOHUGEPAGE);
	touch(map(bytes, MAP_SHARED, fd), bytes, PART_BYTES);
	touch(ordinary, ORDINARY_BYTES, 4096);
	if (nice(15) < 0 || write(ready, "", 1) != 1)
		err(1, "mapper");
	for (;;)
		pause();
}

static pid_t start_mapper(const char *instance, size_t bytes)
{
	char node[64], ready;
	int pipes[2];
	pid_t pid;

	snprintf(node, sizeof(node), "/dev/%s", instance);
	for (int tries = 0; tries < 500 && access(node, F_OK) < 0; tries++)
		sleep_ms(10);
	if (pipe2(pipes, O_CLOEXEC) < 0)
		err(1, "pipe");
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		be_mapper(node, bytes, pipes[1]);
	}
	close(pipes[1]);
	if (pid < 0 || read(pipes[0], &ready, 1) != 1)
		errx(1, "the mapper does not start");
	close(pipes[0]);
	return pid;
}

static void wait_exit(pid_t pid)
{
	for (int tries = 0; waitpid(pid, NULL, WNOHANG) == 0; tries++) {
		if (tries == EXIT_SECONDS * 100)
			errx(1, "process %d does not exit", pid);
		sleep_ms(10);
	}
}

static void play(const char *instance, size_t bytes, bool stop)
{
	pid_t pid = start_mapper(instance, bytes);

	kill(pid, stop ? SIGSTOP : SIGKILL);
	sleep_ms(random() % SPREAD_MS);
	driver_write("unbind", instance);
	kill(pid, SIGKILL);
	wait_exit(pid);
	driver_write("bind", instance);
}

static void keep_busy(void)
{
	for (int i = 0; i < BUSY; i++)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				;
		}
}

int main(int argc, char **argv)
{
	bool stop = argc == 4 && strcmp(argv[2], "stop") == 0;
	long rounds = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
	size_t bytes;

	if (rounds < 1 || (!stop && strcmp(argv[2], "kill")))
		errx(2, "usage: exit_at_unbind INSTANCE kill|stop ROUNDS");
	bytes = instance_bytes(argv[1]);
	keep_busy();
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (long round = 1; round <= rounds; round++) {
		play(argv[1], bytes, stop);
		printf("round %ld\n", round);
	}
	return 0;
}
