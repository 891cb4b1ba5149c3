/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who maps an instance: told by the kernel, not by a register of clients.
 */
#ifndef DAXMGR_MAPPERS_H
#define DAXMGR_MAPPERS_H

#include "port.h"

/*
 * Walks all processes and fills n_mappers and mappers (the first ones) of the
 * completion. A mapping counts by the device number of what is mapped, whatever
 * the node is called; where that cannot be read, by its name. Processes that
 * only hold a descriptor do not count but are told in the message. Return: 0
 * or a negative errno, told.
 */
int mappers_find(struct port *port, const struct job_instance *instances, uint32_t n);

/* One line of /proc/PID/maps. */
struct mappers_line {
	char range[48]; /* as map_files names it */
	bool shared;
	uint64_t inode;
	const char *path; /* in the line; empty when anonymous */
};

/* Return: false when the line is not one of maps. Cuts its newline. */
bool mappers_parse(char *line, struct mappers_line *ret);

/* Is it the path of dax<X>.<Y>, deleted or not? */
bool mappers_is_node(const char *path, const char *dax_name);

#endif
