/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps of a drill against the daemon. */
#include "drill_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "record.h"

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

enum { POLL_MS = 50, INCIDENTS_MAX = 64 };

uint64_t drill_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void drill_pause_ns(uint64_t ns)
{
	nanosleep(
		&(struct timespec){.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)},
		NULL);
}

int drill_ask(struct drill_run *run, const char *method, sd_json_variant *parameters,
	      sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *owned = parameters;
	_cleanup_(client_close) sd_varlink *link = NULL;
	struct client_failure failure;

	if (client_connect(run->context->socket, &link, &failure) == CLIENT_OK &&
	    client_call(link, method, owned, ret, &failure) == CLIENT_OK)
		return CLIENT_OK;
	snprintf(run->why, sizeof(run->why), "%s", failure.text);
	return run->cleaning ? (int)failure.status : verb_fail(&failure);
}

static int list_incidents(struct drill_run *run, uint64_t id, uint64_t limit, sd_json_variant **ret)
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
	status = drill_look(run, &run->before);
	if (status == CLIENT_OK && run->drill->expect.has_fired)
		status = drill_ask(run, CLIENT_METHOD("ListRules"), NULL, &run->rules);
	return status;
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

static int has_state(struct drill_run *run, const struct drill_step *step, bool *ret)
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
	bool reached = false, is_time = step->wait == DRILL_WAIT_TIME;
	uint64_t end_ns = drill_now_ns() + (is_time ? step->wait_ns : step->timeout_ns), now_ns;
	int status = CLIENT_OK;

	if (step->wait == DRILL_WAIT_NOTHING)
		return CLIENT_OK;
	while (!drill_interrupted()) {
		if (!is_time)
			status = is_reached(run, step, &reached);
		if (status != CLIENT_OK || reached)
			return status;
		now_ns = drill_now_ns();
		if (now_ns >= end_ns)
			return is_time ? CLIENT_OK : CLIENT_TIMED_OUT;
		drill_pause_ns(end_ns - now_ns < POLL_MS * MS ? end_ns - now_ns : POLL_MS * MS);
	}
	return CLIENT_OK;
}

/* ---- steps ---- */

int drill_inject(struct drill_run *run, sd_json_variant *record, sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *names = NULL;
	sd_json_variant *parameters = NULL;

	if (record_names(run->named, &names) < 0 ||
	    sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_VARIANT("record", record),
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
	printf("%s%s: would kill %s\n", step->name,
	       step->count > 1 ? ", the first of its records" : "", names[0] ? names : "nobody");
	FORMAT_EACH(line, format_list(reply, "decisions"))
	printf("  %s\n", sd_json_variant_string(line));
}

/* A dry run tries one: what the others would add to it is not kept. */
static int inject_all(struct drill_run *run, const struct drill_step *step, sd_json_variant **ret)
{
	uint64_t count = run->live ? step->count : 1;
	int status = CLIENT_OK;

	for (uint64_t i = 0; status == CLIENT_OK && i < count && !drill_interrupted(); i++) {
		*ret = sd_json_variant_unref(*ret);
		status = drill_inject(run, step->inject, ret);
	}
	return status;
}

static int run_step(struct drill_run *run, uint32_t i)
{
	const struct drill_step *step = &run->drill->steps[i];
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	uint64_t began_ns = drill_now_ns();
	int status = CLIENT_OK;

	if (step->inject)
		status = inject_all(run, step, &reply);
	if (status == CLIENT_OK && run->live)
		status = wait_for(run, step);
	else if (status == CLIENT_OK && step->inject)
		show_dry(run, step, reply);
	run->step_ns[i] = drill_now_ns() - began_ns;
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

static int run_steps(struct drill_run *run)
{
	uint64_t began_ns = drill_now_ns();
	int status = CLIENT_OK;

	for (uint32_t i = 0; status == CLIENT_OK && i < run->drill->n_steps && !drill_interrupted();
	     i++) {
		status = run_step(run, i);
		run->n_steps++;
	}
	run->total_ns = drill_now_ns() - began_ns;
	return status;
}

/* Steps, verdict, and cleaning up whatever came of them. */
static int run_live(struct drill_run *run)
{
	int status = run_steps(run);

	run->failed = status != CLIENT_OK || drill_interrupted();
	if (drill_interrupted())
		fprintf(stderr, "daxmgrctl: %s: interrupted: cleaning up\n", run->drill->name);
	if (status == CLIENT_OK || status == CLIENT_TIMED_OUT)
		status = collect(run);
	if (status == CLIENT_OK && drill_judge(run) < 0)
		status = verb_out_of_memory();
	run->failed |= drill_clean_up(run) != CLIENT_OK;
	return status;
}

int drill_run(struct drill_run *run)
{
	int status;

	if (!run->live)
		return run_steps(run);
	status = look_before(run);
	if (status != CLIENT_OK)
		return status;
	drill_catch_signals();
	status = run_live(run);
	drill_release_signals();
	return status;
}

void drill_run_clear(struct drill_run *run)
{
	decisions_clear(&run->decisions);
	drill_look_clear(&run->before);
	run->rules = sd_json_variant_unref(run->rules);
	run->incidents = sd_json_variant_unref(run->incidents);
	run->results = sd_json_variant_unref(run->results);
	run->cleaned = sd_json_variant_unref(run->cleaned);
}
