/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daxmgrd: options, configuration, wiring. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "config.h"
#include "daemon.h"
#include "log.h"
#include "memory.h"
#include "notify.h"

enum { RELOAD_AGAIN_US = 100000 };

struct options {
	const char *config_root; /* prefix of /etc and /usr/lib */
	bool check_config;
	bool prepare_trace;
};

static void usage(FILE *to)
{
	fputs("Usage: daxmgrd [OPTION]...\n"
	      "Carves CXL regions into device-dax instances, one set per VM, and survives their loss.\n"
	      "\n"
	      "  --config-root=DIR  read configuration below DIR instead of /\n"
	      "  --check-config     read the configuration, report, and exit\n"
	      "  --prepare-trace    make the trace ring that the daemon reads, and exit\n"
	      "  --help             this text\n"
	      "  --version          version and exit\n"
	      "\n"
	      "Configuration: daxmgrd.conf(5). Talk to it with daxmgrctl(1).\n",
	      to);
}

/* Return: 0 to go on, else the exit status plus one. */
static int parse_options(int argc, char **argv, struct options *ret)
{
	static const struct option options[] = {
		{"config-root", required_argument, NULL, 'r'},
		{"check-config", no_argument, NULL, 'c'},
		{"prepare-trace", no_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (c) {
		case 'r':
			ret->config_root = optarg;
			break;
		case 'c':
			ret->check_config = true;
			break;
		case 't':
			ret->prepare_trace = true;
			break;
		case 'h':
			usage(stdout);
			return 1;
		case 'v':
			puts("daxmgrd " DAXMGR_VERSION);
			return 1;
		default:
			usage(stderr);
			return 3;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "daxmgrd: unexpected argument \"%s\"\n", argv[optind]);
		return 3;
	}
	return 0;
}

static int load_config(const struct options *options, struct config *ret)
{
	_cleanup_free_ char *messages = NULL;
	int r = config_load(options->config_root, ret, &messages);

	if (messages && *messages)
		fprintf(stderr, "%s", messages);
	return r;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	(void)info;
	(void)userdata;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* What is read already may be of before: it is read once more after that. */
static int on_reload(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;
	int r = policy_reload(daemon->policy, NULL, NULL);

	(void)usec;
	if (r == -EBUSY) {
		sd_event_source_set_time_relative(source, RELOAD_AGAIN_US);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	if (r < 0)
		log_line(LOG_ERR, "policy: the rules are not read anew: %s", strerror(-r));
	return 0;
}

/* The rules of policy are read anew; all other configuration needs a restart, which no VM notices. */
static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	sd_event_source *reload = userdata;

	(void)source;
	(void)info;
	sd_event_source_set_time_relative(reload, 0);
	return sd_event_source_set_enabled(reload, SD_EVENT_ONESHOT);
}

static int add_reload(sd_event *event, struct daemon *daemon, sd_event_source **ret)
{
	int r = sd_event_add_time(event, ret, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_reload, daemon);

	if (r >= 0)
		r = sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGHUP | SD_EVENT_SIGNAL_PROCMASK, on_hangup,
					*ret);
	return r;
}

/* A socket or state directory for others than root would let them ask for a kill. */
static int prepare(const struct config *config)
{
	umask(0077);
	if (mkdir(config->state_directory, 0700) < 0 && errno != EEXIST) {
		log_line(LOG_ERR, "%s: %m", config->state_directory);
		return -errno;
	}
	return 0;
}

/*
 * Two daemons would share the trace ring, and each would miss what the other
 * read. Return: a descriptor that holds the lock, or negative errno.
 */
static int lock_path(const char *path, int flags)
{
	_cleanup_close_ int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0) {
		r = -errno;
		log_line(LOG_ERR, "%s: %s", path, strerror(-r));
		return r;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = -errno;
		log_line(LOG_ERR, "%s: %s", path,
			 r == -EWOULDBLOCK ? "another daxmgrd is running (systemctl status daxmgrd)"
					   : strerror(-r));
		return r;
	}
	r = fd;
	fd = -1;
	return r;
}

static int lock_socket(const char *socket_path)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s.lock", socket_path) >= PATH_MAX)
		return -ENAMETOOLONG;
	return lock_path(path, O_RDWR | O_CREAT);
}

static int run(const struct config *config)
{
	_cleanup_(sd_event_unrefp) sd_event *event = NULL;
	_cleanup_(sd_event_source_unrefp) sd_event_source *ready = NULL, *reload = NULL;
	struct daemon *daemon;
	int r, not_locked;

	r = sd_event_default(&event);
	if (r < 0)
		return r;
	memory_bind();
	not_locked = memory_lock();
	r = log_start();
	if (r < 0)
		return r;
	sd_event_add_signal(event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, on_signal, NULL);
	sd_event_add_signal(event, NULL, SIGINT | SD_EVENT_SIGNAL_PROCMASK, on_signal, NULL);
	r = daemon_new(event, config, "", &daemon);
	if (r < 0) {
		log_line(LOG_ERR, "cannot start: %s", strerror(-r));
		return r;
	}
	r = add_reload(event, daemon, &reload);
	if (r < 0) {
		log_line(LOG_ERR, "cannot start: %s", strerror(-r));
		daemon_free(daemon);
		return r;
	}
	if (not_locked < 0) {
		snprintf(daemon->memory_problem, sizeof(daemon->memory_problem),
			 "not locked: %s; a kill may have to wait for a page",
			 strerror(-not_locked));
		log_line(LOG_WARNING, "memory: %s", daemon->memory_problem);
	}
	r = notify_ready(event, PRIORITY_NOTIFY, &ready);
	if (r >= 0)
		r = sd_event_loop(event);
	notify_send("STOPPING=1", -1);
	daemon_free(daemon);
	return r;
}

int main(int argc, char **argv)
{
	struct options options = {.config_root = ""};
	_cleanup_close_ int state_lock = -1, socket_lock = -1;
	struct config config;
	int r;

	if (argc == 2 && !strcmp(argv[1], "--worker"))
		return worker_main(WORKER_SOCKET_FD);
	r = parse_options(argc, argv, &options);
	if (r)
		return r - 1;
	if (load_config(&options, &config) < 0)
		return EXIT_FAILURE;
	if (options.check_config || options.prepare_trace) {
		r = options.prepare_trace ? sources_trace_prepare(&config) : 0;
		config_free(&config);
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	r = prepare(&config);
	if (r >= 0)
		r = state_lock = lock_path(config.state_directory, O_RDONLY | O_DIRECTORY);
	if (r >= 0)
		r = socket_lock = lock_socket(config.socket_path);
	if (r >= 0)
		r = run(&config);
	log_stop();
	config_free(&config);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
