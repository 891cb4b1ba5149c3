/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control API server: org.daxmgr.Manager on a socket that only root may
 * use. It turns calls into events for the engine and the engine's replies into
 * answers; it decides nothing but who may ask.
 */
#ifndef DAXMGR_CONTROL_H
#define DAXMGR_CONTROL_H

#include <sys/types.h>

#include <isolate/effect.h>
#include <isolate/event.h>
#include <isolate/view.h>

#include <systemd/sd-event.h>

#include "health.h"
#include "source_state.h"
#include "store.h"

struct control;
struct daemon;

/*
 * Listens on `socket_path` (mode 0600) in `event`'s loop. Return: 0 or
 * negative errno.
 */
int control_new(struct daemon *daemon, sd_event *event, const char *socket_path, int64_t priority,
		struct control **ret);

/* Alignment of leases that ask for none, bytes; 0: the engine's. */
void control_set_align(struct control *control, uint64_t align);

/* The operator's consent to VMs that pin their memory; the engine refuses, this only shows it. */
void control_set_host_may_panic(struct control *control, bool consent);

/* Closes all connections; callbacks of requests that are still open may come later and are ignored. */
struct control *control_free(struct control *control);

/* To Monitor() subscribers and to Acquire() calls that show progress. Of ISO_EFFECT_NOTE, before the next iso_step(). */
void control_note(struct control *control, const struct iso_effect *effect);

/* To Monitor() subscribers; of store_record_handlers. */
void control_record(struct control *control, const struct store_event_row *row);

/* ---- what the daemon gives the control layer ---- */

const struct iso_engine *daemon_engine(struct daemon *daemon);

/* The first observation has ended: requests are taken. */
bool daemon_is_ready(struct daemon *daemon);

/* 32 hexadecimal digits. */
const char *daemon_boot_id(struct daemon *daemon);

/* May be NULL: then incidents and events cannot be listed. */
struct store *daemon_store(struct daemon *daemon);

/*
 * One REPLY effect of a request. `last` is false only for ISO_REPLY_WAITING.
 * The effect is borrowed. After the last one the request is forgotten.
 */
typedef void (*daemon_reply_t)(void *userdata, const struct iso_effect *reply, bool last);

/*
 * Gives `event` a request token and the time, and runs iso_step(). The
 * callback may come before this returns. Return: 0, or negative errno when the
 * request could not be taken; then no callback comes.
 */
int daemon_request(struct daemon *daemon, struct iso_event *event, daemon_reply_t reply,
		   void *userdata, uint64_t *ret_request);

/*
 * ATTACH of `lease` to the process behind `pidfd`, which becomes the daemon's
 * in any case. Return: as daemon_request().
 */
int daemon_attach_process(struct daemon *daemon, const char *lease, int pidfd, pid_t pid,
			  daemon_reply_t reply, void *userdata);

/* ADOPT with the process behind `pidfd`; otherwise as daemon_attach_process(). */
int daemon_adopt_process(struct daemon *daemon, const struct iso_adopt *adopt, int pidfd,
			 daemon_reply_t reply, void *userdata);

/* The client that waited for `lease` is gone: runs WITHDRAW. Its request is still answered with WITHDRAWN. */
void daemon_withdraw(struct daemon *daemon, const char *lease);

struct iso_rules;
struct inject;
struct inject_outcome;

/* The rules of policy, never NULL. */
const struct iso_rules *daemon_rules(struct daemon *daemon);
/* Why they are not those that the files say; empty: they are. */
const char *daemon_policy_problem(struct daemon *daemon);
/* As policy_reload(). */
int daemon_reload_policy(struct daemon *daemon,
			 void (*done)(void *userdata, int result, uint32_t n, const char *messages),
			 void *userdata);
/* Configuration allows to inject records that are acted upon. */
bool daemon_may_inject(struct daemon *daemon);
/* As inject_try() and inject_run(). */
int daemon_try(struct daemon *daemon, const struct inject *inject, struct inject_outcome *ret);
void daemon_inject(struct daemon *daemon, const struct inject *inject);
/* Whether anything may be decided about it; else it needs no trial. */
bool daemon_may_decide(struct daemon *daemon, const struct inject *inject);

/* One line of GetStatus() about something the daemon works with. */
struct daemon_component {
	const char *name; /* "store", "trace", "uevents", "guard", "workers"; static */
	const char *state; /* "ok", "degraded", "missing", "failed"; static */
	char text[ISO_TEXT_BYTES];
};

/* Fills at most `room`. Return: how many. */
size_t daemon_components(struct daemon *daemon, struct daemon_component *ret, size_t room);

/* Where the monitor of that VM is, also for later daemons; NULL: where it is by default. */
void daemon_set_monitor(struct daemon *daemon, const char *lease, const char *path);

/* How each source is now. */
const struct source_table *daemon_sources(struct daemon *daemon);

/* One verdict; `scope` is enum health_scope. */
typedef void (*daemon_health_t)(void *userdata, uint32_t scope, const char *unit,
				const struct health_verdict *verdict);

/* All verdicts: the host first, then domains, memory devices and leases. */
void daemon_each_health(struct daemon *daemon, daemon_health_t each, void *userdata);

struct daemon_worker {
	pid_t pid;
	uint32_t lane; /* ISO_NONE: a spare */
	const char *state; /* "idle", "busy", "hung"; static */
	char job[STORE_KIND_BYTES]; /* empty when idle */
	uint64_t since_ns; /* of the job, CLOCK_BOOTTIME */
	char wchan[64]; /* empty: not known */
	char process_state; /* letter of /proc/PID/stat; 0: not known */
};

/* Fills at most `room`. Return: how many. */
size_t daemon_workers(struct daemon *daemon, struct daemon_worker *ret, size_t room);

#endif
