/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verdicts: what records say (health.h) together with what the engine knows.
 * Those of the host and of a memdev gate what the engine makes again by itself.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "health.h"
#include "log.h"
#include "sources_internal.h"

#define HEALTH_NS_MAX (24 * 3600 * UINT64_C(1000000000)) /* no record is a reason for longer */

struct host_health {
	struct health facts;
	sd_event_source *timer; /* when the verdict on the host changes by itself */
	bool unwell; /* what the engine was told */
	char why[ISO_TEXT_BYTES];
};

/* The engine is told of a change, and of another reason. */
static void tell_engine(struct daemon *daemon)
{
	struct host_health *health = daemon->health;
	struct iso_event event = {.kind = ISO_EVENT_HEALTH};
	struct health_verdict verdict;
	bool unwell;

	health_judge(&health->facts, HEALTH_HOST, "", clock_boottime_ns(), &verdict);
	unwell = verdict.state == HEALTH_FAILING;
	if (verdict.until_ns != UINT64_MAX && verdict.state != HEALTH_OK) {
		sd_event_source_set_time(health->timer, verdict.until_ns / 1000 + 1);
		sd_event_source_set_enabled(health->timer, SD_EVENT_ONESHOT);
	}
	if (unwell == health->unwell)
		return;
	health->unwell = unwell;
	event.health.ok = !unwell;
	snprintf(event.health.why, sizeof(event.health.why), "%s", verdict.reasons);
	daemon_step(daemon, &event);
}

static int on_change(sd_event_source *timer, uint64_t usec, void *userdata)
{
	(void)timer;
	(void)usec;
	tell_engine(userdata);
	return 0;
}

/* The engine is told of a memdev that says of itself that it fails, or does not any more. */
static void tell_engine_of(struct daemon *daemon, uint64_t serial)
{
	struct iso_event event = {.kind = ISO_EVENT_HEALTH,
				  .health = {.of_memdev = true, .serial = serial}};
	struct health_verdict verdict;
	char unit[24];

	snprintf(unit, sizeof(unit), "0x%" PRIx64, serial);
	health_judge(&daemon->health->facts, HEALTH_MEMDEV, unit, clock_boottime_ns(), &verdict);
	event.health.ok = verdict.state != HEALTH_FAILING;
	if (event.health.ok == !iso_health_of_memdev(daemon->engine, serial))
		return;
	if (!event.health.ok)
		snprintf(event.health.why, sizeof(event.health.why), "%s", verdict.reasons);
	daemon_step(daemon, &event);
}

void health_source_take(struct daemon *daemon, const struct store_event *record)
{
	if (!daemon->health)
		return;
	if (health_take(&daemon->health->facts, record))
		tell_engine(daemon);
	/* A good word is no reason for anything, and ends the bad ones. */
	if (record->has_serial && !strcmp(record->source, "device-health"))
		tell_engine_of(daemon, record->serial);
}

static int take_stored(void *userdata, const struct store_event *record)
{
	struct daemon *daemon = userdata;

	health_take(&daemon->health->facts, record);
	return 0;
}

/* What earlier runs heard in this boot is as true as before. */
static void load(struct daemon *daemon)
{
	uint64_t now_ns = clock_boottime_ns();

	if (store_load_recent(daemon->store, now_ns > HEALTH_NS_MAX ? now_ns - HEALTH_NS_MAX : 0,
			      take_stored, daemon) < 0)
		log_line(LOG_WARNING, "health: what was heard before cannot be read");
}

void health_source_open(struct daemon *daemon)
{
	daemon->health = calloc(1, sizeof(*daemon->health));
	if (!daemon->health)
		return;
	if (sd_event_add_time(daemon->event, &daemon->health->timer, CLOCK_BOOTTIME, UINT64_MAX, 0,
			      on_change, daemon) < 0) {
		health_source_close(daemon);
		return;
	}
	sd_event_source_set_enabled(daemon->health->timer, SD_EVENT_OFF);
	load(daemon);
}

void health_source_start(struct daemon *daemon)
{
	const struct health *facts;

	if (!daemon->health)
		return;
	facts = &daemon->health->facts;
	tell_engine(daemon);
	for (uint32_t i = 0; i < facts->n; i++)
		if (health_reason_scope(&facts->reasons[i]) == HEALTH_MEMDEV)
			tell_engine_of(daemon, strtoull(facts->reasons[i].unit, NULL, 16));
}

void health_source_close(struct daemon *daemon)
{
	if (!daemon->health)
		return;
	sd_event_source_disable_unref(daemon->health->timer);
	free(daemon->health);
	daemon->health = NULL;
}

/* ---- what control.h asks for ---- */

static void judge(struct daemon *daemon, enum health_scope scope, const char *unit,
		  struct health_verdict *ret)
{
	*ret = (struct health_verdict){.until_ns = UINT64_MAX};
	if (daemon->health)
		health_judge(&daemon->health->facts, scope, unit, clock_boottime_ns(), ret);
}

static void host(struct daemon *daemon, struct health_verdict *ret)
{
	char problem[ISO_TEXT_BYTES], text[ISO_TEXT_BYTES];

	judge(daemon, HEALTH_HOST, "", ret);
	store_problem(daemon->store, problem, sizeof(problem));
	if (problem[0]) {
		snprintf(text, sizeof(text), "store: %.150s", problem);
		health_add(ret, HEALTH_DEGRADED, text);
	}
	if (daemon->guard_problem[0]) {
		snprintf(text, sizeof(text), "guard: %.150s", daemon->guard_problem);
		health_add(ret, HEALTH_DEGRADED, text);
	}
}

static void domain(struct daemon *daemon, uint32_t port, const char *path,
		   struct health_verdict *ret)
{
	enum iso_domain_state state = iso_domain_state(daemon->engine, port);
	char text[ISO_TEXT_BYTES];

	judge(daemon, HEALTH_DOMAIN, path, ret);
	if (state == ISO_DOMAIN_HEALTHY || state == ISO_DOMAIN_UNKNOWN)
		return;
	snprintf(text, sizeof(text), "%s: %.140s", iso_domain_state_name(state),
		 iso_domain_reason(daemon->engine, port));
	health_add(ret,
		   state == ISO_DOMAIN_ISOLATED || state == ISO_DOMAIN_QUARANTINED ||
				   state == ISO_DOMAIN_CONTAINING
			   ? HEALTH_FAILING
			   : HEALTH_DEGRADED,
		   text);
}

static void memdev(struct daemon *daemon, const struct iso_memdev_view *view, const char *serial,
		   struct health_verdict *ret)
{
	judge(daemon, HEALTH_MEMDEV, serial, ret);
	if (!view->present)
		health_add(ret, HEALTH_FAILING, "not there");
	else if (!view->bound)
		health_add(ret, HEALTH_FAILING, "not bound to its driver");
}

static void vm(struct daemon *daemon, const struct iso_lease_view *view, struct health_verdict *ret)
{
	judge(daemon, HEALTH_VM, view->terms->name, ret);
	if (view->state == ISO_LEASE_STUCK)
		health_add(ret, HEALTH_FAILING, "killed, and does not let go of its memory");
	else if (view->state == ISO_LEASE_KILLED)
		health_add(ret, HEALTH_FAILING, "killed");
	else if (view->was_killed && view->state != ISO_LEASE_ATTACHED)
		health_add(ret, HEALTH_FAILING, "killed, and not back yet");
	if (view->pins)
		health_add(ret, HEALTH_DEGRADED, "pins its memory");
	if (view->stranger)
		health_add(ret, HEALTH_DEGRADED, "a stranger maps its memory");
}

void daemon_each_health(struct daemon *daemon, daemon_health_t each, void *userdata)
{
	const struct iso_engine *e = daemon->engine;
	struct health_verdict verdict;
	struct iso_memdev_view device;
	struct iso_lease_view lease;
	struct iso_port_view port;
	char serial[24];
	uint32_t i;

	host(daemon, &verdict);
	each(userdata, HEALTH_HOST, "", &verdict);
	for (i = 0; i < iso_port_count(e); i++) {
		if (!iso_port_get(e, i, &port) || port.kind != ISO_PORT_ROOT || port.domain != i)
			continue;
		domain(daemon, i, port.path, &verdict);
		each(userdata, HEALTH_DOMAIN, port.path, &verdict);
	}
	for (i = 0; i < iso_memdev_count(e); i++) {
		if (!iso_memdev_get(e, i, &device))
			continue;
		snprintf(serial, sizeof(serial), "0x%" PRIx64, device.serial);
		memdev(daemon, &device, serial, &verdict);
		each(userdata, HEALTH_MEMDEV, serial, &verdict);
	}
	for (i = 0; i < iso_lease_count(e); i++) {
		if (!iso_lease_get(e, i, &lease))
			continue;
		vm(daemon, &lease, &verdict);
		each(userdata, HEALTH_VM, lease.terms->name, &verdict);
	}
}

const struct source_table *daemon_sources(struct daemon *daemon)
{
	sources_refresh(daemon);
	return &daemon->sources;
}
