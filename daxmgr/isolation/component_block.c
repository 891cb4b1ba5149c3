/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "component_block.h"

#include <errno.h>

#include "config_space.h"
#include "registers.h"

enum { ID_CAPABILITY_HEADER = 1 };

static int element_offset(uint32_t element, uint32_t n, uint32_t *ret_offset)
{
	uint32_t pointer = element >> 20;

	/* Behind the array of elements, on a whole word, and all of it in the block. */
	if (pointer % 4 || pointer < 4 * (n + 1))
		return -EBADMSG;
	pointer += COMPONENT_MEMORY_REGISTERS;
	if (pointer + ISOLATION_BYTES > COMPONENT_BLOCK_BYTES)
		return -EBADMSG;
	*ret_offset = pointer;
	return 0;
}

int component_find_isolation(component_read32 read32, void *userdata, uint32_t *ret_offset)
{
	uint32_t header, element, n, i;
	int r;

	r = read32(userdata, COMPONENT_MEMORY_REGISTERS, &header);
	if (r < 0)
		return r;
	if (header == UINT32_MAX)
		return -ENODEV;
	if ((header & 0xffff) != ID_CAPABILITY_HEADER)
		return -EBADMSG;
	n = header >> 24;
	for (i = 1; i <= n; i++) {
		r = read32(userdata, COMPONENT_MEMORY_REGISTERS + 4 * i, &element);
		if (r < 0)
			return r;
		if (element == UINT32_MAX)
			return -ENODEV;
		if ((element & 0xffff) == COMPONENT_ID_ISOLATION)
			return element_offset(element, n, ret_offset);
	}
	return -ENOENT;
}
