/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who maps an instance: told by the kernel, not by a register of clients.
 */
#ifndef DAXMGR_MAPPERS_H
#define DAXMGR_MAPPERS_H

#include <dirent.h>

#include "mapping.h"
#include "port.h"

/* One process that maps or holds devices of the set. */
struct mappers_process {
	int32_t pid;
	bool holds; /* it has one open, and maps none */
	uint32_t n_maps;
	const uint32_t *maps; /* indices of the set; valid until the next call */
};

struct mappers_walk {
	struct port *port;
	const struct mapping_set *set;
	bool holders; /* looked for as well */
	DIR *proc;
	uint32_t *maps; /* of the process at hand */
	uint32_t n_maps;
	bool holds; /* a descriptor of a device */
	uint32_t *seen; /* number of the process that had it last */
	uint32_t n_processes;
};

#define MAPPERS_WALK_NULL ((struct mappers_walk){0})

/*
 * Begins a walk of all processes; it is to be closed even when this fails.
 * Return: 0 or a negative errno, told.
 */
int mappers_walk_open(struct port *port, const struct mapping_set *set, bool holders,
		      struct mappers_walk *ret);

/*
 * The next process that maps a device or, if they are looked for, holds one.
 * One whose first thread has ended is looked at through the others. Return: 1;
 * 0 at the end; or a negative errno, told.
 */
int mappers_walk_next(struct mappers_walk *walk, struct mappers_process *ret);

/* Accepts MAPPERS_WALK_NULL. */
void mappers_walk_close(struct mappers_walk *walk);

/* Counts a process in the completion; the first one's state becomes the evidence. */
void mappers_add(struct port *port, int32_t pid);

/* Who maps the instances of one lease? */
struct mappers_question {
	struct port *port; /* its completion is filled */
	const struct job_instance *instances;
	uint32_t n;
	int result; /* 0 or a negative errno, told */
};

/*
 * Walks all processes, once for all `n` questions, and fills n_mappers, mappers
 * (the first ones) and evidence of each completion. Processes that only hold a
 * descriptor do not count. Questions in which the same name or number occurs
 * are walked for one by one.
 */
void mappers_find(struct mappers_question *questions, uint32_t n);

#endif
