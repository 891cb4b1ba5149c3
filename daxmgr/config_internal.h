/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by config*.c only. */
#ifndef DAXMGR_CONFIG_INTERNAL_H
#define DAXMGR_CONFIG_INTERNAL_H

#include "config.h"

enum config_result {
	CONFIG_TAKEN,
	CONFIG_UNKNOWN_KEY,
	CONFIG_BAD_VALUE,
	CONFIG_NO_MEMORY,
};

enum { CONFIG_REASON_BYTES = 160 };

/*
 * One assignment. `reason` is filled for BAD_VALUE: a sentence that follows
 * "KEY=VALUE: ".
 */
enum config_result config_set(struct config *config, const char *section, const char *key,
			      const char *value, char reason[CONFIG_REASON_BYTES]);

/* config_isolation.c: the same for the keys of [Isolation]. */
enum config_result config_set_isolation(struct config_isolation *isolation, const char *key,
					const char *value, char reason[CONFIG_REASON_BYTES]);

/* Is it the name of a section that config_set() knows, "Region NAME" included? `reason` as above. */
enum config_result config_section(struct config *config, const char *section,
				  char reason[CONFIG_REASON_BYTES]);

#endif
