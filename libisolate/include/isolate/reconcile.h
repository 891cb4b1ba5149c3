/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an observation shows against what is believed: each difference, and each
 * thing that waits for a person, is a finding with words for people.
 */
#ifndef ISOLATE_RECONCILE_H
#define ISOLATE_RECONCILE_H

#include <isolate/engine.h>
#include <isolate/snapshot.h>

enum iso_finding_kind {
	ISO_FINDING_HOST_REBOOTED, /* what is stored is of another boot */
	ISO_FINDING_MEMDEV_GONE,
	ISO_FINDING_MEMDEV_NEW,       /* or back */
	ISO_FINDING_MEMDEV_RENAMED,   /* another memN */
	ISO_FINDING_MEMDEV_MOVED,     /* another place */
	ISO_FINDING_MEMDEV_DUPLICATE, /* two of one serial number, or one without */
	ISO_FINDING_REGION_GONE,
	ISO_FINDING_REGION_BROKEN,     /* half made, or half of it lost */
	ISO_FINDING_REGION_FOUND,      /* made by somebody else, as defined */
	ISO_FINDING_REGION_RENAMED,    /* another regionN */
	ISO_FINDING_REGION_GEOMETRY,   /* other size, granularity, order or ways than defined */
	ISO_FINDING_REGION_TWIN,       /* a second object on the memdevs of a managed one */
	ISO_FINDING_REGION_UNDEFINED,  /* it left the configuration while somebody stands on it */
	ISO_FINDING_REGION_QUARANTINED,
	ISO_FINDING_REGION_BUSY,       /* an operation is under way: not compared */
	ISO_FINDING_INSTANCE_GONE,
	ISO_FINDING_INSTANCE_UNBOUND,  /* there, but its driver is not */
	ISO_FINDING_INSTANCE_ORPHAN,   /* of no lease: made by hand, or left over */
	ISO_FINDING_INSTANCE_EMPTY,    /* of size 0 */
	ISO_FINDING_INSTANCE_KMEM,     /* System RAM */
	ISO_FINDING_LEASE_WITHOUT_INSTANCE,
	ISO_FINDING_VM_GONE,           /* ended while nobody watched */
	ISO_FINDING_STRANGER,          /* who maps it is not its VM */
	ISO_FINDING_RECOVERY_UNFINISHED,
	ISO_FINDING_KINDS,
};

/* Who does something about it. */
enum iso_finding_remedy {
	ISO_REMEDY_NONE,   /* nothing is to be done */
	ISO_REMEDY_ITSELF, /* the engine does */
	ISO_REMEDY_PERSON,
	ISO_REMEDIES,
};

struct iso_finding {
	uint32_t kind;   /* enum iso_finding_kind */
	uint32_t remedy; /* enum iso_finding_remedy */
	char object[ISO_PATH_BYTES];    /* "memdev 0x10", "region low", "dax0.1", "VM web" */
	char seen[ISO_TEXT_BYTES];      /* what is there */
	char believed[ISO_TEXT_BYTES];  /* what was thought to be; empty: nothing was known */
	char action[ISO_TEXT_BYTES];    /* what is done, or what a person has to do */
};

/*
 * Compares `snapshot` with what the engine believes and changes nothing of
 * that: the next iso_step() is as if this had not been called. Fills at most
 * `room` of `findings`. Return: how many there are, which may be more.
 */
uint32_t iso_reconcile(const struct iso_engine *e, const struct iso_snapshot *snapshot,
		       struct iso_finding *findings, uint32_t room);

/* Findings of the last ISO_EVENT_RECONCILE that was answered; they stay until the next one begins. */
uint32_t iso_finding_count(const struct iso_engine *e);
/* Finding `i` of these. Return: NULL when there is none, or none was kept for want of room. */
const struct iso_finding *iso_finding_get(const struct iso_engine *e, uint32_t i);

/* Name of an iso_finding_kind, for people and JSON: lower case, dashes; never NULL, as below. */
const char *iso_finding_name(uint32_t kind);
/* Name of an iso_finding_remedy. */
const char *iso_remedy_name(uint32_t remedy);

#endif
