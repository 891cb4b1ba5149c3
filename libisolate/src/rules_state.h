/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A set of policy rules and what it has counted; shared by rules*.c only. */
#ifndef ISOLATE_RULES_STATE_H
#define ISOLATE_RULES_STATE_H

#include <assert.h>
#include <string.h>

#include <isolate/rules.h>
#include <isolate/view.h>

/* One record that was counted. */
struct moment {
	int64_t at_ns;
	uint32_t newer, older; /* of the same count; ISO_NONE: none */
};

/* What one rule has counted for one unit, domain or VM. */
struct count {
	char key[ISO_PATH_BYTES];
	struct iso_target target;
	int64_t quiet_from_ns; /* of a storm that has fired: when it is over */
	int64_t began_ns, deadline_ns; /* of the action under way */
	uint64_t n_since; /* records since that began */
	uint32_t rule;
	uint32_t newest, oldest, n; /* of its moments */
	uint32_t stage;
	uint32_t turn; /* tells an action from an earlier one in the same place */
	bool used;
	bool synthetic; /* of injected records only: a drill neither uses up nor holds off what hardware calls for */
	bool held_off; /* its storm has fired and is not over */
	bool acting;
	bool done; /* the action under way has ended well */
};

struct rule_tally {
	uint64_t n_matched, n_fired;
};

/* No pointers: a copy is a set of its own. */
struct iso_rules {
	struct iso_rule set[ISO_RULES_MAX];
	struct rule_tally tallies[ISO_RULES_MAX];
	struct count counts[ISO_RULE_COUNTS_MAX];
	uint32_t n, free_moment;
	uint32_t n_moments; /* high water mark: what lies beyond was never touched */
	uint64_t n_missed;
	struct moment moments[ISO_RULE_TIMES_MAX];
};

/* rules_match.c: why a record does not match. Return: ISO_RULE_FIRES when it does; of FIELD `ret_field`. */
enum iso_rule_word rules_match(const struct iso_rule *rule, const struct iso_record *record,
			       uint32_t *ret_field);
/* The nth unit, domain or VM that a record is counted for, or NULL. */
const char *rules_key(const struct iso_rule *rule, const struct iso_record *record, uint32_t nth);

#endif
