/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "world.h"

enum { TASK_DEED, TASK_COMPLETE, TASK_EXIT, TASK_EVENT };

void world_break(struct world *w, const char *format, ...)
{
	va_list arguments;

	if (w->broken[0])
		return;
	va_start(arguments, format);
	vsnprintf(w->broken, sizeof(w->broken), format, arguments);
	va_end(arguments);
}

void world_start_engine(struct world *w)
{
	size_t bytes = iso_engine_bytes(&w->limits);

	free(w->memory);
	w->memory = aligned_alloc(64, bytes);
	w->engine = iso_engine_init(w->memory, bytes, &w->limits, &w->policy);
	cr_assert_not_null(w->engine);
	w->life++;
	w->n_intended = 0;
}

struct world *world_new_with(const struct iso_limits *limits, const struct iso_policy *policy)
{
	struct world *w = calloc(1, sizeof(*w));

	w->trace = calloc(1, WORLD_TRACE_BYTES);
	w->limits = *limits;
	w->policy = *policy;
	w->now_ns = WORLD_SECOND;
	w->operation_ns = 10 * WORLD_MS;
	w->exit_ns = 20 * WORLD_MS;
	w->reset_ns = 100 * WORLD_MS;
	w->request = 1;
	world_start_engine(w);
	return w;
}

struct world *world_new(void)
{
	struct iso_limits limits = {8, 32, 32, 8, 24, 48, 48, 96, 16};
	struct iso_policy policy;

	iso_policy_default(&policy);
	policy.flap_losses = 0; /* histories of many losses are not about flapping */
	policy.inspect_ns = 0;
	return world_new_with(&limits, &policy);
}

void world_free(struct world *w)
{
	char broken[sizeof(w->broken)];
	uint32_t i;

	memcpy(broken, w->broken, sizeof(broken));
	if (broken[0])
		fprintf(stderr, "%s\n", w->trace);
	for (i = 0; i < WORLD_TASKS; i++)
		free(w->tasks[i].picture);
	free(w->memory);
	free(w->trace);
	free(w);
	cr_assert(!broken[0], "%s", broken);
}

static uint64_t duration(struct world *w, uint64_t ns)
{
	if (!w->random)
		return ns;
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return ns / 8 + (w->random >> 33) % (2 * ns);
}

static struct world_task *later(struct world *w, uint32_t kind, uint64_t ns)
{
	uint32_t i;

	for (i = 0; i < WORLD_TASKS && w->tasks[i].used; i++)
		;
	cr_assert_lt(i, WORLD_TASKS, "too much at once for this world");
	w->tasks[i] = (struct world_task){
		.used = true,
		.kind = kind,
		.at_ns = w->now_ns + ns,
		.order = w->order++,
		.life = w->life,
	};
	return &w->tasks[i];
}

/* --- what the engine asks for --------------------------------------------------------------- */

static struct world_process *process_of(struct world *w, uint32_t lease, uint32_t epoch)
{
	uint32_t i;

	for (i = 0; i < w->n_processes; i++)
		if (w->processes[i].is_vm && w->processes[i].lease == lease &&
		    w->processes[i].lease_epoch == epoch)
			return &w->processes[i];
	return NULL;
}

static bool may_be_killed(const struct world *w, const struct world_process *process)
{
	uint32_t i;

	for (i = 0; i < process->n_maps; i++) {
		const struct world_dax *dax = &w->dax[process->maps[i]];

		if (!dax->exists || !dax->bound || w->objects[dax->object].condemned)
			return true;
	}
	return false;
}

static void take_kill(struct world *w, const struct iso_effect *effect)
{
	struct world_process *process = process_of(w, effect->lease, effect->lease_epoch);

	w->n_kills++;
	if (!process) {
		world_break(w, "a kill without a process");
		return;
	}
	if (process->running && !w->evicts && !may_be_killed(w, process))
		world_break(w, "%s was killed but has lost nothing", process->name);
	process->kills++;
	process->killed_step = w->steps;
	if (process->running && !process->stubborn)
		later(w, TASK_EXIT, duration(w, w->exit_ns))->process = process - w->processes;
}

static struct world_plan *plan_for(struct world *w, uint32_t kind)
{
	uint32_t i;

	for (i = 0; i < w->n_plans; i++) {
		struct world_plan *plan = &w->plans[i];

		if (plan->kind != kind || !plan->times)
			continue;
		if (plan->nth > 1) {
			plan->nth--;
			continue;
		}
		plan->times--;
		return plan;
	}
	return NULL;
}

static bool needs_intent(uint32_t kind)
{
	return kind == ISO_EFFECT_CREATE_REGION || kind == ISO_EFFECT_CLEAR_REGION ||
	       kind == ISO_EFFECT_REFILL_REGION || kind == ISO_EFFECT_REVOKE ||
	       kind == ISO_EFFECT_CARVE || kind == ISO_EFFECT_HAND_OVER ||
	       kind == ISO_EFFECT_REMOVE || kind == ISO_EFFECT_DETACH_PORT ||
	       kind == ISO_EFFECT_RESCAN_PORT;
}

static void check_intent(struct world *w, const struct iso_effect *effect)
{
	uint32_t i;

	for (i = 0; i < w->n_intended && w->intended[i] != effect->operation; i++)
		;
	if (i < w->n_intended)
		w->intended[i] = w->intended[--w->n_intended];
	else
		world_break(w, "%s without an intent", iso_effect_name(effect->kind));
}

static void take_operation(struct world *w, const struct iso_effect *effect)
{
	uint64_t deed_ns = duration(w, w->operation_ns / 2), end_ns;
	struct world_plan *plan = plan_for(w, effect->kind);
	struct world_task *task;

	if (needs_intent(effect->kind))
		check_intent(w, effect);
	if (effect->kind == ISO_EFFECT_INSPECT && effect->lease != ISO_NONE)
		deed_ns = 0; /* one process is looked at in no time; world_attach() relies on it */
	end_ns = deed_ns + (deed_ns ? duration(w, w->operation_ns / 2) : 0) +
		 (plan ? plan->late_ns : 0);
	task = later(w, TASK_DEED, deed_ns);
	task->effect = *effect;
	task->effect.text = "";
	task->completion = (struct iso_completion){.operation = effect->operation};
	task->effect.at_ns = w->now_ns + end_ns; /* when the completion comes */
	if (plan) {
		task->completion.result = plan->error;
		snprintf(task->completion.message, ISO_TEXT_BYTES, "planned failure of %s",
			 iso_effect_name(effect->kind));
		task->effect.intent = plan->lost | plan->leftover << 1 | (plan->error != 0) << 2;
	} else {
		task->effect.intent = 0;
	}
}

static void trace_note(struct world *w, const struct iso_effect *effect)
{
	size_t room = WORLD_TRACE_BYTES - w->trace_length;
	int n = snprintf(w->trace + w->trace_length, room, "%6llu %s: %s\n",
			 (unsigned long long)(w->now_ns / WORLD_MS), iso_note_name(effect->note),
			 effect->text);

	if ((size_t)n < room)
		w->trace_length += n;
}

static void take_effect(struct world *w, const struct iso_effect *effect)
{
	w->n_effects[effect->kind]++;
	switch ((enum iso_effect_kind)effect->kind) {
	case ISO_EFFECT_REPLY:
		if (effect->request < WORLD_REPLIES)
			w->replies[effect->request] = effect->reply + 1;
		break;
	case ISO_EFFECT_NOTE:
		trace_note(w, effect);
		break;
	case ISO_EFFECT_SAVE_LEASE:
		if (!w->amnesia)
			store_lease(w, effect);
		break;
	case ISO_EFFECT_SAVE_REGION:
		if (!w->amnesia)
			store_region(w, effect);
		break;
	case ISO_EFFECT_SAVE_INCIDENT:
		if (!w->amnesia)
			store_incident(w, effect->incident);
		break;
	default:
		take_operation(w, effect);
	}
}

struct iso_event *world_later(struct world *w, uint64_t ns)
{
	return &later(w, TASK_EVENT, ns)->event;
}

struct iso_effects world_step(struct world *w, const struct iso_event *event)
{
	struct iso_event now = *event;
	const char *broken;
	uint32_t i;

	w->steps++;
	now.now_ns = w->now_ns;
	w->effects = iso_step(w->engine, &now);
	for (i = 0; i < w->effects.n_kills; i++)
		take_kill(w, &w->effects.kills[i]);
	for (i = 0; i < w->effects.n_others; i++)
		take_effect(w, &w->effects.others[i]);
	broken = iso_check(w->engine);
	if (broken)
		world_break(w, "invariant: %s (event %u)", broken, event->kind);
	return w->effects;
}

/* --- time ----------------------------------------------------------------------------------- */

static void do_deed(struct world *w, struct world_task task)
{
	bool lost = task.effect.intent & 1, leftover = task.effect.intent & 2;
	bool fails = task.effect.intent & 4;
	struct world_task *end;

	if (task.life != w->life) /* its worker ended with the daemon */
		return;
	if (task.effect.kind == ISO_EFFECT_OBSERVE) {
		task.picture = fails ? NULL : kernel_picture(w);
	} else if (task.effect.kind == ISO_EFFECT_INSPECT && task.effect.lease == ISO_NONE) {
		/* of everybody: at its end */
	} else if (task.effect.kind != ISO_EFFECT_INTENT && (!fails || leftover)) {
		int32_t error = task.completion.result;

		kernel_do(w, &task.effect, leftover, &task.completion);
		if (fails)
			task.completion.result = error;
		if (task.effect.kind != ISO_EFFECT_VERIFY &&
		    task.effect.kind != ISO_EFFECT_INSPECT && task.effect.kind != ISO_EFFECT_ZERO &&
		    task.effect.kind != ISO_EFFECT_PROVE)
			world_changed(w);
	}
	if (lost) {
		free(task.picture);
		return;
	}
	end = later(w, TASK_COMPLETE,
		    task.effect.at_ns > w->now_ns ? task.effect.at_ns - w->now_ns : 0);
	end->effect = task.effect;
	end->completion = task.completion;
	end->picture = task.picture;
}

static void tell_mappers(struct world *w)
{
	struct iso_observed_mapper mappers[WORLD_PROCESSES];
	struct iso_event event = {.kind = ISO_EVENT_INSPECTION};

	event.inspection.mappers = mappers;
	event.inspection.n_mappers = kernel_mappers(w, mappers, WORLD_PROCESSES);
	event.inspection.uevent_seqnum = w->seqnum;
	world_step(w, &event);
}

static void complete(struct world *w, struct world_task task)
{
	struct iso_event event = {0};

	if (task.life != w->life) {
		free(task.picture);
		return;
	}
	if (task.effect.kind == ISO_EFFECT_INTENT && task.completion.result == 0) {
		cr_assert_lt(w->n_intended, 64);
		w->intended[w->n_intended++] = task.completion.operation;
	}
	if (task.picture) {
		kernel_picture_event(task.picture, &event);
		world_step(w, &event);
		free(task.picture);
		memset(&event, 0, sizeof(event));
	}
	if (task.effect.kind == ISO_EFFECT_INSPECT && task.effect.lease == ISO_NONE &&
	    task.completion.result == 0)
		tell_mappers(w);
	event.kind = ISO_EVENT_COMPLETION;
	event.completion = task.completion;
	world_step(w, &event);
}

void world_exit(struct world *w, uint32_t p)
{
	struct world_process *process = &w->processes[p];
	struct iso_event event = {.kind = ISO_EVENT_VM_EXITED};

	if (!process->running)
		return;
	process->running = false;
	event.exited.lease = process->lease;
	event.exited.lease_epoch = process->lease_epoch;
	if (process->is_vm)
		world_step(w, &event);
}

static void run_task(struct world *w, uint32_t i)
{
	struct world_task task = w->tasks[i];

	w->tasks[i].used = false;
	w->tasks[i].picture = NULL;
	switch (task.kind) {
	case TASK_DEED:
		do_deed(w, task);
		break;
	case TASK_COMPLETE:
		complete(w, task);
		break;
	case TASK_EXIT:
		world_exit(w, task.process);
		break;
	case TASK_EVENT:
		if (task.life == w->life)
			world_step(w, &task.event);
		break;
	}
}

/* Does what is due next, not after `until_ns`. Return: false when there was nothing. */
static bool advance_to_next(struct world *w, uint64_t until_ns)
{
	struct iso_event timer = {.kind = ISO_EVENT_TIMER};
	uint64_t at_ns = iso_next_deadline(w->engine);
	uint32_t i, next = ISO_NONE;

	for (i = 0; i < WORLD_TASKS; i++)
		if (w->tasks[i].used && w->tasks[i].at_ns <= at_ns &&
		    (next == ISO_NONE || w->tasks[i].at_ns < w->tasks[next].at_ns ||
		     (w->tasks[i].at_ns == w->tasks[next].at_ns &&
		      w->tasks[i].order < w->tasks[next].order)))
			next = i;
	if (next != ISO_NONE)
		at_ns = w->tasks[next].at_ns;
	if (at_ns > until_ns)
		return false;
	if (at_ns > w->now_ns)
		w->now_ns = at_ns;
	if (next != ISO_NONE)
		run_task(w, next);
	else
		world_step(w, &timer);
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
static bool quiet(const struct world *w)
{
	uint32_t i;

	for (i = 0; i < WORLD_TASKS; i++)
		if (w->tasks[i].used && w->tasks[i].effect.kind != ISO_EFFECT_OBSERVE &&
		    w->tasks[i].effect.kind != ISO_EFFECT_INSPECT &&
		    w->tasks[i].effect.kind != ISO_EFFECT_VERIFY)
			return false;
	return true;
}

bool world_settle(struct world *w, uint64_t limit_ns)
{
	uint64_t quiet_ns = 0, until_ns = w->now_ns + limit_ns;

	while (!w->broken[0] && w->now_ns < until_ns && quiet_ns < 8 * WORLD_SECOND) {
		world_run(w, 100 * WORLD_MS);
		quiet_ns = quiet(w) ? quiet_ns + 100 * WORLD_MS : 0;
	}
	return quiet_ns >= 8 * WORLD_SECOND;
}
