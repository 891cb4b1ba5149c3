/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Acquire(), Attach(), Release(), ListLeases(). */
#include "control_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "pin_words.h"
#include "varlink_interface.h"

#define PROGRESS_PERIOD_US 1000000
#define TWO_MIB            (UINT64_C(2) << 20)
#define GIB                (UINT64_C(1) << 30)

/* 146 years: as good as for ever, and added to the clock it is still in the future. */
#define TIME_MAX_NS (UINT64_C(1) << 62)

struct acquire_parameters {
	const char *name;
	uint32_t uid, gid;
	struct iso_lease_part parts[ISO_LEASE_PARTS_MAX];
	uint32_t n_parts;
	uint64_t align, keep_ns, expires_ns;
	bool restart, wait;
	uint32_t pins;
	const char *evidence;
	uint32_t poison;
};

struct part_wish {
	uint64_t size;
	const char *region;
};

static int dispatch_part(sd_json_variant *variant, struct iso_lease_part *ret)
{
	static const sd_json_dispatch_field table[] = {
		{"size", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
		 offsetof(struct part_wish, size), SD_JSON_MANDATORY},
		{"region", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
		 offsetof(struct part_wish, region), SD_JSON_NULLABLE},
		{0},
	};
	struct part_wish wish = {0};
	int r;

	r = sd_json_dispatch(variant, table, 0, &wish);
	if (r < 0)
		return r;
	*ret = (struct iso_lease_part){.bytes = wish.size};
	if (wish.region && strlen(wish.region) >= sizeof(ret->region))
		return -EINVAL;
	snprintf(ret->region, sizeof(ret->region), "%s", wish.region ? wish.region : "");
	return 0;
}

static int dispatch_parts(const char *name, sd_json_variant *variant,
			  sd_json_dispatch_flags_t flags, void *userdata)
{
	struct acquire_parameters *p = userdata;
	size_t n = sd_json_variant_elements(variant);
	int r;

	(void)name;
	(void)flags;
	/* The engine refuses too many with a sentence; it need not see them all for that. */
	if (n > ISO_LEASE_PARTS_MAX) {
		p->n_parts = ISO_LEASE_PARTS_MAX + 1;
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		r = dispatch_part(sd_json_variant_by_index(variant, i), &p->parts[i]);
		if (r < 0)
			return r;
	}
	p->n_parts = (uint32_t)n;
	return 0;
}

static int dispatch_pins(const char *name, sd_json_variant *variant, sd_json_dispatch_flags_t flags,
			 void *userdata)
{
	struct acquire_parameters *p = userdata;

	(void)name;
	(void)flags;
	for (size_t i = 0; i < sd_json_variant_elements(variant); i++) {
		sd_json_variant *word = sd_json_variant_by_index(variant, i);
		uint32_t pin = sd_json_variant_is_string(word)
				       ? pin_words_find(sd_json_variant_string(word))
				       : 0;

		if (!pin)
			return -EINVAL;
		p->pins |= pin;
	}
	return 0;
}

static int dispatch_poison(const char *name, sd_json_variant *variant,
			   sd_json_dispatch_flags_t flags, void *userdata)
{
	uint32_t *action = userdata;

	(void)name;
	(void)flags;
	for (*action = 0; *action < ISO_POISON_ACTIONS; ++*action)
		if (!strcmp(sd_json_variant_string(variant), iso_poison_action_name(*action)))
			return 0;
	return -EINVAL;
}

static const sd_json_dispatch_field acquire_table[] = {
	{"name", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
	 offsetof(struct acquire_parameters, name), SD_JSON_MANDATORY},
	{"uid", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint32,
	 offsetof(struct acquire_parameters, uid), SD_JSON_MANDATORY},
	{"gid", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint32,
	 offsetof(struct acquire_parameters, gid), SD_JSON_MANDATORY},
	{"parts", SD_JSON_VARIANT_ARRAY, dispatch_parts, 0, SD_JSON_MANDATORY},
	{"align", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
	 offsetof(struct acquire_parameters, align), 0},
	{"keepNs", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
	 offsetof(struct acquire_parameters, keep_ns), 0},
	{"expiresNs", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
	 offsetof(struct acquire_parameters, expires_ns), 0},
	{"restart", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
	 offsetof(struct acquire_parameters, restart), 0},
	{"wait", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
	 offsetof(struct acquire_parameters, wait), 0},
	{"pins", SD_JSON_VARIANT_ARRAY, dispatch_pins, 0, SD_JSON_NULLABLE},
	{"evidence", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
	 offsetof(struct acquire_parameters, evidence), SD_JSON_NULLABLE},
	{"poison", SD_JSON_VARIANT_STRING, dispatch_poison,
	 offsetof(struct acquire_parameters, poison), SD_JSON_NULLABLE},
	{0},
};

static int reply_granted(struct control_request *request, const struct iso_engine *engine,
			 const struct iso_lease_view *lease)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parts = NULL;
	int r;

	r = control_json_parts(engine, lease, &parts);
	if (r < 0)
		return sd_varlink_error_errno(request->link, r);
	return sd_varlink_replybo(
		request->link, SD_JSON_BUILD_PAIR_STRING("name", lease->terms->name),
		SD_JSON_BUILD_PAIR_STRING("state", iso_lease_state_name(lease->state)),
		SD_JSON_BUILD_PAIR_UNSIGNED("expiresAtNs", lease->expires_at_ns),
		SD_JSON_BUILD_PAIR_VARIANT("parts", parts));
}

static bool find_lease(const struct iso_engine *engine, const char *name,
		       struct iso_lease_view *ret)
{
	uint32_t index = iso_lease_find(engine, name);

	return index != ISO_NONE && iso_lease_get(engine, index, ret);
}

/* Sends a step when it differs from the last one. */
static void show_step(struct control_request *request, const char *fallback)
{
	char waits_for[sizeof(request->waits_for)];
	struct iso_lease_view lease;

	if (!find_lease(daemon_engine(request->control->daemon), request->object, &lease))
		return;
	if (!lease.waits_for[0] && lease.state == ISO_LEASE_WAITING && fallback)
		lease.waits_for = fallback;
	control_text(waits_for, sizeof(waits_for), lease.waits_for);
	if (lease.state == request->lease_state && !strcmp(waits_for, request->waits_for))
		return;
	request->lease_state = lease.state;
	memcpy(request->waits_for, waits_for, sizeof(waits_for));
	sd_varlink_notifybo(request->link, SD_JSON_BUILD_PAIR_STRING("name", request->object),
			    SD_JSON_BUILD_PAIR_STRING("state", iso_lease_state_name(lease.state)),
			    SD_JSON_BUILD_PAIR_CONDITION(waits_for[0], "waitsFor",
							 SD_JSON_BUILD_STRING(waits_for)));
}

void control_show_progress(struct control *control)
{
	for (struct control_request *request = control->requests; request; request = request->next)
		if (request->more && request->link)
			show_step(request, NULL);
}

static int on_progress_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct control *control = userdata;
	bool wanted = false;

	(void)usec;
	for (struct control_request *request = control->requests; request; request = request->next)
		wanted |= request->more && request->link;
	if (!wanted)
		return sd_event_source_set_enabled(source, SD_EVENT_OFF);
	control_show_progress(control);
	sd_event_source_set_time_relative(source, PROGRESS_PERIOD_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* What a lease waits for can change without a note. */
static void start_progress_timer(struct control *control)
{
	if (!control->progress_timer &&
	    sd_event_add_time_relative(control->event, &control->progress_timer, CLOCK_MONOTONIC,
				       PROGRESS_PERIOD_US, PROGRESS_PERIOD_US / 10,
				       on_progress_timer, control) < 0)
		return;
	sd_event_source_set_time_relative(control->progress_timer, PROGRESS_PERIOD_US);
	sd_event_source_set_enabled(control->progress_timer, SD_EVENT_ONESHOT);
}

static int answer_acquire(struct control_request *request, const struct iso_effect *reply)
{
	const struct iso_engine *engine = daemon_engine(request->control->daemon);
	struct iso_lease_view lease;

	if (reply->reply == ISO_REPLY_WAITING) {
		if (!request->more)
			return 0;
		show_step(request, reply->text);
		start_progress_timer(request->control);
		return 0;
	}
	if (!find_lease(engine, request->object, &lease))
		return control_error(request->link, VARLINK_ERROR("GrantVoid"),
				     "%s: the lease is gone again", request->object);
	return reply_granted(request, engine, &lease);
}

static uint64_t limited_ns(uint64_t ns)
{
	return ns < TIME_MAX_NS ? ns : TIME_MAX_NS;
}

/* Something longer is cut, and says so. */
static void fill_evidence(char evidence[ISO_EVIDENCE_BYTES], const char *text)
{
	static const char cut[] = "...";

	control_text(evidence, ISO_EVIDENCE_BYTES, text);
	if (strlen(text) >= ISO_EVIDENCE_BYTES)
		memcpy(evidence + ISO_EVIDENCE_BYTES - sizeof(cut), cut, sizeof(cut));
}

static void fill_acquire(struct iso_event *event, const struct acquire_parameters *p)
{
	struct iso_acquire *acquire = &event->acquire;

	*event = (struct iso_event){.kind = ISO_EVENT_ACQUIRE};
	snprintf(acquire->name, sizeof(acquire->name), "%s", p->name);
	acquire->uid = p->uid;
	acquire->gid = p->gid;
	acquire->n_parts = p->n_parts;
	memcpy(acquire->parts, p->parts, sizeof(acquire->parts));
	acquire->align = p->align;
	acquire->keep_ns = limited_ns(p->keep_ns);
	acquire->expires_ns = limited_ns(p->expires_ns);
	acquire->restart = p->restart;
	acquire->wait = p->wait;
	acquire->pins = p->pins;
	acquire->poison = p->poison;
	if (p->pins && p->evidence)
		fill_evidence(acquire->evidence, p->evidence);
}

static int refuse_name(sd_varlink *link, const char *name)
{
	return control_error(link, VARLINK_ERROR("BadName"), "'%.80s': %s", name,
			     iso_reply_text(ISO_REPLY_BAD_NAME));
}

int control_acquire(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		    void *userdata)
{
	struct acquire_parameters p = {.restart = true};
	struct control *control = userdata;
	struct control_request *request;
	struct iso_event event;
	int r;

	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, acquire_table, &p);
	if (r != 0)
		return r;
	/* A longer name would not even fit into the event. */
	if (!iso_name_valid(p.name))
		return refuse_name(link, p.name);
	if (p.uid == UINT32_MAX || p.gid == UINT32_MAX)
		return sd_varlink_error_invalid_parameter_name(link, "uid");
	if (!p.align)
		p.align = control->align;
	if (p.align && p.align != TWO_MIB && p.align != GIB)
		return control_error(link, VARLINK_ERROR("BadSize"),
				     "%s: the alignment is 2 MiB or 1 GiB", p.name);
	request = control_request_new(control, link, answer_acquire, p.name);
	if (!request)
		return -ENOBUFS;
	request->is_acquire = true;
	request->more = flags & SD_VARLINK_METHOD_MORE;
	fill_acquire(&event, &p);
	return control_run(request, &event);
}

static int answer_attach(struct control_request *request, const struct iso_effect *reply)
{
	(void)reply;
	return sd_varlink_replybo(request->link, SD_JSON_BUILD_PAIR_STRING("name", request->object),
				  SD_JSON_BUILD_PAIR_INTEGER("pid", request->pid));
}

/* Return: a pidfd of the caller's, or negative errno. */
static int take_pidfd(sd_varlink *link, int64_t index)
{
	int fd;

	if (index >= 0)
		return sd_varlink_take_fd(link, (size_t)index);
	fd = sd_varlink_get_peer_pidfd(link);
	if (fd < 0)
		return fd;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

struct attach_parameters {
	const char *name;
	const char *qmp;
	int64_t pidfd;
};

static const sd_json_dispatch_field attach_table[] = {
	{"name", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
	 offsetof(struct attach_parameters, name), SD_JSON_MANDATORY},
	{"pidfd", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_int64,
	 offsetof(struct attach_parameters, pidfd), 0},
	{"qmp", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
	 offsetof(struct attach_parameters, qmp), 0},
	{0},
};

static int run_attach(struct control *control, sd_varlink *link, const struct iso_lease_view *lease,
		      int pidfd, pid_t pid)
{
	_cleanup_close_ int owned = pidfd;
	struct control_request *request;
	int r;

	request = control_request_new(control, link, answer_attach, lease->terms->name);
	if (!request)
		return -ENOBUFS;
	request->method = "Attach";
	request->pid = pid;
	/* A client that lost the answer asks again: its process is the VM of this lease already. */
	if (lease->state == ISO_LEASE_ATTACHED && lease->pid == pid) {
		r = answer_attach(request, NULL);
		control_request_free(request);
		return r;
	}
	owned = -1;
	r = daemon_attach_process(control->daemon, request->object, pidfd, pid, control_on_reply,
				  request);
	if (r >= 0)
		return 0;
	control_error(link, VARLINK_ERROR("Refused"), "%s: cannot watch process %d: %s",
		      request->object, (int)pid, strerror(-r));
	control_request_free(request);
	return 0;
}

int control_attach(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		   void *userdata)
{
	struct attach_parameters p = {.pidfd = -1};
	struct control *control = userdata;
	_cleanup_close_ int pidfd = -1;
	struct iso_lease_view lease;
	const char *wrong;
	pid_t pid;
	int r;

	(void)flags;
	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, attach_table, &p);
	if (r != 0)
		return r;
	if (!find_lease(daemon_engine(control->daemon), p.name, &lease))
		return control_error(link, VARLINK_ERROR("NoSuchName"), "'%.80s': %s", p.name,
				     iso_reply_text(ISO_REPLY_NO_SUCH_NAME));
	pidfd = take_pidfd(link, p.pidfd);
	if (pidfd < 0)
		return control_error(link, VARLINK_ERROR("Refused"),
				     "%s: no pidfd came with the call: %s", p.name,
				     strerror(-pidfd));
	wrong = control_check_process(link, pidfd, lease.terms->uid, &pid);
	if (wrong)
		return control_error(link, VARLINK_ERROR("Refused"), "%s: %s", p.name, wrong);
	if (p.qmp && (strncmp(p.qmp, "/run/", 5) || strlen(p.qmp) >= 104 || strstr(p.qmp, "/../")))
		return sd_varlink_error_invalid_parameter_name(link, "qmp");
	daemon_set_monitor(control->daemon, lease.terms->name, p.qmp);
	r = pidfd;
	pidfd = -1;
	return run_attach(control, link, &lease, r, pid);
}

int control_release(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		    void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"name", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, 0,
		 SD_JSON_MANDATORY},
		{0},
	};
	struct iso_event event = {.kind = ISO_EVENT_RELEASE};
	struct control *control = userdata;
	struct control_request *request;
	const char *name = NULL;
	int r;

	(void)flags;
	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &name);
	if (r != 0)
		return r;
	if (!iso_name_valid(name))
		return refuse_name(link, name);
	request = control_request_new(control, link, control_answer_outcome, name);
	if (!request)
		return -ENOBUFS;
	request->method = "Release";
	snprintf(event.named.name, sizeof(event.named.name), "%s", name);
	return control_run(request, &event);
}

int control_list_leases(sd_varlink *link, sd_json_variant *parameters,
			sd_varlink_method_flags_t flags, void *userdata)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *leases = NULL;
	struct control *control = userdata;
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	if ((r = control_json_leases(daemon_engine(control->daemon), &leases)) < 0)
		return r;
	return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("leases", leases));
}
