/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Observed against believed, in words: at start, after a gap, and when somebody
 * asks. The correcting itself is done by whoever takes the observation in, with
 * every observation; here it is said what that will be, and what a person has
 * to do. A dry run looks at the host and takes nothing in.
 */
#include <stdarg.h>
#include <stdio.h>

#include "reconcile_list.h"

static void write_text(char *to, size_t room, const char *format, va_list arguments)
{
	vsnprintf(to, room, format, arguments);
}

#define SENTENCE(part)                                                                             \
	void finding_##part(struct iso_finding *finding, const char *format, ...)                  \
	{                                                                                          \
		va_list arguments;                                                                 \
                                                                                                   \
		if (!finding)                                                                      \
			return;                                                                    \
		va_start(arguments, format);                                                       \
		write_text(finding->part, sizeof(finding->part), format, arguments);               \
		va_end(arguments);                                                                 \
	}

SENTENCE(seen)
SENTENCE(believed)
SENTENCE(action)

struct iso_finding *finding_add(struct finding_list *list, enum iso_finding_kind kind,
				enum iso_finding_remedy remedy, const char *format, ...)
{
	struct iso_finding finding = {.kind = kind, .remedy = remedy};
	va_list arguments;
	uint32_t i;

	va_start(arguments, format);
	write_text(finding.object, sizeof(finding.object), format, arguments);
	va_end(arguments);
	if (list->n >= list->room) { /* counted, perhaps twice */
		list->n++;
		return NULL;
	}
	for (i = 0; i < list->n; i++)
		if (list->at[i].kind == finding.kind && !strcmp(list->at[i].object, finding.object))
			return NULL;
	list->at[list->n] = finding;
	return &list->at[list->n++];
}

/* ---- what no observation is needed for ---- */

static void find_reboot(const struct iso_engine *e, struct finding_list *list)
{
	const struct reconcile *reconcile = &e->reconcile;
	struct iso_finding *finding;

	if (!reconcile->n_leases_rebooted && !reconcile->n_incidents_rebooted)
		return;
	finding = finding_add(list, ISO_FINDING_HOST_REBOOTED, ISO_REMEDY_ITSELF, "host");
	finding_seen(finding, "it was booted since the daemon ran last");
	finding_believed(finding, "%u leases and %u open incidents", reconcile->n_leases_rebooted,
			 reconcile->n_incidents_rebooted);
	finding_action(finding, "those ended with that boot; regions are made or taken over, VMs "
				"ask anew");
}

/* A state in which its memory has to be there. */
static bool needs_instances(const struct lease *lease)
{
	return lease->state == ISO_LEASE_ACQUIRED || lease->state == ISO_LEASE_ATTACHED ||
	       lease->state == ISO_LEASE_KEPT;
}

static void find_in_lease(const struct lease *lease, struct finding_list *list)
{
	const char *name = lease->terms.name;
	struct iso_finding *finding;

	if (lease->died_unseen && lease->state == ISO_LEASE_VERIFYING) {
		finding = finding_add(list, ISO_FINDING_VM_GONE, ISO_REMEDY_ITSELF, "VM %s", name);
		finding_seen(finding, "its process is gone");
		finding_believed(finding, "it was running when the daemon stopped");
		finding_action(finding, "its memory is taken back once nobody maps it");
	}
	if (needs_instances(lease) && lease->n_instances < lease->terms.n_parts) {
		finding = finding_add(list, ISO_FINDING_LEASE_WITHOUT_INSTANCE, ISO_REMEDY_PERSON,
				      "VM %s", name);
		finding_seen(finding, "%u of %u pieces of its memory are in no defined region",
			     lease->terms.n_parts - lease->n_instances, lease->terms.n_parts);
		finding_believed(finding, "%s, process %d", iso_lease_state_name(lease->state),
				 lease->pid);
		finding_action(finding, "it would outlive the loss of that memory: end the VM, or "
					"define the region again");
	}
	if (lease->stranger) {
		finding = finding_add(list, ISO_FINDING_STRANGER, ISO_REMEDY_PERSON, "VM %s", name);
		finding_seen(finding, "process %d maps its memory", lease->stranger);
		finding_believed(finding, "its VM is process %d", lease->pid);
		finding_action(finding, "find out who started it, and end it: it is not killed");
	}
	if (lease->state == ISO_LEASE_STUCK && !lease->revoked) {
		finding = finding_add(list, ISO_FINDING_STRANGER, ISO_REMEDY_PERSON, "VM %s", name);
		finding_seen(finding, "its memory is still mapped: %.150s", lease->waits_for);
		finding_believed(finding, "it ended");
		finding_action(finding, "it is looked at again by itself; end what maps it");
	}
}

static void find_unfinished(const struct iso_engine *e, const struct incident *incident,
			    struct finding_list *list)
{
	struct iso_finding *finding;
	const char *reason = "";

	if (incident->domain < e->n_ports)
		reason = e->domains[incident->domain].reason;
	finding = finding_add(list, ISO_FINDING_RECOVERY_UNFINISHED,
			      incident->held_port[0] ? ISO_REMEDY_PERSON : ISO_REMEDY_ITSELF,
			      "incident %llu", (unsigned long long)incident->id);
	finding_seen(finding, "%s, %s", incident->unit,
		     incident->contained_ns ? "contained, not recovered" : "not contained");
	if (incident->held_port[0])
		finding_action(finding, "%s is kept away until 'daxmgrctl recover'",
			       incident->held_port);
	else
		finding_action(finding, "recovery goes on%s%.120s", reason[0] ? ": " : "", reason);
}

static void find_standing(const struct iso_engine *e, struct finding_list *list)
{
	uint32_t i;

	find_reboot(e, list);
	for (i = 0; i < e->n_leases; i++)
		if (e->leases[i].used)
			find_in_lease(&e->leases[i], list);
	for (i = 0; i < e->n_incidents; i++)
		if (e->incidents[i].id && e->incidents[i].open)
			find_unfinished(e, &e->incidents[i], list);
}

static void compare(const struct iso_engine *e, const struct iso_snapshot *s,
		    struct finding_list *list)
{
	reconcile_memdevs(e, s, list);
	reconcile_regions(e, s, list);
	reconcile_instances(e, s, list);
}

uint32_t iso_reconcile(const struct iso_engine *e, const struct iso_snapshot *snapshot,
		       struct iso_finding *findings, uint32_t room)
{
	struct finding_list list = {.at = findings, .room = room};

	compare(e, snapshot, &list);
	find_standing(e, &list);
	return list.n;
}

uint32_t iso_finding_count(const struct iso_engine *e)
{
	return e->reconcile.n_findings;
}

const struct iso_finding *iso_finding_get(const struct iso_engine *e, uint32_t i)
{
	return i < e->reconcile.n_findings && i < FINDINGS_MAX ? &e->reconcile.findings[i] : NULL;
}

/* ---- telling ---- */

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 1099511628211ull;
	return (hash ^ 0xff) * 1099511628211ull;
}

static uint64_t hash_finding(const struct iso_finding *finding)
{
	uint64_t hash = hash_text(14695981039346656037ull + finding->kind, finding->object);

	return hash_text(hash_text(hash, finding->seen), finding->action);
}

static bool was_told(const uint64_t *told, uint32_t n, uint64_t hash)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (told[i] == hash)
			return true;
	return false;
}

/* What stands since it was told is not told again; what went and came back is. */
static void tell(struct iso_engine *e, const struct finding_list *list)
{
	struct reconcile *reconcile = &e->reconcile;
	uint32_t i, n = list->n < list->room ? list->n : list->room, n_told = reconcile->n_told;
	uint64_t told[FINDINGS_MAX];

	memcpy(told, reconcile->told, sizeof(told));
	reconcile->n_told = 0;
	for (i = 0; i < n; i++) {
		const struct iso_finding *finding = &list->at[i];
		uint64_t hash = hash_finding(finding);

		if (finding->kind == ISO_FINDING_REGION_BUSY) /* the next observation tells */
			continue;
		reconcile->told[reconcile->n_told++] = hash;
		if (!was_told(told, n_told, hash))
			emit_note(e, ISO_NOTE_RECONCILE, 0, "%s: %s: %s", finding->object,
				  finding->seen, finding->action);
	}
	if (list->n > n)
		emit_note(e, ISO_NOTE_RECONCILE, 0, "and %u findings more", list->n - n);
	reconcile->n_leases_rebooted = reconcile->n_incidents_rebooted = 0;
}

/* ---- requests ---- */

void reconcile_ask(struct iso_engine *e, uint64_t request, bool dry_run)
{
	struct reconcile *reconcile = &e->reconcile;

	if (reconcile->n_asked == RECONCILES_MAX) {
		emit_reply(e, request, ISO_REPLY_TABLE_FULL, ISO_NONE, ISO_NONE, NULL);
		return;
	}
	reconcile->asked[reconcile->n_asked].request = request;
	reconcile->asked[reconcile->n_asked++].dry_run = dry_run;
	if (reconcile->stage != RECONCILE_IDLE)
		return;
	reconcile->stage = RECONCILE_ASKED;
	reconcile->asked_ns = e->now_ns;
}

static void answer(struct iso_engine *e, enum iso_reply reply, const char *text)
{
	struct reconcile *reconcile = &e->reconcile;

	emit_reply(e, reconcile->asked[0].request, reply, ISO_NONE, ISO_NONE, text);
	reconcile->n_asked--;
	memmove(reconcile->asked, reconcile->asked + 1,
		reconcile->n_asked * sizeof(reconcile->asked[0]));
	reconcile->stage = reconcile->n_asked ? RECONCILE_ASKED : RECONCILE_IDLE;
	reconcile->asked_ns = e->now_ns;
	if (reconcile->n_asked)
		engine_arm(e, e->now_ns);
}

static bool is_dry(const struct reconcile *reconcile)
{
	return reconcile->n_asked && reconcile->asked[0].dry_run;
}

bool reconcile_wants_observation(const struct iso_engine *e)
{
	return e->reconcile.stage == RECONCILE_ASKED;
}

/*
 * An observation begins. A dry run needs one of its own, which must not keep
 * one that is taken in waiting for long. Return: whether it is only looked at.
 */
bool reconcile_begin(struct iso_engine *e)
{
	struct reconcile *reconcile = &e->reconcile;
	bool waited = e->now_ns - reconcile->asked_ns >= e->policy.observe_ns;
	bool asked = reconcile->stage == RECONCILE_ASKED;

	if (asked && is_dry(reconcile) && (!e->observe_wanted || waited)) {
		reconcile->stage = RECONCILE_LOOKING;
		return true;
	}
	if (asked && !is_dry(reconcile))
		reconcile->stage = RECONCILE_LOOKING;
	reconcile->looks_at_gap |= reconcile->gap || !e->observed;
	reconcile->gap = false;
	return false;
}

void reconcile_gap(struct iso_engine *e)
{
	e->reconcile.gap = true;
}

/* Something is wanted of this observation besides taking it in. Return: whether it is taken in. */
bool reconcile_observed(struct iso_engine *e, const struct iso_snapshot *snapshot)
{
	struct reconcile *reconcile = &e->reconcile;
	bool asked = reconcile->stage == RECONCILE_LOOKING;
	bool dry = asked && is_dry(reconcile);
	/* Those of a request are not to be overwritten: somebody may still look at them. */
	struct finding_list list = {
		.at = asked ? reconcile->findings : reconcile->gap_findings,
		.room = FINDINGS_MAX,
	};

	if (!asked && !reconcile->looks_at_gap)
		return true;
	compare(e, snapshot, &list);
	if (asked) {
		reconcile->n_findings = list.n;
		reconcile->stage = RECONCILE_COMPARED;
	}
	if (dry)
		return false;
	if (!asked) {
		find_standing(e, &list);
		tell(e, &list);
	}
	reconcile->looks_at_gap = false;
	return true;
}

void reconcile_observation_ended(struct iso_engine *e, const struct iso_completion *completion)
{
	struct reconcile *reconcile = &e->reconcile;

	if (completion->result < 0) {
		reconcile->gap |= reconcile->looks_at_gap;
		reconcile->looks_at_gap = false;
	}
	if (reconcile->stage != RECONCILE_LOOKING)
		return;
	if (completion->result < 0)
		answer(e, ISO_REPLY_NOT_OBSERVED, completion->message);
	else
		reconcile->stage = RECONCILE_ASKED; /* it showed an older world: once more */
}

static void finish(struct iso_engine *e, enum iso_reply reply, const char *text)
{
	struct reconcile *reconcile = &e->reconcile;
	struct finding_list list = {
		.at = reconcile->findings, .room = FINDINGS_MAX, .n = reconcile->n_findings};

	find_standing(e, &list);
	reconcile->n_findings = list.n;
	if (!is_dry(reconcile))
		tell(e, &list);
	answer(e, reply, text);
}

/* After the observation comes the question who maps what, if anybody could. */
void reconcile_advance(struct iso_engine *e)
{
	struct reconcile *reconcile = &e->reconcile;

	if (reconcile->stage != RECONCILE_COMPARED || e->inspect_operation)
		return;
	if (inspection_now(e))
		reconcile->stage = RECONCILE_INSPECTING;
	else
		finish(e, ISO_REPLY_DONE, NULL);
}

/* Not knowing who maps what is not the same as nobody doing it. */
void reconcile_inspection_ended(struct iso_engine *e, const struct iso_completion *completion)
{
	char text[ISO_TEXT_BYTES];

	if (e->reconcile.stage != RECONCILE_INSPECTING)
		return;
	if (completion->result >= 0) {
		finish(e, ISO_REPLY_DONE, NULL);
		return;
	}
	snprintf(text, sizeof(text), "who maps what: %.170s", completion->message);
	finish(e, ISO_REPLY_NOT_OBSERVED, text);
}
