/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cleanup.h"
#include "dax.h"
#include "iomem.h"
#include "sysfs.h"

/* Ranges that are taken or bad; later those that are neither. */
struct place_list {
	uint32_t n, room;
	struct iso_hpa_range *ranges;
};

static void place_list_free(struct place_list *list)
{
	free(list->ranges);
}

static int place_add(struct place_list *list, struct iso_hpa_range range)
{
	if (list->n == list->room) {
		uint32_t room = list->room ? 2 * list->room : 64;
		struct iso_hpa_range *grown = reallocarray(list->ranges, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->ranges = grown;
		list->room = room;
	}
	list->ranges[list->n++] = range;
	return 0;
}

static int place_add_bound(const struct iomem *iomem, uint32_t region, struct place_list *taken)
{
	int error = 0;

	for (uint32_t i = 0; !error && i < iomem->n; i++)
		if (iomem->ranges[i].region_kernel_id == region)
			error = place_add(taken, iomem->ranges[i].range);
	return error;
}

/* Left behind by somebody: it holds memory although nothing is bound to it. */
static int place_add_unbound(struct port *port, uint32_t region, struct place_list *taken)
{
	_cleanup_closedir_ DIR *dir = dax_region_open(port->root, region);
	struct dax_device device;
	uint32_t id;
	int error = 0;

	if (!dir)
		return -errno;
	while (!error && dax_region_next(dir, region, &id)) {
		error = dax_read(port->root, region, id, &device);
		if (sysfs_is_gone(error))
			error = 0;
		else if (!error && device.bytes && device.start.v)
			error = place_add(taken,
					  (struct iso_hpa_range){device.start, device.bytes});
	}
	return error;
}

static int place_by_address(const void *left, const void *right)
{
	const struct iso_hpa_range *a = left, *b = right;

	return a->start.v < b->start.v ? -1 : a->start.v > b->start.v;
}

static int place_largest_first(const void *left, const void *right)
{
	const struct iso_hpa_range *a = left, *b = right;

	return a->bytes > b->bytes ? -1 : a->bytes < b->bytes;
}

/* From one taken range to the next, as far as it is whole units. */
static int place_add_hole(struct place_list *holes, uint64_t start, uint64_t end, uint64_t align)
{
	start = (start + align - 1) / align * align;
	end = end / align * align;
	if (start >= end)
		return 0;
	return place_add(holes, (struct iso_hpa_range){{start}, end - start});
}

static int place_holes(const struct job_carve *carve, struct place_list *taken,
		       struct place_list *holes)
{
	uint64_t at = carve->region.start.v, end = at + carve->region.bytes;
	uint64_t align = carve->instance.align;
	int error = 0;

	if (taken->n)
		qsort(taken->ranges, taken->n, sizeof(*taken->ranges), place_by_address);
	for (uint32_t i = 0; !error && i < taken->n; i++) {
		const struct iso_hpa_range *range = &taken->ranges[i];
		uint64_t stop = range->start.v < end ? range->start.v : end;

		error = place_add_hole(holes, at, stop, align);
		if (range->start.v + range->bytes > at)
			at = range->start.v + range->bytes;
	}
	return error ? error : place_add_hole(holes, at, end, align);
}

static int place_pick(struct port *port, uint64_t bytes, struct place_list *holes,
		      struct iso_hpa_range ret[ISO_PIECES_MAX], uint32_t *ret_n)
{
	uint64_t left = bytes;
	uint32_t n = 0;

	for (uint32_t i = 0; i < holes->n; i++)
		if (holes->ranges[i].bytes >= bytes) {
			ret[0] = (struct iso_hpa_range){holes->ranges[i].start, bytes};
			*ret_n = 1;
			return 0;
		}
	if (holes->n)
		qsort(holes->ranges, holes->n, sizeof(*holes->ranges), place_largest_first);
	for (uint32_t i = 0; left && i < holes->n; i++) {
		if (n == ISO_PIECES_MAX)
			return port_fail(port, -E2BIG,
					 "carve: around bad memory it would be in more than %d "
					 "pieces",
					 ISO_PIECES_MAX);
		ret[n] = holes->ranges[i];
		if (ret[n].bytes > left)
			ret[n].bytes = left;
		left -= ret[n++].bytes;
	}
	if (left)
		return port_fail(port, -ENOSPC,
				 "carve: around bad memory %" PRIu64 " bytes are missing", left);
	*ret_n = n;
	return 0;
}

int place_choose(struct port *port, const struct job_carve *carve,
		 struct iso_hpa_range ret[ISO_PIECES_MAX], uint32_t *ret_n)
{
	_cleanup_(place_list_free) struct place_list taken = {0}, holes = {0};
	_cleanup_(iomem_free) struct iomem iomem = IOMEM_NULL;
	uint32_t region = carve->instance.region_kernel_id;
	int error;

	if (!carve->instance.align || !carve->instance.bytes || !carve->region.bytes)
		return port_fail(port, -EINVAL, "carve: no size, alignment or region");
	error = iomem_read(port->root, &iomem);
	if (!error)
		error = place_add_bound(&iomem, region, &taken);
	if (!error)
		error = place_add_unbound(port, region, &taken);
	for (uint32_t i = 0; !error && i < carve->n_avoid; i++)
		error = place_add(&taken, carve->avoid[i]);
	if (!error)
		error = place_holes(carve, &taken, &holes);
	if (error)
		return port_fail(port, error, "carve: look for room: %s", strerror(-error));
	return place_pick(port, carve->instance.bytes, &holes, ret, ret_n);
}
