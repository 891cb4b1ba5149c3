/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a component block, and its words as registers: bounded, aligned, nothing of others changed. */
#include "isolation/component_block.h"
#include "isolation/config_space.h"
#include "isolation/registers.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct block {
	const uint8_t *data;
	size_t size;
	unsigned int n_reads;
};

static int read32(void *userdata, uint32_t offset, uint32_t *ret)
{
	struct block *block = userdata;

	assert(offset % 4 == 0 && offset + 4 <= COMPONENT_BLOCK_BYTES);
	assert(++block->n_reads <= 256);
	/* The input begins where the registers do: what lies before is never read. */
	assert(offset >= COMPONENT_MEMORY_REGISTERS);
	offset -= COMPONENT_MEMORY_REGISTERS;
	if (offset + 4 > block->size)
		return -EIO;
	memcpy(ret, block->data + offset, 4);
	return 0;
}

static void check_words(uint32_t capability, uint32_t control)
{
	const uint32_t cache = 0x000c1f00, interrupt = ISOLATION_CONTROL_INTERRUPT;
	struct isolation_capability can;
	uint32_t code, armed;

	isolation_capability_decode(capability, &can);
	assert(can.ranges & 1);
	for (code = 0; code < 16; code++) {
		assert(!(can.ranges >> code & 1) || isolation_range_of(code));
		armed = isolation_control_armed(capability, control, code);
		assert(((armed ^ control) & (cache | interrupt)) == 0);
		assert(can.isolation == !!(armed & ISOLATION_CONTROL_ISOLATION));
		assert(!(isolation_control_disarmed(armed) & ISOLATION_CONTROL_ISOLATION));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct block block = {data, size, 0};
	uint32_t offset, capability, control;

	if (component_find_isolation(read32, &block, &offset) == 0) {
		assert(offset % 4 == 0 && offset + ISOLATION_BYTES <= COMPONENT_BLOCK_BYTES);
		offset -= COMPONENT_MEMORY_REGISTERS;
		if (offset + ISOLATION_BYTES <= size) {
			memcpy(&capability, data + offset + ISOLATION_CAPABILITY, 4);
			memcpy(&control, data + offset + ISOLATION_CONTROL, 4);
			check_words(capability, control);
		}
	}
	return 0;
}
