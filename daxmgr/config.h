/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an operator writes into daxmgrd.conf. Files in the order in which later
 * ones override earlier ones, key by key:
 *
 *   /usr/lib/daxmgr/daxmgrd.conf          (not read when the next one exists)
 *   /etc/daxmgr/daxmgrd.conf
 *   daxmgrd.conf.d/NAME.conf of both directories, by NAME
 */
#ifndef DAXMGR_CONFIG_H
#define DAXMGR_CONFIG_H

#include <stdio.h>

#include <isolate/engine.h>

enum config_isolation_mode {
	CONFIG_ISOLATION_OFF,
	CONFIG_ISOLATION_MONITOR,
	CONFIG_ISOLATION_ARM,
};

enum { CONFIG_BLOCKS_MAX = 64 };

/* Memory of another PCI function that stands for a root port's component registers. */
struct config_block {
	char port[ISO_PATH_BYTES];
	struct iso_pci_address function;
	uint32_t bar;
	uint64_t offset;
};

struct config_isolation {
	uint32_t mode; /* enum config_isolation_mode */
	uint32_t range; /* timeout code */
	uint64_t poll_ns;
	uint64_t cpu_timeout_ns; /* how long the CPU waits for memory */
	bool cpu_recovers; /* an operator vouches for its recoverable machine checks */
	struct config_block blocks[CONFIG_BLOCKS_MAX];
	uint32_t n_blocks;
};

struct config {
	char socket_path[108]; /* sun_path */
	char state_directory[192];
	uint64_t trace_buffer_bytes; /* per CPU */
	uint64_t trace_spool_bytes; /* of pages that are not durable yet */
	uint64_t settle_ns; /* [Recovery] */
	uint64_t exit_ns;
	uint64_t retry_ns;
	uint32_t attempts;
	bool automatic; /* recover without being told */
	bool refill; /* reuse the region object that the kernel kept */
	bool evict; /* DecoderOrder=evict: tenants above a lost region make way */
	uint32_t flap_losses; /* 0: never */
	uint64_t flap_window_ns;
	bool host_may_panic; /* [Pins] */
	uint64_t inspect_ns;
	struct config_isolation isolation; /* [Isolation] */
	uint32_t poison; /* [Poison] enum iso_poison_action */
	uint64_t poison_list_ns;
	bool source_kernel_log; /* [Sources] */
	bool source_qmp;
	bool source_aer_counters;
	bool source_device_health;
	bool source_last_boot;
	bool source_poison_list;
	uint64_t grant_ns; /* [Lease] */
	uint64_t align;
	char policy_directory[192]; /* [Policy] */
	bool inject; /* [Inject] Allow= */
	struct iso_region_definition *regions; /* in the order they were first named */
	uint32_t n_regions;
};

/*
 * Reads everything below `root` ("" on a real host). Return: 0, -EINVAL when
 * something in it is wrong, or another negative errno. `ret` is filled in any
 * case and released by config_free(); with an error it must not be used
 * otherwise. `ret_messages` (may be NULL) gets one line per error and warning,
 * or NULL when there is nothing to say; the caller frees it.
 */
int config_load(const char *root, struct config *ret, char **ret_messages);

void config_free(struct config *config);

/* Puts the configured times into `policy`; leaves what is not configured. */
void config_policy(const struct config *config, struct iso_policy *policy);

/* ---- in parts, for tests and the fuzzer ---- */

void config_init(struct config *ret);

/* One file over what is there. Messages go to `messages`. Return: how many errors. */
unsigned int config_read_file(struct config *config, const char *path, FILE *messages);

/* What can only be seen when everything was read. Return: how many errors. */
unsigned int config_check(const struct config *config, FILE *messages);

#endif
