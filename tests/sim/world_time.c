/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The virtual clock of the simulated platform, and what happens when it moves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* --- what is due: a heap of indices, earliest first, in the order in which it was asked for --- */

static bool sooner(const struct world *w, uint32_t a, uint32_t b)
{
	const struct world_task *ta = &w->tasks[a], *tb = &w->tasks[b];

	return ta->at_ns != tb->at_ns ? ta->at_ns < tb->at_ns : ta->order < tb->order;
}

static void push(struct world *w, uint32_t task)
{
	uint32_t at = w->n_due++;

	for (; at && sooner(w, task, w->due[(at - 1) / 2]); at = (at - 1) / 2)
		w->due[at] = w->due[(at - 1) / 2];
	w->due[at] = task;
}

static uint32_t pop(struct world *w)
{
	uint32_t first = w->due[0], last = w->due[--w->n_due], at = 0, child;

	while ((child = 2 * at + 1) < w->n_due) {
		if (child + 1 < w->n_due && sooner(w, w->due[child + 1], w->due[child]))
			child++;
		if (!sooner(w, w->due[child], last))
			break;
		w->due[at] = w->due[child];
		at = child;
	}
	w->due[at] = last;
	return first;
}

static void end_task(struct world *w, struct world_task *task)
{
	free(task->picture);
	task->picture = NULL;
	task->used = false;
	task->next_free = w->free_task;
	w->free_task = task - w->tasks + 1;
}

static void again(struct world *w, struct world_task *task, uint32_t kind, uint64_t at_ns)
{
	task->kind = kind;
	task->at_ns = at_ns > w->now_ns ? at_ns : w->now_ns;
	task->order = w->order++;
	push(w, task - w->tasks);
}

struct world_task *world_task(struct world *w, enum world_task_kind kind, uint64_t ns)
{
	struct world_task *task;
	uint32_t i;

	if (w->free_task) {
		i = w->free_task - 1;
		w->free_task = w->tasks[i].next_free;
	} else {
		world_room(w, w->n_tasks, WORLD_TASKS);
		i = w->n_tasks++;
	}
	task = &w->tasks[i];
	task->used = true;
	task->life = w->life;
	task->fails = task->undone = task->lost = task->leftover = false;
	task->twice = task->dies = task->done = task->stopped = false;
	task->effect.kind = ISO_EFFECT_KINDS; /* none, until told otherwise */
	again(w, task, kind, w->now_ns + ns);
	return task;
}

/* Everything that is under way is taken out of the world's hands. */
void world_forget(struct world *w)
{
	uint32_t i;

	for (i = 0; i < w->n_due; i++)
		end_task(w, &w->tasks[w->due[i]]);
	w->n_due = 0;
}

struct iso_event *world_later(struct world *w, uint64_t ns)
{
	struct world_task *task = world_task(w, WORLD_TASK_EVENT, ns);

	memset(&task->event, 0, sizeof(task->event));
	return &task->event;
}

struct iso_event *world_uevent(struct world *w)
{
	return world_later(w, 1 + w->order % 7 * w->uevent_ns);
}

uint64_t world_duration(struct world *w, uint64_t ns)
{
	if (!w->random)
		return ns;
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return ns / 8 + (w->random >> 33) % (2 * ns);
}

/* --- what happens --------------------------------------------------------------------------- */

static bool changes_nothing(uint32_t kind)
{
	return kind == ISO_EFFECT_VERIFY || kind == ISO_EFFECT_INSPECT || kind == ISO_EFFECT_ZERO ||
	       kind == ISO_EFFECT_PROVE || kind == ISO_EFFECT_READ_POISON;
}

static void do_deed(struct world *w, struct world_task *task)
{
	uint32_t kind = task->effect.kind;
	int32_t error = task->completion.result;

	if (kind == ISO_EFFECT_OBSERVE) {
		task->picture = task->fails ? NULL : kernel_picture(w);
	} else if (kind == ISO_EFFECT_INSPECT && task->effect.lease == ISO_NONE) {
		/* of everybody: at its end */
	} else if (kind == ISO_EFFECT_INTENT) {
		if (!task->undone)
			world_store_intent(w, &task->effect, &task->completion);
	} else if (!task->undone || task->leftover) {
		w->clears_by_half = task->dies;
		kernel_do(w, &task->effect, task->leftover, &task->completion);
		if (!changes_nothing(kind))
			world_changed(w);
	}
	if (task->fails)
		task->completion.result = error;
}

static void run_deed(struct world *w, struct world_task *task)
{
	bool dies = task->dies;

	if (task->life != w->life) { /* its worker ended with the daemon */
		end_task(w, task);
		return;
	}
	do_deed(w, task);
	if (task->lost || dies)
		end_task(w, task);
	else
		again(w, task, WORLD_TASK_COMPLETE, task->end_ns);
	if (dies)
		world_restart(w);
}

/* Its worker is killed and says so; what it has done is done. */
void world_abandon(struct world *w, uint64_t operation)
{
	uint32_t i, n = w->n_tasks;

	for (i = 0; i < n; i++) {
		struct world_task *task = &w->tasks[i], *end;

		if (!task->used || task->life != w->life || task->lost ||
		    (task->kind != WORLD_TASK_DEED && task->kind != WORLD_TASK_COMPLETE) ||
		    task->effect.operation != operation)
			continue;
		end = world_task(w, WORLD_TASK_COMPLETE, WORLD_MS);
		end->effect = task->effect;
		end->completion.operation = operation;
		end->completion.intent = false;
		end->completion.result = -ECONNRESET;
		task->life--; /* as if a daemon before had asked for it */
		return;
	}
}

static void tell_mappers(struct world *w, uint64_t operation)
{
	struct iso_observed_mapper mappers[WORLD_PROCESSES];
	struct iso_event event = {.kind = ISO_EVENT_INSPECTION};

	event.inspection.mappers = mappers;
	event.inspection.n_mappers = kernel_mappers(w, mappers, WORLD_PROCESSES);
	event.inspection.uevent_seqnum = w->seqnum;
	event.answers = operation;
	world_step(w, &event);
}

static void complete(struct world *w, struct world_task *task)
{
	struct iso_event event;

	task->done = true;
	if (task->effect.kind == ISO_EFFECT_INTENT && task->completion.result == 0) {
		world_room(w, w->n_intended, WORLD_INTENTS);
		w->intended[w->n_intended++] = task->completion.operation;
	}
	if (task->picture) {
		kernel_picture_event(task->picture, &event);
		event.answers = task->effect.operation;
		world_step(w, &event);
	}
	if (task->effect.kind == ISO_EFFECT_INSPECT && task->effect.lease == ISO_NONE &&
	    !task->fails)
		tell_mappers(w, task->effect.operation);
	if (task->effect.region != ISO_NONE && task->effect.kind != ISO_EFFECT_INTENT &&
	    task->completion.result == 0)
		world_store_done(w, &task->effect);
	if (task->life != w->life)
		return;
	event.kind = ISO_EVENT_COMPLETION;
	event.completion = task->completion;
	world_step(w, &event);
}

static void run_complete(struct world *w, struct world_task *task)
{
	if (task->life == w->life)
		complete(w, task);
	if (task->life == w->life && task->twice) {
		task->twice = false;
		free(task->picture);
		task->picture = NULL;
		again(w, task, WORLD_TASK_COMPLETE, w->now_ns + WORLD_MS);
	} else {
		end_task(w, task);
	}
}

/* What a VM pinned may stay pinned after its end; the engine has to care where it could know. */
static void linger(struct world *w, const struct world_process *process)
{
	struct iso_lease_view lease;
	uint32_t i;

	if (!process->is_vm || !process->pins ||
	    !iso_lease_get(w->engine, process->lease, &lease) ||
	    lease.epoch != process->lease_epoch || !lease.pins)
		return;
	for (i = 0; i < process->n_maps; i++) {
		w->dax[process->maps[i]].pinned_until_ns = w->now_ns + 3 * WORLD_SECOND;
		w->dax[process->maps[i]].pinned_life = w->life;
	}
}

void world_exit(struct world *w, uint32_t p)
{
	struct world_process *process = &w->processes[p];
	struct iso_event event = {.kind = ISO_EVENT_VM_EXITED};

	if (!process->running)
		return;
	process->running = false;
	linger(w, process);
	event.exited.lease = process->lease;
	event.exited.lease_epoch = process->lease_epoch;
	if (process->is_vm)
		world_step(w, &event);
}

/* What the kernel tells is told to nobody when the daemon has died. */
static void run_event(struct world *w, const struct world_task *task)
{
	const struct iso_event *event = &task->event;

	if (event->kind == ISO_EVENT_SETTLED)
		world_tell(w, "host", "the kernel has reset the link: its own recovery has ended");
	if (task->life != w->life)
		return;
	if (event->kind == ISO_EVENT_FAULT && event->fault.unit_kind == ISO_UNIT_INSTANCE)
		world_unbound(w);
	world_step(w, event);
}

static void run_task(struct world *w, struct world_task *task)
{
	switch ((enum world_task_kind)task->kind) {
	case WORLD_TASK_DEED:
		run_deed(w, task);
		break;
	case WORLD_TASK_COMPLETE:
		run_complete(w, task);
		break;
	case WORLD_TASK_EXIT: /* who is only stopped stays so when the daemon dies */
		if ((!task->stopped || task->life == w->life) &&
		    w->processes[task->process].pid == task->pid)
			world_exit(w, task->process);
		end_task(w, task);
		break;
	case WORLD_TASK_UNBIND:
		kernel_end_unbind(w, task->process);
		end_task(w, task);
		break;
	case WORLD_TASK_EVENT:
		run_event(w, task);
		end_task(w, task);
		break;
	}
}

/* Does what is due next, not after `until_ns`. Return: false when there was nothing. */
static bool advance_to_next(struct world *w, uint64_t until_ns)
{
	struct iso_event timer;
	uint64_t at_ns = iso_next_deadline(w->engine);
	bool task = w->n_due && w->tasks[w->due[0]].at_ns <= at_ns;

	if (task)
		at_ns = w->tasks[w->due[0]].at_ns;
	if (at_ns > until_ns)
		return false;
	if (at_ns > w->now_ns)
		w->now_ns = at_ns;
	if (task) {
		run_task(w, &w->tasks[pop(w)]);
	} else {
		timer.kind = ISO_EVENT_TIMER;
		world_step(w, &timer);
	}
	return true;
}

void world_run(struct world *w, uint64_t ns)
{
	uint64_t until_ns = w->now_ns + ns, steps = w->steps;

	while (!w->broken[0] && advance_to_next(w, until_ns))
		if (w->steps - steps > 200000)
			world_break(w, "the engine runs in circles");
	w->now_ns = until_ns;
}

/* Nothing is under way but looking: at the host, at who maps what. */
bool world_quiet(const struct world *w)
{
	uint32_t i;

	for (i = 0; i < w->n_due; i++) {
		const struct world_task *task = &w->tasks[w->due[i]];

		if (task->life != w->life && task->kind != WORLD_TASK_EXIT &&
		    task->kind != WORLD_TASK_UNBIND)
			continue;
		if (task->effect.kind != ISO_EFFECT_OBSERVE &&
		    task->effect.kind != ISO_EFFECT_INSPECT &&
		    task->effect.kind != ISO_EFFECT_VERIFY &&
		    task->effect.kind != ISO_EFFECT_READ_POISON)
			return false;
	}
	return true;
}

bool world_settle(struct world *w, uint64_t limit_ns)
{
	uint64_t quiet_ns = 0, until_ns = w->now_ns + limit_ns;

	while (!w->broken[0] && w->now_ns < until_ns && quiet_ns < 8 * WORLD_SECOND) {
		world_run(w, 100 * WORLD_MS);
		quiet_ns = world_quiet(w) ? quiet_ns + 100 * WORLD_MS : 0;
	}
	return quiet_ns >= 8 * WORLD_SECOND;
}
