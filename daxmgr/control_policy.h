/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by control_policy.c, control_inject.c and control_replay.c. */
#ifndef DAXMGR_CONTROL_POLICY_H
#define DAXMGR_CONTROL_POLICY_H

#include "control_internal.h"
#include "inject.h"
#include "policy.h"

/*
 * Answers the call with a stored record once the store has brought it, or with an
 * error. `flag` and `words` (freed with the request) are kept in the request.
 */
int control_with_record(struct control *control, sd_varlink *link, uint64_t id,
			control_with_record_t with_record, bool flag, char *words);

/* Names of the VMs that would die. Return: 0 or negative errno. */
int control_victims(const struct inject_outcome *outcome, sd_json_variant **ret);

#endif
