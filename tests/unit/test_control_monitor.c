/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Subscribers of records: each event once, in the order of its number, durable
 * before it is told, without a hole between what is stored and what comes;
 * one that does not read loses by the number told, and nobody else does.
 */
#include <criterion/criterion.h>

#include <stdio.h>

#include "control_client.h"

/* Stored before anybody subscribes, and then as fast as the loop turns. */
enum { OLD = 300, NEW = 3000, BURST = 25 };

static uint32_t n_made;

static void make_event(struct store *store)
{
	struct store_event event = {
		.source = "trace", .text = "a record of a storm", .likeness = 0};

	event.at_ns = n_made + 1;
	event.severity = n_made % 4;
	snprintf(event.kind, sizeof(event.kind), n_made % 3 ? "often" : "seldom");
	snprintf(event.unit, sizeof(event.unit), "mem%u", n_made % 5);
	store_save_event(store, &event);
	n_made++;
}

static int on_source(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;

	(void)usec;
	for (int i = 0; i < BURST && n_made < OLD + NEW; i++)
		make_event(daemon->store);
	sd_event_source_set_time_relative(source, 2000);
	return sd_event_source_set_enabled(source,
					   n_made < OLD + NEW ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int on_start(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct daemon *daemon = userdata;

	(void)source;
	(void)info;
	sd_event_add_time_relative(daemon->event, NULL, CLOCK_MONOTONIC, 1000, 0, on_source,
				   daemon);
	return 0;
}

/* The fixture calls it in the server. */
static void add_records(struct daemon *daemon)
{
	for (int i = 0; i < OLD; i++)
		make_event(daemon->store);
	sd_event_add_signal(daemon->event, NULL, SIGHUP | SD_EVENT_SIGNAL_PROCMASK, on_start,
			    daemon);
}

struct heard {
	uint64_t n, first, last, gap, notes, newest, count;
	bool subscribed, in_order;
	char error[64];
};

static int on_heard(sd_varlink *link, sd_json_variant *message, const char *error,
		    sd_varlink_reply_flags_t flags, void *userdata)
{
	struct heard *heard = userdata;
	sd_json_variant *event = sd_json_variant_by_key(message, "event");
	uint64_t id;

	(void)link;
	(void)flags;
	if (error)
		snprintf(heard->error, sizeof(heard->error), "%s", error);
	heard->subscribed |= sd_json_variant_by_key(message, "subscribed") != NULL;
	if (heard->subscribed && sd_json_variant_by_key(message, "newest"))
		heard->newest = sd_json_variant_unsigned(sd_json_variant_by_key(message, "newest"));
	heard->notes += sd_json_variant_by_key(message, "note") != NULL;
	heard->gap += sd_json_variant_unsigned(sd_json_variant_by_key(message, "gap"));
	if (!event)
		return 0;
	id = sd_json_variant_unsigned(sd_json_variant_by_key(event, "id"));
	if (!heard->n)
		heard->first = id;
	else if (id <= heard->last)
		heard->in_order = false;
	heard->last = id;
	heard->count = sd_json_variant_unsigned(sd_json_variant_by_key(event, "count"));
	heard->n++;
	return 0;
}

static sd_varlink *subscribe(struct fixture *f, const char *json, struct heard *heard)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
	sd_varlink *link = join(f);

	*heard = (struct heard){.in_order = true};
	cr_assert_geq(sd_json_parse(json, 0, &parameters, NULL, NULL), 0);
	sd_varlink_set_userdata(link, heard);
	sd_varlink_bind_reply(link, on_heard);
	sd_varlink_set_relative_timeout(link, UINT64_MAX);
	cr_assert_geq(sd_varlink_observe(link, CLIENT_METHOD("Monitor"), parameters), 0);
	return link;
}

/* Until so many came or were told to be left out, or nothing comes for a second. */
static void listen_until(sd_varlink *link, struct heard *heard, uint64_t total)
{
	while (heard->n + heard->gap < total || !heard->subscribed) {
		int r = sd_varlink_process(link);

		if (r < 0 || heard->error[0])
			return;
		if (r == 0 && sd_varlink_wait(link, 3000000) <= 0)
			return;
	}
}

/* The story that the fixture tells has one event of its own. */
static uint64_t count_all(struct fixture *f)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *events = NULL;

	events = expect_reply(f, CLIENT_METHOD("ListEvents"), "{\"limit\":1}");
	return sd_json_variant_unsigned(get(events, "next"));
}

Test(control_monitor, from_the_stored_to_the_live_without_a_hole)
{
	struct heard all, live;
	sd_varlink *link, *other;
	struct fixture f;

	serve_more = add_records;
	setup(&f);
	cr_assert_eq(count_all(&f), OLD + 1, "what is old is durable");
	other = subscribe(&f, "{}", &live);
	listen_until(other, &live, 0);
	cr_assert_eq(live.newest, OLD + 1, "who was shown none can come back");
	link = subscribe(&f, "{\"since\":0}", &all);
	kill(f.server, SIGHUP); /* they come while it reads what is stored */
	listen_until(link, &all, OLD + NEW + 1);
	cr_assert_eq(all.first, 1);
	cr_assert_eq(all.n + all.gap, OLD + NEW + 1, "%lu and a gap of %lu", all.n, all.gap);
	cr_assert(all.in_order);
	cr_assert(all.gap || all.last == OLD + NEW + 1);
	listen_until(other, &live, NEW);
	cr_assert_eq(live.n + live.gap, NEW, "%lu and a gap of %lu", live.n, live.gap);
	cr_assert(live.in_order);
	cr_assert_eq(live.first, OLD + 2, "one that does not ask for the past gets none");
	sd_varlink_close_unref(link);

	/* It comes back: what it has not seen, and no more. */
	link = subscribe(&f, "{\"since\":3000}", &all);
	listen_until(link, &all, OLD + NEW + 1 - 3000);
	cr_assert_eq(all.n, OLD + NEW + 1 - 3000);
	cr_assert_eq(all.first, 3001);
	cr_assert(all.in_order && !all.gap);
	sd_varlink_close_unref(link);
	sd_varlink_close_unref(other);
	teardown(&f);
}

Test(control_monitor, filters_and_what_is_wrong_with_them)
{
	char long_kind[160];
	struct heard heard;
	struct fixture f;
	sd_varlink *link;

	serve_more = add_records;
	setup(&f);
	cr_assert_eq(count_all(&f), OLD + 1);
	link = subscribe(&f, "{\"since\":0,\"kind\":\"seldom\"}", &heard);
	listen_until(link, &heard, OLD / 3);
	cr_assert_eq(heard.n, OLD / 3);
	sd_varlink_close_unref(link);
	link = subscribe(&f, "{\"since\":0,\"severity\":\"error\",\"unit\":\"mem2\"}", &heard);
	listen_until(link, &heard, OLD / 10);
	cr_assert_eq(heard.n, OLD / 10, "%lu", heard.n);
	sd_varlink_close_unref(link);
	link = subscribe(&f, "{\"since\":0,\"severity\":\"awful\"}", &heard);
	listen_until(link, &heard, 1);
	cr_assert(strstr(heard.error, "InvalidParameter"), "'%s'", heard.error);
	sd_varlink_close_unref(link);
	snprintf(long_kind, sizeof(long_kind), "{\"kind\":\"%0100d\"}", 0);
	expect_error(&f, CLIENT_METHOD("ListEvents"), long_kind, "InvalidParameter");
	expect_error(&f, CLIENT_METHOD("ListEvents"), "{\"since\":-1}", "InvalidParameter");
	expect_error(&f, CLIENT_METHOD("ListEvents"), "{\"colour\":1}", "InvalidParameter");
	expect_error(&f, CLIENT_METHOD("Acknowledge"), "{\"subscriber\":\"../x\",\"id\":1}",
		     "InvalidParameter");
	expect_error(&f, CLIENT_METHOD("Acknowledge"), "{\"subscriber\":\"x\",\"id\":100000}",
		     "InvalidParameter");
	/* Beyond all there is, of another database: all of this one, and the number that says so. */
	link = subscribe(&f, "{\"since\":100000}", &heard);
	kill(f.server, SIGHUP);
	listen_until(link, &heard, OLD + NEW + 1);
	cr_assert_eq(heard.n + heard.gap, OLD + NEW + 1, "%lu and %lu", heard.n, heard.gap);
	cr_assert_eq(heard.newest, OLD + 1);
	cr_assert_eq(heard.first, 1);
	cr_assert(heard.in_order);
	sd_varlink_close_unref(link);
	teardown(&f);
}

Test(control_monitor, a_named_subscriber_goes_on_where_it_acknowledged)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	struct heard heard;
	struct fixture f;
	sd_varlink *link;
	uint64_t all;

	serve_more = add_records;
	setup(&f);
	all = count_all(&f);
	cr_assert_eq(all, OLD + 1);
	link = subscribe(&f, "{\"subscriber\":\"bridge\"}", &heard);
	listen_until(link, &heard, all);
	cr_assert_eq(heard.n, all, "the first time: everything");
	sd_varlink_close_unref(link);
	reply = expect_reply(&f, CLIENT_METHOD("Acknowledge"),
			     "{\"subscriber\":\"bridge\",\"id\":290}");
	link = subscribe(&f, "{\"subscriber\":\"bridge\"}", &heard);
	listen_until(link, &heard, all - 290);
	cr_assert_eq(heard.first, 291);
	cr_assert_eq(heard.n, all - 290);
	sd_varlink_close_unref(link);
	teardown(&f);
}

/* Proves: one that never reads costs the others nothing, and one that goes away in the middle nobody. */
Test(control_monitor, one_that_does_not_read_hurts_nobody)
{
	struct heard deaf, good, gone;
	sd_varlink *links[3];
	struct fixture f;

	serve_more = add_records;
	setup(&f);
	cr_assert_eq(count_all(&f), OLD + 1);
	links[0] = subscribe(&f, "{\"since\":0}", &deaf);
	sd_varlink_flush(links[0]);
	links[1] = subscribe(&f, "{}", &good);
	listen_until(links[1], &good, 0);
	links[2] = subscribe(&f, "{\"since\":0}", &gone);
	sd_varlink_flush(links[2]);
	kill(f.server, SIGHUP);
	sd_varlink_close_unref(links[2]);
	listen_until(links[1], &good, NEW);
	cr_assert_eq(good.n + good.gap, NEW);
	/* It reads at last: all is there, or counted. */
	listen_until(links[0], &deaf, OLD + NEW + 1);
	cr_assert_eq(deaf.n + deaf.gap, OLD + NEW + 1, "%lu and %lu", deaf.n, deaf.gap);
	cr_assert(deaf.in_order);
	sd_varlink_close_unref(links[0]);
	sd_varlink_close_unref(links[1]);
	teardown(&f);
}

Test(control_monitor, replay_says_what_it_cannot_decode)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *first;
	struct fixture f;

	serve_more = add_records;
	setup(&f);
	reply = expect_reply(&f, CLIENT_METHOD("ReplayEvents"), "{}");
	cr_assert_eq(sd_json_variant_elements(get(reply, "events")), 32);
	cr_assert(sd_json_variant_boolean(get(reply, "more")));
	cr_assert_eq(sd_json_variant_unsigned(get(reply, "next")), 32);
	first = sd_json_variant_by_index(get(reply, "events"), 0);
	cr_assert_str_eq(text(first, "outcome"), "no-format");
	cr_assert_str_eq(text(first, "decision"), "none");
	teardown(&f);
}

/* What is stored grows after the first look at it. */
static int on_growth(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct store_event event = {
		.source = "trace", .kind = "alike", .text = "again", .at_ns = 1, .likeness = 5};
	struct daemon *daemon = userdata;

	(void)source;
	(void)info;
	for (int i = 0; i < 10; i++)
		store_save_event(daemon->store, &event);
	return 0;
}

static void add_growth(struct daemon *daemon)
{
	sd_event_add_signal(daemon->event, NULL, SIGHUP | SD_EVENT_SIGNAL_PROCMASK, on_growth,
			    daemon);
	on_growth(NULL, NULL, daemon);
}

/* Proves: a row that grew while a subscriber was away comes again before what is new. */
Test(control_monitor, what_grew_while_it_was_away_comes_again)
{
	struct heard heard;
	struct fixture f;
	sd_varlink *link;

	serve_more = add_growth;
	setup(&f);
	cr_assert_eq(count_all(&f), 2);
	link = subscribe(&f, "{\"since\":2}", &heard);
	cr_assert_geq(sd_varlink_flush(link), 0);
	kill(f.server, SIGHUP);
	listen_until(link, &heard, 1);
	cr_assert_eq(heard.n, 1);
	cr_assert_eq(heard.count, 20, "%lu", heard.count);
	sd_varlink_close_unref(link);
	link = subscribe(&f, "{\"since\":2}", &heard);
	listen_until(link, &heard, 1);
	cr_assert_eq(heard.n, 1);
	cr_assert_eq(heard.first, 2);
	cr_assert_eq(heard.count, 20, "%lu", heard.count);
	sd_varlink_close_unref(link);
	teardown(&f);
}

/* Notes of a port, of an incident of another domain, of nothing. */
static int on_notes(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct daemon *daemon = userdata;
	const struct iso_engine *engine = daemon->world->engine;
	struct iso_effect note = {.kind = ISO_EFFECT_NOTE,
				  .note = ISO_NOTE_REGION,
				  .region = ISO_NONE,
				  .lease = ISO_NONE,
				  .port = iso_port_find(engine, "hb0/01.0"),
				  .instance = ISO_NONE,
				  .text = "here"};

	(void)source;
	(void)info;
	control_note(daemon->control, &note);
	note.port = iso_port_find(engine, "hb0/00.0");
	control_note(daemon->control, &note);
	note.port = ISO_NONE;
	control_note(daemon->control, &note);
	return 0;
}

static void add_notes(struct daemon *daemon)
{
	sd_event_add_signal(daemon->event, NULL, SIGHUP | SD_EVENT_SIGNAL_PROCMASK, on_notes,
			    daemon);
}

/* Proves: who asks for a domain gets its notes only. */
Test(control_monitor, notes_of_a_domain)
{
	struct heard one, all;
	sd_varlink *links[2];
	struct fixture f;

	serve_more = add_notes;
	setup(&f);
	links[0] = subscribe(&f, "{\"domain\":\"hb0/01.0\",\"notes\":true}", &one);
	links[1] = subscribe(&f, "{}", &all);
	listen_until(links[0], &one, 0);
	listen_until(links[1], &all, 0);
	kill(f.server, SIGHUP);
	listen_until(links[1], &all, 1);
	listen_until(links[0], &one, 1);
	cr_assert_eq(all.notes, 3, "%lu", all.notes);
	cr_assert_eq(one.notes, 1, "%lu", one.notes);
	sd_varlink_close_unref(links[0]);
	sd_varlink_close_unref(links[1]);
	teardown(&f);
}
