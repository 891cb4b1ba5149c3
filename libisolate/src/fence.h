/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What policy does, and what of it stays until an operator ends it. */
#ifndef ISOLATE_FENCE_H
#define ISOLATE_FENCE_H

#include "state.h"

/* Why a domain or memdev takes no new leases, until an operator recovers it. */
struct fence {
	uint32_t kind; /* enum iso_fence_kind */
	char unit[ISO_PATH_BYTES];
	uint64_t serial;
	char rule[ISO_NAME_BYTES];
	uint32_t port; /* where `unit` was last found */
	uint64_t lifted_step; /* its end is read by who saves it in that step */
	bool used;
};

/* fault.c */
bool fault_isolate_by_policy(struct iso_engine *e, uint32_t port, uint64_t record_ns);

/* fence.c: what policy keeps new tenants from */
bool fence_add(struct iso_engine *e, const struct iso_restore_fence *fence);
void fence_restore(struct iso_engine *e, const struct iso_restore_fence *fence);
void fence_lift_domain(struct iso_engine *e, uint32_t port);
bool fence_recover_memdev(struct iso_engine *e, const struct iso_event *event);
uint32_t fence_domain(const struct iso_engine *e, const struct fence *fence);
const struct fence *fence_of_region(const struct iso_engine *e, const struct region *region);
bool fence_quarantined(const struct iso_engine *e, uint32_t domain);

/* policy.c: what a policy rule asks for */
void policy_act(struct iso_engine *e, const struct iso_policy_action *action);

#endif
