/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "health.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

struct rule {
	const char *source; /* NULL: any */
	const char *kind; /* a '*' at its end: what begins so; behind ':' the begin of the text */
	uint32_t scope; /* enum health_scope */
	uint32_t severity; /* at least */
	uint64_t failing_ns, degraded_ns; /* after the record; degraded includes failing */
	const char *words;
};

/*
 * The first that fits counts. What leaves the kernel's locks in doubt is
 * "failing" for as long as it takes to say so again: a lockup within a minute, a
 * stall of RCU within two, a hung task within four, two periods of khungtaskd.
 */
static const struct rule rules[] = {
	{"kernel-log", "oops", HEALTH_HOST, 0, MINUTE, HOUR, "kernel oops"},
	{"kernel-log", "hard-lockup", HEALTH_HOST, 0, MINUTE, HOUR, "hard lockup"},
	{"kernel-log", "soft-lockup", HEALTH_HOST, 0, MINUTE, 10 * MINUTE, "soft lockup"},
	{"kernel-log", "rcu-stall", HEALTH_HOST, 0, 5 * MINUTE, 10 * MINUTE, "RCU stall"},
	{"kernel-log", "stack:hung-task in ", HEALTH_HOST, 0, 5 * MINUTE, 10 * MINUTE,
	 "kernel hangs in cxl or dax"},
	{"kernel-log", "stack:rcu-stall in ", HEALTH_HOST, 0, 5 * MINUTE, 10 * MINUTE,
	 "kernel hangs in cxl or dax"},
	{"kernel-log", "stack", HEALTH_HOST, 0, MINUTE, 10 * MINUTE,
	 "kernel fails or hangs in cxl or dax"},
	{"kernel-log", "hung-task", HEALTH_HOST, 0, 0, 10 * MINUTE, "hung task"},
	{"kernel-log", "bug", HEALTH_HOST, 0, 0, HOUR, "kernel bug"},
	{"kernel-log", "warning", HEALTH_HOST, 0, 0, 10 * MINUTE, "kernel warning"},
	{"kernel-log", "iommu-fault", HEALTH_HOST, 0, 0, 10 * MINUTE, "IOMMU fault"},
	{"kernel-log", "machine-check", HEALTH_HOST, 0, 0, HOUR, "machine check"},
	{"kernel-log", "out-of-memory", HEALTH_HOST, 0, 0, 10 * MINUTE, "out of memory"},
	{"kernel-log", "process-fault", HEALTH_VM, 0, MINUTE, 10 * MINUTE,
	 "its process died of a fault"},
	{"trace", "mce_record", HEALTH_HOST, 0, 0, HOUR, "machine check"},
	{"trace", "aer_event", HEALTH_DOMAIN, STORE_ERROR, MINUTE, 10 * MINUTE,
	 "uncorrected PCIe error"},
	{"trace", "aer_event", HEALTH_DOMAIN, 0, 0, MINUTE, "corrected PCIe error"},
	{"trace", "cxl_*", HEALTH_MEMDEV, STORE_ERROR, 0, HOUR, "uncorrected error"},
	{"trace", "cxl_*", HEALTH_MEMDEV, STORE_WARNING, 0, 10 * MINUTE, "corrected error"},
	{"aer-counters", "nonfatal", HEALTH_DOMAIN, 0, 0, 10 * MINUTE,
	 "uncorrected PCIe errors counted"},
	{"aer-counters", "fatal", HEALTH_DOMAIN, 0, 0, 10 * MINUTE, "fatal PCIe errors counted"},
	{"device-health", "health", HEALTH_MEMDEV, STORE_ERROR, UINT64_MAX, UINT64_MAX,
	 "says of itself"},
	{"device-health", "health", HEALTH_MEMDEV, STORE_WARNING, 0, UINT64_MAX, "says of itself"},
	{"qmp", "guest-panicked", HEALTH_VM, 0, MINUTE, 10 * MINUTE, "guest panicked"},
	{"qmp", "memory-failure", HEALTH_VM, 0, 0, 10 * MINUTE, "was told of failed memory"},
	{"last-boot", "panic", HEALTH_HOST, 0, 0, 24 * HOUR, "an earlier boot panicked"},
	{NULL, "gap", HEALTH_HOST, 0, 0, MINUTE, "records were lost"},
};

enum { RULES = sizeof(rules) / sizeof(rules[0]) };

static bool kind_fits(const char *pattern, const struct store_event *record)
{
	const char *kind = record->kind;
	size_t n = strcspn(pattern, "*:");

	if (strncmp(pattern, kind, n) != 0 || (pattern[n] != '*' && kind[n]))
		return false;
	return pattern[n] != ':' ||
	       !strncmp(pattern + n + 1, record->text, strlen(pattern + n + 1));
}

static unsigned int find_rule(const struct store_event *record)
{
	unsigned int i;

	for (i = 0; i < RULES; i++)
		if ((!rules[i].source || !strcmp(rules[i].source, record->source)) &&
		    kind_fits(rules[i].kind, record) && record->severity >= rules[i].severity)
			break;
	return i;
}

/* Return: false when it does not say whom it is about. */
static bool unit_of(const struct store_event *record, uint32_t scope, char unit[ISO_PATH_BYTES])
{
	unit[0] = '\0';
	switch (scope) {
	case HEALTH_HOST:
		return true;
	case HEALTH_DOMAIN:
		snprintf(unit, ISO_PATH_BYTES, "%s", record->domain);
		break;
	case HEALTH_MEMDEV:
		if (record->has_serial)
			snprintf(unit, ISO_PATH_BYTES, "0x%" PRIx64, record->serial);
		break;
	case HEALTH_VM:
		snprintf(unit, ISO_PATH_BYTES, "%s", record->lease);
		break;
	}
	return unit[0] != '\0';
}

static uint64_t end_of(uint64_t begin, uint64_t length)
{
	return length > UINT64_MAX - begin ? UINT64_MAX : begin + length;
}

/* The same reason at the same unit, else a free place, else that of the oldest. */
static struct health_reason *place_for(struct health *health, unsigned int rule, const char *unit)
{
	struct health_reason *oldest = &health->reasons[0];

	for (uint32_t i = 0; i < health->n; i++) {
		struct health_reason *reason = &health->reasons[i];

		if (reason->rule == rule && !strcmp(reason->unit, unit))
			return reason;
		if (reason->last_ns < oldest->last_ns)
			oldest = reason;
	}
	if (health->n < HEALTH_REASONS_MAX)
		oldest = &health->reasons[health->n++];
	*oldest = (struct health_reason){.rule = (uint16_t)rule};
	snprintf(oldest->unit, sizeof(oldest->unit), "%s", unit);
	return oldest;
}

/* What a device says of itself now replaces what it said before. */
static void forget_health_of(struct health *health, const char *unit)
{
	for (uint32_t i = 0; i < health->n;) {
		struct health_reason *reason = &health->reasons[i];

		if (rules[reason->rule].degraded_ns == UINT64_MAX && !strcmp(reason->unit, unit))
			*reason = health->reasons[--health->n];
		else
			i++;
	}
}

bool health_take(struct health *health, const struct store_event *record)
{
	unsigned int rule = find_rule(record);
	struct health_reason *reason;
	char unit[ISO_PATH_BYTES];

	if (record->synthetic) /* a drill says nothing of how the host is, and closes no gate of it */
		return false;
	if (!strcmp(record->source, "device-health") && unit_of(record, HEALTH_MEMDEV, unit))
		forget_health_of(health, unit);
	if (rule == RULES || !unit_of(record, rules[rule].scope, unit))
		return false;
	reason = place_for(health, rule, unit);
	reason->count++;
	if (record->at_ns >= reason->last_ns) {
		reason->last_ns = record->at_ns;
		snprintf(reason->text, sizeof(reason->text), "%s", record->text);
	}
	return true;
}

void health_add(struct health_verdict *verdict, enum health_state state, const char *reason)
{
	char before[ISO_TEXT_BYTES];

	memcpy(before, verdict->reasons, sizeof(before));
	if (!before[0])
		snprintf(verdict->reasons, sizeof(verdict->reasons), "%s", reason);
	else if (state > verdict->state)
		snprintf(verdict->reasons, sizeof(verdict->reasons), "%.*s; %.90s",
			 ISO_TEXT_BYTES - 96, reason, before);
	else if (strlen(before) + 3 < sizeof(before))
		snprintf(verdict->reasons + strlen(before), sizeof(before) - strlen(before), "; %s",
			 reason);
	if (state > verdict->state)
		verdict->state = state;
}

static void judge_one(const struct health_reason *reason, uint64_t now_ns,
		      struct health_verdict *ret)
{
	const struct rule *rule = &rules[reason->rule];
	uint64_t failing = rule->failing_ns ? end_of(reason->last_ns, rule->failing_ns) : 0;
	uint64_t degraded = end_of(reason->last_ns, rule->degraded_ns);
	bool is_failing = now_ns < failing;
	char text[ISO_TEXT_BYTES], times[32] = "";
	uint64_t until = is_failing ? failing : degraded;

	if (!is_failing && now_ns >= degraded)
		return;
	if (reason->count > 1)
		snprintf(times, sizeof(times), " (%" PRIu64 " times)", reason->count);
	snprintf(text, sizeof(text), "%s%s: %.110s", rule->words, times, reason->text);
	health_add(ret, is_failing ? HEALTH_FAILING : HEALTH_DEGRADED, text);
	if (until < ret->until_ns)
		ret->until_ns = until;
}

void health_judge(const struct health *health, enum health_scope scope, const char *unit,
		  uint64_t now_ns, struct health_verdict *ret)
{
	*ret = (struct health_verdict){.until_ns = UINT64_MAX};
	for (uint32_t i = 0; i < health->n; i++) {
		const struct health_reason *reason = &health->reasons[i];

		if (rules[reason->rule].scope == scope &&
		    (scope == HEALTH_HOST || !strcmp(reason->unit, unit)))
			judge_one(reason, now_ns, ret);
	}
}

uint32_t health_reason_scope(const struct health_reason *reason)
{
	return rules[reason->rule].scope;
}

const char *health_state_name(uint32_t state)
{
	static const char *const names[HEALTH_STATES] = {"ok", "degraded", "failing"};

	return state < HEALTH_STATES ? names[state] : "unknown";
}

const char *health_scope_name(uint32_t scope)
{
	static const char *const names[HEALTH_SCOPES] = {"host", "domain", "memdev", "vm"};

	return scope < HEALTH_SCOPES ? names[scope] : "unknown";
}
