/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "cleanup.h"
#include "clock.h"
#include "inject.h"
#include "log.h"
#include "memory.h"
#include "notify.h"
#include "poison.h"

#define STOPS_PATH "/run/daxmgr/stopped"

enum { SPARE_WORKERS = 6 }; /* as many as a recovery keeps busy at once */

static void queue_push(struct event_queue *queue, const struct iso_event *event)
{
	if (queue->n == queue->room) {
		size_t room = queue->room ? 2 * queue->room : 64;
		struct iso_event *more = reallocarray(queue->events, room, sizeof(*more));

		if (!more)
			abort(); /* a lost completion would never be noticed; a restart reconciles */
		queue->events = more;
		queue->room = room;
	}
	queue->events[queue->n++] = *event;
}

static void arm_timer(struct daemon *daemon)
{
	uint64_t at_ns = iso_next_deadline(daemon->engine);

	if (at_ns == UINT64_MAX) {
		sd_event_source_set_enabled(daemon->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(daemon->timer, (at_ns + 999) / 1000);
	sd_event_source_set_enabled(daemon->timer, SD_EVENT_ONESHOT);
}

static void say_status(struct daemon *daemon)
{
	const struct iso_engine *e = daemon->engine;
	uint32_t i, domains = 0, healthy = 0, attached = 0;
	struct iso_lease_view lease;
	struct iso_port_view port;

	for (i = 0; i < iso_port_count(e); i++) {
		iso_port_get(e, i, &port);
		if (port.kind != ISO_PORT_ROOT || port.domain != i)
			continue;
		domains++;
		healthy += iso_domain_state(e, i) == ISO_DOMAIN_HEALTHY;
	}
	for (i = 0; i < iso_lease_count(e); i++)
		attached += iso_lease_get(e, i, &lease) && lease.state == ISO_LEASE_ATTACHED;
	notify_sendf("STATUS=%u of %u domains healthy, %u VMs, %llu of %llu MiB free", healthy,
		     domains, attached, (unsigned long long)(iso_free_bytes(e) >> 20),
		     (unsigned long long)(iso_capacity_bytes(e) >> 20));
}

static void step_once(struct daemon *daemon, struct iso_event *event)
{
	struct iso_effects effects;

	event->now_ns = clock_boottime_ns();
	effects = iso_step(daemon->engine, event);
	exec_kills(daemon, &effects);
	exec_others(daemon, &effects);
}

void daemon_step(struct daemon *daemon, struct iso_event *event)
{
	struct iso_event next;
	size_t i;

	/* Effects are the engine's until its next step: what they cause waits for its turn. */
	if (daemon->stepping) {
		queue_push(&daemon->queue, event);
		return;
	}
	daemon->stepping = true;
	step_once(daemon, event);
	for (i = 0; i < daemon->queue.n; i++) {
		next = daemon->queue.events[i];
		step_once(daemon, &next);
	}
	daemon->queue.n = 0;
	daemon->stepping = false;
	arm_timer(daemon);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct iso_event event = {.kind = ISO_EVENT_TIMER};

	(void)source;
	(void)usec;
	daemon_step(userdata, &event);
	say_status(userdata);
	return 0;
}

static void on_exited(void *userdata, uint32_t lease, uint32_t epoch)
{
	struct daemon *daemon = userdata;
	struct iso_event event = {
		.kind = ISO_EVENT_VM_EXITED,
		.exited = {.lease = lease, .lease_epoch = epoch},
	};

	daemon_step(daemon, &event);
	vms_forget(daemon->vms, lease);
}

static void on_job(void *userdata, const struct job_reply *reply, int snapshot_fd)
{
	struct daemon *daemon = userdata;
	bool was_ready = daemon->ready;

	exec_job_done(daemon, reply, snapshot_fd);
	if (!was_ready && daemon->ready)
		say_status(daemon);
}

static int build_vms(struct daemon *daemon, uint32_t room)
{
	int r = vms_new(daemon->event, PRIORITY_EXIT, room, on_exited, daemon, &daemon->vms);

	if (r < 0)
		return r;
	r = vms_remember_stops(daemon->vms, STOPS_PATH);
	if (r < 0)
		log_line(LOG_WARNING, "what is stopped cannot be written down: %s: %s", STOPS_PATH,
			 strerror(-r));
	return 0;
}

static int build_engine(struct daemon *daemon)
{
	struct iso_limits limits;
	struct iso_policy policy;
	size_t bytes;

	iso_limits_default(&limits);
	iso_policy_default(&policy);
	config_policy(daemon->config, &policy);
	bytes = daemon->engine_bytes = iso_engine_bytes(&limits);
	daemon->engine_memory = memory_reserve(bytes);
	if (!daemon->engine_memory)
		return -ENOMEM;
	daemon->engine = iso_engine_init(daemon->engine_memory, bytes, &limits, &policy);
	if (!daemon->engine)
		return -EINVAL;
	return build_vms(daemon, limits.leases);
}

static int read_boot_id(struct daemon *daemon)
{
	sd_id128_t id;
	int r = sd_id128_get_boot(&id);

	if (r < 0)
		return r;
	sd_id128_to_string(id, daemon->boot_id);
	return 0;
}

static int open_store(struct daemon *daemon)
{
	char path[512];
	_cleanup_free_ char *message = NULL;
	int r;

	snprintf(path, sizeof(path), "%s/state.db", daemon->config->state_directory);
	r = store_open(path, daemon->boot_id, &daemon->store, &message);
	if (message)
		log_line(r < 0 ? LOG_ERR : LOG_WARNING, "%s", message);
	return r;
}

/* The one path from what is durable to what is believed is a start: VMs do not notice. */
static void on_durable_record(void *userdata, const struct store_event_row *row)
{
	struct daemon *daemon = userdata;

	if (daemon->control)
		control_record(daemon->control, row);
}

static void on_store_news(void *userdata, enum store_news news)
{
	struct daemon *daemon = userdata;

	if (news == STORE_WANTS_ALL) {
		trace_save_formats(daemon->trace);
		save_all(daemon);
		return;
	}
	log_line(LOG_NOTICE, "the database can be read again: starting anew");
	sd_event_exit(daemon->event, -ERESTART);
}

/* Runs before the first observation, in the same lane: nothing is bound before it. */
static int submit_guard(struct daemon *daemon)
{
	struct job_request request = {.kind = JOB_GUARD};

	request.deadline_ns = clock_boottime_ns() + UINT64_C(10000000000);
	return worker_pool_submit(daemon->workers, LANE_OBSERVE, &request);
}

static int start(struct daemon *daemon, const char *root)
{
	const struct store_record_handlers records = {
		.on_mark = sources_on_mark, .on_record = on_durable_record, .userdata = daemon};
	struct iso_event go = {.kind = ISO_EVENT_TIMER};
	int r;

	r = read_boot_id(daemon);
	if (r < 0)
		return r;
	r = build_engine(daemon);
	if (r < 0)
		return r;
	r = sd_event_add_time(daemon->event, &daemon->timer, CLOCK_BOOTTIME, UINT64_MAX, 1000,
			      on_timer, daemon);
	if (r < 0)
		return r;
	sd_event_source_set_priority(daemon->timer, PRIORITY_TIMER);
	r = open_store(daemon);
	if (r < 0)
		return r;
	r = worker_pool_new(daemon->event, root, SPARE_WORKERS, on_job, daemon, &daemon->workers);
	if (r < 0)
		return r;
	r = submit_guard(daemon);
	if (r < 0)
		return r;
	r = isolation_watch_new(daemon, &daemon->isolation);
	if (r < 0)
		return r;
	r = policy_new(daemon, &daemon->policy);
	if (r < 0)
		return r;
	/* Ears first: what happens while the rest is restored waits in the socket and the ring. */
	sources_open(daemon);
	r = restore_all(daemon);
	if (r < 0)
		return r;
	if (policy_history_load(daemon, &daemon->policy_history) < 0)
		log_line(LOG_WARNING, "policy: what was counted and done before is not known");
	store_set_record_handlers(daemon->store, &records);
	r = store_start(daemon->store, daemon->event, PRIORITY_COMPLETION, exec_stored,
			on_store_news, daemon);
	if (r < 0)
		return r;
	r = control_new(daemon, daemon->event, daemon->config->socket_path, PRIORITY_CONTROL,
			&daemon->control);
	if (r < 0)
		return r;
	control_set_align(daemon->control, daemon->config->align);
	control_set_host_may_panic(daemon->control, daemon->config->host_may_panic);
	/* Before anything is made again. */
	health_source_start(daemon);
	daemon_step(daemon, &go);
	return 0;
}

int daemon_new(sd_event *event, const struct config *config, const char *root, struct daemon **ret)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	int r;

	if (!daemon)
		return -ENOMEM;
	daemon->event = sd_event_ref(event);
	daemon->config = config;
	daemon->next_request = 1;
	daemon->started_ns = clock_boottime_ns();
	r = start(daemon, root);
	if (r < 0) {
		daemon_free(daemon);
		return r;
	}
	*ret = daemon;
	return 0;
}

struct daemon *daemon_free(struct daemon *daemon)
{
	struct pending_request *request;

	if (!daemon)
		return NULL;
	daemon->control = control_free(daemon->control);
	sources_close(daemon);
	daemon->isolation = isolation_watch_free(daemon->isolation);
	daemon->workers = worker_pool_free(daemon->workers);
	daemon->policy = policy_free(daemon->policy);
	daemon->store = store_free(daemon->store);
	daemon->policy_history = policy_history_free(daemon->policy_history);
	daemon->vms = vms_free(daemon->vms);
	sd_event_source_disable_unref(daemon->timer);
	sd_event_source_disable_unref(daemon->resume_timer);
	while ((request = daemon->requests)) {
		daemon->requests = request->next;
		if (request->pidfd >= 0)
			close(request->pidfd);
		free(request);
	}
	free(daemon->queue.events);
	memory_release(daemon->engine_memory, daemon->engine_bytes);
	sd_event_unref(daemon->event);
	free(daemon);
	return NULL;
}

/* ---- what control.h asks for ---- */

const struct iso_engine *daemon_engine(struct daemon *daemon)
{
	return daemon->engine;
}

bool daemon_is_ready(struct daemon *daemon)
{
	return daemon->ready;
}

const char *daemon_boot_id(struct daemon *daemon)
{
	return daemon->boot_id;
}

struct store *daemon_store(struct daemon *daemon)
{
	return daemon->store;
}

/* Without a default: the compiler tells of a kind that was forgotten. */
static uint64_t *request_of(struct iso_event *event)
{
	switch ((enum iso_event_kind)event->kind) {
	case ISO_EVENT_ACQUIRE:
		return &event->acquire.request;
	case ISO_EVENT_ATTACH:
		return &event->attach.request;
	case ISO_EVENT_RELEASE:
	case ISO_EVENT_WITHDRAW:
	case ISO_EVENT_REGION_DESTROY:
	case ISO_EVENT_CONFIRM:
		return &event->named.request;
	case ISO_EVENT_REGION_DEFINE:
		return &event->define.request;
	case ISO_EVENT_ISOLATE:
	case ISO_EVENT_RECOVER:
		return &event->port.request;
	case ISO_EVENT_ARM:
		return &event->arm.request;
	case ISO_EVENT_RECONCILE:
		return &event->reconcile.request;
	case ISO_EVENT_ADOPT:
		return &event->adopt.request;
	case ISO_EVENT_POLICY:
		return &event->policy.request;
	case ISO_EVENT_READ_POISON:
		return &event->read_poison.request;
	case ISO_EVENT_TIMER:
	case ISO_EVENT_FAULT:
	case ISO_EVENT_SETTLED:
	case ISO_EVENT_CHANGED:
	case ISO_EVENT_COMPLETION:
	case ISO_EVENT_SNAPSHOT:
	case ISO_EVENT_INSPECTION:
	case ISO_EVENT_VM_EXITED:
	case ISO_EVENT_RESTORE_REGION:
	case ISO_EVENT_RESTORE_LEASE:
	case ISO_EVENT_RESTORE_INCIDENT:
	case ISO_EVENT_RESTORE_POISON:
	case ISO_EVENT_RESTORE_PORT:
	case ISO_EVENT_RESTORE_FENCE:
	case ISO_EVENT_HOLD:
	case ISO_EVENT_ISOLATION_SEEN:
	case ISO_EVENT_HEALTH:
	case ISO_EVENT_POISON:
	case ISO_EVENT_POISON_LIST_READ:
		break;
	}
	return NULL;
}

static int request_with_pidfd(struct daemon *daemon, struct iso_event *event, int pidfd,
			      daemon_reply_t reply, void *userdata, uint64_t *ret_request)
{
	struct pending_request *pending;
	uint64_t *request = request_of(event);

	if (!request)
		return -EINVAL;
	pending = calloc(1, sizeof(*pending));
	if (!pending)
		return -ENOMEM;
	*pending = (struct pending_request){
		.next = daemon->requests,
		.request = daemon->next_request++,
		.reply = reply,
		.userdata = userdata,
		.pidfd = pidfd,
	};
	daemon->requests = pending;
	*request = pending->request;
	if (ret_request)
		*ret_request = pending->request;
	daemon_step(daemon, event);
	return 0;
}

int daemon_request(struct daemon *daemon, struct iso_event *event, daemon_reply_t reply,
		   void *userdata, uint64_t *ret_request)
{
	return request_with_pidfd(daemon, event, -1, reply, userdata, ret_request);
}

int daemon_adopt_process(struct daemon *daemon, const struct iso_adopt *adopt, int pidfd,
			 daemon_reply_t reply, void *userdata)
{
	struct iso_event event = {.kind = ISO_EVENT_ADOPT, .adopt = *adopt};
	int r;

	r = request_with_pidfd(daemon, &event, pidfd, reply, userdata, NULL);
	if (r < 0)
		close(pidfd);
	return r;
}

int daemon_attach_process(struct daemon *daemon, const char *lease, int pidfd, pid_t pid,
			  daemon_reply_t reply, void *userdata)
{
	struct iso_event event = {.kind = ISO_EVENT_ATTACH, .attach.pid = pid};
	int r;

	snprintf(event.attach.name, sizeof(event.attach.name), "%s", lease);
	r = request_with_pidfd(daemon, &event, pidfd, reply, userdata, NULL);
	if (r < 0)
		close(pidfd);
	return r;
}

void daemon_withdraw(struct daemon *daemon, const char *lease)
{
	struct iso_event event = {.kind = ISO_EVENT_WITHDRAW};

	snprintf(event.named.name, sizeof(event.named.name), "%s", lease);
	daemon_step(daemon, &event);
}

const struct iso_rules *daemon_rules(struct daemon *daemon)
{
	return policy_rules(daemon->policy);
}

const char *daemon_policy_problem(struct daemon *daemon)
{
	return policy_problem(daemon->policy);
}

int daemon_reload_policy(struct daemon *daemon, policy_reloaded_t done, void *userdata)
{
	return policy_reload(daemon->policy, done, userdata);
}

bool daemon_may_inject(struct daemon *daemon)
{
	return daemon->config->inject;
}

bool daemon_may_decide(struct daemon *daemon, const struct inject *inject)
{
	const struct store_event *record = &inject->event;
	struct iso_rules_wish wish;
	struct iso_poison poison;

	return inject->has_fault || poison_of_record(record, &poison) ||
	       iso_rules_want(policy_rules(daemon->policy), record->source, record->kind,
			      record->severity, &wish);
}

int daemon_try(struct daemon *daemon, const struct inject *inject, struct inject_outcome *ret)
{
	return inject_try(daemon->engine, policy_rules(daemon->policy), inject, ret);
}

void daemon_inject(struct daemon *daemon, const struct inject *inject)
{
	inject_run(daemon, inject);
}
