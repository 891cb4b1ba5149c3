/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "iomem.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cleanup.h"
#include "dax.h"

enum { IOMEM_RANGES_MAX = 1 << 18 };

static bool iomem_number(const char **text, uint64_t *ret)
{
	uint64_t value = 0;
	size_t n;

	for (n = 0; isxdigit((unsigned char)(*text)[n]); n++) {
		unsigned char c = (unsigned char)(*text)[n];

		if (n == 16)
			return false;
		value = value << 4 | (uint64_t)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
	}
	*text += n;
	*ret = value;
	return n > 0;
}

/* "    490000000-49fffffff : dax0.1" */
bool iomem_parse(const char *line, struct iomem_range *ret)
{
	struct iomem_range found = {0};
	unsigned int region, id;
	char name[DAX_NAME_BYTES];
	uint64_t last;
	size_t length;

	line += strspn(line, " ");
	if (!iomem_number(&line, &found.range.start.v) || *line++ != '-' ||
	    !iomem_number(&line, &last) || strncmp(line, " : dax", 6) ||
	    sscanf(line + 3, "dax%u.%u", &region, &id) != 2)
		return false;
	dax_name(region, id, name); /* as the kernel writes it: no sign, no zeros in front */
	length = strlen(name);
	if (strncmp(line + 3, name, length) || (line[3 + length] && line[3 + length] != '\n'))
		return false;
	/* Without the privilege to see addresses all of them are 0. */
	if (last <= found.range.start.v || last == UINT64_MAX)
		return false;
	found.region_kernel_id = region;
	found.kernel_id = id;
	found.range.bytes = last + 1 - found.range.start.v;
	*ret = found;
	return true;
}

static int iomem_compare(const void *left, const void *right)
{
	const struct iomem_range *a = left, *b = right;

	if (a->region_kernel_id != b->region_kernel_id)
		return a->region_kernel_id < b->region_kernel_id ? -1 : 1;
	return a->range.start.v < b->range.start.v ? -1 : a->range.start.v > b->range.start.v;
}

static int iomem_append(struct iomem *iomem, const struct iomem_range *range)
{
	/* Grows by halves of powers of two: whenever the count is one. */
	if (!(iomem->n & (iomem->n - 1))) {
		size_t room = iomem->n ? 2 * (size_t)iomem->n : 16;
		struct iomem_range *grown;

		if (room > IOMEM_RANGES_MAX)
			return -EOVERFLOW;
		grown = reallocarray(iomem->ranges, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		iomem->ranges = grown;
	}
	iomem->ranges[iomem->n++] = *range;
	return 0;
}

int iomem_read(const char *root, struct iomem *ret)
{
	_cleanup_(iomem_free) struct iomem iomem = IOMEM_NULL;
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	struct iomem_range range;
	char path[PATH_MAX];
	size_t room = 0;
	int error = 0;

	*ret = IOMEM_NULL;
	snprintf(path, sizeof(path), "%s/proc/iomem", root);
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while (!error && getline(&line, &room, file) > 0)
		if (iomem_parse(line, &range))
			error = iomem_append(&iomem, &range);
	if (!error && ferror(file))
		error = -EIO;
	if (error)
		return error;
	if (iomem.n)
		qsort(iomem.ranges, iomem.n, sizeof(*iomem.ranges), iomem_compare);
	*ret = iomem;
	iomem = IOMEM_NULL;
	return 0;
}

void iomem_free(struct iomem *iomem)
{
	free(iomem->ranges);
	*iomem = IOMEM_NULL;
}

/* The first of this region. */
static uint32_t iomem_find(const struct iomem *iomem, uint32_t region)
{
	uint32_t low = 0, high = iomem->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (iomem->ranges[middle].region_kernel_id < region)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t iomem_pieces(const struct iomem *iomem, uint32_t region, uint32_t id,
		      struct iso_hpa_range ret[ISO_PIECES_MAX])
{
	uint32_t n = 0;

	for (uint32_t i = iomem_find(iomem, region);
	     i < iomem->n && iomem->ranges[i].region_kernel_id == region; i++) {
		const struct iso_hpa_range *range = &iomem->ranges[i].range;

		if (iomem->ranges[i].kernel_id != id)
			continue;
		if (n && n <= ISO_PIECES_MAX &&
		    ret[n - 1].start.v + ret[n - 1].bytes >= range->start.v) {
			uint64_t end = range->start.v + range->bytes;

			if (end > ret[n - 1].start.v + ret[n - 1].bytes)
				ret[n - 1].bytes = end - ret[n - 1].start.v;
			continue;
		}
		if (n < ISO_PIECES_MAX)
			ret[n] = *range;
		if (n++ == ISO_PIECES_MAX)
			break;
	}
	return n;
}
