/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Start: what configuration wants, then what the store remembers, as events
 * before the first observation. What the kernel shows then decides; a crash at
 * any point comes back through here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "log.h"

static int restore_region(void *userdata, const struct iso_restore_region *row, bool same_boot)
{
	struct daemon *daemon = userdata;
	struct iso_restore_region restore = *row;
	struct iso_event event = {
		.kind = ISO_EVENT_RESTORE_REGION,
		.restore_region = &restore,
	};

	/* Another boot numbered its regions anew and forgot what was half made. */
	if (!same_boot) {
		restore.kernel_id = ISO_NONE;
		restore.has_hpa = false;
	}
	daemon_step(daemon, &event);
	return 0;
}

static void adopt_process(struct daemon *daemon, const char *name, pid_t pid, int pidfd)
{
	uint32_t index = iso_lease_find(daemon->engine, name);
	struct iso_lease_view lease;
	int r;

	if (index == ISO_NONE || !iso_lease_get(daemon->engine, index, &lease)) {
		close(pidfd);
		return;
	}
	r = vms_add(daemon->vms, index, lease.epoch, name, pidfd);
	if (r < 0) {
		struct iso_event gone = {
			.kind = ISO_EVENT_VM_EXITED,
			.exited = {.lease = index, .lease_epoch = lease.epoch},
		};

		log_line(LOG_ERR, "%s: process %d cannot be watched: %s", name, pid, strerror(-r));
		daemon_step(daemon, &gone); /* who still maps its memory is found by looking */
		return;
	}
	log_line(LOG_INFO, "%s: process %d adopted", name, pid);
	resume_tell(daemon, index, name);
	/* The kill that was recorded before the crash may not have been sent. */
	if (lease.state == ISO_LEASE_KILLED)
		vms_kill(daemon->vms, index, lease.epoch, 0);
}

static int restore_lease(void *userdata, const struct iso_restore_lease *row, bool same_boot)
{
	struct daemon *daemon = userdata;
	struct iso_restore_lease restore = *row;
	struct iso_event event = {
		.kind = ISO_EVENT_RESTORE_LEASE,
		.restore_lease = &restore,
	};
	pid_t pid = 0;
	int pidfd;

	if (!same_boot) { /* its process and its devices ended with that boot */
		restore.rebooted = true;
		daemon_step(daemon, &event);
		store_end_lease(daemon->store, row->terms.name, 0);
		return 0;
	}
	pidfd = vms_take_stored(daemon->vms, row->terms.name, &pid);
	if (pidfd < 0) { /* the service manager kept none, as after a mask or without systemd */
		pidfd = vms_open_process(row->pid, row->process_start);
		pid = pidfd >= 0 ? row->pid : 0;
	}
	restore.has_process = pidfd >= 0;
	restore.pid = pid;
	/* A later VM of that name: what was recorded of the earlier one is not about it. */
	if (restore.has_process && pid && row->pid && pid != row->pid)
		restore.was_killed = false;
	daemon_step(daemon, &event);
	if (pidfd >= 0)
		adopt_process(daemon, row->terms.name, pid, pidfd);
	return 0;
}

static int restore_port(void *userdata, const struct iso_restore_port *row, bool same_boot)
{
	struct iso_restore_port restore = *row;
	struct iso_event event = {
		.kind = ISO_EVENT_RESTORE_PORT,
		.restore_port = &restore,
	};

	/* What was kept away is there again after a reboot, as everything else; its clock began anew. */
	restore.held &= same_boot;
	restore.link_taken &= same_boot;
	if (!same_boot)
		restore.n_losses = 0;
	daemon_step(userdata, &event);
	return 0;
}

static int restore_incident(void *userdata, const struct iso_restore_incident *row, bool same_boot)
{
	struct iso_restore_incident restore = *row;
	struct iso_event event = {
		.kind = ISO_EVENT_RESTORE_INCIDENT,
		.restore_incident = &restore,
	};

	restore.open = row->open && same_boot;
	restore.rebooted = row->open && !same_boot;
	daemon_step(userdata, &event);
	return 0;
}

static int restore_poison(void *userdata, const struct iso_restore_poison *row)
{
	struct iso_event event = {.kind = ISO_EVENT_RESTORE_POISON, .restore_poison = row};

	daemon_step(userdata, &event);
	return 0;
}

static int restore_fence(void *userdata, const struct iso_restore_fence *row)
{
	struct iso_event event = {.kind = ISO_EVENT_RESTORE_FENCE, .restore_fence = row};

	daemon_step(userdata, &event);
	return 0;
}

static void define_regions(struct daemon *daemon)
{
	size_t i;

	for (i = 0; i < daemon->config->n_regions; i++) {
		struct iso_event event = {
			.kind = ISO_EVENT_REGION_DEFINE,
			.define = {.definition = daemon->config->regions[i]},
		};

		daemon_step(daemon, &event);
	}
}

/* Leases were lost: what the service manager kept says at least which process is which VM. */
static void restore_kept_processes(struct daemon *daemon)
{
	char name[ISO_NAME_BYTES];

	while (vms_left_stored(daemon->vms, name, sizeof(name))) {
		struct iso_restore_lease restore = {.state = ISO_LEASE_ATTACHED,
						    .has_process = true};
		struct iso_event event = {
			.kind = ISO_EVENT_RESTORE_LEASE,
			.restore_lease = &restore,
		};
		pid_t pid = 0;
		int pidfd = vms_take_stored(daemon->vms, name, &pid);

		if (pidfd < 0)
			continue;
		memcpy(restore.terms.name, name, sizeof(name));
		restore.pid = pid;
		daemon_step(daemon, &event);
		adopt_process(daemon, name, pid, pidfd);
	}
}

int restore_all(struct daemon *daemon)
{
	struct iso_event hold = {.kind = ISO_EVENT_HOLD, .hold = store_hold(daemon->store)};
	struct iso_restore_incident last = {0};
	int r;

	if (hold.hold)
		daemon_step(daemon, &hold);
	r = store_load_last_incident(daemon->store, &last.id);
	if (r >= 0 && last.id)
		restore_incident(daemon, &last, false);
	define_regions(daemon);
	if (r >= 0)
		r = store_load_fences(daemon->store, restore_fence, daemon);
	if (r >= 0)
		r = store_load_regions(daemon->store, restore_region, daemon);
	if (r >= 0)
		r = store_load_ports(daemon->store, restore_port, daemon);
	if (r >= 0)
		r = store_load_incidents(daemon->store, restore_incident, daemon);
	if (r >= 0 && store_close_old_incidents(daemon->store) < 0)
		log_line(LOG_WARNING, "incidents of an earlier boot are still listed as open");
	if (r >= 0)
		r = store_load_leases(daemon->store, restore_lease, daemon);
	if (r >= 0)
		r = store_load_poison(daemon->store, restore_poison, daemon);
	if (hold.hold)
		restore_kept_processes(daemon);
	/* A process that no stored lease speaks of is not ours to hold. */
	vms_settle(daemon->vms);
	return r < 0 ? r : 0;
}
