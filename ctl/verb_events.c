/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* events, events replay, monitor */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "verb.h"

enum { RECONNECT_NS = 200000000 };

enum {
	OPTION_LIMIT = 256,
	OPTION_SINCE,
	OPTION_SOURCE,
	OPTION_KIND,
	OPTION_UNIT,
	OPTION_SEVERITY,
	OPTION_DOMAIN,
	OPTION_VM,
	OPTION_INCIDENT,
	OPTION_FOLLOW,
	OPTION_RAW,
};

/* Filters are the API's: it says what is wrong with them. */
#define FILTER_OPTIONS                                                                             \
	{"since", required_argument, NULL, OPTION_SINCE},                                          \
		{"source", required_argument, NULL, OPTION_SOURCE},                                \
		{"kind", required_argument, NULL, OPTION_KIND},                                    \
		{"unit", required_argument, NULL, OPTION_UNIT},                                    \
		{"severity", required_argument, NULL, OPTION_SEVERITY},                            \
		{"domain", required_argument, NULL, OPTION_DOMAIN},                                \
		{"vm", required_argument, NULL, OPTION_VM},                                        \
	{                                                                                          \
		"incident", required_argument, NULL, OPTION_INCIDENT                               \
	}

static const struct option events_options[] = {
	FILTER_OPTIONS,
	{"limit", required_argument, NULL, OPTION_LIMIT},
	{"follow", no_argument, NULL, OPTION_FOLLOW},
	{"raw", no_argument, NULL, OPTION_RAW},
	{0},
};

static const struct option replay_options[] = {
	FILTER_OPTIONS,
	{0},
};

static const struct option monitor_options[] = {
	FILTER_OPTIONS,
	{"follow", no_argument, NULL, OPTION_FOLLOW},
	{"raw", no_argument, NULL, OPTION_RAW},
	{0},
};

struct wishes {
	struct context *context;
	const char *source, *kind, *unit, *severity, *domain, *vm;
	uint64_t since, limit, incident;
	bool has_since, follow, raw, no_notes;
};

/* Return: false after a message. */
static bool take(struct wishes *w, int option)
{
	uint64_t *number = option == OPTION_LIMIT   ? &w->limit
			   : option == OPTION_SINCE ? &w->since
						    : &w->incident;

	switch (option) {
	case OPTION_LIMIT:
	case OPTION_SINCE:
	case OPTION_INCIDENT:
		w->has_since |= option == OPTION_SINCE;
		if (verb_number(optarg, option == OPTION_LIMIT ? UINT32_MAX : INT64_MAX, number))
			return true;
		verb_usage_error("'%s' is not a number", optarg);
		return false;
	case OPTION_SOURCE:
		w->source = optarg;
		return true;
	case OPTION_KIND:
		w->kind = optarg;
		return true;
	case OPTION_UNIT:
		w->unit = optarg;
		return true;
	case OPTION_SEVERITY:
		w->severity = optarg;
		return true;
	case OPTION_DOMAIN:
		w->domain = optarg;
		return true;
	case OPTION_VM:
		w->vm = optarg;
		return true;
	case OPTION_FOLLOW:
		w->follow = true;
		return true;
	case OPTION_RAW:
		w->raw = true;
		return true;
	}
	return false;
}

/* Return: false after a message. */
static bool read_wishes(struct wishes *w, int argc, char *argv[], const struct option *options)
{
	int option;

	while ((option = verb_option(w->context, argc, argv, options)) >= 0)
		if (option == '?' || !take(w, option))
			return false;
	return verb_arguments(argc, argv, 0, 0);
}

#define IF(condition, name, value) SD_JSON_BUILD_PAIR_CONDITION(!!(condition), name, value)
#define TEXT                       SD_JSON_BUILD_STRING
#define NUMBER                     SD_JSON_BUILD_UNSIGNED

static int build_filter(const struct wishes *w, sd_json_variant **ret)
{
	return sd_json_buildo(
		ret, IF(w->has_since, "since", NUMBER(w->since)),
		IF(w->source, "source", TEXT(w->source)), IF(w->kind, "kind", TEXT(w->kind)),
		IF(w->unit, "unit", TEXT(w->unit)), IF(w->severity, "severity", TEXT(w->severity)),
		IF(w->domain, "domain", TEXT(w->domain)), IF(w->vm, "lease", TEXT(w->vm)),
		IF(w->incident, "incident", NUMBER(w->incident)));
}

/* As the kernel gave it, 32 bytes a line. */
static void show_raw(sd_json_variant *event, const char *key)
{
	sd_json_variant *raw = sd_json_variant_by_key(event, key);
	uint8_t *bytes = NULL;
	size_t n = 0;

	if (!raw || sd_json_variant_unbase64(raw, (void **)&bytes, &n) < 0)
		return;
	printf("  %s, %zu bytes", key, n);
	for (size_t i = 0; i < n; i++)
		printf(i % 32 ? " %02x" : "\n    %02x", bytes[i]);
	putchar('\n');
	free(bytes);
}

static void show_raws(sd_json_variant *events)
{
	sd_json_variant *event;

	FORMAT_EACH(event, events)
	{
		printf("%" PRIu64 " %s\n", format_number(event, "id"), format_text(event, "kind"));
		show_raw(event, "raw");
		show_raw(event, "lastRaw");
	}
}

static void show_events(sd_json_variant *events)
{
	static const char *const columns[] = {">ID",  "WHEN", "SEVERITY", "SOURCE",
					      "KIND", "UNIT", ">COUNT",   "TEXT"};
	struct libscols_table *table = format_table(columns, 8);
	sd_json_variant *event;
	char text[FORMAT_TIME_BYTES];

	FORMAT_EACH(event, events)
	{
		struct libscols_line *line = format_line(table, NULL);

		format_cell_number(line, 0, format_number(event, "id"));
		format_cell(line, 1, format_realtime(format_number(event, "realtimeUs"), text));
		format_cell(line, 2, format_text(event, "severity"));
		format_cell(line, 3, format_text(event, "source"));
		format_cell(line, 4, format_text(event, "kind"));
		format_cell(line, 5, format_text(event, "unit"));
		format_cell_number(line, 6, format_number(event, "count"));
		format_cell(line, 7, format_text(event, "text"));
	}
	format_print(table, "There are no events.");
}

static void show_event(const struct wishes *w, sd_json_variant *event)
{
	char text[FORMAT_TIME_BYTES];
	uint64_t count = format_number(event, "count");

	printf("%s  %-10s %s %s", format_realtime(format_number(event, "realtimeUs"), text),
	       format_text(event, "kind"), format_text(event, "unit"), format_text(event, "text"));
	if (count > 1)
		printf(" (%" PRIu64 " times)", count);
	putchar('\n');
	if (w->raw) {
		show_raw(event, "raw");
		show_raw(event, "lastRaw");
	}
}

/* Before anything is shown, too, it is known behind which event to go on after a restart of the daemon. */
static void take_newest(struct wishes *w, uint64_t newest)
{
	if (w->has_since && w->since <= newest)
		return;
	if (w->has_since)
		fprintf(stderr,
			"-- the newest event is %" PRIu64 ", and not %" PRIu64
			" or later: numbers began anew with another database\n",
			newest, w->since);
	w->since = w->has_since ? 0 : newest;
	w->has_since = true;
}

static void on_message(void *userdata, sd_json_variant *message, bool last)
{
	struct wishes *w = userdata;
	sd_json_variant *note = format_list(message, "note"),
			*event = format_list(message, "event");
	char text[FORMAT_TIME_BYTES];

	(void)last;
	if (format_has(message, "newest"))
		take_newest(w, format_number(message, "newest"));
	/* After a restart of the daemon it goes on behind this one. */
	if (event && format_number(event, "id") > w->since) {
		w->since = format_number(event, "id");
		w->has_since = true;
	}
	if (sd_json_format_enabled(w->context->json)) {
		verb_print_json(w->context, message);
		return;
	}
	if (note)
		printf("%s  %-10s %s\n", format_realtime(format_number(note, "realtimeUs"), text),
		       format_text(note, "kind"), format_text(note, "text"));
	else if (event)
		show_event(w, event);
	else if (format_has(message, "gap"))
		printf("-- %" PRIu64
		       " messages left out: not read fast enough, or not kept any more\n",
		       format_number(message, "gap"));
	fflush(stdout);
}

/* Return: CLIENT_OK after the last message, which never comes by itself. */
static enum client_status watch(struct wishes *w, bool *ret_connected,
				struct client_failure *failure)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
	_cleanup_(client_close) sd_varlink *link = NULL;
	enum client_status status;

	*ret_connected = false;
	status = client_connect(w->context->socket, &link, failure);
	if (status != CLIENT_OK)
		return status;
	*ret_connected = true;
	if (build_filter(w, &parameters) < 0 ||
	    (w->no_notes && sd_json_variant_set_field_boolean(&parameters, "notes", false) < 0))
		exit(verb_out_of_memory());
	return client_stream(link, CLIENT_METHOD("Monitor"), parameters, on_message, w, failure);
}

static int follow(struct wishes *w)
{
	struct client_failure failure;
	bool connected, once = false;

	/* A restart of the daemon ends nothing else, so it does not end this either. */
	for (;;) {
		if (watch(w, &connected, &failure) == CLIENT_OK)
			return CLIENT_OK;
		if (failure.status != CLIENT_UNREACHABLE || (!connected && !once))
			return verb_fail(&failure);
		if (connected && !w->no_notes)
			fputs("-- daxmgrd is away; notes of meanwhile are shown by 'incidents'\n",
			      stderr);
		once = true;
		nanosleep(&(struct timespec){.tv_nsec = RECONNECT_NS}, NULL);
	}
}

int verb_events(struct context *context, int argc, char *argv[])
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	struct wishes w = {.context = context, .limit = 100, .no_notes = true};
	sd_json_variant *parameters = NULL;
	int status;

	if (!read_wishes(&w, argc, argv, events_options))
		return CLIENT_USAGE;
	if (w.follow)
		return follow(&w);
	if (build_filter(&w, &parameters) < 0 ||
	    sd_json_variant_set_field_unsigned(&parameters, "limit", w.limit) < 0)
		return verb_out_of_memory();
	status = verb_call(context, CLIENT_METHOD("ListEvents"), parameters, &reply);
	if (reply && w.raw)
		show_raws(format_list(reply, "events"));
	else if (reply)
		show_events(format_list(reply, "events"));
	return status;
}

int verb_monitor(struct context *context, int argc, char *argv[])
{
	struct wishes w = {.context = context};

	if (!read_wishes(&w, argc, argv, monitor_options))
		return CLIENT_USAGE;
	return follow(&w);
}

static void show_replayed(struct libscols_table *table, sd_json_variant *replayed)
{
	struct libscols_line *line = format_line(table, NULL);
	sd_json_variant *event = format_list(replayed, "event");
	char words[256];
	bool differs = format_has(replayed, "text") || format_has(replayed, "fields");

	format_cell_number(line, 0, format_number(event, "id"));
	format_cell(line, 1, format_text(event, "kind"));
	format_cell(line, 2, format_text(event, "unit"));
	format_cell(line, 3, differs ? "decoded otherwise" : format_text(replayed, "outcome"));
	format_cell(line, 4, format_text(replayed, "decision"));
	format_cell(line, 5,
		    format_words(format_list(replayed, "victims"), " ", words, sizeof(words)));
	format_cell(line, 6, format_text(replayed, "why"));
}

int verb_events_replay(struct context *context, int argc, char *argv[])
{
	static const char *const columns[] = {">ID",      "KIND", "UNIT", "RECORD",
					      "DECISION", "VMS",  "WHY"};
	struct wishes w = {.context = context, .has_since = true};
	struct libscols_table *table;
	bool more = true;

	if (!read_wishes(&w, argc, argv, replay_options))
		return CLIENT_USAGE;
	table = format_table(columns, 7);
	while (more) {
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
		sd_json_variant *parameters = NULL, *replayed;
		int status;

		if (build_filter(&w, &parameters) < 0)
			return verb_out_of_memory();
		status = verb_ask(context, CLIENT_METHOD("ReplayEvents"), parameters, &reply);
		if (!reply)
			return status;
		if (sd_json_format_enabled(context->json)) {
			verb_print_json(context, reply);
		} else {
			FORMAT_EACH(replayed, format_list(reply, "events"))
			show_replayed(table, replayed);
		}
		w.since = format_number(reply, "next");
		more = format_flag(reply, "more");
	}
	if (!sd_json_format_enabled(context->json))
		format_print(table, "There are no events.");
	return CLIENT_OK;
}
