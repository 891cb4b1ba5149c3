/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one durable store: leases, regions, incidents, timelines, events,
 * intents. SQLite in WAL mode, synchronous=FULL.
 *
 * Only one thread touches the database after store_start(). Callers queue
 * plain structs, which are copied, and go on; everything that is queued when
 * the thread looks becomes one transaction. What carries a token comes back
 * through the event loop as callback(userdata, token, result) once it is
 * durable or has failed. What carries none is tried again until the disk takes
 * it; meanwhile store_problem() says so.
 */
#ifndef DAXMGR_STORE_H
#define DAXMGR_STORE_H

#include <isolate/effect.h>
#include <isolate/event.h>
#include <isolate/view.h>

#include <systemd/sd-event.h>

enum {
	STORE_BOOT_ID_BYTES = 33, /* 32 hexadecimal digits and NUL */
	STORE_KIND_BYTES = 48, /* names of events have up to 32 characters */
	STORE_QUEUE_MAX = 16384, /* items waiting for the disk */
	STORE_EVENTS_MAX = 200000, /* older ones are dropped */
	STORE_NOTES_MAX = 200000, /* lines of timelines, not counting those of open incidents */
	STORE_INCIDENTS_MAX = 10000,
	STORE_FIELDS_MAX =
		16384, /* bytes of a record's fields; more are left out, and the text says so */
	STORE_ANSWER_BYTES = 4 << 20, /* of the events of one answer, about */
	STORE_BYTES_MAX = 512 << 20, /* of the database; history is dropped for it */
};

struct store;

struct store_incident {
	uint64_t id;
	uint32_t cause; /* enum iso_cause */
	char unit[ISO_PATH_BYTES];
	char domain[ISO_PATH_BYTES]; /* path of its first root port, may be empty */
	uint64_t record_ns, detected_ns, contained_ns, recovered_ns; /* 0: not yet */
	uint32_t n_killed, n_exited, n_records;
	uint64_t capacity_before_bytes, capacity_after_bytes;
	char held_port[ISO_PATH_BYTES]; /* kept away until `recover`; may be empty */
	bool held_flapping; /* because it was lost too often, else by an operator */
	bool synthetic; /* a drill */
	bool open;
};

/* One line of a timeline. Lines of kind KILL and EXIT with a lease make it a victim. */
struct store_note {
	uint64_t incident; /* 0: none */
	uint64_t at_ns; /* CLOCK_BOOTTIME */
	uint32_t kind; /* enum iso_note_kind */
	char text[ISO_TEXT_BYTES];
	char lease[ISO_NAME_BYTES]; /* empty: none */
	char region[ISO_NAME_BYTES];
	char port[ISO_PATH_BYTES];
	int32_t pid; /* of the lease's VM; 0: not known */
};

enum store_severity {
	STORE_INFO,
	STORE_WARNING, /* corrected, or something was not seen */
	STORE_ERROR,   /* uncorrected; may have cost somebody something */
	STORE_FATAL,   /* calls for containment */
	STORE_SEVERITIES,
};

/* A record of a source. */
struct store_event {
	char source[STORE_KIND_BYTES]; /* "trace", "uevent", ... */
	char kind[STORE_KIND_BYTES]; /* "aer_event", "remove", ...; "gap": something was lost */
	char unit[ISO_PATH_BYTES]; /* whom it names; may be empty */
	char domain[ISO_PATH_BYTES]; /* path of the first root port of its domain; may be empty */
	char lease[ISO_NAME_BYTES]; /* whose memory it is about; may be empty */
	char text[ISO_TEXT_BYTES]; /* decoded, one line */
	uint32_t severity; /* enum store_severity */
	uint64_t at_ns; /* the kernel's timestamp, else when it was read */
	uint32_t cpu;
	bool has_cpu;
	const void *raw; /* as the kernel gave it; copied */
	size_t raw_bytes; /* at most 64 KiB, longer ones are cut and say so in text */
	const char *fields; /* all that was decoded, one JSON object; NULL: nothing; copied */
	uint64_t format; /* of store_save_format(), which `raw` is in; 0: none */
	/*
	 * Hash of all that makes two records the same but for time and CPU; 0:
	 * always a row of its own. Those of one incident within a minute are one row
	 * with the first and the last raw record and their number.
	 */
	uint64_t likeness;
	uint64_t incident; /* 0: none */
	/*
	 * Where it stands in the source's own log, for the mark that is written with it:
	 * page (from 1 on) and index in it of the page spool, or number in the kernel's log.
	 */
	uint64_t page; /* 0: none */
	uint32_t index;
	uint64_t log_sequence;
	bool has_log_sequence;
	uint64_t serial; /* of the memdev it is about */
	bool has_serial;
	uint64_t hpa; /* of the range it is about */
	bool has_hpa;
	uint64_t dpa;
	bool has_dpa;
	uint64_t bytes; /* of that range; 0: not known */
	uint64_t lost; /* of a gap: how many records */
	bool has_lost; /* false: not known how many */
	bool synthetic; /* injected by an operator */
};

struct store_intent {
	uint64_t operation;
	uint32_t kind; /* enum iso_effect_kind of the effect that will follow */
	char object[ISO_PATH_BYTES]; /* region, lease, daxX.Y or port, as people name it */
	uint32_t epoch;
};

/* What an operator did. */
struct store_action {
	uint32_t uid;
	char what[STORE_KIND_BYTES]; /* method */
	char object[ISO_PATH_BYTES];
	char outcome[ISO_TEXT_BYTES];
};

/* What policy keeps new tenants from. */
struct store_fence {
	struct iso_restore_fence fence;
	bool lifted;
};

/* When a rule fired last for one unit, domain or VM. */
struct store_firing {
	char rule[ISO_NAME_BYTES];
	char key[ISO_PATH_BYTES];
	uint64_t digest; /* iso_rule_digest() */
	int64_t realtime_us;
};

/* Durable, or failed: result is 0 or negative errno. Called from the event loop. */
typedef void (*store_done_t)(void *userdata, uint64_t token, int result);

enum store_news {
	STORE_READABLE,  /* an unread database can be read now: start anew */
	STORE_WANTS_ALL, /* damaged in use, or not kept up: store_begin_anew() and save all there is */
};

/* Called from the event loop. */
typedef void (*store_news_t)(void *userdata, enum store_news news);

/*
 * Opens or makes the database at `path`, whose directory must be there.
 * `boot_id` is that of this boot. A damaged file is put aside as
 * PATH.damaged-DATE, a new one begun, and store_hold() says so. A disk that
 * takes no writes, or gives nothing to read, is no failure: store_problem()
 * says so, and the thread tries again. Return: 0, -EPROTONOSUPPORT when a newer
 * version made it, -EMEDIUMTYPE when another program did, -ENOMEM;
 * `ret_message` (may be NULL) gets a sentence the caller frees.
 */
int store_open(const char *path, const char *boot_id, struct store **ret, char **ret_message);

/*
 * Why nothing may be handed out until an operator confirms: leases were lost
 * with a damaged database, now or at an earlier start, or cannot be read. Valid
 * until store_start(). Return: a sentence, or NULL.
 */
const char *store_hold(const struct store *store);

/*
 * What was left could not be read, and this run writes nothing. As soon as it
 * can be read `news` of store_start() tells, and the daemon starts anew.
 */
bool store_is_unread(const struct store *store);

/* Reading what was left, before store_start() only. Callbacks return 0 to go on, else that ends the load. */
int store_load_regions(struct store *store,
		       int (*each)(void *userdata, const struct iso_restore_region *region,
				   bool same_boot),
		       void *userdata);
int store_load_leases(struct store *store,
		      int (*each)(void *userdata, const struct iso_restore_lease *lease,
				  bool same_boot),
		      void *userdata);
/* What operators asked of ports. */
int store_load_ports(struct store *store,
		     int (*each)(void *userdata, const struct iso_restore_port *port,
				 bool same_boot),
		     void *userdata);
/* Incidents that were open. */
int store_load_incidents(struct store *store,
			 int (*each)(void *userdata, const struct iso_restore_incident *incident,
				     bool same_boot),
			 void *userdata);
/* Those of another boot ended with it: they are open no more. Return: 0 or negative errno. */
int store_close_old_incidents(struct store *store);
/* Fences that stand. */
int store_load_fences(struct store *store,
		      int (*each)(void *userdata, const struct iso_restore_fence *fence),
		      void *userdata);
/* The last firing of each rule and of whom it was counted for. */
int store_load_firings(struct store *store,
		       int (*each)(void *userdata, const struct store_firing *firing),
		       void *userdata);
/* Intents without an outcome, oldest first. */
int store_load_intents(struct store *store,
		       int (*each)(void *userdata, const struct store_intent *intent,
				   bool same_boot),
		       void *userdata);
/* Number of the last record that is stored; 0: none. */
int store_load_last_event(struct store *store, uint64_t *ret_id);
/* Number of the last incident ever stored; 0: none. */
int store_load_last_incident(struct store *store, uint64_t *ret_id);

/* Up to where a source's own log was made durable. */
enum store_log {
	STORE_LOG_PAGES, /* of the page spool */
	STORE_LOG_KERNEL, /* the kernel's log of this boot */
	STORE_LOGS,
};

struct store_mark {
	uint64_t page; /* page; or number in the kernel's log */
	uint32_t index; /* of the last record of that page that is durable; 0 for the kernel's log */
};

/*
 * The mark of the log: all up to it is durable. Return: 0; -ENOENT when there is none,
 * or that of the pages is of another spool than `spool` (32 hexadecimal digits), that
 * of the kernel's log of another boot (`spool` is NULL then).
 */
int store_load_mark(struct store *store, enum store_log log, const char *spool,
		    struct store_mark *ret);
/* Names the spool that pages are from now on, before store_start(); empty: one that ends with this process. */
void store_set_spool(struct store *store, const char *spool);

struct store_event_row;

/* What the store tells of records, from the event loop, in the order of their numbers. */
struct store_record_handlers {
	/* All records of that log up to and with the mark are durable: their pages are free. */
	void (*on_mark)(void *userdata, enum store_log log, const struct store_mark *mark);
	/* A record is durable, or more like it were added to it (the same id, a larger count). */
	void (*on_record)(void *userdata, const struct store_event_row *row);
	void *userdata;
};

/* Each of the handlers may be NULL. */
void store_set_record_handlers(struct store *store, const struct store_record_handlers *handlers);
/* Whether somebody wants on_record(); without, records are not kept for it. NULL is fine. */
void store_watch_records(struct store *store, bool watch);

/*
 * Number of the newest event that is durable, 0: none; on_record() tells all that follow once
 * they are watched. Return: false when it is not known, because the database cannot be read.
 */
bool store_newest_event(struct store *store, uint64_t *ret);

/* Bad ranges. Of another boot: times are 0, and what is known by a region only is left out. */
int store_load_poison(struct store *store,
		      int (*each)(void *userdata, const struct iso_restore_poison *poison),
		      void *userdata);

/* A record of a source that compares what it reads with what it told. */
struct store_told {
	char source[STORE_KIND_BYTES];
	char unit[ISO_PATH_BYTES];
	char kind[STORE_KIND_BYTES];
	char text[ISO_TEXT_BYTES];
	const char *fields; /* JSON object; valid during the call */
	uint64_t serial;
	bool has_serial, same_boot;
};

/* The newest records of the sources that are asked, oldest first, of all boots; before store_start(). */
int store_load_told(struct store *store, int (*each)(void *userdata, const struct store_told *told),
		    void *userdata);

/*
 * The newest records of this boot from `since_ns` on (CLOCK_BOOTTIME), and what
 * devices said of themselves at any time of it, oldest first: whose and how bad
 * they are; at_ns is that of the last like it. What was injected is none. Before
 * store_start(). Return: 0, negative errno, or what `each` returned.
 */
int store_load_recent(struct store *store, uint64_t since_ns,
		      int (*each)(void *userdata, const struct store_event *event), void *userdata);

/*
 * What an earlier run of this boot could not write before it ended, found at `path`, in a
 * directory that ends with the boot: a record of kind "gap" of each source is queued, given to
 * `each` once all are, and the file goes once they are durable; none comes twice. What this run
 * cannot write before it ends will be found there. A file that makes no sense is one loss of
 * unknown size, of the source "store". Before store_start(), once. Return: 0 or -ENOMEM.
 */
int store_load_lost(struct store *store, const char *path,
		    void (*each)(void *userdata, const struct store_event *gap), void *userdata);

/* Starts the thread; `done` and `news` (may be NULL) are called from `event`'s loop. */
int store_start(struct store *store, sd_event *event, int64_t priority, store_done_t done,
		store_news_t news, void *userdata);

/* Writes out what is queued (one more try on a failing disk), ends the thread and frees. NULL is fine. */
struct store *store_free(struct store *store);

/*
 * Queueing. Return: 0, or -ENOBUFS when the queue is full: then nothing is
 * kept, it is counted, and no callback follows. Token 0: no callback.
 */
int store_save_lease(struct store *store, const struct iso_restore_lease *lease, uint64_t token);
int store_end_lease(struct store *store, const char *name, uint64_t token);
int store_save_region(struct store *store, const struct iso_restore_region *region, uint64_t token);
int store_forget_region(struct store *store, const char *name, uint64_t token);
int store_save_port(struct store *store, const struct iso_restore_port *port, uint64_t token);
int store_save_incident(struct store *store, const struct store_incident *incident);
int store_save_poison(struct store *store, const struct iso_restore_poison *poison);
/* The place is free. */
int store_forget_poison(struct store *store, uint32_t slot);
int store_save_note(struct store *store, const struct store_note *note);
/*
 * A record. What finds no room is counted, and a record of kind "gap" of the
 * same source with the exact number follows as soon as there is room: then
 * -ENOBUFS is no matter for the caller.
 */
int store_save_event(struct store *store, const struct store_event *event);
/* Whether records find room for a while: a source that can wait, waits until they do. */
bool store_has_room(struct store *store);
/*
 * Keeps the text of a raw format, once however often it is saved; it is durable
 * before any record that is queued later. Return: its number, for
 * store_event.format; 0 when there was no room.
 */
uint64_t store_save_format(struct store *store, const char *system, const char *name,
			   const char *text, size_t bytes);
int store_save_action(struct store *store, const struct store_action *action);
int store_save_fence(struct store *store, const struct iso_restore_fence *fence, bool lifted);
int store_save_firing(struct store *store, const struct store_firing *firing);
int store_intent(struct store *store, const struct store_intent *intent, uint64_t token);
/*
 * Leases, regions and open incidents follow, all of them, then store_end_hold().
 * A start in between finds not all of them, and holds.
 */
int store_begin_anew(struct store *store);
/* All leases are known again, or an operator has confirmed: a later start does not hold any more. */
int store_end_hold(struct store *store);
/* The outcome of an operation of this run: 0 or negative errno. */
int store_intent_done(struct store *store, uint64_t operation, int result);

/* Why the store does not work as it should, a sentence; empty when all is well. `room` at least ISO_TEXT_BYTES. */
void store_problem(struct store *store, char *text, size_t room);

struct store_counters {
	uint64_t committed; /* items made durable */
	uint64_t failed; /* items given up; those with a token were told */
	uint64_t refused; /* not taken because the queue was full */
	uint64_t queued; /* now */
};

void store_count(struct store *store, struct store_counters *ret);

/* ---- queries: answered from the event loop, in order with what was queued before ---- */

struct store_incident_row {
	struct store_incident incident;
	char boot_id[STORE_BOOT_ID_BYTES];
	uint64_t realtime_us;
};

struct store_note_row {
	struct store_note note;
	uint64_t seq;
	char boot_id[STORE_BOOT_ID_BYTES];
	uint64_t realtime_us;
};

struct store_victim_row {
	uint64_t incident;
	char lease[ISO_NAME_BYTES];
	int32_t pid;
	uint64_t killed_ns, exited_ns; /* 0: not seen */
};

struct store_event_row {
	struct store_event event; /* .raw and .fields lie in the result */
	uint64_t id;
	uint64_t count; /* how many records it stands for, at least 1 */
	uint64_t last_at_ns; /* of the last of them */
	const void *last_raw; /* of the last of them; NULL when there is one only */
	size_t last_raw_bytes;
	const char *format_system; /* NULL: not asked for, or not known */
	const char *format_text;
	char boot_id[STORE_BOOT_ID_BYTES];
	uint64_t realtime_us;
};

/* Valid during the callback. */
struct store_result {
	const struct store_incident_row *incidents;
	size_t n_incidents;
	const struct store_victim_row *victims; /* by incident */
	size_t n_victims;
	const struct store_note_row *timeline;
	size_t n_timeline;
	const struct store_event_row *events;
	size_t n_events;
	/* Of store_query_events(), all numbers of events: */
	uint64_t since; /* where it began; of `resume` what to ask on with as `seen` */
	uint64_t oldest; /* of all that are kept; 0: none */
	uint64_t scanned; /* looked at up to this one: `since` for what follows */
	uint64_t newest; /* ever given */
};

typedef void (*store_result_t)(void *userdata, int result, const struct store_result *rows);

/*
 * One incident with its timeline (id != 0; an unknown one: no row), or the
 * newest `limit` ones, newest first. Return: 0 or -ENOBUFS.
 */
int store_query_incidents(struct store *store, uint64_t id, uint32_t limit, store_result_t callback,
			  void *userdata);

/* Which events; what is empty or 0 is not asked for. */
struct store_event_filter {
	char source[STORE_KIND_BYTES];
	char kind[STORE_KIND_BYTES];
	char unit[ISO_PATH_BYTES];
	char domain[ISO_PATH_BYTES];
	char lease[ISO_NAME_BYTES];
	uint64_t incident;
	uint32_t severity; /* at least */
};

/* Whether an event is one of those. */
bool store_event_matches(const struct store_event_filter *filter, const struct store_event *event);

struct store_event_query {
	struct store_event_filter filter;
	uint64_t since; /* those with larger numbers, ... */
	bool resume; /* ... and before them those that have grown since that one was the newest */
	uint64_t seen; /* of those up to this one only what has grown since then; 0: all */
	bool newest; /* the newest of them, else the oldest */
	bool formats; /* with the text of the format of each */
	bool settles; /* rows that are there now grow no more: what follows gets larger numbers */
	uint32_t limit;
	uint32_t bytes; /* about; 0: STORE_ANSWER_BYTES */
	uint32_t scan; /* looks at this many rows at most; 0: at all */
	char subscriber[ISO_NAME_BYTES]; /* since what this one acknowledged, instead; may be empty */
};

/* Events, oldest first. Return: 0 or -ENOBUFS. */
int store_query_events(struct store *store, const struct store_event_query *query,
		       store_result_t callback, void *userdata);

/*
 * Remembers that a subscriber needs no event up to number `id` any more; never goes
 * back. The callback gets 0 once that is durable, -ERANGE for an event that never was.
 * Return: 0 or -ENOBUFS.
 */
int store_acknowledge(struct store *store, const char *subscriber, uint64_t id,
		      store_result_t callback, void *userdata);

/* Name of an enum store_severity, for people, JSON and the tables. Never NULL. */
const char *store_severity_name(uint32_t severity);

#endif
