/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A drill as it is written down: steps, and what has to come of them. Format: daxmgr-policy(5). */
#ifndef CTL_DRILL_H
#define CTL_DRILL_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-json.h>

enum {
	DRILL_STEPS_MAX = 64,
	DRILL_DOMAINS_MAX = 16,
	DRILL_TEXT_BYTES = 256,
	DRILL_COUNT_MAX = 4096
};

enum drill_wait {
	DRILL_WAIT_NOTHING,
	DRILL_WAIT_TIME,
	DRILL_WAIT_INCIDENT,  /* one has begun since the drill did */
	DRILL_WAIT_CONTAINED, /* all that have begun since are contained */
	DRILL_WAIT_RECOVERED, /* … and closed */
	DRILL_WAIT_VM,        /* NAME is in STATE */
	DRILL_WAIT_DOMAIN,    /* the domain of PORT is in STATE */
};

struct drill_step {
	char name[64];
	sd_json_variant *inject; /* a record; NULL: only waits */
	uint64_t count; /* how often it is injected */
	enum drill_wait wait;
	uint64_t wait_ns; /* TIME */
	char object[128], state[32];
	uint64_t timeout_ns;
};

struct drill {
	char name[64];
	struct drill_step steps[DRILL_STEPS_MAX];
	uint32_t n_steps;
	struct {
		bool has_killed, has_incidents, has_decisions, has_fired;
		char killed[DRILL_TEXT_BYTES]; /* names with spaces between them */
		char fired[DRILL_TEXT_BYTES]; /* the same of rules */
		uint64_t incidents;
		char decisions[4096]; /* lines with " | " between them */
		uint64_t contained_within_ns, recovered_within_ns; /* 0: not said */
		struct {
			char port[128], state[32];
		} domains[DRILL_DOMAINS_MAX];
		uint32_t n_domains;
	} expect;
};

/* Reads a drill; what is wrong with it goes to standard error. Return: false then. */
bool drill_read(const char *path, struct drill *ret);
void drill_clear(struct drill *drill);

#endif
