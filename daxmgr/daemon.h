/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon around the engine: events in, iso_step(), effects out. It may
 * block nowhere, may fail, may not decide.
 *
 * sources.c brings what the kernel says, control.c what people say, restore.c
 * what the store remembers; exec.c carries out what the engine asks for.
 */
#ifndef DAXMGR_DAEMON_H
#define DAXMGR_DAEMON_H

#include <isolate/engine.h>
#include <isolate/view.h>

#include <systemd/sd-event.h>

#include "config.h"
#include "control.h"
#include "isolation_watch.h"
#include "policy.h"
#include "source_state.h"
#include "source/trace.h"
#include "source/uevent.h"
#include "store.h"
#include "vms.h"
#include "worker.h"

/* Lanes of workers: one per isolation domain for what changes it, others beside it. */
enum daemon_lane {
	LANE_CHANGE = 0,     /* + domain: regions, carving, removal, ports */
	LANE_ZERO = 1024,    /* + domain: long, and must not hold up a removal */
	LANE_NODES = 2048,   /* + domain: given and taken back while a change is stuck */
	LANE_VERIFY = 4096,  /* one walk of /proc answers all who wait */
	LANE_ATTACH = 5120,  /* + 0…ATTACH_LANES-1: each looks at one process */
	LANE_UNITS = 5632, /* + 0…POLICY_UNITS_MAX-1: each starts one unit of the service manager */
	LANE_REVOKE = 6144, /* + domain: must not wait behind what hangs */
	LANE_SOURCES = 7168, /* + enum source_id: what has to be asked */
	LANE_POISON = 9216, /* + domain: must not wait behind what changes it */
	LANE_OBSERVE = 8192,
	LANE_ISOLATION, /* root ports' registers are looked for */
	LANE_INSPECT, /* of everybody: a slow walk */
};

enum { ATTACH_LANES = 4 };

/* sd-event priorities: isolation before people before everything else. */
enum daemon_priority {
	PRIORITY_NOTIFY = -110, /* that the loop runs; a storm of records must not hide it */
	PRIORITY_TRACE = -100,
	PRIORITY_EXIT = -90,
	PRIORITY_UEVENT = -80,
	PRIORITY_KERNEL_LOG = -70,
	PRIORITY_COMPLETION = -50,
	PRIORITY_TIMER = -40,
	PRIORITY_CONTROL = 0,
};

struct pending_request {
	struct pending_request *next;
	uint64_t request;
	daemon_reply_t reply;
	void *userdata;
	int pidfd; /* of an attach; -1: none */
};

/* Events that arise while a step's effects are being carried out. */
struct event_queue {
	struct iso_event *events;
	size_t n, room;
};

struct daemon {
	sd_event *event;
	sd_event_source *timer;
	sd_event_source *resume_timer;
	const struct config *config;
	void *engine_memory;
	size_t engine_bytes;
	struct iso_engine *engine;
	struct store *store;
	struct control *control;
	struct vms *vms;
	struct worker_pool *workers;
	struct trace *trace;
	struct uevent_reader *uevents;
	struct isolation_watch *isolation; /* NULL: [Isolation] Mode=off */
	struct source_table sources;
	struct kernel_log_source *kernel_log; /* NULL: off or missing */
	struct polled_sources *polled;
	struct qmp_source *qmp;
	struct host_health *health;
	struct policy *policy;
	struct policy_history *policy_history; /* until it was taken in */
	struct pending_request *requests;
	struct event_queue queue;
	uint64_t next_request;
	uint64_t look; /* operation of the last look at the host, and when it began */
	uint64_t look_began_ns;
	char boot_id[STORE_BOOT_ID_BYTES];
	char trace_problem[ISO_TEXT_BYTES]; /* empty: works */
	char uevent_problem[ISO_TEXT_BYTES];
	char guard_problem[ISO_TEXT_BYTES];
	char memory_problem[ISO_TEXT_BYTES];
	uint64_t started_ns;
	uint64_t n_gaps;
	uint64_t n_gaps_seen; /* by who reads poison lists ... */
	uint64_t gap_seen_ns; /* ... and when he saw the last; 0: none */
	uint64_t poison_overflow_ns; /* when a poison list was told last to hold not all; 0: never */
	bool stepping;
	bool ready;
};

/*
 * Builds everything and restores what was; the loop is the caller's to run.
 * `root` prefixes /sys, /proc and /dev of the workers. Return: 0 or negative
 * errno; what can be lived without is only reported.
 */
int daemon_new(sd_event *event, const struct config *config, const char *root, struct daemon **ret);

/* Lets go of everything; VMs, regions and instances stay as they are. NULL is fine. */
struct daemon *daemon_free(struct daemon *daemon);

/* One event through the engine and its effects out; `event->now_ns` is set here. */
void daemon_step(struct daemon *daemon, struct iso_event *event);

/* exec.c */
void exec_kills(struct daemon *daemon, const struct iso_effects *effects);
void exec_others(struct daemon *daemon, const struct iso_effects *effects);
void exec_job_done(struct daemon *daemon, const struct job_reply *reply, int snapshot_fd);
void exec_stored(void *userdata, uint64_t token, int result);

/* job_build.c: an effect of an operation as a job. Return: the lane. */
uint32_t job_build(const struct iso_engine *engine, const struct iso_effect *effect,
		   struct job_request *ret);
/* What an effect works on, as people name it. */
void job_object_text(const struct iso_engine *engine, const struct iso_effect *effect, char *text,
		     size_t room);

/* poison.c: records that name memory */
/* From a record that is kept; what a trace record says has reached the engine before. */
void poison_take(struct daemon *daemon, const struct store_event *record);
/* Something that would have told of poison was lost: the devices' own lists are read soon. */
void daemon_read_poison_lists(struct daemon *daemon);
/* One is about to be read. */
void poison_list_begin(struct daemon *daemon);
/* A worker has had one read: what it told is in the ring, and is taken in before the reply is. */
void poison_list_done(struct daemon *daemon, const struct job_reply *reply,
		      struct iso_completion *completion);

/* sources.c */
void sources_open(struct daemon *daemon);
void sources_close(struct daemon *daemon);

/* The trace ring alone, for before any daemon runs; what went wrong is told on stderr. Return: 0 or a negative errno. */
int sources_trace_prepare(const struct config *config);
/* A job of a source has been answered. Return: whether it was one. */
bool sources_job_done(struct daemon *daemon, const struct job_reply *reply, int fd);
/* A device's list of poison was read, or could not be. */
void sources_poison_read(struct daemon *daemon, const struct job_reply *reply);
/* What of the table is known to the readers only. */
void sources_refresh(struct daemon *daemon);
/* A record as it means something for health; records_take() gives all of them. */
void health_source_take(struct daemon *daemon, const struct store_event *record);
/* Tells the engine what earlier runs heard of the host and of memdevs. */
void health_source_start(struct daemon *daemon);
/* The store has all lines of the kernel's log up to that number. */
void kernel_log_source_durable(struct daemon *daemon, uint64_t sequence);
/* The store says up to where a source's log is durable; `userdata` is the daemon. */
void sources_on_mark(void *userdata, enum store_log log, const struct store_mark *mark);

/* restore.c: what configuration and store say, as events before the first observation */
int restore_all(struct daemon *daemon);
/* resume.c: VMs that an earlier daemon left stopped, after a look at the host that began then */
void resume_stopped(struct daemon *daemon, uint64_t looked_ns);
/* Says that of one that was just restored. */
void resume_tell(const struct daemon *daemon, uint32_t lease, const char *name);
/* save.c: what the engine believes, as rows */
void save_lease(struct daemon *daemon, const struct iso_effect *effect);
void save_region(struct daemon *daemon, const struct iso_effect *effect);
void save_port(struct daemon *daemon, uint32_t port);
void save_incident(struct daemon *daemon, uint64_t id);
void save_poison(struct daemon *daemon, uint32_t bad);
void save_fence(struct daemon *daemon, uint32_t fence);
void save_all(struct daemon *daemon);

#endif
