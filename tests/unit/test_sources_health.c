/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What of the verdicts reaches the engine, from records and from what an earlier daemon stored. Of the daemon there is
 * only its step; its table of sources is nobody's business here.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "sources_internal.h"
#include "store_fixture.h"
#include "world.h"

enum { SERIAL = 0x10 };

static struct store_fixture f;
static struct daemon own;
static struct world *w;
static uint32_t n_told;

void daemon_step(struct daemon *of, struct iso_event *event)
{
	cr_assert_eq(of, &own);
	cr_assert_eq(event->kind, ISO_EVENT_HEALTH);
	world_step(w, event);
	n_told++;
}

void sources_refresh(struct daemon *of)
{
	(void)of;
}

static void open_daemon(void)
{
	fixture_open(&f, BOOT);
	own = (struct daemon){.event = f.event, .engine = w->engine, .store = f.store};
	health_source_open(&own);
	cr_assert(own.health);
	fixture_start(&f);
	health_source_start(&own);
}

static void close_daemon(void)
{
	health_source_close(&own);
	f.store = store_free(f.store); /* writes out what is queued */
}

static void set_up(void)
{
	n_told = 0;
	fixture_setup(&f);
	w = world_pair();
	open_daemon();
}

static void tear_down(void)
{
	close_daemon();
	fixture_teardown(&f);
	world_free(w);
}

TestSuite(sources_health, .init = set_up, .fini = tear_down);

static void says(const char *text, uint32_t severity)
{
	struct store_event record = {.source = "device-health",
				     .kind = "health",
				     .unit = "mem0",
				     .severity = severity,
				     .serial = SERIAL,
				     .has_serial = true,
				     .at_ns = clock_boottime_ns()};

	snprintf(record.text, sizeof(record.text), "%s", text);
	cr_assert_eq(store_save_event(f.store, &record), 0);
	health_source_take(&own, &record);
}

/* Proves: a device that says of itself that it fails closes the gate, once; one that needs care does not. */
Test(sources_health, a_failing_device_is_told_once)
{
	says("maintenance-needed", STORE_WARNING);
	cr_assert_eq(n_told, 0);
	says("data-lost", STORE_ERROR);
	says("data-lost", STORE_ERROR);
	cr_assert_eq(n_told, 1);
	cr_assert(strstr(iso_health_of_memdev(w->engine, SERIAL), "data-lost"));
	cr_assert_null(iso_health_reason(w->engine), "the host is well");
	says("normal", STORE_INFO);
	cr_assert_eq(n_told, 2);
	cr_assert_null(iso_health_of_memdev(w->engine, SERIAL));
}

/* Proves: the next daemon's engine knows it before anything is made. */
Test(sources_health, the_next_daemon_tells_it_before_anything_is_made)
{
	says("data-lost", STORE_ERROR);
	close_daemon();
	world_free(w);
	w = world_new(); /* an engine that has seen no device yet */
	open_daemon();
	cr_assert_eq(n_told, 2);
	cr_assert(strstr(iso_health_of_memdev(w->engine, SERIAL), "data-lost"));
}
