/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "launcher.h"

struct launcher *launcher_add(struct launchers *all, const char *name, const char *region)
{
	struct launcher *launcher = &all->launchers[all->n];

	world_room(all->w, all->n++, LAUNCHERS_MAX);
	*launcher = (struct launcher){.region = region};
	snprintf(launcher->name, sizeof(launcher->name), "%s", name);
	return launcher;
}

static void ask(struct launchers *all, struct launcher *launcher)
{
	struct iso_acquire terms = {.uid = 1, .n_parts = 1, .restart = true, .wait = true};
	uint32_t p;

	if (all->w->request > WORLD_REPLIES - 100)
		return; /* it was a long life */
	strcpy(terms.name, launcher->name);
	terms.parts[0].bytes = WORLD_PART;
	if (all->terms)
		all->terms(all->userdata, launcher, &terms);
	for (p = 0; p < terms.n_parts; p++)
		strcpy(terms.parts[p].region, launcher->region);
	launcher->state = LAUNCHER_ASKING;
	launcher->request = world_acquire_terms(all->w, &terms);
}

bool launcher_runs(const struct launchers *all, const struct launcher *launcher)
{
	const struct world_process *process;

	if (launcher->state != LAUNCHER_RUNNING)
		return false;
	process = &all->w->processes[launcher->process];
	return process->running && process->pid == launcher->pid;
}

static void step(struct launchers *all, struct launcher *launcher)
{
	int reply = launcher->state == LAUNCHER_ASKING ? world_reply(all->w, launcher->request)
						       : -1;

	if (launcher->state == LAUNCHER_RUNNING && !launcher_runs(all, launcher))
		launcher->state = LAUNCHER_IDLE;
	if (launcher->state == LAUNCHER_IDLE && launcher->wants) {
		ask(all, launcher);
	} else if (launcher->state == LAUNCHER_ASKING && reply == ISO_REPLY_DONE) {
		launcher->process = world_attach(all->w, launcher->name);
		launcher->state = launcher->process == ISO_NONE ? LAUNCHER_IDLE : LAUNCHER_RUNNING;
		if (launcher->process != ISO_NONE)
			launcher->pid = all->w->processes[launcher->process].pid;
	} else if (launcher->state == LAUNCHER_ASKING && reply != ISO_REPLY_WAITING) {
		launcher->state = LAUNCHER_IDLE;
	}
}

/* The daemon was restarted: connections are gone, who was asking asks again. */
static void reconnect(struct launchers *all)
{
	uint32_t i;

	for (i = 0; all->life != all->w->life && i < all->n; i++)
		if (all->launchers[i].state == LAUNCHER_ASKING)
			all->launchers[i].state = LAUNCHER_IDLE;
	all->life = all->w->life;
}

void launchers_step(struct launchers *all)
{
	uint32_t i;

	for (i = 0; i < all->n; i++) {
		reconnect(all);
		step(all, &all->launchers[i]);
	}
}

void launcher_want(struct launchers *all, struct launcher *launcher, bool wants)
{
	if (launcher->wants == wants)
		return;
	launcher->wants = wants;
	if (wants)
		return;
	if (launcher->state == LAUNCHER_ASKING)
		world_named(all->w, ISO_EVENT_WITHDRAW, launcher->name);
	else if (launcher_runs(all, launcher))
		world_exit(all->w, launcher->process);
	launcher->state = LAUNCHER_IDLE;
}

void launchers_want(struct launchers *all, bool wants)
{
	uint32_t i;

	for (i = 0; i < all->n; i++)
		launcher_want(all, &all->launchers[i], wants);
}

bool launchers_well(const struct launchers *all)
{
	uint32_t i;

	for (i = 0; i < all->n; i++)
		if (all->launchers[i].wants && all->launchers[i].state != LAUNCHER_RUNNING)
			return false;
	return true;
}

void launchers_run(struct launchers *all, uint64_t ns)
{
	const uint64_t stride_ns = WORLD_SECOND / 5;

	for (; ns && !all->w->broken[0]; ns -= ns < stride_ns ? ns : stride_ns) {
		launchers_step(all);
		world_run(all->w, ns < stride_ns ? ns : stride_ns);
	}
}
