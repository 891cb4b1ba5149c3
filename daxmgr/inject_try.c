/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An injected record on copies of engine and rules, and for real. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "daemon.h"
#include "inject.h"
#include "poison.h"
#include "policy.h"
#include "records.h"

enum { FIRINGS_MAX = 32 };

struct trial {
	struct iso_engine *engine;
	struct iso_rules *rules;
	struct inject_outcome *outcome;
	bool later; /* what is tried comes only if what was done before does not help */
	int error; /* a victim could not be written down: nothing is known then */
};

static void add_line(const struct trial *trial, const char *kind, const char *text)
{
	struct inject_outcome *outcome = trial->outcome;
	char *line = NULL;

	if (outcome->n_lines == INJECT_LINES_MAX ||
	    asprintf(&line, "%s%s: %s", trial->later ? "later, maybe: " : "", kind, text) < 0) {
		outcome->n_omitted++;
		return;
	}
	outcome->lines[outcome->n_lines++] = line;
}

static void add_victim(struct trial *trial, uint32_t lease)
{
	struct inject_outcome *outcome = trial->outcome;
	char(*victims)[ISO_NAME_BYTES];
	struct iso_lease_view view;

	if (!iso_lease_get(trial->engine, lease, &view))
		return;
	victims = reallocarray(outcome->victims, outcome->n_victims + 1, sizeof(*victims));
	if (!victims) {
		trial->error = -ENOMEM;
		return;
	}
	outcome->victims = victims;
	snprintf(victims[outcome->n_victims++], ISO_NAME_BYTES, "%s", view.terms->name);
}

static void step(struct trial *trial, struct iso_event *event)
{
	struct iso_effects effects;
	uint32_t i;

	event->now_ns = clock_boottime_ns();
	effects = iso_step(trial->engine, event);
	for (i = 0; i < effects.n_kills; i++)
		add_victim(trial, effects.kills[i].lease);
	for (i = 0; i < effects.n_others; i++)
		if (effects.others[i].kind == ISO_EFFECT_NOTE)
			add_line(trial, iso_note_name(effects.others[i].note),
				 effects.others[i].text);
}

static void find_memdev(const struct iso_engine *engine, const char *unit, struct iso_fault *fault)
{
	struct iso_memdev_view view;
	uint32_t memdev = iso_memdev_find(engine, unit);

	if (memdev == ISO_NONE || !iso_memdev_get(engine, memdev, &view))
		return;
	fault->unit_kind = ISO_UNIT_MEMDEV_SERIAL;
	fault->serial = view.serial;
}

/* Only the status of root ports is read. */
static bool find_root_port(const struct iso_engine *engine, const char *unit,
			   struct iso_fault *fault)
{
	struct iso_port_view view;
	uint32_t port = iso_port_find(engine, unit);

	if (port == ISO_NONE || !iso_port_get(engine, port, &view) || view.kind != ISO_PORT_ROOT)
		return false;
	fault->address = view.address;
	return true;
}

bool inject_event(const struct iso_engine *engine, const struct inject *inject,
		  struct iso_event *ret)
{
	if (!inject->has_fault)
		return false;
	*ret = (struct iso_event){.kind = ISO_EVENT_FAULT, .fault = inject->fault};
	ret->fault.record_ns = clock_boottime_ns();
	ret->fault.synthetic = inject->event.synthetic;
	if (inject->fault.cause == ISO_CAUSE_ISOLATED)
		return find_root_port(engine, inject->event.unit, &ret->fault);
	if (!strcmp(inject->event.source, "uevent"))
		find_memdev(engine, inject->event.unit, &ret->fault);
	return true;
}

/* All that a rule may come to: its later actions follow where an earlier one fails, takes too long or does not help. */
static void try_firing(struct trial *trial, const struct iso_firing *first)
{
	const struct iso_rule *rule = iso_rules_get(trial->rules, first->rule);
	struct iso_firing firing = *first;
	struct iso_event event;

	for (; firing.stage < rule->n_stages; firing.stage++) {
		firing.action = rule->stages[firing.stage].action;
		trial->later = firing.stage > first->stage;
		policy_event(trial->rules, &firing, &event);
		step(trial, &event);
	}
	trial->later = false;
}

static void try_rules(struct trial *trial, const struct store_event *record, uint64_t count)
{
	struct iso_firing firings[FIRINGS_MAX];
	struct policy_view view;
	uint32_t i, n;

	policy_view_make(trial->engine, record, (struct iso_rules_wish){true, true}, &view);
	view.record.count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
	n = iso_rules_record(trial->rules, &view.record, (int64_t)record->at_ns, firings,
			     FIRINGS_MAX);
	for (i = 0; i < n; i++)
		try_firing(trial, &firings[i]);
	policy_view_clear(&view);
}

/* Where tenants make way for what has to be made again below them, they are victims, too. */
static void try_eviction(struct trial *trial)
{
	uint32_t l;

	trial->later = true;
	for (l = 0; l < iso_lease_count(trial->engine); l++)
		if (iso_lease_makes_way(trial->engine, l))
			add_victim(trial, l);
	trial->later = false;
}

int inject_try(const struct iso_engine *engine, const struct iso_rules *rules,
	       const struct inject *inject, struct inject_outcome *ret)
{
	struct iso_limits limits;
	size_t bytes, rules_bytes = iso_rules_bytes();
	_cleanup_free_ void *engine_memory = NULL;
	_cleanup_free_ void *rules_memory = NULL;
	struct store_event record = inject->event;
	struct trial trial = {.outcome = ret};
	struct iso_event event;

	*ret = (struct inject_outcome){0};
	iso_limits_default(&limits); /* as the daemon's own has them */
	bytes = (iso_engine_bytes(&limits) + 63) / 64 * 64;
	engine_memory = aligned_alloc(64, bytes);
	rules_memory = aligned_alloc(64, rules_bytes);
	if (!engine_memory || !rules_memory)
		return -ENOMEM;
	trial.engine = iso_engine_copy(engine_memory, bytes, engine);
	if (!trial.engine)
		return -ENOMEM;
	trial.rules = memcpy(rules_memory, rules, rules_bytes);
	if (inject_event(trial.engine, inject, &event))
		step(&trial, &event);
	record.at_ns = clock_boottime_ns();
	records_complete(trial.engine, &record);
	event = (struct iso_event){.kind = ISO_EVENT_POISON};
	ret->is_poison = poison_of_record(&record, &event.poison);
	if (ret->is_poison)
		step(&trial, &event);
	try_rules(&trial, &record, inject->count);
	try_eviction(&trial);
	return trial.error;
}

void inject_outcome_clear(struct inject_outcome *outcome)
{
	for (uint32_t i = 0; i < outcome->n_lines; i++)
		free(outcome->lines[i]);
	free(outcome->victims);
	*outcome = (struct inject_outcome){0};
}

void inject_run(struct daemon *daemon, const struct inject *inject)
{
	struct store_event record = inject->event;
	struct iso_event event;

	record.at_ns = clock_boottime_ns();
	if (inject_event(daemon->engine, inject, &event))
		daemon_step(daemon, &event);
	records_take(daemon, &record);
}
