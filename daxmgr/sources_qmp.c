/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The monitors of attached VMs. Where one is: what the launcher said at attach
 * (a link in /run/daxmgr/qmp, so that a restarted daemon knows it, too), else
 * /run/daxmgr-vm/NAME.daxmgr.qmp. Not NAME.qmp: a monitor serves one client at a
 * time, and that one is its operator's. A VM without one for the manager is normal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "records.h"
#include "source/qmp.h"
#include "sources_internal.h"

#define LINKS_PATH "/run/daxmgr/qmp"

enum {
	LOOK_USEC = 1000 * 1000,
	TRIES = 6, /* QEMU makes the socket a moment after it became the VM's process */
	PATH_BYTES = sizeof(((struct job_request *)0)->qmp.path),
};

static const uint64_t connect_ns_max = UINT64_C(2000000000), pause_ns = UINT64_C(1000000000),
		      again_ns = UINT64_C(30000000000);

struct qmp_vm {
	struct daemon *daemon;
	struct qmp *qmp; /* NULL: not connected */
	char name[ISO_NAME_BYTES];
	uint32_t epoch;
	uint32_t tries;
	uint64_t next_ns;
};

struct qmp_source {
	sd_event_source *timer;
	struct qmp_vm **vms; /* by lease; NULL: not looked at */
	uint32_t room;
	uint32_t asked; /* lease whose socket a worker connects to; ISO_NONE: none */
	uint32_t asked_epoch;
};

static void vm_free(struct qmp_source *source, uint32_t lease)
{
	struct qmp_vm *vm = source->vms[lease];

	if (!vm)
		return;
	qmp_close(vm->qmp);
	free(vm);
	source->vms[lease] = NULL;
}

/* The entry of that lease as it is now. Return: NULL without memory. */
static struct qmp_vm *get_vm(struct daemon *daemon, uint32_t lease,
			     const struct iso_lease_view *view)
{
	struct qmp_source *source = daemon->qmp;
	struct qmp_vm *vm = source->vms[lease];

	if (vm && vm->epoch != view->epoch) {
		vm_free(source, lease);
		vm = NULL;
	}
	if (vm)
		return vm;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return NULL;
	vm->daemon = daemon;
	vm->epoch = view->epoch;
	snprintf(vm->name, sizeof(vm->name), "%s", view->terms->name);
	source->vms[lease] = vm;
	return vm;
}

static bool make_room(struct qmp_source *source, uint32_t count)
{
	struct qmp_vm **more;

	if (count <= source->room)
		return true;
	more = reallocarray(source->vms, count, sizeof(*more));
	if (!more)
		return false;
	memset(more + source->room, 0, (count - source->room) * sizeof(*more));
	source->vms = more;
	source->room = count;
	return true;
}

/* ---- what a monitor says ---- */

static uint32_t severity_of(const struct qmp_event *event)
{
	switch (event->kind) {
	case QMP_MEMORY_FAILURE:
		return !strcmp(event->action, "fatal") || !strcmp(event->action, "reset")
			       ? STORE_ERROR
			       : STORE_WARNING;
	case QMP_GUEST_PANICKED:
		return STORE_ERROR;
	default:
		return STORE_INFO;
	}
}

static char *build_fields(const struct qmp_event *event)
{
	sd_json_variant *object = NULL;

	sd_json_buildo(&object,
		       SD_JSON_BUILD_PAIR_CONDITION(event->recipient[0] != '\0', "recipient",
						    SD_JSON_BUILD_STRING(event->recipient)),
		       SD_JSON_BUILD_PAIR_CONDITION(event->action[0] != '\0', "action",
						    SD_JSON_BUILD_STRING(event->action)),
		       SD_JSON_BUILD_PAIR_CONDITION(event->reason[0] != '\0', "reason",
						    SD_JSON_BUILD_STRING(event->reason)),
		       SD_JSON_BUILD_PAIR_CONDITION(event->has_action_required, "actionRequired",
						    SD_JSON_BUILD_BOOLEAN(event->action_required)),
		       SD_JSON_BUILD_PAIR_CONDITION(event->has_recursive, "recursive",
						    SD_JSON_BUILD_BOOLEAN(event->recursive)),
		       SD_JSON_BUILD_PAIR_CONDITION(event->has_vm_us, "vmRealtimeUs",
						    SD_JSON_BUILD_UNSIGNED(event->vm_us)));
	return sources_fields(object);
}

static void on_event(void *userdata, const struct qmp_event *event, const char *line, size_t bytes)
{
	struct qmp_vm *vm = userdata;
	struct store_event stored = {.at_ns = clock_boottime_ns(),
				     .severity = severity_of(event),
				     .raw = line,
				     .raw_bytes = bytes};
	_cleanup_free_ char *fields = build_fields(event);

	snprintf(stored.source, sizeof(stored.source), "%s", source_name(SOURCE_QMP));
	snprintf(stored.kind, sizeof(stored.kind), "%s", qmp_kind_name(event->kind));
	snprintf(stored.unit, sizeof(stored.unit), "%s", vm->name);
	snprintf(stored.lease, sizeof(stored.lease), "%s", vm->name);
	snprintf(stored.text, sizeof(stored.text), "%s%s%s%s%s%s%s", stored.kind,
		 event->recipient[0] ? " for " : "", event->recipient,
		 event->action[0] ? ", action " : "", event->action,
		 event->reason[0] ? ", reason " : "", event->reason);
	stored.fields = fields;
	stored.likeness = records_likeness(&stored);
	source_read(&vm->daemon->sources, SOURCE_QMP, stored.at_ns);
	records_take(vm->daemon, &stored);
}

static void on_gap(void *userdata, uint64_t dropped)
{
	struct qmp_vm *vm = userdata;
	struct store_event gap = {0};
	char text[ISO_TEXT_BYTES];

	snprintf(gap.unit, sizeof(gap.unit), "%s", vm->name);
	snprintf(gap.lease, sizeof(gap.lease), "%s", vm->name);
	snprintf(text, sizeof(text), "VM %s sends too much: %llu events left out", vm->name,
		 (unsigned long long)dropped);
	/* What a VM floods its monitor with says nothing of the host: nothing to observe. */
	sources_gap_keep(vm->daemon, SOURCE_QMP, &gap, dropped, text);
}

static void on_end(void *userdata, int error)
{
	struct qmp_vm *vm = userdata;

	vm->qmp = qmp_close(vm->qmp);
	if (error)
		log_line(LOG_WARNING, "monitor of VM %s: %s", vm->name,
			 error == -EBADMSG ? "what it says is not QMP" : strerror(-error));
	/* One that talks nonsense is not asked again. */
	vm->tries = error == -EBADMSG ? TRIES : 0;
	/* One that hangs up again and again keeps no worker busy. */
	vm->next_ns = clock_boottime_ns() + again_ns;
}

/* ---- connecting ---- */

static void find_path(const char *name, char path[PATH_BYTES])
{
	char link[PATH_BYTES];
	ssize_t n;

	snprintf(link, sizeof(link), LINKS_PATH "/%s", name);
	n = readlink(link, path, PATH_BYTES - 1);
	if (n > 0)
		path[n] = '\0';
	else
		snprintf(path, PATH_BYTES, "/run/daxmgr-vm/%s.daxmgr.qmp", name);
}

/* /run is memory: nothing waits here. */
void daemon_set_monitor(struct daemon *daemon, const char *name, const char *path)
{
	char link[PATH_BYTES], made[PATH_BYTES + 8];

	(void)daemon;
	if (mkdir(LINKS_PATH, 0700) < 0 && errno != EEXIST)
		return;
	snprintf(link, sizeof(link), LINKS_PATH "/%s", name);
	snprintf(made, sizeof(made), LINKS_PATH "/.%s", name);
	(void)unlink(made);
	if (!path)
		(void)unlink(link);
	else if (symlink(path, made) == 0 && rename(made, link) < 0)
		(void)unlink(made);
}

static bool ask(struct daemon *daemon, uint32_t lease, const struct iso_lease_view *view,
		struct qmp_vm *vm)
{
	struct job_request request = {
		.kind = JOB_QMP_CONNECT,
		.deadline_ns = clock_boottime_ns() + connect_ns_max,
	};

	request.qmp.uid = view->terms->uid;
	find_path(vm->name, request.qmp.path);
	vm->tries++;
	if (worker_pool_submit(daemon->workers, LANE_SOURCES + (uint32_t)SOURCE_QMP, &request) < 0)
		return false;
	daemon->qmp->asked = lease;
	daemon->qmp->asked_epoch = vm->epoch;
	return true;
}

/* The next one that is due. One at a time: a socket in a directory that hangs holds up the others for a moment. */
static void look(struct daemon *daemon)
{
	uint32_t count = iso_lease_count(daemon->engine);
	uint64_t now = clock_boottime_ns();
	struct qmp_source *source = daemon->qmp;
	struct iso_lease_view view;

	if (source->asked != ISO_NONE || !make_room(source, count))
		return;
	for (uint32_t i = 0; i < count; i++) {
		struct qmp_vm *vm;

		if (!iso_lease_get(daemon->engine, i, &view) || view.state != ISO_LEASE_ATTACHED) {
			vm_free(source, i);
			continue;
		}
		vm = get_vm(daemon, i, &view);
		if (!vm || vm->qmp || vm->tries >= TRIES || vm->next_ns > now)
			continue;
		if (ask(daemon, i, &view, vm))
			return;
	}
}

static void connected(struct daemon *daemon, struct qmp_vm *vm, int fd)
{
	const struct qmp_handlers handlers = {on_event, on_gap, on_end, vm};
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (own >= 0 && qmp_open(daemon->event, PRIORITY_CONTROL, own, &handlers, &vm->qmp) == 0)
		vm->tries = 0;
}

/* How many are heard, for people. */
static void say_state(struct daemon *daemon)
{
	uint32_t heard = 0, n = 0;

	for (uint32_t i = 0; i < daemon->qmp->room; i++) {
		n += daemon->qmp->vms[i] != NULL;
		heard += daemon->qmp->vms[i] && daemon->qmp->vms[i]->qmp;
	}
	source_can_here(&daemon->sources, SOURCE_QMP);
	if (heard && heard < n)
		source_cannot_here(
			&daemon->sources, SOURCE_QMP,
			"anything of %u of %u virtual machines, whose monitors are not heard",
			n - heard, n);
	if (heard || !n)
		source_ok(&daemon->sources, SOURCE_QMP);
	else
		source_not(&daemon->sources, SOURCE_QMP, SOURCE_MISSING,
			   "none of %u virtual machines has a monitor socket for the manager", n);
}

bool qmp_source_done(struct daemon *daemon, const struct job_reply *reply, int fd)
{
	struct qmp_source *source = daemon->qmp;
	int r = reply->completion.result;
	uint32_t lease;
	struct qmp_vm *vm;

	if (reply->kind != JOB_QMP_CONNECT || !source)
		return false;
	lease = source->asked;
	source->asked = ISO_NONE;
	vm = lease < source->room ? source->vms[lease] : NULL;
	source_read(&daemon->sources, SOURCE_QMP, clock_boottime_ns());
	if (vm && vm->epoch == source->asked_epoch) {
		vm->next_ns = clock_boottime_ns() + (pause_ns << (vm->tries < 6 ? vm->tries : 6));
		if (r == 0 && fd >= 0)
			connected(daemon, vm, fd);
		else if (r == -EPERM)
			log_line(LOG_WARNING, "monitor of VM %s: %s", vm->name,
				 reply->completion.message);
		if (r == -EPERM)
			vm->tries = TRIES;
	}
	say_state(daemon);
	look(daemon);
	return true;
}

static int on_look(sd_event_source *timer, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;

	(void)usec;
	if (daemon->ready)
		look(daemon);
	say_state(daemon);
	sd_event_source_set_time_relative(timer, LOOK_USEC);
	return sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void qmp_source_open(struct daemon *daemon)
{
	if (!daemon->config->source_qmp)
		return;
	daemon->qmp = calloc(1, sizeof(*daemon->qmp));
	if (!daemon->qmp)
		return;
	daemon->qmp->asked = ISO_NONE;
	source_ok(&daemon->sources, SOURCE_QMP);
	sd_event_add_time_relative(daemon->event, &daemon->qmp->timer, CLOCK_BOOTTIME, LOOK_USEC, 0,
				   on_look, daemon);
}

void qmp_source_close(struct daemon *daemon)
{
	if (!daemon->qmp)
		return;
	sd_event_source_disable_unref(daemon->qmp->timer);
	for (uint32_t i = 0; i < daemon->qmp->room; i++)
		vm_free(daemon->qmp, i);
	free(daemon->qmp->vms);
	free(daemon->qmp);
	daemon->qmp = NULL;
}
