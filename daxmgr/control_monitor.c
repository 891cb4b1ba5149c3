/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Monitor(): notes as they happen and events once they are durable. One that
 * begins at an earlier event is given what is stored, a part at a time and as
 * fast as it reads, until there is nothing more; from then on, without a hole,
 * what becomes durable. A subscriber's queue is what its link has not sent yet,
 * bounded in bytes. What does not fit is counted, and the count is told as soon
 * as the link has drained.
 */
#include "control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "cleanup.h"
#include "clock.h"
#include "varlink_interface.h"

enum {
	QUEUE_BYTES_MAX = 256 * 1024, /* of each subscriber, about */
	MESSAGE_BYTES = 512, /* of one without its texts, about */
	PART_EVENTS = 64,
	PART_SCAN = 5000, /* rows the store looks at for one part */
};

struct control_subscriber {
	struct control_subscriber *next;
	struct control *control; /* NULL: nobody listens any more, the store's answer frees it */
	sd_varlink *link;
	struct store_event_filter filter;
	char name[ISO_NAME_BYTES]; /* until it is known what it acknowledged */
	bool notes;
	bool replaying; /* is given what is stored */
	bool asked; /* the store is looking */
	uint64_t last; /* number of the last event that it needs no more */
	uint64_t seen; /* those up to this one it had before it came, but for what has grown */
	bool resumes; /* nothing was read for it yet */
	size_t queued_bytes; /* since the link was last seen empty */
	uint64_t gap;
};

/* The library says what it would poll for: without POLLOUT there is nothing left to send. */
static bool has_drained(const struct control_subscriber *subscriber)
{
	int events = sd_varlink_get_events(subscriber->link);

	return events >= 0 && !(events & EPOLLOUT);
}

static bool tell_gap(struct control_subscriber *subscriber)
{
	if (sd_varlink_notifybo(subscriber->link,
				SD_JSON_BUILD_PAIR_UNSIGNED("gap", subscriber->gap)) < 0)
		return false;
	subscriber->gap = 0;
	subscriber->queued_bytes += MESSAGE_BYTES;
	return true;
}

static void ask(struct control_subscriber *subscriber);

static int on_loop_turn(sd_event_source *source, void *userdata)
{
	struct control *control = userdata;
	bool open = false;

	for (struct control_subscriber *s = control->subscribers; s; s = s->next) {
		if ((s->gap || s->replaying) && has_drained(s)) {
			s->queued_bytes = 0;
			if (s->gap)
				tell_gap(s);
			if (s->replaying && !s->asked)
				ask(s);
		}
		open |= s->gap || (s->replaying && !s->asked);
	}
	return open ? 0 : sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static void watch_for_drain(struct control *control)
{
	if (!control->gap_check &&
	    sd_event_add_post(control->event, &control->gap_check, on_loop_turn, control) < 0)
		return;
	sd_event_source_set_enabled(control->gap_check, SD_EVENT_ON);
}

static void leave_out(struct control_subscriber *subscriber, uint64_t n)
{
	subscriber->gap += n;
	watch_for_drain(subscriber->control);
}

static void send_one(struct control_subscriber *subscriber, const char *field,
		     sd_json_variant *value, size_t bytes, size_t bytes_max)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *message = NULL;

	if (has_drained(subscriber))
		subscriber->queued_bytes = 0;
	/* The gap comes before what follows it. */
	if (value && subscriber->queued_bytes < bytes_max &&
	    (!subscriber->gap || tell_gap(subscriber)) &&
	    sd_json_buildo(&message, SD_JSON_BUILD_PAIR_VARIANT(field, value)) >= 0 &&
	    sd_varlink_notify(subscriber->link, message) >= 0) {
		subscriber->queued_bytes += bytes;
		return;
	}
	leave_out(subscriber, 1);
}

static size_t bytes_of(const struct store_event_row *row)
{
	return MESSAGE_BYTES + strlen(row->event.text) +
	       (row->event.fields ? strlen(row->event.fields) : 0) +
	       (row->event.raw_bytes + row->last_raw_bytes) * 4 / 3;
}

static void end_of_link(struct control_subscriber *subscriber)
{
	control_error(subscriber->link, VARLINK_ERROR("StoreFailed"),
		      "the store cannot be read; see 'daxmgrctl status'");
	control_subscribers_drop(subscriber->control, subscriber->link);
}

/* A part of what is stored. */
static void on_part(void *userdata, int result, const struct store_result *rows)
{
	struct control_subscriber *subscriber = userdata;

	if (!subscriber->control) {
		free(subscriber);
		return;
	}
	subscriber->asked = false;
	if (result < 0) {
		end_of_link(subscriber);
		return;
	}
	if (subscriber->resumes)
		subscriber->seen = rows->since;
	subscriber->resumes = false;
	subscriber->name[0] = '\0';
	if (subscriber->last < subscriber->seen)
		subscriber->last = subscriber->seen;
	/* Of those that it has not seen, the oldest are not kept any more. */
	if (subscriber->last && rows->newest > subscriber->last &&
	    (!rows->oldest || rows->oldest > subscriber->last + 1))
		leave_out(subscriber,
			  (rows->oldest ? rows->oldest : rows->newest + 1) - subscriber->last - 1);
	for (size_t i = 0; i < rows->n_events; i++) {
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *json = NULL;

		control_json_event(&rows->events[i], &json);
		/* It was asked for when there was room. */
		send_one(subscriber, "event", json, bytes_of(&rows->events[i]), SIZE_MAX);
	}
	subscriber->last = rows->scanned;
	/* What comes after this answer is told by control_record(). */
	subscriber->replaying = rows->scanned < rows->newest;
	watch_for_drain(subscriber->control);
}

static void ask(struct control_subscriber *subscriber)
{
	struct store *store = daemon_store(subscriber->control->daemon);
	struct store_event_query query = {.filter = subscriber->filter,
					  .since = subscriber->last,
					  .resume = subscriber->resumes,
					  .seen = subscriber->seen,
					  .limit = PART_EVENTS,
					  .bytes = QUEUE_BYTES_MAX / 2,
					  .scan = PART_SCAN};

	memcpy(query.subscriber, subscriber->name, sizeof(query.subscriber));
	/* A queue that is full is tried again when the loop has turned. */
	subscriber->asked = store_query_events(store, &query, on_part, subscriber) >= 0;
	if (!subscriber->asked)
		watch_for_drain(subscriber->control);
}

/* Path of the first root port of the domain of its incident, else of its port; empty: of none. */
static void domain_of(const struct iso_engine *engine, const struct iso_effect *note,
		      char ret[ISO_PATH_BYTES])
{
	uint32_t i, count = iso_incident_count(engine), domain = ISO_NONE;
	struct iso_incident_view incident;
	struct iso_port_view port;

	for (i = 0; note->incident && i < count; i++)
		if (iso_incident_get(engine, i, &incident) && incident.id == note->incident)
			domain = incident.domain;
	if (domain == ISO_NONE && note->port != ISO_NONE && iso_port_get(engine, note->port, &port))
		domain = port.domain;
	ret[0] = '\0';
	if (domain != ISO_NONE && iso_port_get(engine, domain, &port))
		snprintf(ret, ISO_PATH_BYTES, "%s", port.path);
}

static bool wants_note(const struct control_subscriber *subscriber, const struct store_note *note,
		       const char *domain)
{
	const struct store_event_filter *filter = &subscriber->filter;

	if (!subscriber->notes)
		return false;
	if (filter->lease[0] && strcmp(filter->lease, note->lease))
		return false;
	if (filter->domain[0] && strcmp(filter->domain, domain))
		return false;
	return !filter->incident || filter->incident == note->incident;
}

void control_note(struct control *control, const struct iso_effect *effect)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *json = NULL;
	char domain[ISO_PATH_BYTES];
	struct store_note note;

	control_show_progress(control);
	if (!control->subscribers)
		return;
	note_from_effect(daemon_engine(control->daemon), effect, &note);
	domain_of(daemon_engine(control->daemon), effect, domain);
	control_json_note(&note, 0, NULL, clock_realtime_us_at(note.at_ns), &json);
	for (struct control_subscriber *s = control->subscribers; s; s = s->next) {
		/* A note is told as it happens: it does not wait behind what is stored. */
		if (wants_note(s, &note, domain))
			send_one(s, "note", json, MESSAGE_BYTES, QUEUE_BYTES_MAX);
	}
}

void control_record(struct control *control, const struct store_event_row *row)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *json = NULL;

	for (struct control_subscriber *s = control->subscribers; s; s = s->next) {
		/* Of what is still to be read for it, only what was told already has news. */
		if (s->replaying && row->id > s->last)
			continue;
		if (row->id > s->last)
			s->last = row->id;
		if (!store_event_matches(&s->filter, &row->event))
			continue;
		if (!json)
			control_json_event(row, &json);
		send_one(s, "event", json, bytes_of(row), QUEUE_BYTES_MAX);
	}
}

/* The number lets one that was shown nothing yet come back without a hole. */
static int greet(struct control *control, sd_varlink *link, uint64_t *ret_newest)
{
	bool known = store_newest_event(daemon_store(control->daemon), ret_newest);

	if (!known)
		*ret_newest = UINT64_MAX;
	return sd_varlink_notifybo(
		link, SD_JSON_BUILD_PAIR_BOOLEAN("subscribed", 1),
		SD_JSON_BUILD_PAIR_CONDITION(known, "newest", SD_JSON_BUILD_UNSIGNED(*ret_newest)));
}

static int subscribe(struct control *control, sd_varlink *link,
		     const struct control_event_parameters *p,
		     const struct store_event_filter *filter)
{
	struct control_subscriber *subscriber = calloc(1, sizeof(*subscriber));
	bool is_filtered = filter->source[0] || filter->kind[0] || filter->unit[0] ||
			   filter->domain[0] || filter->severity;
	uint64_t newest;
	int r;

	if (!subscriber)
		return -ENOMEM;
	/* Before the number is read: what becomes durable behind it is told. */
	store_watch_records(daemon_store(control->daemon), true);
	r = greet(control, link, &newest);
	if (r < 0) {
		store_watch_records(daemon_store(control->daemon), control->n_subscribers > 0);
		free(subscriber);
		return r;
	}
	subscriber->control = control;
	subscriber->link = sd_varlink_ref(link);
	subscriber->filter = *filter;
	subscriber->notes = p->notes < 0 ? !is_filtered : p->notes;
	subscriber->last = p->since <= newest ? p->since : 0; /* of a database that was put aside */
	subscriber->replaying = subscriber->resumes = p->has_since || p->subscriber;
	if (p->subscriber && !p->has_since)
		memcpy(subscriber->name, p->subscriber, strlen(p->subscriber) + 1);
	subscriber->next = control->subscribers;
	control->subscribers = subscriber;
	control->n_subscribers++;
	if (subscriber->replaying)
		ask(subscriber);
	return 0;
}

int control_monitor(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		    void *userdata)
{
	struct control *control = userdata;
	struct control_event_parameters p;
	struct store_event_filter filter;
	int r;

	if ((r = control_admit(link)) != 0)
		return r;
	if (!(flags & SD_VARLINK_METHOD_MORE))
		return sd_varlink_error(link, SD_VARLINK_ERROR_EXPECTED_MORE, NULL);
	r = control_read_event_parameters(link, parameters, &p, &filter);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!daemon_store(control->daemon))
		return control_no_store(link);
	if (control->n_subscribers == CONTROL_SUBSCRIBERS_MAX)
		return control_error(link, VARLINK_ERROR("TableFull"),
				     "there are %d subscribers already", CONTROL_SUBSCRIBERS_MAX);
	return subscribe(control, link, &p, &filter);
}

void control_subscribers_drop(struct control *control, sd_varlink *link)
{
	struct control_subscriber **at = &control->subscribers;

	while (*at) {
		struct control_subscriber *subscriber = *at;

		if (subscriber->link != link) {
			at = &subscriber->next;
			continue;
		}
		*at = subscriber->next;
		control->n_subscribers--;
		subscriber->link = sd_varlink_unref(subscriber->link);
		subscriber->control = NULL;
		if (!subscriber->asked)
			free(subscriber);
	}
	if (!control->subscribers)
		store_watch_records(daemon_store(control->daemon), false);
}

void control_subscribers_free(struct control *control)
{
	while (control->subscribers)
		control_subscribers_drop(control, control->subscribers->link);
}
