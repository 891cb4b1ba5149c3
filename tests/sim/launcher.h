/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tenants of the simulated host: what daxmgr-qemu does for each VM, again and again. */
#ifndef TESTS_LAUNCHER_H
#define TESTS_LAUNCHER_H

#include "world.h"

enum { LAUNCHERS_MAX = 8 };

enum launcher_state { LAUNCHER_IDLE, LAUNCHER_ASKING, LAUNCHER_RUNNING };

struct launcher {
	enum launcher_state state;
	char name[ISO_NAME_BYTES];
	const char *region; /* empty: wherever there is room */
	uint64_t request;
	uint32_t process;
	int32_t pid; /* its place may be another's */
	bool wants; /* to run */
};

struct launchers {
	struct world *w;
	struct launcher launchers[LAUNCHERS_MAX];
	uint32_t n, life;
	/* What a launcher asks for; NULL: one part, and to wait for it. */
	void (*terms)(void *userdata, const struct launcher *launcher, struct iso_acquire *terms);
	void *userdata;
};

struct launcher *launcher_add(struct launchers *all, const char *name, const char *region);
/* Each does its next step: asks, attaches when granted, asks again after a kill. */
void launchers_step(struct launchers *all);
bool launcher_runs(const struct launchers *all, const struct launcher *launcher);
void launcher_want(struct launchers *all, struct launcher *launcher, bool wants);
void launchers_want(struct launchers *all, bool wants);
/* All that want to run do. */
bool launchers_well(const struct launchers *all);
/* Time goes on, and they with it. */
void launchers_run(struct launchers *all, uint64_t ns);

#endif
