/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any file as rules: refused, or each rule is one that can be loaded, and records go through it. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void play(const struct policy_set *set)
{
	static struct iso_rules *rules;
	static const struct iso_field field = {
		.name = "dpa", .text = "0x10", .number = 16, .has_number = true};
	struct iso_record record = {
		.source = "trace",
		.kind = "cxl_dram",
		.unit = "hb0/00.0/00.0",
		.name = "mem0",
		.domain = "hb0/00.0",
		.vms = {"vm"},
		.n_vms = 1,
		.severity = ISO_SEVERITY_FATAL,
		.fields = &field,
		.n_fields = 1,
	};
	struct iso_firing firings[4];
	int64_t now;

	rules = rules ? rules : aligned_alloc(64, iso_rules_bytes());
	assert(rules);
	iso_rules_init(rules);
	iso_rules_load(rules, set->rules, set->n);
	for (now = 0; now < 8; now++) {
		record.at_ns = now * 1000000000;
		iso_rules_record(rules, &record, record.at_ns, firings, 4);
		iso_rules_timer(rules, record.at_ns, firings, 4);
	}
	iso_rules_load(rules, NULL, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_set set = {.rules = calloc(ISO_RULES_MAX, sizeof(struct iso_rule))};
	FILE *messages = fopen("/dev/null", "w");
	char path[64];
	int fd = memfd_create("policy", MFD_CLOEXEC);

	assert(set.rules && messages && fd >= 0);
	assert(write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (policy_read_file(path, &set, messages) == 0) {
		for (uint32_t i = 0; i < set.n; i++)
			assert(!iso_rule_check(&set.rules[i]));
		play(&set);
	}
	policy_set_free(&set);
	close(fd);
	fclose(messages);
	return 0;
}
