/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What makes a line of /proc/PID/maps a mapping of an instance. A mapping
 * counts by the device number of what is mapped, whatever its node is called;
 * where that cannot be had, by the node it was opened through; and where that
 * is not the host's own, by its name.
 */
#ifndef DAXMGR_MAPPING_H
#define DAXMGR_MAPPING_H

#include "port.h"

/* A dax device whose mappings are looked for. */
struct mapping_device {
	uint32_t region_kernel_id, kernel_id;
	uint32_t major, minor;
	bool has_node; /* /dev/daxX.Y is there and is this device: */
	uint64_t node_device, node_inode;
};

struct mapping_set {
	uint32_t n;
	struct mapping_device *devices;
};

/* Adds these to the set. Return: 0 or a negative errno, told. */
int mapping_set_add(struct port *port, const struct job_instance *instances, uint32_t n,
		    struct mapping_set *set);

/* The set of all dax devices of CXL regions that are bound to device_dax. */
int mapping_set_all(struct port *port, struct mapping_set *ret);

/* Drops all but those of one region. */
void mapping_set_keep(struct mapping_set *set, uint32_t region);

void mapping_set_free(struct mapping_set *set);

/* One line of /proc/PID/maps. */
struct mapping_line {
	char range[48]; /* as map_files names it */
	bool shared;
	uint64_t device; /* of the file's inode, as st_dev */
	uint64_t inode;
	const char *path; /* in the line; empty when anonymous */
};

/* Return: false when the line is not one of maps. Cuts its newline. */
bool mapping_parse(char *line, struct mapping_line *ret);

/* Is it the path of a dax<X>.<Y>, deleted or not? */
bool mapping_is_node(const char *path, uint32_t *ret_region, uint32_t *ret_id);

/*
 * Index of the device that the line of this process maps, or ISO_NONE. Does
 * not wait for a file system that is not answering.
 */
uint32_t mapping_find(const struct mapping_set *set, const char *root, const char *pid,
		      const struct mapping_line *line);

/* Index of the device with this name, or ISO_NONE. */
uint32_t mapping_find_name(const struct mapping_set *set, const char *path);

#endif
