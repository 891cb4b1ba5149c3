/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * daemon_new() as daxmgrd's main() calls it, but for where it finds things: a
 * directory instead of tracefs, sysfs and the state directory.
 */
#include "ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tracefs.h>
#include <unistd.h>

#include "config.h"
#include "daemon.h"
#include "log.h"
#include "memory.h"

enum {
	REALTIME_PRIORITY = 2, /* daxmgrd.service */
};

#define RUN_DIRECTORY "/run/daxmgr"
#define HOST_TREE     "tests/port/demo-tree.txt"

static const char *const more_files[] = {
	"run/daxmgr/.here", "proc/.here", "dev/null", "dev/zero", "dev/urandom",
};

__attribute__((noreturn)) static void give_up(const char *what, int error)
{
	fprintf(stderr, "bench_ingest: %s: %s\n", what, strerror(error));
	_exit(2);
}

/* What the daemon keeps there must not meet that of a real one. */
static void hide_run_directory(void)
{
	if (mkdir(RUN_DIRECTORY, 0755) < 0 && errno != EEXIST)
		give_up(RUN_DIRECTORY, errno);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", RUN_DIRECTORY, "tmpfs", 0, "mode=0755") < 0)
		give_up("a mount namespace (root is needed)", errno);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	(void)info;
	(void)userdata;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static void configure(const char *directory, uint64_t ring_bytes, struct config *ret)
{
	static char tracing[INGEST_PATH_BYTES + 16];

	static struct iso_region_definition region = {
		.name = "lost", .ways = 1, .serials = {INGEST_SERIAL}};

	config_init(ret);
	/* A loss is an incident where it takes capacity. config_free() is not for these. */
	ret->regions = &region;
	ret->n_regions = 1;
	snprintf(ret->socket_path, sizeof(ret->socket_path), RUN_DIRECTORY "/socket");
	snprintf(ret->state_directory, sizeof(ret->state_directory), "%s/state", directory);
	ret->trace_buffer_bytes = ring_bytes;
	if (mkdir(ret->state_directory, 0700) < 0)
		give_up(ret->state_directory, errno);
	snprintf(tracing, sizeof(tracing), "%s/tracing", directory);
	tracefs_set_tracing_dir(tracing);
}

/* Lines "d PATH", "f PATH TEXT" and "l PATH TARGET": the host of tests/port, without processes. */
static void make_root(const char *root)
{
	char line[1024], path[2048];
	FILE *tree = fopen(HOST_TREE, "r");

	if (!tree)
		give_up(HOST_TREE, errno);
	while (fgets(line, sizeof(line), tree)) {
		char *name = line + 2, *rest;

		line[strcspn(line, "\n")] = '\0';
		rest = strchr(name, ' ');
		if (rest)
			*rest++ = '\0';
		snprintf(path, sizeof(path), "%s%s", root, name);
		if (line[0] == 'f') {
			file_put(root, name + 1, rest ? rest : "", rest ? strlen(rest) : 0);
		} else {
			directories_above(path);
			if (line[0] == 'l' ? symlink(rest ? rest : "", path) < 0
					   : mkdir(path, 0755) < 0 && errno != EEXIST)
				give_up(path, errno);
		}
	}
	fclose(tree);
	for (size_t i = 0; i < sizeof(more_files) / sizeof(more_files[0]); i++)
		file_put(root, more_files[i], "", 0);
}

static void bind_over(const char *from, const char *to)
{
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		give_up(to, errno);
}

/* libcxl looks nowhere else; and a process needs some devices. */
static void live_in_root(const char *root)
{
	static const char *const places[] = {"/dev/null", "/dev/zero", "/dev/urandom"};
	char path[INGEST_PATH_BYTES + 64];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", root, places[i]);
		bind_over(places[i], path);
	}
	snprintf(path, sizeof(path), "%s/dev", root);
	if (mount(path, "/dev", NULL, MS_BIND | MS_REC, NULL) < 0)
		give_up("/dev", errno);
	snprintf(path, sizeof(path), "%s/sys", root);
	bind_over(path, "/sys");
}

/* What it logs would stand in the table; it is there when the daemon does not start. */
static void log_to_file(const char *directory)
{
	char path[INGEST_PATH_BYTES + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/daemon.log", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		give_up(path, errno);
	close(fd);
}

static void run(const char *directory, uint64_t ring_bytes, bool realtime)
{
	const struct sched_param param = {.sched_priority = REALTIME_PRIORITY};
	char root[INGEST_PATH_BYTES + 16];
	struct config config;
	struct daemon *daemon;
	sd_event *event;
	int r;

	hide_run_directory();
	if (realtime && sched_setscheduler(0, SCHED_FIFO, &param) < 0)
		give_up("real time", errno);
	log_to_file(directory);
	configure(directory, ring_bytes, &config);
	snprintf(root, sizeof(root), "%s/root", directory);
	make_root(root);
	live_in_root(root);
	r = sd_event_default(&event);
	if (r < 0)
		give_up("event loop", -r);
	sd_event_add_signal(event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, on_signal, NULL);
	r = memory_lock();
	if (r < 0)
		fprintf(stderr, "bench_ingest: memory is not locked: %s\n", strerror(-r));
	r = daemon_new(event, &config, root, &daemon);
	if (r < 0)
		give_up("daemon", -r);
	r = sd_event_loop(event);
	daemon_free(daemon);
	sd_event_unref(event);
	_exit(r < 0 ? 2 : 0);
}

pid_t ingest_daemon_start(const char *directory, uint64_t ring_bytes, bool realtime)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(directory, ring_bytes, realtime);
	}
	if (pid < 0)
		give_up("fork", errno);
	return pid;
}

void ingest_daemon_stop(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	if (waitpid(pid, &status, 0) < 0 || status)
		fprintf(stderr, "bench_ingest: the daemon ended with status 0x%x\n", status);
}

static uint64_t status_kib(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) << 10 : 0;
}

static size_t read_proc(pid_t pid, const char *name, char *text, size_t room)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, room - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

void process_read(pid_t pid, struct process_figures *ret)
{
	static char text[8192];
	unsigned long user = 0, system = 0;
	const char *after;

	*ret = (struct process_figures){0};
	read_proc(pid, "status", text, sizeof(text));
	ret->resident_bytes = status_kib(text, "VmRSS:");
	ret->anonymous_bytes = status_kib(text, "RssAnon:");
	ret->locked_bytes = status_kib(text, "VmLck:");
	read_proc(pid, "stat", text, sizeof(text));
	after = strrchr(text, ')');
	if (after && sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			    &system) == 2)
		ret->cpu_us = (user + system) * (1000000 / (unsigned long)sysconf(_SC_CLK_TCK));
}

uint64_t own_cpu_us(void)
{
	uint64_t us = 0;

	for (int i = 0; i < 2; i++) {
		struct rusage usage;

		getrusage(i ? RUSAGE_CHILDREN : RUSAGE_SELF, &usage);
		us += (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
		      (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	}
	return us;
}

uint64_t machine_cpu_us(void)
{
	unsigned long long user, nice, system, idle, wait, irq, softirq, steal;
	char text[256] = "";
	int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		give_up("/proc/stat", errno);
	close(fd);
	if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system,
		   &idle, &wait, &irq, &softirq, &steal) != 8)
		give_up("/proc/stat", EINVAL);
	return (user + nice + system + irq + softirq + steal) *
	       (1000000 / (unsigned long long)sysconf(_SC_CLK_TCK));
}
