/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by store*.c only. */
#ifndef DAXMGR_STORE_INTERNAL_H
#define DAXMGR_STORE_INTERNAL_H

#include <pthread.h>

#include <sqlite3.h>

#include "store.h"
#include "store_block.h"

enum {
	STORE_RAW_MAX = 65536,
	STORE_ACTIONS_MAX = 100000, /* finished intents and operators' actions kept */
	STORE_SHRINK_ROWS = 20000, /* dropped at a time */
	STORE_ROOM_MIN = 1 << 20, /* a disk with less has no room for us */
	STORE_SLOW_SECONDS = 5, /* a write that takes longer is said */
	STORE_RECORDS_BYTES_MAX =
		4 << 20, /* of records that wait for the disk, or for the loop after it */
	STORE_RECENT_MAX = 1024, /* rows that more records may be added to */
	STORE_GROW_ROWS = 4096, /* only the newest rows grow */
	STORE_SOURCES_MAX = 16, /* whose refused records are counted apart */
	STORE_SUBSCRIBERS_MAX = 256, /* whose acknowledgements are kept */
};

/*
 * The intent, of a row of `regions`, that says whether its last creation may have
 * left something half made: the last to make it, or a later one that went well.
 */
#define STORE_CREATION_INTENT                                                                      \
	"(SELECT id FROM intents WHERE object = 'region ' || regions.name AND"                     \
	" (state = 'done' OR kind = 'create-region') ORDER BY id DESC LIMIT 1)"

enum store_item_kind {
	STORE_ITEM_LEASE,
	STORE_ITEM_LEASE_END,
	STORE_ITEM_REGION,
	STORE_ITEM_REGION_END,
	STORE_ITEM_PORT,
	STORE_ITEM_INCIDENT,
	STORE_ITEM_POISON,
	STORE_ITEM_POISON_END,
	STORE_ITEM_NOTE,
	STORE_ITEM_RECORDS,
	STORE_ITEM_FORMAT,
	STORE_ITEM_ACTION,
	STORE_ITEM_FENCE,
	STORE_ITEM_FIRING,
	STORE_ITEM_INTENT,
	STORE_ITEM_INTENT_DONE,
	STORE_ITEM_ANEW,
	STORE_ITEM_HOLD_END,
	STORE_ITEM_QUERY_INCIDENTS,
	STORE_ITEM_QUERY_EVENTS,
	STORE_ITEM_ACKNOWLEDGE,
};

/* Of a port's losses, as text. */
enum { STORE_LOSSES_BYTES = ISO_PORT_LOSSES_MAX * sizeof("18446744073709551615 ") };

/* Arrays of a result while it is built and until its callback returned. */
struct store_rows {
	struct store_incident_row *incidents;
	struct store_victim_row *victims;
	struct store_note_row *timeline;
	struct store_event_row *events; /* what its pointers point to is owned */
	size_t n_incidents, n_victims, n_timeline, n_events;
	uint64_t since, oldest, scanned, newest; /* of struct store_result */
};

struct store_item {
	struct store_item *next;
	enum store_item_kind kind;
	uint64_t token;
	uint64_t realtime_us; /* wall clock of what it is about */
	int result; /* when it comes back */
	store_result_t callback; /* queries */
	void *userdata;
	struct store_rows rows;
	union {
		struct iso_restore_lease lease;
		struct iso_restore_region region;
		struct iso_restore_poison poison; /* POISON; POISON_END: only the slot */
		char name[ISO_NAME_BYTES];
		struct iso_restore_port port;
		struct store_incident incident;
		struct store_note note;
		struct store_block *block; /* owned */
		struct {
			uint64_t number;
			char *system; /* owned; name and text follow it in the same memory */
			const char *name;
			const char *text;
			size_t bytes;
		} format;
		struct store_action action;
		struct store_fence fence;
		struct store_firing firing;
		struct store_intent intent;
		struct {
			uint64_t operation;
			int result;
		} done;
		struct {
			uint64_t id;
			uint32_t limit;
		} query;
		struct store_event_query events;
	};
};

struct store_list {
	struct store_item *first, *last;
	uint64_t n;
};

enum store_statement {
	STORE_STATEMENT_LEASE,
	STORE_STATEMENT_LEASE_END,
	STORE_STATEMENT_LEASE_PARTS_CLEAR,
	STORE_STATEMENT_LEASE_PART,
	STORE_STATEMENT_LEASE_INSTANCES_CLEAR,
	STORE_STATEMENT_LEASE_INSTANCE,
	STORE_STATEMENT_REGION,
	STORE_STATEMENT_REGION_END,
	STORE_STATEMENT_REGION_LEGS_CLEAR,
	STORE_STATEMENT_REGION_LEG,
	STORE_STATEMENT_PORT,
	STORE_STATEMENT_INCIDENT,
	STORE_STATEMENT_INCIDENT_EARLIER,
	STORE_STATEMENT_POISON,
	STORE_STATEMENT_POISON_END,
	STORE_STATEMENT_NOTE,
	STORE_STATEMENT_EVENT,
	STORE_STATEMENT_EVENT_MORE,
	STORE_STATEMENT_FORMAT,
	STORE_STATEMENT_MARK,
	STORE_STATEMENT_ACTION,
	STORE_STATEMENT_FENCE,
	STORE_STATEMENT_FENCE_END,
	STORE_STATEMENT_FIRING,
	STORE_STATEMENT_INTENT,
	STORE_STATEMENT_INTENT_DONE,
	STORE_STATEMENTS,
};

/* A row of records that more may be added to. */
struct store_recent {
	uint64_t key; /* store_block_key() */
	uint64_t id; /* 0: a free place */
	uint64_t at_ns; /* of its first record */
	uint64_t count;
};

/* Records of one source that were lost since the last gap of it was written down. */
struct store_missed {
	char source[STORE_KIND_BYTES];
	uint64_t n; /* with what was lost by gaps among them, ... */
	uint64_t n_unknown; /* ... but for these gaps, which do not know how much that was */
	uint64_t last_ns;
	bool placed; /* they stand in a log of the source */
	struct store_event place; /* only page, index and log_sequence: of the last of them */
};

struct store_losses {
	struct store_missed of[STORE_SOURCES_MAX];
	uint32_t n;
};

struct store {
	/* Only the thread's after store_start(). */
	sqlite3 *db;
	sqlite3_stmt *statements[STORE_STATEMENTS];
	char *path;
	char *directory;
	bool reading; /* what was left could be read but not written: opened anew when that can be */
	bool unread; /* what was left is not known: this run writes nothing */
	char boot_id[STORE_BOOT_ID_BYTES];
	char run_id[STORE_BOOT_ID_BYTES];
	char spool_id[STORE_BOOT_ID_BYTES]; /* of the pages that records name; empty: none */
	uint64_t n_last; /* items of the last transaction */
	uint64_t n_unsaved; /* items written since the last checkpoint, ... */
	uint64_t n_untried; /* ... since the last try of one, ... */
	uint64_t n_untidied; /* ... and since it was looked for anything that is too old */
	struct store_recent *recent; /* STORE_RECENT_MAX places */
	char *lost_path; /* where the next start finds what was lost; NULL: nowhere */
	uint64_t newest_row; /* of events, written last by this connection: what `recent` has is not newer */

	/* The loop's. */
	sd_event_source *source;
	store_done_t done;
	void *userdata;
	store_news_t news;
	struct store_record_handlers record_handlers;
	int event_fd;

	pthread_t thread;
	bool started;

	/* Shared, below the mutex. */
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct store_list queue;
	uint64_t queued_since_ns; /* of CLOCK_MONOTONIC: since when there is something in the queue, ... */
	uint64_t records_since_ns; /* ... and since when blocks; 0: there are none */
	uint64_t n_urgent; /* of the queue: what somebody waits for, or a restart needs */
	struct store_list finished;
	uint64_t newest; /* number of an event that is durable */
	bool knows_newest;
	size_t records_bytes; /* of all blocks, wherever they are */
	struct store_block *spare; /* one to take next; NULL: none */
	struct store_losses missed_records; /* that found no room */
	struct store_losses lost; /* given up, and in no log that is read again */
	struct store_mark marks[STORE_LOGS]; /* durable, and not told yet */
	bool has_mark[STORE_LOGS];
	struct store_counters counters;
	char problem[ISO_TEXT_BYTES]; /* goes away when a write succeeds */
	char tidy_problem[ISO_TEXT_BYTES]; /* of the last tidying */
	char hold[ISO_TEXT_BYTES]; /* stays until an operator confirms */
	uint64_t busy_since_ns; /* what the thread does now with the disk; 0: nothing */
	uint64_t n_lost; /* records that nobody was told about */
	bool can_read; /* an unread database can be read now */
	bool wants_all; /* what is believed is to be saved anew */
	bool missed; /* what a start needs went with a damaged database, or found no room in the queue */
	bool watched; /* somebody wants to see records that are durable */
	bool stop;
};

/* store_schema.c: makes or migrates the tables. Return: 0, -EPROTONOSUPPORT, -EMEDIUMTYPE (not ours), -errno. */
int store_schema_apply(sqlite3 *db);
/* Whether there is nothing to make or migrate. Return: 0, -ENOTSUP, -errno. */
int store_schema_is_new(sqlite3 *db);
/* Writes what is there already, to see whether the disk takes it. Return: an SQLite result code. */
int store_schema_touch(sqlite3 *db);

/* store_load.c: that all a start needs can be read. Return: 0, or negative errno, -EUCLEAN for nonsense. */
int store_load_check(struct store *store);
/* Prepares what is to be loaded. Return: 0, negative errno, or 1 when nothing can be read. */
int store_load_begin(struct store *store, const char *sql, sqlite3_stmt **ret);

/*
 * store_aside.c: marks that leases were lost and renames the database, which is
 * closed, and sets `hold`. Return: 0, or negative errno: then it stands where it was.
 */
int store_set_aside(struct store *store);
/* The mark of an earlier start, into `hold`. */
void store_read_hold(struct store *store);
int store_remove_hold(struct store *store);
/* A mark for while leases are written anew; one that stands is left. Return: 0 or negative errno. */
int store_mark_anew(const struct store *store);

/* store_write.c: one item within the open transaction. Return: an SQLite result code. */
int store_write_item(struct store *store, struct store_item *item);

/* store_write_records.c: the same for a block. */
int store_write_block(struct store *store, struct store_block *block);
int store_write_format(struct store *store, const struct store_item *item);
/* What was written is undone, or the database another: no row may be added to. */
void store_forget_recent(struct store *store);

/* store_records.c, below the mutex */
/* The block is durable (0) or given up: its marks are to be told, its bad records counted. */
void store_block_written(struct store *store, struct store_block *block, int result);
void store_block_drop(struct store *store, struct store_block *block);
/* store_records.c, in the loop. */
void store_tell_marks(struct store *store);
void store_tell_records(struct store *store, struct store_block *block);
/* Writes down as gaps what found no room. `always`: beyond the bound, too. */
void store_queue_gaps(struct store *store, bool always);
/* A block of its own at the end of the queue, below the mutex. Return: NULL without memory. */
struct store_block *store_block_queue(struct store *store);

/* store_lost.c: below the mutex, or when there is no thread. */
/* The line of a source; `placed`: of those that stand in a log of it. */
struct store_missed *store_losses_of(struct store_losses *losses, const char *source, bool placed);
/* One more loss: `count` records, or what a gap says. */
void store_losses_add(struct store_missed *missed, const struct store_event *event, uint64_t count);
/* What a line says of its `unknown` or known losses, but for the text. */
void store_losses_gap(const struct store_missed *missed, bool unknown, struct store_event *ret);
/* A block that is given up. */
void store_lose_block(struct store *store, struct store_block *block);
/* The thread has ended: what it leaves is written down for the next start, or there is nothing to tell. */
void store_keep_lost(struct store *store);
/* What an earlier run had lost is durable. */
void store_lost_told(const struct store *store);

/* store_poison.c: one bad range within the open transaction. Return: an SQLite result code. */
int store_write_poison(struct store *store, const struct iso_restore_poison *poison);
int store_erase_poison(struct store *store, uint32_t slot);

/* store_policy.c: the same of two kinds of items. */
int store_write_fence(struct store *store, const struct store_fence *fence);
int store_write_firing(struct store *store, const struct store_firing *firing);

/* store_query.c: fills item->rows. Return: an SQLite result code. */
int store_query_item(struct store *store, struct store_item *item);
void store_rows_free(struct store_rows *rows);
/* Room for one more, zeroed; grows by doubling. Return: NULL without memory. */
void *store_rows_grow(void **array, size_t n, size_t size);

/* store_query_events.c. Return: SQLite result codes; SQLITE_RANGE: of an event that never was. */
int store_query_event_rows(struct store *store, const struct store_event_query *query,
			   struct store_rows *rows);
/* Of a database that was opened, for store_newest_event(). Return: 0 or negative errno. */
int store_find_newest(struct store *store);
int store_write_acknowledged(struct store *store, const struct store_event_query *query);
void store_event_row_clear(struct store_event_row *row);

/* store_thread.c */
/* The database cannot take anything now, as opposed to this one item. */
bool store_is_trouble(int code);
void *store_thread(void *userdata);
void store_list_add(struct store_list *list, struct store_item *item);
/* store_queue.c, below the mutex: behind what is queued; wakes the thread where it is not to wait for more. */
void store_queue_add(struct store *store, struct store_item *item);
void store_item_free(struct store_item *item);
/* store_queue.c: zeroed, or NULL and counted. */
struct store_item *store_item_new(struct store *store, enum store_item_kind kind, uint64_t token);
/* Takes the item. Return: 0 or -ENOBUFS. */
int store_enqueue(struct store *store, struct store_item *item);
bool store_item_urgent(const struct store_item *item);
/* Puts in `problem` that and why the database cannot be written. */
void store_describe_failure(struct store *store, int error);

/* store_tidy.c: drops what is too old, and brings the log into the file. */
void store_tidy(struct store *store);
/* The same after each transaction while there is no idle moment: when it is time, and a little of it. */
void store_tidy_busy(struct store *store);
/* Drops the oldest history until the database holds at most that. Return: an SQLite result code. */
int store_shrink(sqlite3 *db, int64_t bytes_max);

/* store_open.c */
int store_database_open(struct store *store);
void store_database_close(struct store *store);

/* store.c */
int store_errno(int code);
/* The error, or what is behind it: a disk that is full or read-only. */
int store_cause(const struct store *store, int error);
/* In words, after "it cannot be written: ". */
const char *store_error_text(int error);

/* Binding in order; the first failure stays in .code. */
struct store_binder {
	sqlite3_stmt *statement;
	int at;
	int code;
};

struct store_binder store_bind(struct store *store, enum store_statement which);
void store_bind_number(struct store_binder *binder, uint64_t value);
void store_bind_integer(struct store_binder *binder, int64_t value);
void store_bind_text(struct store_binder *binder, const char *text);
void store_bind_null(struct store_binder *binder);
/* NULL when the text is empty. */
void store_bind_name(struct store_binder *binder, const char *text);
/* Runs and resets. Return: SQLITE_OK or an error. */
int store_bind_run(struct store_binder *binder);

/* Copies a text column; cut to the room, empty for NULL. */
void store_column_text(sqlite3_stmt *statement, int column, char *to, size_t room);
/* Values of our enums by their names. Return: false for a name that is none. */
bool store_value_of(const char *(*name)(uint32_t), uint32_t values, const char *text,
		    uint32_t *ret);

#endif
