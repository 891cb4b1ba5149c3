/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by reconcile*.c only: the list that findings are written to. */
#ifndef ISOLATE_RECONCILE_LIST_H
#define ISOLATE_RECONCILE_LIST_H

#include "state.h"

struct finding_list {
	struct iso_finding *at;
	uint32_t room;
	uint32_t n; /* found; may be more than there is room for */
};

/*
 * Adds a finding without words. Return: where its words go; NULL without room,
 * or when this object has one of this kind already: its words go nowhere then.
 */
struct iso_finding *finding_add(struct finding_list *list, enum iso_finding_kind kind,
				enum iso_finding_remedy remedy, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Each writes one sentence of it. */
void finding_seen(struct iso_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void finding_believed(struct iso_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void finding_action(struct iso_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* reconcile_memdev.c, reconcile_region.c, reconcile_instance.c */
void reconcile_memdevs(const struct iso_engine *e, const struct iso_snapshot *s,
		       struct finding_list *list);
void reconcile_regions(const struct iso_engine *e, const struct iso_snapshot *s,
		       struct finding_list *list);
void reconcile_instances(const struct iso_engine *e, const struct iso_snapshot *s,
			 struct finding_list *list);
/* Whether what is seen of a region is of one moment: no operation on it overlapped. */
bool reconcile_comparable(const struct region *region);

#endif
