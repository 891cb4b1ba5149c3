/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where dax devices and System RAM lie, from /proc/iomem: it names every range of a bound device.
 * Their own mappingN attributes would, too, but who reads one while somebody
 * shrinks the device waits for ever, and so does the other (see dax.c).
 */
#ifndef DAXMGR_IOMEM_H
#define DAXMGR_IOMEM_H

#include "port.h"

/* One range of daxX.Y. */
struct iomem_range {
	uint32_t region_kernel_id, kernel_id;
	struct iso_hpa_range range;
};

struct iomem {
	uint32_t n;
	uint32_t n_ram;
	struct iomem_range *ranges; /* by region, then by address */
	struct iso_hpa_range *ram; /* System RAM, in the order of the file */
};

#define IOMEM_NULL ((struct iomem){0})

/* One line of it. Return: whether it is a range of a dax device whose addresses are shown. */
bool iomem_parse(const char *line, struct iomem_range *ret);

/*
 * The same for System RAM, whoever made it so. Where addresses are not shown `ret`
 * is all that there are: it may lie anywhere. Return: whether the line names some.
 */
bool iomem_parse_ram(const char *line, struct iso_hpa_range *ret);

/* Reads all. Nothing is told when there is no such file: `ret` is empty then. Return: 0 or -errno. */
int iomem_read(const char *root, struct iomem *ret);

void iomem_free(struct iomem *iomem);

/*
 * The ranges of one device, in the order of their addresses; those that follow each
 * other are one. Return: how many; more than ISO_PIECES_MAX when there are more.
 */
uint32_t iomem_pieces(const struct iomem *iomem, uint32_t region, uint32_t id,
		      struct iso_hpa_range ret[ISO_PIECES_MAX]);

#endif
