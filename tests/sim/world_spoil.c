/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes wrong with the nth effect of a run: one way of failing for all that can be asked. */
#include <errno.h>
#include <stdio.h>

#include "world.h"

enum { CRASHES_MAX = 6 /* for ever: somebody has looked at a daemon that dies so often */ };

const char *world_spoil_name(enum world_spoil_kind spoil)
{
	static const char *const names[WORLD_SPOILS] = {
		[WORLD_SPOIL_NONE] = "nothing",
		[WORLD_SPOIL_EBUSY] = "EBUSY",
		[WORLD_SPOIL_EIO] = "EIO",
		[WORLD_SPOIL_ENODEV] = "ENODEV",
		[WORLD_SPOIL_EINVAL] = "EINVAL",
		[WORLD_SPOIL_NEVER] = "never returns",
		[WORLD_SPOIL_LOST] = "done, never returns",
		[WORLD_SPOIL_LATE] = "returns after its deadline",
		[WORLD_SPOIL_TWICE] = "completes twice",
		[WORLD_SPOIL_LIED] = "done, reported failed",
		[WORLD_SPOIL_CRASH_BEFORE] = "crash before",
		[WORLD_SPOIL_CRASH_AFTER] = "crash after",
	};

	return names[spoil];
}

static bool is_crash(enum world_spoil_kind spoil)
{
	return spoil == WORLD_SPOIL_CRASH_BEFORE || spoil == WORLD_SPOIL_CRASH_AFTER;
}

/* A signal has no errno that could be of use; a save is tried by the daemon until it succeeds. */
bool world_spoil_applies(uint32_t effect_kind, enum world_spoil_kind spoil)
{
	switch ((enum iso_effect_kind)effect_kind) {
	case ISO_EFFECT_KILL:
		return is_crash(spoil) || spoil == WORLD_SPOIL_NEVER || spoil == WORLD_SPOIL_LATE;
	case ISO_EFFECT_SAVE_LEASE:
	case ISO_EFFECT_SAVE_REGION:
	case ISO_EFFECT_SAVE_INCIDENT:
	case ISO_EFFECT_SAVE_POISON:
	case ISO_EFFECT_SAVE_PORT:
	case ISO_EFFECT_SAVE_FENCE:
		return is_crash(spoil);
	default:
		return true;
	}
}

static bool is_hit(struct world *w, uint32_t kind)
{
	struct world_spoil *spoil = &w->spoil;

	if (!spoil->nth || w->n_asked < spoil->nth)
		return false;
	if (w->n_asked == spoil->nth) {
		spoil->effect_kind = kind;
		return true;
	}
	return spoil->for_ever && kind == spoil->effect_kind &&
	       (!is_crash(spoil->kind) || spoil->hits < CRASHES_MAX);
}

/* Counts an effect. Return: what goes wrong with it. */
enum world_spoil_kind world_spoil_next(struct world *w, const struct iso_effect *effect)
{
	if (w->n_asked < WORLD_ASKED)
		w->asked[w->n_asked] = effect->kind;
	w->n_asked++;
	if (!is_hit(w, effect->kind) || !world_spoil_applies(effect->kind, w->spoil.kind))
		return WORLD_SPOIL_NONE;
	w->spoil.hits++;
	w->n_faults++;
	return w->spoil.kind;
}

static void fail(struct world_task *task, int32_t error, bool undone)
{
	task->fails = true;
	task->undone = undone;
	task->completion.result = error;
	snprintf(task->completion.message, ISO_TEXT_BYTES, "%s was made to fail",
		 iso_effect_name(task->effect.kind));
}

void world_spoil_task(struct world_task *task, enum world_spoil_kind spoil)
{
	switch (spoil) {
	case WORLD_SPOIL_EBUSY:
		fail(task, -EBUSY, true);
		break;
	case WORLD_SPOIL_EIO:
		fail(task, -EIO, true);
		break;
	case WORLD_SPOIL_ENODEV:
		fail(task, -ENODEV, true);
		break;
	case WORLD_SPOIL_EINVAL:
		fail(task, -EINVAL, true);
		break;
	case WORLD_SPOIL_NEVER:
		task->undone = task->lost = true;
		break;
	case WORLD_SPOIL_LOST:
		task->lost = true;
		break;
	case WORLD_SPOIL_LATE: /* after the engine has given it up */
		task->end_ns = task->effect.deadline_ns + 6 * WORLD_SECOND;
		break;
	case WORLD_SPOIL_TWICE:
		task->twice = true;
		break;
	case WORLD_SPOIL_LIED:
		fail(task, -EIO, false);
		break;
	case WORLD_SPOIL_CRASH_AFTER:
		task->dies = true;
		break;
	case WORLD_SPOIL_NONE:
	case WORLD_SPOIL_CRASH_BEFORE:
	case WORLD_SPOILS:
		break;
	}
}
