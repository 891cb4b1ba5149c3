/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "memory.h"

#define SECOND UINT64_C(1000000000)

enum { FIRINGS_MAX = 32, UNIT_SECONDS = 60, THREAD_STACK_BYTES = 256 * 1024 };

/* An action whose outcome has not come back. */
struct pending {
	struct policy *policy;
	uint64_t id;
};

struct policy {
	struct daemon *daemon;
	void *memory;
	struct iso_rules *rules;
	sd_event_source *timer;
	uint32_t n_units; /* jobs that start one */
	uint32_t next_lane;
	uint32_t n_open; /* outcomes that the engine owes */
	bool closed; /* only waits for these */
	char problem[ISO_TEXT_BYTES];

	/* Of a reload: the thread's until the loop has heard of it. */
	pthread_t thread;
	int event_fd;
	sd_event_source *source;
	struct policy_set set;
	int result;
	bool reading;
	policy_reloaded_t done;
	void *userdata;
};

static int64_t now_ns(void)
{
	return (int64_t)clock_boottime_ns();
}

const struct iso_rules *policy_rules(const struct policy *policy)
{
	return policy->rules;
}

const char *policy_problem(const struct policy *policy)
{
	return policy->problem;
}

/* ---- actions ---- */

static void act(struct policy *policy, const struct iso_firing *firing);

static void arm(struct policy *policy)
{
	int64_t at_ns = iso_rules_next_deadline(policy->rules);

	if (at_ns == INT64_MAX) {
		sd_event_source_set_enabled(policy->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(policy->timer, (uint64_t)at_ns / 1000 + 1);
	sd_event_source_set_enabled(policy->timer, SD_EVENT_ONESHOT);
}

static void settle(struct policy *policy, uint64_t id, bool good)
{
	struct iso_firing next;

	if (iso_rules_outcome(policy->rules, id, good, now_ns(), &next))
		act(policy, &next);
	arm(policy);
}

static void on_reply(void *userdata, const struct iso_effect *reply, bool last)
{
	struct pending *pending = userdata;
	struct policy *policy = pending->policy;

	if (!last)
		return;
	policy->n_open--;
	if (policy->closed && !policy->n_open)
		free(policy);
	else if (!policy->closed)
		settle(policy, pending->id,
		       reply->reply == ISO_REPLY_DONE || reply->reply == ISO_REPLY_ALREADY);
	free(pending);
}

/* The engine says no: only what is noted there is lost, which the log has. */
static void tell_engine(struct policy *policy, const struct iso_firing *firing, bool owes)
{
	struct pending *pending = owes ? calloc(1, sizeof(*pending)) : NULL;
	struct iso_event event;

	policy_event(policy->rules, firing, &event);
	if (!pending) {
		daemon_step(policy->daemon, &event);
		return;
	}
	*pending = (struct pending){.policy = policy, .id = firing->id};
	policy->n_open++;
	if (daemon_request(policy->daemon, &event, on_reply, pending, NULL) < 0) {
		policy->n_open--;
		free(pending);
		daemon_step(policy->daemon, &event);
	}
}

/* A unit that is started once what fired is on the disk: what a crash forgets would fire, and start it, once more. */
struct start {
	struct policy *policy;
	struct job_request request;
	uint64_t limit_ns;
	char rule[ISO_NAME_BYTES];
};

static void submit(struct policy *policy, struct start *start)
{
	int r = -EBUSY;

	start->request.deadline_ns = clock_boottime_ns() + start->limit_ns;
	if (policy->n_units < POLICY_UNITS_WAITING)
		r = worker_pool_submit(policy->daemon->workers,
				       LANE_UNITS + policy->next_lane++ % POLICY_UNITS_MAX,
				       &start->request);
	if (r >= 0) {
		policy->n_units++;
		return;
	}
	log_line(LOG_ERR, "policy: rule %s: %s is not started: %s", start->rule,
		 start->request.unit, strerror(-r));
	settle(policy, start->request.id, false);
}

/* A disk that cannot be written does not hold up what may be there to tell of it. */
static void on_written(void *userdata, int result, const struct store_result *rows)
{
	struct start *start = userdata;
	struct policy *policy = start->policy;

	(void)rows;
	policy->n_open--;
	if (policy->closed && !policy->n_open)
		free(policy);
	else if (!policy->closed && result != -ESHUTDOWN)
		submit(policy, start);
	free(start);
}

static void start_unit(struct policy *policy, const struct iso_firing *firing)
{
	static const struct store_event_query written = {.newest = true, .limit = 1};
	const struct iso_rule *rule = iso_rules_get(policy->rules, firing->rule);
	const struct iso_rule_stage *stage = &rule->stages[firing->stage];
	struct start *start = calloc(1, sizeof(*start));

	if (!start) {
		settle(policy, firing->id, false);
		return;
	}
	*start = (struct start){
		.policy = policy,
		.request = {.kind = JOB_START_UNIT, .id = firing->id},
		.limit_ns = stage->deadline_ns && stage->deadline_ns < UNIT_SECONDS * SECOND
				    ? stage->deadline_ns
				    : UNIT_SECONDS * SECOND,
	};
	snprintf(start->rule, sizeof(start->rule), "%s", rule->name);
	snprintf(start->request.unit, sizeof(start->request.unit), "%s", stage->start_unit);
	policy->n_open++;
	if (store_query_events(policy->daemon->store, &written, on_written, start) < 0)
		on_written(start, 0, NULL);
}

void policy_unit_done(struct policy *policy, const struct job_reply *reply)
{
	policy->n_units--;
	if (reply->completion.result < 0)
		log_line(LOG_ERR, "policy: %s", reply->completion.message);
	settle(policy, reply->completion.operation, reply->completion.result == 0);
}

/* Before the key of what injected records made fire: no unit, domain or VM is named so. */
static const char injected[] = "injected:";

static void remember(struct policy *policy, const struct iso_firing *firing)
{
	const struct iso_rule *rule = iso_rules_get(policy->rules, firing->rule);
	struct store_firing row = {
		.digest = iso_rule_digest(rule),
		.realtime_us = (int64_t)(clock_read_ns(CLOCK_REALTIME) / 1000),
	};

	snprintf(row.rule, sizeof(row.rule), "%s", rule->name);
	snprintf(row.key, sizeof(row.key), "%s%s", firing->target.synthetic ? injected : "",
		 iso_rules_key(policy->rules, firing->id));
	store_save_firing(policy->daemon->store, &row);
}

static void act(struct policy *policy, const struct iso_firing *firing)
{
	bool is_unit = firing->action == ISO_ACTION_START_UNIT;

	tell_engine(policy, firing, !is_unit);
	remember(policy, firing);
	if (is_unit)
		start_unit(policy, firing);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct iso_firing firings[FIRINGS_MAX];
	struct policy *policy = userdata;
	uint32_t i, n;

	(void)source;
	(void)usec;
	n = iso_rules_timer(policy->rules, now_ns(), firings, FIRINGS_MAX);
	for (i = 0; i < n; i++)
		act(policy, &firings[i]);
	arm(policy);
	return 0;
}

/* ---- records ---- */

void policy_take(struct policy *policy, const struct store_event *record, uint64_t count,
		 int64_t at_ns, bool before)
{
	struct iso_firing firings[FIRINGS_MAX];
	struct iso_rules_wish wish;
	struct policy_view view;
	uint32_t i, n = 0;

	if (!iso_rules_want(policy->rules, record->source, record->kind, record->severity, &wish))
		return;
	policy_view_make(policy->daemon->engine, record, wish, &view);
	view.record.at_ns = at_ns;
	view.record.count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
	if (before)
		iso_rules_restore(policy->rules, &view.record, now_ns());
	else
		n = iso_rules_record(policy->rules, &view.record, now_ns(), firings, FIRINGS_MAX);
	policy_view_clear(&view);
	for (i = 0; i < n; i++)
		act(policy, &firings[i]);
	if (n)
		arm(policy);
}

void policy_record(struct policy *policy, const struct store_event *record)
{
	if (policy->daemon->ready)
		policy_take(policy, record, 1, (int64_t)record->at_ns, false);
}

uint64_t policy_window_ns(const struct policy *policy)
{
	uint64_t longest = 0;
	uint32_t i;

	for (i = 0; i < iso_rules_count(policy->rules); i++)
		if (iso_rules_get(policy->rules, i)->window_ns > longest)
			longest = iso_rules_get(policy->rules, i)->window_ns;
	return longest;
}

void policy_restore_firing(struct policy *policy, const struct store_firing *firing)
{
	int64_t boot_us = (int64_t)(clock_read_ns(CLOCK_REALTIME) / 1000) - now_ns() / 1000;
	struct iso_fired fired = {
		.synthetic = !strncmp(firing->key, injected, strlen(injected)),
		.digest = firing->digest,
		.at_ns = (firing->realtime_us - boot_us) * 1000,
	};

	memcpy(fired.rule, firing->rule, sizeof(fired.rule));
	snprintf(fired.key, sizeof(fired.key), "%s",
		 firing->key + (fired.synthetic ? strlen(injected) : 0));
	iso_rules_restore_fired(policy->rules, &fired, now_ns());
}

/* ---- reading the rules ---- */

/* Takes a set in or says why not; the one there was stays. */
static void take_set(struct policy *policy, const struct policy_set *set, int result)
{
	const char *first = set->messages ? set->messages : "";

	if (result == 0) {
		iso_rules_load(policy->rules, set->rules, set->n);
		policy->problem[0] = '\0';
		log_line(LOG_INFO, "policy: %u rules", set->n);
		arm(policy);
		return;
	}
	snprintf(policy->problem, sizeof(policy->problem), "rules refused: %.*s",
		 (int)strcspn(first, "\n"), *first ? first : strerror(-result));
	log_line(LOG_ERR, "policy: %s; %u rules stay as they were", policy->problem,
		 iso_rules_count(policy->rules));
}

static int read_set(const struct policy *policy, struct policy_set *ret)
{
	return policy_set_read(POLICY_VENDOR_DIRECTORY, policy->daemon->config->policy_directory,
			       ret);
}

static void *read_beside(void *userdata)
{
	struct policy *policy = userdata;
	uint64_t one = 1;

	policy->result = read_set(policy, &policy->set);
	if (write(policy->event_fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd of our own that holds nothing */
	return NULL;
}

static int on_read(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct policy *policy = userdata;
	policy_reloaded_t done = policy->done;
	uint64_t count;

	(void)source;
	(void)revents;
	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	pthread_join(policy->thread, NULL);
	policy->reading = false;
	policy->done = NULL;
	take_set(policy, &policy->set, policy->result);
	if (done)
		done(policy->userdata, policy->result, iso_rules_count(policy->rules),
		     policy->set.messages);
	policy_set_free(&policy->set);
	return 0;
}

int policy_reload(struct policy *policy, policy_reloaded_t done, void *userdata)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int r;

	if (policy->reading)
		return -EBUSY;
	policy->done = done;
	policy->userdata = userdata;
	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&policy->thread, &attributes, read_beside, policy);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	policy->reading = r == 0;
	return -r;
}

/* ---- all of it ---- */

static int build(struct policy *policy)
{
	struct policy_set set;
	int r;

	policy->memory = memory_reserve(iso_rules_bytes());
	if (!policy->memory)
		return -ENOMEM;
	policy->rules = iso_rules_init(policy->memory);
	policy->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (policy->event_fd < 0)
		return -errno;
	r = sd_event_add_io(policy->daemon->event, &policy->source, policy->event_fd, EPOLLIN,
			    on_read, policy);
	if (r >= 0)
		r = sd_event_add_time(policy->daemon->event, &policy->timer, CLOCK_BOOTTIME,
				      UINT64_MAX, 1000, on_timer, policy);
	if (r < 0)
		return r;
	sd_event_source_set_priority(policy->timer, PRIORITY_TIMER);
	take_set(policy, &set, read_set(policy, &set));
	policy_set_free(&set);
	return 0;
}

int policy_new(struct daemon *daemon, struct policy **ret)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	int r;

	if (!policy)
		return -ENOMEM;
	policy->daemon = daemon;
	policy->event_fd = -1;
	r = build(policy);
	if (r < 0) {
		policy_free(policy);
		return r;
	}
	*ret = policy;
	return 0;
}

struct policy *policy_free(struct policy *policy)
{
	if (!policy)
		return NULL;
	if (policy->reading) {
		pthread_join(policy->thread, NULL);
		policy_set_free(&policy->set);
	}
	sd_event_source_disable_unref(policy->timer);
	sd_event_source_disable_unref(policy->source);
	if (policy->event_fd >= 0)
		close(policy->event_fd);
	memory_release(policy->memory, iso_rules_bytes());
	/* Replies that the engine still owes find nobody, as those to clients do not. */
	policy->closed = true;
	if (!policy->n_open)
		free(policy);
	return NULL;
}
