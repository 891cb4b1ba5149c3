/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a component register block to the capability in it. Pure: reads by what it is given. */
#ifndef DAXMGR_ISOLATION_COMPONENT_BLOCK_H
#define DAXMGR_ISOLATION_COMPONENT_BLOCK_H

#include <stdint.h>

enum {
	COMPONENT_MEMORY_REGISTERS = 0x1000, /* of CXL.cache and CXL.mem, in the block */
	COMPONENT_ID_ISOLATION = 9,
};

/*
 * One 32-bit read at a multiple of 4 below COMPONENT_BLOCK_BYTES. Return: 0 or
 * a negative errno, which ends the search.
 */
typedef int (*component_read32)(void *userdata, uint32_t offset, uint32_t *ret);

/*
 * Finds the timeout and isolation capability. Return: 0 and its offset in the
 * block; -ENOENT when it is not offered; -ENODEV when there is no block that
 * answers (all ones); -EBADMSG when its header is not one, or a pointer leads
 * out of it; or the error of a read.
 */
int component_find_isolation(component_read32 read32, void *userdata, uint32_t *ret_offset);

#endif
