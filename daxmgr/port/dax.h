/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One dax device and the driver list of its bus.
 *
 * libdaxctl is not used for this: it answers most failures with -ENXIO where
 * the kernel's errno decides what to do next, takes the region's `seed` for the
 * newest device (it is not), and loads modules on the way.
 */
#ifndef DAXMGR_DAX_H
#define DAXMGR_DAX_H

#include <dirent.h>
#include <isolate/snapshot.h>
#include <stdbool.h>
#include <stdint.h>

enum { DAX_NAME_BYTES = 32 };

struct dax_device {
	uint64_t bytes;
	uint64_t align;
	struct iso_hpa start; /* of its first range; 0 when it has none */
	uint32_t major, minor;
	uint32_t driver; /* enum iso_dax_driver */
};

/* "daxX.Y". */
void dax_name(uint32_t region, uint32_t id, char ret[DAX_NAME_BYTES]);

/* Reads one. Return: 0; -ENOENT when there is no such device in dax_regionX; or another negative errno. */
int dax_read(const char *root, uint32_t region, uint32_t id, struct dax_device *ret);

/* Driver it is bound to, enum iso_dax_driver; ISO_DAX_OTHER also when that cannot be read. */
uint32_t dax_driver(const char *root, const char *name);

/* The directory of dax_regionX; NULL and errno when there is none. */
DIR *dax_region_open(const char *root, uint32_t region);

/* Y of the next daxX.Y in it. Return: false at the end. */
bool dax_region_next(DIR *dir, uint32_t region, uint32_t *ret_id);

/*
 * remove_id, then unbind: all mappings are gone at once. What is unbound or
 * gone already is success. Return and `*ret_step` as for dax_remove().
 */
int dax_unbind(const char *root, const char *name, const char **ret_step);

/*
 * remove_id, unbind, size 0, delete; the order matters: an id that is left in
 * the list would bind the next device of that name. What is gone already is
 * success. daxX.0 is kept, with size 0. Return: 0; -EBUSY when kmem holds it;
 * or a negative errno, and `*ret_step` names what failed.
 */
int dax_remove(const char *root, uint32_t region, uint32_t id, const char **ret_step);

#endif
