/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps of a drill against the daemon, and what it leaves behind taken away again. */
#include "drill_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "record.h"

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

enum { POLL_MS = 50, INCIDENTS_MAX = 64, CLEANUP_SECONDS = 60 };

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void pause_ns(uint64_t ns)
{
	nanosleep(
		&(struct timespec){.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)},
		NULL);
}

int drill_ask(const struct drill_run *run, const char *method, sd_json_variant *parameters,
	      sd_json_variant **ret)
{
	return verb_ask(run->context, method, parameters, ret);
}

static int list_incidents(const struct drill_run *run, uint64_t id, uint64_t limit,
			  sd_json_variant **ret)
{
	sd_json_variant *parameters = NULL;

	if (sd_json_buildo(&parameters,
			   SD_JSON_BUILD_PAIR_CONDITION(id != 0, "id", SD_JSON_BUILD_UNSIGNED(id)),
			   SD_JSON_BUILD_PAIR_UNSIGNED("limit", limit)) < 0)
		return verb_out_of_memory();
	return drill_ask(run, CLIENT_METHOD("ListIncidents"), parameters, ret);
}

/* A drill begins at rest: else nobody can say what came of it. */
static int look_before(struct drill_run *run)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *incident;
	int status = list_incidents(run, 0, INCIDENTS_MAX, &reply);

	if (status != CLIENT_OK)
		return status;
	FORMAT_EACH(incident, format_list(reply, "incidents"))
	{
		if (format_number(incident, "id") > run->last_incident)
			run->last_incident = format_number(incident, "id");
		if (format_flag(incident, "open"))
			return verb_usage_error("incident %" PRIu64
						" is open: a drill begins on a host at rest",
						format_number(incident, "id"));
	}
	return CLIENT_OK;
}

/* ---- waiting ---- */

struct progress {
	uint32_t n, contained, recovered;
};

static int look_at_incidents(struct drill_run *run, struct progress *ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *incident;
	int status = list_incidents(run, 0, INCIDENTS_MAX, &reply);

	*ret = (struct progress){0};
	FORMAT_EACH(incident, format_list(reply, "incidents"))
	{
		if (format_number(incident, "id") <= run->last_incident)
			continue;
		ret->n++;
		ret->contained += format_number(incident, "containedNs") != 0;
		ret->recovered += !format_flag(incident, "open");
	}
	return status;
}

/* State of the element of a list that is called so; "" when there is none. */
static const char *state_of(sd_json_variant *list, const char *key, const char *name)
{
	sd_json_variant *item;

	FORMAT_EACH(item, list)
	{
		if (!strcmp(format_text(item, key), name))
			return format_text(item, "state");
	}
	return "";
}

static int has_state(const struct drill_run *run, const struct drill_step *step, bool *ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	bool is_vm = step->wait == DRILL_WAIT_VM;
	int status = drill_ask(run,
			       is_vm ? CLIENT_METHOD("ListLeases") : CLIENT_METHOD("GetTopology"),
			       NULL, &reply);

	/* A port has the state of its domain, also one that does not give the domain its name. */
	*ret = status == CLIENT_OK &&
	       !strcmp(state_of(format_list(reply, is_vm ? "leases" : "ports"),
				is_vm ? "name" : "path", step->object),
		       step->state);
	return status;
}

static int is_reached(struct drill_run *run, const struct drill_step *step, bool *ret)
{
	struct progress progress;
	int status;

	if (step->wait == DRILL_WAIT_VM || step->wait == DRILL_WAIT_DOMAIN)
		return has_state(run, step, ret);
	status = look_at_incidents(run, &progress);
	*ret = progress.n &&
	       (step->wait == DRILL_WAIT_INCIDENT ||
		(step->wait == DRILL_WAIT_CONTAINED && progress.contained == progress.n) ||
		progress.recovered == progress.n);
	return status;
}

static int wait_for(struct drill_run *run, const struct drill_step *step)
{
	uint64_t end_ns = now_ns() + step->timeout_ns;
	bool reached = false;
	int status;

	if (step->wait == DRILL_WAIT_NOTHING)
		return CLIENT_OK;
	if (step->wait == DRILL_WAIT_TIME) {
		pause_ns(step->wait_ns);
		return CLIENT_OK;
	}
	for (;;) {
		status = is_reached(run, step, &reached);
		if (status != CLIENT_OK || reached)
			return status;
		if (now_ns() >= end_ns)
			return CLIENT_TIMED_OUT;
		pause_ns(POLL_MS * MS);
	}
}

/* ---- steps ---- */

static int inject(const struct drill_run *run, const struct drill_step *step, sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *names = NULL;
	sd_json_variant *parameters = NULL;

	if (record_names(run->named, &names) < 0 ||
	    sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_VARIANT("record", step->inject),
			   SD_JSON_BUILD_PAIR_BOOLEAN("live", run->live),
			   SD_JSON_BUILD_PAIR_VARIANT("vms", names)) < 0)
		return verb_out_of_memory();
	return drill_ask(run, CLIENT_METHOD("Inject"), parameters, ret);
}

/* Without --live: what each record would do to the host as it is now. */
static void show_dry(const struct drill_run *run, const struct drill_step *step,
		     sd_json_variant *reply)
{
	sd_json_variant *line;
	char names[512];

	if (sd_json_format_enabled(run->context->json))
		return;
	format_words(format_list(reply, "victims"), " ", names, sizeof(names));
	printf("%s: would kill %s\n", step->name, names[0] ? names : "nobody");
	FORMAT_EACH(line, format_list(reply, "decisions"))
	printf("  %s\n", sd_json_variant_string(line));
}

static int run_step(struct drill_run *run, uint32_t i)
{
	const struct drill_step *step = &run->drill->steps[i];
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	uint64_t began_ns = now_ns();
	int status = CLIENT_OK;

	if (step->inject)
		status = inject(run, step, &reply);
	if (status == CLIENT_OK && run->live)
		status = wait_for(run, step);
	else if (status == CLIENT_OK && step->inject)
		show_dry(run, step, reply);
	run->step_ns[i] = now_ns() - began_ns;
	if (status == CLIENT_TIMED_OUT)
		fprintf(stderr, "daxmgrctl: %s: step %s: not reached in time\n", run->drill->name,
			step->name);
	return status;
}

/* ---- what came of it ---- */

static int collect_one(struct drill_run *run, uint64_t id)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *incident;
	int status = list_incidents(run, id, 1, &reply);

	if (status != CLIENT_OK)
		return status;
	incident = sd_json_variant_by_index(format_list(reply, "incidents"), 0);
	if (!incident)
		return CLIENT_OK;
	if (!decisions_add(&run->decisions, incident) ||
	    sd_json_variant_append_array(&run->incidents, incident) < 0)
		return verb_out_of_memory();
	return CLIENT_OK;
}

static int collect(struct drill_run *run)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *list;
	int status = list_incidents(run, 0, INCIDENTS_MAX, &reply);

	list = format_list(reply, "incidents");
	/* Newest first. */
	for (size_t i = sd_json_variant_elements(list); status == CLIENT_OK && i > 0; i--) {
		uint64_t id = format_number(sd_json_variant_by_index(list, i - 1), "id");

		if (id > run->last_incident)
			status = collect_one(run, id);
	}
	return status;
}

/* ---- cleaning up ---- */

/* What has to be recovered so that a domain is as before; "": nothing. */
static void remedy_of(sd_json_variant *domain, char object[128])
{
	const char *state = format_text(domain, "state"), *reason = format_text(domain, "reason");

	object[0] = '\0';
	if (!strcmp(state, "isolated") || !strcmp(state, "quarantined") ||
	    strstr(reason, "fenced by rule"))
		snprintf(object, 128, "%s", format_text(domain, "domain"));
	else if (strstr(reason, "retired by rule"))
		sscanf(reason, "memdev %127s", object);
}

static int recover(struct drill_run *run, const char *object)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL, *name = NULL;
	sd_json_variant *parameters = verb_parameter("port", object);

	if (!parameters || sd_json_variant_new_string(&name, object) < 0 ||
	    sd_json_variant_append_array(&run->cleaned, name) < 0)
		return verb_out_of_memory();
	return drill_ask(run, CLIENT_METHOD("Recover"), parameters, &reply);
}

/* Return: exit status; `ret_done`: all domains are healthy and nothing is fenced. */
static int clean_once(struct drill_run *run, bool *ret_done)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *domain;
	int status = drill_ask(run, CLIENT_METHOD("GetStatus"), NULL, &reply);
	char object[128];

	*ret_done = status == CLIENT_OK;
	FORMAT_EACH(domain, format_list(reply, "domains"))
	{
		remedy_of(domain, object);
		*ret_done &= !strcmp(format_text(domain, "state"), "healthy") && !object[0];
		if (object[0] && status == CLIENT_OK)
			status = recover(run, object);
	}
	return status;
}

/* The record that says that a range which was injected as bad is good again. NULL: it named none. */
static sd_json_variant *antidote(sd_json_variant *record)
{
	static const char *const names[] = {"memdev", "serial", "dpa", "dpa_length", "hpa"};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *clear = NULL;
	sd_json_variant *fields = sd_json_variant_by_key(record, "fields"), *value, *ret = NULL;
	int r = 0;

	if (strncmp(format_text(record, "kind"), "cxl_", 4) || !fields ||
	    !(sd_json_variant_by_key(fields, "dpa") || sd_json_variant_by_key(fields, "hpa")))
		return NULL;
	for (size_t i = 0; r >= 0 && i < sizeof(names) / sizeof(names[0]); i++)
		if ((value = sd_json_variant_by_key(fields, names[i])))
			r = sd_json_variant_set_field(&clear, names[i], value);
	if (r >= 0)
		r = sd_json_variant_set_field_unsigned(&clear, "trace_type", 2);
	if (r < 0 || sd_json_buildo(&ret, SD_JSON_BUILD_PAIR_STRING("source", "trace"),
				    SD_JSON_BUILD_PAIR_STRING("kind", "cxl_poison"),
				    SD_JSON_BUILD_PAIR_VARIANT("fields", clear)) < 0)
		return NULL;
	return ret;
}

/* What was injected as bad is said to be good, and the devices' own lists, which never had it, are read. */
static int clear_poison(const struct drill_run *run)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *read = NULL;
	int status = CLIENT_OK;
	bool any = false;

	for (uint32_t i = 0; status == CLIENT_OK && i < run->n_steps; i++) {
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *record = NULL, *reply = NULL;
		struct drill_step step = {0};

		if (run->drill->steps[i].inject)
			record = antidote(run->drill->steps[i].inject);
		if (!record)
			continue;
		any = true;
		step.inject = record;
		status = inject(run, &step, &reply);
	}
	return any && status == CLIENT_OK ? drill_ask(run, CLIENT_METHOD("ReadPoison"), NULL, &read)
					  : status;
}

static int clean_up(struct drill_run *run)
{
	uint64_t end_ns = now_ns() + CLEANUP_SECONDS * SECOND;
	bool done = false;
	int status = clear_poison(run);

	while (status == CLIENT_OK) {
		status = clean_once(run, &done);
		if (status != CLIENT_OK || done)
			return status;
		if (now_ns() >= end_ns) {
			fprintf(stderr,
				"daxmgrctl: not all is as before: see 'daxmgrctl status'\n");
			return CLIENT_TIMED_OUT;
		}
		pause_ns(10 * POLL_MS * MS);
	}
	return status;
}

int drill_run(struct drill_run *run)
{
	uint64_t began_ns = now_ns();
	int status = run->live ? look_before(run) : (int)CLIENT_OK, cleaned;

	if (status != CLIENT_OK)
		return status;
	for (uint32_t i = 0; status == CLIENT_OK && i < run->drill->n_steps; i++) {
		status = run_step(run, i);
		run->n_steps++;
	}
	run->total_ns = now_ns() - began_ns;
	if (!run->live)
		return status;
	run->failed = status != CLIENT_OK;
	if (status == CLIENT_OK || status == CLIENT_TIMED_OUT)
		status = collect(run);
	if (status == CLIENT_OK && drill_judge(run) < 0)
		status = verb_out_of_memory();
	cleaned = clean_up(run);
	run->failed |= cleaned != CLIENT_OK;
	return status;
}

void drill_run_clear(struct drill_run *run)
{
	decisions_clear(&run->decisions);
	run->incidents = sd_json_variant_unref(run->incidents);
	run->results = sd_json_variant_unref(run->results);
	run->cleaned = sd_json_variant_unref(run->cleaned);
}
