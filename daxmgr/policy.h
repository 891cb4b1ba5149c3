/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policy at work: records are given to the rules, what fires is given to the
 * engine as an event, and how it went comes back. The rules decide
 * (isolate/rules.h), the engine acts; this only carries.
 */
#ifndef DAXMGR_POLICY_H
#define DAXMGR_POLICY_H

#include <isolate/rules.h>

#include "job.h"
#include "policy_file.h"
#include "store.h"

struct daemon;
struct policy;

enum {
	POLICY_UNITS_MAX = 4, /* units being started at once */
	POLICY_UNITS_WAITING = 32,
	POLICY_FIELDS_MAX = 64, /* of one record, as rules see them */
};

/* Reads the rules; a set with errors is refused and there are none, which is said. Return: 0 or negative errno. */
int policy_new(struct daemon *daemon, struct policy **ret);
struct policy *policy_free(struct policy *policy);

/* A record, after the engine has seen the fault it may stand for. Before the first look at the host it waits in the store. */
void policy_record(struct policy *policy, const struct store_event *record);
/* `count` of them at their own time; `before`: an earlier daemon has counted them, they fire nothing. */
void policy_take(struct policy *policy, const struct store_event *record, uint64_t count,
		 int64_t at_ns, bool before);
/* What an earlier daemon had done. */
void policy_restore_firing(struct policy *policy, const struct store_firing *firing);
/* How far back rows are wanted: the longest window. */
uint64_t policy_window_ns(const struct policy *policy);

/* policy_history.c: what was counted before, read back. Before store_start(). Return: 0 or negative errno. */
struct policy_history;
int policy_history_load(struct daemon *daemon, struct policy_history **ret);
/* After the first look at the host. NULL is fine. */
void policy_history_begin(struct policy_history *history);
struct policy_history *policy_history_free(struct policy_history *history);

/* How a job ended that started a unit. */
void policy_unit_done(struct policy *policy, const struct job_reply *reply);

/* 0 and what was loaded, or negative errno and why the old set stays. */
typedef void (*policy_reloaded_t)(void *userdata, int result, uint32_t n, const char *messages);

/*
 * Reads the rules anew beside the loop. `done` (may be NULL) is called once, from
 * the loop. Return: 0, -EBUSY while another one is read, other negative errno.
 */
int policy_reload(struct policy *policy, policy_reloaded_t done, void *userdata);

const struct iso_rules *policy_rules(const struct policy *policy);
/* Why there are no rules, or not those that the files say; empty: all is well. */
const char *policy_problem(const struct policy *policy);

/* A record as rules see it; pointers are its own and those of `record`. */
struct policy_view {
	struct iso_record record;
	struct iso_field fields[POLICY_FIELDS_MAX];
	char numbers[POLICY_FIELDS_MAX][24];
	char unit[ISO_PATH_BYTES];
	char domain[ISO_PATH_BYTES];
	struct sd_json_variant *json;
};

/* Looks up unit, domain, and what is wished, of a record. Released by policy_view_clear(). */
void policy_view_make(const struct iso_engine *engine, const struct store_event *record,
		      struct iso_rules_wish wish, struct policy_view *ret);
void policy_view_clear(struct policy_view *view);
/* The event that has the engine do what a rule asks for. */
void policy_event(const struct iso_rules *rules, const struct iso_firing *firing,
		  struct iso_event *ret);

#endif
