/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policy rules: which records, how many of them within which time, call for
 * which action. Like the engine it reads no clock, does no I/O and allocates
 * nothing after iso_rules_init(): the same records at the same times give the
 * same firings. Times are CLOCK_BOOTTIME nanoseconds of this boot; what is
 * older than the boot has a negative one.
 *
 * A rule counts apart for each unit, domain or VM its records name, and what
 * was injected apart from what hardware told. When as
 * many as its threshold lie within its window it fires its first action; what
 * else comes of the same storm is counted and fires nothing until nothing has
 * matched for as long as the hold-off. An action that fails, or has not ended
 * well by its deadline, or was followed by as many records again, is followed
 * by the rule's next action.
 */
#ifndef ISOLATE_RULES_H
#define ISOLATE_RULES_H

#include <isolate/event.h>
#include <isolate/types.h>

enum {
	ISO_RULES_MAX = 128,
	ISO_RULE_STAGES_MAX = 4, /* actions of one rule, one after another */
	ISO_RULE_FIELDS_MAX = 8, /* comparisons of one rule */
	ISO_RULE_THRESHOLD_MAX = 4096,
	ISO_RULE_COUNTS_MAX = 512, /* units, domains and VMs that are counted at once */
	ISO_RULE_TIMES_MAX = 16384, /* records that are remembered at once, of all rules */
	ISO_RULE_PATTERN_BYTES = 128,
	ISO_RULE_FIELD_BYTES = 48,
	ISO_RECORD_VMS_MAX = 16, /* VMs one record names */
};

enum iso_severity {
	ISO_SEVERITY_INFO,
	ISO_SEVERITY_WARNING,
	ISO_SEVERITY_ERROR,
	ISO_SEVERITY_FATAL,
	ISO_SEVERITIES,
};

enum iso_operator {
	ISO_OPERATOR_EQUAL,
	ISO_OPERATOR_NOT_EQUAL,
	ISO_OPERATOR_LESS,
	ISO_OPERATOR_AT_MOST,
	ISO_OPERATOR_MORE,
	ISO_OPERATOR_AT_LEAST,
	ISO_OPERATOR_HAS_BITS, /* all of these bits are set */
	ISO_OPERATOR_LIKE,     /* a pattern as of iso_rule_like() */
	ISO_OPERATORS,
};

/* One decoded field of a record; pointers are borrowed for the call. */
struct iso_field {
	const char *name;
	const char *text; /* as people write it; never NULL */
	uint64_t number;
	bool has_number;
};

/* A record that lacks the field does not match. */
struct iso_comparison {
	char name[ISO_RULE_FIELD_BYTES];
	uint32_t op; /* enum iso_operator */
	char text[ISO_RULE_FIELD_BYTES];
	uint64_t number;
	bool has_number; /* else texts are compared: equal, not equal, like */
};

enum iso_synthetic {
	ISO_SYNTHETIC_ANY,
	ISO_SYNTHETIC_NO,   /* records of hardware only */
	ISO_SYNTHETIC_ONLY, /* injected ones only */
	ISO_SYNTHETICS,
};

enum iso_per {
	ISO_PER_UNIT,
	ISO_PER_DOMAIN,
	ISO_PER_VM,
	ISO_PER_HOST, /* all of them together */
	ISO_PERS,
};

struct iso_rule_stage {
	uint32_t action; /* enum iso_action */
	uint64_t deadline_ns; /* until the next stage; 0: there is none */
	char start_unit[ISO_RULE_PATTERN_BYTES]; /* START_UNIT: of the service manager */
};

struct iso_rule {
	char name[ISO_NAME_BYTES];
	/* Patterns as of iso_rule_like(), separated by spaces, one of which has to fit; empty: all. */
	char source[ISO_RULE_PATTERN_BYTES];
	char kind[ISO_RULE_PATTERN_BYTES];
	char unit[ISO_RULE_PATTERN_BYTES];
	char domain[ISO_RULE_PATTERN_BYTES];
	char vm[ISO_RULE_PATTERN_BYTES]; /* any VM of the record's */
	uint32_t severity; /* enum iso_severity, at least */
	uint32_t synthetic; /* enum iso_synthetic */
	uint32_t per; /* enum iso_per */
	uint32_t threshold;
	uint32_t n_fields;
	uint32_t n_stages;
	uint64_t window_ns;
	uint64_t hold_off_ns; /* without a match until the next storm may fire */
	struct iso_comparison fields[ISO_RULE_FIELDS_MAX]; /* all have to hold */
	struct iso_rule_stage stages[ISO_RULE_STAGES_MAX];
};

/* What happened, as far as rules see it; pointers are borrowed for the call and never NULL. */
struct iso_record {
	const char *source, *kind;
	const char *unit; /* stable path where there is one; may be empty, as the next one */
	const char *name; /* of the unit as the kernel names it now */
	const char *domain; /* path of its first root port */
	const char *vms[ISO_RECORD_VMS_MAX]; /* whom it concerns */
	uint32_t n_vms;
	uint32_t severity; /* enum iso_severity */
	bool synthetic;
	bool has_serial;
	uint64_t serial; /* of the memdev it names */
	const struct iso_field *fields;
	uint32_t n_fields;
	uint32_t count; /* how many it stands for; 0 is one */
	int64_t at_ns; /* when it happened, which may be long ago */
};

/* What an action is about: as the last record that counted had it. */
struct iso_target {
	char unit[ISO_PATH_BYTES];
	char domain[ISO_PATH_BYTES];
	char vm[ISO_NAME_BYTES]; /* of a rule that counts per VM; else empty */
	uint64_t serial;
	bool has_serial;
	bool synthetic;
	int64_t record_ns;
};

struct iso_firing {
	uint64_t id; /* for iso_rules_outcome() */
	uint32_t rule; /* index in the loaded set */
	uint32_t stage;
	uint32_t action; /* enum iso_action */
	uint32_t count; /* records within the window */
	struct iso_target target;
};

/* A firing of before, as it is put back at start. */
struct iso_fired {
	char rule[ISO_NAME_BYTES];
	uint64_t digest; /* iso_rule_digest() of the rule as it was then */
	char key[ISO_PATH_BYTES]; /* the unit, domain or VM */
	bool synthetic; /* of injected records */
	int64_t at_ns;
};

struct iso_rules;

/* Bytes of memory a set of rules needs, whatever is in it. */
size_t iso_rules_bytes(void);
/* Builds an empty set in `memory`, 64-byte aligned. A copy of these bytes is a set of its own. */
struct iso_rules *iso_rules_init(void *memory);

/* What is wrong with a rule by itself. Return: NULL, or a static sentence. */
const char *iso_rule_check(const struct iso_rule *rule);
/* Whether `text` fits one of the patterns: '*' is any text, '?' any character. */
bool iso_rule_like(const char *patterns, const char *text);
/* A number that two rules share when they match, count and act alike. */
uint64_t iso_rule_digest(const struct iso_rule *rule);

/*
 * Takes another set, whose rules were checked and have names of their own; at
 * most ISO_RULES_MAX. What was counted of rules that did not change stays.
 */
void iso_rules_load(struct iso_rules *rules, const struct iso_rule *set, uint32_t n);
/* How many there are. */
uint32_t iso_rules_count(const struct iso_rules *rules);
/* Rule `i` of the loaded set, or NULL. */
const struct iso_rule *iso_rules_get(const struct iso_rules *rules, uint32_t i);

/* What of a record is worth looking up before it is given to the rules. */
struct iso_rules_wish {
	bool fields; /* some rule that it may fit compares fields */
	bool vms; /* ... asks for VMs */
};

/* Whether some rule may fit a record of that source, kind and severity; in a storm most of the work is saved by asking. */
bool iso_rules_want(const struct iso_rules *rules, const char *source, const char *kind,
		    uint32_t severity, struct iso_rules_wish *ret);

/*
 * Counts one record at its own time, `now_ns` being now, and says what is to be
 * done. Return: how many of `ret` were filled in; what found no room there is
 * counted in iso_rules_missed().
 */
uint32_t iso_rules_record(struct iso_rules *rules, const struct iso_record *record, int64_t now_ns,
			  struct iso_firing *ret, uint32_t room);
/* The same at a start: a record that was seen before is counted and fires nothing. */
void iso_rules_restore(struct iso_rules *rules, const struct iso_record *record, int64_t now_ns);
/* A firing of before a start: its storm fires no more. Of a rule that is not as it was: ignored. */
void iso_rules_restore_fired(struct iso_rules *rules, const struct iso_fired *fired,
			     int64_t now_ns);
/* The unit, domain or VM a firing was counted for. Return: "" for one that is over. */
const char *iso_rules_key(const struct iso_rules *rules, uint64_t id);

/*
 * How an action ended. When it failed the rule's next action may follow at
 * once. Return: whether `ret` was filled in.
 */
bool iso_rules_outcome(struct iso_rules *rules, uint64_t id, bool good, int64_t now_ns,
		       struct iso_firing *ret);
/* When iso_rules_timer() is wanted next; INT64_MAX: never. */
int64_t iso_rules_next_deadline(const struct iso_rules *rules);
/* Actions whose deadline passed. Return: how many of `ret` were filled in; the others stay due. */
uint32_t iso_rules_timer(struct iso_rules *rules, int64_t now_ns, struct iso_firing *ret,
			 uint32_t room);

/* Records that could not be counted and firings that found no room: tables were full. */
uint64_t iso_rules_missed(const struct iso_rules *rules);

enum iso_rule_word {
	ISO_RULE_SOURCE, /* what does not fit */
	ISO_RULE_KIND,
	ISO_RULE_SEVERITY,
	ISO_RULE_UNIT,
	ISO_RULE_DOMAIN,
	ISO_RULE_VM,
	ISO_RULE_FIELD,
	ISO_RULE_SYNTHETIC,
	ISO_RULE_NO_KEY, /* it names no unit, domain or VM to count it for */
	ISO_RULE_TOO_OLD, /* it lies before the window */
	ISO_RULE_COUNTED, /* counted; fewer than the threshold */
	ISO_RULE_HELD_OFF, /* of a storm that has fired */
	ISO_RULE_ACTING, /* its action is under way */
	ISO_RULE_FIRES,
	ISO_RULE_WORDS,
};

struct iso_explanation {
	uint32_t word; /* enum iso_rule_word */
	uint32_t field; /* FIELD: which comparison */
	char key[ISO_PATH_BYTES]; /* for whom it is counted */
	uint32_t count; /* within the window, this one included */
	uint32_t stage; /* ACTING */
	int64_t until_ns; /* HELD_OFF, ACTING */
};

/* What a rule would make of a record now; changes nothing. `rule` below iso_rules_count(). */
void iso_rules_explain(const struct iso_rules *rules, uint32_t rule,
		       const struct iso_record *record, int64_t now_ns,
		       struct iso_explanation *ret);

/* How it stands with rule `i`: for whom it counts, most records first to be seen. */
struct iso_rule_state {
	uint32_t n_keys; /* counted for */
	uint32_t n_acting;
	uint64_t n_matched, n_fired; /* since it was loaded */
	uint32_t count; /* the highest now */
	char key[ISO_PATH_BYTES]; /* who has it */
};

/* Fills in how it stands with a rule. Return: whether there is one. */
bool iso_rules_state(const struct iso_rules *rules, uint32_t rule, int64_t now_ns,
		     struct iso_rule_state *ret);

/* Name of an iso_severity, for people and files; never NULL, as of all below. */
const char *iso_severity_name(uint32_t severity);
/* How an iso_operator is written. */
const char *iso_operator_name(uint32_t op);
/* Name of an iso_synthetic. */
const char *iso_synthetic_name(uint32_t synthetic);
/* Name of an iso_per. */
const char *iso_per_name(uint32_t per);
/* What an iso_rule_word means, as half a sentence. */
const char *iso_rule_word_text(uint32_t word);

#endif
