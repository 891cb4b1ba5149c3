/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config_space.h"

#include <errno.h>

enum {
	SPACE_BYTES = 4096,
	EXTENDED = 0x100,
	STATUS = 0x06,
	STATUS_LIST = 0x10,
	CAPABILITIES = 0x34,
	ID_EXPRESS = 0x10,
	ID_DVSEC = 0x23,
	DVSEC_HEADER1 = 0x4, /* 15:0 vendor, 31:20 bytes */
	DVSEC_HEADER2 = 0x8, /* 15:0 id */
	DVSEC_VENDOR_CXL = 0x1e98,
	DVSEC_REGISTER_LOCATOR = 8,
	LOCATOR_ENTRIES = 0xc,
	LOCATOR_ENTRY_BYTES = 8,
	BLOCK_COMPONENT = 1,
	BARS = 6,
};

static uint32_t word_at(const uint8_t *config, size_t at)
{
	return (uint32_t)config[at] | (uint32_t)config[at + 1] << 8 |
	       (uint32_t)config[at + 2] << 16 | (uint32_t)config[at + 3] << 24;
}

static int locator_component(const uint8_t *config, size_t bytes, size_t at,
			     struct component_place *ret)
{
	size_t length = word_at(config, at + DVSEC_HEADER1) >> 20;

	if (length < LOCATOR_ENTRIES || length > bytes - at)
		return -EBADMSG;
	for (size_t entry = at + LOCATOR_ENTRIES; entry + LOCATOR_ENTRY_BYTES <= at + length;
	     entry += LOCATOR_ENTRY_BYTES) {
		uint32_t low = word_at(config, entry), high = word_at(config, entry + 4);

		if ((low >> 8 & 0xff) != BLOCK_COMPONENT)
			continue;
		if ((low & 7) >= BARS)
			return -EBADMSG;
		*ret = (struct component_place){
			.bar = low & 7,
			.offset = (uint64_t)high << 32 | (low & 0xffff0000u),
		};
		return 0;
	}
	return -ENOENT;
}

int config_space_component(const uint8_t *config, size_t bytes, struct component_place *ret)
{
	size_t at = EXTENDED, steps;
	uint32_t header;

	if (bytes > SPACE_BYTES)
		bytes = SPACE_BYTES;
	if (bytes < EXTENDED + 4)
		return -ENODATA;
	/* There is no room for more structures than this: a list that goes on runs in a circle. */
	for (steps = 0; steps < (SPACE_BYTES - EXTENDED) / 8; steps++) {
		if (at + 4 > bytes)
			return -EBADMSG;
		header = word_at(config, at);
		if (!header || header == UINT32_MAX)
			return -ENOENT;
		if ((header & 0xffff) == ID_DVSEC && at + LOCATOR_ENTRIES <= bytes &&
		    (word_at(config, at + DVSEC_HEADER1) & 0xffff) == DVSEC_VENDOR_CXL &&
		    (word_at(config, at + DVSEC_HEADER2) & 0xffff) == DVSEC_REGISTER_LOCATOR)
			return locator_component(config, bytes, at, ret);
		at = header >> 20 & 0xffc;
		if (!at)
			return -ENOENT;
		if (at < EXTENDED)
			return -EBADMSG;
	}
	return -EBADMSG;
}

int config_space_express(const uint8_t *config, size_t bytes)
{
	size_t at, steps;

	if (bytes < 64 || !(config[STATUS] & STATUS_LIST))
		return -ENOENT;
	at = config[CAPABILITIES] & 0xfc;
	for (steps = 0; steps < 48; steps++) {
		if (!at)
			return -ENOENT;
		if (at < 64 || at + 2 > bytes || at >= EXTENDED)
			return -EBADMSG;
		if (config[at] == ID_EXPRESS)
			return (int)at;
		at = config[at + 1] & 0xfc;
	}
	return -EBADMSG;
}
