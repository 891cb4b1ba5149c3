/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counting records within windows, and which action comes next. */
#include <stddef.h>

#include "rules_state.h"

static void copy(char *to, size_t room, const char *from)
{
	size_t length = strnlen(from, room - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

size_t iso_rules_bytes(void)
{
	return (sizeof(struct iso_rules) + 63) / 64 * 64;
}

struct iso_rules *iso_rules_init(void *memory)
{
	struct iso_rules *rules = memory;

	memset(rules, 0, offsetof(struct iso_rules, moments));
	rules->free_moment = ISO_NONE;
	return rules;
}

uint32_t iso_rules_count(const struct iso_rules *rules)
{
	return rules->n;
}

const struct iso_rule *iso_rules_get(const struct iso_rules *rules, uint32_t i)
{
	return i < rules->n ? &rules->set[i] : NULL;
}

uint64_t iso_rules_missed(const struct iso_rules *rules)
{
	return rules->n_missed;
}

/* ---- moments: of each count the newest ones, at most as many as its threshold ---- */

static void drop_oldest(struct iso_rules *rules, struct count *count)
{
	uint32_t m = count->oldest;

	count->oldest = rules->moments[m].newer;
	if (count->oldest == ISO_NONE)
		count->newest = ISO_NONE;
	else
		rules->moments[count->oldest].older = ISO_NONE;
	count->n--;
	rules->moments[m].older = rules->free_moment;
	rules->free_moment = m;
}

static int64_t window_start(const struct iso_rules *rules, const struct count *count,
			    int64_t now_ns)
{
	return now_ns - (int64_t)rules->set[count->rule].window_ns;
}

static void expire(struct iso_rules *rules, struct count *count, int64_t now_ns)
{
	int64_t start_ns = window_start(rules, count, now_ns);

	while (count->n && rules->moments[count->oldest].at_ns <= start_ns)
		drop_oldest(rules, count);
	if (count->held_off && count->quiet_from_ns <= now_ns)
		count->held_off = false;
}

static void expire_all(struct iso_rules *rules, int64_t now_ns)
{
	uint32_t i;

	for (i = 0; i < ISO_RULE_COUNTS_MAX; i++)
		if (rules->counts[i].used)
			expire(rules, &rules->counts[i], now_ns);
}

static uint32_t take_moment(struct iso_rules *rules, int64_t now_ns)
{
	uint32_t m;

	if (rules->free_moment == ISO_NONE && rules->n_moments < ISO_RULE_TIMES_MAX)
		return rules->n_moments++;
	if (rules->free_moment == ISO_NONE)
		expire_all(rules, now_ns);
	m = rules->free_moment;
	if (m != ISO_NONE)
		rules->free_moment = rules->moments[m].older;
	return m;
}

static void insert(struct iso_rules *rules, struct count *count, uint32_t m, int64_t at_ns)
{
	struct moment *moment = &rules->moments[m];
	uint32_t older = count->newest, newer = ISO_NONE;

	while (older != ISO_NONE && rules->moments[older].at_ns > at_ns) {
		newer = older;
		older = rules->moments[older].older;
	}
	*moment = (struct moment){.at_ns = at_ns, .newer = newer, .older = older};
	*(newer == ISO_NONE ? &count->newest : &rules->moments[newer].older) = m;
	*(older == ISO_NONE ? &count->oldest : &rules->moments[older].newer) = m;
	count->n++;
}

static void add_moments(struct iso_rules *rules, struct count *count, uint32_t n, int64_t at_ns,
			int64_t now_ns)
{
	uint32_t threshold = rules->set[count->rule].threshold, m;

	for (n = n < threshold ? n : threshold; n; n--) {
		if (count->n == threshold) {
			if (rules->moments[count->oldest].at_ns >= at_ns)
				return;
			drop_oldest(rules, count);
		}
		m = take_moment(rules, now_ns);
		if (m == ISO_NONE) {
			rules->n_missed++;
			return;
		}
		insert(rules, count, m, at_ns);
	}
}

/* ---- counts ---- */

static void free_count(struct iso_rules *rules, struct count *count)
{
	while (count->n)
		drop_oldest(rules, count);
	count->used = count->acting = false;
}

static uint32_t find_count(const struct iso_rules *rules, uint32_t rule, const char *key,
			   bool synthetic)
{
	uint32_t i;

	for (i = 0; i < ISO_RULE_COUNTS_MAX; i++)
		if (rules->counts[i].used && rules->counts[i].rule == rule &&
		    rules->counts[i].synthetic == synthetic &&
		    !strncmp(rules->counts[i].key, key, ISO_PATH_BYTES - 1))
			return i;
	return ISO_NONE;
}

static bool is_idle(const struct count *count)
{
	return !count->n && !count->acting && !count->held_off;
}

static uint32_t free_place(struct iso_rules *rules, int64_t now_ns)
{
	uint32_t i;

	for (i = 0; i < ISO_RULE_COUNTS_MAX; i++)
		if (!rules->counts[i].used)
			return i;
	expire_all(rules, now_ns);
	for (i = 0; i < ISO_RULE_COUNTS_MAX; i++)
		if (is_idle(&rules->counts[i]))
			return i;
	return ISO_NONE;
}

static struct count *count_for(struct iso_rules *rules, uint32_t rule, const char *key,
			       bool synthetic, int64_t now_ns)
{
	uint32_t i = find_count(rules, rule, key, synthetic), turn;
	struct count *count;

	if (i != ISO_NONE)
		return &rules->counts[i];
	i = free_place(rules, now_ns);
	if (i == ISO_NONE)
		return NULL;
	count = &rules->counts[i];
	turn = count->turn;
	*count = (struct count){
		.used = true,
		.synthetic = synthetic,
		.rule = rule,
		.turn = turn,
		.newest = ISO_NONE,
		.oldest = ISO_NONE,
	};
	copy(count->key, sizeof(count->key), key);
	return count;
}

static void aim(struct count *count, const struct iso_rule *rule, const struct iso_record *record,
		const char *key)
{
	count->target = (struct iso_target){
		.serial = record->serial,
		.has_serial = record->has_serial,
		.synthetic = record->synthetic,
		.record_ns = record->at_ns,
	};
	copy(count->target.unit, sizeof(count->target.unit),
	     record->unit[0] ? record->unit : record->name);
	copy(count->target.domain, sizeof(count->target.domain), record->domain);
	if (rule->per == ISO_PER_VM)
		copy(count->target.vm, sizeof(count->target.vm), key);
}

/* ---- acting ---- */

static void begin(struct iso_rules *rules, struct count *count, uint32_t stage, int64_t now_ns,
		  struct iso_firing *ret)
{
	const struct iso_rule *rule = &rules->set[count->rule];
	uint64_t deadline_ns = rule->stages[stage].deadline_ns;

	count->turn++;
	count->stage = stage;
	count->acting = deadline_ns != 0;
	count->done = false;
	count->n_since = 0;
	count->began_ns = now_ns;
	count->deadline_ns = now_ns + (int64_t)deadline_ns;
	rules->tallies[count->rule].n_fired++;
	*ret = (struct iso_firing){
		.id = (uint64_t)count->turn << 16 | (uint64_t)(count - rules->counts),
		.rule = count->rule,
		.stage = stage,
		.action = rule->stages[stage].action,
		.count = count->n,
		.target = count->target,
	};
}

static struct count *firing_of(const struct iso_rules *rules, uint64_t id)
{
	uint64_t i = id & 0xffff;

	if (i >= ISO_RULE_COUNTS_MAX || !rules->counts[i].used ||
	    rules->counts[i].turn != (uint32_t)(id >> 16))
		return NULL;
	return (struct count *)&rules->counts[i];
}

const char *iso_rules_key(const struct iso_rules *rules, uint64_t id)
{
	const struct count *count = firing_of(rules, id);

	return count ? count->key : "";
}

static bool has_next(const struct iso_rules *rules, const struct count *count)
{
	return count->stage + 1 < rules->set[count->rule].n_stages;
}

bool iso_rules_outcome(struct iso_rules *rules, uint64_t id, bool good, int64_t now_ns,
		       struct iso_firing *ret)
{
	struct count *count = firing_of(rules, id);

	if (!count || !count->acting)
		return false;
	count->done = good;
	if (good || !has_next(rules, count))
		return false;
	begin(rules, count, count->stage + 1, now_ns, ret);
	return true;
}

int64_t iso_rules_next_deadline(const struct iso_rules *rules)
{
	int64_t next_ns = INT64_MAX;
	uint32_t i;

	for (i = 0; i < ISO_RULE_COUNTS_MAX; i++)
		if (rules->counts[i].used && rules->counts[i].acting &&
		    rules->counts[i].deadline_ns < next_ns)
			next_ns = rules->counts[i].deadline_ns;
	return next_ns;
}

static bool persists(const struct iso_rules *rules, const struct count *count)
{
	return count->n_since >= rules->set[count->rule].threshold;
}

uint32_t iso_rules_timer(struct iso_rules *rules, int64_t now_ns, struct iso_firing *ret,
			 uint32_t room)
{
	uint32_t i, n = 0;

	for (i = 0; i < ISO_RULE_COUNTS_MAX; i++) {
		struct count *count = &rules->counts[i];

		if (!count->used || !count->acting || count->deadline_ns > now_ns)
			continue;
		if ((count->done && !persists(rules, count)) || !has_next(rules, count))
			count->acting = false;
		else if (n < room)
			begin(rules, count, count->stage + 1, now_ns, &ret[n++]);
	}
	return n;
}

/* ---- records ---- */

static void hold_off(const struct iso_rule *rule, struct count *count, int64_t at_ns)
{
	int64_t until_ns = at_ns + (int64_t)rule->hold_off_ns;

	if (!count->held_off || count->quiet_from_ns < until_ns)
		count->quiet_from_ns = until_ns;
	count->held_off = true;
}

/* Return: the count that has reached its threshold by this record and may fire, or NULL. */
static struct count *tally(struct iso_rules *rules, uint32_t r, const struct iso_record *record,
			   const char *key, int64_t now_ns)
{
	const struct iso_rule *rule = &rules->set[r];
	int64_t at_ns = record->at_ns < now_ns ? record->at_ns : now_ns;
	uint32_t n = record->count ? record->count : 1;
	struct count *count;

	if (at_ns <= now_ns - (int64_t)rule->window_ns)
		return NULL;
	count = count_for(rules, r, key, record->synthetic, now_ns);
	if (!count) {
		rules->n_missed++;
		return NULL;
	}
	expire(rules, count, now_ns);
	add_moments(rules, count, n, at_ns, now_ns);
	if (!count->target.record_ns || count->target.record_ns <= record->at_ns)
		aim(count, rule, record, key);
	if (count->acting && at_ns >= count->began_ns)
		count->n_since += n;
	if (count->held_off) {
		hold_off(rule, count, at_ns);
		return NULL;
	}
	return count->n >= rule->threshold && !count->acting ? count : NULL;
}

uint32_t iso_rules_record(struct iso_rules *rules, const struct iso_record *record, int64_t now_ns,
			  struct iso_firing *ret, uint32_t room)
{
	uint32_t r, k, field, n = 0;

	for (r = 0; r < rules->n; r++) {
		const struct iso_rule *rule = &rules->set[r];
		const char *key;

		if (rules_match(rule, record, &field) != ISO_RULE_FIRES)
			continue;
		rules->tallies[r].n_matched++;
		for (k = 0; (key = rules_key(rule, record, k)); k++) {
			struct count *count = tally(rules, r, record, key, now_ns);

			if (!count)
				continue;
			if (n == room) { /* it fires with its next record */
				rules->n_missed++;
				continue;
			}
			begin(rules, count, 0, now_ns, &ret[n++]);
			if (rule->hold_off_ns)
				hold_off(rule, count, now_ns);
			else
				while (count->n) /* the next storm counts from nothing */
					drop_oldest(rules, count);
		}
	}
	return n;
}

void iso_rules_restore(struct iso_rules *rules, const struct iso_record *record, int64_t now_ns)
{
	uint32_t r, k, field;
	const char *key;

	for (r = 0; r < rules->n; r++)
		if (rules_match(&rules->set[r], record, &field) == ISO_RULE_FIRES)
			for (k = 0; (key = rules_key(&rules->set[r], record, k)); k++)
				tally(rules, r, record, key, now_ns);
}

void iso_rules_restore_fired(struct iso_rules *rules, const struct iso_fired *fired, int64_t now_ns)
{
	struct count *count;
	uint32_t r, m;

	for (r = 0; r < rules->n && strcmp(rules->set[r].name, fired->rule); r++)
		;
	if (r == rules->n || iso_rule_digest(&rules->set[r]) != fired->digest)
		return;
	count = count_for(rules, r, fired->key, fired->synthetic, now_ns);
	if (!count)
		return;
	if (!rules->set[r].hold_off_ns) { /* what it had counted was used up */
		while (count->n && rules->moments[count->oldest].at_ns <= fired->at_ns)
			drop_oldest(rules, count);
		return;
	}
	/* What came after it held it off further. */
	hold_off(&rules->set[r], count, fired->at_ns);
	for (m = count->oldest; m != ISO_NONE; m = rules->moments[m].newer)
		if (rules->moments[m].at_ns > fired->at_ns &&
		    rules->moments[m].at_ns <= count->quiet_from_ns)
			hold_off(&rules->set[r], count, rules->moments[m].at_ns);
	expire(rules, count, now_ns);
}

/* ---- loading ---- */

/* Where a rule of the old set is in the new one, if it is the same. */
static uint32_t same_rule(const struct iso_rule *old, const struct iso_rule *set, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (!strcmp(old->name, set[i].name))
			return iso_rule_digest(old) == iso_rule_digest(&set[i]) ? i : ISO_NONE;
	return ISO_NONE;
}

void iso_rules_load(struct iso_rules *rules, const struct iso_rule *set, uint32_t n)
{
	struct rule_tally tallies[ISO_RULES_MAX] = {0};
	uint32_t place[ISO_RULES_MAX], i;

	assert(n <= ISO_RULES_MAX);
	for (i = 0; i < rules->n; i++) {
		place[i] = same_rule(&rules->set[i], set, n);
		if (place[i] != ISO_NONE)
			tallies[place[i]] = rules->tallies[i];
	}
	for (i = 0; i < ISO_RULE_COUNTS_MAX; i++) {
		struct count *count = &rules->counts[i];

		if (!count->used)
			continue;
		if (place[count->rule] == ISO_NONE)
			free_count(rules, count);
		else
			count->rule = place[count->rule];
	}
	if (n)
		memcpy(rules->set, set, n * sizeof(*set));
	memcpy(rules->tallies, tallies, sizeof(tallies));
	rules->n = n;
}

/* ---- looking ---- */

static uint32_t count_within(const struct iso_rules *rules, const struct count *count,
			     int64_t now_ns)
{
	int64_t start_ns = window_start(rules, count, now_ns);
	uint32_t m, n = 0;

	for (m = count->newest; m != ISO_NONE && rules->moments[m].at_ns > start_ns;
	     m = rules->moments[m].older)
		n++;
	return n;
}

static void explain_counted(const struct iso_rules *rules, uint32_t r, const char *key,
			    const struct iso_record *record, int64_t now_ns,
			    struct iso_explanation *ret)
{
	const struct iso_rule *rule = &rules->set[r];
	uint32_t i = find_count(rules, r, key, record->synthetic);
	const struct count *count = i == ISO_NONE ? NULL : &rules->counts[i];
	uint32_t more = record->count ? record->count : 1;

	copy(ret->key, sizeof(ret->key), key);
	ret->count = count ? count_within(rules, count, now_ns) : 0;
	ret->count += more < rule->threshold ? more : rule->threshold;
	if (count && count->acting) {
		ret->word = ISO_RULE_ACTING;
		ret->stage = count->stage;
		ret->until_ns = count->deadline_ns;
	} else if (count && count->held_off && count->quiet_from_ns > now_ns) {
		ret->word = ISO_RULE_HELD_OFF;
		ret->until_ns = count->quiet_from_ns;
	} else {
		ret->word = ret->count >= rule->threshold ? ISO_RULE_FIRES : ISO_RULE_COUNTED;
	}
}

void iso_rules_explain(const struct iso_rules *rules, uint32_t r, const struct iso_record *record,
		       int64_t now_ns, struct iso_explanation *ret)
{
	struct iso_explanation one;
	const char *key;
	uint32_t k;

	*ret = (struct iso_explanation){0};
	ret->word = rules_match(&rules->set[r], record, &ret->field);
	if (ret->word != ISO_RULE_FIRES)
		return;
	if (record->at_ns <= now_ns - (int64_t)rules->set[r].window_ns) {
		ret->word = ISO_RULE_TOO_OLD;
		return;
	}
	/* Of several VMs the one for whom most happens. */
	for (k = 0; (key = rules_key(&rules->set[r], record, k)); k++) {
		one = (struct iso_explanation){0};
		explain_counted(rules, r, key, record, now_ns, &one);
		if (!k || one.word > ret->word)
			*ret = one;
	}
}

bool iso_rules_state(const struct iso_rules *rules, uint32_t r, int64_t now_ns,
		     struct iso_rule_state *ret)
{
	uint32_t i, n;

	if (r >= rules->n)
		return false;
	*ret = (struct iso_rule_state){
		.n_matched = rules->tallies[r].n_matched,
		.n_fired = rules->tallies[r].n_fired,
	};
	for (i = 0; i < ISO_RULE_COUNTS_MAX; i++) {
		const struct count *count = &rules->counts[i];

		if (!count->used || count->rule != r)
			continue;
		n = count_within(rules, count, now_ns);
		ret->n_keys += n > 0 || count->acting;
		ret->n_acting += count->acting;
		if (n <= ret->count)
			continue;
		ret->count = n;
		copy(ret->key, sizeof(ret->key), count->key);
	}
	return true;
}
