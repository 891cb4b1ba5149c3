/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was decided about an incident, without when and to which process: so that
 * a loss and its drill can be compared. The lines, in order:
 *
 *   fault UNIT: CAUSE              kill VM (those of one moment by name)
 *   rule NAME: ACTION UNIT         domain PATH: STATE
 *   contained: N killed            revoked VM
 *   recovered
 *
 * What a recovery waits for is observed, not decided: "waiting" counts as
 * "recovering". How a region came back is the kernel's doing and left out.
 */
#ifndef CTL_DECISIONS_H
#define CTL_DECISIONS_H

#include <stdbool.h>
#include <stddef.h>

#include <systemd/sd-json.h>

struct decisions {
	char **lines;
	size_t n, room;
};

/* Adds those of one incident of ListIncidents() with its timeline. Return: false without memory. */
bool decisions_add(struct decisions *decisions, sd_json_variant *incident);
bool decisions_equal(const struct decisions *a, const struct decisions *b);
void decisions_clear(struct decisions *decisions);

#endif
