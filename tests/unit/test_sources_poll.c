/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What polled sources make of readings: a record of what is news, on a store as it is. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "reading_file.h"
#include "sources_internal.h"
#include "store_fixture.h"
#include "world.h"

static struct store_fixture f;
static struct config config; /* no source is on: readings come from the test */
static struct daemon own;
static struct world *w;

static void open_daemon(void)
{
	fixture_open(&f, BOOT);
	own = (struct daemon){.event = f.event,
			      .config = &config,
			      .engine = w->engine,
			      .store = f.store,
			      .ready = true};
	polled_sources_open(&own);
	cr_assert(own.polled);
	fixture_start(&f);
}

static void close_daemon(void)
{
	polled_sources_close(&own);
	f.store = store_free(f.store); /* writes out what is queued */
}

static void set_up(void)
{
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

TestSuite(sources_poll, .init = set_up, .fini = tear_down);

/* A worker has read the health of one device. */
static void health(const char *name, uint64_t serial, uint64_t life_used, uint64_t temperature)
{
	struct reading readings[] = {
		{.name = "life-used", .value = life_used},
		{.name = "temperature", .value = temperature},
	};
	struct job_reply reply = {.kind = JOB_DEVICE_HEALTH};
	int fd;

	for (size_t i = 0; i < 2; i++) {
		snprintf(readings[i].unit, sizeof(readings[i].unit), "%s", name);
		readings[i].serial = serial;
		readings[i].has_serial = serial != 0;
	}
	fd = reading_file_write(readings, 2);
	cr_assert_geq(fd, 0);
	cr_assert(polled_sources_done(&own, &reply, fd));
	close(fd);
}

struct answer {
	bool came;
	uint64_t n;
	char unit[ISO_PATH_BYTES], text[ISO_TEXT_BYTES];
};

static void on_answer(void *userdata, int result, const struct store_result *rows)
{
	struct answer *answer = userdata;

	cr_assert_eq(result, 0);
	answer->came = true;
	for (size_t i = 0; i < rows->n_events; i++) {
		answer->n += rows->events[i].count;
		memcpy(answer->unit, rows->events[i].event.unit, sizeof(answer->unit));
		memcpy(answer->text, rows->events[i].event.text, sizeof(answer->text));
	}
}

/* How many records the store has, and the last one. */
static void expect(uint64_t n, const char *unit, const char *text)
{
	struct store_event_query all = {.limit = 100};
	struct answer answer = {0};

	cr_assert_eq(store_query_events(f.store, &all, on_answer, &answer), 0);
	for (int i = 0; i < 500 && !answer.came; i++)
		cr_assert_geq(sd_event_run(f.event, 20000), 0);
	cr_assert(answer.came);
	cr_assert_eq(answer.n, n, "%d records, the last says %s", (int)answer.n, answer.text);
	cr_assert_str_eq(answer.unit, unit);
	cr_assert_str_eq(answer.text, text);
}

/*
 * Proves: what a device says of itself is stored once, however often it is read, under whatever name the device is
 * found, and by whichever daemon; other words of it are stored, and the same of another device.
 */
Test(sources_poll, equal_words_are_stored_once)
{
	health("mem0", 0x10, 0, 40);
	health("mem1", 0x11, 0, 40);
	expect(0, "", ""); /* both are well, and were never told of */
	health("mem0", 0x10, 12, 40);
	expect(1, "mem0", "life-used at least 10 %");
	health("mem0", 0x10, 12, 40);
	health("mem0", 0x10, 17, 55);
	health("mem3", 0x10, 17, 55);
	expect(1, "mem0", "life-used at least 10 %");
	health("mem0", 0x11, 12, 40);
	expect(2, "mem0", "life-used at least 10 %");
	health("mem3", 0x10, 20, 55);
	expect(3, "mem3", "life-used at least 20 %");
	close_daemon();
	open_daemon();
	health("mem5", 0x10, 21, 40);
	health("mem6", 0x11, 12, 40);
	expect(3, "mem3", "life-used at least 20 %");
	health("mem5", 0x10, 0, 40);
	expect(4, "mem5", "normal");
}
