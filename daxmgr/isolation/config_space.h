/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the configuration space of a root port to where its component registers are. Pure. */
#ifndef DAXMGR_ISOLATION_CONFIG_SPACE_H
#define DAXMGR_ISOLATION_CONFIG_SPACE_H

#include <stddef.h>
#include <stdint.h>

struct component_place {
	uint32_t bar; /* 0 to 5 */
	uint64_t offset; /* of the block in it, a multiple of 64 KiB */
};

enum { COMPONENT_BLOCK_BYTES = 0x10000 };

/*
 * Walks the extended capabilities for the Register Locator. `config` are the
 * first `bytes` of configuration space, of which a reader without privileges
 * gets 64. Return: 0; -ENODATA when it ends before the extended part; -ENOENT
 * when nothing in it tells of component registers; -EBADMSG when it is damaged:
 * a list that does not end, a structure that does not fit, a BAR there is not.
 */
int config_space_component(const uint8_t *config, size_t bytes, struct component_place *ret);

/*
 * Offset of the PCI Express capability. Return: it, -ENOENT, or -EBADMSG for a
 * list that does not end.
 */
int config_space_express(const uint8_t *config, size_t bytes);

#endif
