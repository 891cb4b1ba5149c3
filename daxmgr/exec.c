/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Effects out, completions back in. The kill pass comes first and does nothing
 * but one system call per VM; everything else follows it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "daemon.h"
#include "inspection_file.h"
#include "log.h"
#include "note.h"
#include "snapshot_file.h"

void exec_kills(struct daemon *daemon, const struct iso_effects *effects)
{
	uint32_t i;

	for (i = 0; i < effects->n_kills; i++)
		vms_kill(daemon->vms, effects->kills[i].lease, effects->kills[i].lease_epoch,
			 effects->kills[i].unbinding);
}

static void complete_stage(struct daemon *daemon, uint64_t operation, bool intent, int result,
			   const char *message)
{
	struct iso_event event = {
		.kind = ISO_EVENT_COMPLETION,
		.completion = {.operation = operation, .intent = intent, .result = result},
	};

	snprintf(event.completion.message, sizeof(event.completion.message), "%s", message);
	daemon_step(daemon, &event);
}

static void complete(struct daemon *daemon, uint64_t operation, int result, const char *message)
{
	complete_stage(daemon, operation, false, result, message);
}

/* The process of a granted attach is watched from here on. */
static enum iso_reply keep_process(struct daemon *daemon, const struct pending_request *pending,
				   const struct iso_effect *effect)
{
	struct iso_effect again = *effect;
	struct iso_lease_view lease;

	if (effect->reply != ISO_REPLY_DONE ||
	    !iso_lease_get(daemon->engine, effect->lease, &lease)) {
		close(pending->pidfd);
		return effect->reply;
	}
	if (vms_add(daemon->vms, effect->lease, effect->lease_epoch, lease.terms->name,
		    pending->pidfd) < 0) {
		struct iso_event gone = {
			.kind = ISO_EVENT_VM_EXITED,
			.exited = {.lease = effect->lease, .lease_epoch = effect->lease_epoch},
		};

		daemon_step(daemon, &gone); /* cannot be watched: as good as gone */
		return ISO_REPLY_NOT_GRANTED;
	}
	/* Again, because only now it is known when the process started. */
	again.text = lease.terms->name;
	save_lease(daemon, &again);
	return effect->reply;
}

static void exec_reply(struct daemon *daemon, const struct iso_effect *effect)
{
	struct pending_request **at = &daemon->requests, *pending;
	struct iso_effect answer = *effect;
	bool last = effect->reply != ISO_REPLY_WAITING;

	while (*at && (*at)->request != effect->request)
		at = &(*at)->next;
	pending = *at;
	if (!pending)
		return;
	if (pending->pidfd >= 0)
		answer.reply = keep_process(daemon, pending, effect);
	if (last)
		*at = pending->next;
	if (pending->reply)
		pending->reply(pending->userdata, &answer, last);
	if (last)
		free(pending);
}

static void exec_note(struct daemon *daemon, const struct iso_effect *effect)
{
	struct store_note note;

	note_from_effect(daemon->engine, effect, &note);
	if (daemon->store)
		store_save_note(daemon->store, &note);
	if (daemon->control)
		control_note(daemon->control, effect);
	log_note(&note);
}

static void exec_intent(struct daemon *daemon, const struct iso_effect *effect)
{
	struct store_intent intent = {.operation = effect->operation, .kind = effect->intent};
	struct iso_region_view region;
	int r;

	job_object_text(daemon->engine, effect, intent.object, sizeof(intent.object));
	if (effect->region != ISO_NONE && iso_region_get(daemon->engine, effect->region, &region))
		intent.epoch = region.epoch;
	r = store_intent(daemon->store, &intent, effect->operation);
	if (r < 0)
		complete_stage(daemon, effect->operation, true, r, "the store takes no intents");
}

static void exec_job(struct daemon *daemon, const struct iso_effect *effect)
{
	struct job_request request;
	uint32_t lane = job_build(daemon->engine, effect, &request);
	struct iso_port_view port;
	int r;

	if (effect->port != ISO_NONE && request.kind != JOB_DETACH_PORT &&
	    request.kind != JOB_RESCAN_PORT && iso_port_get(daemon->engine, effect->port, &port))
		isolation_stand_in(daemon, port.path, &request.isolation);

	if (effect->kind == ISO_EFFECT_READ_POISON)
		poison_list_begin(daemon);
	if (effect->kind == ISO_EFFECT_OBSERVE) {
		daemon->look = effect->operation;
		daemon->look_began_ns = clock_boottime_ns();
	}
	r = worker_pool_submit(daemon->workers, lane, &request);
	if (r < 0) {
		store_intent_done(daemon->store, effect->operation, r);
		complete(daemon, effect->operation, r, "the worker's queue is full");
	}
}

static void exec_other(struct daemon *daemon, const struct iso_effect *effect)
{
	switch ((enum iso_effect_kind)effect->kind) {
	case ISO_EFFECT_REPLY:
		exec_reply(daemon, effect);
		break;
	case ISO_EFFECT_NOTE:
		exec_note(daemon, effect);
		break;
	case ISO_EFFECT_SAVE_LEASE:
		save_lease(daemon, effect);
		break;
	case ISO_EFFECT_SAVE_REGION:
		save_region(daemon, effect);
		break;
	case ISO_EFFECT_SAVE_INCIDENT:
		save_incident(daemon, effect->incident);
		break;
	case ISO_EFFECT_SAVE_POISON:
		save_poison(daemon, effect->bad);
		break;
	case ISO_EFFECT_SAVE_PORT:
		save_port(daemon, effect->port);
		break;
	case ISO_EFFECT_SAVE_FENCE:
		save_fence(daemon, effect->fence);
		break;
	case ISO_EFFECT_INTENT:
		exec_intent(daemon, effect);
		break;
	case ISO_EFFECT_ABANDON:
		worker_pool_abandon(daemon->workers, effect->abandoned);
		break;
	case ISO_EFFECT_OBSERVE:
	case ISO_EFFECT_CREATE_REGION:
	case ISO_EFFECT_REFILL_REGION:
	case ISO_EFFECT_CLEAR_REGION:
	case ISO_EFFECT_CARVE:
	case ISO_EFFECT_ZERO:
	case ISO_EFFECT_PROVE:
	case ISO_EFFECT_HAND_OVER:
	case ISO_EFFECT_RETRACT:
	case ISO_EFFECT_VERIFY:
	case ISO_EFFECT_INSPECT:
	case ISO_EFFECT_REVOKE:
	case ISO_EFFECT_REMOVE:
	case ISO_EFFECT_DETACH_PORT:
	case ISO_EFFECT_RESCAN_PORT:
	case ISO_EFFECT_READ_POISON:
	case ISO_EFFECT_FORCE_LINK_DOWN:
	case ISO_EFFECT_CLEAR_ISOLATION:
	case ISO_EFFECT_ARM_PORT:
		exec_job(daemon, effect);
		break;
	case ISO_EFFECT_KILL:
	case ISO_EFFECT_KINDS:
		break;
	}
}

void exec_others(struct daemon *daemon, const struct iso_effects *effects)
{
	uint32_t i;

	for (i = 0; i < effects->n_others; i++)
		exec_other(daemon, &effects->others[i]);
}

void exec_stored(void *userdata, uint64_t token, int result)
{
	struct daemon *daemon = userdata;
	char problem[ISO_TEXT_BYTES] = "";

	if (result < 0) {
		store_problem(daemon->store, problem, sizeof(problem));
		problem[strcspn(problem, ";")] = '\0'; /* what follows from it is known */
		if (!problem[0])
			snprintf(problem, sizeof(problem), "an intent could not be made durable");
	}
	complete_stage(daemon, token, true, result, problem);
}

static void take_snapshot(struct daemon *daemon, const struct job_reply *reply, int fd)
{
	struct iso_event event = {.kind = ISO_EVENT_SNAPSHOT};
	uint64_t looked_ns = daemon->look_began_ns;
	bool is_last = reply->completion.operation == daemon->look;
	struct snapshot_file file = SNAPSHOT_FILE_NULL;
	int r = snapshot_file_open(fd, &file);

	if (r < 0) {
		complete(daemon, reply->completion.operation, r, "the observation is damaged");
		return;
	}
	event.snapshot = file.snapshot;
	event.answers = reply->completion.operation;
	daemon_step(daemon, &event);
	complete(daemon, reply->completion.operation, 0, "");
	if (is_last)
		resume_stopped(daemon, looked_ns);
	isolation_watch_ports(daemon->isolation);
	if (!daemon->ready) {
		daemon->ready = true; /* from here on records are counted as they come */
		policy_history_begin(daemon->policy_history);
	}
	snapshot_file_close(&file);
}

static void take_inspection(struct daemon *daemon, const struct job_reply *reply, int fd)
{
	struct iso_event event = {.kind = ISO_EVENT_INSPECTION};
	struct inspection_file file = INSPECTION_FILE_NULL;
	int r = inspection_file_open(fd, &file);

	if (r < 0) {
		complete(daemon, reply->completion.operation, r, "the inspection is damaged");
		return;
	}
	event.inspection = file.inspection;
	event.answers = reply->completion.operation;
	daemon_step(daemon, &event);
	complete(daemon, reply->completion.operation, 0, "");
	inspection_file_close(&file);
}

void exec_job_done(struct daemon *daemon, const struct job_reply *reply, int snapshot_fd)
{
	struct iso_event event = {.kind = ISO_EVENT_COMPLETION, .completion = reply->completion};

	if (reply->kind == JOB_ISOLATION_FIND || reply->kind == JOB_ISOLATION_HOST) {
		isolation_watch_found(daemon->isolation, reply, snapshot_fd);
		return;
	}
	if (!reply->completion.operation && sources_job_done(daemon, reply, snapshot_fd))
		return;
	if (reply->kind == JOB_START_UNIT) {
		policy_unit_done(daemon->policy, reply);
		return;
	}
	if (!reply->completion.operation) { /* the guard: the daemon's own, not the engine's */
		snprintf(daemon->guard_problem, sizeof(daemon->guard_problem), "%s",
			 reply->completion.result < 0 ? reply->completion.message : "");
		if (daemon->guard_problem[0])
			log_line(LOG_ERR, "kmem guard: %s", daemon->guard_problem);
		return;
	}
	if (reply->kind == JOB_READ_POISON) {
		sources_poison_read(daemon, reply);
		poison_list_done(daemon, reply, &event.completion);
	}
	/* Of a late reply the engine knows nothing any more, but the store does. */
	store_intent_done(daemon->store, reply->completion.operation, reply->completion.result);
	if (reply->completion.result == 0 && snapshot_fd >= 0) {
		if (reply->kind == JOB_INSPECT)
			take_inspection(daemon, reply, snapshot_fd);
		else
			take_snapshot(daemon, reply, snapshot_fd);
		return;
	}
	daemon_step(daemon, &event);
}
