/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "priority.h"

#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>

enum { QUICK_USEC = 200 * 1000 };

static volatile sig_atomic_t left;

bool priority_is_realtime(void)
{
	int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;

	return policy == SCHED_FIFO || policy == SCHED_RR;
}

void priority_step_below(void)
{
	static const struct sched_param below = {.sched_priority = PRIORITY_BELOW_LOOP};

	/* Not sched_setscheduler(): the unit's filter lets nobody enter real time by that. */
	if (priority_is_realtime())
		(void)sched_setparam(0, &below);
}

void priority_leave(void)
{
	static const struct sched_param none;

	(void)sched_setscheduler(0, SCHED_OTHER, &none);
	left = true;
}

bool priority_left(void)
{
	return left;
}

static void priority_on_limit(int signal)
{
	(void)signal;
	priority_leave();
}

void priority_limit(void)
{
	/* With a lower hard limit the kernel would kill the process at last. */
	static const struct rlimit limit = {.rlim_cur = QUICK_USEC, .rlim_max = RLIM_INFINITY};
	struct sigaction action = {.sa_handler = priority_on_limit, .sa_flags = SA_RESTART};

	if (priority_is_realtime() &&
	    (sigaction(SIGXCPU, &action, NULL) < 0 || setrlimit(RLIMIT_RTTIME, &limit) < 0))
		priority_leave();
}
