/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

void world_break(struct world *w, const char *format, ...)
{
	va_list arguments;

	if (w->broken[0])
		return;
	va_start(arguments, format);
	vsnprintf(w->broken, sizeof(w->broken), format, arguments);
	va_end(arguments);
}

/* Nothing was broken, but the run cannot go on: it asks for what this world does not have. */
void world_give_up(struct world *w, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s\n", w->trace);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

void world_room(struct world *w, uint64_t n, uint64_t most)
{
	if (n >= most)
		world_give_up(w, "this world has room for %llu only", (unsigned long long)most);
}

void world_start_engine(struct world *w)
{
	size_t bytes = iso_engine_bytes(&w->limits);

	free(w->memory);
	w->memory = aligned_alloc(64, bytes);
	w->engine = iso_engine_init(w->memory, bytes, &w->limits, &w->policy);
	if (!w->engine)
		world_give_up(w, "no engine can be built with these limits");
	w->life++;
	w->life_ns = w->now_ns;
	w->unwell = false; /* a new engine believes so until it is told */
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
	w->uevent_ns = WORLD_MS;
	w->request = 1;
	world_start_engine(w);
	return w;
}

struct world *world_new(void)
{
	struct iso_limits limits = {8, 32, 32, 8, 24, 48, 48, 96, 16, 12};
	struct iso_policy policy;

	iso_policy_default(&policy);
	policy.flap_losses = 0; /* histories of many losses are not about flapping */
	policy.inspect_ns = 0;
	return world_new_with(&limits, &policy);
}

void world_close(struct world *w)
{
	uint32_t i;

	for (i = 0; i < WORLD_TASKS; i++)
		free(w->tasks[i].picture);
	free(w->memory);
	free(w->synced);
	free(w->batch);
	free(w->trace);
	free(w);
}

void world_free(struct world *w)
{
	if (w->broken[0])
		world_give_up(w, "%s", w->broken);
	world_close(w);
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

	if (process->condemned)
		return true;
	for (i = 0; i < process->n_maps; i++) {
		const struct world_dax *dax = &w->dax[process->maps[i]];

		if (!dax->exists || !dax->bound || w->objects[dax->object].condemned)
			return true;
	}
	return world_poisoned(w, process);
}

static void take_kill(struct world *w, const struct iso_effect *effect, enum world_spoil_kind spoil)
{
	struct world_process *process = process_of(w, effect->lease, effect->lease_epoch);
	uint64_t exit_ns = world_duration(w, w->exit_ns);
	struct world_task *exit;

	w->n_kills++;
	if (!process) {
		world_break(w, "a kill without a process");
		return;
	}
	if (process->running && !w->evicts && !may_be_killed(w, process))
		world_break(w, "%s was killed but has lost nothing", process->name);
	process->kills++;
	process->killed_step = w->steps;
	process->stubborn |= spoil == WORLD_SPOIL_NEVER || spoil == WORLD_SPOIL_LOST;
	if (spoil == WORLD_SPOIL_LATE)
		exit_ns = w->policy.exit_ns + WORLD_SECOND;
	if (!process->running || process->stubborn)
		return;
	exit_ns = world_hold(w, process, effect, exit_ns);
	exit = world_task(w, WORLD_TASK_EXIT, exit_ns);
	exit->process = process - w->processes;
	exit->pid = process->pid;
	exit->stopped = process->stopped_life != 0;
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
	       kind == ISO_EFFECT_RESCAN_PORT || kind == ISO_EFFECT_FORCE_LINK_DOWN ||
	       kind == ISO_EFFECT_CLEAR_ISOLATION || kind == ISO_EFFECT_ARM_PORT;
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

/* Fixed by a test, or found by a sweep: what goes wrong with this one. */
static void plan_failure(struct world *w, struct world_task *task)
{
	struct world_plan *plan = plan_for(w, task->effect.kind);

	if (!plan)
		return;
	task->fails = task->undone = plan->error != 0;
	task->lost = plan->lost;
	task->leftover = plan->leftover;
	task->end_ns += plan->late_ns;
	task->completion.result = plan->error;
	snprintf(task->completion.message, ISO_TEXT_BYTES, "planned failure of %s",
		 iso_effect_name(task->effect.kind));
	w->n_faults++;
}

static void take_operation(struct world *w, const struct iso_effect *effect,
			   enum world_spoil_kind spoil)
{
	uint64_t deed_ns = world_duration(w, w->operation_ns / 2), end_ns = deed_ns;
	struct world_task *task;

	if (needs_intent(effect->kind))
		check_intent(w, effect);
	world_check_operation(w, effect);
	if (effect->kind == ISO_EFFECT_INSPECT && effect->lease != ISO_NONE)
		end_ns = deed_ns =
			0; /* one process is looked at in no time; world_attach() relies on it */
	else
		end_ns += world_duration(w, w->operation_ns / 2);
	task = world_task(w, WORLD_TASK_DEED, deed_ns);
	task->effect = *effect;
	task->effect.text = "";
	if (effect->kind == ISO_EFFECT_INTENT)
		world_store_asked(w);
	task->completion = (struct iso_completion){
		.operation = effect->operation,
		.intent = effect->kind == ISO_EFFECT_INTENT,
	};
	task->end_ns = w->now_ns + end_ns;
	plan_failure(w, task);
	world_spoil_task(task, spoil);
}

static void take_save(struct world *w, const struct iso_effect *effect)
{
	if (w->amnesia || w->disk == WORLD_DISK_FULL)
		return;
	world_store_before(w);
	if (effect->kind == ISO_EFFECT_SAVE_LEASE)
		world_store_lease(w, effect);
	else if (effect->kind == ISO_EFFECT_SAVE_REGION)
		world_store_region(w, effect);
	else if (effect->kind == ISO_EFFECT_SAVE_POISON)
		world_store_poison(w, effect->bad);
	else if (effect->kind == ISO_EFFECT_SAVE_PORT)
		world_store_port(w, effect->port);
	else if (effect->kind == ISO_EFFECT_SAVE_FENCE)
		world_store_fence(w, effect->fence);
	else
		world_store_incident(w, effect->incident);
	world_store_after(w);
}

/* Return: false when the daemon dies here, before the deed. */
static bool take_effect(struct world *w, const struct iso_effect *effect)
{
	enum world_spoil_kind spoil;

	w->n_effects[effect->kind]++;
	world_tell_effect(w, effect);
	if (effect->kind == ISO_EFFECT_REPLY) {
		if (effect->request < WORLD_REPLIES)
			w->replies[effect->request] = effect->reply + 1;
		w->said_to = effect->request;
		snprintf(w->said, sizeof(w->said), "%s", effect->text ? effect->text : "");
		if (effect->request && effect->request == w->attaching.request)
			world_attached(w, effect);
		return true;
	}
	if (effect->kind == ISO_EFFECT_ABANDON) {
		world_abandon(w, effect->abandoned);
		return true;
	}
	if (effect->kind == ISO_EFFECT_NOTE) {
		if (!w->silent)
			world_tell_note(w, effect);
		return true;
	}
	spoil = world_spoil_next(w, effect);
	if (spoil == WORLD_SPOIL_CRASH_BEFORE)
		return false;
	if (effect->kind == ISO_EFFECT_KILL) {
		take_kill(w, effect, spoil);
	} else if (effect->operation) {
		take_operation(w, effect, spoil);
		return true;
	} else {
		take_save(w, effect);
	}
	return spoil != WORLD_SPOIL_CRASH_AFTER;
}

static void take_effects(struct world *w)
{
	uint32_t i;

	for (i = 0; i < w->effects.n_kills; i++)
		if (!take_effect(w, &w->effects.kills[i]))
			goto died;
	for (i = 0; i < w->effects.n_others; i++)
		if (!take_effect(w, &w->effects.others[i]))
			goto died;
	return;
died:
	world_restart(w);
	w->effects = (struct iso_effects){0};
}

struct iso_effects world_step(struct world *w, const struct iso_event *event)
{
	struct iso_event now = *event;
	uint32_t live = world_regions_live(w), life = w->life;
	const char *broken;

	w->steps++;
	now.now_ns = w->now_ns;
	if (event->kind == ISO_EVENT_POISON)
		world_poison_heard(w, &event->poison);
	else if (event->kind == ISO_EVENT_POISON_LIST_READ && event->list_read.complete)
		world_list_heard(w, event->list_read.serial, event->list_read.record_ns);
	w->effects = iso_step(w->engine, &now);
	broken = iso_check(w->engine);
	if (broken)
		world_break(w, "invariant: %s (event %u)", broken, event->kind);
	world_check_loss(w, live);
	if (event->kind == ISO_EVENT_POISON && !event->poison.cleared &&
	    world_domain(w, 0) != ISO_DOMAIN_UNKNOWN)
		world_check_poison(w, &event->poison);
	take_effects(w);
	if (event->kind == ISO_EVENT_SNAPSHOT && w->life == life)
		world_tell_isolations(w);
	if (!w->restoring)
		world_check_fences(w);
	return w->effects;
}
