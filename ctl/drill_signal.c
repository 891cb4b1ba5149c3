/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is asked to end during a drill cleans up first; asked once more he ends at once. */
#include <signal.h>
#include <stddef.h>

#include "drill_run.h"

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

enum { N_SIGNALS = sizeof(signals) / sizeof(signals[0]) };

static volatile sig_atomic_t interrupted;
static struct sigaction old[N_SIGNALS];

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

void drill_catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	interrupted = 0;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < N_SIGNALS; i++)
		sigaction(signals[i], &action, &old[i]);
}

bool drill_interrupted(void)
{
	return interrupted;
}

void drill_release_signals(void)
{
	for (size_t i = 0; i < N_SIGNALS; i++)
		sigaction(signals[i], &old[i], NULL);
}
