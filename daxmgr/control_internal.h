/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by control*.c only. */
#ifndef DAXMGR_CONTROL_INTERNAL_H
#define DAXMGR_CONTROL_INTERNAL_H

#include <systemd/sd-varlink.h>

#include "control.h"
#include "note.h"

enum {
	CONTROL_REQUESTS_MAX = 32768, /* open calls that wait for the engine or the store */
	CONTROL_SUBSCRIBERS_MAX = 64,
};

struct control_request;
struct control_subscriber;

struct control {
	struct daemon *daemon;
	sd_event *event;
	sd_varlink_server *server;
	sd_event_source *progress_timer; /* while an Acquire() shows progress */
	sd_event_source *gap_check; /* while a subscriber has a gap to be told */
	struct control_request *requests;
	uint32_t n_requests;
	struct control_subscriber *subscribers;
	uint32_t n_subscribers;
	uint64_t align;
	bool host_may_panic;
	bool stopping;
};

/* Goes on with a record of the store; request->link is not NULL then. */
typedef void (*control_with_record_t)(struct control_request *request,
				      const struct store_event_row *row);

/* Answers the call of `request` when the engine has; request->link is not NULL then. */
typedef int (*control_answer_t)(struct control_request *request, const struct iso_effect *reply);

/* An open call. */
struct control_request {
	struct control *control; /* NULL: the control layer is gone */
	struct control_request *next, *previous;
	sd_varlink *link; /* NULL: the client is gone */
	control_answer_t answer;
	const char *method; /* for the record of operators' actions; NULL: not recorded */
	char object[ISO_PATH_BYTES];
	bool is_acquire;
	bool more; /* wants progress */
	uint32_t lease_state; /* last told */
	char waits_for[ISO_TEXT_BYTES];
	pid_t pid; /* Attach() */
	bool with_timeline; /* ListIncidents() of one */
	control_with_record_t with_record;
	bool flag;   /* of Inject(): live */
	char *words; /* of Inject(): VMs that were named; owned */
};

/* control.c */

/* Return: 0 when the peer may ask, 1 when it may not and was answered. */
int control_admit(sd_varlink *link);
/* As control_admit(), and the engine takes requests. */
int control_admit_request(struct control *control, sd_varlink *link);
int control_error(sd_varlink *link, const char *error_id, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * A copy that JSON takes and a terminal bears: names of files and processes
 * may hold anything. Return: `to`.
 */
const char *control_text(char *to, size_t room, const char *from);
/* Error reply for anything but DONE, ALREADY and WAITING. */
int control_error_reply(sd_varlink *link, const char *object, const struct iso_effect *reply);
struct control_request *control_request_new(struct control *control, sd_varlink *link,
					    control_answer_t answer, const char *object);
void control_request_free(struct control_request *request);
/* Takes the request; answers the call when it cannot be run. */
int control_run(struct control_request *request, struct iso_event *event);
/* For daemon_request() and daemon_attach_process(). */
void control_on_reply(void *userdata, const struct iso_effect *reply, bool last);
/* {outcome: done|already} */
int control_answer_outcome(struct control_request *request, const struct iso_effect *reply);

/* control_json.c */

struct control_list {
	sd_json_variant **items;
	size_t n, room;
};

/* Takes `item`. Return: 0 or negative errno. */
int control_list_add(struct control_list *list, sd_json_variant *item);
/* The array of what was added; frees the list. Return: 0 or negative errno. */
int control_list_end(struct control_list *list, sd_json_variant **ret);
void control_list_clear(struct control_list *list);

/* Each builds one object of varlink_types.c. */
int control_json_region(const struct iso_engine *engine, const struct iso_region_view *region,
			sd_json_variant **ret);
int control_json_lease(const struct iso_engine *engine, const struct iso_lease_view *lease,
		       sd_json_variant **ret);
/* Array of the words of pin_words.h. */
int control_json_pins(uint32_t pins, sd_json_variant **ret);
int control_json_parts(const struct iso_engine *engine, const struct iso_lease_view *lease,
		       sd_json_variant **ret);
int control_json_note(const struct store_note *note, uint64_t seq, const char *boot_id,
		      uint64_t realtime_us, sd_json_variant **ret);
int control_json_event(const struct store_event_row *row, sd_json_variant **ret);
int control_json_incident(const struct store_incident_row *row, const struct store_result *rows,
			  bool with_timeline, sd_json_variant **ret);
int control_json_regions(const struct iso_engine *engine, sd_json_variant **ret);
int control_json_leases(const struct iso_engine *engine, sd_json_variant **ret);
/* Path of a port, NULL when the index names none. */
const char *control_port_path(const struct iso_engine *engine, uint32_t port);

/* control_process.c */

/*
 * May the peer of `link` attach the process behind `pidfd`, which is its own
 * or was sent along, to a lease of `uid`? Return: NULL and its number, or why not.
 */
const char *control_check_process(sd_varlink *link, int pidfd, uid_t uid, pid_t *ret_pid);

/*
 * May an operator have the process behind `pidfd`, whoever started it, watched
 * and killed as a VM? Return: NULL and its number, or why not.
 */
const char *control_check_adopted(int pidfd, pid_t *ret_pid);

/* control_status.c */

/* Does the VM of that lease pin its memory now? */
bool control_lease_pins(const struct iso_lease_view *lease);

/* control_history.c */

/* Answers a call with rows by `reply`, or says that they cannot be read; frees the request. */
void control_answer_query(struct control_request *request, int result,
			  int (*reply)(struct control_request *, const struct store_result *),
			  const struct store_result *rows);
int control_no_store(sd_varlink *link);

/* control_events.c */

/* What ListEvents() and Monitor() ask for. */
struct control_event_parameters {
	const char *source, *kind, *unit, *severity, *domain, *lease, *subscriber;
	uint64_t incident, since;
	uint32_t limit;
	int notes; /* negative when not given */
	bool has_since;
};

/*
 * Reads them. Return: 0; 1 when they are wrong and that was answered; negative errno.
 * Texts are borrowed from `parameters`.
 */
int control_read_event_parameters(sd_varlink *link, sd_json_variant *parameters,
				  struct control_event_parameters *ret,
				  struct store_event_filter *ret_filter);

/* control_monitor.c */

void control_subscribers_drop(struct control *control, sd_varlink *link);
void control_subscribers_free(struct control *control);

/* control_lease.c */

/* Tells Acquire() calls with progress what has changed. */
void control_show_progress(struct control *control);

/* The methods. */
int control_get_status(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_get_topology(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_list_regions(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_create_region(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_destroy_region(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_acquire(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_attach(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_release(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_list_leases(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_what_if(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_list_ports(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_arm_port(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_disarm_port(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_isolate(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_recover(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_confirm(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_list_incidents(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_list_events(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_replay_events(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_acknowledge(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_monitor(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_adopt(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_list_poison(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_read_poison(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_reconcile(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_list_sources(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_get_health(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_list_rules(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_reload_policy(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_explain_record(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_inject(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);
int control_get_workers(sd_varlink *, sd_json_variant *, sd_varlink_method_flags_t, void *);

#endif
