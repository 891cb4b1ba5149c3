/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records that an operator injects: what the hardware would have told, on the
 * way that it takes: decoder, engine, policy, store. Marked synthetic wherever
 * they show.
 */
#ifndef DAXMGR_INJECT_H
#define DAXMGR_INJECT_H

#include <isolate/rules.h>
#include <systemd/sd-json.h>

#include "source/trace_decode.h"
#include "store.h"

struct daemon;

enum { INJECT_REASON_BYTES = 192, INJECT_LINES_MAX = 512, INJECT_RAW_MAX = 65536 };

/* What is to be injected; released by inject_clear(). */
struct inject {
	struct store_event event; /* .fields and .raw lie in here */
	struct iso_fault fault;
	bool has_fault; /* it calls for containment */
	bool partial; /* a field lies outside the raw record */
	uint64_t count; /* of alike ones that it stands for; 0 is one */
	char *fields;
	void *raw;
	sd_json_variant *json; /* what texts are borrowed from */
	struct trace_formats *formats;
};

/*
 * Reads a canonical record: {source, kind, unit?, severity?, text?, serial?,
 * hpa?, dpa?, bytes?, lease?, fields?: {NAME: value}}. Pure but for memory. Return:
 * 0, -EINVAL with a reason, -ENOMEM.
 */
int inject_parse(sd_json_variant *record, struct inject *ret, char reason[INJECT_REASON_BYTES]);

/*
 * A raw trace record of `bytes`, in the format that the text of a format file
 * of `system` says. Return: as inject_parse().
 */
int inject_parse_raw(const char *system, const char *format, const void *raw, size_t bytes,
		     struct inject *ret, char reason[INJECT_REASON_BYTES]);

/*
 * A stored record as it was decoded then: names of devices may be those of
 * others by now, addresses and serials are not. Return: as inject_parse().
 */
int inject_parse_row(const struct store_event *event, struct inject *ret,
		     char reason[INJECT_REASON_BYTES]);

void inject_clear(struct inject *inject);

/*
 * The fault as its source would tell the engine of it now: units that it knows
 * by a name are looked up. Return: false when it is no fault, or none of a unit
 * that could have it.
 */
bool inject_event(const struct iso_engine *engine, const struct inject *inject,
		  struct iso_event *ret);

/* What would come of it; released by inject_outcome_clear(). */
struct inject_outcome {
	char *lines[INJECT_LINES_MAX]; /* decisions, "fault: hb0/00.0: surprise-down" */
	uint32_t n_lines;
	uint32_t n_omitted; /* lines that found no room */
	char (*victims)[ISO_NAME_BYTES]; /* VMs that are killed, or may be by what follows */
	uint32_t n_victims;
	bool is_poison; /* the record names bad memory */
};

/* Tries it on copies of engine and rules; changes nothing. Return: 0 or -ENOMEM. */
int inject_try(const struct iso_engine *engine, const struct iso_rules *rules,
	       const struct inject *inject, struct inject_outcome *ret);
void inject_outcome_clear(struct inject_outcome *outcome);

/* Does it: from here on it is a record like any other. */
void inject_run(struct daemon *daemon, const struct inject *inject);

#endif
