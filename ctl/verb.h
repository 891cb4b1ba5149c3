/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs of daxmgrctl and what they share. */
#ifndef CTL_VERB_H
#define CTL_VERB_H

#include <stdbool.h>

#include "client.h"
#include "format.h"

/* Options that every verb takes, and what follows from them. */
struct context {
	const struct verb *verb;
	const char *socket;
	sd_json_format_flags_t json; /* SD_JSON_FORMAT_OFF: people read it */
	bool yes;
	bool dry_run;
};

struct verb {
	const char *name; /* "region create" */
	const char *usage; /* arguments, e.g. "NAME SERIAL..." */
	const char *summary;
	const char *help; /* options of its own, may be NULL */
	bool asks; /* takes --yes and --dry-run */
	/* argv[0] is the verb's last word. Return: exit status. */
	int (*run)(struct context *context, int argc, char *argv[]);
};

/* Ends with a NULL name. */
extern const struct verb verbs[];

/* options.c */

/*
 * getopt_long() of one verb: handles the common options, --help included.
 * `own` may be NULL; its values must be above 255 and below 1000. Return: an
 * own option's value, -1 at the end, '?' after a message.
 */
struct option;
int verb_option(struct context *context, int argc, char *argv[], const struct option *own);
/* After the options: exactly `least` to `most` arguments. Return: whether, after a message. */
bool verb_arguments(int argc, char *argv[], int least, int most);

/* shared.c */

/* A message and the status that belongs to it. */
int verb_fail(const struct client_failure *failure);
int verb_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
int verb_out_of_memory(void);

/*
 * Connects, calls, and prints the reply when JSON is wanted: then `*ret_reply`
 * is NULL. Takes `parameters` (may be NULL). Return: exit status; not CLIENT_OK
 * after a message.
 */
int verb_call(const struct context *context, const char *method, sd_json_variant *parameters,
	      sd_json_variant **ret_reply);
/* As verb_call(), never prints: for a verb that asks first. */
int verb_ask(const struct context *context, const char *method, sd_json_variant *parameters,
	     sd_json_variant **ret_reply);
/* The whole of a verb without arguments: calls, then prints the reply as JSON or lets `show` do it. */
int verb_ask_and_show(struct context *context, int argc, char *argv[], const char *method,
		      void (*show)(sd_json_variant *reply));
void verb_print_json(const struct context *context, sd_json_variant *object);

/* Asks a person, or takes --yes. Return: whether to go on; says why not. */
bool verb_confirm(const struct context *context, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* {key: text} */
sd_json_variant *verb_parameter(const char *key, const char *text);

/* Return: whether it is a number that the API takes. */
bool verb_number(const char *text, uint64_t most, uint64_t *ret);

/* How long the incidents of a ListIncidents() took. Return: exit status. */
int verb_show_latency(sd_json_variant *incidents);

/* What a WhatIf() reply means, in sentences. */
void verb_show_what_if(sd_json_variant *reply);
/* Whom an eviction in favour of that unit would kill, in sentences. */
void verb_show_eviction(sd_json_variant *reply);

int verb_status(struct context *, int, char *[]);
int verb_topology(struct context *, int, char *[]);
int verb_region_list(struct context *, int, char *[]);
int verb_region_create(struct context *, int, char *[]);
int verb_region_destroy(struct context *, int, char *[]);
int verb_vm_acquire(struct context *, int, char *[]);
int verb_vm_release(struct context *, int, char *[]);
int verb_vm_adopt(struct context *, int, char *[]);
int verb_vm_list(struct context *, int, char *[]);
int verb_vm_show(struct context *, int, char *[]);
int verb_what_if(struct context *, int, char *[]);
int verb_port_list(struct context *, int, char *[]);
int verb_port_show(struct context *, int, char *[]);
int verb_port_arm(struct context *, int, char *[]);
int verb_port_disarm(struct context *, int, char *[]);
int verb_isolate(struct context *, int, char *[]);
int verb_recover(struct context *, int, char *[]);
int verb_confirm_observed(struct context *, int, char *[]);
int verb_incidents(struct context *, int, char *[]);
int verb_events(struct context *, int, char *[]);
int verb_events_replay(struct context *, int, char *[]);
int verb_policy_check(struct context *, int, char *[]);
int verb_policy_list(struct context *, int, char *[]);
int verb_policy_reload(struct context *, int, char *[]);
int verb_policy_explain(struct context *, int, char *[]);
int verb_inject(struct context *, int, char *[]);
int verb_drill(struct context *, int, char *[]);
int verb_monitor(struct context *, int, char *[]);
int verb_reconcile(struct context *, int, char *[]);
int verb_poison_list(struct context *, int, char *[]);
int verb_poison_read(struct context *, int, char *[]);
int verb_doctor(struct context *, int, char *[]);
int verb_sources(struct context *, int, char *[]);
int verb_health(struct context *, int, char *[]);
int verb_workers(struct context *, int, char *[]);

#endif
