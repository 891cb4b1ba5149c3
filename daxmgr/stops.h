/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which processes the daemon has stopped and not yet killed. It is written by
 * plain stores into memory that outlives the daemon (a file of a tmpfs), so that
 * a kill waits for nothing, and a later daemon can tell what an earlier one has
 * stopped from what somebody else has.
 */
#ifndef DAXMGR_STOPS_H
#define DAXMGR_STOPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct stops;

/*
 * Reads what an earlier daemon left at `path` and begins anew with `room`
 * places, which take the place of what was left at stops_settle() only.
 * Return: 0 or negative errno.
 */
int stops_open(const char *path, uint32_t room, struct stops **ret);

/* What is written down stays. NULL is fine, here and below: then nothing is remembered. */
struct stops *stops_free(struct stops *stops);

/* All that was left has been looked at: from here on a start finds what is written down now. Return: 0 or negative errno. */
int stops_settle(struct stops *stops);

/* Before the process is stopped. */
void stops_set(struct stops *stops, uint32_t place, pid_t pid, uint64_t process_start);
void stops_clear(struct stops *stops, uint32_t place);

/* Whether an earlier daemon stopped this process and did not come to kill it. */
bool stops_was_left(const struct stops *stops, pid_t pid, uint64_t process_start);

#endif
