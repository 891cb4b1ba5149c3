/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Monitor(): notes and events as they happen. A subscriber's queue is what its
 * link has not sent yet, at most SUBSCRIBER_QUEUE_MAX messages. What does not
 * fit is counted, and the count is told as soon as the link has drained.
 */
#include "control_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "cleanup.h"
#include "clock.h"
#include "varlink_interface.h"

enum { SUBSCRIBER_QUEUE_MAX = 1024 };

struct control_subscriber {
	struct control_subscriber *next;
	sd_varlink *link;
	uint32_t n_queued; /* since the link was last seen empty */
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
	subscriber->n_queued++;
	return true;
}

static int on_loop_turn(sd_event_source *source, void *userdata)
{
	struct control *control = userdata;
	bool open = false;

	for (struct control_subscriber *s = control->subscribers; s; s = s->next) {
		if (s->gap && has_drained(s)) {
			s->n_queued = 0;
			tell_gap(s);
		}
		open |= s->gap != 0;
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

static void send_one(struct control *control, struct control_subscriber *subscriber,
		     sd_json_variant *message)
{
	if (has_drained(subscriber))
		subscriber->n_queued = 0;
	/* The gap comes before what follows it. */
	if (subscriber->n_queued < SUBSCRIBER_QUEUE_MAX &&
	    (!subscriber->gap || tell_gap(subscriber)) &&
	    sd_varlink_notify(subscriber->link, message) >= 0) {
		subscriber->n_queued++;
		return;
	}
	subscriber->gap++;
	watch_for_drain(control);
}

static void send_all(struct control *control, const char *field, sd_json_variant *value)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *message = NULL;
	struct control_subscriber *subscriber;

	if (!value || sd_json_buildo(&message, SD_JSON_BUILD_PAIR_VARIANT(field, value)) < 0) {
		for (subscriber = control->subscribers; subscriber; subscriber = subscriber->next)
			subscriber->gap++;
		watch_for_drain(control);
		return;
	}
	for (subscriber = control->subscribers; subscriber; subscriber = subscriber->next)
		send_one(control, subscriber, message);
}

void control_note(struct control *control, const struct iso_effect *effect)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *json = NULL;
	struct store_note note;

	control_show_progress(control);
	if (!control->subscribers)
		return;
	note_from_effect(daemon_engine(control->daemon), effect, &note);
	control_json_note(&note, 0, NULL, clock_realtime_us_at(note.at_ns), &json);
	send_all(control, "note", json);
}

void control_event(struct control *control, const struct store_event *event)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *json = NULL;

	if (!control->subscribers)
		return;
	control_json_event(event, 0, NULL, clock_realtime_us_at(event->at_ns), &json);
	send_all(control, "event", json);
}

int control_monitor(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		    void *userdata)
{
	struct control *control = userdata;
	struct control_subscriber *subscriber;
	int r;

	(void)parameters;
	if ((r = control_admit(link)) != 0)
		return r;
	if (!(flags & SD_VARLINK_METHOD_MORE))
		return sd_varlink_error(link, SD_VARLINK_ERROR_EXPECTED_MORE, NULL);
	if (control->n_subscribers == CONTROL_SUBSCRIBERS_MAX)
		return control_error(link, VARLINK_ERROR("TableFull"),
				     "there are %d subscribers already", CONTROL_SUBSCRIBERS_MAX);
	subscriber = calloc(1, sizeof(*subscriber));
	if (!subscriber)
		return -ENOMEM;
	r = sd_varlink_notifybo(link, SD_JSON_BUILD_PAIR_BOOLEAN("subscribed", 1));
	if (r < 0) {
		free(subscriber);
		return r;
	}
	subscriber->link = sd_varlink_ref(link);
	subscriber->next = control->subscribers;
	control->subscribers = subscriber;
	control->n_subscribers++;
	return 0;
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
		sd_varlink_unref(subscriber->link);
		free(subscriber);
	}
}

void control_subscribers_free(struct control *control)
{
	while (control->subscribers)
		control_subscribers_drop(control, control->subscribers->link);
}
