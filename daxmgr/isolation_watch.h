/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Root ports' isolation status, polled: nothing in any kernel tells of it.
 *
 * A worker finds the registers and hands over the file; from then on a timer
 * reads one mapped word per port. What may sleep in the kernel stays with the
 * workers.
 */
#ifndef DAXMGR_ISOLATION_WATCH_H
#define DAXMGR_ISOLATION_WATCH_H

#include "job.h"
#include "store.h"

struct daemon;
struct isolation_watch;

/* Return: 0 or a negative errno; with Mode=off nothing is watched. */
int isolation_watch_new(struct daemon *daemon, struct isolation_watch **ret);
struct isolation_watch *isolation_watch_free(struct isolation_watch *watch);

/* What an earlier daemon has told of a port of this boot: a status that still says so is no news. */
void isolation_watch_told(struct isolation_watch *watch, const struct store_told *row);

/* After an observation: root ports whose registers were not looked for yet are. */
void isolation_watch_ports(struct isolation_watch *watch);

/* A worker has looked. `fd` stays the caller's. */
void isolation_watch_found(struct isolation_watch *watch, const struct job_reply *reply, int fd);

/* Where a port's registers are when configuration names another function. Return: whether it does. */
bool isolation_stand_in(const struct daemon *daemon, const char *path, struct job_isolation *ret);

struct isolation_watch_report {
	uint32_t n_ports; /* root ports that were looked at */
	uint32_t n_offered; /* that have the capability */
	uint32_t n_polled;
	uint64_t n_polls, n_remapped, n_failed;
};

void isolation_watch_count(const struct isolation_watch *watch, struct isolation_watch_report *ret);

#endif
