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

/* "    490000000-49fffffff : NAME". Return: whether it is one; what is behind the colon is `*ret_name`. */
static bool iomem_line(const char *line, uint64_t *ret_first, uint64_t *ret_last,
		       const char **ret_name)
{
	line += strspn(line, " ");
	if (!iomem_number(&line, ret_first) || *line++ != '-' || !iomem_number(&line, ret_last) ||
	    strncmp(line, " : ", 3))
		return false;
	*ret_name = line + 3;
	return true;
}

/* Without the privilege to see addresses all of them are 0. */
static bool iomem_span(uint64_t first, uint64_t last, struct iso_hpa_range *ret)
{
	if (last <= first || last == UINT64_MAX)
		return false;
	*ret = (struct iso_hpa_range){{first}, last + 1 - first};
	return true;
}

bool iomem_parse(const char *line, struct iomem_range *ret)
{
	struct iomem_range found = {0};
	const char *name;
	unsigned int region, id;
	char expected[DAX_NAME_BYTES];
	uint64_t first, last;
	size_t length;

	if (!iomem_line(line, &first, &last, &name) || sscanf(name, "dax%u.%u", &region, &id) != 2)
		return false;
	dax_name(region, id, expected); /* as the kernel writes it: no sign, no zeros in front */
	length = strlen(expected);
	if (strncmp(name, expected, length) || (name[length] && name[length] != '\n') ||
	    !iomem_span(first, last, &found.range))
		return false;
	found.region_kernel_id = region;
	found.kernel_id = id;
	*ret = found;
	return true;
}

bool iomem_parse_ram(const char *line, struct iso_hpa_range *ret)
{
	static const char ram[] = "System RAM"; /* also "System RAM (kmem)" */
	uint64_t first, last;
	const char *name;

	if (!iomem_line(line, &first, &last, &name) || strncmp(name, ram, strlen(ram)))
		return false;
	if (!iomem_span(first, last, ret))
		*ret = (struct iso_hpa_range){{0}, UINT64_MAX};
	return true;
}

static int iomem_compare(const void *left, const void *right)
{
	const struct iomem_range *a = left, *b = right;

	if (a->region_kernel_id != b->region_kernel_id)
		return a->region_kernel_id < b->region_kernel_id ? -1 : 1;
	return a->range.start.v < b->range.start.v ? -1 : a->range.start.v > b->range.start.v;
}

/* Room for one more of `n` elements: grows whenever the count is a power of two. */
static int iomem_grow(void **elements, uint32_t n, size_t bytes)
{
	size_t room = n ? 2 * (size_t)n : 16;
	void *grown;

	if (n & (n - 1))
		return 0;
	if (room > IOMEM_RANGES_MAX)
		return -EOVERFLOW;
	grown = reallocarray(*elements, room, bytes);
	if (!grown)
		return -ENOMEM;
	*elements = grown;
	return 0;
}

static int iomem_append(struct iomem *iomem, const struct iomem_range *range)
{
	void *ranges = iomem->ranges;
	int error = iomem_grow(&ranges, iomem->n, sizeof(*range));

	iomem->ranges = ranges;
	if (!error)
		iomem->ranges[iomem->n++] = *range;
	return error;
}

static int iomem_append_ram(struct iomem *iomem, struct iso_hpa_range range)
{
	void *ram = iomem->ram;
	int error = iomem_grow(&ram, iomem->n_ram, sizeof(range));

	iomem->ram = ram;
	if (!error)
		iomem->ram[iomem->n_ram++] = range;
	return error;
}

static int iomem_take(struct iomem *iomem, const char *line)
{
	struct iomem_range range;
	struct iso_hpa_range ram;

	if (iomem_parse(line, &range))
		return iomem_append(iomem, &range);
	return iomem_parse_ram(line, &ram) ? iomem_append_ram(iomem, ram) : 0;
}

int iomem_read(const char *root, struct iomem *ret)
{
	_cleanup_(iomem_free) struct iomem iomem = IOMEM_NULL;
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	char path[PATH_MAX];
	size_t room = 0;
	int error = 0;

	*ret = IOMEM_NULL;
	snprintf(path, sizeof(path), "%s/proc/iomem", root);
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while (!error && getline(&line, &room, file) > 0)
		error = iomem_take(&iomem, line);
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
	free(iomem->ram);
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
